# SPDX-License-Identifier: PostgreSQL
"""Recall against latency as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .measure import Point


def recall_latency(curves: Mapping[str, Sequence[Point]], title: str, path: Path) -> Path:
    """One line for each name; the points carry their search effort."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name, points in curves.items():
        ordered = sorted(points, key=lambda one: one.effort)
        axes.plot([one.median_ms for one in ordered], [one.recall for one in ordered], marker="o", label=name)
        for one in ordered:
            place = (one.median_ms, one.recall)
            axes.annotate(str(one.effort), place, textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("median latency of one query, milliseconds (full round trip, log scale)")
    axes.set_ylabel("recall@10")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
