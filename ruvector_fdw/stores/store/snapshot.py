# SPDX-License-Identifier: PostgreSQL
"""One consistent view of a store: a SQLite snapshot, the segments and tombstones that belong to it, and its delta.

The files of the segments are opened before a snapshot is handed out. Whoever merges unlinks the old files after its
commit, so a file that is missing here means that the snapshot is older than that: it is taken again. A file once
mapped stays readable.

What is derived from the database is kept in the process from one snapshot to the next (`SnapshotCache`): segments
while `generation` stays, tombstone bitmaps while `tombstone` stays, the delta while rows are only added. Whatever they
say, a row counts only when the snapshot's own `rows` has it and lets it be seen.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import StoreCorruptError
from ruvector_fdw.stores.store.filters import ALWAYS, Condition, conjunction
from ruvector_fdw.stores.store.schema import ROW_ORDINARY
from ruvector_fdw.stores.store.segment import Parts, Segment, SegmentMissing
from ruvector_fdw.stores.vectors import Block, Float64s, squared_norms

if TYPE_CHECKING:
    from ruvector_fdw.stores.store.opened import OpenStore

_ATTEMPTS = 20
Ranges = tuple[tuple[int, int], ...]
_FINAL = ("committed", "aborted")


class State(NamedTuple):
    """The one line of table `state`; see schema.py."""

    next_row: int
    sealed_upto: int
    generation: int
    tombstone: int
    commits: int
    row_count: int
    pending: int


@dataclass(frozen=True)
class Delta:
    """The rows that are in no segment: ids, vectors in the same order, and squared norms (None where unused)."""

    row_ids: npt.NDArray[np.int64]
    block: Block
    norms: Float64s | None


@dataclass(frozen=True)
class LiveSegment:
    """A segment and the slots of it that are dead (None: none)."""

    segment: Segment
    tombstones: npt.NDArray[np.uint64] | None


class Snapshot:
    """Use it as a context manager, or call `close`."""

    def __init__(self, store: OpenStore, own_tx: int | None = None, rows_only: bool = False) -> None:
        self.store = store
        self.connection = store.database.take_reader()
        self._seen: tuple[int, ...] = ()
        try:
            for attempt in range(_ATTEMPTS):
                self.state = self._begin()
                self.visible, self.hidden = self._visibility(own_tx) if self.state.pending else (ALWAYS, ())
                if rows_only:
                    break
                try:
                    self.segments, self.delta = store.cache.at(self)
                    break
                except SegmentMissing as ex:
                    self.connection.execute("ROLLBACK")
                    if attempt == _ATTEMPTS - 1:
                        raise StoreCorruptError(
                            f'segment "{ex.file}" of store "{store.directory}" is missing',
                            hint='Run "ruvector store compact --rebuild" to build it again from the rows.',
                        ) from ex
        except BaseException:
            self.close()
            raise

    def _begin(self) -> State:
        self.store.database.begin_reading(self.connection)
        return State(*self.connection.execute("SELECT * FROM state").fetchone())

    def _visibility(self, own_tx: int | None) -> tuple[Condition, Ranges]:
        """A condition on `rows r` that hides what uncommitted transactions inserted and committed ones deleted, and
        the ranges of row ids that it hides."""
        listed = self.connection.execute("SELECT tx, origin, xid, prepared FROM transactions").fetchall()
        committed = self._committed(listed, own_tx)
        # Asked one after the other is not one moment: a later answer may be newer than an earlier one, until all agree.
        while len(listed) > 1 and (again := self._committed(listed, own_tx)) != committed:
            committed = again
        seen = sorted(committed)
        unseen = [row[0] for row in listed if row[0] not in committed]
        self._seen = tuple(tx for tx in seen if tx != own_tx)
        ranges = self.connection.execute(
            "SELECT first_row, last_row FROM inserted WHERE tx IN (SELECT value FROM json_each(?)) ORDER BY first_row",
            (json.dumps(unseen),),
        )
        return visibility(unseen, seen), tuple(ranges) if unseen else ()

    def _committed(self, listed: list[tuple[int, str, int, int]], own_tx: int | None) -> set[int]:
        return {
            tx
            for tx, origin, xid, prepared in listed
            if tx == own_tx or self.store.ended(origin, xid, bool(prepared)) == "committed"
        }

    def others(self) -> tuple[int, tuple[int, ...]]:
        """Changes exactly when a transaction other than our own has become visible since another snapshot."""
        return self.state.commits, self._seen

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        with self.store.database.translated():
            return self.connection.execute(sql, values)

    def close(self) -> None:
        if self.connection is not None:
            self.store.database.return_reader(self.connection)
            self.connection = None  # type: ignore[assignment]

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def visibility(unseen: list[int], seen: list[int]) -> Condition:
    """unseen: transactions whose inserts are hidden; seen: those whose deletes count. Ranges never overlap, so the
    last one that starts at or before a row is the only one that can hold it."""
    parts = []
    if unseen:
        parts.append(
            Condition(
                "COALESCE((SELECT i.last_row >= r.row_id AND i.tx IN (SELECT value FROM json_each(?)) FROM inserted i"
                " WHERE i.first_row <= r.row_id ORDER BY i.first_row DESC LIMIT 1), 0) = 0",
                (json.dumps(unseen),),
            )
        )
    if seen:
        parts.append(
            Condition(
                "NOT EXISTS (SELECT 1 FROM deleted d WHERE d.row_id = r.row_id"
                " AND d.tx IN (SELECT value FROM json_each(?)))",
                (json.dumps(seen),),
            )
        )
    return conjunction(parts)


class Outcomes:
    """How PostgreSQL transactions ended; asked once when the answer is final."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], str] = {}

    def __call__(self, origin: str, xid: int) -> str:
        """ "committed", "aborted", "in progress", or "unknown" for another cluster's or outside PostgreSQL."""
        known = self._known.get((origin, xid))
        if known is None:
            if not host.in_server() or origin != host.cluster_id():
                return "unknown"
            try:
                known = host.xact_status(xid) or "unknown"
            except ValueError:
                return "aborted"  # a number not given out yet: that transaction was lost in a crash
            if known in _FINAL:
                self._known[(origin, xid)] = known
        return known


class SnapshotCache:
    """What one process keeps between snapshots of one store."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._segments: dict[int, Segment] = {}
        self._live: list[LiveSegment] = []
        self._parts: Parts | None = None
        self._delta: Delta | None = None
        self._at = State(-1, -1, -1, -1, -1, -1, -1)
        self._hidden: Ranges = ()

    def at(self, snapshot: Snapshot) -> tuple[list[LiveSegment], Delta]:
        """Segments and delta of a snapshot. :raise SegmentMissing: a file has been removed since."""
        state, before = snapshot.state, self._at
        self._parts = None
        if state.generation != before.generation:
            self._open_segments(snapshot)
            self._bury(snapshot, 0)
        elif state.tombstone != before.tombstone:
            self._bury(snapshot, before.tombstone if state.tombstone > before.tombstone else 0)
        same = state[:4] == before[:4] and self._hidden == snapshot.hidden
        if not same or self._delta is None:
            grown = (
                state[1:4] == before[1:4]
                and state.next_row >= before.next_row
                and self._hidden == _below(snapshot.hidden, before.next_row)
            )
            self._load_delta(snapshot, self._delta if grown else None)
        self._at, self._hidden = state, snapshot.hidden
        assert self._delta is not None
        return self._live, self._delta

    def unhidden(self) -> tuple[State, Parts, Delta] | None:
        """What was last derived, and from which state, when that hid no rows; None when nothing was."""
        if self._delta is None or self._hidden:
            return None
        if self._parts is None:
            self._parts = [(live.segment.engine, live.tombstones) for live in self._live]
        return self._at, self._parts, self._delta

    def _open_segments(self, snapshot: Snapshot) -> None:
        listed = snapshot.execute("SELECT segment_id, file, size_bytes FROM segments ORDER BY segment_id").fetchall()
        opened = {}
        for segment_id, file, size_bytes in listed:
            known = self._segments.get(segment_id)
            opened[segment_id] = known or Segment(self._store.directory, file, size_bytes, self._store.database.spec)
        self._segments = opened
        self._live = [LiveSegment(segment, None) for segment in opened.values()]

    def _bury(self, snapshot: Snapshot, after: int) -> None:
        """Set the bits of tombstones after this sequence number; from 0 the bitmaps are made anew."""
        rows = snapshot.execute("SELECT row_id FROM tombstones WHERE sequence > ?", (after,)).fetchall()
        if not rows and after:
            return
        dead = np.array([row[0] for row in rows], dtype=np.uint64)
        self._live = [
            LiveSegment(live.segment, live.segment.with_tombstones(live.tombstones if after else None, dead))
            for live in self._live
        ]

    def _load_delta(self, snapshot: Snapshot, before: Delta | None) -> None:
        """Read the delta, or only what was added to `before`. Rows that are hidden are left out: a long COPY of
        another transaction costs a reader nothing."""
        codec = self._store.codec
        start = snapshot.state.sealed_upto if before is None else self._at.next_row - 1
        row_ids, blobs = [], []
        for low, high in _gaps(snapshot.hidden, start, snapshot.state.next_row):
            rows = snapshot.execute(
                "SELECT v.row_id, v.vector FROM vectors v CROSS JOIN rows r ON r.row_id = v.row_id"
                f" WHERE v.row_id BETWEEN ? AND ? AND r.kind = {ROW_ORDINARY} ORDER BY v.row_id",
                (low, high),
            ).fetchall()
            row_ids += [row[0] for row in rows]
            blobs += [row[1] for row in rows]
        if before is not None and not row_ids:
            return
        ids = np.array(row_ids, dtype=np.int64)
        block = codec.from_blobs(blobs)
        dense = codec.element in ("f32", "f16")
        norms = squared_norms(block.astype(np.float32)) if dense else None
        if before is not None:
            ids = np.concatenate([before.row_ids, ids])
            block = np.concatenate([before.block, block]) if codec.element != "sparse" else [*before.block, *block]
            norms = np.concatenate([before.norms, norms]) if before.norms is not None and norms is not None else None
        self._delta = Delta(ids, block, norms)

    def close(self) -> None:
        self._segments, self._live, self._parts, self._delta, self._hidden = {}, [], None, None, ()
        self._at = State(-1, -1, -1, -1, -1, -1, -1)


def _below(ranges: Ranges, end: int) -> Ranges:
    """What of these ranges lies below `end`."""
    return tuple((low, min(high, end - 1)) for low, high in ranges if low < end)


def _gaps(ranges: Ranges, after: int, end: int) -> list[tuple[int, int]]:
    """The ranges (both ends included) of (after, end) that `ranges`, ascending, leave free."""
    gaps, low = [], after + 1
    for first, last in ranges:
        if first > low:
            gaps.append((low, min(first, end) - 1))
        low = max(low, last + 1)
    if low < end:
        gaps.append((low, end - 1))
    return gaps
