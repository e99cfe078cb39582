# SPDX-License-Identifier: PostgreSQL
"""Each driver against a live server: values in, values out, nearest neighbour first; beside pgvector too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from harness import Database, needs_extension

from ruvector_fdw.clients.types import TypeNotFoundError
from ruvector_fdw.clients.values import HalfVector, SparseVector, Vector

TABLE = "CREATE TABLE items (id int PRIMARY KEY, v ruvector(3), h {0}halfvec(3), s {0}sparsevec(5), a ruvector(3)[])"
ROWS = [
    (1, Vector([1, 2, 3]), HalfVector([1.5, 2, 3]), SparseVector({0: 1.0, 4: 2.5}, 5)),
    (2, Vector([-1, 0, 1e-3]), HalfVector([0, 0, -2]), SparseVector({2: -1.0}, 5)),
    (3, None, None, None),
]


@pytest.fixture(params=["alone", "beside pgvector"])
def items(db: Database, request: pytest.FixtureRequest) -> Database:
    schema = ""
    if request.param == "beside pgvector":
        needs_extension(db.server, "vector")
        db.execute("CREATE EXTENSION vector")
        schema = "ruvector."
    db.execute(TABLE.format(schema))
    return db


def check(rows: list[Any]) -> None:
    """The rows of ROWS came back as they went, as our classes."""
    found = [(int(r[0]), *r[1:4]) for r in rows]
    assert [r[0] for r in found] == [1, 2, 3]
    for given, got in zip(ROWS, found, strict=True):
        for a, b in zip(given[1:], got[1:], strict=True):
            if isinstance(a, SparseVector):
                assert isinstance(b, SparseVector)
                assert a.to_list() == b.to_list()
            elif a is None:
                assert b is None
            else:
                assert type(b) is type(a)
                assert np.array_equal(a.to_numpy(), b.to_numpy())


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg(items: Database, binary: bool) -> None:
    from ruvector_fdw.clients.psycopg import register_ruvector

    with items.connect() as conn:
        register_ruvector(conn)
        slots = "%b, %b, %b, %b" if binary else "%s, %s, %s, %s"
        for row in ROWS:
            conn.execute(f"INSERT INTO items (id, v, h, s) VALUES ({slots})", row)  # type: ignore[arg-type]
        cursor = conn.cursor(binary=binary)
        check(cursor.execute("SELECT id, v, h, s FROM items ORDER BY id").fetchall())
        query = np.array([-1, 0, 0], dtype=np.float64)
        assert conn.execute("SELECT id FROM items ORDER BY v <-> %s LIMIT 1", (query,)).fetchone() == (2,)
        conn.execute("UPDATE items SET a = %s WHERE id = 1", ([Vector([1, 2, 3]), Vector([4, 5, 6])],))
        row = conn.execute("SELECT a FROM items WHERE id = 1").fetchone()
        assert row is not None
        assert [v.to_list() for v in row[0]] == [[1, 2, 3], [4, 5, 6]]


def test_psycopg_copies_in_binary(items: Database) -> None:
    from ruvector_fdw.clients.psycopg import register_ruvector

    with items.connect() as conn:
        register_ruvector(conn)
        with conn.cursor().copy("COPY items (id, v) FROM STDIN WITH (FORMAT binary)") as copy:
            copy.set_types(["int4", "ruvector"])
            for number in range(100):
                copy.write_row((number, Vector([number, 0, 1])))
        row = conn.execute("SELECT count(*), sum(ruvector_norm(v)) > 0 FROM items").fetchone()
        assert row == (100, True)


def test_psycopg_async(items: Database) -> None:
    from ruvector_fdw.clients.psycopg import register_ruvector_async

    async def work() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(items.dsn, autocommit=True) as conn:
            await register_ruvector_async(conn)
            for row in ROWS:
                await conn.execute("INSERT INTO items (id, v, h, s) VALUES (%s, %s, %s, %s)", row)
            return await (await conn.execute("SELECT id, v, h, s FROM items ORDER BY id")).fetchall()

    check(asyncio.run(work()))


def test_psycopg2(items: Database) -> None:
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    from ruvector_fdw.clients.psycopg2 import register_ruvector

    conn = psycopg2.connect(items.dsn)
    try:
        register_ruvector(conn)
        cursor = conn.cursor()
        for row in ROWS:
            cursor.execute("INSERT INTO items (id, v, h, s) VALUES (%s, %s, %s, %s)", row)
        cursor.execute("SELECT id, v, h, s FROM items ORDER BY id")
        check(cursor.fetchall())
        cursor.execute("SELECT id FROM items ORDER BY v <-> %s LIMIT 1", (np.array([1, 2, 2]),))
        assert cursor.fetchone() == (1,)
    finally:
        conn.close()


def test_asyncpg(items: Database) -> None:
    asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    from ruvector_fdw.clients.asyncpg import register_ruvector

    async def work() -> tuple[list[Any], int]:
        conn = await asyncpg.connect(items.dsn)
        try:
            await register_ruvector(conn)
            await conn.executemany("INSERT INTO items (id, v, h, s) VALUES ($1, $2, $3, $4)", ROWS)
            rows = [tuple(r) for r in await conn.fetch("SELECT id, v, h, s FROM items ORDER BY id")]
            nearest = await conn.fetchval("SELECT id FROM items ORDER BY v <=> $1 LIMIT 1", [-1.0, 0.0, 0.0])
            return rows, nearest
        finally:
            await conn.close()

    rows, nearest = asyncio.run(work())
    check(rows)
    assert nearest == 2


def test_pg8000(items: Database) -> None:
    native = pytest.importorskip("pg8000.native", reason="pg8000 is not installed")
    from ruvector_fdw.clients.pg8000 import register_ruvector

    parts = psycopg.conninfo.conninfo_to_dict(items.dsn)
    socket = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
    conn = native.Connection(parts["user"], unix_sock=socket, database=parts["dbname"])
    try:
        register_ruvector(conn)
        for row in ROWS:
            names = dict(zip("ivhs", row, strict=True))
            conn.run("INSERT INTO items (id, v, h, s) VALUES (:i, :v, :h, :s)", **names)
        check(conn.run("SELECT id, v, h, s FROM items ORDER BY id"))
        assert conn.run("SELECT id FROM items ORDER BY v <-> :q LIMIT 1", q=np.array([1, 2, 2])) == [[1]]
        conn.run("UPDATE items SET a = ARRAY[v, NULL, '[4,5,6]'] WHERE id = 1")
        [[found]] = conn.run("SELECT a FROM items WHERE id = 1")
        assert [v and v.to_list() for v in found] == [[1, 2, 3], None, [4, 5, 6]]
    finally:
        conn.close()


def test_pg8000_dbapi(items: Database) -> None:
    dbapi = pytest.importorskip("pg8000.dbapi", reason="pg8000 is not installed")
    from ruvector_fdw.clients.pg8000 import register_ruvector

    parts = psycopg.conninfo.conninfo_to_dict(items.dsn)
    socket = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
    conn = dbapi.connect(str(parts["user"]), unix_sock=socket, database=str(parts["dbname"]))
    try:
        register_ruvector(conn)
        cursor = conn.cursor()
        for row in ROWS:
            cursor.execute("INSERT INTO items (id, v, h, s) VALUES (%s, %s, %s, %s)", row)
        cursor.execute("SELECT id, v, h, s FROM items ORDER BY id")
        check(list(cursor.fetchall()))
    finally:
        conn.close()


def test_without_the_extension_it_says_so(db: Database) -> None:
    from ruvector_fdw.clients.psycopg import register_ruvector

    db.execute("DROP EXTENSION ruvector CASCADE")
    with db.connect() as conn, pytest.raises(TypeNotFoundError, match="ruvector type not found in the database"):
        register_ruvector(conn)


def test_drivers_do_without_pgvector_python(db: Database) -> None:
    script = Path(__file__).with_name("without_pgvector.py")
    hidden = "import runpy, sys; sys.modules['pgvector'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", hidden, script, db.dsn], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "psycopg psycopg2 asyncpg pg8000\n"), ran.stderr
