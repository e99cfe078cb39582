# SPDX-License-Identifier: PostgreSQL
"""CREATE INDEX: memory, progress, cancel, threads."""

from __future__ import annotations

import re
import threading
import time

import psycopg
import pytest
from harness import Database
from index_tables import compare, make_index, make_table


def test_memory_that_does_not_suffice_makes_segments(db: Database) -> None:
    make_table(db, 6000, dims=64)
    notices: list[str] = []
    db.conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    db.execute("SET maintenance_work_mem = '1MB'")
    make_index(db)
    assert len(notices) >= 1
    assert re.match(r"closing a segment of index \"items_idx\" after \d+ tuples: maintenance_work_mem is reached", notices[0])
    assert db.value("SELECT segments FROM ruvector_index_stats('items_idx')") == len(notices) + 1
    assert db.value("SELECT vector_count FROM ruvector_index_stats('items_idx')") == 6000
    found = compare(db)
    assert found.out_of_order == 0
    assert found.recall >= 0.95
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    db.execute("SET maintenance_work_mem = '256MB'; SELECT ruvector_index_maintenance('items_idx')")
    assert db.value("SELECT segments FROM ruvector_index_stats('items_idx')") == 1
    notices.clear()
    db.execute("REINDEX INDEX items_idx")
    assert notices == []


def start_build(db: Database, failures: list[psycopg.Error]) -> tuple[threading.Thread, int]:
    conn = db.connect()

    def build() -> None:
        try:
            conn.execute("SET max_parallel_maintenance_workers = 1")
            conn.execute("CREATE INDEX items_idx ON items USING ruhnsw (embedding ruvector_l2_ops) "
                         "WITH (m = 48, ef_construction = 1000)")  # fmt: skip
        except psycopg.Error as error:
            failures.append(error)
        finally:
            conn.close()

    thread = threading.Thread(target=build)
    pid = conn.info.backend_pid
    thread.start()
    return thread, pid


def test_progress_and_cancel(db: Database) -> None:
    make_table(db, 8000, dims=64)
    failures: list[psycopg.Error] = []
    thread, pid = start_build(db, failures)
    seen: dict[str, tuple[int, int]] = {}
    threads = 0
    end = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < end:
        rows = db.rows("SELECT phase, tuples_total, tuples_done FROM pg_stat_progress_create_index WHERE pid = %s", (pid,))
        for phase, total, done in rows:
            seen[phase] = (total, done)
        if "building index: building graph" in seen and seen["building index: building graph"][1] > 0:
            with open(f"/proc/{pid}/status") as status:
                threads = max(threads, int(re.findall(r"Threads:\s+(\d+)", status.read())[0]))
            break
        time.sleep(0.002)
    total, done = seen["building index: building graph"]
    assert total == 8000
    assert 0 < done <= 8000
    assert threads >= 2
    began = time.monotonic()
    db.execute("SELECT pg_cancel_backend(%s)", (pid,))
    thread.join(10)
    # 100 ms on an idle machine; this one may be busy with other tests
    assert time.monotonic() - began < 5
    assert [type(failure) for failure in failures] == [psycopg.errors.QueryCanceled]
    assert db.value("SELECT count(*) FROM pg_class WHERE relname = 'items_idx'") == 0
    make_index(db)
    assert compare(db).recall >= 0.95


@pytest.mark.parametrize("workers", [0, 3])
def test_threads(db: Database, workers: int) -> None:
    make_table(db, 3000)
    db.execute(f"SET max_parallel_maintenance_workers = {workers}")
    make_index(db)
    found = compare(db)
    assert found.recall >= 0.95
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []


def test_a_build_with_one_thread_is_the_same_every_time(db: Database) -> None:
    make_table(db, 1000)
    db.execute("SET max_parallel_maintenance_workers = 0")
    make_index(db)
    order = "SELECT array_agg(id) FROM (SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 4)) s"
    db.execute("SET enable_seqscan = off; SET ruvector.ef_search = 3; SET ruvector.iterative_scan = relaxed_order")
    first = db.value(order)
    db.execute("REINDEX INDEX items_idx")
    assert db.value(order) == first
