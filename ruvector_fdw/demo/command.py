# SPDX-License-Identifier: PostgreSQL
"""`ruvector demo`: runs the stages in a database of its own and reports."""

from __future__ import annotations

from pathlib import Path

import click
import psycopg

from ruvector_fdw.server import Cluster
from ruvector_fdw.server.commands import up_cluster
from ruvector_fdw.server.places import state_dir

from . import foreign, measure, plot, report, steps, vectors
from .script import Script

DATABASE = "ruvector_demo"
_SETTINGS = {"shared_buffers": "512MB", "maintenance_work_mem": "512MB"}


def _fresh_database(cluster: Cluster) -> str:
    with psycopg.connect(cluster.uri(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {DATABASE}".encode())
    return cluster.uri(DATABASE)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=vectors.SHIPPED, help="Vectors: .npy or .fvecs.")
@click.option("--rows", type=click.IntRange(min=100), help="Use only the first rows of the file.")
@click.option("--pg", metavar="16|18|PG_CONFIG", help="Major version, or the path of a pg_config.  [default: 18]")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="build/demo", help="For the plot.")
def demo(data: Path, rows: int | None, pg: str | None, out: Path) -> None:
    """From a pgvector database to ruvector and to a foreign table, on real vectors, every SQL statement shown."""
    dataset = vectors.load(data, rows)
    print("starting PostgreSQL and installing the extension", flush=True)
    cluster = up_cluster(pg, state_dir() / f"demo-{pg or 18}".replace("/", "-"), _SETTINGS, reuse=True)
    dsn = _fresh_database(cluster)
    with psycopg.connect(dsn, autocommit=True) as conn:
        literal = "[" + ",".join(repr(float(value)) for value in dataset.queries[0]) + "]"
        run = steps.Run(Script(conn, literal), dsn, dataset, measure.exact_radii(dataset.base, dataset.queries))
        steps.pgvector_table(run)
        steps.ruvector_table(run)
        steps.functional_validation(run)
        steps.recall_and_latency(run)
        path = cluster.data.with_name(f"{cluster.data.name}-store")
        foreign.write_store(run, path, cluster.account)
        foreign.foreign_table(run, path)
        foreign.import_pgvector(run, cluster.socket_dir, DATABASE)
        title = f"{dataset.name}: {len(dataset.base):,} x {dataset.dims}, L2, m = 16, ef_construction = 64"
        picture = plot.recall_latency(run.curves, title, out.absolute() / "recall-latency.png")
    print(f"\n{report.results(run)}\n")
    print(f"plot: {picture}")
    print(f"psql on it:   .venv/bin/ruvector psql --database {DATABASE}      (stop it: .venv/bin/ruvector down)")
