# SPDX-License-Identifier: PostgreSQL
"""The engine as Python sees it: shapes, padding, buffers that live on, errors as Python's own."""

from __future__ import annotations

import gc
import mmap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ruvector_fdw import _engine

DIMS = 24


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((500, DIMS), dtype=np.float32)


def build(vectors: NDArray[np.float32], kind: _engine.Kind = "hnsw") -> NDArray[np.uint8]:
    builder = _engine.Builder(kind, "l2", DIMS, seed=1)
    builder.add(vectors, np.arange(len(vectors), dtype=np.uint64) + 1000)
    return builder.build(threads=2)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_search_finds_each_vector_itself(vectors: NDArray[np.float32], kind: _engine.Kind) -> None:
    segment = _engine.Segment(build(vectors, kind), verify=True)
    segment.check()
    keys, distances = segment.search(vectors, 3, ef=50, probes=100, threads=2)
    assert keys.shape == distances.shape == (500, 3)
    assert (keys[:, 0] == np.arange(500) + 1000).all()
    assert (np.diff(distances, axis=1) >= 0).all()


def test_fewer_vectors_than_asked_for_are_padded(vectors: NDArray[np.float32]) -> None:
    keys, distances = _engine.Segment(build(vectors[:2])).search(vectors[0], 4)
    assert keys.shape == (1, 4)
    assert sorted(keys[0, :2]) == [1000, 1001]
    assert (keys[0, 2:] == np.iinfo(np.uint64).max).all()
    assert np.isinf(distances[0, 2:]).all()


def test_scan_returns_every_key_once_within_its_bounds(vectors: NDArray[np.float32]) -> None:
    scan = _engine.Segment(build(vectors)).scan(vectors[7], ef=10)
    seen: list[int] = []
    while len(hits := scan.next(33)) > 0:
        exact = np.linalg.norm(vectors[hits.keys - 1000].astype(np.float64) - vectors[7], axis=1)
        assert (hits.lower <= exact).all()
        assert (exact <= hits.upper).all()
        seen.extend(hits.keys.tolist())
    assert sorted(seen) == list(range(1000, 1500))


def test_tombstones_hide_slots(vectors: NDArray[np.float32]) -> None:
    segment = _engine.Segment(build(vectors))
    dead = np.zeros(8, dtype=np.uint64)
    slot = int(np.flatnonzero(segment.keys == 1007)[0])
    dead[slot // 64] |= np.uint64(1 << (slot % 64))
    assert 1007 not in segment.search(vectors[7], 20, tombstones=dead)[0]
    assert 1007 not in segment.range(vectors[7], 100.0, tombstones=dead).keys
    assert len(segment.range(vectors[7], 100.0, tombstones=dead)) == 499
    with pytest.raises(ValueError, match="one bit for every slot"):
        segment.search(vectors[7], 20, tombstones=dead[:7])


def test_a_segment_keeps_what_it_reads(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    blob = build(vectors)
    assert not blob.flags.writeable
    path = tmp_path / "segment"
    path.write_bytes(blob.tobytes())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    segments = [_engine.Segment(blob), _engine.Segment(blob.tobytes()), _engine.Segment(mapped)]
    del blob, mapped
    gc.collect()
    for segment in segments:
        assert segment.search(vectors[3], 1)[0][0, 0] == 1003
        assert np.abs(segment.decode(np.array([0], dtype=np.uint32)) - vectors[0]).max() < 0.05


def test_progress_that_raises_cancels(vectors: NDArray[np.float32]) -> None:
    builder = _engine.Builder("hnsw", "l2", DIMS)
    builder.add(vectors, np.arange(500, dtype=np.uint64))

    def stop(phase: str, done: int, total: int) -> None:
        assert phase in {"loading", "training", "encoding", "assigning", "linking", "writing"}
        assert done <= total
        raise KeyError(phase)

    with pytest.raises(KeyError):
        builder.build(progress=stop)


def test_errors_are_pythons_own(vectors: NDArray[np.float32]) -> None:
    damaged = build(vectors).tobytes()
    damaged = damaged[:-200] + bytes([damaged[-200] ^ 1]) + damaged[-199:]
    with pytest.raises(_engine.CorruptError, match="checksum mismatch"):
        _engine.Segment(damaged, verify=True)
    with pytest.raises(_engine.EngineError):
        _engine.Segment(damaged[:1000])
    with pytest.raises(ValueError, match='invalid kind "tree"'):
        _engine.Builder("tree", "l2", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dims must be between 1 and 16000, not 16001"):
        _engine.Builder("flat", "l2", 16001)
    builder = _engine.Builder("flat", "cosine", DIMS)
    with pytest.raises(ValueError, match="zero vector"):
        builder.add(np.zeros((1, DIMS), dtype=np.float32), np.zeros(1, dtype=np.uint64))
    with pytest.raises(ValueError, match="expected rows of 24 elements, not 23"):
        builder.add(vectors[:, :23].copy(), np.zeros(500, dtype=np.uint64))
    with pytest.raises(TypeError):
        builder.add(vectors.astype(np.float64), np.zeros(500, dtype=np.uint64))
