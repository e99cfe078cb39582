# SPDX-License-Identifier: PostgreSQL
"""Moving from pgvector: the type change in place beside a rewrite and a copy, and whole migrations by the tool."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from measuring import Context, Result, Row
from systems import HNSW, run

_DATABASE = "ruvector_bench_migration"
_ROWS_MAX = 20_000


def _seconds(context: Context, statement: str) -> float:
    began = time.perf_counter()
    run(context.conn, statement)
    return time.perf_counter() - began


def conversion(context: Context) -> Result:
    """ALTER TABLE … TYPE ruvector in place, what pgvector's own change of type (to halfvec) takes, and a copy."""
    conn, dims = context.conn, context.data.dims
    rows: list[Row] = []
    run(conn, "CREATE TABLE converted AS TABLE items")
    run(conn, f"ALTER TABLE converted ALTER COLUMN embedding TYPE vector({dims})")
    for target in (f"ruvector({dims})", f"halfvec({dims})"):
        [before] = conn.execute("SELECT pg_relation_filenode('converted')").fetchone() or (0,)
        seconds = _seconds(context, f"ALTER TABLE converted ALTER COLUMN embedding TYPE {target}")
        [after] = conn.execute("SELECT pg_relation_filenode('converted')").fetchone() or (0,)
        rows.append({"statement": f"ALTER COLUMN … TYPE {target}", "ms": seconds * 1000, "rewritten": before != after})
        if target.startswith("ruvector"):
            run(conn, f"ALTER TABLE converted ALTER COLUMN embedding TYPE vector({dims})")
    run(conn, "DROP TABLE converted")
    seconds = _seconds(context, "CREATE TABLE converted AS SELECT id, content, embedding::ruvector FROM items")
    rows.append({"statement": "CREATE TABLE … AS SELECT embedding::ruvector", "ms": seconds * 1000, "rewritten": None})
    run(conn, "DROP TABLE converted")
    return Result(rows, facts={"rewritten": rows[0]["rewritten"]})


def _pgvector_database(context: Context, count: int) -> str:
    dsn = context.cluster.uri(_DATABASE)
    with psycopg.connect(context.cluster.uri(), autocommit=True) as admin:
        run(admin, f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        run(admin, f"CREATE DATABASE {_DATABASE}")
    with psycopg.connect(dsn, autocommit=True) as conn:
        run(conn, "CREATE EXTENSION vector")
        HNSW[0].load(conn, context.data.base[:count])
        run(conn, "ALTER TABLE items ADD PRIMARY KEY (id)")
        HNSW[0].build(conn, "m = 16, ef_construction = 64")
    return dsn


def migration(context: Context) -> Result:
    """`ruvector migrate` of a table with a primary key and an hnsw index (20,000 rows at the most): seconds a step."""
    count = min(_ROWS_MAX, len(context.data.base))
    rows: list[Row] = []
    for strategy in ("in-place", "parallel"):
        dsn = _pgvector_database(context, count)
        row: Row = {"strategy": strategy, "rows": count, "migrate s": _tool_s(dsn, "migrate", "--strategy", strategy)}
        for step in ("validate", "cutover"):
            row[f"{step} s"] = _tool_s(dsn, step) if strategy == "parallel" else None
        rows.append(row)
    with psycopg.connect(context.cluster.uri(), autocommit=True) as admin:
        run(admin, f"DROP DATABASE {_DATABASE} WITH (FORCE)")
    return Result(rows)


def _tool_s(dsn: str, *step: str) -> float:
    """Seconds of one step of the tool, which leaves its undo script where it is called."""
    command = [Path(sys.prefix) / "bin" / "ruvector", *step, "--dsn", dsn]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ruvector-bench-") as folder:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return time.perf_counter() - began
