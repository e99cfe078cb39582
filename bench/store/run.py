# SPDX-License-Identifier: PostgreSQL
"""The store beside the index and beside a plain Multicorn-style wrapper: loading, nearest rows, full scans.

    .venv/bin/python bench/store/run.py                        on the shipped vectors
    .venv/bin/python bench/store/run.py --data base.npy        on others (.npy or .fvecs)
    .venv/bin/python bench/store/run.py --smoke                that it runs; the numbers mean nothing

One server, one client, one run. Every nearest-rows figure comes with its recall@10; the three ways to load are the same
rows in the same format. Prints a table and writes bench/results/store-NAME.json with its provenance.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import psycopg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from provenance import describe  # noqa: E402

from ruvector_fdw import _engine  # noqa: E402
from ruvector_fdw.demo import measure, vectors  # noqa: E402
from ruvector_fdw.demo.script import table  # noqa: E402
from ruvector_fdw.server.commands import up_cluster  # noqa: E402
from ruvector_fdw.server.places import state_dir  # noqa: E402
from ruvector_fdw.store import Store  # noqa: E402

_DATABASE = "ruvector_bench_store"
_SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB", "max_wal_size": "4GB", "autovacuum": "off"}
_PLAIN = '''
import numpy as np
from multicorn import ForeignDataWrapper

class Plain(ForeignDataWrapper):
    """Reads the same vectors, knows nothing of distances."""
    def __init__(self, options, columns):
        super().__init__(options, columns)
        self.vectors = np.load(options["path"], mmap_mode="r")

    def execute(self, quals, columns):
        for i, vector in enumerate(self.vectors):
            yield {"id": i, "embedding": "[" + ",".join(map(repr, vector.tolist())) + "]"}
'''


def timed(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def copy(conn: psycopg.Connection[Any], name: str, base: Any) -> float:
    """Seconds of COPY of all rows, text format, one transaction."""
    texts = [f"[{','.join(map(repr, vector.tolist()))}]" for vector in base]

    def run() -> None:
        with conn.cursor().copy(f"COPY {name} (id, embedding) FROM STDIN") as out:
            for i, text in enumerate(texts):
                out.write_row((i, text))

    return timed(run)


def nearest(
    conn: psycopg.Connection[Any], name: str, data: vectors.Dataset, radii: Any, count: int
) -> dict[str, float]:
    """Median milliseconds of one query at a time, after one round to warm up, and recall@10."""
    text = f"SELECT id FROM {name} ORDER BY embedding <-> %s LIMIT 10"
    queries = [(q, f"[{','.join(map(repr, q.tolist()))}]") for q in data.queries[:count]]
    recalls, seconds = [], []
    for number, (query, literal) in enumerate(queries):
        found = [row[0] for row in conn.execute(text.encode(), (literal,)).fetchall()]
        recalls.append(measure.recall_of(found, data.base, query, radii[number]))
    for _, literal in queries:
        seconds.append(timed(lambda literal=literal: conn.execute(text.encode(), (literal,)).fetchall()))  # type: ignore[misc]
    return {"median_ms": statistics.median(seconds) * 1000, "recall": statistics.mean(recalls)}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=vectors.SHIPPED)
@click.option("--rows", type=click.IntRange(min=1000), help="Use only the first rows.")
@click.option("--ef", type=click.IntRange(1, 1000), default=40, show_default=True)
@click.option("--pg", help="Major version, or the path of a pg_config.  [default: 18]")
@click.option("--smoke", is_flag=True, help="2,000 rows: that it runs, not how fast.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: bench/results/store-NAME.json]")
def bench(data: Path, rows: int | None, ef: int, pg: str | None, smoke: bool, out: Path | None) -> None:
    """Measure the store."""
    dataset = vectors.load(data, 2000 if smoke else rows)
    base, results = dataset.base, {}
    radii = measure.exact_radii(base, dataset.queries)
    cluster = up_cluster(pg, state_dir() / f"bench-{pg or 18}".replace("/", "-"), _SETTINGS, reuse=True)
    folder = cluster.socket_dir / "bench-store"
    shutil.rmtree(folder, ignore_errors=True)
    cluster.account.own(folder, 0o777)

    keys = np.arange(len(base), dtype=np.uint64)

    def build() -> None:
        builder = _engine.Builder("hnsw", "l2", dataset.dims)
        builder.add(np.ascontiguousarray(base), keys)
        builder.build(threads=2)

    results["engine build, s"] = timed(build)
    store = Store.create(folder / "loaded", dims=dataset.dims, columns={"id": "int8"})
    results["Store.load, s"] = timed(lambda: store.load(base, progress=False, id=keys.astype(np.int64)))
    stats = store.stats()
    results["store bytes / vector bytes"] = (stats["database_bytes"] + stats["segment_bytes"]) / base.nbytes
    store.close()
    Store.create(folder / "copied", dims=dataset.dims, columns={"id": "int8"}).close()
    np.save(folder / "plain.npy", base)
    (folder / "plain_wrapper.py").write_text(_PLAIN)
    for path in folder.rglob("*"):
        cluster.account.give(path)

    with psycopg.connect(cluster.uri(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {_DATABASE}".encode())
    with psycopg.connect(cluster.uri(_DATABASE), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION ruvector")
        conn.execute("CREATE EXTENSION ruvector_fdw")
        conn.execute(f"SET ruvector_fdw.python_path = '{folder}'".encode())
        conn.execute(f"SET ruvector.ef_search = {ef}".encode())
        columns = f"(id bigint, embedding ruvector({dataset.dims}))"
        conn.execute(f"CREATE TABLE heap {columns}".encode())
        conn.execute(
            f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store', ef_search '{ef}')".encode()
        )
        for name in ("loaded", "copied"):
            conn.execute(f"CREATE FOREIGN TABLE {name} {columns} SERVER s OPTIONS (path '{folder}/{name}')".encode())
        conn.execute("CREATE SERVER p FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (wrapper 'plain_wrapper.Plain')")
        conn.execute(f"CREATE FOREIGN TABLE plain {columns} SERVER p OPTIONS (path '{folder}/plain.npy')".encode())

        results["COPY into a heap table, rows/s"] = len(base) / copy(conn, "heap", base)
        results["COPY into a store, sealed, rows/s"] = len(base) / copy(conn, "copied", base)
        index = "CREATE INDEX ON heap USING ruhnsw (embedding ruvector_l2_ops)"
        results["CREATE INDEX on the heap table, s"] = timed(lambda: conn.execute(index.encode()))
        conn.execute("ANALYZE heap")
        for what, name, count in [("ruhnsw", "heap", 200), ("store", "loaded", 200), ("plain wrapper", "plain", 3)]:
            for figure, value in nearest(conn, name, dataset, radii, count).items():
                results[f"10 nearest, {what}, {figure}"] = value
        scan = "SELECT count(*) FROM (SELECT id, embedding FROM {} OFFSET 0) t WHERE ruvector_dims(embedding) > 0"
        for what, name in (("store", "loaded"), ("plain wrapper", "plain")):
            text = scan.format(name).encode()
            seconds = min(timed(lambda text=text: conn.execute(text)) for _ in range(3))  # type: ignore[misc]
            results[f"full scan, {what}, rows/s"] = len(base) / seconds
        document = {"provenance": describe(conn, dataset), "ef_search": ef, "results": results}
    out = out or HERE.parent / "results" / f"store-{dataset.name}-{len(base)}{'-smoke' if smoke else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1) + "\n")
    click.echo(table(["what", "value"], [[what, f"{value:,.3f}"] for what, value in results.items()]))
    click.echo(f"\nresults: {out}")


if __name__ == "__main__":
    bench()
