# SPDX-License-Identifier: PostgreSQL
"""Conditions, orders and columns as SQL for another server.

Names are quoted by psycopg.sql, values are parameters ($1, …), operators come from a fixed list. Only what means the
same on both servers is sent: built-in types with built-in operators, and no order of text, whose collation may
differ; distances name their operator by the schema of the vector's type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ruvector_fdw.abc import UNBOUND
from ruvector_fdw.request import AnyQual, AnySortKey, BoolQual, NullQual, Qual, SortKey, VectorQual, VectorSortKey
from ruvector_fdw.stores.pgvector.loaders import VECTOR_TYPES, vector_text

_NUMBER_TYPES = ("int2", "int4", "int8", "float4", "float8", "numeric")
ORDERED_TYPES = frozenset((*_NUMBER_TYPES, "bool", "bytea", "uuid", "date", "timestamp", "timestamptz", "time"))
TEXT_TYPES = frozenset(("text", "varchar"))
PLAIN_TYPES = ORDERED_TYPES | TEXT_TYPES | frozenset(("json", "jsonb", "bpchar", "name", "oid"))
_EQUALITY = ("=", "<>", "!=")
_ORDER = ("<", "<=", ">", ">=")
_LIKE = ("~~", "!~~", "~~*", "!~~*")
_DISTANCES = ("<->", "<#>", "<=>", "<+>", "<~>", "<%>")


@dataclass(frozen=True)
class RemoteColumn:
    """A column there. type_name: with modifier, as format_type prints it; base: typname; schema: of the type."""

    name: str
    type_name: str
    base: str
    schema: str
    is_array: bool = False
    not_null: bool = False
    comment: str | None = None

    @property
    def is_vector(self) -> bool:
        return self.base in VECTOR_TYPES

    @property
    def is_plain(self) -> bool:
        return self.schema == "pg_catalog" and self.base in PLAIN_TYPES


class Fragment:
    """SQL under construction, with its parameters in order."""

    def __init__(self, start: sql.Composable | str = "") -> None:
        self._parts: list[sql.Composable] = []
        self.values: list[Any] = []
        self.add(start)

    def add(self, part: sql.Composable | str) -> Fragment:
        # Only constants of this package come as str: names are Composables and values go through `value`.
        self._parts.append(sql.SQL(part) if isinstance(part, str) else part)
        return self

    def value(self, value: Any, cast: sql.Composable | None = None) -> Fragment:
        self.values.append(value)
        self._parts.append(sql.SQL(f"${len(self.values)}"))
        if cast is not None:
            self.add("::").add(cast)
        return self

    @property
    def sql(self) -> sql.Composed:
        return sql.Composed(self._parts)

    def text(self, connection: psycopg.Connection[TupleRow]) -> str:
        return self.sql.as_string(connection)


def select_item(column: RemoteColumn) -> sql.Composable:
    """The column as it is when its binary form is known here, else as text."""
    name = sql.Identifier(column.name)
    return name if column.is_vector or column.is_plain else sql.SQL("{}::pg_catalog.text").format(name)


# ---- what can be sent -----------------------------------------------------------------------------------------


def pushable(qual: AnyQual, columns: Mapping[str, RemoteColumn]) -> bool:
    if isinstance(qual, BoolQual):
        return bool(qual.args) and all(pushable(part, columns) for part in qual.args)
    column = columns.get(qual.field_name)
    if column is None:
        return False
    if isinstance(qual, NullQual):
        return True
    if isinstance(qual, VectorQual):
        return column.is_vector and qual.operator in _DISTANCES and qual.comparison in ("<", "<=")
    operator = qual.operator[0] if isinstance(qual.operator, tuple) else qual.operator
    if column.schema != "pg_catalog" or column.is_array:
        return False
    if column.base in TEXT_TYPES:
        return operator in _EQUALITY or operator in _LIKE
    return column.base in ORDERED_TYPES and (operator in _EQUALITY or operator in _ORDER)


def sortable(key: AnySortKey, columns: Mapping[str, RemoteColumn]) -> bool:
    column = columns.get(key.attname)
    if column is None:
        return False
    if isinstance(key, VectorSortKey):
        return column.is_vector and key.operator in _DISTANCES
    return column.schema == "pg_catalog" and column.base in ORDERED_TYPES and not column.is_array


# ---- how it is written ----------------------------------------------------------------------------------------


def conjunction(made: Fragment, quals: Sequence[AnyQual], columns: Mapping[str, RemoteColumn]) -> None:
    for number, qual in enumerate(quals):
        made.add(" AND " if number else "")
        _condition(made, qual, columns)


def _condition(made: Fragment, qual: AnyQual, columns: Mapping[str, RemoteColumn]) -> None:
    if isinstance(qual, BoolQual):
        word = " OR " if qual.operator.upper() == "OR" else " AND "
        made.add("(")
        for number, part in enumerate(qual.args):
            made.add(word if number else "")
            _condition(made, part, columns)
        made.add(")")
        return
    column = columns[qual.field_name]
    name = sql.Identifier(column.name)
    if isinstance(qual, NullQual):
        made.add("(").add(name).add(" IS NULL)" if qual.is_null else " IS NOT NULL)")
    elif isinstance(qual, VectorQual):
        made.add("(")
        _distance(made, column, qual.operator, qual.query)
        made.add(f" {qual.comparison} ").value(_plain(qual.threshold), sql.SQL("pg_catalog.float8")).add(")")
    else:
        _comparison(made, name, column, qual)


def _comparison(made: Fragment, name: sql.Identifier, column: RemoteColumn, qual: Qual) -> None:
    operator, list_word = (
        (qual.operator[0], " ANY (" if qual.operator[1] else " ALL (")
        if isinstance(qual.operator, tuple)
        else (qual.operator, " ")
    )
    is_list = isinstance(qual.operator, tuple)
    made.add("(").add(name).add(f" OPERATOR(pg_catalog.{'<>' if operator == '!=' else operator})").add(list_word)
    value = _alike(_plain(qual.value)) if is_list else _plain(qual.value)
    # A parameter of unknown type takes the column's; a number or a date says its own, which may be a wider one.
    untyped = value is None or isinstance(value, str) or is_list
    if untyped:
        kind = sql.Identifier("pg_catalog", "text" if column.base in TEXT_TYPES else column.base)
        cast: sql.Composable | None = sql.SQL("{}[]").format(kind) if is_list else kind
        if is_list and _wider(column, value):
            cast = None
    else:
        cast = None
    made.value(value, cast).add("))" if is_list else ")")


def _alike(values: Any) -> Any:
    """A list of one class: infinite dates are str among dates."""
    if not isinstance(values, list) or not any(isinstance(value, str) for value in values):
        return values
    return [value if value is None else str(value) for value in values]


def _wider(column: RemoteColumn, values: Any) -> bool:
    """Whether a list of numbers may hold what the column's type cannot."""
    return column.base in ("int2", "int4", "float4") and bool(values)


def _distance(made: Fragment, column: RemoteColumn, operator: str, query: Any) -> None:
    schema = sql.Identifier(column.schema)
    made.add(sql.Identifier(column.name)).add(sql.SQL(" OPERATOR({}." + operator + ") ").format(schema))
    text = None if query is None or query is UNBOUND else vector_text(query)
    made.value(text, sql.Identifier(column.schema, column.base))


def order_by(made: Fragment, order: Sequence[AnySortKey], columns: Mapping[str, RemoteColumn], exact: bool) -> None:
    """:param exact: keep an approximate index out: adding zero makes it another expression."""
    for number, key in enumerate(order):
        made.add(", " if number else "")
        column = columns[key.attname]
        if isinstance(key, VectorSortKey):
            made.add("(" if exact else "")
            _distance(made, column, key.operator, key.query)
            made.add(") + 0.0::pg_catalog.float8 ASC NULLS LAST" if exact else "")
        elif isinstance(key, SortKey):
            made.add(sql.Identifier(column.name)).add(" DESC" if key.is_reversed else " ASC")
            made.add(" NULLS FIRST" if key.nulls_first else " NULLS LAST")


def count(made: Fragment, value: Any) -> None:
    """A number of rows, as a parameter while it is not known."""
    if value is UNBOUND:
        made.value(None, sql.SQL("pg_catalog.int8"))
    else:
        made.add(str(int(value)))


def _plain(value: Any) -> Any:
    """A value as psycopg adapts it: numpy's scalars and arrays become Python's; what is not known yet, NULL."""
    if value is UNBOUND:
        return None
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value


def column_data(values: Sequence[Any]) -> Any:
    """Rows' values as a column: vectors of one length become one array."""
    if isinstance(values[0], np.ndarray) and all(isinstance(value, np.ndarray) for value in values):
        first = values[0].shape
        if all(value.shape == first for value in values):
            return np.stack(values)
    return list(values)
