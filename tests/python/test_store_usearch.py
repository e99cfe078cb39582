# SPDX-License-Identifier: PostgreSQL
"""Kind `usearch`: files that usearch's own package has written. Expected values are numpy's over what the file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ruvector_fdw.errors import OptionError, RuvectorError, StoreCorruptError, StoreNotFoundError
from ruvector_fdw.request import Qual, SearchRequest, VectorQual, VectorSortKey
from ruvector_fdw.stores import open_table

usearch = pytest.importorskip("usearch.index", reason="the package usearch is not installed")

DATA = np.random.default_rng(8).standard_normal((2000, 16)).astype(np.float32)
OPERATORS = {"l2sq": "<->", "ip": "<#>", "cos": "<=>"}


def written(path: Path, metric: str = "l2sq", dtype: str = "f32") -> tuple[Path, np.ndarray]:
    """A file with keys 100, 101, …, and the vectors as it holds them."""
    index = usearch.Index(ndim=16, metric=metric, dtype=dtype)
    keys = np.arange(100, 100 + len(DATA), dtype=np.uint64)
    index.add(keys, DATA)
    file = path / f"{metric}.usearch"
    index.save(str(file))
    return file, np.stack(index.get(keys, dtype="f32"))


def scanned(file: Path, request: SearchRequest, **options: str) -> tuple[list[int], np.ndarray]:
    batches = list(open_table({"kind": "usearch", "path": str(file), **options}, {}).scan(request))
    ids = [int(i) for batch in batches for i in batch.columns["id"]]
    found = [batch.distances for batch in batches if batch.distances is not None]
    return ids, np.concatenate(found) if found else np.empty(0)


def exact(operator: str, query: np.ndarray, data: np.ndarray) -> np.ndarray:
    q, x = query.astype(np.float64), data.astype(np.float64)
    if operator == "<->":
        return np.asarray(np.sqrt(((x - q) ** 2).sum(axis=1)))
    if operator == "<#>":
        return np.asarray(-(x @ q))
    return np.asarray(1 - (x @ q) / np.sqrt((x * x).sum(axis=1) * (q @ q)))


@pytest.mark.parametrize(("metric", "dtype"), [("l2sq", "f32"), ("cos", "i8"), ("ip", "f16"), ("l2sq", "bf16")])
def test_nearest_in_exact_order(tmp_path: Path, metric: str, dtype: str) -> None:
    file, data = written(tmp_path, metric, dtype)
    operator = OPERATORS[metric]
    found_in_all = 0
    for query in DATA[:10] + np.float32(0.1):
        key = VectorSortKey("embedding", 2, operator, query)
        ids, distances = scanned(file, SearchRequest(("id",), order=(key,), limit=10), ef_search="400")
        expected = exact(operator, query, data)
        assert (np.diff(distances) >= 0).all()
        np.testing.assert_allclose(distances, expected[np.array(ids) - 100], rtol=1e-5, atol=1e-6)
        found_in_all += len(set(ids) & set((np.argsort(expected)[:10] + 100).tolist()))
    # ef 400 of 2000: all 100 in trials with f32; i8 ranks by its own rounding of the query
    assert found_in_all >= 90


@pytest.mark.parametrize("limit", [None, 1500])
def test_reading_on_returns_every_row_once(tmp_path: Path, limit: int | None) -> None:
    file, data = written(tmp_path)
    key = VectorSortKey("embedding", 2, "<->", DATA[3])
    ids, _ = scanned(file, SearchRequest(("id",), order=(key,), limit=limit))
    assert len(set(ids)) == len(ids) == (limit or 2000) and ids[0] == 103
    other = VectorSortKey("embedding", 2, "<#>", DATA[3])
    ids, _ = scanned(file, SearchRequest(("id",), order=(other,), limit=20))
    assert ids == (np.argsort(exact("<#>", DATA[3], data))[:20] + 100).tolist()


def test_conditions(tmp_path: Path) -> None:
    file, data = written(tmp_path)
    expected = exact("<->", DATA[3], data)
    radius = float(np.sort(expected)[50:52].mean())
    within = VectorQual("embedding", "<->", DATA[3], "<", radius)
    key = VectorSortKey("embedding", 2, "<->", DATA[3])
    ids, _ = scanned(file, SearchRequest(("id",), quals=(within, Qual("id", "<", 1100)), order=(key,), limit=20))
    assert ids == [i + 100 for i in np.argsort(expected) if expected[i] < radius and i < 1000][:20]
    assert scanned(file, SearchRequest(("id",), quals=(Qual("id", ("=", True), [102, 7, None]),)))[0] == [102]
    assert scanned(file, SearchRequest(("id",), limit=2, offset=1999))[0] == [2099]
    table = open_table({"kind": "usearch", "path": str(file)}, {})
    (batch,) = table.scan(SearchRequest(("embedding",), quals=(Qual("id", "=", 105),)))
    np.testing.assert_array_equal(batch.columns["embedding"], data[5:6])


def test_bits(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 256, (500, 4), dtype=np.uint8)
    index = usearch.Index(ndim=32, metric="hamming", dtype="b1")
    index.add(np.arange(500), bits)
    index.save(str(tmp_path / "b.usearch"))
    text = "".join(map(str, np.unpackbits(bits[9])))
    key = VectorSortKey("embedding", 2, "<~>", text)
    ids, distances = scanned(tmp_path / "b.usearch", SearchRequest(("id",), order=(key,), limit=200))
    expected = np.unpackbits(bits ^ bits[9], axis=1).sum(axis=1)
    assert ids[0] == 9 and distances.tolist() == np.sort(expected)[:200].tolist()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    (tmp_path / "short").write_bytes(file.read_bytes()[:-5000])
    (tmp_path / "text").write_text("no index" * 100)
    (tmp_path / "empty").write_text("")
    with pytest.raises(StoreCorruptError):
        open_table({"kind": "usearch", "path": str(tmp_path / "short")}, {})
    for name in ("text", "empty"):
        with pytest.raises(RuvectorError, match="not a usearch file|damaged"):
            open_table({"kind": "usearch", "path": str(tmp_path / name)}, {})
    with pytest.raises(StoreNotFoundError):
        open_table({"kind": "usearch", "path": str(tmp_path / "none")}, {})
    for options in ({}, {"path": str(file), "ef_search": "0"}, {"path": str(file), "probes": "1"}):
        with pytest.raises(OptionError):
            open_table({"kind": "usearch", **options}, {})
