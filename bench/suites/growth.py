# SPDX-License-Identifier: PostgreSQL
"""Cost as rows grow: generated vectors of 128 dimensions, from 10,000 to a million."""

from __future__ import annotations

from generated import generate
from measuring import Context, Result, Row, at_recalls, curves
from systems import HNSW, run

from ruvector_fdw.demo import measure

_SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)
_EFFORTS = (10, 20, 40, 80, 120, 200, 400)


def growth(context: Context) -> Result:
    """Both graph indexes at growing sizes: build, size, and latency at equal recall."""
    sizes = (1000, 2000) if context.smoke else [size for size in _SIZES if size <= context.growth_rows]
    everything = generate(sizes[-1])
    result = Result([], facts={"dataset": {"name": everything.name, "sha256 of the first rows": everything.sha256}})
    # A million rows and their links must fit: pgvector's build falls to a crawl where they do not.
    run(context.conn, "SET maintenance_work_mem = '2GB'")
    for size in sizes:
        data = type(everything)(everything.name, everything.base[:size], everything.queries, everything.sha256)
        radii = measure.exact_radii(data.base, data.queries)
        HNSW[0].load(context.conn, data.base)
        HNSW[1].convert(context.conn, HNSW[0], data.dims)
        built = {system.name: system.build(context.conn, "m = 16, ef_construction = 64") for system in HNSW}
        for name, points in curves(context, HNSW, _EFFORTS, data, radii).items():
            result.curves[f"{name}, {size:,} rows"] = points
            row: Row = {"rows": f"{size:,}", "system": name, "build s": built[name]["build_s"]}
            result.rows.append({**row, "size MB": built[name]["size_mb"], **at_recalls(points)})
    run(context.conn, "RESET maintenance_work_mem")
    return result
