# SPDX-License-Identifier: PostgreSQL
"""Values as a real Multicorn passes them, for our wrapper as its guest.

Multicorn gives most types as text (bigint, float8, bool, uuid, …), numeric as float and timestamps without microseconds,
names an operator without saying of which types or collation it is, and checks every condition again. So a condition is
passed on only when its value can be read without loss and the store's answer cannot lack a row: none on numeric, floats
(0.1 may be a real's) or timestamps, none on the order of text. Back it takes strings for everything, and these say what
the type's input function understands.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ruvector_fdw import jsontext
from ruvector_fdw.abc import ColumnDefinition, Qual, SortKey
from ruvector_fdw.request import AnyQual, Batch, NullQual, SparseVector

_EQUALITY = ("=", "<>")
_ORDER = ("<", "<=", ">", ">=")
_TEXT = ("text", "character varying")


def _boolean(value: Any) -> bool:
    if value in ("t", "f"):
        return bool(value == "t")
    if isinstance(value, bool):
        return value
    raise ValueError(value)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "smallint": int,
    "integer": int,
    "bigint": int,
    "boolean": _boolean,
    "text": str,
    "character varying": str,
    "uuid": lambda value: value if isinstance(value, uuid.UUID) else uuid.UUID(value),
}


def qual_of(qual: Any, columns: Mapping[str, ColumnDefinition]) -> AnyQual | None:
    """The condition in our terms, or None when it is better left to Multicorn."""
    listed = isinstance(qual.operator, tuple)
    operator = qual.operator[0] if listed else qual.operator
    column = columns.get(qual.field_name)
    if column is None:
        return None
    if qual.value is None and not listed:
        # also `column = NULL`, which no row passes when it is checked again
        return NullQual(qual.field_name, operator == "=") if operator in _EQUALITY else None
    kind = column.base_type_name
    known = _EQUALITY + (("~~", "!~~") if kind in _TEXT else _ORDER)
    if kind not in _READ or operator not in known:
        return None
    read = _READ[kind]
    try:
        value = [None if v is None else read(v) for v in qual.value] if listed else read(qual.value)
    except (TypeError, ValueError):
        return None  # not known while planning, or written in a way we do not know
    return Qual(qual.field_name, qual.operator, value)


def sort_keys(keys: Iterable[Any]) -> list[SortKey]:
    """Multicorn's own class of the same fields as ours."""
    return [SortKey(*key) for key in keys]


# ---- back -----------------------------------------------------------------------------------------------------


def _array_text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (list, tuple)):
        return "{" + ",".join(map(_array_text, value)) + "}"
    text = str(shown(value, ""))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(value: Any, kind: str) -> Any:
    """:param kind: the column's type without its modifier, for what a value alone does not say."""
    if kind in ("json", "jsonb") and value is not None:
        return jsontext.dumps(value)
    if isinstance(value, np.ndarray):
        return "[" + ",".join(repr(float(x)) for x in value) + "]"
    if isinstance(value, SparseVector):
        pairs = zip(value.indices.tolist(), value.values.tolist(), strict=True)
        return "{" + ",".join(f"{index + 1}:{x!r}" for index, x in pairs) + f"}}/{value.dim}"
    if isinstance(value, (list, tuple)):
        return _array_text(value)
    if isinstance(value, datetime.timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, bytes) and not kind:
        return "\\x" + value.hex()
    return value.item() if isinstance(value, np.generic) else value


def rows_of(batch: Batch, columns: Mapping[str, ColumnDefinition]) -> Iterator[dict[str, Any]]:
    """One dict a row; a batch without columns has rows all the same."""
    for row in range(batch.count):
        made = {}
        for name, values in batch.columns.items():
            nulls = batch.nulls.get(name)
            definition = columns.get(name)
            kind = definition.base_type_name if definition is not None else "text"
            made[name] = None if nulls is not None and nulls[row] else shown(values[row], kind or "text")
        yield made
