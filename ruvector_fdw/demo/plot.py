# SPDX-License-Identifier: PostgreSQL
"""Recall against latency, and latency against rows, as PNGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measure import Point


def recall_latency(curves: Mapping[str, Sequence[Point]], title: str, path: Path) -> Path:
    """One line for each name; the points carry their search effort."""
    figure, axes = _axes()
    for name, points in curves.items():
        ordered = sorted(points, key=lambda one: one.effort)
        axes.plot([one.median_ms for one in ordered], [one.recall for one in ordered], marker="o", label=name)
        for one in ordered:
            place = (one.median_ms, one.recall)
            axes.annotate(str(one.effort), place, textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("median latency of one query, milliseconds (full round trip, log scale)")
    axes.set_ylabel("recall@10")
    return _saved(figure, axes, title, path)


def latency_by_rows(lines: Mapping[str, Sequence[tuple[int, float]]], title: str, path: Path) -> Path:
    """One line for each name over the number of rows: (rows, milliseconds)."""
    figure, axes = _axes()
    for name, points in lines.items():
        axes.plot([rows for rows, _ in points], [ms for _, ms in points], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows (log scale)")
    axes.set_ylabel("median latency of one query, milliseconds (log scale)")
    return _saved(figure, axes, title, path)


def _axes() -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(8, 5), layout="constrained")


def _saved(figure: Any, axes: Any, title: str, path: Path) -> Path:
    from matplotlib import pyplot as plt

    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path
