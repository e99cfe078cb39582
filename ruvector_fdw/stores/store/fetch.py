# SPDX-License-Identifier: PostgreSQL
"""Reading rows of a snapshot: by row id, or all in some order, and turning them into batches.

A raw row is `(row_id, vector blob or None, payload values as SQLite has them …)`. Every statement here carries the
snapshot's visibility and the request's conditions, so that what comes back is visible and passes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ruvector_fdw.request import AnySortKey, Batch, ColumnData, SortKey
from ruvector_fdw.stores.store.filters import Condition, conjunction
from ruvector_fdw.stores.store.schema import Column, Spec
from ruvector_fdw.stores.store.snapshot import Snapshot
from ruvector_fdw.stores.values import decode_all
from ruvector_fdw.stores.vectors import Float64s

RawRow = tuple[Any, ...]
# Lists of ids are padded to these lengths, so that few statements are prepared.
LENGTHS = (1, 8, 16, 32, 64, 128, 256, 512)
CHUNK = LENGTHS[-1]
_PAYLOAD_AT = 2
_FIRST_STREAMED, _MOST_STREAMED = 64, 512


def sortable(spec: Spec, order: Sequence[AnySortKey]) -> bool:
    """Whether SQLite's order of these plain columns is PostgreSQL's."""
    for key in order:
        column = next((c for c in spec.payload if c.name == key.attname), None)
        if column is None or not isinstance(key, SortKey):
            return False
        codec = column.codec
        if not (codec.ordered or (codec.text and key.collate in ("C", "POSIX"))):
            return False
    return True


class RowReader:
    """The rows of a snapshot that pass a condition, with the columns that a request names."""

    def __init__(self, snapshot: Snapshot, names: Sequence[str], condition: Condition) -> None:
        spec = snapshot.store.spec
        self.snapshot = snapshot
        self.wanted: list[Column] = [column for column in spec.payload if column.name in names]
        self.wants_vector = spec.vector_column.name in names
        self.condition = conjunction([snapshot.visible, condition])
        self._fields = "".join(f", r.{spec.field_of(column.name)}" for column in self.wanted)
        self._by_ids: dict[int, str] = {}

    def by_ids(self, row_ids: Sequence[int]) -> list[RawRow]:
        """Those of at most CHUNK rows that are visible and pass, with their vectors, in no order."""
        length = LENGTHS[bisect_left(LENGTHS, len(row_ids))]
        sql = self._by_ids.get(length)
        if sql is None:
            marks = ", ".join("?" * length)
            sql = self._by_ids[length] = (
                f"SELECT r.row_id, v.vector{self._fields} FROM rows r CROSS JOIN vectors v ON v.row_id = r.row_id"
                f" WHERE r.row_id IN ({marks}) AND {self.condition.sql}"
            )
        padding = (-1,) * (length - len(row_ids))
        return self.snapshot.execute(sql, (*row_ids, *padding, *self.condition.values)).fetchall()

    def ids(self, limit: int) -> list[int]:
        """At most `limit` row ids, whether they have a vector or not."""
        sql = f"SELECT r.row_id FROM rows r WHERE {self.condition.sql} LIMIT ?"
        return [row[0] for row in self.snapshot.execute(sql, (*self.condition.values, limit))]

    def stream(
        self,
        order: Sequence[SortKey] = (),
        limit: int | None = None,
        offset: int = 0,
        extra: Condition | None = None,
        need_vector: bool = False,
    ) -> Iterator[list[RawRow]]:
        """Rows in runs that grow from small to large. The vector is there when the request or the caller wants it."""
        spec = self.snapshot.store.spec
        with_vector = self.wants_vector or need_vector
        condition = conjunction([self.condition, extra]) if extra is not None else self.condition
        keys = "".join(
            f"r.{spec.field_of(key.attname)} {'DESC' if key.is_reversed else 'ASC'}"
            f" NULLS {'FIRST' if key.nulls_first else 'LAST'}, "
            for key in order
        )
        sql = (
            f"SELECT r.row_id, {'v.vector' if with_vector else 'NULL'}{self._fields} FROM rows r"
            f"{' LEFT JOIN vectors v ON v.row_id = r.row_id' if with_vector else ''}"
            f" WHERE {condition.sql} ORDER BY {keys}r.row_id LIMIT ? OFFSET ?"
        )
        cursor = self.snapshot.execute(sql, (*condition.values, -1 if limit is None else limit, offset))
        size = _FIRST_STREAMED
        with self.snapshot.store.database.translated():
            while rows := cursor.fetchmany(size):
                yield rows
                size = min(size * 4, _MOST_STREAMED)

    def batch(self, rows: Sequence[RawRow], distances: Float64s | None = None) -> Batch:
        """Raw rows as the columns of `ruvector_fdw.request`."""
        columns: dict[str, ColumnData] = {}
        turned = list(zip(*rows, strict=True)) if rows else [()] * (_PAYLOAD_AT + len(self.wanted))
        for column, values in zip(self.wanted, turned[_PAYLOAD_AT:], strict=True):
            columns[column.name] = decode_all(column.codec, values)
        if self.wants_vector:
            store = self.snapshot.store
            codec, name, blobs = store.codec, store.spec.vector_column.name, turned[1]
            if None not in blobs:
                columns[name] = codec.values(codec.from_blobs(blobs))
            else:
                known = iter(codec.values(codec.from_blobs([blob for blob in blobs if blob is not None])))
                columns[name] = [None if blob is None else next(known) for blob in blobs]
        return Batch(len(rows), columns, rowids=np.array(turned[0], dtype=np.int64), distances=distances)
