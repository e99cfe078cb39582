# SPDX-License-Identifier: PostgreSQL
"""pgvector and ruvector side by side, in one server, in one run.

    make bench                                   on the shipped vectors
    make bench BENCH="--data text1536_base.npy"  on others (.npy or .fvecs); may be repeated
    make bench BENCH="--only hnsw --only ivf"    some suites; the results of the others stay as they were
    make bench BENCH=--smoke                     that every suite runs; the numbers mean nothing
    make bench BENCH="--only shards --shards-pg 15"   a server with postgres_fdw, which the embedded ones have not
    make bench BENCH=--docs                      and write docs/benchmarks.md from everything that was measured

Writes results/NAME.json, one file a data set, each suite's figures with their own provenance; then report.md with
plots beside it, of everything in results/. Prints the tables as it goes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psycopg
import report
from measuring import Context, Result
from provenance import TOP, describe
from suites import DATA, NO_DATA, ON_GRAPHS, Suite
from suites.curves import HNSW_OPTIONS
from systems import HNSW, run

from ruvector_fdw.demo import measure, vectors
from ruvector_fdw.demo.script import table
from ruvector_fdw.server import Cluster
from ruvector_fdw.server.commands import up_cluster
from ruvector_fdw.server.places import state_dir

RESULTS = Path(__file__).resolve().parent / "results"
_DATABASE = "ruvector_bench"
_SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB", "autovacuum": "off"}


def _server(pg: str | None) -> tuple[Cluster, str]:
    cluster = up_cluster(pg, state_dir() / f"bench-{pg or 18}".replace("/", "-"), _SETTINGS, reuse=True)
    with psycopg.connect(cluster.uri(), autocommit=True) as admin:
        run(admin, f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        run(admin, f"CREATE DATABASE {_DATABASE}")
    return cluster, cluster.uri(_DATABASE)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    return value.item() if hasattr(value, "item") else str(value)


def _keep(path: Path, suite: str, result: Result, provenance: dict[str, Any]) -> None:
    """Put one suite's figures into a result file; those of other suites stay."""
    document = json.loads(path.read_text()) if path.exists() else {}
    document[suite] = {
        "provenance": provenance,
        "rows": result.rows,
        "curves": {name: [point.as_dict() for point in points] for name, points in result.curves.items()},
        "facts": result.facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, default=_plain) + "\n")


def _measure(context: Context, suites: dict[str, Suite], path: Path) -> None:
    """Run suites; the tables and indexes that they share are made first."""
    if any(name in DATA for name in suites):
        for system in HNSW:
            system.load(context.conn, context.data.base)
        if "hnsw" not in suites and any(name in ON_GRAPHS for name in suites):
            for system in HNSW:
                system.build(context.conn, HNSW_OPTIONS)
    for name, suite in suites.items():
        title = (suite.__doc__ or "").splitlines()[0]
        click.echo(f"\n{path.stem}, {name}: {title}", err=True)
        result = suite(context)
        provenance = describe(context.conn, context.data)
        if name in NO_DATA:
            del provenance["dataset"]
        _keep(path, name, result, {**provenance, "rounds": context.rounds})
        if result.rows:
            click.echo(
                table(list(result.rows[0]), [[report.cell(cell) for cell in row.values()] for row in result.rows])
            )
        for fact, value in result.facts.items():
            click.echo(f"{fact}: {report.cell(value)}")


@click.command()
@click.option("--data", "files", type=click.Path(path_type=Path), multiple=True, help="May be repeated.")
@click.option("--rows", type=click.IntRange(min=1000), help="Use only the first rows.")
@click.option("--only", multiple=True, type=click.Choice([*DATA, *NO_DATA]), help="Only these suites; may be repeated.")
@click.option("--pg", help="Major version, or the path of a pg_config.  [default: 18]")
@click.option("--shards-pg", metavar="PG_CONFIG|MAJOR", help="A server with postgres_fdw, for the suite shards.")
@click.option("--growth-rows", type=click.IntRange(10_000), default=1_000_000, show_default=True, help="The last size.")
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True, help="Runs of every curve.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="[default: bench/results]")
@click.option("--smoke", is_flag=True, help="2,000 rows, 20 queries: that it runs, not how fast.")
@click.option("--docs", is_flag=True, help="Copy the results to docs/benchmarks and write docs/benchmarks.md.")
def bench(
    files: Sequence[Path], rows: int | None, only: Sequence[str], pg: str | None, shards_pg: str | None, growth_rows: int,
    rounds: int, out: Path | None, smoke: bool, docs: bool,
) -> None:  # fmt: skip
    """Measure pgvector and ruvector side by side."""
    chosen = {name: suite for name, suite in DATA.items() if not only or name in only}
    general = {name: suite for name, suite in NO_DATA.items() if not only or name in only}
    rounds, rows = (1, 2000) if smoke else (rounds, rows)
    out = out or (RESULTS / "smoke" if smoke else RESULTS)
    for number, file in enumerate(files or [vectors.SHIPPED]):
        data = vectors.load(file, rows)
        if smoke:
            data = replace(data, queries=data.queries[:20])
        cluster, dsn = _server(pg)
        with psycopg.connect(dsn, autocommit=True) as conn:
            run(conn, "CREATE EXTENSION vector")
            run(conn, "CREATE EXTENSION ruvector")
            radii = measure.exact_radii(data.base, data.queries)
            context = Context(conn, dsn, cluster, data, radii, smoke, rounds, file, rows, shards_pg, growth_rows)
            _measure(context, chosen, out / f"{data.name.removesuffix('_base')}-{len(data.base)}.json")
            if number == 0:
                _measure(context, general, out / "general.json")
    click.echo(f"\nreport: {report.write(out, out / 'report.md', out)}")
    if docs:
        kept = TOP / "docs" / "benchmarks"
        shutil.copytree(out, kept, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n[-5:] != ".json"])
        click.echo(f"report: {report.write(kept, TOP / 'docs' / 'benchmarks.md', kept)}")


if __name__ == "__main__":
    bench()
