# SPDX-License-Identifier: PostgreSQL
"""A store as a foreign table: import, queries beside the same rows in a heap table, transactions of several sessions.
Crashes are the business of test_store_crash.py.

The differential test's queries are random but seeded; the heap table is the reference. Where order is approximate
(hnsw), the rows returned must be in order and their distances right; recall is the business of the index tests.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from fdw_database import FdwDatabase
from harness import Server

from ruvector_fdw.store import Store

DIMS = 12
ROWS = 1500
COLUMNS = {"id": "int8", "word": "text", "price": "float8", "day": "date", "flag": "bool"}
QUERIES = int(os.environ.get("RUVECTOR_SOAK_QUERIES", "300"))

pytestmark = pytest.mark.core


def literal(vector: np.ndarray) -> str:
    return "[" + ",".join(f"{x:.9g}" for x in vector.tolist()) + "]"


def make_store(server: Server, path: Path, index: str = "hnsw", rows: int = ROWS) -> np.ndarray:
    """A store with segments and a delta, in the server's hands."""
    rng = np.random.default_rng(11)
    data = rng.standard_normal((rows, DIMS)).astype(np.float32)
    with Store.create(path, dims=DIMS, columns=COLUMNS, index=index, seal_rows=512, indexed=["id"]) as store:
        for part in np.array_split(np.arange(rows), 3) if rows else []:
            values: list[np.ndarray | None] = [None if i % 97 == 5 else data[i] for i in part]
            store.add(
                values,
                id=part,
                word=[None if i % 13 == 0 else f"w{i % 11}" for i in part],
                price=[float("nan") if i % 50 == 7 else float(i % 40) / 4 for i in part],
                day=[f"2024-{1 + i % 12:02d}-15" for i in part],
                flag=[bool(i % 3) for i in part],
            )
    if server.account.uid is not None and server.account.gid is not None:
        for found in [path, *path.rglob("*")]:
            os.chown(found, server.account.uid, server.account.gid)
    return data


def mount(fdw: FdwDatabase, folder: Path) -> None:
    fdw.execute(f"CREATE SERVER stores FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store', directory '{folder}')")
    fdw.execute("IMPORT FOREIGN SCHEMA public FROM SERVER stores INTO public")


@pytest.fixture
def items(fdw: FdwDatabase, shared_dir: Path) -> Iterator[FdwDatabase]:
    make_store(fdw.server, shared_dir / "items")
    mount(fdw, shared_dir)
    yield fdw


# ---- what is read ---------------------------------------------------------------------------------------------


def test_import_and_nearest(items: FdwDatabase, shared_dir: Path) -> None:
    types = items.rows(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'items'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert types == [
        ("id", "bigint"), ("word", "text"), ("price", "double precision"), ("day", "date"), ("flag", "boolean"),
        ("embedding", f"ruvector({DIMS})"),
    ]  # fmt: skip
    data = np.random.default_rng(11).standard_normal((ROWS, DIMS)).astype(np.float32)
    query = f"SELECT id FROM items WHERE price < 5 ORDER BY embedding <-> '{literal(data[20])}' LIMIT 4"
    plan = items.plan(query)
    assert "Foreign Scan" in plan and "Limit pushed: 4" in plan and "Filter:" not in plan
    distances = np.sqrt(((data - data[20]) ** 2).sum(axis=1))
    wanted = [i for i in np.argsort(distances) if i % 97 != 5 and i % 50 != 7 and i % 40 < 20][:4]
    assert items.column(query) == wanted


CONDITIONS = (
    "id = {i}", "id < {i}", "id >= {i}", "id IN ({i}, {j}, NULL)", "id BETWEEN {i} AND {j}", "id <> {i}",
    "word = 'w{d}'", "word IS NULL", "word IS NOT NULL", "word LIKE 'w{d}%'", "word NOT LIKE '%1'", "word < 'w5'",
    "word = ANY (ARRAY['w1', 'w{d}'])", "price > {d}", "price = 'NaN'", "price <= {d}.25", "NOT flag", "flag",
    "day >= '2024-0{m}-15'", "day = '2024-0{m}-15'", "embedding IS NULL", "(id < {i} OR word = 'w{d}')",
    "(flag AND price < {d} OR day < '2024-0{m}-01')", "NOT (id < {i} OR word = 'w{d}')", "length(word) = 2",
    "embedding <-> '{q}' < {r}", "embedding <=> '{q}' <= 0.8", "embedding <#> '{q}' < -2",
    "embedding IS NOT NULL AND embedding <+> '{q}' < 10",
)  # fmt: skip


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_the_same_rows_as_a_heap_table(fdw: FdwDatabase, shared_dir: Path, index: str) -> None:
    data = make_store(fdw.server, shared_dir / "items", index)
    mount(fdw, shared_dir)
    fdw.execute("CREATE TABLE heap AS SELECT * FROM items")
    assert fdw.value("SELECT count(*) FROM heap") == ROWS
    rng = random.Random(4)
    for _ in range(QUERIES):
        query = literal(data[rng.randrange(ROWS)] + np.float32(0.1))
        values = {
            "i": rng.randrange(ROWS), "j": rng.randrange(ROWS), "d": rng.randrange(10), "m": rng.randrange(1, 10),
            "q": query, "r": rng.choice([0.5, 3, 4, 20]),
        }  # fmt: skip
        chosen = [c.format(**values) for c in rng.sample(CONDITIONS, rng.randrange(0, 4))]
        where = " WHERE " + " AND ".join(chosen) if chosen else ""
        shape = rng.randrange(4)
        if shape == 0:
            text = f"SELECT * FROM {{}}{where}"
            same = [sorted(map(str, fdw.rows(text.format(table)))) for table in ("items", "heap")]
            assert same[0] == same[1], text
        elif shape == 1:
            text = f"SELECT id, price, day FROM {{}}{where} ORDER BY price DESC NULLS LAST, id LIMIT {rng.randrange(9)}"
            assert str(fdw.rows(text.format("items"))) == str(fdw.rows(text.format("heap"))), text
        elif shape == 2:
            text = f"SELECT count(*), count(embedding), min(id), max(price) FROM {{}}{where}"
            assert str(fdw.rows(text.format("items"))) == str(fdw.rows(text.format("heap"))), text
        else:
            operator = rng.choice(["<->", "<->", "<=>", "<#>"])
            limit = rng.choice(["", "LIMIT 5", "LIMIT 30 OFFSET 3", "LIMIT 2000"])
            text = f"SELECT embedding {operator} '{query}' FROM {{}}{where} ORDER BY 1 {limit}"
            mine, right = (
                np.array([np.inf if d is None else d for d in fdw.column(text.format(table))])
                for table in ("items", "heap")
            )
            assert mine.size == right.size, text
            if index == "flat" or operator != "<->" or limit in ("", "LIMIT 2000"):
                np.testing.assert_allclose(np.sort(mine), np.sort(right), rtol=1e-5, atol=1e-5, err_msg=text)
            with np.errstate(invalid="ignore"):
                assert (np.diff(mine[np.isfinite(mine)]) >= -1e-6).all(), text


def test_lateral_parameters_and_cursors(items: FdwDatabase) -> None:
    nearest = (
        "SELECT q.id, n.id FROM items q, LATERAL (SELECT id FROM items i WHERE i.id <> q.id"
        " ORDER BY i.embedding <-> q.embedding LIMIT 2) n WHERE q.id < 4 ORDER BY 1"
    )
    assert "Order By pushed" in items.plan(nearest)
    assert [row[0] for row in items.rows(nearest)] == [0, 0, 1, 1, 2, 2, 3, 3]
    items.execute("PREPARE near(ruvector, int) AS SELECT id FROM items ORDER BY embedding <-> $1 LIMIT $2")
    vector = items.value("SELECT embedding::text FROM items WHERE id = 9")
    for _ in range(7):
        assert items.column(f"EXECUTE near('{vector}', 3)")[0] == 9
    with items.conn.transaction():
        items.execute(f"DECLARE c CURSOR FOR SELECT id FROM items ORDER BY embedding <-> '{vector}'")
        seen = [row[0] for _ in range(16) for row in items.rows("FETCH 100 FROM c")]
    assert sorted(seen) == list(range(ROWS))


# ---- what is written ------------------------------------------------------------------------------------------


def ids(conn: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    return [int(row[0]) for row in conn.execute("SELECT id FROM items ORDER BY id").fetchall()]  # type: ignore[call-overload]


def test_two_sessions_see_commits_only(fdw: FdwDatabase, shared_dir: Path) -> None:
    make_store(fdw.server, shared_dir / "items", rows=0)
    mount(fdw, shared_dir)
    with fdw.connect() as one, fdw.connect() as two:
        one.execute("BEGIN")
        one.execute("INSERT INTO items (id, word) SELECT g, 'a' FROM generate_series(1, 5) g")
        assert (ids(one), ids(two)) == ([1, 2, 3, 4, 5], [])
        one.execute("SAVEPOINT s")
        one.execute("UPDATE items SET word = 'b' WHERE id < 3")
        one.execute("DELETE FROM items WHERE id = 5")
        one.execute("ROLLBACK TO s")
        one.execute("DELETE FROM items WHERE id = 4")
        one.execute("COMMIT")
        assert (ids(one), ids(two)) == ([1, 2, 3, 5], [1, 2, 3, 5])
        two.execute("BEGIN")
        two.execute("UPDATE items SET id = id + 10 WHERE id > 2")
        with pytest.raises(psycopg.errors.SerializationFailure):
            one.execute("DELETE FROM items WHERE id = 3")
        two.execute("ROLLBACK")
        one.execute("DELETE FROM items WHERE id = 3")
        with pytest.raises(psycopg.errors.DivisionByZero):
            one.execute("INSERT INTO items (id) SELECT 100 / (3 - g) FROM generate_series(1, 3) g")
        assert ids(two) == [1, 2, 5]
        assert fdw.value("SELECT count(*) FROM items WHERE word = 'a'") == 3


def test_a_transaction_snapshot_stays(fdw: FdwDatabase, shared_dir: Path) -> None:
    make_store(fdw.server, shared_dir / "items", rows=0)
    mount(fdw, shared_dir)
    with fdw.connect() as one, fdw.connect() as two:
        one.execute("INSERT INTO items (id) VALUES (1)")
        two.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        assert ids(two) == [1]
        one.execute("INSERT INTO items (id) VALUES (2)")
        assert (ids(one), ids(two)) == ([1, 2], [1])
        two.execute("INSERT INTO items (id) VALUES (3)")
        with pytest.raises(psycopg.errors.SerializationFailure):
            ids(two)
        two.execute("ROLLBACK")
        two.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        two.execute("INSERT INTO items (id) VALUES (4)")
        assert ids(two) == [1, 2, 4]
        two.execute("COMMIT")
        assert ids(one) == [1, 2, 4]


def test_a_killed_backend_leaves_what_it_committed(fdw: FdwDatabase, shared_dir: Path) -> None:
    make_store(fdw.server, shared_dir / "items", rows=0)
    mount(fdw, shared_dir)
    fdw.execute("INSERT INTO items (id) VALUES (1), (2)")
    victim = fdw.connect()
    victim.execute("BEGIN")
    victim.execute("INSERT INTO items (id) VALUES (3)")
    victim.execute("DELETE FROM items WHERE id = 1")
    fdw.execute("SELECT pg_terminate_backend(%s)", [victim.info.backend_pid])
    with contextlib.suppress(psycopg.Error):
        victim.execute("SELECT 1")
    victim.close()
    assert fdw.column("SELECT id FROM items ORDER BY id") == [1, 2]
    fdw.execute("DELETE FROM items WHERE id = 1")
    assert fdw.column("SELECT id FROM items") == [2]


def test_a_row_with_several_matches_is_changed_once(fdw: FdwDatabase, shared_dir: Path) -> None:
    make_store(fdw.server, shared_dir / "items", rows=0)
    mount(fdw, shared_dir)
    fdw.execute("CREATE TABLE heap (LIKE items)")
    fdw.execute("CREATE TABLE matches AS SELECT id, g FROM generate_series(1, 5) id, generate_series(1, 3) g")
    for table in ("heap", "items"):
        fdw.execute(f"INSERT INTO {table} (id, price) SELECT g, 0 FROM generate_series(1, 6) g")
    seen = []
    for table in ("heap", "items"):
        one = f"UPDATE {table} SET price = price + 1 FROM matches m WHERE m.id = {table}.id AND m.id < 3"
        all_ = f"UPDATE {table} SET price = price + 10 FROM generate_series(1, 3) g"
        gone = f"DELETE FROM {table} USING matches m WHERE m.id = {table}.id AND m.id > 3 RETURNING {table}.id"
        changed = [fdw.execute(statement).rowcount for statement in (one, all_)]
        returned = sorted(fdw.column(gone))
        seen.append((changed, returned, fdw.rows(f"SELECT id, price FROM {table} ORDER BY id")))
    assert seen[0] == seen[1] and seen[0][0] == [2, 6] and seen[0][1] == [4, 5]


def test_an_error_inside_a_savepoint_leaves_no_old_snapshot(fdw: FdwDatabase, shared_dir: Path) -> None:
    make_store(fdw.server, shared_dir / "items", rows=0)
    mount(fdw, shared_dir)
    fdw.execute("INSERT INTO items (id) VALUES (1), (2)")
    with fdw.connect() as one, fdw.connect() as two:
        one.execute("BEGIN")
        one.execute("SAVEPOINT s")
        with pytest.raises(psycopg.errors.DivisionByZero):
            one.execute("UPDATE items SET price = 1 / (id - 2)")
        one.execute("ROLLBACK TO s")
        two.execute("INSERT INTO items (id) VALUES (3)")
        assert ids(one) == [1, 2, 3]


def test_reading_gives_out_no_transaction_number(items: FdwDatabase) -> None:
    """So that a standby, which has none to give, can read a store; also inside of PL/pgSQL's exception blocks."""
    items.execute("BEGIN")
    items.execute("SAVEPOINT s")
    assert items.value("SELECT count(*) FROM items") == ROWS
    items.execute("RELEASE s")
    assert items.value("SELECT pg_current_xact_id_if_assigned()") is None
    items.execute("COMMIT")
