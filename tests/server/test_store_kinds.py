# SPDX-License-Identifier: PostgreSQL
"""Every kind of store as a foreign table, and what a session is told when a store cannot be used."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import psycopg
import pytest
from fdw_database import FdwDatabase
from harness import needs_extension
from psycopg.conninfo import conninfo_to_dict

from ruvector_fdw.store import Store

DATA = np.random.default_rng(4).standard_normal((3000, 8)).astype(np.float32)
QUERY = str((DATA[7] + np.float32(0.01)).tolist())
NEAREST = f"SELECT id FROM t ORDER BY embedding <-> '{QUERY}' LIMIT 5"


def expected() -> list[int]:
    query = (DATA[7] + np.float32(0.01)).astype(np.float64)
    return [int(i) for i in np.argsort(((DATA - query) ** 2).sum(axis=1))[:5]]


def serve(fdw: FdwDatabase, kind: str, table_options: str, server_options: str = "") -> None:
    fdw.execute(f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind '{kind}'{server_options})")
    fdw.execute(f"CREATE FOREIGN TABLE t (id bigint, embedding ruvector(8)) SERVER s OPTIONS ({table_options})")


def give_to_server(fdw: FdwDatabase, store: Path) -> None:
    """A store is its owner's and group's: one that a test made as root is not the server's to read."""
    account = fdw.server.account
    for path in [store, *store.rglob("*")]:
        if account.uid is not None:
            shutil.chown(path, account.uid, account.gid)


def test_numpy(fdw: FdwDatabase, shared_dir: Path) -> None:
    np.save(shared_dir / "v.npy", DATA)
    serve(fdw, "numpy", f"path '{shared_dir}/v.npy'")
    plan = fdw.plan(NEAREST)
    assert "Limit pushed: 5" in plan and "Order By pushed" in plan and "3000 vectors, exact" in plan
    assert fdw.column(NEAREST) == expected()
    assert fdw.value(f"SELECT count(*) FROM t WHERE embedding <-> '{QUERY}' < 2 AND id >= 10") == int(
        (np.sqrt(((DATA[10:] - DATA[7] - np.float32(0.01)) ** 2).sum(axis=1)) < 2).sum()
    )
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        fdw.execute("DELETE FROM t")


def test_usearch(fdw: FdwDatabase, shared_dir: Path) -> None:
    usearch = pytest.importorskip("usearch.index", reason="the package usearch is not installed")
    index = usearch.Index(ndim=8, metric="l2sq", expansion_search=200)
    index.add(np.arange(len(DATA)), DATA)
    index.save(str(shared_dir / "v.usearch"))
    serve(fdw, "usearch", f"path '{shared_dir}/v.usearch', ef_search '300'")
    assert "ef_search 300" in fdw.plan(NEAREST)
    assert fdw.column(NEAREST) == expected()
    assert fdw.value("SELECT count(*) FROM t WHERE id IN (3, 5, 99999)") == 2


def test_pgvector_and_moving_a_table_across(fdw: FdwDatabase, shared_dir: Path) -> None:
    needs_extension(fdw.server, "vector")
    there = conninfo_to_dict(fdw.server.dsn(fdw.server.create(("vector",))))
    with psycopg.connect(**there, autocommit=True) as conn:  # type: ignore[arg-type]
        conn.execute("CREATE TABLE items (id bigint PRIMARY KEY, embedding vector(8) NOT NULL)")
        with conn.cursor().copy("COPY items FROM STDIN") as copy:
            for i, vector in enumerate(DATA):
                copy.write_row((i, str(vector.tolist())))
        conn.execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)")
        conn.execute("ANALYZE items")
    given = ", ".join(f"{name} '{value}'" for name, value in there.items() if name != "user")
    fdw.execute(f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'pgvector', {given})")
    fdw.execute(
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (user '{there['user']}', password 'open sesame')"
    )
    fdw.execute("IMPORT FOREIGN SCHEMA public LIMIT TO (items) FROM SERVER s INTO public")
    nearest = NEAREST.replace("FROM t", "FROM items")
    plan = fdw.plan(nearest)
    assert "LIMIT 5" in plan and 'OPERATOR("public".<->)' in plan and "sesame" not in plan
    assert fdw.column(nearest) == expected()

    with Store.create(shared_dir / "t", dims=8, columns={"id": "int8"}, seal_rows=1024):
        pass
    give_to_server(fdw, shared_dir / "t")
    fdw.execute("CREATE SERVER l FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store')")
    fdw.execute(f"CREATE FOREIGN TABLE t (id bigint, embedding ruvector(8)) SERVER l OPTIONS (path '{shared_dir}/t')")
    fdw.execute("INSERT INTO t SELECT * FROM items")
    assert fdw.rows("SELECT count(*), sum(id) FROM t") == [(3000, 3000 * 2999 // 2)]
    assert fdw.column(NEAREST)[0] == 7
    assert (
        fdw.value("SELECT count(*) FROM t JOIN items USING (id) WHERE t.embedding::text = items.embedding::text")
        == 3000
    )


def test_a_query_over_there_is_cancelled(fdw: FdwDatabase) -> None:
    there = conninfo_to_dict(fdw.dsn)
    fdw.execute("CREATE FUNCTION slow() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(30)'")
    fdw.execute("CREATE VIEW sleeper AS SELECT public.slow() AS a")
    given = ", ".join(f"{name} '{value}'" for name, value in there.items())
    fdw.execute(f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'pgvector', {given})")
    fdw.execute("CREATE FOREIGN TABLE t (a int) SERVER s OPTIONS (table_name 'sleeper')")
    began = time.monotonic()
    timer = threading.Timer(0.5, fdw.conn.cancel_safe)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        fdw.rows("SELECT * FROM t")
    timer.join()
    assert time.monotonic() - began < 10
    assert fdw.value("SELECT 1") == 1


def test_stores_that_cannot_be_used(fdw: FdwDatabase, shared_dir: Path) -> None:
    fdw.execute("CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store')")
    with Store.create(shared_dir / "ok", dims=8, columns={"id": "int8"}):
        pass
    give_to_server(fdw, shared_dir / "ok")
    (shared_dir / "text").mkdir()
    (shared_dir / "text" / "store.db").write_text("no database " * 500)

    def state(columns: str, options: str) -> str:
        fdw.execute(f"CREATE FOREIGN TABLE u ({columns}) SERVER s OPTIONS ({options})")
        with pytest.raises(psycopg.Error) as caught:
            fdw.rows("SELECT * FROM u")
        fdw.execute("DROP FOREIGN TABLE u")
        assert "Traceback" not in str(caught.value)
        return f"{caught.value.sqlstate} {caught.value.diag.message_primary}"

    ok = f"path '{shared_dir}/ok'"
    for columns, options, told in [
        ("id int8", f"path '{shared_dir}/none'", "58P01 store"),
        ("id int8", f"path '{shared_dir}/text'", "HV000 "),
        ("id int8, nope int", ok, 'HV005 column "nope" does not exist'),
        ("id int8, embedding halfvec(8)", ok, 'HV004 column "embedding" has type halfvec'),
        ("id int8", f"{ok}, ef_search '0'", 'HV00D invalid value for option "ef_search"'),
        ("id int8", f"{ok}, speed 'high'", 'HV00D invalid option "speed"'),
    ]:
        assert state(columns, options).startswith(told)


def test_a_store_that_goes_wrong_in_use(fdw: FdwDatabase, shared_dir: Path) -> None:
    """One error each, the session and its other stores go on, and when the store is right again so is the table."""
    path = shared_dir / "items"

    def make(rows: int) -> None:
        with Store.create(path, dims=8, columns={"id": "int8"}, seal_rows=64) as store:
            store.add(DATA[:rows], id=range(rows))
        give_to_server(fdw, path)

    def state() -> str:
        with pytest.raises(psycopg.Error) as caught:
            fdw.rows(NEAREST)
        assert "Traceback" not in str(caught.value) and fdw.value("SELECT 1") == 1
        return caught.value.sqlstate or ""

    make(200)
    serve(fdw, "store", f"path '{path}'")
    assert fdw.column(NEAREST)[0] == 7
    shutil.rmtree(path)
    assert state() == "58P01"
    make(100)
    assert fdw.column(NEAREST)[0] == 7 and fdw.value("SELECT count(*) FROM t") == 100

    (segment,) = (path / "segments").iterdir()
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    fdw.reconnect()
    assert state() == "XX001"
    assert fdw.value("SELECT count(*) FROM t") == 100, "rows are not in the segment"
    with Store(path) as store:
        store.compact(rebuild=True)
    give_to_server(fdw, path)
    assert fdw.column(NEAREST)[0] == 7

    with sqlite3.connect(path / "store.db") as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version = {version + 1}")
    database.close()
    give_to_server(fdw, path)
    fdw.reconnect()
    assert state() == "0A000"
    with sqlite3.connect(path / "store.db") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    give_to_server(fdw, path)
    assert fdw.column(NEAREST)[0] == 7

    if fdw.server.account.uid is not None:  # else the server is this process's user, from whom nothing can be hidden
        path.chmod(0)
        fdw.reconnect()
        assert state() == "42501"
        path.chmod(0o750)
    assert fdw.column(NEAREST)[0] == 7


def test_files_that_are_replaced_in_use(fdw: FdwDatabase, shared_dir: Path) -> None:
    np.save(shared_dir / "v.npy", DATA)
    serve(fdw, "numpy", f"path '{shared_dir}/v.npy'")
    assert fdw.column(NEAREST) == expected()
    np.save(shared_dir / "v.npy", DATA[5:10])  # in place, and shorter: what was mapped is not there any more
    assert fdw.column(NEAREST)[0] == 2 and fdw.value("SELECT count(*) FROM t") == 5
    (shared_dir / "v.npy").write_bytes(b"no array")
    with pytest.raises(psycopg.errors.FdwError, match="is not an .npy file"):
        fdw.rows(NEAREST)
    assert fdw.value("SELECT 1") == 1
