# SPDX-License-Identifier: PostgreSQL
"""Recall against latency, with build time and size beside it: both methods, every quantization, float16 columns."""

from __future__ import annotations

from collections.abc import Sequence

from measuring import Context, Result, Row, at_recalls, curves, times_better
from systems import HALF, HNSW, IVF, System, run

HNSW_OPTIONS = "m = 16, ef_construction = 64"
_EFFORTS = (10, 20, 40, 80, 120, 200, 400, 800)
_FEWER = (10, 40, 120, 400)
_QUANTIZATIONS = ("none", "f16", "sq8", "pq16", "binary")


def _lists(context: Context) -> int:
    return max(10, int(len(context.data.base) ** 0.5))


def _probes(lists: int) -> list[int]:
    return [probes for probes in (1, 2, 4, 8, 16, 32, 64, 128) if probes <= lists]


def _compared(context: Context, systems: Sequence[System], options: str, efforts: Sequence[int]) -> Result:
    built = {system.name: system.build(context.conn, options) for system in systems}
    measured = curves(context, systems, efforts)
    rows: list[Row] = [
        {"system": name, "build s": built[name]["build_s"], "size MB": built[name]["size_mb"], **at_recalls(points)}
        for name, points in measured.items()
    ]
    return Result([*rows, times_better(rows[0], rows[1])], measured, {"options": options})


def hnsw(context: Context) -> Result:
    """Graph indexes, m = 16, ef_construction = 64 for both."""
    return _compared(context, HNSW, HNSW_OPTIONS, _EFFORTS)


def ivf(context: Context) -> Result:
    """List indexes, lists = sqrt(rows) for both."""
    lists = _lists(context)
    result = _compared(context, IVF, f"lists = {lists}", _probes(lists))
    for system in IVF:
        run(context.conn, f"DROP INDEX {system.index}")
    return result


def halfvec(context: Context) -> Result:
    """Graph indexes on float16 columns, and ours on a float32 column beside them."""
    for system, source in zip(HALF, HNSW, strict=True):
        system.convert(context.conn, source, context.data.dims)
    systems = [*HALF, HNSW[1]]
    for system in systems:
        system.build(context.conn, HNSW_OPTIONS)
    measured = curves(context, systems, _FEWER)
    rows: list[Row] = [{"system": name, **at_recalls(points)} for name, points in measured.items()]
    for system in HALF:
        run(context.conn, f"DROP TABLE {system.table}")
    return Result([*rows, times_better(rows[0], rows[1])], measured)


def quantization(context: Context) -> Result:
    """Every quantization in both methods. Codes: bytes of the stored codes, and how many times smaller than float32."""
    conn, lists = context.conn, _lists(context)
    result = Result([])
    for system, options, efforts in (
        (HNSW[1], HNSW_OPTIONS, _FEWER),
        (IVF[1], f"lists = {lists}", _probes(lists)[::2]),
    ):
        for name in _QUANTIZATIONS:
            built = system.build(conn, f"{options}, quantization = '{name}'")
            statement = "SELECT vector_bytes, compression_ratio FROM ruvector_index_stats(%s::regclass)"
            code_bytes, ratio = conn.execute(statement.encode(), (system.index,)).fetchone() or (0, 0)
            [points] = curves(context, [system], efforts).values()
            best = max(point.recall for point in points)
            result.curves[f"{system.method} {name}"] = points
            row: Row = {"index": f"{system.method} {name}", "build s": built["build_s"], "size MB": built["size_mb"]}
            row |= {"codes MB": code_bytes / 2**20, "smaller": f"{float(ratio):.1f}x", **at_recalls(points)}
            result.rows.append({**row, "best recall": best})
        if system is IVF[1]:
            run(conn, f"DROP INDEX {system.index}")
    HNSW[1].build(conn, HNSW_OPTIONS)
    return result
