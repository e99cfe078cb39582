# SPDX-License-Identifier: PostgreSQL
"""The exchange of a table and its double, in either direction, in one short transaction.

Cutover: the double takes the table's names (its own, its indexes', sequences', statistics'), the old one stands by
under ``…_pgvector_old`` and is kept current by triggers in the other direction; rollback after cutover is the same
exchange the other way. Views are not dropped but renamed away and made again, so that going back is a rename too.
Everything is read from the catalog just before, and the rename list was fixed when the run was planned. Locks: ACCESS
EXCLUSIVE on both tables, taken first and under lock_timeout (less than deadlock_timeout, so that in a deadlock the
exchange yields and not the application); nothing in the transaction reads a table's rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import catalog, dependents, partitions, publications, views
from .ddl import Pair, enable_trigger, policies
from .errors import DriftError, MigrateError
from .model import Constraint, IncomingKey, Table, View
from .names import RETIRED_SUFFIX, SHADOW_SUFFIX, Mapper, derived, literal, qualified, quote
from .parallel import current_tables, read
from .plan import signature
from .sqlrun import Session
from .state import Relation, Run, State
from .sync import after_cutover, before_cutover, create_triggers, drop_triggers, link


@dataclass
class Sides:
    """The tables of a run before an exchange: as they were planned (pgvector's types), with the names both sides
    wear now.
    """

    tables: list[Table]
    serving: list[Table]
    mapper: Mapper
    pairs: list[tuple[Pair, int]]
    views: list[View]
    incoming: list[IncomingKey]
    forward: bool

    def name(self, t: Table, *, serving: bool, before: bool) -> str:
        """The qualified name of the side that serves (or stands by) before or after the exchange."""
        known = Pair.of("TABLE", t.schema, t.name)
        if serving:
            return qualified(t.schema, known.name)
        return qualified(t.schema, known.shadow if before == self.forward else known.retired)


def drifted(relation: Relation, table: Table) -> str | None:
    """What changed on the table since the migration began, or None."""
    now, then = signature(table), relation.signature
    for part in ("columns", "partitions", "constraints", "indexes", "triggers", "policies", "grants", "statistics"):
        if now[part] != then[part]:
            return part
    return next((part for part in now if now[part] != then.get(part)), None)


def cutover(session: Session, run: Run) -> float:
    """Exchange the tables. Returns how long the locks were held, in milliseconds.

    :raise DriftError: a table changed since the plan was made.
    """
    state = State(session)
    relations = state.relations(run.id)
    tables = current_tables(session, relations)
    for relation, table in zip(relations, tables, strict=True):
        partitions.must_be_followed(session, run, relation, table)
        part = drifted(relation, table)
        if part is not None:
            raise DriftError(
                f"{part} of {table.qualified} changed since the migration began",
                hint="Run ruvector rollback, then ruvector migrate again.",
            )
    sides = _sides(session, state, run, tables, forward=True)
    shadow_oids = [
        int(session.scalar("SELECT to_regclass(%s)::oid::int8", (sides.name(t, serving=False, before=True),)))
        for t in tables
    ]
    work = _locks(sides) + _view_away(sides) + _exchange(session, sides) + _view_again(sides)

    def note() -> None:
        for relation, oid in zip(relations, shadow_oids, strict=True):
            session.conn.execute(
                "UPDATE ruvector_migration.relation SET shadow_oid = %s WHERE run = %s AND oid = %s",
                (oid, run.id, relation.oid),
            )
        for view in sides.views:
            if not _late(view):
                state.add_pairs(run.id, [Pair.of(_kind(view), view.schema, view.name)], level=view.level)
        state.keep_views(run.id, [v for v in sides.views if _late(v)])
        run.options["keys"] = [[k.table, k.name] for k in sides.incoming if k.validated]
        state.set_options(run)
        state.set_phase(run, "exchanged")

    held = session.transaction(work, also=note)
    if not session.dry_run:
        session.output.say(f"the locks were held for {held:.0f} ms")
    return held


def settle(session: Session, run: Run) -> None:
    """What follows a cutover without hurry: foreign keys checked, materialized views built and exchanged.

    Their definitions were kept at cutover: the old views, which serve until then, print the old table's new name.
    """
    state = State(session)
    relations = state.relations(run.id)
    retired = [r.oid for r in relations]
    with catalog.snapshot(session.conn):
        originals = catalog.tables(session.conn, retired)
        served = catalog.tables(session.conn, [int(str(r.shadow_oid)) for r in relations])
        incoming = dependents.incoming_keys(
            session.conn, served, [p.oid for t in (*originals, *served) for p in t.tree]
        )
    for key in incoming:
        if not key.validated and [key.table, key.name] in run.options["keys"]:
            session.transaction([f"ALTER TABLE {key.table} VALIDATE CONSTRAINT {quote(key.name)}"])
    mapper = read(session).mapper
    done = {(p.kind, p.schema, p.name) for p, _ in state.pairs(run.id)}
    for view in state.kept_views(run.id):
        if (_kind(view), view.schema, view.name) not in done:
            _settle_view(session, state, run, view, mapper)
    state.set_phase(run, "cut over")


def _settle_view(session: Session, state: State, run: Run, view: View, mapper: Mapper) -> None:
    """One materialized view (or a view over one): the new one is made beside it and takes its name."""
    pair = Pair.of(_kind(view), view.schema, view.name)
    indexes = [Pair.of("INDEX", view.schema, views.index_name(d)) for d in view.indexes]
    if view.kind == "m":
        relation = qualified(view.schema, pair.shadow)
        session.transaction([f"DROP MATERIALIZED VIEW IF EXISTS {relation}", *views.create(view, mapper, pair.shadow)])
        session.transaction(views.fill(view, mapper, pair.shadow, {p.name: p.shadow for p in indexes}))
        work = [_rename(p, p.name, p.retired) for p in (pair, *indexes)] + [
            _rename(p, p.shadow, p.name) for p in (pair, *indexes)
        ]
    else:
        work = [_rename(pair, pair.name, pair.retired), *views.create(view, mapper)]
    session.transaction(work, also=lambda: state.add_pairs(run.id, [pair, *indexes], level=view.level))


def back(session: Session, run: Run) -> float:
    """Undo a cutover: the old tables serve again, with everything written since. The doubles stay in step, as before
    cutover.
    """
    state = State(session)
    relations = state.relations(run.id)
    tables = planned_tables(session, relations)
    sides = _sides(session, state, run, tables, forward=False)
    view_pairs = [(p, level) for p, level in sides.pairs if "VIEW" in p.kind]
    mine = {(p.schema, p.name) for p, _ in view_pairs}
    begun = [Pair.of(_kind(v), v.schema, v.name) for v in state.kept_views(run.id) if (v.schema, v.name) not in mine]
    mine |= {(p.schema, p.shadow) for p in begun}
    strangers = [v.qualified for v in sides.views if (v.schema, v.name) not in mine]
    if strangers:
        raise MigrateError(
            f"view {strangers[0]} was made after cutover, over the new tables",
            hint="Drop it; make it again after the rollback.",
        )
    partitions.same_partitions(tables, sides.serving)
    work = _locks(sides)
    work += [f"DROP {p.kind} IF EXISTS {qualified(p.schema, p.shadow)}" for p in begun]
    work += [f"DROP {p.kind} {qualified(p.schema, p.name)}" for p, _ in reversed(view_pairs)]
    work += _exchange(session, sides)
    work += [_rename(p, p.retired, p.name) for p, _ in view_pairs]
    matview_indexes = {(p.schema, p.name): p for p, level in sides.pairs if p.kind == "INDEX" and level > 0}
    work += [_rename(p, p.retired, p.name) for p in matview_indexes.values()]

    def note() -> None:
        session.conn.execute("DELETE FROM ruvector_migration.pair WHERE run = %s AND level > 0", (run.id,))
        run.options["marks"] = partitions.marks(session, tables)
        state.set_options(run)
        state.set_phase(run, "ready")

    held = session.transaction(work, also=note)
    if not session.dry_run:
        session.output.say(f"the locks were held for {held:.0f} ms")
    for key in sides.incoming:
        if not key.partitioned and (key.validated or [key.table, key.name] in run.options["keys"]):
            session.transaction([f"ALTER TABLE {key.table} VALIDATE CONSTRAINT {quote(key.name)}"])
    return held


def planned_tables(session: Session, relations: list[Relation]) -> list[Table]:
    """The originals with the names of the plan, although they wear the retired ones now."""
    from .revive import table_from

    found = [table_from(r.signature) for r in relations]
    for relation in relations:
        if (
            session.scalar(
                "SELECT to_regclass(%s)", (qualified(relation.schema, derived(relation.name, "_pgvector_old")),)
            )
            is None
        ):
            raise MigrateError(f'the old table of "{relation.name}" is gone: there is nothing to go back to')
    return found


def _sides(session: Session, state: State, run: Run, tables: list[Table], *, forward: bool) -> Sides:
    mapper = read(session).mapper
    with catalog.snapshot(session.conn):
        if forward:
            serving = tables
        else:
            serving = catalog.tables(session.conn, [int(str(r.shadow_oid)) for r in state.relations(run.id)])
        found = dependents.views(session.conn, serving)
        but = [p.oid for t in serving for p in t.tree] + [p.oid for t in tables for p in t.tree]
        incoming = dependents.incoming_keys(session.conn, serving, but)
    return Sides(tables, serving, mapper, state.pairs(run.id), found, incoming, forward)


def _late(view: View) -> bool:
    """Materialized views hold rows, so they are exchanged after the tables; until then the old one goes on serving."""
    return view.kind == "m" or view.over_matview


def _kind(view: View) -> str:
    return "MATERIALIZED VIEW" if view.kind == "m" else "VIEW"


def _locks(sides: Sides) -> list[str]:
    names = [sides.name(t, serving=s, before=True) for t in sides.tables for s in (True, False)]
    return [f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"]


def _view_away(sides: Sides) -> list[str]:
    pairs = [Pair.of("VIEW", v.schema, v.name) for v in sides.views if not _late(v)]
    return [_rename(p, p.name, p.retired) for p in pairs]


def _view_again(sides: Sides) -> list[str]:
    return [text for v in sides.views if not _late(v) for text in views.create(v, sides.mapper)]


def _exchange(session: Session, sides: Sides) -> list[str]:
    """Triggers, names, sequences, foreign keys: from the lock on both sides to the new order of things."""
    forward = sides.forward
    names_now, names_then = (before_cutover, after_cutover) if forward else (after_cutover, before_cutover)
    work: list[str] = []
    for table in sides.tables:
        work += drop_triggers(link(table, sides.mapper, names_now, reverse=not forward))
        work += _sequences(session, sides, table)
        now = {p.oid: sides.name(p, serving=False, before=True) for p in table.tree}
        serving = sides.name(table, serving=True, before=True)
        work += partitions.drop_rests(table, table.key, serving, now, SHADOW_SUFFIX if forward else RETIRED_SUFFIX)
    for pair, level in sides.pairs:
        if level == 0 and pair.kind not in ("VIEW", "MATERIALIZED VIEW"):
            old, new = (pair.retired, pair.shadow) if forward else (pair.shadow, pair.retired)
            work += [_rename(pair, pair.name, old), _rename(pair, new, pair.name)]
    moved = {p.oid: p for t in sides.tables for p in t.tree}
    for table in sides.tables:
        for part in table.tree:
            serving = sides.name(part, serving=True, before=False)
            standby = sides.name(part, serving=False, before=False)
            work += _keys(part, serving, standby, moved)
            for trigger in part.triggers:
                work += [
                    f"ALTER TABLE {standby} DISABLE TRIGGER {quote(trigger.name)}",
                    enable_trigger(trigger, serving),
                ]
            for policy in (p for p in part.policies if forward and p.reads_tables):
                work.append(f"DROP POLICY IF EXISTS {quote(policy.name)} ON {serving}")
                work += policies(policy, serving, sides.mapper)
            if part.force_row_security:
                work += [
                    f"ALTER TABLE {standby} NO FORCE ROW LEVEL SECURITY",
                    f"ALTER TABLE {serving} FORCE ROW LEVEL SECURITY",
                ]
    work += publications.exchange(session.conn, _successors(sides))
    work += _incoming(sides)
    for table in sides.tables:
        standby_names = {p.oid: sides.name(p, serving=False, before=False) for p in table.tree}
        work += partitions.make_rests(table, standby_names, RETIRED_SUFFIX if forward else SHADOW_SUFFIX)
        work += create_triggers(link(table, sides.mapper, names_then, reverse=forward))
    return work


def _successors(sides: Sides) -> dict[int, tuple[str, str]]:
    """Of each table that serves now: what it and the one in its place will be called."""
    found = {}
    now = {t.qualified: t.oid for root in sides.serving for t in root.tree}
    for part in (p for table in sides.tables for p in table.tree):
        serving = sides.name(part, serving=True, before=False)
        found[now[serving]] = (sides.name(part, serving=False, before=False), serving)
    return found


def _keys(part: Table, serving: str, standby: str, moved: dict[int, Table]) -> list[str]:
    """Foreign keys among moved tables: as they were on the side that serves, checked at commit on the other."""
    work = []
    for k in part.constraints:
        if k.kind == "f" and k.foreign_table in moved:
            work.append(f"ALTER TABLE {serving} ALTER CONSTRAINT {quote(k.name)} {_timing(k)}")
            work.append(f"ALTER TABLE {standby} ALTER CONSTRAINT {quote(k.name)} DEFERRABLE INITIALLY DEFERRED")
    return work


def _timing(k: Constraint) -> str:
    if not k.deferrable:
        return "NOT DEFERRABLE"
    return "DEFERRABLE INITIALLY DEFERRED" if k.deferred else "DEFERRABLE INITIALLY IMMEDIATE"


def _incoming(sides: Sides) -> list[str]:
    """Foreign keys of other tables follow the name. NOT VALID here, so that no rows are read under the lock; checked
    afterwards.
    """
    work = []
    for key in sides.incoming:
        definition = key.definition.removesuffix(" NOT VALID") + ("" if key.partitioned else " NOT VALID")
        work.append(f"ALTER TABLE {key.table} DROP CONSTRAINT {quote(key.name)}")
        work.append(f"ALTER TABLE {key.table} ADD CONSTRAINT {quote(key.name)} {definition}")
        if key.comment is not None:
            work.append(f"COMMENT ON CONSTRAINT {quote(key.name)} ON {key.table} IS {literal(key.comment)}")
    return work


def _sequences(session: Session, sides: Sides, table: Table) -> list[str]:
    """Identity sequences go on where the other stopped; serial sequences are owned by the table that serves."""
    work = []
    other = sides.name(table, serving=False, before=True)
    for column in table.columns:
        if column.sequence:
            pair = Pair.of("SEQUENCE", column.sequence["schema"], column.sequence["name"])
            source = qualified(pair.schema, pair.name)
            target = qualified(pair.schema, pair.shadow if sides.forward else pair.retired)
            work.append(f"SELECT setval({literal(target)}, s.last_value, s.is_called) FROM {source} s")
    owned = session.query(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(s.relname), a.attname FROM pg_depend d"
        " JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
        " WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'"
        " AND d.refobjid = to_regclass(%s) ORDER BY 1",
        (table.qualified,),
    )
    return work + [f"ALTER SEQUENCE {sequence} OWNED BY {other}.{quote(column)}" for sequence, column in owned]


def _rename(pair: Pair, old: str, new: str) -> str:
    return f"ALTER {pair.kind} {qualified(pair.schema, old)} RENAME TO {quote(new)}"
