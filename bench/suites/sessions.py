# SPDX-License-Identifier: PostgreSQL
"""Writing, and several sessions at once: insert rate, searches beside inserts, sixteen clients."""

from __future__ import annotations

import time

import numpy as np
import pgbench
from measuring import Context, Result, Row, curves, effort_for, latencies_ms, middle_and_p95, times_better
from systems import HNSW, System, run

from ruvector_fdw.demo.vectors import Floats

_NEW = 10_000_000  # ids from here on are rows that a suite has added


def _fresh(context: Context, rows: int) -> Floats:
    """Vectors near those of the table."""
    noise = np.random.default_rng(7).normal(scale=0.01, size=(rows, context.data.dims))
    chosen = np.random.default_rng(8).choice(len(context.data.base), rows)
    return np.asarray(context.data.base[chosen] + noise, dtype=np.float32)


def _tidy(context: Context, system: System) -> None:
    run(context.conn, f"DELETE FROM {system.table} WHERE id >= {_NEW}")
    run(context.conn, f"VACUUM {system.table}")


def _wait_for_rows(context: Context, system: System) -> None:
    """Until another session's first row is there."""
    deadline = time.monotonic() + 60
    code = f"SELECT FROM {system.table} WHERE id >= {_NEW} LIMIT 1".encode()
    while context.conn.execute(code).fetchone() is None:
        assert time.monotonic() < deadline, "the other session inserts nothing"
        time.sleep(0.02)


def _keep(context: Context, name: str, system: System, vectors: Floats) -> None:
    """Vectors as a table (id, embedding) for pgbench's scripts; ids from 1."""
    run(context.conn, f"DROP TABLE IF EXISTS {name}")
    run(context.conn, f"CREATE TABLE {name} (id int PRIMARY KEY, embedding {system.type_name})")
    numbered = list(enumerate(system.parameters(context.conn, vectors), 1))
    with context.conn.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} VALUES (%s, %s)".encode(), numbered)
    run(context.conn, f"VACUUM ANALYZE {name}")


def inserts(context: Context) -> Result:
    """Rows a second into a table with its index, one prepared INSERT a row, 50 rows a transaction."""
    count = 300 if context.smoke else 2000
    rows: list[Row] = []
    fresh = _fresh(context, count)
    for system in HNSW:
        statement = f"INSERT INTO {system.table} (id, content, embedding) VALUES (%s, 'new', %s)".encode()
        parameters = system.parameters(context.conn, fresh)
        began = time.perf_counter()
        for start in range(0, count, 50):
            with context.conn.transaction(), context.conn.cursor() as cursor:
                for number, parameter in enumerate(parameters[start : start + 50], start):
                    cursor.execute(statement, (_NEW + number, parameter), prepare=True)
        rows.append({"system": system.name, "rows/s": count / (time.perf_counter() - began)})
        _tidy(context, system)
    return Result([*rows, times_better(rows[0], rows[1], more=("rows/s",))])


def beside_inserts(context: Context) -> Result:
    """Latency at the default effort, alone and while another session inserts 100 rows a second."""
    conn, passes = context.conn, 1 if context.smoke else 3
    rows: list[Row] = []
    fresh = _fresh(context, 500)
    run(conn, "SET enable_seqscan = off")
    for system in HNSW:
        _keep(context, "bench_fresh", system, fresh)
        script = (
            f"\\set n random(1, {len(fresh)})\nINSERT INTO {system.table} (id, content, embedding) "
            f"SELECT {_NEW} + :n, 'new', embedding FROM bench_fresh WHERE id = :n;\n"
        )
        code = system.knn().encode()

        def ask(parameter: object, code: bytes = code) -> None:
            conn.execute(code, (parameter,), prepare=True).fetchall()

        parameters = system.parameters(conn, context.data.queries)
        alone = middle_and_p95(latencies_ms(ask, parameters, passes))
        with pgbench.load(context, script, 100):
            _wait_for_rows(context, system)
            beside = middle_and_p95(latencies_ms(ask, parameters, passes))
        _tidy(context, system)
        row: Row = {"system": system.name, "alone, median ms": alone["median ms"], "alone, p95 ms": alone["p95 ms"]}
        row |= {"beside, median ms": beside["median ms"], "beside, p95 ms": beside["p95 ms"]}
        rows.append(row)
    run(conn, "RESET enable_seqscan")
    run(conn, "DROP TABLE bench_fresh")
    return Result([*rows, times_better(rows[0], rows[1])])


def clients(context: Context) -> Result:
    """Queries a second of 1 and 16 clients (pgbench), each system at its smallest measured effort with recall 0.95."""
    seconds = 1 if context.smoke else 10
    measured = curves(context, HNSW, (20, 40, 80, 120, 200, 400))
    rows: list[Row] = []
    for system in HNSW:
        _keep(context, "bench_queries", system, context.data.queries)
        effort = effort_for(measured[system.name], 0.95)
        script = (
            f"\\set n random(1, {len(context.data.queries)})\n"
            f"SELECT id FROM {system.table} ORDER BY embedding <-> (SELECT embedding FROM bench_queries WHERE id = :n) "
            "LIMIT 10;\n"
        )
        settings: dict[str, object] = {system.effort: effort, "enable_seqscan": "off"}
        row: Row = {"system": f"{system.name}, {system.effort.split('.')[1]} = {effort}"}
        for count in (1, 16):
            tps, latency = pgbench.throughput(context, script, count, seconds, settings)
            row |= {f"{count} client{'s'[: count > 1]}, queries/s": tps, f"{count}: mean ms": latency}
        rows.append(row)
    run(context.conn, "DROP TABLE bench_queries")
    more = ("1 client, queries/s", "16 clients, queries/s")
    return Result([*rows, times_better(rows[0], rows[1], more=more)])
