# SPDX-License-Identifier: PostgreSQL
"""A program: each driver with the values of `own_values`. test_drivers.py runs it in an interpreter where pgvector-python
cannot be imported.

without_pgvector.py DSN prints the drivers that brought every value back as it went.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncpg
import numpy as np
import pg8000.native
import psycopg
import psycopg2
from psycopg.conninfo import conninfo_to_dict

from ruvector_fdw.clients import asyncpg as our_asyncpg
from ruvector_fdw.clients import pg8000 as our_pg8000
from ruvector_fdw.clients import psycopg as our_psycopg
from ruvector_fdw.clients import psycopg2 as our_psycopg2
from ruvector_fdw.clients.values import Bit, HalfVector, SparseVector, Vector

GIVEN = (Vector([1, 2, 0.1]), HalfVector(np.array([0.5, 2, -3])), SparseVector({0: 1.5, 4: -2}, 5))
INSERT, TAKE = "INSERT INTO own VALUES ({}, {}, {})", "DELETE FROM own RETURNING *"


def check(row: Any) -> None:
    assert tuple(row) == GIVEN, row
    assert {type(value).__module__ for value in row} == {"ruvector_fdw.clients.own_values"}


def with_psycopg(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE own (v ruvector(3), h halfvec(3), s sparsevec(5))")
        our_psycopg.register_ruvector(conn)
        for binary in (False, True):
            conn.execute(INSERT.format(*["%b" if binary else "%s"] * 3).encode(), GIVEN)
            check(conn.execute(TAKE, binary=binary).fetchone())
        array = np.array([1, 2, 0.1], dtype=np.float32)
        assert conn.execute("SELECT %s, %s::bit(3), %b", (array, Bit("101"), Bit([True]))).fetchone() == (
            GIVEN[0],
            Bit("101"),
            Bit("1"),
        )


def with_psycopg2(dsn: str) -> None:
    conn = psycopg2.connect(dsn)
    our_psycopg2.register_ruvector(conn)
    cursor = conn.cursor()
    cursor.execute(INSERT.format("%s", "%s", "%s"), GIVEN)
    cursor.execute(TAKE)
    check(cursor.fetchone())
    conn.close()


async def with_asyncpg(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await our_asyncpg.register_ruvector(conn)
    await conn.execute(INSERT.format("$1", "$2", "$3"), *GIVEN)
    check(await conn.fetchrow(TAKE))
    await conn.close()


def with_pg8000(dsn: str) -> None:
    parts = conninfo_to_dict(dsn)
    socket = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
    conn = pg8000.native.Connection(parts["user"], unix_sock=socket, database=parts["dbname"])
    our_pg8000.register_ruvector(conn)
    conn.run(INSERT.format(":a", ":b", ":c"), **dict(zip("abc", GIVEN, strict=True)))
    check(conn.run(TAKE)[0])
    conn.close()


def main() -> None:
    dsn = sys.argv[-1]
    with_psycopg(dsn)
    with_psycopg2(dsn)
    asyncio.run(with_asyncpg(dsn))
    with_pg8000(dsn)
    print("psycopg psycopg2 asyncpg pg8000")


if __name__ == "__main__":
    main()
