# SPDX-License-Identifier: PostgreSQL
"""The types against pgvector's in one server: text and binary I/O, casts, distances over a sequential scan, aggregates.

    .venv/bin/python bench/types/run.py [--dsn URI] [--rows 2000] [--dims 1536] [--runs 7] [--out FILE.json]

Without --dsn it uses the server of `ruvector up`. Each statement runs alternately for both sides, after one run of each
that is not counted; the table shows the server's own execution time of the fastest run of each, the one that other work
of the machine has disturbed least, and their ratio (above 1: ours is faster); the file has every run. pgvector is the one
installed in that server. Values of more than 2 kB are read out of line, which costs more than a distance; `inline` rows
have 384 dimensions and show the functions themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

TOP = Path(__file__).resolve().parents[2]

# name: the statement; {T} is the dense type, {H} the float16 one, {s} the side's columns' suffix; {query}, {half}, {short}
# and {sparse} are constants, as a query has them, of the dimensions of columns v and h, and of the inline v and s
STATEMENTS = {
    "text in": "SELECT count(t::{T}) FROM bench_text",
    "text in, halfvec": "SELECT count(t::{H}) FROM bench_text",
    "text out": "SELECT sum(length(v{s}::text)) FROM bench_values",
    "binary out": "COPY (SELECT v{s} FROM bench_values) TO '/dev/null' (FORMAT binary)",
    "from real[]": "SELECT count(a::{T}) FROM bench_values",
    "to real[]": "SELECT count(v{s}::real[]) FROM bench_values",
    "to halfvec": "SELECT count(v{s}::{H}) FROM bench_values",
    "<->": "SELECT min(v{s} <-> {query}) FROM bench_values",
    "<#>": "SELECT min(v{s} <#> {query}) FROM bench_values",
    "<=>": "SELECT min(v{s} <=> {query}) FROM bench_values",
    "<+>": "SELECT min(v{s} <+> {query}) FROM bench_values",
    "halfvec <->": "SELECT min(h{s} <-> {half}) FROM bench_values",
    "halfvec <=>": "SELECT min(h{s} <=> {half}) FROM bench_values",
    "avg": "SELECT avg(v{s}) FROM bench_values",
    "sum": "SELECT sum(v{s}) FROM bench_values",
    "halfvec avg": "SELECT avg(h{s}) FROM bench_values",
    "+": "SELECT count(v{s} + {query}) FROM bench_values",
    "l2_normalize": "SELECT count(l2_normalize(v{s})) FROM bench_values",
    "vector_norm": "SELECT min(vector_norm(v{s})) FROM bench_values",
    "halfvec +": "SELECT count(h{s} + {half}) FROM bench_values",
    "halfvec sum": "SELECT sum(h{s}) FROM bench_values",
    "sparsevec <->": "SELECT min(s{s} <-> {sparse}) FROM bench_inline",
    "inline <->": "SELECT min(v{s} <-> {short}) FROM bench_inline",
    "inline <#>": "SELECT min(v{s} <#> {short}) FROM bench_inline",
    "inline <=>": "SELECT min(v{s} <=> {short}) FROM bench_inline",
    "inline <+>": "SELECT min(v{s} <+> {short}) FROM bench_inline",
    "inline <": "SELECT count(v{s} < {short}) FROM bench_inline",
    "inline +": "SELECT count(v{s} + {short}) FROM bench_inline",
    "inline *": "SELECT count(v{s} * {short}) FROM bench_inline",
    "inline sum": "SELECT sum(v{s}) FROM bench_inline",
    "sort": "SELECT count(*) FROM (SELECT v{s} FROM bench_values ORDER BY v{s} OFFSET 0) AS s",
}
SIDES = {
    "pgvector": {"T": "vector", "H": "halfvec", "S": "sparsevec", "s": "_pg"},
    "ruvector": {"T": "ruvector", "H": "ruvector.halfvec", "S": "ruvector.sparsevec", "s": "_ru"},
}
CONSTANTS = {"query": ("v_ru", "bench_values", "T"), "half": ("h_ru", "bench_values", "H"),
             "short": ("v_ru", "bench_inline", "T"), "sparse": ("s_ru", "bench_inline", "S")}  # fmt: skip


def prepare(conn: psycopg.Connection[Any], rows: int, dims: int) -> None:
    for extension in ("vector", "ruvector"):
        conn.execute(f"CREATE EXTENSION {extension}")
    conn.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
    conn.execute(
        "CREATE UNLOGGED TABLE bench_values (a real[], v_pg vector, v_ru ruvector, h_pg halfvec, h_ru ruvector.halfvec)"
    )
    conn.execute(
        "INSERT INTO bench_values SELECT v::real[], v::vector, v, v::vector::halfvec, v::ruvector.halfvec"
        f" FROM generate_series(1, {rows}) AS i, ruvector_random({dims}, i) AS v"
    )
    conn.execute(
        "CREATE UNLOGGED TABLE bench_inline (v_pg vector, v_ru ruvector, s_pg sparsevec, s_ru ruvector.sparsevec)"
    )
    for column in ("v_pg", "v_ru", "s_pg", "s_ru"):
        conn.execute(f"ALTER TABLE bench_inline ALTER COLUMN {column} SET STORAGE main".encode())
    conn.execute(
        "INSERT INTO bench_inline SELECT v::vector, v, s::vector::sparsevec, s::ruvector.sparsevec"
        f" FROM generate_series(1, {rows}) AS i, ruvector_random(384, i) AS v, ruvector_random(100, i) AS s"
    )
    conn.execute("CREATE UNLOGGED TABLE bench_text (t text)")
    conn.execute("ALTER TABLE bench_text ALTER COLUMN t SET STORAGE external")
    conn.execute("INSERT INTO bench_text SELECT v_ru::text FROM bench_values")
    conn.execute("VACUUM ANALYZE bench_values, bench_inline")


def milliseconds(conn: psycopg.Connection[Any], statement: str) -> float:
    """Execution time as the server measures it; a COPY, which EXPLAIN does not take, as the client sees it."""
    if statement.startswith("COPY"):
        start = time.perf_counter()
        conn.execute(statement.encode())
        return (time.perf_counter() - start) * 1000
    rows = conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {statement}".encode()).fetchall()
    found = re.search(r"Execution Time: ([\d.]+) ms", "\n".join(row[0] for row in rows))
    assert found is not None
    return float(found[1])


def measure(conn: psycopg.Connection[Any], runs: int, only: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    results: dict[str, dict[str, list[float]]] = {}
    sides = {side: dict(words) for side, words in SIDES.items()}
    for name, (column, table, kind) in CONSTANTS.items():
        [(text,)] = conn.execute(f"SELECT {column}::text FROM {table} LIMIT 1".encode()).fetchall()
        for words in sides.values():
            words[name] = f"'{text}'::{words[kind]}"
    for name, statement in STATEMENTS.items():
        if only and name not in only:
            continue
        results[name] = {side: [] for side in SIDES}
        for run in range(runs + 1):
            for side, words in sides.items():
                took = milliseconds(conn, statement.format(**words))
                if run > 0:
                    results[name][side].append(took)
    return results


def machine() -> dict[str, str]:
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    commit = subprocess.run(["git", "-C", TOP, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"cpu": cpu[1] if cpu else "unknown", "commit": commit.stdout.strip(), "command": " ".join(sys.argv)}


def main() -> None:
    parser = argparse.ArgumentParser(description="The types against pgvector's, in one server.")
    parser.add_argument("--dsn")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--dims", type=int, default=1536)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], choices=sorted(STATEMENTS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dsn = options.dsn
    if dsn is None:
        command = [str(Path(sys.prefix) / "bin" / "ruvector"), "up"]
        dsn = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS bench_types WITH (FORCE)")
        admin.execute("CREATE DATABASE bench_types")
    try:
        with psycopg.connect(dsn, dbname="bench_types", autocommit=True) as conn:
            prepare(conn, options.rows, options.dims)
            results = measure(conn, options.runs, options.only)
            row = conn.execute("SELECT version(), ruvector_simd_info()").fetchone()
            versions = conn.execute("SELECT extname, extversion FROM pg_extension").fetchall()
    finally:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("DROP DATABASE IF EXISTS bench_types WITH (FORCE)")
    print(f"{options.rows} rows x {options.dims} dimensions, fastest of {options.runs} runs, microseconds a row")
    print(f"{'':<18}{'pgvector':>10}{'ruvector':>10}{'ratio':>8}")
    for name, sides in results.items():
        theirs, ours = (min(sides[side]) * 1000 / options.rows for side in SIDES)
        print(f"{name:<18}{theirs:>10.2f}{ours:>10.2f}{theirs / ours:>8.2f}")
    if options.out:
        provenance: dict[str, Any] = {**machine(), "server": row, "extensions": dict(versions)}
        provenance |= {"rows": options.rows, "dims": options.dims}
        options.out.write_text(json.dumps({"provenance": provenance, "milliseconds": results}, indent=1, default=str))


if __name__ == "__main__":
    main()
