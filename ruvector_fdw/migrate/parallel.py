# SPDX-License-Identifier: PostgreSQL
"""``migrate --strategy parallel``: doubles beside the tables, kept equal by triggers, until cutover.

Runs the plan (plan.py) and the backfill (sync.py) in order, from wherever a killed run stopped. The application works
all the time; what it waits for is measured and shown. Cutover and rollback are in exchange.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from psycopg import errors

from . import assess, catalog, ddl, dependents, partitions, plan
from .ddl import Pair
from .errors import MigrateError
from .model import Table
from .names import Extension, Mapper, quote
from .plan import Source
from .progress import Progress
from .sqlrun import Session, statement
from .state import CLOSED, Relation, Run, State, Step, run_steps
from .sync import backfill, batch_sql, before_cutover, link

PHASES = ("planned", "prepare", "dual-write", "backfill", "index", "keys", "partitions", "ready")


def read(session: Session, choice: assess.Choice = assess.ALL, index_options: tuple[str, ...] = ()) -> Source:
    """The catalog as a plan needs it.

    :raise MigrateError: pgvector is not there.
    """
    with catalog.snapshot(session.conn):
        pgvector, ours = catalog.extension(session.conn, "vector"), catalog.extension(session.conn, "ruvector")
        if pgvector is None:
            raise MigrateError("extension vector is not installed in this database")
        tables = assess.select(catalog.tables(session.conn), choice)
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


def must_fit(session: Session, tables: list[Table], strategy: str) -> None:
    """:raise MigrateError: ``tables`` cannot be migrated by ``strategy``; one line for each finding that stops it."""
    with catalog.snapshot(session.conn):
        found = dependents.findings(session.conn, tables)
    reasons = [f"{f.object}: {f.problem}" for f in found if strategy in f.stops]
    if reasons:
        way = {"parallel": "in parallel", "in-place": "in place", "blue-green": "to another server"}[strategy]
        others = [s for s in assess.STRATEGIES if not any(s in f.stops for f in found)]
        hint = f"--strategy {others[0]} fits" if others else "Change them"
        hint += "" if strategy == "blue-green" else ", or choose other tables with --table or --exclude"
        raise MigrateError(f"cannot migrate {way}:\n  " + "\n  ".join(reasons), hint=f"{hint}.")


def probe_indexes(session: Session, source: Source) -> None:
    """Build every vector index, as it will be, on an empty temporary table: what cannot be built is said before the rows
    are brought over. Where no temporary table may be made, it is found out later.

    :raise MigrateError: names the index.
    """
    for table in source.tables:
        columns = ", ".join(f"{quote(c.name)} {ddl.column_type(c, source.mapper)}" for c in table.columns)
        with suppress(errors.InsufficientPrivilege), session.conn.transaction(force_rollback=True):
            session.conn.execute(statement(f"CREATE TEMP TABLE ruvector_probe ({columns})"))
            for number, index in enumerate(table.vector_indexes):
                opclass = ddl.opclass_name(index, source.pgvector, source.ours, source.mapper)
                text = ddl.vector_index(
                    replace(index, tablespace=None), f"ruvector_probe_{number}", "pg_temp.ruvector_probe", opclass,
                    source.mapper, concurrently=False, extra=source.index_options,
                )  # fmt: skip
                try:
                    session.conn.execute(statement(text))
                except (errors.DataError, errors.ProgrammingError, errors.NotSupportedError) as ex:
                    message = str(ex).splitlines()[0]
                    raise MigrateError(f'index "{index.name}" of {table.qualified} cannot be built: {message}') from ex


def names_taken(session: Session, pairs: list[Pair]) -> list[str]:
    """Relations and statistics that wear a name which a double or an old table will have."""
    return [
        str(row[0])
        for row in session.query(
            "SELECT DISTINCT format('%%I.%%I', n.nspname, x.name) FROM unnest(%s::text[], %s::text[]) w(schema, name)"
            " JOIN pg_namespace n ON n.nspname = w.schema JOIN (SELECT relnamespace AS home, relname AS name FROM pg_class"
            " UNION ALL SELECT stxnamespace, stxname FROM pg_statistic_ext) x ON x.home = n.oid AND x.name = w.name"
            " ORDER BY 1",
            ([p.schema for p in pairs for _ in range(2)], [name for p in pairs for name in (p.shadow, p.retired)]),
        )
    ]


def start(session: Session, source: Source, options: dict[str, Any]) -> Run | None:
    """Plan a run and write it down; with --dry-run print the plan and return None."""
    tables = [t for t in source.tables if t.vector_columns]
    for skipped in (t for t in source.tables if not t.vector_columns):
        session.output.warn(
            f"{skipped.qualified} has no column of pgvector's types: its indexes are left to --strategy in-place"
        )
    if not tables:
        raise MigrateError("no table has a column of pgvector's types")
    must_fit(session, tables, "parallel")
    taken = names_taken(session, plan.all_pairs(tables))
    if taken:
        raise MigrateError(
            f"{taken[0]} exists already, and the migration needs the name",
            hint="Rename it or drop it, if it is left from something else.",
        )
    planned = Source(tables, source.pgvector, source.ours, source.mapper, source.index_options)
    steps = plan.parallel(planned)
    if session.dry_run:
        _print(session, steps, planned)
        return None
    probe_indexes(session, planned)
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
            assess.rows_of(session, t),
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
    """From the run's phase to "ready". Safe to call again after any interruption, and when it is ready: partitions may
    have come or gone.
    """
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
    start = min(PHASES.index(run.phase), PHASES.index("partitions"))
    for phase in PHASES[start:]:
        state.set_phase(run, phase)
        if phase == "backfill":
            _backfill(session, state, run, batch, progress)
        elif phase == "partitions":
            tables = current_tables(session, state.relations(run.id))
            source = read(session, index_options=tuple(run.options["index_options"]))
            partitions.follow(session, state, run, source, tables, progress)
        elif phase not in ("planned", "ready"):
            run_steps(state, run, phase, progress)


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
    source, tables = read(session), current_tables(session, relations)
    if "marks" not in run.options:
        run.options["marks"] = partitions.marks(session, tables)
        state.set_options(run)
    for relation, table in zip(relations, tables, strict=True):
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
