# SPDX-License-Identifier: PostgreSQL
"""Kind `numpy`: files of vectors, searched exactly. Expected values are numpy's own over the same array."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvector_fdw.errors import OptionError, RuvectorError, StoreAccessError, StoreNotFoundError
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
    with pytest.raises(StoreNotFoundError):
        open_table({"kind": "numpy", "path": str(tmp_path / "none.npy")}, {})
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(StoreAccessError, match="Is a directory"):
        open_table({"kind": "numpy", "path": str(tmp_path / "folder.npy")}, {})
    for options in ({"kind": "numpy"}, {"kind": "numpy", "path": "x.csv"}, {"kind": "numpy", "path": "x", "ef": "1"}):
        with pytest.raises(OptionError):
            open_table(options, {})
    with pytest.raises(OptionError, match='invalid value for option "kind"'):
        open_table({"kind": "tape"}, {})


def npy(array: Any, *, cut: int = 0, swap: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """The bytes of an .npy file, without the last `cut`, one run of them replaced."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    whole = out.getvalue().replace(*swap) if swap[0] else out.getvalue()
    return whole[: len(whole) - cut]


FLOATS = np.ones((10, 4), np.float32)
RECORD = np.array([4], "<i4").tobytes() + bytes(16)


@pytest.mark.parametrize(
    ("name", "content", "sqlstate", "message"),
    [
        ("a.npy", b"", "HV000", "is not an .npy file"),
        ("a.npy", b"a text that is long enough for a header\n" * 9, "HV000", "is not an .npy file"),
        ("a.npy", pickle.dumps([1, 2]), "HV000", "is not an .npy file"),
        ("a.npy", npy(FLOATS)[:7], "XX001", "is damaged: its header is incomplete"),
        ("a.npy", npy(FLOATS)[:60], "XX001", "is damaged: its header cannot be read"),
        ("a.npy", npy(FLOATS, swap=(b"(10, 4)", b"(-1, 4)")), "XX001", "is damaged: its header cannot be read"),
        ("a.npy", npy(FLOATS, swap=(b"'shape'", b"import ")), "XX001", "is damaged: its header cannot be read"),
        ("a.npy", b"\x93NUMPY\2\0\x20\x4e\0\0" + b" " * 20000, "XX001", "is damaged: its header cannot be read"),
        ("a.npy", npy(FLOATS, cut=5), "XX001", "is damaged: it has 283 bytes, not 288"),
        ("a.npy", npy(FLOATS, swap=(b"NUMPY\1\0", b"NUMPY\4\0")), "0A000", "has version 4.0 of the .npy format"),
        ("a.npy", npy(np.arange(5)), "HV000", "is not a two-dimensional array of numbers"),
        ("a.npy", npy(np.array([[{}]], dtype=object)), "HV000", "is not a two-dimensional array of numbers"),
        ("a.npy", npy(np.array([["a"]])), "HV000", "is not a two-dimensional array of numbers"),
        ("a.npy", npy(np.ones((2, 16001), np.float16)), "0A000", "has vectors of 16001 dimensions, not 1 to 16000"),
        ("a.npy", npy(np.ones((2, 0))), "0A000", "has vectors of 0 dimensions, not 1 to 16000"),
        ("a.npy", npy(np.full((2, 4), 1e300)), "22000", "has a vector that is not finite"),
        ("a.fvecs", b"ab", "HV000", "is not fvecs"),
        ("a.fvecs", b"\xff" * 20, "HV000", "is not fvecs"),
        ("a.fvecs", RECORD * 3 + b"abc", "XX001", "63 bytes are no whole number of vectors of 4 dimensions"),
        ("a.fvecs", RECORD * 2 + b"\3" + RECORD[1:] + RECORD * 5, "XX001", "its vectors have different dimensions"),
        ("a.bvecs", RECORD + b"abc", "XX001", "23 bytes are no whole number of vectors of 4 dimensions"),
    ],
)
def test_one_error_says_what_is_wrong_with_a_file(
    tmp_path: Path, name: str, content: bytes, sqlstate: str, message: str
) -> None:
    """And in our words: numpy's are advice to Python programmers."""
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings(), pytest.raises(RuvectorError) as caught:
        warnings.simplefilter("error")
        table = open_table({"kind": "numpy", "path": str(tmp_path / name)}, {})
        list(table.scan(SearchRequest(("id", "embedding"))))
    assert (caught.value.sqlstate, f'"{tmp_path / name}"' in caught.value.message) == (sqlstate, True)
    assert message in caught.value.message
    shown = f"{caught.value.message} {caught.value.detail} {caught.value.hint}".lower()
    assert "\n" not in shown and not any(word in shown for word in ("pickle", "mmap", "max_header_size"))


def test_an_empty_file_of_fvecs_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.fvecs").touch()
    table = open_table({"kind": "numpy", "path": str(tmp_path / "a.fvecs")}, {})
    key = VectorSortKey("embedding", 2, "<->", np.ones(4, np.float32))
    assert list(table.scan(SearchRequest(("id",), order=(key,)))) == []


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
