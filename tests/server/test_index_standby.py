# SPDX-License-Identifier: PostgreSQL
"""Standbys that search while the primary maintains the index, and recovery to a point in time."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, index_only, make_index, make_table
from standbys import base_backup, make_standby, wait_for_replay

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"


@pytest.mark.parametrize("rounds", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_scans_of_a_standby_while_the_primary_maintains(new_cluster: Callable[..., Server], scratch: Path, rounds: int) -> None:
    """Pages are freed and used again under the standby's scans; nothing there keeps replay from it."""
    primary = new_cluster({"autovacuum": "off"})
    db = primary.database()
    make_table(db, 600, dims=16)
    make_index(db)
    standby = make_standby(primary, scratch, {"hot_standby_feedback": "on", "max_standby_streaming_delay": "-1"})
    failures: list[str] = []
    done = threading.Event()

    def search(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not done.is_set():
                # a new session maps and reads everything afresh
                with psycopg.connect(standby.dsn(db.name), autocommit=True) as conn:
                    conn.execute("SET enable_seqscan = off")
                    for _ in range(rng.randint(1, 8)):
                        ident = rng.randint(1, 100)
                        found = conn.execute(
                            "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = %s) LIMIT 10",
                            (ident,),
                        ).fetchall()
                        if len(found) != 10 or len(set(found)) != 10 or (ident,) not in found:
                            failures.append(f"search for {ident} returned {found}")
        except psycopg.Error as error:
            failures.append(str(error))

    try:
        copy = Database(standby, db.name)
        index_only(copy)
        query = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1)"
        before = copy.column(query)
        copy.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ; DECLARE c CURSOR FOR {query}")
        begun = [row[0] for row in copy.rows("FETCH 20 FROM c")]
        threads = [threading.Thread(target=search, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        db.execute("SET ruvector.delta_limit = 64; SET ruvector.background_maintenance = off")
        for step in range(rounds):
            first = 1001 + step * 300
            add_rows(db, first, first + 299, dims=16)
            db.execute(f"DELETE FROM items WHERE id > 100 AND id % 5 = {step % 5}")
            db.execute("VACUUM (INDEX_CLEANUP ON) items")
            db.execute("SELECT ruvector_index_maintenance('items_idx')")
        # replay has come far while the cursor was open, and the cursor goes on as it began
        with psycopg.connect(standby.dsn(db.name), autocommit=True) as conn:
            wait_for_replay(db, conn)
        begun += [row[0] for row in copy.rows("FETCH ALL FROM c")]
        copy.execute("COMMIT")
        assert begun == before
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert copy.rows(CHECK) == []
        copy.close()
    finally:
        done.set()
        standby.stop("immediate")
    db.close()


@pytest.mark.parametrize("rounds", [10, pytest.param(300, marks=pytest.mark.soak)])
def test_a_standby_that_cancels_its_scans(new_cluster: Callable[..., Server], scratch: Path, rounds: int) -> None:
    """Without feedback rows and pages go away under snapshots that need them: the answer is right, or the server's own
    error about recovery. What is right is a sequential scan under the same snapshot.

    A build leaves out what nobody on the primary can see, and that is no conflict in PostgreSQL: a snapshot of a standby from
    before would miss it in an index of any kind. So rows are vacuumed away, which is one, before an index is built."""
    primary = new_cluster({"autovacuum": "off", "wal_consistency_checking": "all"})
    db = primary.database()
    make_table(db, 600, dims=16)
    make_index(db)
    standby = make_standby(primary, scratch, {"hot_standby_feedback": "off", "max_standby_streaming_delay": "50ms"})
    nearest = "embedding <-> (SELECT embedding FROM items ORDER BY id LIMIT 1)"
    failures: list[str] = []
    right = {"order": 0, "cursor": 0, "radius": 0}
    done = threading.Event()

    def ask(conn: psycopg.Connection, how: str, pause: float) -> None:
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
        truth = dict(conn.execute(f"SELECT id, {nearest} FROM items").fetchall())
        time.sleep(pause)
        conn.execute("SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off")
        if how == "radius":
            radius = sorted(truth.values())[len(truth) // 3]
            found = conn.execute(f"SELECT id FROM items WHERE {nearest} <= %s", (radius,)).fetchall()
            truth = {ident: distance for ident, distance in truth.items() if distance <= radius}
        elif how == "cursor":
            conn.execute(f"DECLARE c CURSOR FOR SELECT id FROM items ORDER BY {nearest}")
            found = conn.execute("FETCH 20 FROM c").fetchall()
            time.sleep(pause)
            found += conn.execute("FETCH ALL FROM c").fetchall()
        else:
            found = conn.execute(f"SELECT id FROM items ORDER BY {nearest}").fetchall()
        conn.execute("COMMIT")
        if sorted(row[0] for row in found) != sorted(truth):
            failures.append(f"{how}: {len(found)} rows, not {len(truth)}")
        right[how] += 1

    def search(seed: int) -> None:
        rng = random.Random(seed)
        while not done.is_set():
            try:
                with psycopg.connect(standby.dsn(db.name), autocommit=True) as conn:
                    conn.execute("SET ruvector.iterative_scan = relaxed_order; SET ruvector.max_scan_tuples = 1000000; "
                                 "SET work_mem = '1GB'")  # fmt: skip
                    for _ in range(rng.randint(1, 8)):
                        ask(conn, rng.choice(sorted(right)), rng.choice([0, 0, 0.05, 0.2]))
            except psycopg.Error as error:
                # a session that is ended while it waits for its client may be told so, or find the connection closed; and
                # REINDEX CONCURRENTLY waits for nobody here, so what was planned with may be gone before it is opened
                expected = ("conflict with recovery", "server closed the connection", "could not open relation with OID")
                if not any(part in str(error) for part in expected):
                    failures.append(f"{error.sqlstate}: {error}")

    threads = [threading.Thread(target=search, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        db.execute("SET ruvector.delta_limit = 64; SET client_min_messages = warning")
        commands = [
            "VACUUM (INDEX_CLEANUP ON) items", "SELECT ruvector_index_maintenance('items_idx')", "REINDEX INDEX items_idx",
            "VACUUM (INDEX_CLEANUP ON) items", "REINDEX INDEX CONCURRENTLY items_idx", "VACUUM FULL items",
            "DROP INDEX items_idx; CREATE INDEX items_idx ON items USING ruhnsw (embedding ruvector_l2_ops)",
        ]  # fmt: skip
        for step in range(rounds):
            first = 1001 + step * 300
            add_rows(db, first, first + 299, dims=16)
            db.execute(f"DELETE FROM items WHERE id > 10 AND id % 3 = {step % 3}")
            command = commands[step % len(commands)]
            if command.startswith(("REINDEX", "DROP")):
                db.execute("VACUUM (INDEX_CLEANUP ON) items")
            db.execute(command)
            time.sleep(0.1)
        # nothing is replayed any more that cancels anybody
        end = time.monotonic() + 60
        while min(right.values()) == 0 and failures == []:
            assert time.monotonic() < end, right
            time.sleep(0.05)
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        # images of an index that was dropped elsewhere
        db.execute("DROP INDEX items_idx")
        with psycopg.connect(standby.dsn(db.name), autocommit=True) as conn:
            wait_for_replay(db, conn)
            conn.execute("SELECT '[1]'::ruvector")
        assert list(standby.cluster.data.glob("pgsql_tmp_ruvector/[0-9]*/*")) == []
        assert "PANIC" not in standby.log.read_text() + primary.log.read_text()
    finally:
        done.set()
        standby.stop("immediate")
    db.close()


def test_recovery_to_a_point_in_time(new_cluster: Callable[..., Server], scratch: Path) -> None:
    """A base backup and archived WAL, up to a moment after which the index was maintained and rows came and went."""
    archive = Path(tempfile.mkdtemp(prefix="archive-", dir=scratch))
    server = new_cluster({"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"})
    server.account.own(archive)
    db = server.database()
    make_table(db, 500)
    make_index(db)
    folder = Path(tempfile.mkdtemp(prefix="pitr-", dir=scratch))
    base_backup(server, folder, "-X", "none")
    add_rows(db, 501, 900)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    db.execute("DELETE FROM items WHERE id % 10 = 0")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    add_rows(db, 901, 950)
    expected = set(db.column("SELECT id FROM items"))
    db.execute("SELECT pg_create_restore_point('here')")
    db.execute("DELETE FROM items WHERE id < 500")
    add_rows(db, 2001, 2400)
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    db.execute("SELECT pg_switch_wal()")
    db.close()
    server.stop()
    (folder / "data" / "recovery.signal").touch()
    server.account.give(folder / "data" / "recovery.signal")
    restored = Server(
        server.installation,
        folder,
        {"restore_command": f"cp {archive}/%f %p", "recovery_target_name": "here", "recovery_target_action": "promote"},
    )
    try:
        copy = Database(restored, db.name)
        end = time.monotonic() + 60
        while copy.value("SELECT pg_is_in_recovery()"):
            assert time.monotonic() < end, "timed out waiting for the end of recovery"
            time.sleep(0.05)
        index_only(copy)
        copy.execute("SET ruvector.iterative_scan = relaxed_order; SET ruvector.max_scan_tuples = 10000000; SET work_mem = '1GB'")
        query = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1)"
        assert set(copy.column(query)) == expected
        assert copy.rows(CHECK) == []
        # another history begins, in pages that the first one used otherwise
        add_rows(copy, 3001, 3400)
        copy.execute("VACUUM (INDEX_CLEANUP ON) items")
        copy.execute("SELECT ruvector_index_maintenance('items_idx')")
        assert copy.rows(CHECK) == []
        assert len(copy.column(query)) == len(expected) + 400
        copy.close()
    finally:
        restored.stop("immediate")
