# SPDX-License-Identifier: PostgreSQL
"""CREATE INDEX: memory, progress, cancel, threads."""

from __future__ import annotations

import re
import threading
import time

import psycopg
import pytest
from harness import Database
from index_tables import add_rows, compare, index_only, make_index, make_table

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"
PROGRESS = "SELECT phase, tuples_total, tuples_done FROM pg_stat_progress_create_index WHERE pid = %s"


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


def anonymous_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return int(re.findall(r"RssAnon:\s+(\d+)", status.read())[0]) / 1024


class Watch(threading.Thread):
    """Looks at a backend until it is told to stop: the most memory of its own, and every line of progress."""

    def __init__(self, db: Database, pid: int) -> None:
        super().__init__()
        self.conn, self.pid, self.done = db.connect(), pid, threading.Event()
        self.before = self.peak = anonymous_mb(pid)
        self.seen: list[tuple[str, int, int]] = []

    def run(self) -> None:
        while not self.done.is_set():
            self.peak = max(self.peak, anonymous_mb(self.pid))
            self.seen += self.conn.execute(PROGRESS, (self.pid,)).fetchall()  # type: ignore[arg-type]
            time.sleep(0.002)

    def stop(self) -> float:
        """The megabytes that it took more than before, at its peak."""
        self.done.set()
        self.join()
        self.conn.close()
        return self.peak - self.before


def watched_build(db: Database, memory: str, options: str = "", method: str = "ruhnsw") -> tuple[Watch, float]:
    db.execute(f"SET maintenance_work_mem = '{memory}'; SET max_parallel_maintenance_workers = 1")
    watch = Watch(db, db.conn.info.backend_pid)
    watch.start()
    try:
        make_index(db, options=options, method=method)
    finally:
        took = watch.stop()
    return watch, took


@pytest.mark.parametrize("quantization", ["sq8", "none"])
@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
def test_measured_memory_and_progress_of_several_segments(db: Database, method: str, quantization: str) -> None:
    make_table(db, 5000, dims=600)
    db.execute("SET client_min_messages = error")
    options = "m = 8, ef_construction = 32" if method == "ruhnsw" else "lists = 10"
    watch, took = watched_build(db, "4MB", f"{options}, quantization = '{quantization}'", method)
    assert db.value("SELECT segments FROM ruvector_index_stats('items_idx')") >= 2
    # 4 as allowed, and what any backend takes for its caches and the reading of a table
    assert took < 4 + 4
    loading = [(total, done) for phase, total, done in watch.seen if phase == "building index: loading tuples"]
    assert loading
    assert {total for total, _ in loading} == {5000}
    assert sorted(done for _, done in loading) == [done for _, done in loading]
    for phase, total, done in watch.seen:
        assert phase == "building index: writing pages" or done <= total, (phase, total, done)
    assert db.rows(CHECK) == []


@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
def test_measured_memory_of_sealing_a_large_delta(db: Database, method: str) -> None:
    """As after a load while no worker could be had: it is sealed in parts, none of which takes more than is allowed."""
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(600))")
    db.execute("SET ruvector.delta_limit = '1GB'; SET client_min_messages = error")
    make_index(db, options="m = 8, ef_construction = 32" if method == "ruhnsw" else "lists = 10", method=method)
    add_rows(db, 1, 8000, dims=600)
    db.reconnect()
    db.execute("SET maintenance_work_mem = '8MB'; SET max_parallel_maintenance_workers = 1")
    notices: list[str] = []
    db.conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    db.rows("SELECT * FROM items LIMIT 1")
    watch = Watch(db, db.conn.info.backend_pid)
    watch.start()
    try:
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
    finally:
        took = watch.stop()
    # 19 MB of rows; 8 as allowed, and what any backend takes for its caches
    assert took < 8 + 4
    segments, delta, count = db.rows("SELECT segments, delta_rows, vector_count FROM ruvector_index_stats('items_idx')")[0]
    assert (delta, count) == (0, 8000)
    assert segments >= 2
    assert re.match(r'index "items_idx": 8000 rows sealed, \d+ segments merged, 0 dead rows dropped', notices[0])
    assert re.match(rf'index "items_idx" has {segments} segments', notices[1])
    assert db.rows(CHECK) == []
    db.execute("SET maintenance_work_mem = '256MB'; SELECT ruvector_index_maintenance('items_idx')")
    assert db.value("SELECT segments FROM ruvector_index_stats('items_idx')") == 1
    assert not any("segments, which" in notice for notice in notices[2:])
    # a small graph over a winding curve in 600 dims, as with a fresh build
    db.execute("SET ruvector.probes = 10; SET ruvector.ef_search = 1000")
    assert compare(db, queries=10).recall >= 0.95
    assert db.rows(CHECK) == []


def test_equal_vectors_are_counted_once(db: Database) -> None:
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(3))")
    rows = "INSERT INTO items (embedding) SELECT ARRAY[i % 2000, 1, 2]::real[]::ruvector FROM generate_series(1, {}) i"
    db.execute(rows.format(200000))
    notices: list[str] = []
    db.conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    # 200,000 different ones would take 60 MB
    _, took = watched_build(db, "16MB")
    assert notices == []
    assert took < 16 + 4
    assert db.value("SELECT segments FROM ruvector_index_stats('items_idx')") == 1
    db.execute(rows.format(5000))
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows("SELECT segments, delta_rows, vector_count FROM ruvector_index_stats('items_idx')") == [(1, 0, 205000)]
    assert db.rows(CHECK) == []


@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
@pytest.mark.parametrize("contents", ["nothing", "one", "nulls", "equal", "equal and another"])
def test_tables_of_little_or_no_difference(db: Database, method: str, contents: str) -> None:
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(32))")
    values = {"nothing": [], "one": ["array_fill(1, '{32}')::ruvector"], "nulls": ["NULL"] * 1000,
              "equal": ["array_fill(1, '{32}')::ruvector"] * 1000,
              "equal and another": ["array_fill(1, '{32}')::ruvector"] * 999 + ["array_fill(2, '{32}')::ruvector"]}  # fmt: skip
    if values[contents]:
        db.execute("INSERT INTO items (embedding) VALUES " + ", ".join(f"({value})" for value in values[contents]))
    db.execute("SET client_min_messages = error; SET ruvector.probes = 100")
    make_index(db, method=method)
    count = sum(value != "NULL" for value in values[contents])
    query = "SELECT id FROM items ORDER BY embedding <-> array_fill(3, '{32}')::ruvector"

    def look(rows: int, first: int | None = None) -> None:
        index_only(db)
        found = db.column(query)
        assert len(found) == len(set(found)) == rows
        assert first is None or found[0] == first
        assert db.rows(CHECK) == []

    look(count, 1000 if contents == "equal and another" else None)
    add_rows(db, 1, 10)
    look(count + 10)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    look(count + 10)
    db.execute("DELETE FROM items WHERE embedding = array_fill(1, '{32}')::ruvector OR embedding IS NULL")
    db.execute("VACUUM items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    look(11 if contents == "equal and another" else 10)


@pytest.mark.parametrize(("method", "phase"), [
    ("ruhnsw", "loading tuples"), ("ruhnsw", "building graph"), ("ruhnsw", "writing pages"),
    ("ruivfflat", "training quantizer"), ("ruivfflat", "assigning vectors to lists"),
])  # fmt: skip
def test_cancel_in_every_phase(db: Database, method: str, phase: str) -> None:
    """Threads are joined, pages and images given back; a timeout that a slow machine may hit elsewhere is an error too."""
    make_table(db, 3000, dims=256)
    options = "quantization = 'none'" + (", lists = 1000" if method == "ruivfflat" else "")
    pid = db.conn.info.backend_pid
    done = threading.Event()
    delays: list[float] = []

    def cancel() -> None:
        with db.connect() as conn:
            while not done.is_set():
                if any(row[0] == f"building index: {phase}" for row in conn.execute(PROGRESS, (pid,))):  # type: ignore[call-overload]
                    delays.append(time.monotonic())
                    conn.execute("SELECT pg_cancel_backend(%s)", (pid,))
                    return

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        make_index(db, options=options, method=method)
    except psycopg.errors.QueryCanceled:
        print(f"{phase}: {1000 * (time.monotonic() - delays[0]):.0f} ms")
        with open(f"/proc/{pid}/status") as status:
            assert re.findall(r"Threads:\s+(\d+)", status.read()) == ["1"]
        assert db.value("SELECT count(*) FROM pg_class WHERE relname = 'items_idx'") == 0
        make_index(db, options=options, method=method)
    done.set()
    thread.join()
    assert db.rows(CHECK) == []


@pytest.mark.soak
def test_a_million_rows(db: Database) -> None:
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(128))")
    for step in range(20):
        add_rows(db, step * 50000 + 1, step * 50000 + 50000, dims=128)
    db.execute("ANALYZE items")
    began = time.monotonic()
    watch, took = watched_build(db, "2GB")
    print(f"built in {time.monotonic() - began:.0f} s, {took:.0f} MB at the peak, {len(watch.seen)} lines of progress")
    assert took < 2048
    assert {total for phase, total, _ in watch.seen if phase.endswith("building graph")} == {1000000}
    segments, count = db.rows("SELECT segments, vector_count FROM ruvector_index_stats('items_idx')")[0]
    assert (segments, count) == (1, 1000000)
    assert db.rows(CHECK) == []
    recall = db.value("SELECT ruvector_recall('items_idx', 100, 10)")
    print(f"recall {recall}, {db.value('SELECT pg_relation_size(%s)', ('items_idx',)) / 2**20:.0f} MiB")
    assert recall > 0.8
