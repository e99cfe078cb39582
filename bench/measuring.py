# SPDX-License-Identifier: PostgreSQL
"""How a figure comes about: systems take turns, runs are repeated, and the median of the runs counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from systems import System, require_index, run

from ruvector_fdw.demo import measure
from ruvector_fdw.demo.measure import Point
from ruvector_fdw.demo.vectors import Dataset
from ruvector_fdw.server import Cluster

RECALLS = (0.90, 0.95, 0.99)
Row = dict[str, Any]


@dataclass
class Context:
    """What the suites share.

    `radii`: squared distance of each query's tenth neighbour; `rounds`: runs of a curve; `source`, `rows`: the file of
    the data and how many of its rows were taken (None: all); `shards_pg`: a server with postgres_fdw, if there is one;
    `growth_rows`: where growing ends.
    """

    conn: psycopg.Connection[Any]
    dsn: str
    cluster: Cluster
    data: Dataset
    radii: Any
    smoke: bool
    rounds: int
    source: Path
    rows: int | None
    shards_pg: str | None
    growth_rows: int


@dataclass
class Result:
    """`rows`: the suite's table, the same keys in each; `curves`: for the plot; `facts`: what the report also quotes."""

    rows: list[Row]
    curves: dict[str, list[Point]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def curves(
    context: Context, systems: Sequence[System], efforts: Sequence[int], data: Dataset | None = None, radii: Any = None
) -> dict[str, list[Point]]:
    """Recall and latency of every system over its efforts; in each round the systems take turns."""
    conn, data = context.conn, data or context.data
    radii = context.radii if radii is None else radii
    parameters = {system.name: system.parameters(conn, data.queries) for system in systems}
    runs: dict[tuple[str, int], list[Point]] = {}
    run(conn, "SET enable_seqscan = off")
    for _ in range(context.rounds):
        for system in systems:
            mine = parameters[system.name]
            require_index(conn, system, system.knn(), (mine[0],))
            for effort in efforts:
                run(conn, f"SET {system.effort} = {effort}")
                point = measure.point(conn, system.knn(), effort, mine, data.base, data.queries, radii)
                runs.setdefault((system.name, effort), []).append(point)
            run(conn, f"RESET {system.effort}")
    run(conn, "RESET enable_seqscan")
    return {system.name: [merged(runs[system.name, effort]) for effort in efforts] for system in systems}


def merged(points: Sequence[Point]) -> Point:
    """The runs of one point as one."""
    return Point(
        points[0].effort,
        statistics.median(one.recall for one in points),
        statistics.median(one.median_ms for one in points),
        statistics.median(one.p95_ms for one in points),
        min(one.min_ms for one in points),
        tuple(one.median_ms for one in points),
    )


def at_recalls(points: Sequence[Point]) -> Row:
    """Columns: milliseconds at each recall, None where the curve does not get there."""
    return {f"ms at recall {recall:.2f}": measure.latency_at(points, recall) for recall in RECALLS}


def effort_for(points: Sequence[Point], recall: float) -> int:
    """The smallest measured effort that reaches a recall, else the largest."""
    enough = [one.effort for one in points if one.recall >= recall]
    return min(enough, default=max(one.effort for one in points))


def times_better(left: Mapping[str, Any], right: Mapping[str, Any], *, more: Sequence[str] = ()) -> Row:
    """A row of ratios, above 1 where `right` is better. `more`: the columns in which more is better."""
    first, *columns = left
    ratios: Row = {first: "times better"}
    for column in columns:
        a, b = left[column], right[column]
        if not (isinstance(a, (int, float)) and isinstance(b, (int, float)) and a and b):
            ratios[column] = None
        else:
            ratios[column] = f"{(b / a if column in more else a / b):.1f}x"
    return ratios


def latencies_ms(action: Callable[[Any], Any], arguments: Sequence[Any], passes: int = 1) -> list[float]:
    """Milliseconds of every call, all arguments in turn; the first pass warms up and does not count."""
    for argument in arguments:
        action(argument)
    times: list[float] = []
    for _ in range(passes):
        for argument in arguments:
            began = time.perf_counter()
            action(argument)
            times.append((time.perf_counter() - began) * 1000)
    return times


def middle_and_p95(times_ms: Sequence[float]) -> Row:
    return {"median ms": float(np.median(times_ms)), "p95 ms": float(np.percentile(times_ms, 95))}
