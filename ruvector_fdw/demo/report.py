# SPDX-License-Identifier: PostgreSQL
"""The one table that the demonstration ends with."""

from __future__ import annotations

from .measure import latency_at
from .script import table
from .steps import PGVECTOR, RUVECTOR, Run

_SHOWN = (40, 200)
_RECALLS = (0.95, 0.99)


def results(run: Run) -> str:
    """Both systems side by side; a ratio above 1 means that ruvector needs less."""
    rows: list[list[str]] = []

    def add(what: str, left: float | None, right: float | None, unit: str, digits: int = 2, ratio: bool = True) -> None:
        cells = ["-" if value is None else f"{value:.{digits}f}{unit}" for value in (left, right)]
        share = f"{left / right:.1f}x" if ratio and left is not None and right else ""
        rows.append([what, *cells, share])

    add("index build", run.build_s[PGVECTOR], run.build_s[RUVECTOR], " s")
    add("index size", run.size_mb[PGVECTOR], run.size_mb[RUVECTOR], " MB", 1)
    curves = {name: {point.effort: point for point in points} for name, points in run.curves.items()}
    for effort in _SHOWN:
        left, right = curves[PGVECTOR][effort], curves[RUVECTOR][effort]
        add(f"recall@10, ef_search = {effort}", left.recall, right.recall, "", 3, ratio=False)
        add(f"median latency, ef_search = {effort}", left.median_ms, right.median_ms, " ms", 3)
    for recall in _RECALLS:
        times = [latency_at(run.curves[name], recall) for name in (PGVECTOR, RUVECTOR)]
        add(f"median latency at recall {recall}", times[0], times[1], " ms", 3)
    if run.foreign is not None:
        add("foreign table: recall@10", None, run.foreign.recall, "", 3, ratio=False)
        add("foreign table: median latency", None, run.foreign.median_ms, " ms", 3, ratio=False)
    return table(["", PGVECTOR, RUVECTOR, "times better"], rows)
