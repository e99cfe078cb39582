# SPDX-License-Identifier: PostgreSQL
"""The types against pgvector's in one server: text and binary I/O, casts, distances over a sequential scan, aggregates.

    .venv/bin/python bench/types/run.py [--dsn URI] [--rows 2000] [--dims 1536] [--runs 7] [--out FILE.json]

Without --dsn it uses the server of `ruvector up`. Each statement runs alternately for both sides, after one run of each
that is not counted; the table shows the medians of the server's own execution time and their ratio (above 1: ours is
faster). pgvector is the one installed in that server.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

TOP = Path(__file__).resolve().parents[2]

# name: the statement; {T} is the dense type, {H} the float16 one, {s} the side's columns' suffix
STATEMENTS = {
    "text in": "SELECT count(t::{T}) FROM bench_text",
    "text in, halfvec": "SELECT count(t::{H}) FROM bench_text",
    "text out": "SELECT sum(length(v{s}::text)) FROM bench_values",
    "binary out": "COPY (SELECT v{s} FROM bench_values) TO '/dev/null' (FORMAT binary)",
    "from real[]": "SELECT count(a::{T}) FROM bench_values",
    "to real[]": "SELECT count(v{s}::real[]) FROM bench_values",
    "to halfvec": "SELECT count(v{s}::{H}) FROM bench_values",
    "<->": "SELECT min(v{s} <-> q{s}) FROM bench_values, bench_query",
    "<#>": "SELECT min(v{s} <#> q{s}) FROM bench_values, bench_query",
    "<=>": "SELECT min(v{s} <=> q{s}) FROM bench_values, bench_query",
    "<+>": "SELECT min(v{s} <+> q{s}) FROM bench_values, bench_query",
    "halfvec <->": "SELECT min(h{s} <-> hq{s}) FROM bench_values, bench_query",
    "halfvec <=>": "SELECT min(h{s} <=> hq{s}) FROM bench_values, bench_query",
    "avg": "SELECT avg(v{s}) FROM bench_values",
    "sum": "SELECT sum(v{s}) FROM bench_values",
    "halfvec avg": "SELECT avg(h{s}) FROM bench_values",
    "+": "SELECT count(v{s} + q{s}) FROM bench_values, bench_query",
    "l2_normalize": "SELECT count(l2_normalize(v{s})) FROM bench_values",
    "sort": "SELECT count(*) FROM (SELECT v{s} FROM bench_values ORDER BY v{s} OFFSET 0) AS s",
}
SIDES = {
    "pgvector": {"T": "vector", "H": "halfvec", "s": "_pg"},
    "ruvector": {"T": "ruvector", "H": "ruvector.halfvec", "s": "_ru"},
}


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
    conn.execute("CREATE UNLOGGED TABLE bench_query AS SELECT v_pg AS q_pg, v_ru AS q_ru, h_pg AS hq_pg, h_ru AS hq_ru"
                 " FROM bench_values LIMIT 1")  # fmt: skip
    conn.execute("CREATE UNLOGGED TABLE bench_text (t text)")
    conn.execute("ALTER TABLE bench_text ALTER COLUMN t SET STORAGE external")
    conn.execute("INSERT INTO bench_text SELECT v_ru::text FROM bench_values")
    conn.execute("ANALYZE bench_values")


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
    for name, statement in STATEMENTS.items():
        if only and name not in only:
            continue
        results[name] = {side: [] for side in SIDES}
        for run in range(runs + 1):
            for side, words in SIDES.items():
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
    print(f"{options.rows} rows x {options.dims} dimensions, median of {options.runs}, microseconds a row")
    print(f"{'':<18}{'pgvector':>10}{'ruvector':>10}{'ratio':>8}")
    for name, sides in results.items():
        theirs, ours = (statistics.median(sides[side]) * 1000 / options.rows for side in SIDES)
        print(f"{name:<18}{theirs:>10.2f}{ours:>10.2f}{theirs / ours:>8.2f}")
    if options.out:
        provenance: dict[str, Any] = {**machine(), "server": row, "extensions": dict(versions)}
        provenance |= {"rows": options.rows, "dims": options.dims}
        options.out.write_text(json.dumps({"provenance": provenance, "milliseconds": results}, indent=1, default=str))


if __name__ == "__main__":
    main()
