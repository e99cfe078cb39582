# SPDX-License-Identifier: PostgreSQL
"""Conditions on payload columns, as SQLite expressions with parameters.

A value is never part of the statement's text, and neither is a name: columns are numbered. SQL's three-valued logic is
SQLite's too, so a NULL value or a NULL in a list needs no care. What SQLite would compare otherwise than PostgreSQL
(see `values.Codec`) is not accepted: `level` is the one place that decides. Text compares by its bytes; the host asks
for that order only where PostgreSQL's is the same (collation "C").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruvector_fdw.errors import InvalidValueError, UnsupportedError
from ruvector_fdw.request import AnyQual, BoolQual, NullQual, PushLevel, Qual, VectorQual
from ruvector_fdw.stores.store.schema import ROW_NULL, Column, Spec
from ruvector_fdw.stores.values import Codec
from ruvector_fdw.stores.vectors import METRICS_OF_ELEMENT

_EQUALITY = ("=", "<>", "!=")
_ORDER = ("<", "<=", ">", ">=")
_LIKE = {"~~": "GLOB", "!~~": "NOT GLOB"}


@dataclass(frozen=True)
class Condition:
    """An SQL expression over `rows r`, and the values of its parameters."""

    sql: str
    values: tuple[Any, ...] = ()


ALWAYS = Condition("1")


def _column(spec: Spec, name: str) -> Column | None:
    return next((column for column in spec.columns if column.name == name), None)


def level(spec: Spec, qual: AnyQual, nested: bool = False) -> PushLevel:
    """EXACT when a scan keeps the condition itself. A distance inside OR is left to PostgreSQL."""
    if isinstance(qual, BoolQual):
        levels = [level(spec, part, nested or qual.operator != "AND") for part in qual.args]
        return min(levels, default=PushLevel.NONE)
    column = _column(spec, qual.field_name)
    if column is None:
        return PushLevel.NONE
    if isinstance(qual, VectorQual):
        fits = column.vector and qual.metric in METRICS_OF_ELEMENT[spec.element] and qual.comparison in ("<", "<=")
        return PushLevel.EXACT if fits and not nested else PushLevel.NONE
    if isinstance(qual, NullQual):
        return PushLevel.EXACT
    if column.vector:
        return PushLevel.NONE
    operator = qual.operator[0] if isinstance(qual.operator, tuple) else qual.operator
    codec = column.codec
    known = (
        (operator in _EQUALITY and codec.equal)
        or (operator in _ORDER and (codec.ordered or codec.text))
        or (operator in _LIKE and codec.text)
    )
    return PushLevel.EXACT if known else PushLevel.NONE


def compile_qual(spec: Spec, qual: AnyQual) -> Condition:
    """:raise UnsupportedError: `level` does not accept it."""
    if isinstance(qual, BoolQual):
        word = f" {qual.operator.upper()} "
        return _join(word, [compile_qual(spec, part) for part in qual.args], "1" if word == " AND " else "0")
    column = _column(spec, qual.field_name)
    if column is None or isinstance(qual, VectorQual) or level(spec, qual) != PushLevel.EXACT:
        raise UnsupportedError(f'cannot evaluate a condition on column "{qual.field_name}" in the store')
    if isinstance(qual, NullQual):
        if column.vector:
            return Condition(f"r.kind {'=' if qual.is_null else '<>'} {ROW_NULL}")
        return Condition(f"r.{spec.field_of(column.name)} IS {'' if qual.is_null else 'NOT '}NULL")
    field = f"r.{spec.field_of(column.name)}"
    if isinstance(qual.operator, tuple):
        operator, is_any = qual.operator
        return _list_condition(field, column.codec, operator, is_any, qual.value)
    return _comparison(field, column.codec, qual.operator, qual.value)


def _comparison(field: str, codec: Codec, operator: str, value: Any) -> Condition:
    if operator in _LIKE:
        return Condition(f"{field} {_LIKE[operator]} ?", (None if value is None else glob_of_like(value),))
    return Condition(f"{field} {operator} ?", (None if value is None else _operand(codec, value),))


def _operand(codec: Codec, value: Any) -> Any:
    """A value to compare with, which may lie outside the column's type: bigint against smallint, 0.1 against real."""
    if codec.sqlite_type == "INTEGER" and isinstance(value, int) and not isinstance(value, bool):
        if -(1 << 63) <= value < 1 << 63:
            return value
        raise InvalidValueError(f"bigint out of range: {value}", sqlstate="22003")
    return codec.operand(value)


def _list_condition(field: str, codec: Codec, operator: str, is_any: bool, value: Any) -> Condition:
    if value is None:
        return Condition("NULL")
    listed = _flatten(value)
    if operator == "=" and is_any and listed:
        marks = ", ".join("?" * len(listed))
        return Condition(f"{field} IN ({marks})", tuple(None if v is None else _operand(codec, v) for v in listed))
    if operator in ("<>", "!=") and not is_any and listed:
        marks = ", ".join("?" * len(listed))
        return Condition(f"{field} NOT IN ({marks})", tuple(None if v is None else _operand(codec, v) for v in listed))
    parts = [_comparison(field, codec, operator, v) for v in listed]
    return _join(" OR " if is_any else " AND ", parts, "0" if is_any else "1")


def _flatten(value: Any) -> list[Any]:
    flat: list[Any] = []
    for item in value.tolist() if hasattr(value, "tolist") else value:
        flat.extend(_flatten(item) if isinstance(item, (list, tuple)) else [item])
    return flat


def _join(word: str, parts: Sequence[Condition], empty: str) -> Condition:
    if not parts:
        return Condition(empty)
    return Condition(
        word.join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.values)
    )


def conjunction(parts: Sequence[Condition]) -> Condition:
    """All of them."""
    return _join(" AND ", parts, "1")


def glob_of_like(pattern: str) -> str:
    """A LIKE pattern (escape character backslash) as a GLOB pattern: GLOB minds case, as PostgreSQL's LIKE does."""
    made: list[str] = []
    escaped = False
    for char in pattern:
        if not escaped and char == "\\":
            escaped = True
            continue
        if not escaped and char in "%_":
            made.append("*" if char == "%" else "?")
        else:
            made.append(f"[{char}]" if char in "*?[" else char)
        escaped = False
    if escaped:
        raise InvalidValueError("LIKE pattern must not end with escape character", sqlstate="22025")
    return "".join(made)


def uses_index(spec: Spec, quals: Sequence[AnyQual]) -> bool:
    """Whether one of these conditions can be looked up in an index of SQLite."""
    for qual in quals:
        if isinstance(qual, Qual) and (column := _column(spec, qual.field_name)) is not None and column.indexed:
            operator = qual.operator[0] if isinstance(qual.operator, tuple) else qual.operator
            if operator == "=" or operator in _ORDER:
                return True
    return False
