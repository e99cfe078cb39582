# SPDX-License-Identifier: PostgreSQL
"""A store as a foreign table beside the index on the same rows, over the same efforts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from measuring import Context, Result, Row, at_recalls, curves, merged, times_better
from systems import HNSW, run

from ruvector_fdw.demo import measure
from ruvector_fdw.store import Store

_EFFORTS = (10, 20, 40, 80, 120, 200, 400)


def foreign(context: Context) -> Result:
    """Nearest rows of a foreign table (kind store) beside ruhnsw, in turns."""
    conn, data = context.conn, context.data
    folder = context.cluster.socket_dir / "bench-foreign"
    shutil.rmtree(folder, ignore_errors=True)
    with Store.create(folder, dims=data.dims, columns={"id": "int4"}) as store:
        store.load(data.base, progress=False, id=np.arange(len(data.base), dtype=np.int32))
    for path, _, files in os.walk(folder):
        context.cluster.account.own(Path(path))
        for name in files:
            context.cluster.account.give(Path(path) / name)
    run(conn, "CREATE EXTENSION IF NOT EXISTS ruvector_fdw")
    run(conn, "DROP SERVER IF EXISTS bench_store CASCADE")
    run(conn, "CREATE SERVER bench_store FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store', ef_search '40')")
    columns = f"(id int, embedding ruvector({data.dims}))"
    run(conn, f"CREATE FOREIGN TABLE items_store {columns} SERVER bench_store OPTIONS (path '{folder}')")
    parameters = HNSW[1].parameters(conn, data.queries)
    statement = "SELECT id FROM items_store ORDER BY embedding <-> %s LIMIT 10"
    rounds, runs = context.rounds, {effort: [] for effort in _EFFORTS}
    measured = curves(context, [HNSW[1]], _EFFORTS)
    for _ in range(rounds):
        for effort in _EFFORTS:
            run(conn, f"ALTER SERVER bench_store OPTIONS (SET ef_search '{effort}')")
            point = measure.point(conn, statement, effort, parameters, data.base, data.queries, context.radii)
            runs[effort].append(point)
    measured["foreign table, store"] = [merged(points) for points in runs.values()]
    run(conn, "DROP SERVER bench_store CASCADE")
    shutil.rmtree(folder, ignore_errors=True)
    rows: list[Row] = [{"system": name, **at_recalls(points)} for name, points in measured.items()]
    return Result([*rows, {**times_better(rows[1], rows[0]), "system": "times the index's latency"}], measured)
