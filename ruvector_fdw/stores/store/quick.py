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

from ruvector_fdw import _engine
from ruvector_fdw.errors import InvalidValueError, StoreCorruptError
from ruvector_fdw.request import Batch, SearchRequest
from ruvector_fdw.stores.store.fetch import CHUNK, LENGTHS, RawRow, as_batch
from ruvector_fdw.stores.store.hits import Hits
from ruvector_fdw.stores.store.scan import AT_ONCE, Effort
from ruvector_fdw.stores.store.segment import candidates
from ruvector_fdw.stores.vectors import estimates

if TYPE_CHECKING:
    from ruvector_fdw.stores.store.opened import OpenStore

_NONE = Hits.join([])
_KEPT_BYTES = 16 << 20
# of a tuple and its place in a dict, beside its values
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
        self.with_vector = spec.vector_column.name in names
        self.rows: dict[int, RawRow] = {}
        self._bytes = 0
        self._fields = "".join(f", r.{spec.field_of(column.name)}" for column in self.columns)
        self._statements: dict[int, str] = {}

    def read(self, connection: sqlite3.Connection, state: tuple[int, ...], ids: list[int]) -> list[RawRow] | None:
        """The rows of these ids, None unless the store is in this state."""
        rows = self.rows
        missing = [row_id for row_id in ids if row_id not in rows]
        if not missing:
            if connection.execute(_SAME, state).fetchone() is None:
                return None
            return [rows[row_id] for row_id in ids]
        length = LENGTHS[bisect_left(LENGTHS, len(missing))]
        found = connection.execute(
            self._statement(length), (*state, *missing, *(-1,) * (length - len(missing)))
        ).fetchall()
        if len(found) < len(missing):
            return None
        rows.update((row[0], row) for row in found)
        asked = [rows[row_id] for row_id in ids]
        self._bytes += sum(map(_size, found))
        if self._bytes > _KEPT_BYTES:
            self.rows, self._bytes = {}, 0
        return asked

    def _statement(self, length: int) -> str:
        made = self._statements.get(length)
        if made is None:
            made = self._statements[length] = (
                f"SELECT r.row_id, v.vector{self._fields} FROM state s CROSS JOIN rows r"
                f" CROSS JOIN vectors v ON v.row_id = r.row_id WHERE {_STATE} AND r.row_id IN ({', '.join('?' * length)})"
            )
        return made


def _size(row: RawRow) -> int:
    return _ROW_BYTES + sum(len(value) for value in row if isinstance(value, (bytes, str)))


def nearest(store: OpenStore, request: SearchRequest, effort: Effort) -> Batch | None:
    """The rows of the request, or None: ask in the ordinary way."""
    spec, key = store.spec, request.vector_key
    wanted = (request.limit or 0) + request.offset
    if key is None or key.query is None or request.quals or not 0 < wanted <= AT_ONCE or not request.limit:
        return None
    if spec.element != "f32" or spec.index == "flat" or key.metric != spec.metric:
        return None
    store.database.check_alive()
    known = store.cache.unhidden()
    if known is None:
        return None
    state, segments, delta = known
    query, given = key.query, _NONE
    try:
        if delta.row_ids.size:
            query = store.codec.one(query)
            _, lower, upper = estimates(spec.metric, query, delta.block, delta.norms)
            given = Hits(delta.row_ids, lower, upper)
        parts = [(live.segment.engine, live.tombstones) for live in segments]
        ids, beyond = candidates(parts, query, max(effort.ef_search, wanted), effort.probes, wanted, given)
    except (TypeError, ValueError, InvalidValueError):
        return None  # a query of other dimensions, or not finite: the ordinary way says what is wrong
    if not wanted <= len(ids) <= CHUNK:
        return None
    kept = store.kept.get(request.columns)
    if kept is None:
        if len(store.kept) >= _KEPT_SETS:
            store.kept.clear()
        kept = store.kept[request.columns] = KeptRows(store, request.columns)
    connection = store.database.take_reader()
    try:
        rows = kept.read(connection, state[:4], ids)
    except sqlite3.Error as ex:
        store.database.raise_translated(ex)
    finally:
        store.database.return_reader(connection)
    if rows is None:
        return None
    try:
        found = _engine.ranked(cast("_engine.Metric", spec.metric), query, rows, wanted)
    except ValueError as ex:
        raise StoreCorruptError(f'store "{store.directory}" is damaged: {ex}') from ex
    if found is None or found[1][-1] > beyond:
        return None
    chosen = [rows[place] for place in found[0][request.offset :]]
    return as_batch(store, kept.columns, kept.with_vector, chosen, found[1][request.offset :], request.need_rowids)
