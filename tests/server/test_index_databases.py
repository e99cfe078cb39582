# SPDX-License-Identifier: PostgreSQL
"""Indexes in databases that are copied, dumped and dropped, and what is left of indexes that were never finished."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, make_index, make_table

CHECK = "SELECT * FROM ruvector_index_check('{}')"
NEAREST = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 7) LIMIT 10"


def folders(server: Server) -> set[str]:
    """Databases that have images."""
    return {path.parent.name for path in server.cluster.data.glob("pgsql_tmp_ruvector/[0-9]*/*")}


def oid_of(server: Server, name: str) -> str:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        row = conn.execute("SELECT oid FROM pg_database WHERE datname = %s", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_databases_that_are_copied_and_dropped(new_cluster: Callable[..., Server]) -> None:
    """A copy has the same pages under the same numbers, and goes its own way; images of a dropped database go with VACUUM."""
    server = new_cluster()
    db = server.database()
    make_table(db, 1000)
    make_index(db)
    add_rows(db, 1001, 1050)
    db.execute("SET enable_seqscan = off")
    expected = db.column(NEAREST)
    db.close()
    copies = []
    for strategy in ("wal_log", "file_copy") if server.major >= 15 else (None,):
        name = f"copied_{strategy}"
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            clause = f"STRATEGY {strategy}" if strategy else ""
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {db.name} {clause}")  # type: ignore[call-overload]
        copy = Database(server, name)
        copy.execute("SET enable_seqscan = off; SET client_min_messages = warning")
        assert copy.column(NEAREST) == expected
        add_rows(copy, 2001, 2300)
        copy.execute("DELETE FROM items WHERE id <= 5")
        copy.execute("VACUUM items")
        copy.execute("SELECT ruvector_index_maintenance('items_idx')")
        assert copy.rows(CHECK.format("items_idx")) == []
        copy.close()
        copies.append(oid_of(server, name))
        assert copies[-1] in folders(server)
    db.reconnect()
    db.execute("SET enable_seqscan = off")
    assert db.column(NEAREST) == expected
    assert db.rows(CHECK.format("items_idx")) == []
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        for strategy in ("wal_log", "file_copy") if server.major >= 15 else (None,):
            conn.execute(f"DROP DATABASE copied_{strategy}")  # type: ignore[call-overload]
    db.execute("VACUUM items")
    assert folders(server) == {oid_of(server, db.name)}
    db.close()


@pytest.mark.core
def test_a_dump_brings_every_index_back(server: Server, db: Database) -> None:
    """Parameters, operator classes, expressions and predicates; and DROP EXTENSION takes all of it along, images too."""
    make_table(db, 400)
    make_index(db)
    db.execute(
        "CREATE INDEX cosine_idx ON items USING ruhnsw (embedding ruvector_cosine_ops) "
        "WITH (m = 24, ef_construction = 100, quantization = 'pq16', ef_search = 77); "
        "CREATE INDEX lists_idx ON items USING ruivfflat (embedding ruvector_ip_ops) "
        "WITH (lists = 5, quantization = f16, probes = 5) WHERE category < 50; "
        "CREATE INDEX part_idx ON items USING ruhnsw ((subvector(embedding, 1, 8)::ruvector(8)) ruvector_l1_ops)"
    )
    connection = ["-h", str(server.socket_dir), "-p", "5432", "-U", "postgres"]
    dumped = subprocess.run(
        [server.installation.program("pg_dump"), *connection, db.name], capture_output=True, text=True, check=True
    )
    restored = server.database()
    try:
        restored.execute("DROP EXTENSION ruvector")
        done = subprocess.run(
            [server.installation.program("psql"), *connection, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", restored.name],
            input=dumped.stdout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        definitions = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        assert restored.column(definitions) == db.column(definitions)
        assert len(restored.column(definitions)) == 5
        for index in ("items_idx", "cosine_idx", "lists_idx", "part_idx"):
            assert restored.rows(CHECK.format(index)) == []
        oid = oid_of(server, restored.name)
        assert oid in folders(server)
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            restored.execute("DROP EXTENSION ruvector")
        restored.execute("SET client_min_messages = warning; DROP EXTENSION ruvector CASCADE")
        restored.execute("SELECT 1")
        assert oid not in folders(server)
        restored.execute("CREATE EXTENSION ruvector; ALTER TABLE items ADD embedding ruvector(3)")
        make_index(restored)
        assert restored.rows(CHECK.format("items_idx")) == []
    finally:
        restored.close()
        server.drop(restored.name)


@pytest.mark.core
def test_what_a_cancelled_concurrent_build_leaves(db: Database) -> None:
    """An index that is not valid: it is in nobody's way, is said to be what it is, and is dropped as any other."""
    make_table(db, 3000)
    make_index(db)
    db.execute("SET enable_seqscan = off; SET client_min_messages = warning")
    expected = db.column(NEAREST)
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    create = "CREATE INDEX CONCURRENTLY other_idx ON items USING ruhnsw (embedding ruvector_l2_ops) WITH (m = 64, ef_construction = 1000)"
    for command in (create, "REINDEX INDEX CONCURRENTLY items_idx"):
        # waits for the transaction that has the table, before the build or after it: cancelled there
        with db.connect() as conn:
            conn.execute("BEGIN; LOCK TABLE items IN ROW EXCLUSIVE MODE; INSERT INTO items (id) VALUES (-1)")
            db.execute("SET statement_timeout = '300ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                db.execute(command)
            db.execute("RESET statement_timeout")
            conn.execute("ROLLBACK")
        [left] = db.column(invalid)
        if db.value("SELECT pg_relation_size(%s::regclass)", (left,)) > 0:
            assert [place for place, _ in db.rows(CHECK.format(left))] == ["index"]
        add_rows(db, 4001, 4100)
        db.execute("DELETE FROM items WHERE id > 4000")
        db.execute("VACUUM (INDEX_CLEANUP ON) items")
        assert db.column(NEAREST) == expected
        db.execute(f"DROP INDEX CONCURRENTLY {left}")
    db.execute("REINDEX INDEX CONCURRENTLY items_idx")
    assert db.rows(CHECK.format("items_idx")) == []
    assert db.column(NEAREST)[0] == 7
