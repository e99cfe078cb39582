# SPDX-License-Identifier: PostgreSQL
"""Partitions that come and go while a parallel migration runs.

PostgreSQL clones the dual-write trigger onto a partition that is attached, so its rows reach the double at once; the double
has no partition for them, but a default one (ddl.create_rest) that takes them in, so that the application never fails. What
``migrate`` does here before it is ready: partitions of the double for those that came, the rows that waited in the default
one moved there, the rows that a partition had when it was attached copied, and partitions whose original has gone dropped.
A partition that was taken away and came back is told by its trigger, which is another one then, and copied anew. After
cutover the old table has such a default partition; rolling back wants both sides to have the same partitions again.
"""

from __future__ import annotations

from dataclasses import replace

from . import ddl, plan
from .ddl import create_rest, open_ended, rest_name
from .errors import DriftError, MigrateError
from .model import Table
from .names import RETIRED_SUFFIX, SHADOW_SUFFIX, derived, literal, qualified, quote
from .plan import Source
from .progress import Progress
from .revive import table_from
from .sqlrun import Session, statement
from .state import Relation, Run, State
from .sync import TRIGGER, TRUNCATE, Link, backfill, before_cutover, link, truncate_trigger


def marks(session: Session, tables: list[Table]) -> dict[str, int]:
    """The dual-write trigger of each partition, by the partition's oid: it is dropped when the partition is detached."""
    oids = [p.oid for t in tables for p in t.partitions]
    found = session.query(
        "SELECT tgrelid::int8::text, oid::int8 FROM pg_trigger WHERE tgname = %s AND tgrelid = ANY (%s)", (TRIGGER, oids)
    )
    return dict(found)


def changed(session: Session, run: Run, relation: Relation, table: Table) -> tuple[list[Table], list[Table]]:
    """The partitions that are gone (as they were), and those that are new; a changed one is both."""
    known = {p.oid: p for p in table_from(relation.signature).partitions}
    there = {p.oid: p for p in table.partitions}
    before, now = run.options.get("marks", {}), marks(session, [table])

    def same(p: Table) -> bool:
        q = known.get(p.oid)
        alike = q is not None and (p.schema, p.name, p.parent, p.bound) == (q.schema, q.name, q.parent, q.bound)
        return alike and before.get(str(p.oid)) == now.get(str(p.oid))

    fresh = [p for p in table.partitions if not same(p)]
    return [p for p in known.values() if p.oid not in there or p.oid in {f.oid for f in fresh}], fresh


def must_be_followed(session: Session, run: Run, relation: Relation, table: Table) -> None:
    """:raise DriftError: partitions came or went since ``migrate`` was given last."""
    gone, fresh = changed(session, run, relation, table)
    if gone or fresh:
        raise DriftError(
            f"partitions of {table.qualified} changed since the migration began",
            hint="Run ruvector migrate, which follows them, then ruvector cutover.",
        )


def follow(session: Session, state: State, run: Run, source: Source, tables: list[Table], progress: Progress) -> None:
    """Bring the doubles' partitions to those of ``tables``, which are the originals of the run now."""
    for relation, table in zip(state.relations(run.id), tables, strict=True):
        if table.kind == "p":
            gone, fresh = changed(session, run, relation, table)
            if gone or fresh:
                session.output.say(f"partitions of {table.qualified}: {len(fresh)} new, {len(gone)} gone")
                rests = [rest_name(p, SHADOW_SUFFIX) for p in open_ended(table_from(relation.signature))]
                _change(session, state, run, source, tables, table, gone, fresh, rests)
    to_do = {p.oid: (t, p) for t in tables for p in t.partitions}
    for oid in list(run.options.get("unfilled", [])):
        if oid in to_do:
            _fill(session, source, *to_do[oid], int(run.options["batch_rows"]), progress)
        run.options["unfilled"].remove(oid)
        state.set_options(run)


def _change(
    session: Session, state: State, run: Run, source: Source, tables: list[Table], table: Table, gone: list[Table],
    fresh: list[Table], rests: list[str],
) -> None:  # fmt: skip
    """One transaction. The sources are locked first, as the application does it: its writes come to the double by them."""
    for part in fresh:
        if any(k.kind == "f" for k in part.constraints):
            raise MigrateError(
                f"partition {part.qualified} has a foreign key of its own, which cannot be followed",
                hint="Run ruvector rollback, then ruvector migrate again.",
            )
    shadows = {t.oid: qualified(t.schema, derived(t.name, SHADOW_SUFFIX)) for t in table.tree}
    to = link(table, source.mapper, before_cutover)
    work = [f"LOCK TABLE {p.qualified} IN SHARE ROW EXCLUSIVE MODE" for p in fresh]
    work.append(f"LOCK TABLE {shadows[table.oid]} IN ACCESS EXCLUSIVE MODE")
    # A default partition's rows wait in a table of their own until the partitions are there that they belong to.
    for rest in rests:
        work += [f"CREATE TEMP TABLE {_waiting(rest)} ON COMMIT DROP AS TABLE {rest}", f"DROP TABLE {rest}"]
    work += [f"DROP TABLE IF EXISTS {qualified(p.schema, derived(p.name, SHADOW_SUFFIX))}" for p in reversed(gone)]
    # The trigger on rows went when the partition was detached; this one stayed.
    left = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = ANY (%s) ORDER BY 1"
    work += [f"DROP TRIGGER IF EXISTS {TRUNCATE} ON {name}" for (name,) in session.query(left, ([p.oid for p in gone],))]
    for part in fresh:
        work += ddl.create_part(part, table, shadows, source.mapper)
        for k in (k for k in part.constraints if k.kind == "u" or (k.kind in "cx" and k.validated)):
            name = k.name if k.kind == "c" else derived(k.name, SHADOW_SUFFIX)
            definition = source.mapper.rewrite(k.definition)
            work.append(f"ALTER TABLE {shadows[part.oid]} ADD CONSTRAINT {quote(name)} {definition}")
        work += ddl.dress(part, source.mapper)
        work += truncate_trigger(to, part.qualified, shadows[part.oid])
    work += [create_rest(p, shadows[p.oid], SHADOW_SUFFIX) for p in open_ended(table)]
    work += [_move(to, _waiting(rest)) for rest in rests]

    def note() -> None:
        for part in fresh:
            _rename_indexes(session, table, part)
        session.conn.execute("DELETE FROM ruvector_migration.pair WHERE run = %s AND level = 0", (run.id,))
        state.add_pairs(run.id, plan.all_pairs(tables))
        state.set_signature(run.id, table.oid, plan.signature(table))
        run.options["marks"] = {**run.options.get("marks", {}), **marks(session, [table])}
        run.options["unfilled"] = [*run.options.get("unfilled", []), *(p.oid for p in fresh if p.kind == "r")]
        state.set_options(run)

    session.transaction(work, also=note)


def _waiting(rest: str) -> str:
    return f"pg_temp.{quote(derived(rest, '_rows'))}"


def _move(to: Link, waiting: str) -> str:
    """The rows that waited, as far as the original still has them: a partition that went took its own along."""
    columns = ", ".join(quote(c) for c in to.columns)
    same = " AND ".join(f"s.{quote(c)} = w.{quote(c)}" for c in to.key)
    return (
        f"INSERT INTO {to.target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {waiting} w"
        f" WHERE EXISTS (SELECT FROM {to.source} s WHERE {same}) ON CONFLICT DO NOTHING"
    )


def _rename_indexes(session: Session, table: Table, part: Table) -> None:
    """Indexes that a new partition has by its parent's: the server named them; the exchange knows them by ours."""
    names = {i.oid: (t.schema, derived(i.name, SHADOW_SUFFIX)) for t in table.tree for i in t.indexes}
    shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
    for index in (i for i in part.indexes if i.parent in names):
        found = session.query(
            "SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_index i ON i.indexrelid"
            " = c.oid WHERE h.inhparent = to_regclass(%s) AND i.indrelid = to_regclass(%s)",
            (qualified(*names[int(str(index.parent))]), shadow),
        )
        for (name,) in found:
            if name != names[index.oid][1]:
                text = f"ALTER INDEX {qualified(part.schema, name)} RENAME TO {quote(names[index.oid][1])}"
                session.conn.execute(statement(text))


def _fill(session: Session, source: Source, table: Table, part: Table, batch: int, progress: Progress) -> None:
    """The rows that the partition had when it was attached, and the indexes that it alone has."""
    to = replace(link(table, source.mapper, before_cutover), source=part.qualified)
    session.output.say(f"backfill of {part.qualified}")
    with progress.task(part.qualified, int(max(part.rows_estimate, 0)), 0) as moved:
        backfill(session, to, None, batch, lambda key, rows, complete: moved(rows))
    shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
    for index in (i for i in part.indexes if i.parent is None and not i.constraint and i.valid):
        name = derived(index.name, SHADOW_SUFFIX)
        session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified(part.schema, name)}")
        session.run(plan.shadow_index(index, part, name, shadow, source, concurrently=True))
    session.run(f"VACUUM (ANALYZE) {shadow}")


def drop_rests(table: Table, key: list[str], serving: str, standby: dict[int, str], suffix: str) -> list[str]:
    """In the exchange, before the side that stands by serves: its default partitions go, and must hold nothing of value.

    :param suffix: of that side.
    """
    work = []
    same = " AND ".join(f"s.{quote(c)} = r.{quote(c)}" for c in key)
    for part in open_ended(table):
        rest = rest_name(part, suffix)
        message = literal(f"{serving} has rows of a partition that {standby[part.oid]} does not have")
        work.append(
            f"DO $rest$BEGIN IF EXISTS (SELECT FROM {rest} r WHERE EXISTS (SELECT FROM {serving} s WHERE {same})) THEN"
            f" RAISE EXCEPTION USING MESSAGE = {message}; END IF; END$rest$"
        )
        work.append(f"DROP TABLE {rest}")
    return work


def make_rests(table: Table, standby: dict[int, str], suffix: str) -> list[str]:
    """In the exchange: default partitions of the side that stands by from now on."""
    return [create_rest(p, standby[p.oid], suffix) for p in open_ended(table)]


def same_partitions(planned: list[Table], serving: list[Table]) -> None:
    """:raise MigrateError: partitions of the table that serves came or went since cutover, so rolling back would lose some."""
    by_name = {t.qualified: t for t in serving}
    for then in planned:
        now = by_name[then.qualified]
        wanted, found = ({p.qualified: p for p in t.partitions} for t in (then, now))
        for name in sorted(found.keys() - wanted.keys()):
            raise MigrateError(
                f"partition {name} was attached after cutover, and the old table has none like it",
                hint="Detach it, run ruvector rollback, and attach it again.",
            )
        for name in sorted(wanted.keys() - found.keys()):
            old = qualified(wanted[name].schema, derived(wanted[name].name, RETIRED_SUFFIX))
            raise MigrateError(
                f"partition {name} was detached after cutover, and the old table still has it",
                hint=f"Attach it again, or drop its counterpart {old} by hand.",
            )
