# SPDX-License-Identifier: PostgreSQL
"""The migration commands of ``ruvector``: assess, migrate, validate; cutover, rollback and status are in cli_cutover.py.

Only arguments, output and exit status are decided here (0 done, 1 failed, 2 usage); the work is in
:mod:`ruvector_fdw.migrate`. The connection string comes from ``--dsn``, from ``RUVECTOR_DSN`` (so that no password
need stand in a process list), or from libpq's own variables, and is never printed with its password.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg

from .errors import RuvectorError
from .migrate import assess as assessing
from .migrate import bluegreen, checking, following, inplace, parallel, report
from .migrate import validate as validation
from .migrate.errors import MigrateError, RequestError
from .migrate.progress import Progress
from .migrate.sqlrun import LOCK_TIMEOUT_MS_DEFAULT, Output, Session, mask
from .migrate.state import CLOSED, Run, State
from .migrate.sync import BATCH_ROWS_DEFAULT

DSN = click.option(
    "--dsn",
    envvar="RUVECTOR_DSN",
    show_envvar=True,
    default="",
    metavar="URI",
    help="The database (default: libpq's variables, PGHOST, ...).",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
TARGET = click.option(
    "--target-dsn",
    envvar="RUVECTOR_TARGET_DSN",
    show_envvar=True,
    metavar="URI",
    help="Blue-green: the database on the other server; empty when a migration starts.",
)
PG_DUMP = click.option("--pg-dump", metavar="PROGRAM", help="Blue-green: pg_dump, at least as new as the server.")
_SCHEMAS = click.option(
    "--schema", "schemas", multiple=True, metavar="NAME", help="Only tables of this schema (repeatable)."
)
_TABLES = click.option(
    "--table", "tables", multiple=True, metavar="[SCHEMA.]NAME", help="Only this table (repeatable)."
)


_EXCLUDE = click.option(
    "--exclude", "excluded", multiple=True, metavar="[SCHEMA.]NAME", help="All tables but this one (repeatable)."
)


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the tool's and the server's errors into the command line's: one line, a hint, status 1 or 2."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if click.get_current_context().find_root().params.get("debug"):
            return function(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except RequestError as ex:
            raise click.UsageError(str(ex)) from ex
        except RuvectorError as ex:
            raise click.ClickException(mask(str(ex)) + (f"\nhint: {ex.hint}" if ex.hint else "")) from ex
        except psycopg.Error as ex:
            raise click.ClickException(mask(str(ex)).strip()) from ex

    return wrapped


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, default=str))


@click.command()
@DSN
@_SCHEMAS
@_TABLES
@_EXCLUDE
@click.option(
    "--sample",
    type=click.IntRange(0, 1_000_000),
    default=assessing.SAMPLE_ROWS_DEFAULT,
    show_default=True,
    help="Rows of each table to copy and index in a temporary table, to measure; 0: none.",
)
@JSON
@reported
def assess(
    dsn: str,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    excluded: tuple[str, ...],
    sample: int,
    as_json: bool,
) -> None:
    """Look at a database with pgvector: what is there, what stands in the way, what it will cost."""
    with Session(dsn, Output(json=as_json)) as session:
        result = assessing.assess(session, assessing.Choice(schemas, tables, excluded), sample)
    if as_json:
        print_json(result.to_json())
    else:
        report.print_assessment(result)
    if result.blockers:
        sys.exit(1)


DRY = click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
LOCK = click.option(
    "--lock-timeout",
    "lock_timeout",
    type=click.IntRange(1, 60_000),
    default=LOCK_TIMEOUT_MS_DEFAULT,
    show_default=True,
    metavar="MS",
    help="Longest wait for one lock; keep it below the server's deadlock_timeout.",
)


@click.command()
@DSN
@click.option(
    "--strategy", type=click.Choice(["parallel", "blue-green", "in-place"]), help="Required to start; not to go on."
)
@_SCHEMAS
@_TABLES
@_EXCLUDE
@click.option(
    "--batch-rows",
    type=click.IntRange(20, 1_000_000),
    default=BATCH_ROWS_DEFAULT,
    show_default=True,
    help="Parallel: rows brought over in one transaction, which holds their locks.",
)
@click.option(
    "--index-option",
    "index_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="For every new vector index that has it, in place of the old value, e.g. quantization=sq8 or m=32.",
)
@click.option("--maintenance-work-mem", "memory", metavar="SIZE", help="For the index builds, e.g. 2GB.")
@click.option(
    "--undo-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where --strategy in-place writes its undo script [default: ruvector-undo-DATABASE-TIME.sql].",
)
@click.option("--allow-rewrite", is_flag=True, help="In place: also tables that the server must rewrite (arrays).")
@TARGET
@PG_DUMP
@click.option(
    "--replication",
    type=click.Choice(["auto", "logical", "log"]),
    default="auto",
    show_default=True,
    help="Blue-green: how changes follow. auto: logical where blue's wal_level allows it.",
)
@click.option("--replication-dsn", metavar="URI", help="Blue-green: how the target reaches blue, if not by --dsn.")
@LOCK
@DRY
@JSON
@reported
def migrate(
    dsn: str,
    target_dsn: str | None,
    pg_dump: str | None,
    replication: str,
    replication_dsn: str | None,
    strategy: str | None,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    excluded: tuple[str, ...],
    batch_rows: int,
    index_options: tuple[str, ...],
    memory: str | None,
    undo_file: Path | None,
    allow_rewrite: bool,
    lock_timeout: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start a migration, or go on with the one that was interrupted."""
    if any("=" not in option for option in index_options):
        raise RequestError("--index-option wants NAME=VALUE")
    with Session(dsn, Output(json=as_json), dry_run=dry_run, lock_timeout_ms=lock_timeout) as session:
        state = State(session)
        run = state.current()
        if run is None or run.phase in CLOSED:
            if strategy is None:
                raise RequestError("--strategy is required to start a migration")
            if not dry_run:
                state.create()
                state.lock()
            choice = assessing.Choice(schemas, tables, excluded)
            source = parallel.read(session, choice, index_options)
            if strategy != "blue-green":
                parallel.create_extension(session, source.pgvector)
                source = parallel.read(session, choice, index_options)
            options = {
                "batch_rows": batch_rows,
                "maintenance_work_mem": memory,
                "index_options": list(index_options),
                "allow_rewrite": allow_rewrite,
            }
            if strategy == "in-place":
                run = inplace.start(session, source, options, undo_file)
            elif strategy == "blue-green":
                if choice:
                    raise RequestError(
                        "blue-green takes the whole database: --schema, --table and --exclude do not fit"
                    )
                logical = {"auto": None, "logical": True, "log": False}[replication]
                with target_pair(session, None, target_dsn) as pair:
                    run = bluegreen.start(session, pair.green, source, options, pg_dump, logical=logical)
            else:
                run = parallel.start(session, source, options)
        else:
            if strategy not in (None, run.strategy):
                raise MigrateError(f"a migration with strategy {run.strategy} is going on", hint="See: ruvector status")
            session.output.say(f'going on with migration {run.id} at phase "{run.phase}"')
            if not dry_run:
                state.lock()
        if run is not None and not dry_run:
            if run.strategy == "in-place":
                inplace.advance(session, run, Progress(quiet=as_json))
            elif run.strategy == "blue-green":
                with target_pair(session, run, target_dsn) as pair:
                    bluegreen.advance(pair, pg_dump, replication_dsn or dsn, Progress(quiet=as_json))
            else:
                parallel.advance(session, run, Progress(quiet=as_json))
        last_words(session, as_json, next_command="ruvector validate, then ruvector cutover")


@click.command()
@DSN
@click.option(
    "--queries",
    type=click.IntRange(1, 10_000),
    default=validation.QUERIES_DEFAULT,
    show_default=True,
    help="Rows of each table whose neighbours are compared.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(1, 1000),
    default=validation.NEIGHBOURS_DEFAULT,
    show_default=True,
    help="How many nearest rows of each query.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which rows are taken as queries.")
@TARGET
@JSON
@reported
def validate(dsn: str, target_dsn: str | None, queries: int, neighbours: int, seed: int, as_json: bool) -> None:
    """Compare the new tables with the old: rows, bytes, nearest neighbours, latency. Status 1 if they differ."""
    with Session(dsn, Output(json=as_json)) as session:
        run = State(session).open()
        if run.strategy == "blue-green":
            with target_pair(session, run, target_dsn) as pair:
                if run.phase == "following":
                    following.catch_up(pair)
                verdicts = checking.check(session, run, queries, neighbours, seed, pair.green.conn)
        else:
            verdicts = checking.check(session, run, queries, neighbours, seed)
    if as_json:
        print_json({"passed": not any(v.failures for v in verdicts), "tables": [v.to_json() for v in verdicts]})
    else:
        report.print_verdicts(verdicts)
    if any(v.failures for v in verdicts):
        sys.exit(1)


@contextmanager
def target_pair(blue: Session, run: Run | None, target_dsn: str | None) -> Iterator[bluegreen.Pair]:
    """Blue's session with one on green."""
    if not target_dsn:
        raise RequestError("blue-green needs --target-dsn (or RUVECTOR_TARGET_DSN)")
    with Session(target_dsn, blue.output, dry_run=blue.dry_run, lock_timeout_ms=blue.lock_timeout_ms) as green:
        yield bluegreen.Pair(blue, green, run)


def last_words(session: Session, as_json: bool, *, next_command: str | None, lag: dict[str, Any] | None = None) -> None:
    """The last words of a command: where the run stands now."""
    state = State(session)
    run = state.current()
    document: dict[str, Any] = {"sql": session.output.log, "run": None}
    if run is not None:
        tables = [
            {
                "table": f"{r.schema}.{r.name}",
                "rows_done": r.rows_done,
                "rows_total": r.rows_total,
                "complete": r.complete,
            }
            for r in state.relations(run.id)
        ]
        document["run"] = {
            "id": run.id,
            "strategy": run.strategy,
            "phase": run.phase,
            "longest_lock_ms": run.longest_lock_ms,
            "steps_left": state.left(run.id),
            "lag": lag,
            "tables": tables,
        }
    if as_json:
        print_json(document)
    elif session.dry_run:
        click.echo("-- dry run: nothing was changed")
    elif run is None:
        click.echo("no migration has been started in this database")
    else:
        click.echo(f"-- migration {run.id}, {run.strategy}: {run.phase}; longest lock {run.longest_lock_ms:.0f} ms")
        if next_command:
            click.echo(f"-- next: {next_command}")
