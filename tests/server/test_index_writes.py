# SPDX-License-Identifier: PostgreSQL
"""What changes an index: inserts, sealing and merging, VACUUM, and the commands that rebuild or move it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from harness import Database
from index_tables import GENERATE, add_rows, compare, index_only, make_index, make_table

RECALL = 0.95  # as in test_index_search.py

STATS = "SELECT segments, delta_rows, dead_rows, vector_count FROM ruvector_index_stats('items_idx')"


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(0.05)


def assert_every_row_is_found(db: Database, sample: int = 100) -> None:
    """Each row is its own nearest neighbour; one that the index has lost, or has twice, would show. A narrow beam may miss
    one, though none of those in tests/engine/test_search.cpp is missed.
    """
    index_only(db)
    ids = db.column(f"SELECT id FROM items WHERE embedding IS NOT NULL ORDER BY id::bigint * 7919 % 10007 LIMIT {sample}")
    nearest = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = {}) LIMIT 3"

    def lost(beam: int) -> list[int]:
        db.execute(f"SET ruvector.ef_search = {beam}")
        return [i for i in ids if i not in db.column(nearest.format(i))]

    assert lost(200) == []
    assert len(lost(40)) <= 1
    db.execute("RESET ruvector.ef_search")
    db.execute("SET ruvector.max_scan_tuples = 10000000; SET ruvector.iterative_scan = relaxed_order; SET work_mem = '1GB'")
    query = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE embedding IS NOT NULL LIMIT 1)"
    all_ids = db.column(query)
    db.execute("RESET ruvector.max_scan_tuples; RESET ruvector.iterative_scan; RESET work_mem")
    assert len(all_ids) == len(set(all_ids)), "rows come twice"
    truth = db.value("SELECT count(*) FROM items WHERE embedding IS NOT NULL")
    assert len(all_ids) >= truth * 0.99, "rows that the graph does not reach"
    db.execute("RESET enable_seqscan; RESET enable_indexscan")


@pytest.mark.core
def test_a_background_worker_seals_and_merges(db: Database) -> None:
    make_table(db, 500)
    make_index(db)
    db.execute("SET ruvector.delta_limit = 64")
    for first in range(501, 4501, 500):
        add_rows(db, first, first + 499)
    wait_for(lambda: db.value("SELECT delta_rows FROM ruvector_index_stats('items_idx')") < 1500, "sealing")
    segments, delta, dead, count = db.rows(STATS)[0]
    assert 1 <= segments <= 6
    assert (dead, count) == (0, 4500)
    found = compare(db)
    assert found.out_of_order == 0
    assert found.recall >= RECALL
    assert_every_row_is_found(db)


def test_the_session_itself_seals_when_no_worker_can(db: Database) -> None:
    make_table(db, 100)
    make_index(db)
    db.execute("SET ruvector.delta_limit = 64; SET ruvector.background_maintenance = off")
    add_rows(db, 101, 3000)
    segments, delta, dead, count = db.rows(STATS)[0]
    assert segments >= 1
    assert delta < 1500
    assert (dead, count) == (0, 3000)
    assert_every_row_is_found(db)


def test_sealing_in_the_transaction_that_made_the_index(db: Database) -> None:
    """No other backend sees the index yet; a rollback takes all of it away."""
    db.execute("BEGIN; SET LOCAL ruvector.delta_limit = 64")
    make_table(db, 10)
    make_index(db)
    add_rows(db, 11, 2500)
    assert db.rows(STATS)[0][0] >= 1
    db.execute("SAVEPOINT s; DELETE FROM items; ROLLBACK TO s; COMMIT")
    assert_every_row_is_found(db)
    db.execute("BEGIN; DROP INDEX items_idx")
    make_index(db)
    db.execute("ROLLBACK")
    assert_every_row_is_found(db)


@pytest.mark.core
def test_vacuum_leaves_dead_rows_out(db: Database) -> None:
    make_table(db, 3000)
    make_index(db)
    add_rows(db, 3001, 3300)
    db.execute("SET ruvector.background_maintenance = off")
    db.execute("DELETE FROM items WHERE id % 4 = 0")
    assert compare(db).recall >= RECALL
    db.execute("VACUUM items")
    assert db.rows(STATS)[0][2:] == (750, 2475)
    found = compare(db)
    assert found.out_of_order == 0
    assert found.recall >= RECALL
    # the heap's places are used again, by other vectors
    add_rows(db, 5001, 5800)
    assert_every_row_is_found(db)
    db.execute("DELETE FROM items WHERE id % 4 = 1")
    db.execute("CREATE INDEX second_idx ON items USING ruhnsw (embedding ruvector_ip_ops)")
    db.execute("VACUUM (PARALLEL 2) items")
    db.execute("DROP INDEX second_idx")
    assert_every_row_is_found(db)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    segments, delta, dead, count = db.rows(STATS)[0]
    assert (segments, delta, dead) == (1, 0, 0)
    assert count == db.value("SELECT count(*) FROM items")
    assert_every_row_is_found(db)
    db.execute("DELETE FROM items")
    db.execute("VACUUM items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows(STATS)[0] == (0, 0, 0, 0)
    index_only(db)
    assert db.rows("SELECT id FROM items ORDER BY embedding <-> (SELECT array_fill(1, '{32}')::ruvector)") == []


def test_a_vacuum_that_was_cancelled_and_one_that_finishes(db: Database) -> None:
    """The first marks unsealed rows dead and ends; the next finds nothing new, and their places in the heap are used
    again. A session that read those rows before must not take the new ones for them."""
    db.execute("CREATE TABLE items (id serial, embedding ruvector(32)) WITH (autovacuum_enabled = off)")
    make_index(db)
    add = "INSERT INTO items (embedding) SELECT array_fill(i, '{{32}}')::ruvector FROM generate_series({}, {}) i"
    db.execute(add.format(1, 2000))
    nearest = "SELECT embedding <-> array_fill(0, '{32}')::ruvector FROM items ORDER BY 1 LIMIT 100"

    def start_vacuum() -> tuple[threading.Thread, int, list[psycopg.Error]]:
        conn = db.connect()
        failures: list[psycopg.Error] = []

        def run() -> None:
            try:
                conn.execute("SET vacuum_cost_delay = 30; SET vacuum_cost_limit = 1")
                conn.execute("VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) items")
            except psycopg.Error as error:
                failures.append(error)
            conn.close()

        thread = threading.Thread(target=run)
        pid = conn.info.backend_pid
        thread.start()
        return thread, pid, failures

    def marked() -> bool:
        with db.connect() as fresh:
            [(rows,)] = fresh.execute("SELECT delta_rows FROM ruvector_index_stats('items_idx')").fetchall()
        return rows == 1600

    with db.connect() as old:
        old.execute("SET enable_seqscan = off")
        assert len(old.execute(nearest).fetchall()) == 100
        db.execute("DELETE FROM items WHERE id <= 400")
        thread, pid, failures = start_vacuum()
        wait_for(marked, "the first dead rows")
        db.execute("SELECT pg_cancel_backend(%s)", (pid,))
        thread.join()
        assert [type(failure) for failure in failures] == [psycopg.errors.QueryCanceled]
        thread, pid, failures = start_vacuum()
        blocks = "SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = %s AND heap_blks_vacuumed >= 5"
        wait_for(lambda: bool(db.rows(blocks, (pid,))) or not thread.is_alive(), "places in the heap")
        db.execute(add.format(5001, 5250))
        reused = "SELECT count(*) FROM items WHERE id > 2000 AND (ctid::text::point)[0] < 9"
        assert old.execute(nearest).fetchall() == db.rows(nearest)
        assert db.value(reused) > 100
        thread.join()
        assert failures == []
        assert old.execute(nearest).fetchall() == db.rows(nearest)


@pytest.mark.core
def test_vacuum_asks_for_what_is_mostly_dead_to_be_rewritten(db: Database) -> None:
    """Nobody inserts afterwards, and nobody calls for maintenance."""
    make_table(db, 4000)
    make_index(db)
    image_bytes = "SELECT image_bytes FROM ruvector_index_stats('items_idx')"
    before = db.value(image_bytes)
    db.execute("DELETE FROM items WHERE id % 5 <> 0")
    db.execute("VACUUM items")
    wait_for(lambda: db.rows(STATS)[0] == (1, 0, 0, 800), "a segment without the dead rows")
    assert db.value(image_bytes) < 0.3 * before
    found = compare(db)
    assert found.out_of_order == 0
    assert found.recall >= RECALL
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    # where the rows were is free for others
    size = db.value("SELECT pg_relation_size('items_idx')")
    add_rows(db, 5001, 6000)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.value("SELECT pg_relation_size('items_idx')") == size


def test_vacuum_asks_for_rows_that_nobody_has_sealed(db: Database) -> None:
    """As after a load while no worker could be had."""
    make_table(db, 100)
    make_index(db)
    add_rows(db, 101, 2000)
    db.execute("SET ruvector.delta_limit = 64; SET ruvector.background_maintenance = off")
    db.execute("VACUUM items")
    assert db.rows(STATS)[0] == (1, 1900, 0, 2000)
    db.execute("SET ruvector.background_maintenance = on")
    db.execute("VACUUM items")
    wait_for(lambda: db.rows(STATS)[0] == (1, 0, 0, 2000), "a seal")
    assert_every_row_is_found(db)


def test_maintenance_uses_freed_pages_again(db: Database) -> None:
    make_table(db, 2000)
    make_index(db)
    db.execute("SET ruvector.background_maintenance = off")
    sizes = []
    for round_ in range(6):
        first = 2001 + round_ * 400
        add_rows(db, first, first + 399)
        db.execute("DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY id LIMIT 400)")
        db.execute("VACUUM items")
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
        sizes.append(db.value("SELECT pg_relation_size('items_idx')"))
    # twice the contents, while the new segment is written beside the old one, and the rows that waited to be sealed
    assert sizes[-1] == max(sizes) == sizes[2]


@pytest.mark.core
def test_commands_that_rebuild_or_move(db: Database) -> None:
    make_table(db, 1500)
    make_index(db)
    add_rows(db, 1501, 1600)
    node = "SELECT pg_relation_filepath('items_idx')"
    db.execute("SET allow_in_place_tablespaces = on")
    if not db.rows("SELECT 1 FROM pg_tablespace WHERE spcname = 'elsewhere'"):
        db.execute("CREATE TABLESPACE elsewhere LOCATION ''")
    before = db.value(node)
    for command in (
        "REINDEX INDEX items_idx",
        "REINDEX INDEX CONCURRENTLY items_idx",
        "ALTER TABLE items SET UNLOGGED",
        "ALTER TABLE items SET LOGGED",
        "CLUSTER items USING items_pkey",
        "VACUUM FULL items",
        "ALTER INDEX items_idx SET TABLESPACE elsewhere",
        "ALTER INDEX items_idx SET TABLESPACE pg_default",
        "ALTER TABLE items SET UNLOGGED",
        "ALTER TABLE items SET TABLESPACE elsewhere, SET LOGGED",
    ):
        db.execute(command)
        after = db.value(node)
        assert after != before, command
        before = after
        assert_every_row_is_found(db, 20)
    db.execute("DROP INDEX items_idx")
    db.execute("CREATE INDEX CONCURRENTLY items_idx ON items USING ruhnsw (embedding ruvector_l2_ops)")
    assert_every_row_is_found(db, 20)
    db.execute("TRUNCATE items")
    assert db.rows(STATS)[0] == (0, 0, 0, 0)
    add_rows(db, 1, 50)
    assert_every_row_is_found(db, 20)


def test_concurrent_build_sees_concurrent_writes(db: Database) -> None:
    make_table(db, 2000)
    stop = threading.Event()
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            with db.connect() as conn:
                i = 0
                while not stop.is_set():
                    i += 1
                    insert = GENERATE.format(table="items", dims=32, type="ruvector", first=9000 + i, last=9000 + i)
                    conn.execute(insert)  # type: ignore[call-overload]
                    conn.execute("DELETE FROM items WHERE id = %s", (500 + number * 300 + i,))
        except psycopg.Error as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    db.execute("CREATE INDEX CONCURRENTLY items_idx ON items USING ruhnsw (embedding ruvector_l2_ops)")
    db.execute("REINDEX INDEX CONCURRENTLY items_idx")
    stop.set()
    for writer in writers:
        writer.join()
    assert not failures
    db.execute("VACUUM items")
    assert db.rows(STATS)[0][3] == db.value("SELECT count(*) FROM items")
    assert_every_row_is_found(db)


def test_temporary_indexes(db: Database) -> None:
    db.execute("SET ruvector.delta_limit = 64")
    db.execute("CREATE TEMP TABLE items (id serial, category int, embedding ruvector(32))")
    add_rows(db, 1, 500)
    make_index(db)
    add_rows(db, 501, 2500)
    assert db.rows(STATS)[0][0] >= 1
    assert_every_row_is_found(db)
    assert db.value("SELECT image_files FROM ruvector_memory_stats()") == 0
    db.execute("DELETE FROM items WHERE id % 2 = 0")
    db.execute("VACUUM items")
    # no worker could: VACUUM itself has left the dead rows behind
    assert db.rows(STATS)[0][2:] == (0, 1250)
    assert_every_row_is_found(db)


def test_temporary_tables_that_are_emptied_at_commit(db: Database) -> None:
    db.execute("CREATE TEMP TABLE items (id serial, category int, embedding ruvector(32)) ON COMMIT DELETE ROWS")
    make_index(db)
    for _ in range(3):
        db.execute("BEGIN; SET LOCAL ruvector.delta_limit = 64")
        add_rows(db, 1, 1500)
        assert db.rows(STATS)[0][0] >= 1
        assert_every_row_is_found(db, 20)
        db.execute("COMMIT")
        assert db.rows(STATS)[0] == (0, 0, 0, 0)


def test_prepared_transactions_and_savepoints(new_cluster: Callable[..., object], server: object) -> None:
    made = new_cluster({"max_prepared_transactions": "5"})
    db = made.database()  # type: ignore[attr-defined]
    make_table(db, 300)
    make_index(db)
    db.execute("BEGIN")
    add_rows(db, 301, 400)
    db.execute("PREPARE TRANSACTION 'later'")
    assert len(db.rows("SELECT 1 FROM items")) == 300
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    made.kill9()  # type: ignore[attr-defined]
    made.start()  # type: ignore[attr-defined]
    db.reconnect()
    db.execute("COMMIT PREPARED 'later'")
    assert db.value("SELECT count(*) FROM items") == 400
    assert_every_row_is_found(db)
    db.close()


@pytest.mark.parametrize("seconds", [6, pytest.param(240, marks=pytest.mark.soak)])
def test_writers_readers_vacuum_and_maintenance_together(db: Database, seconds: int) -> None:
    """No error, no row lost or twice, recall as after a fresh build."""
    make_table(db, 1500, dims=16)
    make_index(db)
    end = time.monotonic() + seconds
    failures: list[str] = []

    def run(work: Callable[[psycopg.Connection[tuple[object, ...]], random.Random], None], seed: int) -> None:
        rng = random.Random(seed)
        try:
            with db.connect() as conn:
                conn.execute("SET ruvector.delta_limit = 64")
                while time.monotonic() < end:
                    work(conn, rng)
        except psycopg.Error as error:
            failures.append(f"{work.__name__}: {error}")

    def insert(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        vector = [rng.random() * 2 for _ in range(16)]
        conn.execute("INSERT INTO items (category, embedding) VALUES (1, %s::ruvector)", (str(vector),))

    def delete(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        conn.execute("DELETE FROM items WHERE id = %s", (rng.randint(1, 4000),))

    def update(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        conn.execute("UPDATE items SET embedding = embedding WHERE id = %s", (rng.randint(1, 4000),))

    def search(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        vector = [rng.random() * 2 for _ in range(16)]
        rows = conn.execute(
            "SELECT id, embedding <-> %s::ruvector AS d FROM items ORDER BY embedding <-> %s::ruvector LIMIT 20",
            (str(vector), str(vector)),
        ).fetchall()
        if len(rows) != 20 or len({row[0] for row in rows}) != 20:
            failures.append(f"search returned {len(rows)} rows")
        if any(a[1] > b[1] for a, b in zip(rows, rows[1:], strict=False)):  # type: ignore[operator]
            failures.append("search out of order")

    def vacuum(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        conn.execute("VACUUM items")
        time.sleep(0.1)

    def maintain(conn: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
        conn.execute("SELECT ruvector_index_maintenance('items_idx')")
        time.sleep(0.3)

    works = [insert] * 5 + [delete] * 3 + [update] * 2 + [search] * 4 + [vacuum] + [maintain]
    threads = [threading.Thread(target=run, args=(work, number)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]

    def clean() -> bool:
        """Other databases' sessions, such as autovacuum, may keep rows alive for a moment; few dead rows alone would let
        VACUUM leave the index as it is."""
        db.execute("VACUUM (INDEX_CLEANUP ON) items")
        return bool(db.rows(STATS)[0][3] == db.value("SELECT count(*) FROM items"))

    wait_for(clean, "VACUUM to remove every dead row")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert clean()
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    assert_every_row_is_found(db)
    found = compare(db)
    assert found.out_of_order == 0
    assert found.recall >= RECALL
