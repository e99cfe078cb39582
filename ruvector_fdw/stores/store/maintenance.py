# SPDX-License-Identifier: PostgreSQL
"""Turning the delta into segments and small segments into large ones; checking and describing a store.

One process at a time does this, under the store's lock file; whoever finds it taken and has nothing to insist on
leaves. Segments are built from the full vectors, outside any SQLite transaction, while others read and write. What
happened meanwhile is settled by one short write transaction at the end: the new segment is registered, the old ones
go, and rows that were removed while it was built stay in `tombstones`. Files are unlinked after that commit; a file
that no row names (its maker died) is removed by the next maker.

Sealing takes every row up to a snapshot's `next_row`, pending ones too: whether a row may be seen is decided when it
is read. Merging is by size tiers: `merge_factor` segments of one tier (powers of `merge_factor` times `seal_rows`)
become one, so a row is built into a segment once for each tier, and there are at most `merge_factor` segments a tier.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import StoreAccessError, StoreBusyError
from ruvector_fdw.stores.store import schema
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.schema import ROW_ORDINARY
from ruvector_fdw.stores.store.segment import SegmentBuilder, SegmentFile, remove_file
from ruvector_fdw.stores.store.snapshot import Snapshot

Progress = Callable[[str, int, int], None]
"""Told the phase, and how much of how much is done."""
_READ_ROWS = 2048
_LOCK_STEP_S = 0.05


def _silent(phase: str, done: int, total: int) -> None:
    del phase, done, total


@contextmanager
def maintaining(store: OpenStore, wait_s: float) -> Iterator[bool]:
    """Hold the lock of the store; False when another process has it and `wait_s` is over."""
    path = store.directory / schema.LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as ex:
        raise StoreAccessError.of(f'could not open "{path}"', ex) from ex
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
            host.check_interrupts()
            time.sleep(_LOCK_STEP_S)
        yield True
    finally:
        os.close(descriptor)


def seal_if_due(store: OpenStore, progress: Progress = _silent) -> None:
    """Seal a delta of `seal_rows` or more, then merge what has become due. Leaves when another process is at it."""
    with store.snapshot(rows_only=True) as snapshot:
        due = snapshot.state.next_row - 1 - snapshot.state.sealed_upto >= store.spec.seal_rows
    if due:
        with maintaining(store, 0.0) as mine:
            if mine:
                _seal(store, progress)
                _merge(store, progress)


def compact(store: OpenStore, rebuild: bool = False, progress: Progress = _silent) -> None:
    """Seal everything and make one segment of all, without dead rows. Waits for the lock.

    :param rebuild: also when there is one segment and nothing dead: the way out when a segment file is damaged.
    """
    with maintaining(store, 600.0) as mine:
        if not mine:
            raise StoreBusyError(f'could not lock store "{store.directory}" for maintenance')
        _sweep(store)
        with store.database.writing(durable=False) as connection:
            segments = connection.execute("SELECT segment_id FROM segments").fetchall()
            state = connection.execute("SELECT next_row, sealed_upto, tombstone FROM state").fetchone()
            dead = connection.execute("SELECT count(*) FROM tombstones").fetchone()[0]
        if rebuild or len(segments) > 1 or state[0] - 1 != state[1] or dead:
            _replace(store, [row[0] for row in segments], 0, state[0] - 1, progress)
        store.database.shrink()


def _seal(store: OpenStore, progress: Progress) -> None:
    with store.snapshot(rows_only=True) as snapshot:
        upto = snapshot.state.next_row - 1
        after = snapshot.state.sealed_upto
    if upto > after:
        _replace(store, [], after, upto, progress)


def _merge(store: OpenStore, progress: Progress) -> None:
    """Merge tiers from the smallest up, as long as one is full."""
    factor, unit = store.spec.merge_factor, store.spec.seal_rows
    while True:
        with store.snapshot(rows_only=True) as snapshot:
            listed = snapshot.execute("SELECT segment_id, keys FROM segments ORDER BY keys").fetchall()
        tiers: dict[int, list[int]] = {}
        for segment_id, keys in listed:
            tier = 0
            while keys >= unit * factor ** (tier + 1):
                tier += 1
            tiers.setdefault(tier, []).append(segment_id)
        full = next((ids for _, ids in sorted(tiers.items()) if len(ids) >= factor), None)
        if full is None:
            return
        _replace(store, full, None, None, progress)


def _replace(store: OpenStore, old_ids: Sequence[int], after: int | None, upto: int | None, progress: Progress) -> None:
    """Build one segment from the rows of old segments and of the range (after, upto], and register it instead."""
    began = time.monotonic()
    made: SegmentFile | None = None
    with store.snapshot(rows_only=after is not None) as snapshot:
        ids = _row_ids(snapshot, old_ids, after, upto)
        if ids.size:
            made = _build(snapshot, ids, progress)
    try:
        with store.database.writing(durable=True) as connection:
            if made is not None:
                connection.execute(
                    "INSERT INTO segments (file, size_bytes, keys, build_seconds) VALUES (?, ?, ?, ?)",
                    (made.name, made.size_bytes, made.keys, time.monotonic() - began),
                )
            files = [
                connection.execute("DELETE FROM segments WHERE segment_id = ? RETURNING file", (old,)).fetchone()[0]
                for old in old_ids
            ]
            if upto is not None:
                connection.execute("UPDATE state SET sealed_upto = max(sealed_upto, ?)", (upto,))
            connection.execute("UPDATE state SET generation = generation + 1")
    except BaseException:
        if made is not None:
            remove_file(store.directory, made.name)
        raise
    for file in files:
        remove_file(store.directory, file)
    _forget_tombstones(store)


def _row_ids(snapshot: Snapshot, old_ids: Sequence[int], after: int | None, upto: int | None) -> npt.NDArray[np.int64]:
    """Ids of the rows to build from, ascending: of a range, or those alive in old segments.

    Whoever replaces every segment gives the range of all rows, and the old files need not even be readable.
    """
    if after is not None and upto is not None:
        rows = snapshot.execute(
            f"SELECT row_id FROM rows WHERE row_id > ? AND row_id <= ? AND kind = {ROW_ORDINARY} ORDER BY row_id",
            (after, upto),
        )
        return np.fromiter((row[0] for row in rows), dtype=np.int64)
    listed = snapshot.execute("SELECT segment_id, file FROM segments")
    chosen = {file for segment_id, file in listed if segment_id in old_ids}
    parts = [live.segment.live_keys(live.tombstones) for live in snapshot.segments if live.segment.file in chosen]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _build(snapshot: Snapshot, ids: npt.NDArray[np.int64], progress: Progress) -> SegmentFile:
    store = snapshot.store
    builder = SegmentBuilder(store.directory, store.spec)
    try:
        for start in range(0, ids.size, _READ_ROWS):
            part = ids[start : start + _READ_ROWS]
            rows = snapshot.execute(
                "SELECT row_id, vector FROM vectors WHERE row_id BETWEEN ? AND ? ORDER BY row_id",
                (int(part[0]), int(part[-1])),
            ).fetchall()
            found = np.array([row[0] for row in rows], dtype=np.int64)
            wanted = np.isin(found, part)
            block = store.codec.from_blobs([row[1] for row in rows])
            builder.add(store.codec.take(block, wanted), found[wanted])
            progress("loading", min(start + _READ_ROWS, ids.size), ids.size)
        return builder.finish(progress)
    finally:
        builder.close()


def _forget_tombstones(store: OpenStore) -> None:
    """Drop those that no segment and no delta can still hold."""
    with store.snapshot(rows_only=True) as snapshot:
        if snapshot.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is None:
            return
    with store.snapshot() as snapshot:
        keys = [live.segment.live_keys(None) for live in snapshot.segments]
        known = np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)
        upto = snapshot.state.sealed_upto
        rows = snapshot.execute("SELECT sequence, row_id FROM tombstones").fetchall()
    listed = np.array(rows, dtype=np.int64)
    useless = listed[(listed[:, 1] <= upto) & ~np.isin(listed[:, 1], known), 0]
    with store.database.writing(durable=False) as connection:
        connection.executemany("DELETE FROM tombstones WHERE sequence = ?", ((int(s),) for s in useless))


def _sweep(store: OpenStore) -> None:
    """Remove segment files that the manifest does not name: nobody is building, the lock is ours."""
    with store.snapshot(rows_only=True) as snapshot:
        named = {row[0] for row in snapshot.execute("SELECT file FROM segments")}
    for path in (store.directory / schema.SEGMENT_DIRECTORY).iterdir():
        if path.name not in named:
            with suppress(OSError):
                path.unlink()


@dataclass(frozen=True)
class Stats:
    """What `ruvector store stats` prints; sizes in bytes."""

    rows: int
    segments: int
    segment_keys: int
    delta_rows: int
    dead_rows: int
    pending_transactions: int
    generation: int
    database_bytes: int
    segment_bytes: int
    details: list[dict[str, Any]]


def stats(store: OpenStore) -> Stats:
    """Counts and sizes, from one snapshot."""
    with store.snapshot() as snapshot:
        state = snapshot.state
        details = [
            {"file": live.segment.file, "keys": live.segment.keys, **live.segment.info()} for live in snapshot.segments
        ]
        dead = snapshot.execute("SELECT count(*) FROM tombstones").fetchone()[0]
        database = sum(
            path.stat().st_size for path in store.directory.glob(f"{schema.DATABASE_FILE}*") if path.is_file()
        )
        return Stats(
            rows=state.row_count,
            segments=len(details),
            segment_keys=sum(int(live.segment.keys) for live in snapshot.segments),
            delta_rows=int(snapshot.delta.row_ids.size),
            dead_rows=dead,
            pending_transactions=state.pending,
            generation=state.generation,
            database_bytes=database,
            segment_bytes=sum(live.segment.size_bytes for live in snapshot.segments),
            details=details,
        )


def check(store: OpenStore, progress: Progress = _silent) -> list[str]:
    """Read and verify everything; returns what is wrong, nothing when the store is sound."""
    found: list[str] = []
    with store.snapshot() as snapshot:
        for (line,) in snapshot.execute("PRAGMA integrity_check"):
            if line != "ok":
                found.append(f"database: {line}")
        orphans = snapshot.execute(
            "SELECT count(*) FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.row_id = v.row_id)"
        ).fetchone()[0]
        if orphans:
            found.append(f"{orphans} vectors belong to no row")
        bare = snapshot.execute(
            f"SELECT count(*) FROM rows r WHERE r.kind <> {schema.ROW_NULL}"
            " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.row_id = r.row_id)"
        ).fetchone()[0]
        if bare:
            found.append(f"{bare} rows have lost their vector")
        keys = []
        for number, live in enumerate(snapshot.segments):
            progress("checking", number + 1, len(snapshot.segments))
            if (problem := live.segment.check()) is not None:
                found.append(f'segment "{live.segment.file}": {problem}')
            keys.append(live.segment.live_keys(live.tombstones))
        held = np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)
        if np.unique(held).size != held.size:
            found.append("a row is in two segments")
        rows = snapshot.execute(
            f"SELECT row_id FROM rows WHERE kind = {ROW_ORDINARY} AND row_id <= ?", (snapshot.state.sealed_upto,)
        )
        expected = np.fromiter((row[0] for row in rows), dtype=np.int64)
        if missing := int(np.setdiff1d(expected, held).size):
            found.append(f"{missing} rows are in no segment")
        if extra := int(np.setdiff1d(held, expected).size):
            found.append(f"{extra} entries of segments belong to no row")
    return found
