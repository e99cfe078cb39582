# SPDX-License-Identifier: PostgreSQL
"""What is committed is found after crashes, on replicas and in copies; damaged images are noticed and made again."""

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
from index_tables import add_rows, compare, index_only, make_index, make_table
from standbys import make_standby, wait_for_replay

RECALL = 0.95  # as in test_index_search.py


def images(server: Server) -> list[Path]:
    return sorted(path for path in server.cluster.data.glob("pgsql_tmp_ruvector/[0-9]*/*") if path.suffix != ".tmp")


def nearest(db: Database, ident: int) -> list[int]:
    index_only(db)
    return db.column(f"SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = {ident}) LIMIT 5")


def assert_index_has_every_row(db: Database) -> None:
    """The index holds what the heap holds, and finds it."""
    index_only(db)
    db.execute("SET ruvector.max_scan_tuples = 10000000; SET ruvector.iterative_scan = relaxed_order; SET work_mem = '1GB'")
    ids = db.column("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items LIMIT 1)")
    assert len(ids) == len(set(ids))
    db.execute("RESET ALL; SET enable_indexscan = off")
    truth = set(db.column("SELECT id FROM items"))
    db.execute("RESET ALL")
    assert set(ids) <= truth
    assert len(ids) >= 0.99 * len(truth)
    for ident in random.Random(1).sample(sorted(truth), min(100, len(truth))):
        assert ident in nearest(db, ident)
    db.execute("RESET ALL")


@pytest.mark.core
@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.soak)])
def test_kill_under_load(new_cluster: Callable[..., Server], rounds: int) -> None:
    """SIGKILL to everything while rows come, go, are vacuumed, sealed and merged, on pages with checksums."""
    server = new_cluster()
    if server.major < 18:  # where checksums are not the default
        server.stop()
        server.account.run([server.installation.program("pg_checksums"), "--enable", "-D", server.cluster.data])
        server.start()
    db = server.database()
    assert db.value("SHOW data_checksums") == "on"
    make_table(db, 200)
    make_index(db)
    committed: set[int] = set(db.column("SELECT id FROM items"))
    lock = threading.Lock()

    def insert(seed: int) -> None:
        rng = random.Random(seed)
        try:
            with psycopg.connect(db.dsn) as conn:
                conn.execute("SET ruvector.delta_limit = 64")
                while True:
                    done: set[int] = set()
                    for _ in range(rng.randint(1, 40)):
                        vector = str([rng.random() for _ in range(32)])
                        row = conn.execute(
                            "INSERT INTO items (category, embedding) VALUES (0, %s::ruvector) RETURNING id", (vector,)
                        ).fetchone()
                        assert row is not None
                        done.add(row[0])
                    conn.commit()
                    with lock:
                        committed.update(done)
        except psycopg.Error:
            pass

    def churn(seed: int) -> None:
        rng = random.Random(seed)
        try:
            with psycopg.connect(db.dsn, autocommit=True) as conn:
                conn.execute("SET client_min_messages = error")
                while True:
                    conn.execute("INSERT INTO items (category, embedding) SELECT 1, (SELECT array_agg(random()) "
                                 "FROM generate_series(1, 32) WHERE i = i)::float4[]::ruvector FROM generate_series(1, 50) i")  # fmt: skip
                    conn.execute("DELETE FROM items WHERE category = 1 AND id % 3 = %s", (rng.randint(0, 2),))
                    conn.execute("VACUUM (INDEX_CLEANUP ON) items")
                    if rng.random() < 0.5:
                        conn.execute("SELECT ruvector_index_maintenance('items_idx')")
        except psycopg.Error:
            pass

    db.execute("UPDATE items SET category = 2")
    for round_ in range(rounds):
        threads = [threading.Thread(target=insert, args=(round_ * 10 + number,)) for number in range(3)]
        threads.append(threading.Thread(target=churn, args=(round_ * 10 + 3,)))
        for thread in threads:
            thread.start()
        time.sleep(0.8 + 0.2 * (round_ % 5))
        server.kill9()
        for thread in threads:
            thread.join()
        server.start()
        db.reconnect()
        db.execute("SET enable_indexscan = off")
        assert committed <= set(db.column("SELECT id FROM items"))
        assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
        assert_index_has_every_row(db)
    # Few dead rows alone would let VACUUM leave the index as it is; another process's snapshot may delay it a moment.
    deadline = time.monotonic() + 60
    rows = db.value("SELECT count(*) FROM items")
    while db.value("SELECT vector_count FROM ruvector_index_stats('items_idx')") != rows:
        assert time.monotonic() < deadline
        db.execute("VACUUM (INDEX_CLEANUP ON) items")
    db.close()
    server.stop()
    server.account.run([server.installation.program("pg_checksums"), "--check", "-D", server.cluster.data])


@pytest.mark.core
def test_kill_during_create_index(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 4000)

    def build() -> None:
        try:
            with db.connect() as conn:
                conn.execute("SET max_parallel_maintenance_workers = 0")
                conn.execute("CREATE INDEX items_idx ON items USING ruhnsw (embedding ruvector_l2_ops) "
                             "WITH (m = 32, ef_construction = 400)")  # fmt: skip
        except psycopg.Error:
            pass

    for pause in (0.05, 0.4):
        thread = threading.Thread(target=build)
        thread.start()
        time.sleep(pause)
        server.kill9()
        thread.join()
        server.start()
        db.reconnect()
        db.execute("DROP INDEX IF EXISTS items_idx")
    make_index(db)
    assert_index_has_every_row(db)
    db.close()


def test_pages_that_are_not_logged_survive_a_crash(new_cluster: Callable[..., Server]) -> None:
    """With wal_level = minimal, what a transaction makes and fills is written out at its end instead."""
    server = new_cluster({"wal_level": "minimal", "max_wal_senders": "0", "wal_skip_threshold": "0"})
    db = server.database()
    db.execute("BEGIN; SET LOCAL ruvector.delta_limit = 64")
    make_table(db, 500)
    make_index(db)
    add_rows(db, 501, 1500)
    db.execute("COMMIT")
    server.kill9()
    server.start()
    db.reconnect()
    assert db.value("SELECT count(*) FROM items") == 1500
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    db.execute("BEGIN; TRUNCATE items")
    add_rows(db, 2001, 2300)
    db.execute("COMMIT")
    server.kill9()
    server.start()
    db.reconnect()
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    assert_index_has_every_row(db)
    db.close()


@pytest.mark.core
def test_unlogged_index_is_empty_after_a_crash(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 500)
    make_index(db)
    db.execute("ALTER TABLE items SET UNLOGGED; CHECKPOINT")
    assert len(nearest(db, 5)) == 5
    server.kill9()
    server.start()
    db.reconnect()
    assert db.value("SELECT count(*) FROM items") == 0
    assert db.value("SELECT vector_count FROM ruvector_index_stats('items_idx')") == 0
    add_rows(db, 1, 300)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert_index_has_every_row(db)
    server.restart()
    db.reconnect()
    assert_index_has_every_row(db)
    db.close()


@pytest.mark.core
@pytest.mark.parametrize("damage", ["delete", "truncate", "flip", "header", "foreign"])
def test_a_damaged_image_is_made_again(new_cluster: Callable[..., Server], damage: str) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 800)
    make_index(db)
    expected = nearest(db, 7)
    db.close()
    server.stop()
    [image] = images(server)
    good = image.read_bytes()
    match damage:
        case "delete":
            image.unlink()
        case "truncate":
            image.write_bytes(good[: len(good) // 2])
        case "flip":
            at = len(good) * 2 // 3
            image.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        case "header":
            image.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        case "foreign":
            image.write_bytes(good[:8] + bytes(8) + good[16:])
    server.start()
    db = Database(server, db.name)
    assert nearest(db, 7) == expected
    assert_index_has_every_row(db)
    [again] = images(server)
    # all but the moment at which the server that checked it was started
    assert again.read_bytes()[40:] == good[40:]
    db.close()


def test_an_image_damaged_under_a_running_server_is_made_again(new_cluster: Callable[..., Server]) -> None:
    """A new session maps the file afresh; its time of modification gives the damage away."""
    server = new_cluster()
    db = server.database()
    make_table(db, 800)
    make_index(db)
    expected = nearest(db, 7)
    db.reconnect()
    [image] = images(server)
    good = image.read_bytes()
    with image.open("r+b") as file:
        file.seek(len(good) * 2 // 3)
        file.write(bytes([good[len(good) * 2 // 3] ^ 0x10]))
    assert nearest(db, 7) == expected
    assert_index_has_every_row(db)
    assert images(server)[0].read_bytes() == good
    db.close()


def test_no_image_stays_when_the_last_index_goes(new_cluster: Callable[..., Server]) -> None:
    """Of a dropped, moved or rebuilt index: at the end of the session's next transaction, or of the session."""
    server = new_cluster()
    db = server.database()
    make_table(db, 300)
    make_index(db)
    for statement in ("REINDEX INDEX items_idx", "VACUUM FULL items", "SET allow_in_place_tablespaces = on",
                      "CREATE TABLESPACE other LOCATION ''", "ALTER INDEX items_idx SET TABLESPACE other"):  # fmt: skip
        db.execute(statement)
        assert len(nearest(db, 3)) == 5
        assert len(images(server)) == 1, statement
    db.execute("DROP INDEX items_idx")
    db.execute("SELECT 1")
    assert images(server) == []
    db.execute("BEGIN")
    make_index(db)
    db.execute("ROLLBACK")
    db.execute("SELECT 1")
    assert images(server) == []
    make_index(db)
    with db.connect() as conn:
        conn.execute("DROP TABLE items")
        assert len(images(server)) == 1
    end = time.monotonic() + 30
    while images(server):
        assert time.monotonic() < end
        time.sleep(0.05)
    db.close()


def test_images_of_dropped_indexes_are_swept(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 300)
    make_index(db)
    assert len(images(server)) == 1
    db.execute("BEGIN")
    db.execute("CREATE INDEX other_idx ON items USING ruhnsw (embedding ruvector_ip_ops)")
    assert len(images(server)) == 2
    db.execute("ROLLBACK")
    db.execute("REINDEX INDEX items_idx")
    db.execute("DROP INDEX items_idx")
    make_index(db)
    assert len(images(server)) == 1
    stale = images(server)[0].with_name("1663_99999_00000000deadbeef")
    stale.write_bytes(b"left behind")
    (images(server)[0].parent / "1663_1_00000000deadbeef.999999.tmp").write_bytes(b"half written")
    db.execute("REINDEX INDEX items_idx")
    assert not stale.exists()
    assert len(list(server.cluster.data.glob("pgsql_tmp_ruvector/*/*.tmp"))) == 0
    other = server.database()
    make_table(other, 10)
    make_index(other)
    other.close()
    server.drop(other.name)
    db.execute("REINDEX INDEX items_idx")
    assert len(list(server.cluster.data.glob("pgsql_tmp_ruvector/[0-9]*"))) == 1
    db.close()


@pytest.mark.core
def test_a_replica_answers_the_same_and_is_promoted(new_cluster: Callable[..., Server], scratch: Path) -> None:
    primary = new_cluster()
    db = primary.database()
    make_table(db, 1000)
    make_index(db)
    replica = make_standby(primary, scratch, {"hot_standby": "on"})
    try:
        copy = Database(replica, db.name)
        assert [nearest(copy, ident) for ident in range(1, 20)] == [nearest(db, ident) for ident in range(1, 20)]
        # everything that changes an index, while the replica goes on looking
        db.execute("SET ruvector.delta_limit = 64; SET ruvector.background_maintenance = off")
        for step in range(5):
            add_rows(db, 1001 + step * 400, 1400 + step * 400)
            db.execute(f"DELETE FROM items WHERE id % 7 = {step}")
            db.execute("VACUUM items")
            db.execute("SELECT ruvector_index_maintenance('items_idx')")
            nearest(copy, 6)
        db.execute("INSERT INTO items (embedding) SELECT embedding FROM items ORDER BY id LIMIT 10")
        wait_for_replay(db, copy.conn)
        ids = db.column("SELECT id FROM items WHERE id % 40 = 6")
        assert [nearest(copy, ident) for ident in ids] == [nearest(db, ident) for ident in ids]
        assert_index_has_every_row(copy)
        assert copy.rows("SELECT segments, delta_rows, vector_count FROM ruvector_index_stats('items_idx')") == db.rows(
            "SELECT segments, delta_rows, vector_count FROM ruvector_index_stats('items_idx')"
        )
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            copy.execute("SELECT ruvector_index_maintenance('items_idx')")
        primary.stop()
        copy.execute("SELECT pg_promote()")
        add_rows(copy, 9001, 9300)
        copy.execute("SELECT ruvector_index_maintenance('items_idx')")
        assert_index_has_every_row(copy)
        copy.close()
    finally:
        replica.stop("immediate")
    db.close()


def test_a_copied_data_directory(new_cluster: Callable[..., Server], scratch: Path) -> None:
    """A copy made with the server down, images included, that then goes its own way."""
    server = new_cluster()
    db = server.database()
    make_table(db, 500)
    make_index(db)
    expected = nearest(db, 3)
    db.close()
    server.stop()
    folder = Path(tempfile.mkdtemp(prefix="copy-", dir=scratch))
    folder.chmod(0o755)
    server.account.own(folder)
    server.account.run(["cp", "-a", server.cluster.data, folder / "data"])
    server.start()
    other = Server(server.installation, folder)
    try:
        copy = Database(other, db.name)
        original = Database(server, db.name)
        for which, first in ((copy, 1000), (original, 2000)):
            add_rows(which, first, first + 300)
            which.execute("SELECT ruvector_index_maintenance('items_idx')")
            assert_index_has_every_row(which)
        assert nearest(copy, 3)[0] == nearest(original, 3)[0] == expected[0]
        copy.close()
        original.close()
    finally:
        other.stop("immediate")


def test_recall_is_kept_through_a_restart(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 2000)
    make_index(db)
    before = compare(db)
    server.restart()
    db.reconnect()
    assert compare(db) == before
    assert before.recall >= RECALL
    db.close()


def test_pages_of_a_seal_that_failed_are_found_again(new_cluster: Callable[..., Server]) -> None:
    """No image can be written, as on a full disk: one error, the index as it was, no page lost for good."""
    server = new_cluster()
    db = server.database()
    make_table(db, 1000)
    make_index(db)
    add_rows(db, 1001, 1400)
    folder = images(server)[0].parent
    folder.chmod(0o555)  # no room for another image
    for _ in range(2):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="could not create file"):
            db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert len(nearest(db, 1400)) == 5
    grown = db.value("SELECT pg_relation_size('items_idx')")
    folder.chmod(0o700)
    assert db.value("SELECT delta_rows FROM ruvector_index_stats('items_idx')") == 400
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert_index_has_every_row(db)
    # what the failures wrote is used before the file grows again
    for step in range(3):
        add_rows(db, 2001 + step * 100, 2100 + step * 100)
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.value("SELECT pg_relation_size('items_idx')") <= grown + 8192 * 40
    assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
    db.close()


def test_a_failed_build_leaves_nothing(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 500)
    folder = server.cluster.data / "pgsql_tmp_ruvector"
    folder.write_text("in the way")
    with pytest.raises(psycopg.Error):
        make_index(db)
    folder.unlink()
    assert db.value("SELECT count(*) FROM pg_class WHERE relname = 'items_idx'") == 0
    make_index(db)
    assert_index_has_every_row(db)
    db.close()
