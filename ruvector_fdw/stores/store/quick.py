# SPDX-License-Identifier: PostgreSQL
"""The usual question, a few nearest rows of a store that has not changed since the last one, in one statement.

A snapshot costs as much as the search itself. So the search runs first, over what this process knows (segments,
tombstones, delta: all of one state), and the statement that reads the rows found, those that were not read before,
returns something only when the store still is in that state and no transaction is pending, that is, when everything that
is in `rows` can be seen. Otherwise, and whenever the first candidates do not prove to be enough, the caller asks in the ordinary way
(scan.py), which also brings what this process knows up to date.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from ruvector_fdw import _engine
from ruvector_fdw.errors import InvalidValueError, StoreCorruptError
from ruvector_fdw.request import Batch, ColumnData, SearchRequest, VectorSortKey
from ruvector_fdw.stores.store.fetch import CHUNK, LENGTHS, RawRow
from ruvector_fdw.stores.store.hits import Hits
from ruvector_fdw.stores.store.question import Effort
from ruvector_fdw.stores.store.scan import AT_ONCE
from ruvector_fdw.stores.store.segment import search_kept
from ruvector_fdw.stores.values import decode_all
from ruvector_fdw.stores.vectors import estimates

if TYPE_CHECKING:
    from ruvector_fdw.stores.store.opened import OpenStore

_NONE = Hits.join([])
_KEPT_BYTES = 16 << 20
# of a tuple and its place in a table, beside its values
_ROW_BYTES = 200
# sets of columns that rows are kept for; whoever asks for ever other ones gains nothing from them
_KEPT_SETS = 4
_STATE = "s.next_row = ? AND s.sealed_upto = ? AND s.generation = ? AND s.tombstone = ? AND s.pending = 0"
_SAME = f"SELECT 1 FROM state s WHERE {_STATE}"


class KeptRows:
    """Rows read before, as fetch.py has them: what a row id stands for never changes, only whether it still counts. So
    they are good for as long as this process lives, up to _KEPT_BYTES of them."""

    def __init__(self, store: OpenStore, names: tuple[str, ...]) -> None:
        spec = store.spec
        self.columns = [column for column in spec.payload if column.name in names]
        self.vector_name = spec.vector_column.name if spec.vector_column.name in names else None
        self.rows = _engine.KeptRows(cast("_engine.Metric", spec.metric), spec.dims, len(self.columns))
        self._dims = spec.dims
        self._bytes = 0
        self._fields = "".join(f", r.{spec.field_of(column.name)}" for column in self.columns)
        self._statements: dict[int, str] = {}

    def read(self, connection: sqlite3.Connection, state: tuple[int, ...], missing: list[int]) -> bool:
        """Add the rows of these ids. False unless the store is in this state."""
        if not missing:
            return connection.execute(_SAME, state).fetchone() is not None
        length = LENGTHS[bisect_left(LENGTHS, len(missing))]
        found: list[RawRow] = connection.execute(
            self._statement(length), (*state, *missing, *(-1,) * (length - len(missing)))
        ).fetchall()
        if len(found) < len(missing):
            return False
        self.rows.add(found)
        self._bytes += sum(map(_size, found))
        return True

    def _statement(self, length: int) -> str:
        made = self._statements.get(length)
        if made is None:
            made = self._statements[length] = (
                f"SELECT r.row_id, v.vector{self._fields} FROM state s CROSS JOIN rows r"
                f" CROSS JOIN vectors v ON v.row_id = r.row_id WHERE {_STATE} AND r.row_id IN ({', '.join('?' * length)})"
            )
        return made

    def answer(self, request: SearchRequest, query: npt.NDArray[np.float32], wanted: int) -> Batch | None:
        """The rows of the last search; None when they do not prove to be the nearest."""
        found = self.rows.ranked(query, wanted, request.offset, self.vector_name is not None)
        if self._bytes > _KEPT_BYTES:
            self.rows.clear()
            self._bytes = 0
        if found is None:
            return None
        vectors, fields, keys, distances = found
        columns: dict[str, ColumnData] = {}
        for column, values in zip(self.columns, fields, strict=True):
            columns[column.name] = values if column.codec.plain else decode_all(column.codec, values)
        if self.vector_name is not None and vectors is not None:
            columns[self.vector_name] = np.frombuffer(vectors, np.float32).reshape(-1, self._dims)
        return Batch(
            wanted - request.offset,
            columns,
            rowids=np.frombuffer(keys, np.int64) if request.need_rowids else None,
            distances=np.frombuffer(distances, np.float64) if request.need_distances else None,
        )


def _size(row: RawRow) -> int:
    return _ROW_BYTES + sum(len(value) for value in row if isinstance(value, (bytes, str)))


def nearest(store: OpenStore, request: SearchRequest, effort: Effort) -> Batch | None:
    """The rows of the request, or None: ask in the ordinary way. The caller has looked whether the store is still there."""
    if request.quals or len(request.order) != 1 or not request.limit:
        return None
    spec, key = store.spec, request.order[0]
    wanted = request.limit + request.offset
    if not isinstance(key, VectorSortKey) or key.query is None or not 0 < wanted <= AT_ONCE:
        return None
    if spec.element != "f32" or spec.index == "flat" or key.metric != spec.metric:
        return None
    known = store.cache.unhidden()
    if known is None:
        return None
    state, parts, delta = known
    kept = store.kept.get(request.columns)
    if kept is None:
        if len(store.kept) >= _KEPT_SETS:
            store.kept.clear()
        kept = store.kept[request.columns] = KeptRows(store, request.columns)
    query, given = key.query, _NONE
    try:
        if delta.row_ids.size:
            query = store.codec.one(query)
            _, lower, upper = estimates(spec.metric, query, delta.block, delta.norms)
            given = Hits(delta.row_ids, lower, upper)
        ef = max(effort.ef_search, wanted)
        missing = search_kept(kept.rows, parts, query, ef, effort.probes, wanted, CHUNK, given)
    except (TypeError, ValueError, InvalidValueError):
        return None  # a query of other dimensions, or not finite: the ordinary way says what is wrong
    if missing is None:
        return None
    connection = store.database.take_reader()
    try:
        same = kept.read(connection, state[:4], missing)
    except sqlite3.Error as ex:
        store.database.raise_translated(ex)
    except ValueError as ex:
        raise StoreCorruptError(f'store "{store.directory}" is damaged: {ex}') from ex
    finally:
        store.database.return_reader(connection)
    return kept.answer(request, query, wanted) if same else None
