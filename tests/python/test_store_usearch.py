# SPDX-License-Identifier: PostgreSQL
"""Kind `usearch`: files that usearch's own package has written. Expected values are numpy's over what the file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ruvector_fdw.errors import OptionError, RuvectorError, StoreCorruptError, StoreNotFoundError, UnsupportedError
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


@pytest.mark.parametrize(
    ("metric", "dtype"),
    [("l2sq", "f32"), ("l2sq", "f64"), ("l2sq", "bf16"), ("ip", "f16"), ("cos", "i8"), ("ip", "i8"), ("l2sq", "i8")],
)
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


@pytest.mark.parametrize(("metric", "operator"), [("l2sq", "<->"), ("cos", "<=>"), ("ip", "<#>")])
def test_whole_numbers_keep_their_length(tmp_path: Path, metric: str, operator: str) -> None:
    """int8 in is int8 in the file, not scaled to length 1; so must the query be."""
    numbers = np.clip(np.random.default_rng(2).standard_normal((3000, 16)) * 30, -127, 127).astype(np.int8)
    index = usearch.Index(ndim=16, metric=metric, dtype="i8")
    index.add(np.arange(3000), numbers)
    index.save(str(tmp_path / "n.usearch"))
    held = numbers / np.float32(127)
    hits = 0
    for near in held[:20]:
        query = near + np.float32(0.02)
        request = SearchRequest(("id",), order=(VectorSortKey("embedding", 2, operator, query),), limit=10)
        ids, found = scanned(tmp_path / "n.usearch", request, ef_search="300")
        expected = exact(operator, query, held)
        np.testing.assert_allclose(found, expected[ids], rtol=1e-4, atol=1e-5)
        hits += len(set(ids) & set(np.argsort(expected)[:10].tolist()))
    # 198 to 200 in trials; with usearch's own scaling of the query 150 under l2sq
    assert hits >= 190


@pytest.mark.parametrize(("metric", "dtype"), [("haversine", "f32"), ("pearson", "f32"), ("sorensen", "b1")])
def test_a_metric_that_sql_has_not_is_searched_exactly(tmp_path: Path, metric: str, dtype: str) -> None:
    dims = 2 if metric == "haversine" else 16
    index = usearch.Index(ndim=dims, metric=metric, dtype=dtype)
    data = DATA[:300, :dims]
    index.add(np.arange(300), np.packbits(data > 0, axis=1) if dtype == "b1" else data)
    index.save(str(tmp_path / "m.usearch"))
    if dtype == "b1":
        expected = np.sort(((data > 0) != (data[5] > 0)).sum(axis=1))
        query, operator = "".join("01"[x] for x in (data[5] > 0).tolist()), "<~>"
    else:
        expected, query, operator = np.sort(exact("<->", data[5], data)), data[5], "<->"
    request = SearchRequest(("id",), order=(VectorSortKey("embedding", 2, operator, query),), limit=20)
    _, found = scanned(tmp_path / "m.usearch", request)
    np.testing.assert_allclose(found, expected[:20], rtol=1e-5, atol=1e-6)


def test_damaged_links_are_found_before_usearch_follows_them(tmp_path: Path) -> None:
    """Followed, most of these end the process."""
    file, _ = written(tmp_path)
    good = file.read_bytes()
    graph = 8 + len(DATA) * 64 + 64
    rng = np.random.default_rng(7)
    damaged = bytearray(good)
    refused = 0
    for _ in range(60):
        damaged[:] = good
        at = int(rng.integers(graph, len(good)))
        damaged[at] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        try:
            (batch,) = open_table({"kind": "usearch", "path": str(file)}, {}).scan(
                SearchRequest(("id",), order=(VectorSortKey("embedding", 2, "<->", DATA[3]),), limit=10)
            )
            assert batch.count == 10
        except StoreCorruptError as ex:
            refused += 1
            assert "is damaged" in str(ex)
    # the others hit a key, room that is not used, or made one good link of another
    assert refused >= 10
    (tmp_path / "newer").write_bytes(good.replace(b"usearch\x02", b"usearch\x03"))
    with pytest.raises(UnsupportedError, match="version 3"):
        open_table({"kind": "usearch", "path": str(tmp_path / "newer")}, {})


def test_a_file_that_is_replaced_is_viewed_again(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    table = open_table({"kind": "usearch", "path": str(file)}, {})
    assert table.estimate(SearchRequest(("id",))).rows == 2000
    index = usearch.Index(ndim=16, metric="cos")
    index.add(np.arange(7), DATA[:7])
    index.save(str(tmp_path / "other"))
    (tmp_path / "other").rename(file)
    request = SearchRequest(("id",), order=(VectorSortKey("embedding", 2, "<=>", DATA[3]),), limit=10)
    assert [int(i) for batch in table.scan(request) for i in batch.columns["id"]][0] == 3
    assert table.estimate(SearchRequest(("id",))).rows == 7
    file.unlink()
    with pytest.raises(StoreNotFoundError):
        list(table.scan(request))


def test_several_vectors_a_key_are_refused(tmp_path: Path) -> None:
    index = usearch.Index(ndim=16, multi=True)
    index.add(np.array([1, 1]), DATA[:2])
    index.save(str(tmp_path / "multi"))
    with pytest.raises(UnsupportedError, match="several vectors a key"):
        open_table({"kind": "usearch", "path": str(tmp_path / "multi")}, {})


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
