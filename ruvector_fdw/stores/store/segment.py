# SPDX-License-Identifier: PostgreSQL
"""Segment files: how one is written, mapped and searched. The only file of the store that knows the engine's segments.

A file is written beside its name, synced, and renamed: it is whole or not there. It is never changed. Opening checks
its size against the manifest and every section's CRC32C. A mapped file that is unlinked stays readable.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ruvector_fdw import _engine, host
from ruvector_fdw.errors import OptionError, StoreAccessError, StoreCorruptError
from ruvector_fdw.request import SparseVector
from ruvector_fdw.stores.store.database import sync_directory
from ruvector_fdw.stores.store.hits import Hits
from ruvector_fdw.stores.store.schema import SEGMENT_DIRECTORY, Spec

Tombstones = npt.NDArray[np.uint64]
Parts = list[tuple[_engine.Segment, Tombstones | None]]
_SUFFIX = ".rvs"
_REBUILD = 'Run "ruvector store compact --rebuild" to build the segments again from the rows.'
_NEXT_CAPACITY = 4096
_INTERRUPT = host.interrupt_flag_address() or 0


class SegmentMissing(Exception):
    """The file is gone: merged away by another process, or lost."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file


@dataclass(frozen=True)
class SegmentFile:
    """A file as the manifest names it."""

    name: str
    size_bytes: int
    keys: int


class Segment:
    """An opened segment. Its keys are row ids."""

    def __init__(self, directory: Path, file: str, size_bytes: int, spec: Spec) -> None:
        self.file = file
        self.size_bytes = size_bytes
        path = directory / SEGMENT_DIRECTORY / file
        self._name = f'segment "{file}" of store "{directory}"'
        try:
            with open(path, "rb") as opened:
                if (size := os.fstat(opened.fileno()).st_size) != size_bytes:
                    raise StoreCorruptError(
                        f"{self._name} is damaged: it has {size} bytes, not {size_bytes}", hint=_REBUILD
                    )
                self._map = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        except FileNotFoundError as ex:
            raise SegmentMissing(file) from ex
        except OSError as ex:
            raise StoreAccessError.of(f"could not read {self._name}", ex) from ex
        try:
            self._segment = _engine.Segment(self._map, verify=True)
        except (_engine.EngineError, ValueError) as ex:
            raise StoreCorruptError(f"{self._name} is damaged: {ex}", hint=_REBUILD) from ex
        about = self._segment.info
        if (about["metric"], about["dims"], about["element"]) != (spec.metric, spec.dims, spec.element):
            raise StoreCorruptError(f"{self._name} belongs to another store", hint=_REBUILD)
        self._by_key: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None

    @property
    def keys(self) -> int:
        return int(self._segment.info["slots"])

    def info(self) -> dict[str, Any]:
        return dict(self._segment.info)

    def check(self) -> str | None:
        """What is wrong, None when it is sound. Slow: every checksum and every link."""
        try:
            self._segment.check()
        except (_engine.EngineError, ValueError) as ex:
            return str(ex)
        return None

    # ---- keys and tombstones ----------------------------------------------------------------------------------

    def _sorted_keys(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row ids ascending, and the slot of each."""
        if self._by_key is None:
            keys = self._segment.keys.astype(np.int64)
            slots = np.argsort(keys, kind="stable")
            self._by_key = keys[slots], slots
        return self._by_key

    def with_tombstones(self, before: Tombstones | None, dead: npt.NDArray[Any]) -> Tombstones | None:
        """A bitmap with the slots of these row ids set too; `before` is not changed."""
        keys, slots = self._sorted_keys()
        wanted = dead.astype(np.int64)
        at = np.searchsorted(keys, wanted)
        found = at < keys.size
        found[found] = keys[at[found]] == wanted[found]
        hit = slots[at[found]]
        if not hit.size:
            return before
        bits = np.zeros((keys.size + 63) // 64, dtype=np.uint64) if before is None else before.copy()
        np.bitwise_or.at(bits, hit // 64, np.left_shift(np.uint64(1), (hit % 64).astype(np.uint64)))
        return bits

    def live_keys(self, tombstones: Tombstones | None) -> npt.NDArray[np.int64]:
        """The row ids whose bit is not set, ascending."""
        keys, slots = self._sorted_keys()
        if tombstones is None:
            return keys
        bits = np.right_shift(tombstones[slots // 64], (slots % 64).astype(np.uint64)) & np.uint64(1)
        live: npt.NDArray[np.int64] = keys[bits == 0]
        return live

    # ---- searching --------------------------------------------------------------------------------------------

    def search(self, query: Any, ef: int, probes: int, tombstones: Tombstones | None) -> SegmentSearch:
        """Candidates, nearest first by estimate, in batches that grow."""
        values, indices = _query(query)
        scan = self._segment.scan(
            values, indices=indices, ef=ef, probes=probes, tombstones=tombstones, interrupt=_INTERRUPT
        )
        return SegmentSearch(scan)

    @property
    def engine(self) -> _engine.Segment:
        return self._segment

    def within(self, query: Any, radius: float, tombstones: Tombstones | None) -> RangeSearch:
        """Everything whose distance may be at most `radius`, none missing."""
        values, indices = _query(query)
        return RangeSearch(
            lambda: self._segment.range(values, radius, indices=indices, tombstones=tombstones, interrupt=_INTERRUPT)
        )


class SegmentSearch:
    """A source of candidates from a search that goes on as long as it is asked."""

    def __init__(self, scan: _engine.Scan) -> None:
        self._scan = scan

    def next_batch(self) -> Hits:
        parts = []
        horizon = np.inf
        while True:
            with _interruptible():
                found = self._scan.next(_NEXT_CAPACITY)
            if len(found):
                parts.append(_hits(found))
                # a batch is sorted by estimate, and later ones go on from there
                horizon = float(found.estimate[-1])
            if found.batch_end or not len(found):
                break
        hits = parts[0] if len(parts) == 1 else Hits.join(parts)
        return Hits(hits.row_ids, hits.lower, hits.upper, horizon)


class RangeSearch:
    """A source of all candidates of a range, searched when first asked."""

    def __init__(self, search: Callable[[], _engine.Hits]) -> None:
        self._search: Callable[[], _engine.Hits] | None = search

    def next_batch(self) -> Hits:
        if self._search is None:
            return Hits.join([])
        search, self._search = self._search, None
        with _interruptible():
            return _hits(search())


def search_kept(
    kept: _engine.KeptRows, parts: Parts, query: Any, ef: int, probes: int, wanted: int, most: int, given: Hits
) -> list[int] | None:
    """Row ids that `kept` still needs to rank the `wanted` nearest of these segments and the given ones; see there.
    query: float32."""
    try:
        return kept.search(parts, query, ef, probes, wanted, most, given.row_ids, given.lower, given.upper, _INTERRUPT)
    except _engine.EngineError:
        host.check_interrupts()
        raise


def _query(query: Any) -> tuple[Any, Any]:
    return (query.values, query.indices) if isinstance(query, SparseVector) else (query, None)


class _interruptible:  # noqa: N801
    """A search that was stopped says so as an EngineError: then the host knows why."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, ex: BaseException | None, trace: object) -> None:
        if isinstance(ex, _engine.EngineError):
            host.check_interrupts()


def _hits(found: _engine.Hits) -> Hits:
    return Hits(found.keys.astype(np.int64), found.lower.astype(np.float64), found.upper.astype(np.float64))


def check_supported(spec: Spec) -> None:
    """:raise OptionError: the engine does not build such segments."""
    try:
        _new_builder(spec)
    except (_engine.EngineError, ValueError) as ex:
        raise OptionError(f"cannot make a store of this kind: {ex}", sqlstate="0A000") from ex


def _new_builder(spec: Spec) -> _engine.Builder:
    return _engine.Builder(
        cast("_engine.Kind", spec.index),
        cast("_engine.Metric", spec.metric),
        spec.dims,
        element=cast("_engine.Element", spec.element),
        quantization=cast("_engine.Quantization", spec.quantization),
        m=spec.m,
        ef_construction=spec.ef_construction,
        lists=spec.lists,
        seed=0,
    )


class SegmentBuilder:
    """Builds one segment file from vectors."""

    def __init__(self, directory: Path, spec: Spec) -> None:
        self._directory = directory / SEGMENT_DIRECTORY
        self._builder = _new_builder(spec)
        self._count = 0

    def add(self, block: Any, row_ids: npt.NDArray[np.int64]) -> None:
        keys = row_ids.astype(np.uint64)
        if isinstance(block, list):
            sizes = [vector.indices.size for vector in block]
            offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            indices = np.concatenate([vector.indices for vector in block]) if block else np.empty(0, np.int32)
            values = np.concatenate([vector.values for vector in block]) if block else np.empty(0, np.float32)
            self._builder.add_sparse(offsets, indices, values, keys)
        else:
            self._builder.add(np.ascontiguousarray(block), keys)
        self._count += keys.size

    def finish(self, progress: Callable[[str, int, int], None]) -> SegmentFile:
        """Build with a thread for each processor, and write. `progress` may raise to stop."""

        def told(phase: str, done: int, total: int) -> None:
            host.check_interrupts()
            progress(phase, done, total)

        blob = self._builder.build(threads=max(1, len(os.sched_getaffinity(0))), progress=told)
        name = secrets.token_hex(8) + _SUFFIX
        temporary, final = self._directory / f".{name}", self._directory / name
        try:
            with open(temporary, "xb") as out:
                out.write(blob.data)
                out.flush()
                os.fsync(out.fileno())
            temporary.rename(final)
            sync_directory(self._directory)
        except OSError as ex:
            with suppress(OSError):
                temporary.unlink()
            raise StoreAccessError.of(f'could not write segment "{final}"', ex) from ex
        return SegmentFile(name, int(blob.size), self._count)

    def close(self) -> None:
        """Give the builder's memory back; a build that runs is stopped."""
        del self._builder


def remove_file(directory: Path, file: str) -> None:
    """Unlink a segment file that nothing names any more."""
    with suppress(OSError):
        (directory / SEGMENT_DIRECTORY / file).unlink()
