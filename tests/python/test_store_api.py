# SPDX-License-Identifier: PostgreSQL
"""`ruvector_fdw.Store`: what goes in comes out, nearest first, and is what numpy computes from the same vectors.

Expected rows and distances come from numpy's brute force over the vectors that were put in.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvector_fdw.errors import InvalidValueError, OptionError, SerializationError, StoreExistsError, StoreNotFoundError
from ruvector_fdw.request import SparseVector
from ruvector_fdw.store import Store
from ruvector_fdw.stores.store import quick

SEED = 20240607
DIMS = 24


def exact(metric: str, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    q, x = query.astype(np.float64), vectors.astype(np.float64)
    functions: dict[str, Callable[[], Any]] = {
        "l2": lambda: np.sqrt(((x - q) ** 2).sum(axis=1)),
        "ip": lambda: -(x @ q),
        "cosine": lambda: 1 - (x @ q) / np.sqrt((x * x).sum(axis=1) * (q @ q)),
        "l1": lambda: np.abs(x - q).sum(axis=1),
    }
    return np.asarray(functions[metric]())


def vectors(count: int, dims: int = DIMS, seed: int = SEED) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


def created(path: Path, **options: Any) -> Store:
    """A new store; skips the test when this build of the engine has no such segments."""
    try:
        return Store.create(path, **options)
    except OptionError as ex:
        if ex.sqlstate != "0A000":
            raise
        pytest.skip(str(ex))


def filled(path: Path, data: np.ndarray, **options: Any) -> Store:
    """A store with segments and a delta: two thirds loaded, the rest added."""
    columns = {"id": "int8", "word": "text"}
    store = created(path, dims=data.shape[1], columns=columns, seal_rows=256, **options)
    split = len(data) * 2 // 3
    words = np.array([f"w{i % 10}" for i in range(len(data))])
    ids = np.arange(len(data))
    store.load(data[:split], progress=False, id=ids[:split], word=words[:split].tolist())
    for start in range(split, len(data), 100):
        end = start + 100
        store.add(data[start:end], id=ids[start:end], word=words[start:end].tolist())
    return store


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine", "l1"])
@pytest.mark.parametrize("index", ["flat", "hnsw", "ivf"])
def test_nearest_rows_in_exact_order(tmp_path: Path, metric: str, index: str) -> None:
    data = vectors(1500)
    store = filled(tmp_path / "s", data, metric=metric, index=index, lists=8)
    assert store.stats()["segments"] >= 1
    for query in vectors(20, seed=SEED + 1):
        found = store.search(query, 10, ef_search=200, probes=8)
        expected = exact(metric, query, data)
        best = np.sort(expected)[:10]
        assert (np.diff(found.distances) >= 0).all()
        np.testing.assert_allclose(found.distances, expected[found.columns["id"]], rtol=1e-5, atol=1e-5)
        # All lists are probed and flat looks at all, so only hnsw may miss one: ef 200 of 1500 found every one of
        # 20 x 10 in trials over 30 seeds.
        missed = len(set(np.argsort(expected)[:10]) - set(found.columns["id"].tolist()))
        assert missed <= (1 if index == "hnsw" else 0), (found.distances, best)


@pytest.mark.parametrize("quantization", ["none", "f16", "sq8", "pq16", "binary"])
def test_every_quantization_gives_exact_distances(tmp_path: Path, quantization: str) -> None:
    data = vectors(900)
    store = filled(tmp_path / "s", data, index="flat", quantization=quantization)
    query = vectors(1, seed=SEED + 2)[0]
    found = store.search(query, 25)
    assert found.columns["id"].tolist() == np.argsort(exact("l2", query, data), kind="stable")[:25].tolist()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine", "l1"])
def test_range_misses_no_row(tmp_path: Path, metric: str) -> None:
    data = vectors(1200)
    store = filled(tmp_path / "s", data, metric=metric)
    for query in vectors(5, seed=SEED + 3):
        expected = exact(metric, query, data)
        between = np.sort(expected)[[0, 60]]
        radius = float((between[1] + np.sort(expected)[61]) / 2)
        found = store.range(query, radius)
        assert sorted(found.columns["id"].tolist()) == np.flatnonzero(expected <= radius).tolist()
        assert (np.diff(found.distances) >= 0).all()
        few = store.range(query, radius, limit=5, where=("word", "=", "w3"))
        chosen = [i for i in np.argsort(expected) if i % 10 == 3 and expected[i] <= radius][:5]
        assert few.columns["id"].tolist() == chosen


@pytest.mark.parametrize("share", [1, 3, 10, 300])
def test_filter_fills_the_limit_whenever_rows_exist(tmp_path: Path, share: int) -> None:
    data = vectors(3000)
    store = filled(tmp_path / "s", data)
    query = vectors(1, seed=SEED + 4)[0]
    expected = exact("l2", query, data)
    chosen = [i for i in np.argsort(expected) if i < 3000 // share]
    found = store.search(query, 10, where=("id", "<", 3000 // share), ef_search=20)
    assert len(found) == 10
    assert (found.columns["id"] < 3000 // share).all() and (np.diff(found.distances) >= 0).all()
    if share >= 10:
        # few enough to be ranked outright: the exact ten
        assert found.columns["id"].tolist() == chosen[:10]


def test_a_search_without_end_returns_every_row_once(tmp_path: Path) -> None:
    data = vectors(2000)
    store = filled(tmp_path / "s", data)
    found = store.search(data[7], 5000)
    assert sorted(found.columns["id"].tolist()) == list(range(2000))
    assert found.columns["id"][0] == 7


def test_updates_and_deletes_take_effect_in_segments_and_delta(tmp_path: Path) -> None:
    data = vectors(800)
    store = filled(tmp_path / "s", data)
    rows = {int(i): int(r) for b in store.rows(columns=["id"]) for i, r in zip(b.columns["id"], b.rowids, strict=True)}
    gone = [3, 4, 700, 799]
    store.delete([rows[i] for i in gone])
    (new_id,) = store.update([rows[10]], word=["changed"])
    (moved,) = store.update([rows[11]], embedding=data[3:4] + 5)
    assert len(store) == 796
    with pytest.raises(SerializationError):
        store.delete([rows[3]])
    with pytest.raises(SerializationError):
        store.update([rows[10]], word=["again"])
    for _ in range(2):
        assert not set(gone) & set(store.search(data[3], 800).columns["id"].tolist())
        found = store.search(data[10], 1, columns=["id", "word"])
        assert (found.columns["word"], found.row_ids.tolist()) == (["changed"], [new_id])
        assert store.search(data[3] + 5, 1).row_ids.tolist() == [moved]
        assert store.check() == []
        store.compact()
    assert store.stats()["segment_keys"] == 796 and store.stats()["dead_rows"] == 0
    before = store.stats()["database_bytes"]
    store.delete([int(row_id) for batch in store.rows(columns=["id"]) for row_id in batch.rowids])
    store.compact()
    assert len(store) == 0 and store.stats()["segments"] == 0 and store.stats()["database_bytes"] < before / 2
    assert len(store.search(data[0], 5)) == 0 and store.check() == []


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_a_repeated_search_sees_what_others_have_changed(
    tmp_path: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process remembers of a store is good for as long as the store is in the same state, and no longer."""
    data = vectors(900)
    data[:40] = data[0] + vectors(40, seed=SEED + 5) / 50
    other = filled(tmp_path / "s", data, metric=metric)
    answered: list[bool] = []
    nearest = quick.nearest

    def counted(*arguments: Any) -> Any:
        found = nearest(*arguments)
        answered.append(found is not None)
        return found

    monkeypatch.setattr(quick, "nearest", counted)
    store = Store(tmp_path / "s")
    alive = {i: data[i] for i in range(900)}

    def expected(count: int) -> list[int]:
        ids = np.array(sorted(alive))
        return [int(i) for i in ids[np.argsort(exact(metric, data[0], np.stack([alive[i] for i in ids])))[:count]]]

    def search(quickly: bool, count: int = 10) -> None:
        assert store.search(data[0], count, ef_search=300).columns["id"].tolist() == expected(count)
        assert answered.pop() == quickly

    rows = {int(i): int(r) for b in other.rows(columns=["id"]) for i, r in zip(b.columns["id"], b.rowids, strict=True)}
    search(quickly=False)
    for _ in range(2):
        search(quickly=True)
    search(quickly=True, count=25)
    gone = expected(3)
    other.delete([rows[i] for i in gone])
    for i in gone:
        del alive[i]
    search(quickly=False)
    search(quickly=True)
    moved = expected(1)[0]
    alive[moved] = -data[0]
    other.update([rows[moved]], embedding=[alive[moved]])
    alive[5000] = data[0] * np.float32(1.001)
    other.add([alive[5000]], id=[5000])
    search(quickly=False)
    search(quickly=True)
    other.compact()
    search(quickly=False)
    search(quickly=True)
    with pytest.raises(InvalidValueError, match="dimensions"):
        store.search(np.ones(DIMS + 1), 3)
    with pytest.raises(InvalidValueError, match="infinite|NaN|finite"):
        store.search(np.full(DIMS, np.nan), 3)


def test_rows_read_before_take_no_more_memory_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_KEPT_BYTES", 100_000)
    data = vectors(600)
    store = created(tmp_path / "s", dims=DIMS, columns={"id": "int4", "text": "text"}, seal_rows=64)
    store.add(data, id=range(600), text=["x" * 1000] * 600)
    for i in range(0, 600, 5):
        found = store.search(data[i], 3, columns=["id", "text"])
        assert found.columns["id"][0] == i and found.columns["text"][0] == "x" * 1000
        assert sum(len(kept.rows) for kept in store._open.kept.values()) * 1000 <= 100_000
    for names in (["id"], ["text"], ["embedding"], ["id", "embedding"], []):
        store.search(data[0], 3, columns=names)
        store.search(data[0], 3, columns=names)
        assert len(store._open.kept) <= 4


def test_payload_of_every_type_comes_back(tmp_path: Path) -> None:
    columns = {
        "a": "smallint", "b": "int4", "c": "bigint", "d": "real", "e": "float8", "f": "bool", "g": "varchar(20)",
        "h": "bytea", "i": "uuid", "j": "date", "k": "timestamp", "l": "timestamptz", "m": "time", "n": "interval",
        "o": "numeric(10,2)", "p": "jsonb", "q": "int4[]", "r": "text[]", "s": "inet", "t": "double precision[]",
    }  # fmt: skip
    zone = dt.timezone(dt.timedelta(hours=2))
    values: dict[str, Any] = {
        "a": -32768, "b": 2**31 - 1, "c": -(2**63), "d": 0.5, "e": float("inf"), "f": True, "g": "naïve 'quote' \\ %",
        "h": b"\x00\xff", "i": uuid.UUID(int=7), "j": dt.date(1, 1, 1),
        "k": dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        "l": dt.datetime(2024, 2, 29, 12, tzinfo=zone), "m": dt.time(23, 59, 59, 1),
        "n": dt.timedelta(days=3, microseconds=5),
        "o": Decimal("-1.50"), "p": {"x": [1, None, "y"]}, "q": [1, None, 3], "r": ["a", "b,c"], "s": "10.0.0.1/8",
        "t": [[1.5, float("nan")], [2.0, 3.0]],
    }  # fmt: skip
    store = Store.create(tmp_path / "s", dims=2, columns=columns)
    store.add(np.ones((1, 2), np.float32), **{name: [value] for name, value in values.items()})
    store.add([None])
    batches = list(store.rows())
    got = {name: batches[0].columns[name] for name in columns}
    assert repr({name: column[0] for name, column in got.items()}) == repr(
        values | {"l": values["l"].astimezone(dt.timezone.utc)}
    )
    assert all(column[1] is None for column in got.values())
    assert batches[0].columns["embedding"][1] is None


def test_conditions_compare_as_postgresql_does(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", dims=1, columns={"x": "float8", "d": "date", "t": "text", "n": "int4"})
    xs = [1.0, float("nan"), float("inf"), None, -0.0]
    days: list[Any] = [dt.date(999, 1, 1), "infinity", "-infinity", None, dt.date(2024, 5, 1)]
    texts = ["a%b", "A", "a_b", None, "a[b]*?"]
    store.add(np.ones((5, 1), np.float32), x=xs, d=days, t=texts, n=[0, 1, 2, 3, 4])

    def matching(*where: Any) -> list[int]:
        return [int(n) for batch in store.rows(where=[where], columns=["n"]) for n in batch.columns["n"]]

    assert matching("x", ">", 1.0) == [1, 2]
    assert matching("x", "=", float("nan")) == [1]
    assert matching("x", "=", 0.0) == [4]
    assert matching("x", "in", [1.0, None]) == [0]
    assert matching("x", "not in", [1.0, None]) == []
    assert matching("x", "is", None) == [3]
    assert matching("d", "<", dt.date(1000, 1, 1)) == [0, 2]
    assert matching("d", ">=", dt.date(2024, 5, 1)) == [1, 4]
    assert matching("d", "<=", dt.datetime(2024, 5, 1, 0, 0)) == [0, 2, 4]
    assert matching("t", "like", "a%") == [0, 2, 4]
    assert matching("t", "like", r"a\%b") == [0]
    assert matching("t", "like", r"a\_b") == [2]
    assert matching("t", "like", "a[b]*?") == [4]
    assert matching("t", "not like", "a%") == [1]
    assert matching("t", "<", "a") == [1]
    with pytest.raises(InvalidValueError, match="does not apply"):
        matching("n", "like", "1%")
    with pytest.raises(InvalidValueError, match="escape"):
        matching("t", "like", "a\\")


def test_rows_without_a_distance_come_last(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", dims=2, metric="cosine", columns={"id": "int4"}, seal_rows=16)
    data: list[Any] = [np.zeros(2), None, *vectors(30, 2)]
    store.add(data, id=np.arange(32))
    assert store.search([1.0, 0.0], 40).columns["id"][-2:].tolist() == [0, 1]
    assert len(store.search([1.0, 0.0], 40)) == 32
    assert len(store.search([0.0, 0.0], 40)) == 32
    # another metric, for which a zero vector is like any other
    assert store.search([0.0, 0.0], 1, metric="l2").columns["id"].tolist() == [0]
    assert len(store.search([0.0, 0.0], 40, metric="l2")) == 32
    assert len(store.range([1.0, 0.0], 2.0)) == 30


def test_halves(tmp_path: Path) -> None:
    halves = vectors(500).astype(np.float16)
    other = created(tmp_path / "h", dims=DIMS, element="f16", quantization="f16", index="flat", seal_rows=256)
    other.add(halves)
    found = other.search(halves[5], 5, columns=["embedding"])
    assert found.columns["embedding"].dtype == np.float16
    near = np.sort(exact("l2", halves[5], halves))[:5]
    np.testing.assert_allclose(found.distances, near, rtol=1e-4, atol=1e-4)


def test_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    bits = rng.integers(0, 256, (600, 4), dtype=np.uint8)
    store = created(tmp_path / "b", dims=32, element="bit", metric="hamming", quantization="none", seal_rows=256)
    store.add(bits[:400])
    store.add(bits[400:])
    query = rng.integers(0, 256, 4, dtype=np.uint8)
    expected = np.sort(np.unpackbits(bits ^ query, axis=1).sum(axis=1))[:10]
    text = "".join(map(str, np.unpackbits(query)))
    assert store.search(text, 10, ef_search=300).distances.tolist() == expected.tolist()


def test_sparse_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    data = np.zeros((700, 300), np.float32)
    for row in data:
        chosen = rng.choice(300, rng.integers(5, 30), replace=False)
        row[chosen] = rng.standard_normal(chosen.size)
    sparse = [SparseVector(300, np.flatnonzero(row).astype(np.int32), row[row != 0]) for row in data]
    columns = {"id": "int4"}
    options = {"element": "sparse", "quantization": "none", "metric": "ip", "seal_rows": 256}
    store = created(tmp_path / "s", dims=300, columns=columns, **options)
    store.add(sparse[:500], id=np.arange(500))
    store.add([None, *sparse[500:]], id=np.arange(499, 700))
    expected = exact("ip", data[3], data)
    found = store.search(sparse[3], 10, ef_search=300)
    assert found.columns["id"].tolist() == np.argsort(expected)[:10].tolist()
    np.testing.assert_allclose(found.distances, np.sort(expected)[:10], rtol=1e-5)
    radius = float(np.sort(expected)[40:42].mean())
    assert len(store.range(sparse[3], radius)) == 41 and store.check() == []
    first = next(iter(store.rows(columns=["embedding"]))).columns["embedding"][0]
    np.testing.assert_array_equal(first.values, sparse[0].values)
    with pytest.raises(InvalidValueError, match="expected 300 dimensions, not 299"):
        store.add([SparseVector(299, first.indices[:1], first.values[:1])])


def test_what_cannot_be_stored_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", dims=3, columns={"n": "int2"}, not_null=["n"])
    bad: list[tuple[Any, dict[str, Any], str]] = [
        (np.ones((1, 4)), {"n": [1]}, "expected 3 dimensions, not 4"),
        ([[1, 2, float("nan")]], {"n": [1]}, "NaN not allowed"),
        ([[1, 2, float("inf")]], {"n": [1]}, "infinite value not allowed"),
        (np.ones((1, 3)), {"n": [40000]}, "smallint out of range"),
        (np.ones((1, 3)), {"n": [None]}, 'null value in column "n"'),
        (np.ones((1, 3)), {}, 'null value in column "n"'),
        (np.ones((1, 3)), {"n": [1], "z": [1]}, 'column "z" of the store does not exist'),
        (np.ones((2, 3)), {"n": [1]}, "1 values for 2 rows"),
    ]
    for data, columns, message in bad:
        with pytest.raises(InvalidValueError, match=message):
            store.add(data, **columns)
    assert len(store) == 0


def test_creating_and_opening_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        Store(tmp_path / "none")
    Store.create(tmp_path / "s", dims=3).close()
    with pytest.raises(StoreExistsError):
        Store.create(tmp_path / "s", dims=3)
    with pytest.raises(StoreNotFoundError):
        Store.create(tmp_path / "no" / "such" / "s", dims=3)
    for options, message in [
        ({"metric": "hamming"}, "metric"),
        ({"index": "tree"}, "index"),
        ({"quantization": "pq"}, "quantization"),
        ({"m": 1}, "out of bounds"),
        ({"depth": 3}, "invalid option"),
        ({"indexed": ["nope"]}, "does not exist"),
    ]:
        with pytest.raises(OptionError, match=message):
            Store.create(tmp_path / "t", dims=3, **options)  # type: ignore[arg-type]
        assert not (tmp_path / "t").exists()
