# SPDX-License-Identifier: PostgreSQL
"""Which two things ``validate`` compares for the run that is going on, and what the result means for it.

Parallel: the old table and its double, by the names they wear in this phase. In place: one table, read as both types.
Blue-green: the same table on both servers (see bluegreen.py, which passes the green connection).
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from . import catalog
from .errors import MigrateError
from .model import Table
from .names import Mapper, qualified
from .revive import table_from
from .sqlrun import Session
from .state import Run, State
from .sync import after_cutover, before_cutover
from .validate import Side, TableVerdict, validate

_OLD_SERVES = ("index", "keys", "partitions", "ready")
_NEW_SERVES = ("exchanged", "cut over")


def check(
    session: Session, run: Run, queries: int, neighbours: int, seed: int, green: Connection[Any] | None = None
) -> list[TableVerdict]:
    """The verdict of every table of the run.

    :raise MigrateError: the copy is not complete yet.
    """
    state = State(session)
    with catalog.snapshot(session.conn):
        pgvector = catalog.extension(session.conn, "vector")
    with catalog.snapshot(green or session.conn):
        ours = catalog.extension(green or session.conn, "ruvector")
    if pgvector is None or ours is None:
        raise MigrateError("both extensions must be installed to compare them")
    mapper = Mapper.between(pgvector, ours)
    tables = [table_from(r.signature) for r in state.relations(run.id)]
    result = []
    for table in tables:
        if table.persistence == "u" and run.phase == "following" and run.options["logical"]:
            session.output.say(f"{table.qualified} is unlogged: its rows are copied at the switch")
            continue
        old, new = _sides(session, run, table, mapper, green)
        session.output.say(f"comparing {old.relation} and {new.relation}")
        result.append(validate(table, old, new, queries, neighbours, seed))
    return result


def _sides(
    session: Session,
    run: Run,
    table: Table,
    mapper: Mapper,
    green: Connection[Any] | None,
) -> tuple[Side, Side]:
    old_types = {c.name: c.type for c in table.vector_columns}
    new_types = {c.name: mapper.rewrite(c.type) for c in table.vector_columns}
    if green is not None:
        if run.phase in ("planned", "schema", "copy"):
            raise MigrateError(f'nothing to validate in phase "{run.phase}"', hint="Go on with: ruvector migrate")
        name = table.qualified
        return Side(session.conn, name, old_types), Side(green, name, new_types)
    if run.strategy == "in-place":
        if run.phase != "converted":
            raise MigrateError(f'nothing to validate in phase "{run.phase}"')
        name = table.qualified
        old = Side(session.conn, name, old_types, cast=True)
        return old, Side(session.conn, name, new_types)
    if run.phase in _OLD_SERVES:
        names = before_cutover(table.name)
    elif run.phase in _NEW_SERVES:
        names = after_cutover(table.name)
    else:
        raise MigrateError(f'nothing to validate in phase "{run.phase}"', hint="Go on with: ruvector migrate")
    old_name, new_name = (qualified(table.schema, n) for n in names)
    return Side(session.conn, old_name, old_types), Side(session.conn, new_name, new_types)
