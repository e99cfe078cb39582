# SPDX-License-Identifier: PostgreSQL
"""Recall and latency of a KNN query through a client, as a curve over the search effort.

Recall counts what was returned no farther than the true k-th neighbour, so that equal distances are no misses. Latency
is one client's full round trip with a prepared statement and a binary parameter, the median of all queries after a
warm-up pass.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from .vectors import Floats

K = 10


@dataclass(frozen=True)
class Point:
    """One search effort: mean recall at 10 and the spread of the latencies; `runs_ms`: the median of every run of it."""

    effort: int
    recall: float
    median_ms: float
    p95_ms: float
    min_ms: float
    runs_ms: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def exact_radii(base: Floats, queries: Floats, k: int = K) -> npt.NDArray[np.float64]:
    """Squared L2 distance of each query's k-th nearest row; float64 (queries,). Memory: a block of 10,000 rows."""
    best = np.full((len(queries), k), np.inf)
    norms = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)[:, None]
    for start in range(0, len(base), 10_000):
        part = base[start : start + 10_000].astype(np.float64)
        squared = np.einsum("ij,ij->i", part, part)[None, :] - 2 * queries.astype(np.float64) @ part.T + norms
        best = np.partition(np.concatenate([best, squared], axis=1), k - 1, axis=1)[:, :k]
    radii: npt.NDArray[np.float64] = best.max(axis=1)
    return radii


def recall_of(found: Sequence[int], base: Floats, query: Floats, radius: float, k: int = K) -> float:
    """The share of the true k nearest that `found` (row numbers of `base`) holds."""
    if not found:
        return 0.0
    rows = base[np.asarray(sorted(set(found)))].astype(np.float64)
    squared = ((rows - query.astype(np.float64)) ** 2).sum(axis=1)
    # The radius was summed in another order: its rounding is far below 1e-9 of the norms.
    return float(min(k, int((squared <= radius + 1e-9 * (1 + abs(radius))).sum()))) / k


def point(
    conn: psycopg.Connection[Any],
    statement: str,
    effort: int,
    parameters: Sequence[Any],
    base: Floats,
    queries: Floats,
    radii: npt.NDArray[np.float64],
) -> Point:
    """One point of a curve, at the settings that the connection has."""
    code = statement.encode()
    times_ms: list[float] = []
    recalls: list[float] = []
    with conn.cursor() as cursor:
        for parameter in parameters:
            cursor.execute(code, (parameter,), prepare=True)
            cursor.fetchall()
        for parameter, query, radius in zip(parameters, queries, radii, strict=True):
            began = time.perf_counter()
            cursor.execute(code, (parameter,), prepare=True)
            rows = cursor.fetchall()
            times_ms.append((time.perf_counter() - began) * 1000)
            recalls.append(recall_of([row[0] for row in rows], base, query, float(radius)))
    spread = np.percentile(times_ms, [50, 95, 0])
    middle, high, low = (float(value) for value in spread)
    return Point(effort, float(np.mean(recalls)), middle, high, low, (middle,))


def latency_at(points: Sequence[Point], recall: float) -> float | None:
    """Median latency in ms at which a curve reaches `recall`, interpolated linearly; None: it never does."""
    ordered = sorted(points, key=lambda one: one.effort)
    for before, after in zip([None, *ordered], ordered, strict=False):
        if after.recall >= recall:
            if before is None or before.recall >= after.recall:
                return after.median_ms
            share = (recall - before.recall) / (after.recall - before.recall)
            return before.median_ms + share * (after.median_ms - before.median_ms)
    return None
