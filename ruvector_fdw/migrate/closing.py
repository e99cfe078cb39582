# SPDX-License-Identifier: PostgreSQL
"""The two ends of a parallel migration: the doubles removed (rollback before cutover), or the old tables (after
validation).

Both are one transaction with the state's note, and refuse what would lose rows: the doubles go only while the old
tables serve, the old tables only when the new ones do.
"""

from __future__ import annotations

from .ddl import Pair
from .errors import MigrateError
from .exchange import planned_tables
from .names import qualified
from .parallel import read
from .plan import double_title
from .revive import table_from
from .sqlrun import Session
from .state import Run, State
from .sync import after_cutover, before_cutover, drop_triggers, link


def remove_doubles(session: Session, run: Run) -> None:
    """Rollback before cutover: triggers and doubles go; the tables are as they were before ``migrate``."""
    state = State(session)
    mapper = read(session).mapper
    work: list[str] = []
    shadows: list[str] = []
    not_made = {step.title for _, step in state.steps(run.id, "prepare")}
    for relation in state.relations(run.id):
        table = table_from(relation.signature)
        if session.scalar("SELECT to_regclass(%s)", (table.qualified,)) is not None:
            to = link(table, mapper, before_cutover)
            there = {q for q, _ in to.truncates if session.scalar("SELECT to_regclass(%s)", (q,)) is not None}
            work += [
                s
                for s in drop_triggers(to)
                if not s.startswith("DROP TRIGGER") or any(s.endswith(f" ON {q}") for q in there)
            ]
        shadow = qualified(relation.schema, Pair.of("TABLE", relation.schema, relation.name).shadow)
        made = double_title(table) not in not_made
        if made and session.scalar("SELECT to_regclass(%s)", (shadow,)) is not None:
            shadows.append(shadow)
    if shadows:
        work.append(f"DROP TABLE {', '.join(shadows)}")
    session.transaction(work, also=lambda: state.set_phase(run, "rolled back"))


def remove_old(session: Session, run: Run) -> None:
    """After cutover and validation: the old tables, their views and the triggers that kept them current go. There is
    no way back.
    """
    if run.phase != "cut over":
        raise MigrateError(f'the old tables cannot be dropped in phase "{run.phase}"', hint="First: ruvector cutover")
    state = State(session)
    mapper = read(session).mapper
    relations = state.relations(run.id)
    work: list[str] = []
    for table in planned_tables(session, relations):
        work += drop_triggers(link(table, mapper, after_cutover, reverse=True))
    old_views = [p for p, _ in state.pairs(run.id) if "VIEW" in p.kind]
    work += [f"DROP {p.kind} {qualified(p.schema, p.retired)}" for p in reversed(old_views)]
    old = [qualified(r.schema, Pair.of("TABLE", r.schema, r.name).retired) for r in relations]
    work.append(f"DROP TABLE {', '.join(old)}")
    session.transaction(work, also=lambda: state.set_phase(run, "finished"))
