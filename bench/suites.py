# SPDX-License-Identifier: PostgreSQL
"""The rows of the table of targets (docs/design/README.md): each suite measures both systems and returns plain values.

Every suite asserts the plan it means to measure before it measures it: a number of another plan is no number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from systems import HNSW, IVF, System, plan, run

from ruvector_fdw.demo import measure
from ruvector_fdw.demo.vectors import Dataset


@dataclass
class Context:
    conn: psycopg.Connection[Any]
    data: Dataset
    radii: Any
    smoke: bool


def _curves(context: Context, systems: Sequence[System], options: str, efforts: Sequence[int]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for system in systems:
        built = system.build(context.conn, options)
        parameters = system.parameters(context.conn, context.data.queries)
        shown = plan(context.conn, system.knn(), (parameters[0],))
        assert f"Index Scan using {system.index}" in shown, shown
        points = measure.curve(
            context.conn, system.knn(), system.effort, efforts, parameters,
            context.data.base, context.data.queries, context.radii,
        )  # fmt: skip
        run(context.conn, f"RESET {system.effort}")
        results[system.name] = {**built, "options": options, "points": [point.as_dict() for point in points]}
    return results


def hnsw(context: Context) -> dict[str, Any]:
    """Recall against latency, build time and size of the graph indexes, m = 16, ef_construction = 64."""
    return _curves(context, HNSW, "m = 16, ef_construction = 64", (10, 20, 40, 80, 120, 200, 400, 800))


def ivf(context: Context) -> dict[str, Any]:
    """The same for the list indexes, lists = sqrt(rows), over the probes."""
    lists = max(10, int(len(context.data.base) ** 0.5))
    efforts = [probes for probes in (1, 2, 4, 8, 16, 32, 64, 128) if probes <= lists]
    results = _curves(context, IVF, f"lists = {lists}", efforts)
    for system in IVF:
        run(context.conn, f"DROP INDEX {system.index}")
    return results


def inserts(context: Context) -> dict[str, Any]:
    """Rows a second into a table with its index, one prepared INSERT a row, 50 rows a transaction."""
    rows = 300 if context.smoke else 2000
    results: dict[str, Any] = {}
    noise = np.random.default_rng(7).normal(scale=0.01, size=(rows, context.data.dims)).astype(np.float32)
    fresh = context.data.base[np.random.default_rng(8).choice(len(context.data.base), rows)] + noise
    for system in HNSW:
        statement = f"INSERT INTO {system.table} (id, content, embedding) VALUES (%s, 'new', %s)".encode()
        parameters = system.parameters(context.conn, fresh)
        began = time.perf_counter()
        for start in range(0, rows, 50):
            with context.conn.transaction(), context.conn.cursor() as cursor:
                for number, parameter in enumerate(parameters[start : start + 50], start):
                    cursor.execute(statement, (10_000_000 + number, parameter), prepare=True)
        results[system.name] = {"rows": rows, "rows_per_s": rows / (time.perf_counter() - began)}
        run(context.conn, f"DELETE FROM {system.table} WHERE id >= 10000000")
        run(context.conn, f"VACUUM {system.table}")
    return results


def threshold(context: Context) -> dict[str, Any]:
    """WHERE embedding <-> q < r, r so that 0.1 % of the rows (at least 5) are in it; both must count the same."""
    queries = context.data.queries[: 10 if context.smoke else 50]
    share = max(5, len(context.data.base) // 1000)
    radii = np.sqrt(measure.exact_radii(context.data.base, queries, share)) * (1 + 1e-6)
    counts: dict[str, list[int]] = {}
    results: dict[str, Any] = {}
    for system in HNSW:
        statement = f"SELECT count(*) FROM {system.table} WHERE embedding <-> %s < %s"
        parameters = system.parameters(context.conn, queries)
        times_ms, counts[system.name] = [], []
        for _ in range(2):
            times_ms.clear()
            counts[system.name].clear()
            for parameter, radius in zip(parameters, radii, strict=True):
                began = time.perf_counter()
                found = context.conn.execute(statement.encode(), (parameter, float(radius)), prepare=True).fetchone()
                times_ms.append((time.perf_counter() - began) * 1000)
                counts[system.name].append(found[0] if found else 0)
        shown = plan(context.conn, statement, (parameters[0], float(radii[0])))
        middle = {"median_ms": float(np.median(times_ms)), "rows": int(np.median(counts[system.name]))}
        results[system.name] = {**middle, "plan": shown}
    ours, theirs = counts[HNSW[1].name], counts[HNSW[0].name]
    results["same_rows"] = ours == theirs
    assert ours == theirs, (ours, theirs)
    return results


def filtered(context: Context) -> dict[str, Any]:
    """LIMIT 10 behind a filter that 1 % of the rows pass, by the index; pgvector as it comes, and iterating."""
    run(context.conn, "SET enable_seqscan = off")
    results: dict[str, Any] = {}
    parameters: dict[str, Sequence[Any]] = {}
    modes = [(HNSW[0], "off"), (HNSW[0], "relaxed_order"), (HNSW[1], "strict_order")]
    for system, mode in modes:
        setting = "hnsw.iterative_scan" if system is HNSW[0] else "ruvector.iterative_scan"
        run(context.conn, f"SET {setting} = {mode}")
        if system.name not in parameters:
            parameters[system.name] = system.parameters(context.conn, context.data.queries)
        statement = system.knn("WHERE id %% 100 = 7")
        shown = plan(context.conn, statement, (parameters[system.name][0],))
        assert f"Index Scan using {system.index}" in shown, shown
        times_ms, rows = [], []
        for parameter in parameters[system.name]:
            began = time.perf_counter()
            rows.append(len(context.conn.execute(statement.encode(), (parameter,), prepare=True).fetchall()))
            times_ms.append((time.perf_counter() - began) * 1000)
        results[f"{system.name}, iterative_scan = {mode}"] = {
            "median_ms": float(np.median(times_ms)), "mean_rows": float(np.mean(rows)), "min_rows": min(rows),
        }  # fmt: skip
        run(context.conn, f"RESET {setting}")
    run(context.conn, "RESET enable_seqscan")
    return results


def conversion(context: Context) -> dict[str, Any]:
    """ALTER TABLE … TYPE ruvector from vector: milliseconds, and whether the table was rewritten."""
    dims = context.data.dims
    run(context.conn, "CREATE TABLE converted AS TABLE items")
    run(context.conn, f"ALTER TABLE converted ALTER COLUMN embedding TYPE vector({dims})")
    [before] = context.conn.execute("SELECT pg_relation_filenode('converted')").fetchone() or (0,)
    began = time.perf_counter()
    run(context.conn, f"ALTER TABLE converted ALTER COLUMN embedding TYPE ruvector({dims})")
    elapsed_ms = (time.perf_counter() - began) * 1000
    [after] = context.conn.execute("SELECT pg_relation_filenode('converted')").fetchone() or (0,)
    run(context.conn, "DROP TABLE converted")
    return {"ms": elapsed_ms, "rewritten": before != after}


SUITES: dict[str, Callable[[Context], dict[str, Any]]] = {
    "ivf": ivf,
    "hnsw": hnsw,
    "inserts": inserts,
    "threshold": threshold,
    "filtered": filtered,
    "conversion": conversion,
}
