# SPDX-License-Identifier: PostgreSQL
"""``migrate --strategy blue-green``: a whole database brought to another server, where its vectors have our types.

Green's schema is blue's by pg_dump, mapped (dump.py). Rows come by PostgreSQL's own logical replication where blue has
``wal_level = logical`` (its text format crosses the change of types), else by COPY and a log of changed keys
(changelog.py). The switch refuses writes on blue, drains what is left, compares the row counts, and notes every
change on green from then on; so blue is kept and a rollback brings those changes back. The state of the run is on
blue; green's connection string is never stored. Stages of green's schema are one transaction each, with a mark in
green, so a killed run repeats or skips them whole.
"""

from __future__ import annotations

import time
from typing import Any

from psycopg import errors

from . import catalog, changelog, dump
from .changelog import Plain, plain_tables
from .errors import MigrateError
from .model import Table
from .names import Mapper, literal
from .plan import Source, signature
from .progress import Progress
from .sqlrun import Session, describe, statement
from .state import SCHEMA, Relation, Run, State

PHASES = ("planned", "schema", "copy", "index", "following")
NAME = "ruvector_migration"
_MARK = f"{SCHEMA}.green"


class Pair:
    """Blue (where the run is kept) and green."""

    def __init__(self, blue: Session, green: Session, run: Run | None) -> None:
        self.blue, self.green, self.run = blue, green, run

    @property
    def logical(self) -> bool:
        assert self.run is not None
        return bool(self.run.options["logical"])

    def tables(self) -> list[Plain]:
        return plain_tables(self.blue.conn)


def start(
    blue: Session, green: Session, source: Source, options: dict[str, Any], *, logical: bool | None
) -> Run | None:
    """Look at both ends and write the run down.

    :raise MigrateError: green is not empty, has no ruvector, or a table cannot be followed.
    """
    one_server = len({s.scalar("SELECT system_identifier FROM pg_control_system()") for s in (blue, green)}) == 1
    if one_server and blue.scalar("SELECT current_database()") == green.scalar("SELECT current_database()"):
        raise MigrateError("blue and green are the same database")
    if plain_tables(green.conn):
        raise MigrateError("the target database is not empty", hint="Give an empty one: createdb.")
    if green.scalar("SELECT 1 FROM pg_available_extensions WHERE name = 'ruvector'") is None:
        raise MigrateError("extension ruvector is not installed on the target's machine")
    # Within one server CREATE SUBSCRIPTION would wait for its own transaction.
    can = blue.scalar("SHOW wal_level") == "logical" and not one_server
    if logical and not can:
        raise MigrateError("blue's wal_level is not logical", hint="Use --replication log.")
    options = {**options, "logical": can if logical is None else logical, "target": describe(green.dsn)}
    tables = plain_tables(blue.conn)
    if not options["logical"]:
        changelog.install(tables)
    for table in (t for t in tables if t.persistence == "u" and options["logical"]):
        blue.output.warn(f"{table.qualified} is unlogged: its rows are copied at the switch only")
    if blue.dry_run:
        return None
    relations = [Relation(t.oid, None, t.schema, t.name, signature(t), None, 0, 0, True) for t in source.tables]
    with blue.conn.transaction():
        return State(blue).begin("blue-green", options, [], [], relations)


def advance(pair: Pair, pg_dump: str | None, source_dsn: str, progress: Progress) -> None:
    """From the run's phase to "following", and then until green has caught up."""
    run = pair.run
    assert run is not None
    state = State(pair.blue)
    if run.phase not in PHASES:
        raise MigrateError(
            f'this migration is already past its copy (phase "{run.phase}")', hint="See: ruvector status"
        )
    for phase in PHASES[PHASES.index(run.phase) :]:
        state.set_phase(run, phase)
        if phase == "schema":
            _stage(pair, pg_dump, "schema")
        elif phase == "copy":
            _replicate(pair, source_dsn, progress) if pair.logical else _copy(pair, state, progress)
        elif phase == "index":
            _stage(pair, pg_dump, "index")
        elif phase == "following":
            catch_up(pair)
            pair.green.run("ANALYZE")


def schema(pair: Pair, pg_dump: str | None) -> dump.Schema:
    """Blue's schema as green is to have it."""
    program = dump.find_pg_dump(pg_dump, pair.blue.conn.info.server_version // 10000)
    with catalog.snapshot(pair.blue.conn):
        pgvector = catalog.extension(pair.blue.conn, "vector")
        tables: list[Table] = catalog.tables(pair.blue.conn)
    with catalog.snapshot(pair.green.conn):
        ours = catalog.extension(pair.green.conn, "ruvector")
    if pgvector is None or ours is None:
        raise MigrateError("blue needs extension vector and green extension ruvector")
    mapper = Mapper.between(pgvector, ours)
    populated = set(pair.blue.query("SELECT schemaname, matviewname FROM pg_matviews WHERE ispopulated"))
    entries = dump.read(pair.blue.dsn, program)
    return dump.translate(entries, mapper, tables, {(s, n) for s, n in populated}, pgvector, ours)


def _stage(pair: Pair, pg_dump: str | None, stage: str) -> None:
    """One stage of green's schema, once."""
    green = pair.green
    if stage == "schema" and green.scalar("SELECT 1 FROM pg_extension WHERE extname = 'ruvector'") is None:
        green.transaction(["CREATE EXTENSION ruvector"])
    marked = green.scalar("SELECT to_regclass(%s)", (_MARK,)) is not None
    if marked and green.query("SELECT 1 FROM ruvector_migration.green WHERE stage = %s", (stage,)):
        return
    plan = schema(pair, pg_dump)
    entries = {"schema": plan.before + plan.keys, "index": plan.indexes, "last": plan.last}[stage]
    work = [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"CREATE TABLE IF NOT EXISTS {_MARK} (stage text PRIMARY KEY)",
        "SELECT set_config('search_path', '', true), set_config('check_function_bodies', 'off', true)",
        *(f"/* {dump.title(e)} */\n{e.sql}" for e in entries),
        f"INSERT INTO {_MARK} VALUES ({literal(stage)})",
    ]
    try:
        green.transaction(work)
    except errors.UndefinedObject as ex:
        if "role" not in str(ex):
            raise
        hint = "Bring the roles over first: pg_dumpall --roles-only."
        raise MigrateError(f"green is not ready for blue's schema: {ex}", hint=hint) from ex


def _replicate(pair: Pair, source_dsn: str, progress: Progress) -> None:
    """Publication, subscription, and the first copy that the subscription makes."""
    blue, green = pair.blue, pair.green
    tables = [t for t in pair.tables() if t.kind == "r" and t.persistence == "p"]
    if not blue.query("SELECT 1 FROM pg_publication WHERE pubname = %s", (NAME,)):
        assert pair.run is not None
        run, state = pair.run, State(blue)
        run.options["full"] = [t.qualified for t in tables if not t.key and t.identity == "d"]
        full = [f"ALTER TABLE {name} REPLICA IDENTITY FULL" for name in run.options["full"]]
        names = ", ".join(t.qualified for t in tables)
        publication = f"CREATE PUBLICATION {NAME} FOR TABLE {names}"
        blue.transaction([*full, publication], also=lambda: state.set_options(run))
    if not green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        green.run(
            f"CREATE SUBSCRIPTION {NAME} CONNECTION {literal(source_dsn)} PUBLICATION {NAME} WITH (binary = false)"
        )
    with progress.task("tables copied", len(tables)) as moved:
        done = 0
        while True:
            states = [
                row[0]
                for row in green.query(
                    "SELECT r.srsubstate::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid"
                    " WHERE s.subname = %s",
                    (NAME,),
                )
            ]
            ready = states.count("r")
            moved(ready - done)
            done = ready
            if ready == len(states) and ready >= len(tables):
                return
            time.sleep(0.2)


def _copy(pair: Pair, state: State, progress: Progress) -> None:
    """The log first, then every table; a table that was not finished is copied anew."""
    blue, green, run = pair.blue, pair.green, pair.run
    assert run is not None
    tables = pair.tables()
    if blue.scalar("SELECT to_regclass('ruvector_migration.change')") is None:
        blue.transaction(changelog.install(tables))
    done = set(run.options.get("copied", []))
    for table in (t for t in tables if t.kind == "r" and t.oid not in done):
        blue.output.sql(f"COPY {table.qualified} ({table.column_list}) TO STDOUT")
        total = int(blue.scalar("SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = %s", (table.oid,)))
        with progress.task(table.qualified, total) as moved:
            changelog.copy_table(blue.conn, green.conn, table, moved)
        done.add(table.oid)
        run.options["copied"] = sorted(done)
        state.set_options(run)


def lag(pair: Pair) -> tuple[int, str]:
    """How far green is behind, and in what unit."""
    if pair.logical:
        bytes_behind = pair.blue.scalar(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 FROM pg_replication_slots"
            " WHERE slot_name = %s",
            (NAME,),
        )
        if bytes_behind is None:
            raise MigrateError("the replication slot is gone", hint="Run: ruvector rollback")
        return int(bytes_behind), "bytes of WAL"
    return changelog.pending(pair.blue.conn), "changed rows"


def catch_up(pair: Pair, timeout_s: float = 3600) -> None:
    """Until green is where blue is now."""
    if not pair.logical:
        tables = pair.tables()
        while changelog.apply(pair.blue.conn, pair.green.conn, tables):
            pass
        return
    target = pair.blue.scalar("SELECT pg_current_wal_lsn()::text")
    until = time.monotonic() + timeout_s
    while True:
        reached = pair.blue.scalar(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", (target, NAME)
        )
        if reached:
            return
        if reached is None or time.monotonic() > until:
            raise MigrateError(f"green does not catch up: {lag(pair)}", hint="See the subscriber's server log.")
        time.sleep(0.05)


def switch(pair: Pair, pg_dump: str | None) -> None:
    """Writes stop on blue, green gets the rest, and from then on notes its own changes for a rollback."""
    run, blue, green = pair.run, pair.blue, pair.green
    assert run is not None
    state = State(blue)
    tables = pair.tables()
    started = time.monotonic()
    if run.phase == "following":
        blue.transaction(changelog.block(tables, run.options["target"]), also=lambda: state.set_phase(run, "switching"))
    elif run.phase != "switching":
        raise MigrateError(f'cannot switch in phase "{run.phase}"', hint="See: ruvector status")
    catch_up(pair)
    for table in (t for t in tables if t.persistence == "u" and pair.logical):
        changelog.copy_table(blue.conn, green.conn, table, lambda rows: None)
    _sequences(blue, green)
    _same_counts(pair, tables)
    _stage(pair, pg_dump, "last")
    if pair.logical and green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        green.run(f"DROP SUBSCRIPTION {NAME}")
    if green.scalar("SELECT to_regclass('ruvector_migration.change')") is None:
        green.transaction(_reverse_log(green))
    state.set_phase(run, "cut over")
    blue.output.say(f"writes were refused for {time.monotonic() - started:.1f} s; applications may use green now")


def _reverse_log(green: Session) -> list[str]:
    """The log on green; without it for tables that have no key (their changes cannot come back)."""
    tables = plain_tables(green.conn)
    for table in (t for t in tables if t.kind == "r" and not t.key):
        green.output.warn(f"{table.qualified} has no primary key: a rollback would not bring its changes back")
    return changelog.install([t for t in tables if t.key])


def _sequences(source: Session, target: Session) -> None:
    found = source.query(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value FROM pg_sequences"
        " WHERE last_value IS NOT NULL AND schemaname <> 'ruvector_migration'"
    )
    for name, value in found:
        if target.scalar("SELECT to_regclass(%s)", (name,)) is not None:
            target.run(f"SELECT setval({literal(name)}, {value})")


def _same_counts(pair: Pair, tables: list[Plain]) -> None:
    for table in (t for t in tables if t.kind == "r"):
        counts = [
            int(s.conn.execute(statement(f"SELECT count(*) FROM {table.qualified}")).fetchone()[0])  # type: ignore[index]
            for s in (pair.blue, pair.green)
        ]
        if counts[0] != counts[1]:
            raise MigrateError(
                f"{table.qualified} has {counts[0]} rows on blue and {counts[1]} on green",
                hint="Blue refuses writes: ruvector rollback opens it again.",
            )


def _drop_replication(pair: Pair) -> None:
    blue, green = pair.blue, pair.green
    if green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        green.run(f"DROP SUBSCRIPTION {NAME}")
    work = [f"DROP PUBLICATION IF EXISTS {NAME}"]
    full = pair.run.options.get("full", []) if pair.run else []
    work += [f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT" for name in full]
    blue.transaction(work)


def back(pair: Pair) -> None:
    """Rollback: after the switch with green's changes since; before it by stopping the replication. Green itself
    stays as it is.
    """
    run, blue, green = pair.run, pair.blue, pair.green
    assert run is not None
    state = State(blue)
    tables = pair.tables()
    if run.phase == "cut over" or green.scalar("SELECT to_regclass('ruvector_migration.change')") is not None:
        on_green = plain_tables(green.conn)
        green.transaction([*changelog.unblock(on_green), *changelog.block(on_green, describe(blue.dsn))])
        by_name = {(t.schema, t.name): t for t in tables}
        same = [_as(t, by_name[(t.schema, t.name)]) for t in on_green if (t.schema, t.name) in by_name]
        while changelog.apply(green.conn, blue.conn, same):
            pass
        _sequences(green, blue)
        green.transaction(changelog.remove(green))
    if pair.logical:
        _drop_replication(pair)
    work = [*changelog.unblock(tables), *changelog.remove(blue)]
    blue.transaction(work, also=lambda: state.set_phase(run, "rolled back"))


def _as(green: Plain, blue: Plain) -> Plain:
    """The table under green's oid, which is what green's log names."""
    return Plain(
        green.oid,
        blue.schema,
        blue.name,
        blue.kind,
        blue.persistence,
        blue.identity,
        blue.columns,
        blue.key,
        blue.key_types,
    )


def finish(pair: Pair) -> None:
    """Green stops noting its changes; blue stays, refusing writes."""
    run = pair.run
    assert run is not None
    if run.phase != "cut over":
        raise MigrateError(f'cannot finish in phase "{run.phase}"', hint="First: ruvector cutover")
    if pair.logical:
        _drop_replication(pair)
    pair.green.transaction(changelog.remove(pair.green))
    State(pair.blue).set_phase(run, "finished")
