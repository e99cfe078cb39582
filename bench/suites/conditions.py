# SPDX-License-Identifier: PostgreSQL
"""Queries with a condition: distance below a threshold, and the nearest rows behind a filter."""

from __future__ import annotations

import math

import numpy as np
from measuring import Context, Result, Row, latencies_ms, middle_and_p95, times_better
from systems import HNSW, System, plan, require_index, run

from ruvector_fdw.demo import measure


def threshold(context: Context) -> Result:
    """SELECT count(*) WHERE embedding <-> q < r, r so that 0.1 % and 1 % of the rows are in it; counts must be equal."""
    conn, base = context.conn, context.data.base
    queries = context.data.queries[: 10 if context.smoke else 50]
    result = Result([])
    for share in (0.001, 0.01):
        inside = max(5, math.ceil(len(base) * share))
        radii = np.sqrt(measure.exact_radii(base, queries, inside)) * (1 + 1e-6)
        counts: dict[str, list[int]] = {}
        rows: list[Row] = []
        for system in HNSW:
            statement = f"SELECT count(*) FROM {system.table} WHERE embedding <-> %s < %s"
            arguments = list(zip(system.parameters(conn, queries), map(float, radii), strict=True))
            found = counts[system.name] = []

            def ask(one: tuple[object, float], code: bytes = statement.encode(), found: list[int] = found) -> None:
                found.extend(conn.execute(code, one, prepare=True).fetchone() or ())

            times_ms = latencies_ms(ask, arguments)
            shown = plan(conn, statement, arguments[0])
            way = "index" if system.index in shown else "sequential scan"
            label = f"{system.name.split()[0]}, {share:.1%} of the rows"
            rows.append({"system": label, "plan": way, **middle_and_p95(times_ms), "median rows": np.median(found)})
        assert counts[HNSW[0].name] == counts[HNSW[1].name], counts
        better = times_better(rows[0], rows[1])
        result.rows += [*rows, {**better, "median rows": None}]
        result.facts[f"times better at {share:.1%}"] = rows[0]["median ms"] / rows[1]["median ms"]
    return result


def filtered(context: Context) -> Result:
    """LIMIT 10 behind WHERE id % 100 = 7 (1 % of the rows): with the vector index alone, and with one on the filter, too.

    pgvector as it comes and iterating; ruvector with a filter that is always new, and with one that the session has met before.
    """
    modes = [(HNSW[0], "off"), (HNSW[0], "relaxed_order"), (HNSW[0], "strict_order")]
    run(context.conn, "SET enable_seqscan = off")
    result = Result([_behind_filter(context, system, mode, require=True) for system, mode in modes])
    for size, met in (("0", "filter new"), ("'8MB'", "filter met before")):
        run(context.conn, f"SET ruvector.filter_cache_size = {size}")
        row = _behind_filter(context, HNSW[1], "strict_order", require=True)
        result.rows.append({**row, "system": f"{HNSW[1].name}, {met}"})
        result.facts[f"times unfiltered, {HNSW[1].name}, {met}"] = row["times unfiltered"]
    run(context.conn, "RESET ruvector.filter_cache_size; RESET enable_seqscan")
    for system in HNSW:
        run(context.conn, f"CREATE INDEX {system.table}_filter_idx ON {system.table} ((id % 100))")
        run(context.conn, f"ANALYZE {system.table}")
        row = _behind_filter(context, system, "strict_order", require=False)
        result.rows.append({**row, "system": f"{system.name}, and an index on the filter"})
        result.facts[f"times unfiltered, {system.name}, with an index on the filter"] = row["times unfiltered"]
        run(context.conn, f"DROP INDEX {system.table}_filter_idx")
    return result


def _behind_filter(context: Context, system: System, mode: str, *, require: bool) -> Row:
    """Latency and rows of LIMIT 10 behind the filter, and without it. `require`: it is the vector index that is scanned."""
    conn = context.conn
    run(conn, f"SET {system.iterative} = {mode}")
    parameters = system.parameters(conn, context.data.queries)
    medians: list[float] = []
    for where in ("", "WHERE id %% 100 = 7"):
        statement, rows = system.knn(where), []
        if require:
            require_index(conn, system, statement, (parameters[0],))

        def ask(one: object, code: bytes = statement.encode(), rows: list[int] = rows) -> None:
            rows.append(len(conn.execute(code, (one,), prepare=True).fetchall()))

        medians.append(float(np.median(latencies_ms(ask, parameters))))
    shown = plan(conn, statement, (parameters[0],))
    way = "filtered scan" if "RuvectorFilteredScan" in shown else "index, then filter" if system.index in shown else "filter, then sort"
    run(conn, f"RESET {system.iterative}")
    row: Row = {"system": f"{system.name}, iterative_scan = {mode}", "plan": way, "median ms": medians[1]}
    row |= {"unfiltered ms": medians[0], "times unfiltered": f"{medians[1] / medians[0]:.1f}x"}
    return {**row, "mean rows": float(np.mean(rows)), "fewest rows": min(rows)}
