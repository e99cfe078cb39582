# SPDX-License-Identifier: PostgreSQL
"""pgvector and ruvector side by side, in one server, in one run.

    make bench                                   on the shipped vectors
    make bench BENCH="--data text1536_base.npy"  on others (.npy or .fvecs)
    make bench BENCH=--smoke                     a minute's check that every suite runs; its numbers mean nothing

Writes results/NAME.json (numbers with their provenance) and a PNG of the curves beside it, and prints a table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import psycopg
from provenance import describe
from suites import SUITES, Context
from systems import HNSW, IVF, has_method, run

from ruvector_fdw.demo import measure, plot, vectors
from ruvector_fdw.demo.measure import Point
from ruvector_fdw.demo.script import table
from ruvector_fdw.server.commands import state_dir, up_cluster

HERE = Path(__file__).resolve().parent
_DATABASE = "ruvector_bench"
_SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB", "max_wal_size": "4GB", "autovacuum": "off"}


def _database(pg: str | None) -> str:
    cluster = up_cluster(pg, state_dir() / f"bench-{pg or 18}".replace("/", "-"), _SETTINGS, reuse=True)
    with psycopg.connect(cluster.uri(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {_DATABASE}".encode())
    return cluster.uri(_DATABASE)


def _rows(suite: str, results: dict[str, Any]) -> list[list[str]]:
    """(suite, what, system, value) for the printed table."""
    rows: list[list[str]] = []
    for name, values in results.items():
        if not isinstance(values, dict):
            rows.append([suite, name, "", str(round(values, 3) if isinstance(values, float) else values)])
            continue
        if "points" in values:
            points = [Point(**point) for point in values["points"]]
            for recall in (0.90, 0.95, 0.99):
                at = measure.latency_at(points, recall)
                rows.append([suite, f"ms at recall {recall:.2f}", name, "-" if at is None else f"{at:.3f}"])
        for what, value in values.items():
            if isinstance(value, (int, float)):
                rows.append([suite, what, name, f"{value:.3f}" if isinstance(value, float) else str(value)])
    return sorted(rows, key=lambda row: (row[0], row[1]))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=vectors.SHIPPED)
@click.option("--rows", type=click.IntRange(min=1000), help="Use only the first rows.")
@click.option("--only", multiple=True, type=click.Choice(list(SUITES)), help="Only these suites; may be repeated.")
@click.option("--pg", help="Major version, or the path of a pg_config.  [default: 18]")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=HERE / "results")
@click.option("--smoke", is_flag=True, help="2,000 rows: that it runs, not how fast.")
def bench(data: Path, rows: int | None, only: tuple[str, ...], pg: str | None, out: Path, smoke: bool) -> None:
    """Measure pgvector and ruvector side by side."""
    dataset = vectors.load(data, 2000 if smoke else rows)
    name = f"{dataset.name}-{len(dataset.base)}{'-smoke' if smoke else ''}"
    with psycopg.connect(_database(pg), autocommit=True) as conn:
        run(conn, "CREATE EXTENSION vector")
        run(conn, "CREATE EXTENSION ruvector")
        for system in HNSW:
            system.load(conn, dataset.base)
        context = Context(conn, dataset, measure.exact_radii(dataset.base, dataset.queries), smoke)
        result: dict[str, Any] = {"provenance": describe(conn, dataset), "suites": {}}
        printed: list[list[str]] = []
        for suite, function in SUITES.items():
            if only and suite not in only:
                continue
            if suite == "ivf" and not has_method(conn, IVF[1].method):
                raise click.ClickException(f'the server has no access method "{IVF[1].method}"')
            click.echo(f"{suite}: {(function.__doc__ or '').splitlines()[0]}", err=True)
            result["suites"][suite] = function(context)
            printed += _rows(suite, result["suites"][suite])
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    for suite in {"hnsw", "ivf"} & result["suites"].keys():
        curves = {k: [Point(**p) for p in v["points"]] for k, v in result["suites"][suite].items()}
        plot.recall_latency(curves, f"{suite}: {name}, L2", out / f"{name}-{suite}.png")
    click.echo(table(["suite", "what", "system", "value"], printed))
    click.echo(f"\nresults: {out / f'{name}.json'}")


if __name__ == "__main__":
    bench()
