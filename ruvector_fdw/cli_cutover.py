# SPDX-License-Identifier: PostgreSQL
"""The second half of a migration on the command line: cutover, rollback, status.

Arguments, output and exit status as in cli_migrate.py; which module of :mod:`ruvector_fdw.migrate` does a strategy's
part is decided here.
"""

from __future__ import annotations

import click

from .cli_migrate import DRY, DSN, JSON, LOCK, PG_DUMP, TARGET, last_words, reported, target_pair
from .migrate import bluegreen, closing, exchange, following, inplace, parallel, report
from .migrate.errors import MigrateError
from .migrate.sqlrun import Output, Session
from .migrate.state import Run, State


@click.command()
@DSN
@LOCK
@DRY
@click.option("--drop-old", is_flag=True, help="After cutover and validation: drop the old tables.")
@TARGET
@PG_DUMP
@JSON
@reported
def cutover(
    dsn: str,
    target_dsn: str | None,
    pg_dump: str | None,
    lock_timeout: int,
    drop_old: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let the new tables take the old ones' names in one short transaction; or green take over from blue."""
    with Session(dsn, Output(json=as_json), dry_run=dry_run, lock_timeout_ms=lock_timeout) as session:
        run = _open(session)
        if run.strategy == "in-place":
            inplace.close(session, run)
        elif run.strategy == "blue-green":
            with target_pair(session, run, target_dsn) as pair:
                bluegreen.finish(pair) if drop_old else bluegreen.switch(pair, pg_dump)
        elif drop_old:
            closing.remove_old(session, run)
        else:
            if run.phase == "ready":
                exchange.cutover(session, run)
            elif run.phase != "exchanged":
                raise MigrateError(f'cannot cut over in phase "{run.phase}"', hint="See: ruvector status")
            if dry_run:
                session.output.say("then foreign keys are checked, and materialized views built and exchanged")
            else:
                exchange.settle(session, run)
        over = run.phase == "finished"
        then = "ruvector cutover --drop-old once you are sure; ruvector rollback to go back"
        last_words(session, as_json, next_command=None if over else then)


@click.command()
@DSN
@LOCK
@DRY
@TARGET
@JSON
@reported
def rollback(dsn: str, target_dsn: str | None, lock_timeout: int, dry_run: bool, as_json: bool) -> None:
    """Go back one step: after cutover to the old tables (kept current), before it to where there were no new ones."""
    with Session(dsn, Output(json=as_json), dry_run=dry_run, lock_timeout_ms=lock_timeout) as session:
        run = _open(session)
        then = "ruvector migrate to begin again (DROP SCHEMA ruvector_migration to forget this run)"
        if run.strategy == "in-place":
            inplace.undo(session, run)
        elif run.strategy == "blue-green":
            with target_pair(session, run, target_dsn) as pair:
                bluegreen.back(pair)
            then = "blue serves again; the target database can be dropped"
        elif run.phase in ("exchanged", "cut over"):
            exchange.back(session, run)
            then = "ruvector cutover to try again, ruvector rollback to remove the new tables"
        else:
            closing.remove_doubles(session, run)
        last_words(session, as_json, next_command=then)


def _open(session: Session) -> Run:
    """The run that is going on, with nobody else at work on it."""
    state = State(session)
    if not session.dry_run:
        state.lock()
    return state.open()


@click.command()
@DSN
@TARGET
@JSON
@reported
def status(dsn: str, target_dsn: str | None, as_json: bool) -> None:
    """Where the migration of this database stands; for blue-green, how far green is behind."""
    with Session(dsn, Output(json=as_json)) as session:
        state = State(session)
        run = state.current()
        if run is not None and not as_json:
            report.print_status(run, state.relations(run.id), state.left(run.id))
        lag = None
        if run is not None and run.strategy == "blue-green" and run.phase == "following" and target_dsn:
            with target_pair(session, run, target_dsn) as pair:
                amount, unit = following.lag(pair)
            lag = {"behind": amount, "unit": unit}
            session.output.say(f"green is {amount} {unit} behind")
        last_words(session, as_json, next_command=_NEXT.get((run.strategy, run.phase)) if run else None, lag=lag)


# What a person does next, by strategy and phase.
_NEXT = {
    **{("parallel", p): "ruvector migrate, to go on; ruvector rollback, to give up" for p in parallel.PHASES[:-1]},
    ("parallel", "ready"): "ruvector validate, then ruvector cutover",
    ("parallel", "exchanged"): "ruvector cutover, to go on",
    ("parallel", "cut over"): "ruvector cutover --drop-old once you are sure; ruvector rollback to go back",
    **{("in-place", p): "ruvector migrate, to go on; ruvector rollback, to give up" for p in inplace.PHASES[:-1]},
    ("in-place", "converted"): "ruvector validate, then ruvector cutover (or ruvector rollback)",
    ("in-place", "undoing"): "ruvector rollback, to go on",
    **{("blue-green", p): "ruvector migrate, to go on; ruvector rollback, to give up" for p in bluegreen.PHASES[:-1]},
    ("blue-green", "following"): "ruvector validate, then ruvector cutover",
    ("blue-green", "switching"): "ruvector cutover, to go on; ruvector rollback, to open blue again",
    ("blue-green", "switched"): "ruvector cutover, to go on; ruvector rollback, to open blue again",
    ("blue-green", "cut over"): "ruvector cutover --drop-old once you are sure; ruvector rollback to go back",
}
