# SPDX-License-Identifier: PostgreSQL
"""What maintenance, builds and the background worker keep others from doing, and what they must not be kept from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, make_index, make_table

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"
WORKER_LOCKS = """
SELECT relation::regclass::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.backend_type = 'ruvector maintenance' AND a.datname = current_database() AND l.locktype = 'relation' AND l.granted
"""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(0.02)


def test_the_worker_does_not_hold_the_table(db: Database) -> None:
    """ALTER TABLE, and everybody who then queues behind it, would wait for the end of a merge."""
    make_table(db, 10)
    make_index(db)
    db.execute("SET ruvector.delta_limit = 64")

    def only_the_index() -> bool:
        held = set(db.column(WORKER_LOCKS))
        if not held:
            add_rows(db, 11, 1200)
        return "items_idx" in held and "items" not in held

    wait_for(only_the_index, "a worker that has the index and not the table")
    db.execute("SET lock_timeout = '20s'; ALTER TABLE items ADD COLUMN more int; TRUNCATE items; DROP TABLE items")


def test_maintenance_does_not_hold_the_table(db: Database) -> None:
    """Called by hand it takes as long as in a worker. The table can be altered and dropped meanwhile."""
    make_table(db, 3000)
    make_index(db, options="m = 32, ef_construction = 600")
    locks = "SELECT relation::regclass::text FROM pg_locks WHERE pid = %s AND locktype = 'relation' AND granted"
    failures: list[psycopg.Error] = []

    with db.connect() as conn:
        pid = conn.info.backend_pid
        conn.execute("SET client_min_messages = error; SET max_parallel_maintenance_workers = 0")

        def maintain() -> None:
            try:
                conn.execute("SELECT ruvector_index_maintenance('items_idx')")
            except psycopg.Error as error:
                failures.append(error)

        def merging() -> threading.Thread:
            """A call that is at it. One may be over before it is seen."""
            for _ in range(20):
                add_rows(db, 4001, 4001)
                thread = threading.Thread(target=maintain)
                thread.start()
                while thread.is_alive():
                    if "items_idx" in (held := db.column(locks, (pid,))) and "items" not in held:
                        return thread
            raise AssertionError("never seen with the index and without the table")

        db.execute("ALTER TABLE items DROP CONSTRAINT items_pkey")
        thread = merging()
        db.execute("SET lock_timeout = '20s'; ALTER TABLE items ADD COLUMN more int")
        thread.join()
        thread = merging()
        db.execute("DROP TABLE items")
        thread.join()
    assert failures == []


@pytest.mark.soak
def test_a_worker_makes_way_for_drop_database(new_cluster: Callable[..., Server]) -> None:
    """DROP DATABASE waits five seconds for other processes to leave; this merge takes longer than that."""
    server = new_cluster({"max_parallel_maintenance_workers": "0", "maintenance_work_mem": "1GB"})
    db = server.database()
    make_table(db, 10000, dims=64)
    make_index(db, options="m = 64, ef_construction = 1000")
    db.execute("SET ruvector.delta_limit = 64")
    db.execute("DELETE FROM items WHERE id % 3 = 0")
    db.execute("VACUUM items")
    add_rows(db, 10001, 11000, dims=64)
    wait_for(lambda: bool(db.rows(WORKER_LOCKS)), "a worker")
    db.close()
    time.sleep(1)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {db.name}")


def test_two_indexes_that_are_filled_alike_are_both_sealed(db: Database) -> None:
    make_table(db, 10)
    make_index(db)
    db.execute("CREATE INDEX other_idx ON items USING ruhnsw (embedding ruvector_ip_ops)")
    db.execute("SET ruvector.delta_limit = 64")
    add_rows(db, 11, 3000)
    for index in ("items_idx", "other_idx"):
        wait_for(lambda index=index: db.value(f"SELECT delta_rows FROM ruvector_index_stats('{index}')") < 1000, index)  # type: ignore[misc]


def test_maintenance_while_the_index_is_built_concurrently(db: Database) -> None:
    """The pages of a build that several segments are made in are not named anywhere before its end."""
    make_table(db, 4000, dims=64)
    done = threading.Event()
    failures: list[str] = []
    calls = 0

    def maintain() -> None:
        nonlocal calls
        with db.connect() as conn:
            conn.execute("SET client_min_messages = error; SET maintenance_work_mem = '1MB'")
            while not done.is_set():
                try:
                    conn.execute("SELECT ruvector_index_maintenance('items_idx')")
                    calls += 1
                except (psycopg.errors.UndefinedTable, psycopg.errors.DataCorrupted, psycopg.errors.UndefinedObject):
                    pass  # not there yet, or without its first page
                except psycopg.Error as error:
                    failures.append(str(error))

    thread = threading.Thread(target=maintain)
    thread.start()
    db.execute("SET maintenance_work_mem = '1MB'; SET client_min_messages = error")
    try:
        db.execute("CREATE INDEX CONCURRENTLY items_idx ON items USING ruhnsw (embedding ruvector_l2_ops)")
    finally:
        done.set()
        thread.join()
    assert failures == []
    assert calls > 0
    assert db.rows(CHECK) == []
    assert db.value("SELECT vector_count FROM ruvector_index_stats('items_idx')") == 4000


def test_dead_rows_alone_are_sealed_away(db: Database) -> None:
    """Rows that came and went before a seal: their pages must not stay in the delta, which every session reads."""
    make_table(db, 10)
    make_index(db)
    db.execute("ALTER TABLE items SET (autovacuum_enabled = off); SET ruvector.background_maintenance = off")
    sizes = []
    for _ in range(5):
        add_rows(db, 1, 2000)
        db.execute("DELETE FROM items")
        db.execute("VACUUM items")
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
        sizes.append(db.value("SELECT pg_relation_size('items_idx')"))
    assert sizes[-1] == sizes[1]
    assert db.rows(CHECK) == []


def test_pages_that_a_crash_left_behind_are_found_by_vacuum(new_cluster: Callable[..., Server]) -> None:
    """After a seal that only got as far as the meta page, and with the free space map lost."""
    server = new_cluster({"autovacuum": "off"})
    db = server.database()
    make_table(db, 1000)
    make_index(db)
    for round_ in range(4):
        add_rows(db, 1001 + round_ * 1000, 2000 + round_ * 1000)
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
    file = server.cluster.data / Path(db.value("SELECT pg_relation_filepath('items_idx')"))
    db.execute("CHECKPOINT")
    db.close()
    server.stop()
    Path(f"{file}_fsm").unlink()
    server.start()
    db = Database(server, db.name)
    db.execute("DELETE FROM items WHERE id <= 500")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    size = db.value("SELECT pg_relation_size('items_idx')")
    add_rows(db, 6001, 6500)
    assert db.value("SELECT pg_relation_size('items_idx')") == size
    assert db.rows(CHECK) == []
    db.close()
