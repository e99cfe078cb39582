# SPDX-License-Identifier: PostgreSQL
"""Filters that come again: what a session has learned of them is right whatever happens to the table, and is used."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, heap_only, index_only, make_index, make_table
from standbys import make_standby, wait_for_replay

ROWS = 3000
USED = "Rows of Cached Filter: "


@pytest.fixture
def items(db: Database) -> Database:
    """Rows that may change in their place: pages have room, and no index is on what changes."""
    make_table(db, 0)
    db.execute("ALTER TABLE items SET (fillfactor = 70, autovacuum_enabled = off)")
    add_rows(db, 1, ROWS)
    make_index(db)
    db.execute("VACUUM ANALYZE items")
    db.execute("SET ruvector.ef_search = 200; SET ruvector.background_maintenance = off")
    by_index(db)
    return db


def by_index(db: Database) -> None:
    index_only(db)
    db.execute("SET enable_sort = off")


def from_heap(db: Database) -> None:
    heap_only(db)
    db.execute("SET enable_sort = on")


def near(number: int) -> str:
    return f"embedding <-> (SELECT embedding FROM items WHERE id = {number})"


def statement(where: str, number: int, limit: int = 10) -> str:
    return f"SELECT id, {near(number)} FROM items WHERE {where} ORDER BY {near(number)} LIMIT {limit}"


def ask(db: Database, where: str, numbers: range = range(1, 6), limit: int = 10) -> None:
    """The same as from the heap, for each of these queries."""
    for number in numbers:
        found = db.rows(statement(where, number, limit))
        from_heap(db)
        exact = db.rows(statement(where, number, limit))
        by_index(db)
        assert [row[1] for row in found] == [row[1] for row in exact], (where, number)
        assert len({row[0] for row in found}) == len(found)


def admitted(db: Database, where: str) -> int | None:
    """How many rows the session's own filter lets through; None: it has none, or does not use it."""
    plan = db.plan(statement(where, 3), options="ANALYZE, VERBOSE, COSTS OFF, TIMING OFF")
    assert "Index Scan using items_idx" in plan, plan
    return int(plan.split(USED)[1].split("\n")[0]) if USED in plan else None


def learned(db: Database, where: str) -> int | None:
    for number in range(20):
        db.rows(statement(where, number + 1))
    return admitted(db, where)


@pytest.mark.core
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("category = 42", 30),
        ("id % 100 = 7", 30),
        ("category IN (3, 4) AND id % 3 > 0", 40),
        ("category BETWEEN 1 AND 3 OR category IS NULL", 90),
        ("(category + 1)::text LIKE '77%'", 30),
        ("coalesce(category, 0) = 5 AND NOT id = 6", 30),
        ("category = (SELECT max(i.category) - 57 FROM items i)", 30),
    ],
)
def test_a_filter_is_learned(items: Database, where: str, rows: int) -> None:
    assert admitted(items, where) is None
    assert learned(items, where) == rows
    ask(items, where)
    ask(items, where, range(1, 3), limit=100)
    items.execute("SET ruvector.filter_cache_size = 0")
    assert admitted(items, where) is None
    ask(items, where)
    items.execute("RESET ruvector.filter_cache_size")
    assert learned(items, where) == rows


@pytest.mark.parametrize(
    ("method", "opclass", "type_", "operator"),
    [
        ("ruivfflat", "ruvector_l2_ops", "ruvector", "<->"),
        ("ruhnsw", "halfvec_cosine_ops", "halfvec", "<=>"),
        ("ruhnsw", "ruvector_ip_ops", "ruvector", "<#>"),
    ],
)
def test_every_kind_of_index(db: Database, method: str, opclass: str, type_: str, operator: str) -> None:
    make_table(db, ROWS, type_=type_)
    make_index(db, opclass, method=method)
    db.execute("VACUUM ANALYZE items")
    distance = f"embedding {operator} (SELECT embedding FROM items WHERE id = 5)"
    query = f"SELECT id, {distance} FROM items WHERE category = 9 ORDER BY {distance} LIMIT 20"
    from_heap(db)
    exact = [row[1] for row in db.rows(query)]
    by_index(db)
    for _ in range(10):
        found = db.rows(query)
    assert [row[1] for row in found] == exact
    assert USED in db.plan(query, options="ANALYZE, VERBOSE, COSTS OFF")


def test_values_are_part_of_a_filter(items: Database) -> None:
    """Parameters of a generic plan, of a function, of the row outside; values of a session."""
    db = items
    db.execute("SET plan_cache_mode = force_generic_plan")
    db.execute(f"PREPARE q(int, int) AS SELECT id, category FROM items WHERE category = $1 ORDER BY {near(3)} LIMIT $2")
    for _ in range(4):
        for category in (1, 2, 99, 1000):
            rows = db.rows(f"EXECUTE q({category}, 12)")
            assert [row[1] for row in rows] == [category] * (12 if category < 100 else 0)
    assert USED in db.plan("EXECUTE q(2, 12)", options="ANALYZE, VERBOSE") or db.server.major < 18
    assert db.rows("EXECUTE q(NULL, 12)") == []
    outer = (
        "SELECT a.id, (SELECT array_agg(n.id) FROM (SELECT i.id FROM items i WHERE i.category = a.category + 1 "
        "ORDER BY i.embedding <-> a.embedding LIMIT 5) n) FROM items a WHERE a.id % 10 < 2 AND a.id < 1000 ORDER BY 1"
    )
    found = db.rows(outer)
    assert db.rows(outer) == found
    from_heap(db)
    assert db.rows(outer) == found
    by_index(db)
    tenant = "category = current_setting('app.tenant')::int"
    for value in (7, 8):
        db.execute(f"SET app.tenant = {value}")
        assert learned(db, tenant) == 30
        assert {row[0] % 100 for row in db.rows(statement(tenant, 1))} == {value}
    volatile = "category = 5 + floor(random())::int"
    assert learned(db, volatile) is None
    in_time = "category = 5 AND '2020-01-01'::timestamptz + id * interval '1 day' < now()"
    assert learned(db, in_time) is None


@pytest.mark.core
def test_rows_that_change(items: Database) -> None:
    """In their place or elsewhere, by this session or another, committed or not."""
    db, where = items, "category = 42"
    assert learned(db, where) == 30
    db.execute("BEGIN; UPDATE items SET category = 42 WHERE id % 100 = 11; UPDATE items SET category = 0 WHERE id < 500 AND category = 42")
    assert db.value(f"SELECT count(*) FROM ({statement(where, 1, 100)}) n") == 50
    ask(db, where)
    db.execute("ROLLBACK")
    assert db.value(f"SELECT count(*) FROM ({statement(where, 1, 100)}) n") == 30
    ask(db, where)
    with db.connect() as other:
        other.execute("BEGIN; UPDATE items SET category = 42 WHERE id = 1; DELETE FROM items WHERE id = 42")
        ask(db, where)
        other.execute("COMMIT")
    assert db.rows(statement(where, 1))[0][0] == 1
    ask(db, where)
    db.execute("DELETE FROM items WHERE id % 10 = 2")
    db.execute("VACUUM items")
    ask(db, where)
    add_rows(db, ROWS + 1, ROWS + 500)
    ask(db, where)
    db.execute("VACUUM items")
    assert learned(db, where) is not None
    ask(db, where)
    db.execute("UPDATE items SET category = 42 WHERE id % 7 = 0")
    ask(db, where, limit=50)


def test_a_snapshot_from_before(items: Database) -> None:
    """It sees what was, after others changed and vacuumed; what it has learned is of no harm to a later one."""
    db, where = items, "category = 42"
    with db.connect() as old:
        old.execute("SET enable_seqscan = off; SET ruvector.ef_search = 200")
        for number in range(20):
            old.execute(statement(where, number + 1))  # type: ignore[arg-type]
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = old.execute(statement(where, 3, 100)).fetchall()  # type: ignore[arg-type]
        db.execute("UPDATE items SET category = category + 1; DELETE FROM items WHERE id % 5 = 0")
        db.execute("VACUUM items")
        for _ in range(10):
            assert old.execute(statement(where, 3, 100)).fetchall() == before  # type: ignore[arg-type]
        old.execute("COMMIT")
        db.execute("VACUUM items")
        for _ in range(10):
            now = old.execute(statement(where, 3, 100)).fetchall()  # type: ignore[arg-type]
            assert {row[0] % 100 for row in now} == {41}
            assert len(now) == 30
    ask(db, where)


def test_cursors_keep_their_filter(items: Database) -> None:
    db, where = items, "category = 42"
    expected = db.rows(statement(where, 3, 30))
    assert learned(db, where) == 30
    db.execute(f"BEGIN; DECLARE c CURSOR WITH HOLD FOR {statement(where, 3, 30)}; DECLARE d CURSOR FOR {statement(where, 3, 30)}")
    rows = db.rows("FETCH 5 FROM d")
    db.execute("SET LOCAL ruvector.filter_cache_size = 0")
    db.rows(statement("category = 5", 3))
    rows += db.rows("FETCH ALL FROM d")
    db.execute("COMMIT; UPDATE items SET category = 1")
    db.execute("VACUUM items")
    assert rows == expected
    assert db.rows("FETCH ALL FROM c") == expected


def test_the_table_is_made_anew(items: Database) -> None:
    db, where = items, "category = 42"
    for change in (
        "ALTER TABLE items ALTER category TYPE bigint USING 99 - category",
        "ALTER TABLE items RENAME category TO kind; ALTER TABLE items ADD COLUMN category int DEFAULT 42",
        "BEGIN; TRUNCATE items; INSERT INTO items (category, embedding) SELECT 42, array_fill(i, ARRAY[32])::ruvector "
        "FROM generate_series(1, 500) i; COMMIT",
        "UPDATE items SET category = id % 50; CLUSTER items USING items_pkey",
    ):
        learned(db, where)
        for part in change.split(";"):
            db.execute(part)
        ask(db, where, range(1, 4))
        db.execute("VACUUM items")
        learned(db, where)
        ask(db, where, range(1, 4))


def test_a_function_is_replaced(items: Database) -> None:
    db, where = items, "pick(category)"
    body = "CREATE OR REPLACE FUNCTION pick(c int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN c = {}; END'"
    db.execute(body.format(42))
    assert learned(db, where) == 30
    db.execute(body.format(17))
    assert {row[0] % 100 for row in db.rows(statement(where, 3))} == {17}
    assert learned(db, where) == 30
    ask(db, where)


def test_rows_that_no_scan_would_have_met(items: Database) -> None:
    """A condition that raises an error for one of them is not learned, and the error is nobody's."""
    db = items
    db.execute(f"UPDATE items SET embedding = array_fill(1000 + id, ARRAY[32])::ruvector WHERE id > {ROWS - 20}")
    db.execute("VACUUM items")
    where = f"category / least(1, {ROWS} - id) = 42"
    with pytest.raises(psycopg.errors.DivisionByZero):
        db.rows(f"SELECT count(*) FROM items WHERE {where}")
    for number in range(1, 15):
        assert len(db.rows(statement(where, number))) == 10
    assert admitted(db, where) is None
    assert learned(db, "category = 42") == 30
    # inside of a subtransaction of the user's, too
    db.execute("BEGIN; SAVEPOINT a")
    for number in range(1, 15):
        assert len(db.rows(statement(where + " AND true", number))) == 10
    db.execute("ROLLBACK TO a; COMMIT")
    ask(db, "category = 42")


def reset_timeout(db: Database) -> None:
    """It holds for this statement, too."""
    done = False
    while not done:
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            db.execute("RESET statement_timeout")
            done = True


def test_a_cancelled_lesson(items: Database) -> None:
    """Learning ends with the statement; the next one is as right as ever."""
    db = items
    db.execute("CREATE FUNCTION slow(c int) RETURNS bool IMMUTABLE COST 1 LANGUAGE plpgsql AS "
               "'BEGIN IF c = 42 THEN PERFORM pg_sleep(0.001); END IF; RETURN c = 42; END'")  # fmt: skip
    cancelled = 0
    for number in range(1, 60):
        db.execute(f"SET statement_timeout = {10 + number}")
        try:
            rows = db.rows(statement("slow(category)", number))
            assert {row[0] % 100 for row in rows} == {42}
        except psycopg.errors.QueryCanceled:
            cancelled += 1
        reset_timeout(db)
    assert cancelled > 0
    assert learned(db, "slow(category)") == 30
    ask(db, "slow(category)")


def test_what_cannot_be_learned(items: Database) -> None:
    """Tables without WAL, a serializable transaction, pages that nobody has vacuumed, too many rows."""
    db = items
    db.execute("SET default_transaction_isolation = serializable")
    assert learned(db, "category = 42") is None
    db.execute("RESET default_transaction_isolation")
    assert learned(db, "category = 42") == 30
    db.execute("UPDATE items SET category = category")
    assert learned(db, "category = 42") is None
    ask(db, "category = 42")
    db.execute("ALTER TABLE items SET UNLOGGED")
    db.execute("VACUUM items")
    assert learned(db, "category = 42") is None
    ask(db, "category = 42")
    db.execute("ALTER TABLE items SET LOGGED; SET ruvector.filter_cache_size = '4kB'")
    db.execute("VACUUM items")
    assert learned(db, "category = 42") is None
    ask(db, "category = 42")
    db.execute("RESET ruvector.filter_cache_size")
    assert learned(db, "category = 42") is not None
    assert learned(db, "category < 90") is None
    ask(db, "category < 90")


def test_memory_is_bounded_and_shown(items: Database) -> None:
    db = items
    held = "SELECT cache_bytes FROM ruvector_memory_stats()"
    db.rows(statement("true", 1))
    before = db.value(held)
    for category in range(100):
        learned(db, f"category = {category}")
    everything = db.value(held)
    assert 100 * 8000 < everything - before < 8 * 1024 * 1024
    db.execute("SET ruvector.filter_cache_size = '200kB'")
    for category in range(100):
        for number in range(3):
            db.rows(statement(f"category = {category}", number + 1))
        assert db.value(held) - before < 260 * 1024
    db.execute("SET ruvector.filter_cache_size = 0")
    db.rows(statement("category = 1", 1))
    assert db.value(held) - before < 32 * 1024


def test_a_standby_learns(new_cluster: Callable[..., Server], scratch: Path) -> None:
    """From its own copy of the map; what the primary changes and vacuums is seen at once when it is replayed."""
    primary = new_cluster({"autovacuum": "off"})
    db, where = primary.database(), "category = 42"
    make_table(db, ROWS)
    make_index(db)
    db.execute("VACUUM ANALYZE items")
    standby = make_standby(primary, scratch)
    try:
        copy = Database(standby, db.name)
        copy.execute("SET ruvector.ef_search = 200")
        by_index(copy)
        wait_for_replay(db, copy.conn)
        assert learned(copy, where) == 30
        for change in ("UPDATE items SET category = 42 WHERE id % 100 = 11", "DELETE FROM items WHERE id % 10 = 1", "VACUUM items",
                       "UPDATE items SET category = 42 WHERE id % 100 = 12", "VACUUM items"):  # fmt: skip
            db.execute(change)
            wait_for_replay(db, copy.conn)
            ask(copy, where, limit=50)
        assert learned(copy, where) == 60
        copy.close()
    finally:
        standby.stop("immediate")
    db.close()


@pytest.mark.core
@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_events(items: Database, seed: int) -> None:
    """One session asks behind the same few filters all the time, while it and another change the table and vacuum it."""
    db, chance = items, random.Random(seed)
    filters = ["category = 42", "category IN (1, 2, 3)", "category + 1 = 18 AND id % 2 = 1"]
    used = 0

    def change(execute: Any) -> None:
        some = f"id % {chance.choice([7, 50, 333])} = {chance.randrange(7)}"
        execute(
            chance.choice(
                [
                    f"UPDATE items SET category = {chance.choice([42, 1, 17, 60])} WHERE {some}",
                    f"UPDATE items SET embedding = embedding + embedding WHERE {some} AND id < 300",
                    f"DELETE FROM items WHERE {some} AND id > {ROWS}",
                    "INSERT INTO items (category, embedding) SELECT (random() * 60)::int, embedding FROM items "
                    f"WHERE id < 1000 AND {some}",
                ]
            )
        )

    with db.connect() as other:
        for _ in range(60):
            match chance.randrange(5):
                case 0:
                    change(db.execute)
                case 1:
                    change(other.execute)
                case 2:
                    db.execute("VACUUM items")
                case 3:
                    other.execute("BEGIN")
                    change(other.execute)
                    ask(db, chance.choice(filters), range(1, 3))
                    other.execute(chance.choice(["COMMIT", "ROLLBACK"]))
                case _:
                    for where in filters:
                        used += learned(db, where) is not None
            ask(db, chance.choice(filters), range(chance.randrange(1, 250), 252, 97), chance.choice([5, 40]))
    assert used > 5
