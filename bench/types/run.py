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

# name: the statement; {T} is the dense type, {H} the float16 one, {s} the side's tables' suffix; {query}, {half}, {short}
# and {sparse} are constants, as a query has them, of the dimensions of columns v and h, and of the inline v and s
STATEMENTS = {
    "text in": "SELECT count(t::{T}) FROM bench_text",
    "text in, halfvec": "SELECT count(t::{H}) FROM bench_text",
    "text out": "SELECT sum(octet_length(v::text)) FROM bench_values{s}",
    "text out, halfvec": "SELECT sum(octet_length(h::text)) FROM bench_values{s}",
    "text out, sparsevec": "SELECT sum(octet_length(s::text)) FROM bench_inline{s}",
    "binary out": "SELECT sum(octet_length({send}(v))) FROM bench_values{s}",
    "binary out, inline": "SELECT sum(octet_length({send}(v))) FROM bench_inline{s}",
    "binary in": "COPY bench_values{s} (v) FROM STDIN (FORMAT binary) WHERE false",
    "from real[]": "SELECT count(a::{T}) FROM bench_values{s}",
    "to real[]": "SELECT count(v::real[]) FROM bench_values{s}",
    "to halfvec": "SELECT count(v::{H}) FROM bench_values{s}",
    "from halfvec": "SELECT count(h::{T}) FROM bench_values{s}",
    "to sparsevec": "SELECT count(v::{S}) FROM bench_values{s}",
    "from sparsevec": "SELECT count(s::{T}) FROM bench_inline{s}",
    "<->": "SELECT min(v <-> {query}) FROM bench_values{s}",
    "<#>": "SELECT min(v <#> {query}) FROM bench_values{s}",
    "<=>": "SELECT min(v <=> {query}) FROM bench_values{s}",
    "<+>": "SELECT min(v <+> {query}) FROM bench_values{s}",
    "halfvec <->": "SELECT min(h <-> {half}) FROM bench_values{s}",
    "halfvec <=>": "SELECT min(h <=> {half}) FROM bench_values{s}",
    "avg": "SELECT avg(v) FROM bench_values{s}",
    "sum": "SELECT sum(v) FROM bench_values{s}",
    "halfvec avg": "SELECT avg(h) FROM bench_values{s}",
    "+": "SELECT count(v + {query}) FROM bench_values{s}",
    "l2_normalize": "SELECT count(l2_normalize(v)) FROM bench_values{s}",
    "vector_norm": "SELECT min(vector_norm(v)) FROM bench_values{s}",
    "halfvec +": "SELECT count(h + {half}) FROM bench_values{s}",
    "halfvec sum": "SELECT sum(h) FROM bench_values{s}",
    "sparsevec <->": "SELECT min(s <-> {sparse}) FROM bench_inline{s}",
    "sparsevec <=>": "SELECT min(s <=> {sparse}) FROM bench_inline{s}",
    "sparsevec <": "SELECT count(s < {sparse}) FROM bench_inline{s}",
    "inline <->": "SELECT min(v <-> {short}) FROM bench_inline{s}",
    "inline <#>": "SELECT min(v <#> {short}) FROM bench_inline{s}",
    "inline <=>": "SELECT min(v <=> {short}) FROM bench_inline{s}",
    "inline <+>": "SELECT min(v <+> {short}) FROM bench_inline{s}",
    "inline <": "SELECT count(v < {short}) FROM bench_inline{s}",
    "inline +": "SELECT count(v + {short}) FROM bench_inline{s}",
    "inline *": "SELECT count(v * {short}) FROM bench_inline{s}",
    "inline vector_norm": "SELECT min(vector_norm(v)) FROM bench_inline{s}",
    "inline l2_normalize": "SELECT count(l2_normalize(v)) FROM bench_inline{s}",
    "inline to halfvec": "SELECT count(v::{H}) FROM bench_inline{s}",
    "inline to real[]": "SELECT count(v::real[]) FROM bench_inline{s}",
    "inline avg": "SELECT avg(v) FROM bench_inline{s}",
    "inline sum": "SELECT sum(v) FROM bench_inline{s}",
    "3 dims <->": "SELECT min(t <-> {tiny}) FROM bench_inline{s}",
    "3 dims <=>": "SELECT min(t <=> {tiny}) FROM bench_inline{s}",
    "3 dims =": "SELECT count(t = {tiny}) FROM bench_inline{s}",
    "3 dims sort": "SELECT count(*) FROM (SELECT t FROM bench_inline{s} ORDER BY t OFFSET 0) AS s",
    "inline sort": "SELECT count(*) FROM (SELECT v FROM bench_inline{s} ORDER BY v OFFSET 0) AS s",
    "sort": "SELECT count(*) FROM (SELECT v FROM bench_values{s} ORDER BY v OFFSET 0) AS s",
}
SIDES = {
    "pgvector": {"T": "vector", "H": "halfvec", "S": "sparsevec", "s": "_pg", "send": "vector_send"},
    "ruvector": {
        "T": "ruvector",
        "H": "ruvector.halfvec",
        "S": "ruvector.sparsevec",
        "s": "_ru",
        "send": "ruvector_send",
    },
}
CONSTANTS = {
    "query": ("v", "bench_values", "T"),
    "half": ("h", "bench_values", "H"),
    "short": ("v", "bench_inline", "T"),
    "tiny": ("t", "bench_inline", "T"),
    "sparse": ("s", "bench_inline", "S"),
}


def prepare(conn: psycopg.Connection[Any], rows: int, dims: int) -> None:
    for extension in ("vector", "ruvector"):
        conn.execute(f"CREATE EXTENSION {extension}")
    conn.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
    # A table for each side, the same but for the types: a column costs more the later it is in its row
    for words in SIDES.values():
        values, inline = f"bench_values{words['s']}", f"bench_inline{words['s']}"
        dense, half, sparse = words["T"], words["H"], words["S"]
        conn.execute(f"CREATE UNLOGGED TABLE {values} (a real[], v {dense}, h {half})".encode())
        conn.execute(
            f"INSERT INTO {values} SELECT v::real[], v::{dense}, v::{dense}::{half}"
            f" FROM generate_series(1, {rows}) AS i, ruvector_random({dims}, i) AS v".encode()
        )
        conn.execute(f"CREATE UNLOGGED TABLE {inline} (v {dense}, s {sparse}, t {dense})".encode())
        for column in ("v", "s"):
            conn.execute(f"ALTER TABLE {inline} ALTER COLUMN {column} SET STORAGE main".encode())
        # Sparse: of 1000 dimensions about a tenth, which two rows have in common by chance
        conn.execute(
            f"INSERT INTO {inline} SELECT v::{dense}, s::{dense}::{sparse}, t::{dense}"
            f" FROM generate_series(1, {rows}) AS i, ruvector_random(384, i) AS v, ruvector_random(3, i) AS t, LATERAL ("
            "  SELECT array_agg(CASE WHEN abs(x) < 0.1 THEN x ELSE 0 END) AS s"
            "  FROM unnest(ruvector_random(1000, i)::real[]) AS x) AS made".encode()
        )
        conn.execute(f"VACUUM ANALYZE {values}, {inline}".encode())
    conn.execute("CREATE UNLOGGED TABLE bench_text (t text)")
    conn.execute("ALTER TABLE bench_text ALTER COLUMN t SET STORAGE external")
    conn.execute("INSERT INTO bench_text SELECT v::text FROM bench_values_ru")


def milliseconds(conn: psycopg.Connection[Any], statement: str) -> float:
    """Execution time as the server measures it; of a COPY, which EXPLAIN does not take, as the client sees it."""
    if statement.startswith("COPY"):
        column = statement.split(" FROM ", maxsplit=1)[0]
        with conn.cursor() as cursor:
            with cursor.copy(f"{column} TO STDOUT (FORMAT binary)".encode()) as out:
                data = b"".join(bytes(block) for block in out)
            start = time.perf_counter()
            with cursor.copy(statement.encode()) as copy:
                copy.write(data)
            return (time.perf_counter() - start) * 1000
    rows = conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {statement}".encode()).fetchall()
    found = re.search(r"Execution Time: ([\d.]+) ms", "\n".join(row[0] for row in rows))
    assert found is not None
    return float(found[1])


def measure(conn: psycopg.Connection[Any], runs: int, only: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    results: dict[str, dict[str, list[float]]] = {}
    sides = {side: dict(words) for side, words in SIDES.items()}
    for name, (column, table, kind) in CONSTANTS.items():
        [(text,)] = conn.execute(f"SELECT {column}::text FROM {table}_ru LIMIT 1".encode()).fetchall()
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
