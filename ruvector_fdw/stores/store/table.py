# SPDX-License-Identifier: PostgreSQL
"""Kind `store` as a foreign table.

Options: `path` (the directory), `ef_search` (default 40, 1 to 1000) and `probes` (default 1, 1 to 32768) for searches;
for IMPORT FOREIGN SCHEMA `directory`, where the stores are; of a column `column_name`, its name in the store, and
`comment`, which nothing reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ruvector_fdw.errors import OptionError
from ruvector_fdw.request import (
    AnyQual,
    AnySortKey,
    Batch,
    BoolQual,
    ColumnDefinition,
    Estimate,
    NullQual,
    PushLevel,
    Qual,
    SearchRequest,
    TableDefinition,
    TableStore,
    VectorQual,
    VectorSortKey,
)
from ruvector_fdw.stores import check_options, planned_limit
from ruvector_fdw.stores.store import filters, quick, schema, writer
from ruvector_fdw.stores.store.fetch import sortable
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.question import Effort, needs_segments
from ruvector_fdw.stores.store.scan import Scan
from ruvector_fdw.stores.store.session import Session
from ruvector_fdw.stores.values import split_type
from ruvector_fdw.stores.vectors import ELEMENT_OF_TYPE, METRICS_OF_ELEMENT

_EFFORT_LIMITS = {"ef_search": (1, 40, 1000), "probes": (1, 1, 32768)}
_COUNT_AGE_S = 1.0
_OPTIONS = ("kind", "path", "directory", *_EFFORT_LIMITS)
# In the planner's unit, a page read in sequence: starting a search; a row of a search; a row of a full scan.
_SEARCH_COST, _FOUND_ROW_COST, _SCANNED_ROW_COST, _BYTE_COST = 5.0, 0.05, 0.01, 1.0 / 8192


class StoreTable(TableStore):
    """See the head of this file."""

    kind: ClassVar[str] = "store"
    writable: ClassVar[bool] = True

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(options, columns)
        check_options(options, self.kind, _OPTIONS, required="path")
        self.path = options["path"]
        self.effort = Effort(**{name: _bounded(options, name) for name in _EFFORT_LIMITS})
        self._session = Session.of(self.path)
        self._counted, self._counted_at = 1.0, float("-inf")
        self.spec = self._session.store.spec
        # local name -> name in the store; empty when the two are the same
        self._names = {local: c.options.get("column_name", local) for local, c in columns.items()}
        self._check_columns()
        if all(local == name for local, name in self._names.items()):
            self._names = {}
        self._locals = {name: local for local, name in self._names.items()}

    def _check_columns(self) -> None:
        known = {column.name: column for column in self.spec.columns}
        for local, name in self._names.items():
            if name not in known:
                raise OptionError(
                    f'column "{name}" does not exist in store "{self.path}"',
                    hint=f"Its columns are {', '.join(known)}.",
                    sqlstate="HV005",
                )
            if known[name].vector:
                base = self.table_columns[local].base_type_name or self.spec.vector_type.split("(")[0]
                if ELEMENT_OF_TYPE.get(base.split(".")[-1]) != self.spec.element:
                    raise OptionError(
                        f'column "{local}" has type {base}, but the store has {self.spec.vector_type}', sqlstate="HV004"
                    )

    def _open(self) -> Session:
        """The session; another one when the store was replaced since."""
        session = Session.of(self.path)
        if session is not self._session:
            self._session = session
            if session.store.spec != self.spec:
                self.spec = session.store.spec
                self._check_columns()
        return session

    def columns(self) -> list[ColumnDefinition]:
        return definitions(self.spec)

    # ---- planning ---------------------------------------------------------------------------------------------

    def can_push(self, qual: AnyQual) -> PushLevel:
        return filters.level(self.spec, self._renamed_qual(qual))

    def can_sort(self, order: Sequence[AnySortKey]) -> bool:
        renamed = [self._renamed_key(key) for key in order]
        if len(renamed) == 1 and isinstance(renamed[0], VectorSortKey):
            key = renamed[0]
            return key.attname == self.spec.vector_column.name and key.metric in METRICS_OF_ELEMENT[self.spec.element]
        return sortable(self.spec, renamed)

    def estimate(self, request: SearchRequest) -> Estimate:
        total = self._row_count()
        rows = max(1.0, total * _selectivity(request.quals))
        vector = self._locals.get(self.spec.vector_column.name, self.spec.vector_column.name)
        width = sum(4 * self.spec.dims if name == vector else 16 for name in request.columns)
        key = request.vector_key
        if key is not None and key.metric == self.spec.metric:
            per_row = _FOUND_ROW_COST + width * _BYTE_COST
            startup = _SEARCH_COST * (1.0 + total / rows / 10.0 if request.quals else 1.0)
        else:
            per_row = total / rows * (_SCANNED_ROW_COST + width * _BYTE_COST)
            startup = 1.0 if key is None else total * (_SCANNED_ROW_COST + 4 * self.spec.dims * _BYTE_COST)
        rows = min(rows, float(max(1, planned_limit(request))))
        return Estimate(rows, max(8, width), startup, per_row)

    def _row_count(self) -> float:
        """Rows, for the planner: asked again after a while, because one query plans several paths."""
        now = time.monotonic()
        if now - self._counted_at > _COUNT_AGE_S:
            with self._open().store.snapshot(rows_only=True) as snapshot:
                self._counted = float(max(1, snapshot.state.row_count))
            self._counted_at = now
        return self._counted

    def explain(self, request: SearchRequest) -> list[str]:
        spec = self.spec
        lines = [f"Store: {spec.index}, {spec.metric}, {spec.quantization}"]
        key = request.vector_key
        if key is not None:
            effort = f"probes {self.effort.probes}" if spec.index == "ivf" else f"ef_search {self.effort.ef_search}"
            lines.append(f"Search: {effort if key.metric == spec.metric else 'every vector'}")
        return lines

    def equality_columns(self) -> list[tuple[tuple[str, ...], float]]:
        rows = max(1.0, self._row_count() * 0.001)
        return [((self._locals.get(column.name, column.name),), rows) for column in self.spec.columns if column.indexed]

    # ---- names ------------------------------------------------------------------------------------------------

    def _renamed_qual(self, qual: AnyQual) -> AnyQual:
        if not self._names:
            return qual
        if isinstance(qual, BoolQual):
            return BoolQual(qual.operator, tuple(self._renamed_qual(part) for part in qual.args))
        name = self._names.get(qual.field_name, qual.field_name)
        if isinstance(qual, Qual):
            return Qual(name, qual.operator, qual.value)
        return replace(qual, field_name=name)

    def _renamed_key(self, key: AnySortKey) -> AnySortKey:
        name = self._names.get(key.attname, key.attname)
        return replace(key, attname=name) if isinstance(key, VectorSortKey) else key._replace(attname=name)

    def _renamed(self, request: SearchRequest) -> SearchRequest:
        if not self._names:
            return request
        return replace(
            request,
            columns=tuple(self._names.get(name, name) for name in request.columns),
            quals=tuple(self._renamed_qual(qual) for qual in request.quals),
            order=tuple(self._renamed_key(key) for key in request.order),
        )

    # ---- reading and writing ----------------------------------------------------------------------------------

    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        session = self._session  # `begin` has looked where the path leads
        asked = self._renamed(request) if self._names else request
        if session.plain and not request.need_rowids:
            session.check_alive()
            few = quick.nearest(session.store, asked, self.effort)
            if few is not None:
                return iter((self._named_here(few) if self._locals else few,))
        return self._scan(session, asked, request.need_rowids)

    def _scan(self, session: Session, asked: SearchRequest, for_change: bool) -> Iterator[Batch]:
        shared = session.snapshot(for_change, rows_only=not needs_segments(asked))
        try:
            for batch in Scan(shared.snapshot, asked, self.effort).batches():
                yield self._named_here(batch)
        finally:
            shared.release()

    def _named_here(self, batch: Batch) -> Batch:
        if not self._locals:
            return batch
        return replace(batch, columns={self._locals.get(name, name): data for name, data in batch.columns.items()})

    def end_scan(self) -> None:
        self._session.end_scan()

    def _encoded(self, batch: Batch, count: int, partial: bool) -> writer.Rows:
        values: dict[str, Any] = {}
        for local, data in batch.columns.items():
            missing = batch.nulls.get(local)
            if missing is not None and missing.any():
                data = [None if null else value for value, null in zip(data, missing.tolist(), strict=True)]
            values[self._names.get(local, local)] = data
        return writer.encode(self._session.store, count, values, partial)

    def insert(self, batch: Batch) -> None:
        session = self._open()
        rows = self._encoded(batch, batch.count, partial=False)
        session.write(lambda connection, tx, level: writer.insert(session.store, connection, rows, tx, level))

    def update(self, rowids: Sequence[int], batch: Batch) -> int:
        session = self._open()
        rows = self._encoded(batch, len(rowids), partial=True)
        ids = [int(row_id) for row_id in rowids]
        return len(
            session.write(lambda connection, tx, level: writer.update(session.store, connection, ids, rows, tx, level))
        )

    def delete(self, rowids: Sequence[int]) -> int:
        session = self._open()
        ids = [int(row_id) for row_id in rowids]
        return len(
            session.write(lambda connection, tx, level: writer.delete(session.store, connection, ids, tx, level))
        )

    def truncate(self) -> None:
        session = self._open()
        shared = session.snapshot(False)
        try:
            visible = shared.snapshot.visible
            rows = shared.snapshot.execute(f"SELECT r.row_id FROM rows r WHERE {visible.sql}", visible.values)
            ids = [row[0] for row in rows]
        finally:
            shared.release()
        session.write(lambda connection, tx, level: writer.delete(session.store, connection, ids, tx, level))

    # ---- transactions -----------------------------------------------------------------------------------------

    def begin(self, serializable: bool) -> None:
        session = Session.of(self.path)
        (session if session is self._session else self._open()).begin(serializable)

    def prepare(self) -> None:
        self._session.prepare()

    def commit(self) -> None:
        self._session.commit()

    def rollback(self) -> None:
        self._session.rollback()

    def savepoint(self, level: int) -> None:
        self._session.savepoint(level)

    def release(self, level: int) -> None:
        self._session.release(level)

    def rollback_to(self, level: int) -> None:
        self._session.rollback_to(level)

    @classmethod
    def import_schema(
        cls,
        schema_name: str,
        server_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction: str | None,
        names: Sequence[str],
    ) -> list[TableDefinition]:
        """A foreign table for every store in `directory` (of the server or the statement), or in the subdirectory of
        it that the remote schema names; without the option the schema is the path itself."""
        base = options.get("directory", server_options.get("directory", ""))
        folder = Path(base, schema_name)
        if base and not folder.is_dir() and schema_name == "public":
            folder = Path(base)
        if not folder.is_absolute() or not folder.is_dir():
            raise OptionError(f'schema "{schema_name}" is not a directory', sqlstate="HV00Q")
        made = []
        for path in sorted(folder.iterdir()):
            if (
                not (path / schema.DATABASE_FILE).is_file()
                or (restriction == "limit" and path.name not in names)
                or (restriction == "except" and path.name in names)
            ):
                continue
            store = OpenStore.open(path)
            try:
                table = TableDefinition(path.name, columns=definitions(store.spec), options={"path": str(path)})
            finally:
                store.close()
            made.append(table)
        return made


def definitions(spec: schema.Spec) -> list[ColumnDefinition]:
    """The columns of a store as a foreign table declares them."""
    made = []
    for column in spec.columns:
        base, _ = split_type(column.type_name)
        options = {"column_name": column.name}
        made.append(
            ColumnDefinition(
                column.name,
                type_name=column.type_name,
                base_type_name=base,
                options=options,
                not_null=column.not_null,
            )
        )
    return made


def _bounded(options: Mapping[str, str], name: str) -> int:
    low, default, high = _EFFORT_LIMITS[name]
    text = options.get(name, str(default))
    if not text.isdigit() or not low <= int(text) <= high:
        raise OptionError(f'invalid value for option "{name}": "{text}"', hint=f"It is a number from {low} to {high}.")
    return int(text)


def _selectivity(quals: Sequence[AnyQual]) -> float:
    """PostgreSQL's own defaults for conditions it knows nothing about."""
    share = 1.0
    for qual in quals:
        if isinstance(qual, BoolQual):
            parts = [_selectivity([part]) for part in qual.args]
            one = min(1.0, sum(parts)) if qual.operator.upper() == "OR" else _selectivity(qual.args)
        elif isinstance(qual, VectorQual):
            one = 0.01
        elif isinstance(qual, NullQual):
            one = 0.005 if qual.is_null else 0.995
        elif isinstance(qual.operator, tuple):
            one = 0.05
        else:
            one = {"=": 0.005, "<>": 0.995, "!=": 0.995, "~~": 0.05}.get(qual.operator, 0.3333)
        share *= one
    return share
