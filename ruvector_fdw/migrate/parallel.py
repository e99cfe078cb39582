# SPDX-License-Identifier: PostgreSQL
"""``migrate --strategy parallel``: doubles beside the tables, kept equal by triggers, until cutover.

Runs the plan (plan.py) and the backfill (sync.py) in order, from wherever a killed run stopped. The application works
all the time; what it waits for is measured and shown. Cutover and rollback are in exchange.py.
"""

from __future__ import annotations

from typing import Any

from . import assess, catalog, dependents, plan
from .errors import MigrateError
from .model import Table
from .names import Extension, Mapper
from .plan import Source
from .progress import Progress
from .sqlrun import Session
from .state import CLOSED, Relation, Run, State, Step, run_steps
from .sync import backfill, batch_sql, before_cutover, link

PHASES = ("planned", "prepare", "dual-write", "backfill", "index", "keys", "ready")


def read(session: Session, schemas: tuple[str, ...], names: tuple[str, ...], index_options: tuple[str, ...]) -> Source:
    """The catalog as a plan needs it.

    :raise MigrateError: pgvector is not there.
    """
    with catalog.snapshot(session.conn):
        pgvector, ours = catalog.extension(session.conn, "vector"), catalog.extension(session.conn, "ruvector")
        if pgvector is None:
            raise MigrateError("extension vector is not installed in this database")
        tables = assess.select(catalog.tables(session.conn), schemas, names)
    return Source(tables, pgvector, ours, Mapper.between(pgvector, ours), index_options)


def create_extension(session: Session, pgvector: Extension | None) -> None:
    """CREATE EXTENSION ruvector where it is missing, linked to pgvector (its casts and operator classes)."""
    with catalog.snapshot(session.conn):
        ours = catalog.extension(session.conn, "ruvector")
    if ours is None:
        schema = f" SCHEMA {pgvector.schema}" if pgvector is not None and pgvector.schema != "public" else ""
        session.transaction([f"CREATE EXTENSION ruvector{schema}"])
    linked = session.scalar(
        "SELECT count(*) FROM pg_cast c JOIN pg_type s ON s.oid = c.castsource JOIN pg_type t ON t.oid = c.casttarget"
        " WHERE s.typname = 'vector' AND t.typname = 'ruvector'"
    )
    if not linked and not session.dry_run:
        home = session.scalar(
            "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname = 'ruvector_link_pgvector'"
        )
        if home is not None:
            session.transaction([f"SELECT {home}.ruvector_link_pgvector()"])


def stopped(session: Session, tables: list[Table], strategy: str) -> list[str]:
    """Why ``tables`` cannot be migrated by ``strategy``: one line for each finding that stops it."""
    with catalog.snapshot(session.conn):
        found = dependents.findings(session.conn, tables)
    return [f"{f.object}: {f.problem}" for f in found if strategy in f.stops]


def start(session: Session, source: Source, options: dict[str, Any]) -> Run | None:
    """Plan a run and write it down; with --dry-run print the plan and return None."""
    tables = [t for t in source.tables if t.vector_columns]
    for skipped in (t for t in source.tables if not t.vector_columns):
        session.output.warn(
            f"{skipped.qualified} has no column of pgvector's types: its indexes are left to --strategy in-place"
        )
    if not tables:
        raise MigrateError("no table has a column of pgvector's types")
    reasons = stopped(session, tables, "parallel")
    if reasons:
        raise MigrateError("cannot migrate in parallel:\n  " + "\n  ".join(reasons), hint="Choose tables with --table.")
    planned = Source(tables, source.pgvector, source.ours, source.mapper, source.index_options)
    steps = plan.parallel(planned)
    if session.dry_run:
        _print(session, steps, planned)
        return None
    state = State(session)
    relations = [
        Relation(
            t.oid,
            None,
            t.schema,
            t.name,
            plan.signature(t),
            None,
            0,
            int(sum(max(p.rows_estimate, 0) for p in t.leaves)),
            False,
        )
        for t in tables
    ]
    with session.conn.transaction():
        return state.begin("parallel", options, steps, plan.all_pairs(tables), relations)


def _print(session: Session, steps: list[Step], source: Source) -> None:
    """The plan as SQL, the backfill as its batch."""
    shown = False
    for step in steps:
        if step.phase == "index" and not shown:
            shown = True
            for table in source.tables:
                session.output.say(f"backfill of {table.qualified}, repeated for each range of the key")
                session.output.sql(batch_sql(link(table, source.mapper, before_cutover), first=False, last=False))
        session.output.say(step.title)
        if step.outside:
            for text in step.statements:
                session.run(text)
        else:
            session.transaction(step.statements)


def advance(session: Session, run: Run, progress: Progress) -> None:
    """From the run's phase to "ready". Safe to call again after any interruption."""
    state = State(session)
    session.conn.execute("SET row_security = off")
    batch = int(run.options["batch_rows"])
    if run.options.get("maintenance_work_mem"):
        session.conn.execute(
            "SELECT set_config('maintenance_work_mem', %s, false)", (run.options["maintenance_work_mem"],)
        )
    if run.phase not in PHASES:
        raise MigrateError(
            f'this migration is already past its copy (phase "{run.phase}")', hint="See: ruvector status"
        )
    for phase in PHASES[PHASES.index(run.phase) :]:
        state.set_phase(run, phase)
        if phase == "backfill":
            _backfill(session, state, run, batch, progress)
        elif phase not in ("planned", "ready"):
            run_steps(state, run, phase)


def current_tables(session: Session, relations: list[Relation]) -> list[Table]:
    """The originals as they are now, in the order of ``relations``."""
    with catalog.snapshot(session.conn):
        found = {t.oid: t for t in catalog.tables(session.conn, [r.oid for r in relations])}
    missing = [f"{r.schema}.{r.name}" for r in relations if r.oid not in found]
    if missing:
        raise MigrateError(f"table {missing[0]} was dropped since the migration began", hint="Run: ruvector rollback")
    return [found[r.oid] for r in relations]


def _backfill(session: Session, state: State, run: Run, batch: int, progress: Progress) -> None:
    relations = state.relations(run.id)
    source = read(session, (), (), ())
    for relation, table in zip(relations, current_tables(session, relations), strict=True):
        if relation.complete:
            continue
        to = link(table, source.mapper, before_cutover)
        session.output.say(f"backfill of {table.qualified}")
        session.output.sql(batch_sql(to, first=False, last=False))
        with progress.task(table.qualified, relation.rows_total, relation.rows_done) as moved:

            def note(key: list[str] | None, rows: int, complete: bool, oid: int = table.oid) -> None:
                state.progress(run.id, oid, key, rows, complete)
                moved(rows)

            backfill(session, to, relation.last_key, batch, note)


def closed(run: Run | None) -> bool:
    return run is None or run.phase in CLOSED
