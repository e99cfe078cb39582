# SPDX-License-Identifier: PostgreSQL
"""Kind `pgvector`: a table of another PostgreSQL with pgvector or ruvector columns. Read-only.

Options: libpq's connection parameters (`host`, `port`, `dbname`, `sslmode`, `options`, …), `user` and `password` (for
a user mapping), `schema_name`, `table_name`, `fetch_size` (rows a round trip, default 1000); of a column:
`column_name`.

Conditions, order, limit and the needed columns are SQL that runs there, on its indexes. All scans of a transaction
see one remote snapshot (REPEATABLE READ, READ ONLY). With a limit, ORDER BY distance may use the remote's approximate
index. Without one the caller may go on for ever, and an approximate index of pgvector ends early: then the remote is
made to sort, so that no row is lost. So it is under a filter or a large limit before pgvector 0.8, whose index scans
cannot go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from psycopg import sql

from ruvector_fdw.errors import OptionError
from ruvector_fdw.request import (
    AnyQual,
    AnySortKey,
    Batch,
    ColumnDefinition,
    Estimate,
    PushLevel,
    SearchRequest,
    TableDefinition,
    TableStore,
)
from ruvector_fdw.stores import check_options, planned_limit
from ruvector_fdw.stores.pgvector import catalog, deparse
from ruvector_fdw.stores.pgvector.connection import CONNECTION_OPTIONS, Remote
from ruvector_fdw.stores.pgvector.deparse import Fragment, RemoteColumn

_TABLE_OPTIONS = ("kind", "schema_name", "table_name", "fetch_size")
_FIRST_FETCH = 100
# Rows that pgvector's hnsw gives at its default ef_search.
_CANDIDATES = 40
# As postgres_fdw: the cost of starting a remote query, and of moving a row.
_STARTUP_COST, _ROW_COST = 100.0, 0.2


class PgvectorTable(TableStore):
    """See the head of this file."""

    kind: ClassVar[str] = "pgvector"

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(options, columns)
        check_options(options, self.kind, (*_TABLE_OPTIONS, *sorted(CONNECTION_OPTIONS)), required="table_name")
        self._fetch_size = _positive(options, "fetch_size", 1000)
        self._remote = Remote.of(options)
        self._schema = options.get("schema_name", "public")
        self._table = options["table_name"]
        self._described: dict[str, RemoteColumn] | None = None
        self._counted: tuple[float, int] | None = None

    # ---- what is there ----------------------------------------------------------------------------------------

    def _columns(self) -> dict[str, RemoteColumn]:
        """The remote columns by their local names, asked once."""
        if self._described is None:
            remote = catalog.describe(self._remote, self._schema, self._table)
            if not self.table_columns:
                self._described = {column.name: column for column in remote.values()}
                return self._described
            self._described = {}
            for local, definition in self.table_columns.items():
                name = definition.options.get("column_name", local)
                if name not in remote:
                    raise OptionError(
                        f'column "{name}" of remote table "{self._schema}.{self._table}" does not exist',
                        sqlstate="HV005",
                    )
                self._described[local] = remote[name]
        return self._described

    def columns(self) -> list[ColumnDefinition]:
        return [catalog.local_definition(column) for column in self._columns().values()]

    # ---- planning ---------------------------------------------------------------------------------------------

    def can_push(self, qual: AnyQual) -> PushLevel:
        return PushLevel.EXACT if deparse.pushable(qual, self._columns()) else PushLevel.NONE

    def can_sort(self, order: Sequence[AnySortKey]) -> bool:
        return all(deparse.sortable(key, self._columns()) for key in order)

    def estimate(self, request: SearchRequest) -> Estimate:
        if self._counted is None:
            self._counted = catalog.size(self._remote, self._schema, self._table)
        rows, width = self._counted
        for qual in request.quals:
            rows *= 0.005 if getattr(qual, "operator", None) == "=" else 0.33
        rows = max(1.0, rows)
        startup = _STARTUP_COST
        if request.order and request.limit is None:
            startup += rows * 0.05
        rows = min(rows, planned_limit(request))
        return Estimate(max(1.0, rows), max(8, width), startup, _ROW_COST)

    def explain(self, request: SearchRequest) -> list[str]:
        statement = self._statement(request)
        return [f"Remote SQL: {statement.text(self._remote.connection())}"]

    # ---- scanning ---------------------------------------------------------------------------------------------

    def _statement(self, request: SearchRequest) -> Fragment:
        columns = self._columns()
        wanted = [deparse.select_item(columns[name]) for name in request.columns if name in columns]
        made = Fragment("SELECT ").add(sql.SQL(", ").join(wanted or [sql.SQL("NULL")]))
        made.add(" FROM ").add(sql.Identifier(self._schema, self._table))
        if request.quals:
            made.add(" WHERE ")
            deparse.conjunction(made, request.quals, columns)
        if request.order:
            made.add(" ORDER BY ")
            deparse.order_by(made, request.order, columns, exact=not self._index_suffices(request))
        if request.limit is not None:
            deparse.count(made.add(" LIMIT "), request.limit)
        if request.offset:
            deparse.count(made.add(" OFFSET "), request.offset)
        return made

    def _index_suffices(self, request: SearchRequest) -> bool:
        """Whether an approximate index there gives as many rows as are asked for."""
        key = request.vector_key
        if key is None or request.limit is None:
            return False
        self._remote.connection()
        keeps_looking = self._remote.keeps_looking or self._columns()[key.attname].base == "ruvector"
        return keeps_looking or (not request.quals and planned_limit(request) <= _CANDIDATES)

    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        names = [name for name in request.columns if name in self._columns()]
        statement = self._statement(request)
        small = request.limit is not None and request.limit <= self._fetch_size
        lazy = bool(request.order) and request.limit is None
        first = min(_FIRST_FETCH, self._fetch_size) if lazy else self._fetch_size
        runs = self._remote.once(statement) if small else self._remote.cursor(statement, first, self._fetch_size)
        with contextlib.closing(runs):
            for rows in runs:
                turned = list(zip(*rows, strict=True)) if names else []
                columns = {name: deparse.column_data(values) for name, values in zip(names, turned, strict=True)}
                yield Batch(len(rows), columns)

    # ---- transactions: one remote snapshot a local transaction ------------------------------------------------

    def begin(self, serializable: bool) -> None:
        self._remote.begin()

    def commit(self) -> None:
        self._remote.end()

    def rollback(self) -> None:
        self._remote.end()

    def savepoint(self, level: int) -> None:
        self._remote.savepoint(level)

    def release(self, level: int) -> None:
        self._remote.release(level)

    def rollback_to(self, level: int) -> None:
        self._remote.rollback_to(level)

    def close(self) -> None:
        self._described = None

    @classmethod
    def import_schema(
        cls,
        schema: str,
        server_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction: str | None,
        names: Sequence[str],
    ) -> list[TableDefinition]:
        connection = {k: v for k, v in server_options.items() if k in CONNECTION_OPTIONS}
        return catalog.import_schema(Remote.of(connection), schema, options, restriction, names)


def _positive(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise OptionError(f'invalid value for option "{name}": "{text}"', hint="It is a positive number.")
    return int(text)
