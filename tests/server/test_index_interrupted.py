# SPDX-License-Identifier: PostgreSQL
"""VACUUM, maintenance and its worker, cancelled or ended wherever they happen to be."""

from __future__ import annotations

import random
import threading
import time

import psycopg
import pytest
from harness import Database
from index_tables import add_rows, index_only, make_index, make_table

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"
VACUUM = "VACUUM (INDEX_CLEANUP ON) items"
MAINTENANCE = "SELECT ruvector_index_maintenance('items_idx')"
WORKERS = "FROM pg_stat_activity WHERE backend_type = 'ruvector maintenance' AND datname = current_database()"
EXPECTED = (psycopg.errors.QueryCanceled, psycopg.errors.AdminShutdown, psycopg.OperationalError)


def run_and_interrupt(db: Database, command: str, how: str, after: float) -> bool:
    """Whether it was interrupted. OperationalError: the connection is gone."""
    with db.connect() as conn:
        conn.execute("SET client_min_messages = warning; SET ruvector.delta_limit = 64")
        ended = threading.Timer(after, db.execute, [f"SELECT pg_{how}_backend({conn.info.backend_pid})"])
        ended.start()
        try:
            conn.execute(command)  # type: ignore[call-overload]
        except EXPECTED:
            return True
        finally:
            ended.join()
    return False


@pytest.mark.parametrize("rounds", [12, pytest.param(400, marks=pytest.mark.soak)])
def test_work_that_is_ended_anywhere(db: Database, rounds: int) -> None:
    """No row is lost, none is there twice, and what pages were being written are free again in the end."""
    seed = 7
    rng = random.Random(seed)
    make_table(db, 3000)
    make_index(db)
    db.execute("ALTER TABLE items SET (autovacuum_enabled = off); SET client_min_messages = warning")
    first = 3001
    interrupted = 0
    for number in range(rounds):
        with db.connect() as conn:
            # asks for a worker, which is ended too
            conn.execute("SET ruvector.delta_limit = 64")
            conn.execute(
                "INSERT INTO items (id, category, embedding) SELECT id - min(id) OVER () + %s, category, embedding FROM items "
                "ORDER BY id LIMIT 600", (first,),
            )  # fmt: skip
        first += 10_000
        db.execute(f"DELETE FROM items WHERE id > 3000 AND id % 4 = {number % 4}")
        for command in (VACUUM, MAINTENANCE):
            interrupted += run_and_interrupt(db, command, rng.choice(["cancel", "terminate"]), rng.random() ** 3 * 0.15)
            db.execute(f"SELECT pg_terminate_backend(pid) {WORKERS}")
        if number % 4 == 3:
            assert db.rows(CHECK) == [], (seed, number)
    assert interrupted > 0
    while db.value(f"SELECT count(*) {WORKERS}") > 0:
        time.sleep(0.02)
    db.execute(MAINTENANCE)
    assert db.rows(CHECK) == []
    index_only(db)
    db.execute("SET ruvector.iterative_scan = relaxed_order; SET ruvector.max_scan_tuples = 10000000; SET work_mem = '1GB'")
    found = db.column("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1)")
    db.execute("RESET enable_seqscan")
    assert sorted(found) == db.column("SELECT id FROM items ORDER BY id")

    # every page that is not in use is known to be free: rows that take nine tenths of these do not make the index longer
    size = db.value("SELECT pg_relation_size('items_idx')")
    db.execute("CREATE INDEX other_idx ON items USING ruhnsw (embedding ruvector_l2_ops)")
    free = (size - db.value("SELECT pg_relation_size('other_idx')")) // 8192
    db.execute("DROP INDEX other_idx; SET ruvector.delta_limit = '1GB'; SET ruvector.background_maintenance = off")
    assert free > 50
    # 49 rows of 32 dimensions on a page
    add_rows(db, 1, free * 9 // 10 * 49)
    assert db.value("SELECT pg_relation_size('items_idx')") == size
    assert db.rows(CHECK) == []
    # half-written images of sessions that were ended
    folder = db.server.cluster.data / "pgsql_tmp_ruvector"
    assert list(folder.glob("[0-9]*/*.tmp")) == []


def test_merges_that_always_have_to_make_way(db: Database) -> None:
    """VACUUM comes whenever the index is being maintained for more than a moment: the delta is sealed all the same."""
    rows = 12_000
    make_table(db, rows)
    make_index(db)
    db.execute("ALTER TABLE items SET (autovacuum_enabled = off); SET ruvector.background_maintenance = off")
    db.execute("SET max_parallel_maintenance_workers = 0; SET ruvector.delta_limit = '1GB'")
    add_rows(db, rows + 1, 2 * rows)
    unsealed = "SELECT delta_rows FROM ruvector_index_stats('items_idx')"
    assert db.value(unsealed) == rows
    done = threading.Event()
    vacuums = []

    def vacuum() -> None:
        with db.connect() as conn:
            while not done.is_set():
                busy = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'page' AND relation = 'items_idx'::regclass")
                if busy.fetchone() != (0,):
                    vacuums.append(True)
                    conn.execute(VACUUM)

    thread = threading.Thread(target=vacuum)
    thread.start()
    try:
        db.execute("SET ruvector.delta_limit = 64")
        for number in range(200):
            db.execute(f"DELETE FROM items WHERE id = {number + 1}")
            # a page of the delta: whoever begins one sees to it
            add_rows(db, 2 * rows + number * 50 + 1, 2 * rows + number * 50 + 50)
            sealed = rows + (number + 1) * 50 - db.value(unsealed)
            if sealed > 4000:
                break
    finally:
        done.set()
        thread.join()
    assert sealed > 4000
    assert len(vacuums) > 3
    assert db.rows(CHECK) == []
