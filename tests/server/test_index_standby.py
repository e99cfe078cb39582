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
from standbys import base_backup, wait_for_replay

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"


@pytest.mark.parametrize("rounds", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_scans_of_a_standby_while_the_primary_maintains(new_cluster: Callable[..., Server], scratch: Path, rounds: int) -> None:
    """Pages are freed and used again under the standby's scans; nothing there keeps replay from it."""
    primary = new_cluster({"autovacuum": "off"})
    db = primary.database()
    make_table(db, 600, dims=16)
    make_index(db)
    folder = Path(tempfile.mkdtemp(prefix="standby-", dir=scratch))
    base_backup(primary, folder, "-R", "-X", "stream")
    standby = Server(primary.installation, folder, {"hot_standby_feedback": "on", "max_standby_streaming_delay": "-1"})
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
