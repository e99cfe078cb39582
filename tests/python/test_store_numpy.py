# SPDX-License-Identifier: PostgreSQL
"""Kind `numpy`: files of vectors, searched exactly. Expected values are numpy's own over the same array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvector_fdw.errors import OptionError, RuvectorError, StoreCorruptError, StoreNotFoundError
from ruvector_fdw.request import NullQual, Qual, SearchRequest, VectorQual, VectorSortKey
from ruvector_fdw.stores import open_table

DATA = np.random.default_rng(3).standard_normal((5000, 12)).astype(np.float32)


def written(path: Path, form: str) -> Path:
    file = path / f"v.{form}"
    if form == "npy":
        np.save(file, DATA)
    elif form == "fvecs":
        heads = np.full((len(DATA), 1), DATA.shape[1], dtype="<i4").view(np.float32)
        np.hstack([heads, DATA]).tofile(file)
    else:
        heads = np.full((len(DATA), 1), DATA.shape[1], dtype="<i4").view(np.uint8)
        np.hstack([heads, as_bytes()]).tofile(file)
    return file


def as_bytes() -> np.ndarray:
    return np.clip(DATA * 40 + 128, 0, 255).astype(np.uint8)


def scanned(file: Path, request: SearchRequest) -> tuple[list[int], np.ndarray]:
    batches = list(open_table({"kind": "numpy", "path": str(file)}, {}).scan(request))
    ids = [int(i) for batch in batches for i in batch.columns["id"]]
    distances = [batch.distances for batch in batches if batch.distances is not None]
    return ids, np.concatenate(distances) if distances else np.empty(0)


def key(query: np.ndarray, operator: str = "<->") -> VectorSortKey:
    return VectorSortKey("embedding", 2, operator, query)


@pytest.mark.parametrize("form", ["npy", "fvecs", "bvecs"])
@pytest.mark.parametrize("limit", [1, 10, 4999, None])
def test_exact_order_in_every_format(tmp_path: Path, form: str, limit: int | None) -> None:
    data = (as_bytes() if form == "bvecs" else DATA).astype(np.float64)
    query = data[17].astype(np.float32) + np.float32(0.25)
    expected = np.sqrt(((data - query) ** 2).sum(axis=1))
    ids, distances = scanned(
        written(tmp_path, form), SearchRequest(("id",), order=(key(query),), limit=limit, offset=2)
    )
    order = np.lexsort((np.arange(5000), expected))[2:][:limit]
    np.testing.assert_allclose(distances, expected[order], rtol=1e-6)
    assert sorted(ids) == sorted(order.tolist()) if limit is None else len(ids) == min(limit, 4998)


@pytest.mark.parametrize(("operator", "metric"), [("<#>", "ip"), ("<=>", "cosine"), ("<+>", "l1")])
def test_other_metrics_with_conditions(tmp_path: Path, operator: str, metric: str) -> None:
    file, query = written(tmp_path, "npy"), DATA[99] + np.float32(0.1)
    x, q = DATA.astype(np.float64), query.astype(np.float64)
    expected = {
        "ip": -(x @ q),
        "cosine": 1 - (x @ q) / np.sqrt((x * x).sum(axis=1) * (q @ q)),
        "l1": np.abs(x - q).sum(axis=1),
    }[metric]
    radius = float(np.sort(expected)[200:202].mean())
    within = VectorQual("embedding", operator, query, "<", radius)
    quals: tuple[Any, ...] = (within, Qual("id", ">=", 1000), Qual("id", "<>", 1234), NullQual("id", False))
    ids, _ = scanned(file, SearchRequest(("id",), quals=quals, order=(key(query, operator),), limit=30))
    chosen = [i for i in np.argsort(expected) if expected[i] < radius and i >= 1000 and i != 1234][:30]
    assert ids == chosen
    ids, _ = scanned(file, SearchRequest(("id",), quals=(within,), limit=5, offset=3))
    assert ids == np.flatnonzero(expected < radius)[3:8].tolist()


def test_row_numbers(tmp_path: Path) -> None:
    file = written(tmp_path, "npy")
    assert scanned(file, SearchRequest(("id",), quals=(Qual("id", ("=", True), [7, None, 9, 99999]),)))[0] == [7, 9]
    assert scanned(file, SearchRequest(("id",), quals=(Qual("id", "=", None),)))[0] == []
    assert scanned(file, SearchRequest(("id",), quals=(NullQual("embedding", True),)))[0] == []
    assert scanned(file, SearchRequest(("id",), limit=3, offset=4997))[0] == [4997, 4998, 4999]
    batches = open_table({"kind": "numpy", "path": str(file)}, {}).scan(SearchRequest(("embedding",), limit=2))
    np.testing.assert_array_equal(next(iter(batches)).columns["embedding"], DATA[:2])


def test_a_zero_vector_is_last_under_cosine(tmp_path: Path) -> None:
    file = tmp_path / "v.npy"
    np.save(file, np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float64))
    for limit in (3, None):
        ids, _ = scanned(file, SearchRequest(("id",), order=(key(np.array([1, 0]), "<=>"),), limit=limit))
        assert ids == [1, 2, 0]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    good = written(tmp_path, "fvecs").read_bytes()
    (tmp_path / "short.fvecs").write_bytes(good[:-3])
    (tmp_path / "mixed.fvecs").write_bytes(good[:52] + good[48:100] + good[100:])
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY junk")
    np.save(tmp_path / "flat.npy", np.arange(5))
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    for name in ("short.fvecs", "bad.npy", "objects.npy"):
        with pytest.raises(StoreCorruptError, match=name):
            open_table({"kind": "numpy", "path": str(tmp_path / name)}, {})
    with pytest.raises(RuvectorError, match="two-dimensional"):
        open_table({"kind": "numpy", "path": str(tmp_path / "flat.npy")}, {})
    with pytest.raises(StoreNotFoundError):
        open_table({"kind": "numpy", "path": str(tmp_path / "none.npy")}, {})
    for options in ({"kind": "numpy"}, {"kind": "numpy", "path": "x.csv"}, {"kind": "numpy", "path": "x", "ef": "1"}):
        with pytest.raises(OptionError):
            open_table(options, {})
    with pytest.raises(OptionError, match='invalid value for option "kind"'):
        open_table({"kind": "tape"}, {})


def test_a_file_that_is_replaced_or_rewritten_is_mapped_again(tmp_path: Path) -> None:
    """Also in place, as numpy.save does it: what was mapped of a file that is shorter now must not be touched."""
    file = tmp_path / "v.npy"
    np.save(file, np.ones((3000, 4), np.float32))
    table = open_table({"kind": "numpy", "path": str(file)}, {})

    def rows() -> int:
        assert table.estimate(SearchRequest(("id",))).rows == len(np.load(file))
        return sum(batch.count for batch in table.scan(SearchRequest(("id", "embedding"))))

    assert rows() == 3000
    np.save(file, np.ones((5, 4), np.float32))
    assert rows() == 5
    np.save(tmp_path / "other.npy", np.ones((7, 6), np.float32))
    (tmp_path / "other.npy").rename(file)
    assert rows() == 7
    file.unlink()
    with pytest.raises(StoreNotFoundError):
        rows()
