# SPDX-License-Identifier: PostgreSQL
"""``migrate --strategy in-place``: the columns change their type, and nothing is rewritten.

pgvector's bytes are ours, so ALTER TABLE … TYPE touches the catalog only; the tool looks at every relfilenode before
and after and says so (and refuses beforehand, in a transaction that is rolled back, if the server would rewrite).
What names the old types goes first and comes back mapped, in the same transaction: views (with all that hung on
them), checks, triggers and policies that read the column, defaults. pgvector's indexes are dropped there too; ours
are built CONCURRENTLY afterwards, so searches are sequential scans in between. The undo script (the same, backwards)
is written to a file before anything is changed.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import catalog, conversion, dependents
from .conversion import NOTE, built_index, undo_catalog, undo_indexes
from .errors import MigrateError
from .model import Table, View
from .parallel import must_fit, probe_indexes
from .plan import Source, check_methods, signature
from .progress import Progress
from .sqlrun import Session
from .state import Relation, Run, State, run_steps

PHASES = ("planned", "convert", "index", "converted")


class _Rewrite(Exception):
    """The probe's outcome: relations that ALTER TABLE would rewrite. Raised to roll the probe back."""


def start(session: Session, source: Source, options: dict[str, Any], undo_file: Path | None) -> Run | None:
    """Write the undo script, plan the run and write it down; with --dry-run print the plan and return None."""
    tables = source.tables
    if not tables:
        raise MigrateError("no table has a column or an index of pgvector's")
    must_fit(session, tables, "in-place")
    check_methods([i for t in tables for i in t.vector_indexes], source.ours)
    found = _views(session, tables)
    if session.dry_run:
        for step in conversion.steps(source, found):
            session.output.say(step.title)
            for text in step.statements:
                session.output.sql(text)
        return None
    probe_indexes(session, source)
    plan = conversion.steps(source, found)
    rewritten = _probe(session, plan[0].statements, tables)
    if rewritten and not options["allow_rewrite"]:
        raise MigrateError(
            f"the server would rewrite {', '.join(rewritten)} under an exclusive lock",
            hint="An array holds its element type, so a column of arrays cannot be converted otherwise. Use --strategy "
            "parallel, or --allow-rewrite if the tables may stand still that long.",
        )
    if undo_file is None:
        name = re.sub(r"\W", "_", str(session.scalar("SELECT current_database()")))
        undo_file = Path(f"ruvector-undo-{name}-{time.strftime('%Y%m%dT%H%M%S')}.sql").absolute()
    write_undo(undo_file, source, found)
    session.output.say(f"the undo script is {undo_file}")
    relations = [Relation(t.oid, None, t.schema, t.name, signature(t), None, 0, 0, True) for t in tables]
    state = State(session)
    undo = [*undo_catalog(source, found), *undo_indexes(source)]
    with session.conn.transaction():
        return state.begin("in-place", {**options, "undo_file": str(undo_file), "undo": undo}, plan, [], relations)


def advance(session: Session, run: Run, progress: Progress) -> None:
    """From the run's phase to "converted"."""
    state = State(session)
    if run.phase not in PHASES:
        raise MigrateError(f'cannot go on from phase "{run.phase}"')
    if run.options.get("maintenance_work_mem"):
        session.conn.execute(
            "SELECT set_config('maintenance_work_mem', %s, false)", (run.options["maintenance_work_mem"],)
        )
    for phase in PHASES[PHASES.index(run.phase) :]:
        state.set_phase(run, phase)
        if phase == "convert":
            before = relfilenodes(session, [r.oid for r in state.relations(run.id)])
            fresh = bool(state.steps(run.id, phase))
            run_steps(state, run, phase, progress)
            after = relfilenodes(session, [r.oid for r in state.relations(run.id)])
            same = sum(after.get(oid) == node for oid, node in before.items())
            if fresh:
                session.output.say(
                    f"{same} of {len(before)} relfilenodes are the same as before: those were not rewritten"
                )
        elif phase == "index":
            run_steps(state, run, phase, progress)


def undo(session: Session, run: Run) -> None:
    """Back to pgvector's types and indexes, by what was written into the undo script; again without a rewrite."""
    state = State(session)
    if run.phase == "planned":
        state.set_phase(run, "rolled back")
        return
    done = not state.steps(run.id, "convert")
    script = list(run.options["undo"]) if done else []
    catalog_part = [s for s in script if not s.startswith(NOTE)]
    if run.phase != "undoing":
        session.transaction(catalog_part, also=lambda: state.set_phase(run, "undoing"))
    for text in script:
        if text.startswith(NOTE):
            name = built_index(text)
            valid = session.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,))
            if valid is False:
                session.run(f"DROP INDEX CONCURRENTLY {name}")
            if valid is not True:
                session.run(text)
    state.set_phase(run, "rolled back")


def close(session: Session, run: Run) -> None:
    """Nothing to cut over in place: the run is closed, and cannot be rolled back by the tool any more (the undo
    script stays).

    :raise MigrateError: it is not through yet.
    """
    if run.phase != "converted":
        raise MigrateError(f'this migration is still in phase "{run.phase}"', hint="Go on with: ruvector migrate")
    State(session).set_phase(run, "finished")


def relfilenodes(session: Session, oids: list[int]) -> dict[int, int]:
    """pg_class.relfilenode of the tables and all their partitions and TOAST tables, by oid."""
    rows = session.query(
        "SELECT c.oid::int8, c.relfilenode::int8 FROM unnest(%s::oid[]) r(oid), LATERAL (SELECT r.oid UNION"
        " SELECT relid FROM pg_partition_tree(r.oid)) p(oid) JOIN pg_class k ON k.oid = p.oid"
        " JOIN pg_class c ON c.oid IN (k.oid, k.reltoastrelid) ORDER BY 1",
        (oids,),
    )
    return dict(rows)


def _probe(session: Session, statements: list[str], tables: list[Table]) -> list[str]:
    """Run the conversion and roll it back, to see that it works. Returns the tables that it rewrites (rewriting them).

    A table without a column of arrays is locked no longer than by the conversion itself.
    """
    oids = [t.oid for t in tables]
    before = relfilenodes(session, oids)
    rewritten: list[int] = []

    def look() -> None:
        after = relfilenodes(session, oids)
        rewritten.extend(oid for oid in before if after.get(oid) != before[oid])
        raise _Rewrite

    with suppress(_Rewrite):
        session.transaction(statements, also=look, show=False)
    return sorted(p.qualified for t in tables for p in t.tree if p.oid in rewritten)


def _views(session: Session, tables: list[Table]) -> list[View]:
    columns = [f"{p.oid}.{c.name}" for t in tables for p in t.tree for c in t.vector_columns]
    with catalog.snapshot(session.conn):
        return dependents.views(session.conn, tables, columns) if columns else []


def write_undo(path: Path, source: Source, found: list[View]) -> None:
    """The undo script for psql, complete on its own, readable by its owner only; written and on disk before anything
    changes.

    :raise MigrateError: the file exists already, or cannot be written.
    """
    lines = [
        "-- Undoes ruvector migrate --strategy in-place: back to pgvector's types and indexes.",
        "-- psql -v ON_ERROR_STOP=1 -f this-file",
        "BEGIN;",
        "SET LOCAL search_path = pg_catalog;",
        *(f"{s};" for s in undo_catalog(source, found)),
        *(f"{s};" for s in undo_indexes(source) if not s.startswith(NOTE)),
        "COMMIT;",
        *(f"{s};" for s in undo_indexes(source) if s.startswith(NOTE)),
        "",
    ]
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as ex:
        raise MigrateError(f'undo script "{path}" exists already', hint="Name another with --undo-file.") from ex
    except OSError as ex:
        raise MigrateError(f'could not write undo script "{path}": {ex.strerror}') from ex
