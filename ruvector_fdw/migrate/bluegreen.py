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
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psycopg import errors

from . import catalog, changelog, dump
from .agreement import same_columns, same_counts, validate_keys
from .changelog import Plain, plain_tables
from .errors import MigrateError
from .following import NAME, catch_up, drop_replication, first_copy
from .model import Table
from .names import Mapper, literal
from .parallel import must_fit
from .plan import Source, signature
from .progress import Progress
from .sqlrun import Session, describe
from .state import SCHEMA, Relation, Run, State

if TYPE_CHECKING:
    from typing_extensions import LiteralString

PHASES = ("planned", "schema", "copy", "index", "following")
SWITCH_TIMEOUT_S = 60.0
_MARK = f"{SCHEMA}.green"
_LEFT_BEHIND: LiteralString = (
    "SELECT 'event trigger', evtname FROM pg_event_trigger WHERE oid NOT IN"
    " (SELECT objid FROM pg_depend WHERE classid = 'pg_event_trigger'::regclass AND deptype = 'e')"
    " UNION ALL SELECT 'publication', pubname FROM pg_publication UNION ALL SELECT 'subscription', subname"
    " FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


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
    blue: Session, green: Session, source: Source, options: dict[str, Any], pg_dump: str | None, *, logical: bool | None
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
    large = blue.scalar("SELECT count(*) FROM pg_largeobject_metadata")
    if large:
        raise MigrateError(
            f"{large} large objects would stay behind", hint="Keep them in bytea columns, or choose another strategy."
        )
    must_fit(blue, source.tables, "blue-green")
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
    for kind, name in blue.query(_LEFT_BEHIND):
        blue.output.warn(f'{kind} "{name}" is not carried over: make it again on the target')
    if blue.dry_run:
        _print(blue, green, source, pg_dump, tables, logical=bool(options["logical"]))
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
    if run.options.get("maintenance_work_mem"):
        pair.green.conn.execute(
            "SELECT set_config('maintenance_work_mem', %s, false)", (run.options["maintenance_work_mem"],)
        )
    for phase in PHASES[PHASES.index(run.phase) :]:
        state.set_phase(run, phase)
        if phase == "schema":
            _stage(pair, pg_dump, "schema")
        elif phase == "copy":
            first_copy(pair, source_dsn, progress)
        elif phase == "index":
            _stage(pair, pg_dump, "index")
        elif phase == "following":
            catch_up(pair)
            pair.green.run("ANALYZE")


def _print(
    blue: Session, green: Session, source: Source, pg_dump: str | None, tables: list[Plain], *, logical: bool
) -> None:
    """What a run would do, as SQL; the target's schema in the order of its stages."""
    plan = schema(blue, green, pg_dump, source.index_options)

    def stage(entries: list[dump.Entry]) -> None:
        for entry in entries:
            green.output.say(f"target: {dump.title(entry)}")
            green.output.sql(entry.sql)

    stage(plan.before + plan.keys)
    if logical:
        blue.output.say("blue: publication of all tables, to which the target subscribes")
    else:
        blue.output.say("blue: a log of changed keys; then each table is copied")
        for text in changelog.install(tables):
            blue.output.sql(text)
        for table in (t for t in tables if t.kind == "r"):
            blue.output.sql(f"COPY {table.qualified} ({table.column_list}) TO STDOUT")
    stage(plan.indexes)
    blue.output.say("ruvector cutover would then refuse writes on blue, bring the rest over, and add on the target:")
    stage(plan.last)


def schema(blue: Session, green: Session, pg_dump: str | None, index_options: Collection[str] = ()) -> dump.Schema:
    """Blue's schema as green is to have it."""
    program = dump.find_pg_dump(pg_dump, blue.conn.info.server_version // 10000)
    with catalog.snapshot(blue.conn):
        pgvector = catalog.extension(blue.conn, "vector")
        tables: list[Table] = catalog.tables(blue.conn)
    with catalog.snapshot(green.conn):
        ours = catalog.extension(green.conn, "ruvector")
    if pgvector is None or (ours is None and not blue.dry_run):
        raise MigrateError("blue needs extension vector and green extension ruvector")
    mapper = Mapper.between(pgvector, ours)
    if ours is None:  # alone on its server, where it will have the plain names
        mapper = replace(mapper, types={k: (pgvector.schema, name) for k, (_, name) in mapper.types.items()})
    populated = set(blue.query("SELECT schemaname, matviewname FROM pg_matviews WHERE ispopulated"))
    entries = dump.read(blue.dsn, program)
    return dump.translate(entries, mapper, tables, {(s, n) for s, n in populated}, pgvector, ours, index_options)


def _stage(pair: Pair, pg_dump: str | None, stage: str) -> None:
    """One stage of green's schema, once."""
    green = pair.green
    if stage == "schema" and green.scalar("SELECT 1 FROM pg_extension WHERE extname = 'ruvector'") is None:
        home = str(
            pair.blue.scalar("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'")
        )
        green.transaction([f"CREATE SCHEMA IF NOT EXISTS {home}", f"CREATE EXTENSION ruvector SCHEMA {home}"])
    marked = green.scalar("SELECT to_regclass(%s)", (_MARK,)) is not None
    if marked and green.query("SELECT 1 FROM ruvector_migration.green WHERE stage = %s", (stage,)):
        return
    assert pair.run is not None
    plan = schema(pair.blue, green, pg_dump, pair.run.options["index_options"])
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


def switch(pair: Pair, pg_dump: str | None) -> None:
    """Writes stop on blue, green gets the rest, and from then on notes its own changes for a rollback.

    Whatever fails before green is complete opens blue again. (A killed command leaves it closed: give it again.)
    """
    run, blue, green = pair.run, pair.blue, pair.green
    assert run is not None
    state = State(blue)
    tables = pair.tables()
    if run.phase == "cut over":
        validate_keys(blue, green)
        return
    if run.phase not in ("following", "switching", "switched"):
        raise MigrateError(f'cannot switch in phase "{run.phase}"', hint="See: ruvector status")
    if blue.dry_run:
        _print_switch(pair, tables, pg_dump)
        return
    if run.phase == "following":
        same_columns(tables, plain_tables(green.conn))
        catch_up(pair)  # all but the last of it, while blue still takes writes
    started = time.monotonic()
    if run.phase == "following":
        blue.transaction(changelog.block(tables, run.options["target"]), also=lambda: state.set_phase(run, "switching"))
    if run.phase == "switching":
        try:
            _complete(pair, tables, pg_dump)
        except Exception:
            blue.transaction(changelog.unblock(tables), also=lambda: state.set_phase(run, "following"))
            blue.output.warn("blue takes writes again")
            raise
        state.set_phase(run, "switched")
        blue.output.say(f"writes were refused for {time.monotonic() - started:.1f} s")
    if pair.logical and green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        green.run(f"DROP SUBSCRIPTION {NAME}")
    if green.scalar("SELECT to_regclass('ruvector_migration.change')") is None:
        green.transaction(_reverse_log(green))
    state.set_phase(run, "cut over")
    blue.output.say("applications may use green now")
    validate_keys(blue, green)


def _print_switch(pair: Pair, tables: list[Plain], pg_dump: str | None) -> None:
    assert pair.run is not None
    pair.blue.transaction(changelog.block(tables, pair.run.options["target"]))
    pair.blue.output.say("green catches up; sequences are set; row counts are compared; then, on green:")
    pair.green.transaction([e.sql for e in schema(pair.blue, pair.green, pg_dump).last])
    if pair.logical:
        pair.green.run(f"DROP SUBSCRIPTION {NAME}")
    pair.green.transaction(_reverse_log(pair.green))


def _complete(pair: Pair, tables: list[Plain], pg_dump: str | None) -> None:
    """What is left to bring over once blue refuses writes."""
    blue, green = pair.blue, pair.green
    catch_up(pair, SWITCH_TIMEOUT_S)
    for table in (t for t in tables if t.persistence == "u" and pair.logical):
        changelog.copy_table(blue.conn, green.conn, table, lambda rows: None)
    _sequences(blue, green)
    same_counts(blue, green, tables)
    _stage(pair, pg_dump, "last")


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


def back(pair: Pair) -> None:
    """Rollback: after the switch with green's changes since; before it by stopping the replication. Green itself
    stays as it is.
    """
    run, blue, green = pair.run, pair.blue, pair.green
    assert run is not None
    state = State(blue)
    tables = pair.tables()
    if green.scalar("SELECT to_regclass('ruvector_migration.change')") is not None:
        on_green = plain_tables(green.conn)
        green.transaction([*changelog.unblock(on_green), *changelog.block(on_green, describe(blue.dsn))])
        if blue.dry_run:
            blue.output.say("green's changes since the switch are brought to blue")
        by_name = {(t.schema, t.name): t for t in tables}
        same = [_as(t, by_name[(t.schema, t.name)]) for t in on_green if (t.schema, t.name) in by_name]
        while not blue.dry_run and changelog.apply(green.conn, blue.conn, same):
            pass
        _sequences(green, blue)
        green.transaction(changelog.remove(green))
    if pair.logical:
        drop_replication(pair)
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
        drop_replication(pair)
    pair.green.transaction([*changelog.remove(pair.green), f"DROP TABLE IF EXISTS {_MARK}"])
    with suppress(errors.DependentObjectsStillExist):
        pair.green.transaction([f"DROP SCHEMA {SCHEMA}"])
    State(pair.blue).set_phase(run, "finished")
