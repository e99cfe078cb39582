# SPDX-License-Identifier: PostgreSQL
"""Writes the SQL that makes a table's double with our types, and the SQL that names its indexes after ours.

Decides: every object of the double gets an explicit name (``derived(name, "_ruvector")``), so that the exchange at
cutover is a list of renames known beforehand (:class:`Pair`). Foreign keys onto other migrated tables are left to the
caller (they go to those tables' doubles once both are filled), as are indexes that carry no constraint (built after
the rows are there). Source: PostgreSQL manual, CREATE TABLE, CREATE INDEX, CREATE POLICY.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .errors import MigrateError
from .model import Column, Grant, Index, Policy, Statistics, Table, Trigger, View
from .names import (
    ACCESS_METHODS,
    RETIRED_SUFFIX,
    SHADOW_SUFFIX,
    Extension,
    Mapper,
    derived,
    literal,
    moved,
    qualified,
    quote,
)

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
# Options of the other access method alone: given for every index, they are left out here.
_NOT_OF = {"hnsw": {"lists", "probes"}, "ivfflat": {"m", "ef_construction", "ef_search"}}
ENABLE = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}


@dataclass(frozen=True)
class Pair:
    """An object and its double: ``name`` is what applications know; the other two are worn by whichever stands by."""

    kind: str
    schema: str
    name: str
    shadow: str
    retired: str

    @staticmethod
    def of(kind: str, schema: str, name: str) -> Pair:
        return Pair(kind, schema, name, derived(name, SHADOW_SUFFIX), derived(name, RETIRED_SUFFIX))


def column_type(column: Column, mapper: Mapper) -> str:
    """The column's type with pgvector's part replaced. A domain or a composite type has no double: the caller
    excludes them.
    """
    return mapper.rewrite(column.type)


def create_table(table: Table, mapper: Mapper) -> list[str]:
    """The double of ``table`` and of its partitions: columns, defaults, identity, storage, checks, keys; empty, with
    no foreign keys.
    """
    statements: list[str] = []
    shadows = {t.oid: qualified(t.schema, derived(t.name, SHADOW_SUFFIX)) for t in table.tree}
    for part in table.tree:
        statements += create_part(part, table, shadows, mapper)
    statements += [create_rest(p, shadows[p.oid], SHADOW_SUFFIX) for p in open_ended(table)]
    # Children's keys first: a key added to the parent then adopts them, and their names are ours and not generated.
    for part in reversed(table.tree):
        for k in part.constraints:
            if k.kind in "pux":
                name = derived(k.name, SHADOW_SUFFIX)
            elif k.kind == "c" and k.validated:  # one that is not may not hold for the rows that are there: plan.py
                name = k.name
            else:
                continue
            definition = mapper.rewrite(k.definition)
            statements.append(f"ALTER TABLE {shadows[part.oid]} ADD CONSTRAINT {quote(name)} {definition}")
        for i in part.indexes:
            if i.constraint and i.parent and not any(k.index == i.oid for k in part.constraints):
                statements.append(_inherited_key(table, part, i, shadows[part.oid]))
    return statements


def create_part(part: Table, root: Table, shadows: dict[int, str], mapper: Mapper) -> list[str]:
    """The double of ``root`` or of one of its partitions, by its name in ``shadows``; without keys and checks."""
    persistence = "UNLOGGED " if part.persistence == "u" else ""
    if part.parent in shadows and part.bound is not None:
        head = f"CREATE {persistence}TABLE {shadows[part.oid]} PARTITION OF {shadows[part.parent]} {part.bound}"
    else:
        head = f"CREATE {persistence}TABLE {shadows[part.oid]} (\n  "
        head += ",\n  ".join(_column(c, part, mapper) for c in part.columns) + "\n)"
    head += f" PARTITION BY {part.partition_key}" if part.partition_key else ""
    head += f" USING {quote(part.method)}" if part.method not in (None, "heap") and part.kind == "r" else ""
    head += f" WITH ({', '.join(map(_option, part.options))})" if part.options else ""
    head += f" TABLESPACE {quote(part.tablespace)}" if part.tablespace else ""
    parent = next((t for t in root.tree if t.oid == part.parent), None)
    return [head, *_column_settings(part, shadows[part.oid]), *_own_defaults(part, shadows[part.oid], parent, mapper)]


def open_ended(table: Table) -> list[Table]:
    """What a partition may be attached to for which the other side has none: there a default partition takes its rows."""
    whole = {p.parent for p in table.partitions if p.bound == "DEFAULT"}
    return [p for p in table.tree if p.kind == "p" and p.oid not in whole and not str(p.partition_key).startswith("HASH")]


def rest_name(part: Table, suffix: str) -> str:
    """The qualified name of that default partition; ``suffix``: of the side that stands by."""
    return qualified(part.schema, derived(part.name, f"{suffix}_rest"))


def create_rest(part: Table, standby: str, suffix: str) -> str:
    persistence = "UNLOGGED " if part.persistence == "u" else ""
    return f"CREATE {persistence}TABLE {rest_name(part, suffix)} PARTITION OF {standby} DEFAULT"


def _inherited_key(root: Table, part: Table, index: Index, shadow: str) -> str:
    """The key that ``part`` has through its parent's key, made by name on the empty double before the parent's."""
    by_oid = {i.oid: (t, i) for t in root.tree for i in t.indexes}
    table, top = by_oid[index.oid]
    while top.parent in by_oid:
        table, top = by_oid[top.parent]
    definition = next((k.definition for k in table.constraints if k.index == top.oid), None)
    if definition is None:
        raise MigrateError(f'cannot tell the key behind index "{index.name}" of "{part.name}"')
    return f"ALTER TABLE {shadow} ADD CONSTRAINT {quote(derived(str(index.constraint), SHADOW_SUFFIX))} {definition}"


def _column(c: Column, table: Table, mapper: Mapper) -> str:
    text = f"{quote(c.name)} {column_type(c, mapper)}"
    if c.compression:
        text += f" COMPRESSION {_COMPRESSION[c.compression]}"
    if c.collation:
        text += f" COLLATE {c.collation}"
    if c.generated:
        text += (
            f" GENERATED ALWAYS AS ({mapper.rewrite(str(c.default))}) {'STORED' if c.generated == 's' else 'VIRTUAL'}"
        )
    elif c.identity and c.sequence:
        s = c.sequence
        mode = "ALWAYS" if c.identity == "a" else "BY DEFAULT"
        name = qualified(s["schema"], derived(s["name"], SHADOW_SUFFIX))
        text += (
            f" GENERATED {mode} AS IDENTITY (SEQUENCE NAME {name} START WITH {s['start']} INCREMENT BY {s['increment']}"
            f" MINVALUE {s['min']} MAXVALUE {s['max']} CACHE {s['cache']}{' CYCLE' if s['cycle'] else ''})"
        )
    elif c.default is not None:
        text += f" DEFAULT {mapper.rewrite(c.default)}"
    if c.not_null and c.not_null_name:  # since PostgreSQL 18 it is a constraint, with a name of its own
        text += f" CONSTRAINT {quote(c.not_null_name)}"
    return text + (" NOT NULL" if c.not_null else "")


def _column_settings(table: Table, shadow: str) -> list[str]:
    statements = []
    for c in table.columns:
        alter = f"ALTER TABLE {shadow} ALTER COLUMN {quote(c.name)}"
        if c.storage and not (table.parent and c.kind is None):
            statements.append(f"{alter} SET STORAGE {_STORAGE[c.storage]}")
        if c.statistics is not None:
            statements.append(f"{alter} SET STATISTICS {c.statistics}")
        if c.options:
            statements.append(f"{alter} SET ({', '.join(map(_option, c.options))})")
    return statements


def _own_defaults(part: Table, shadow: str, parent: Table | None, mapper: Mapper) -> list[str]:
    """Where a partition differs from its parent in defaults and NOT NULL, which count for rows written straight to it."""
    statements = []
    above = {c.name: c for c in parent.columns} if parent is not None else {}
    for c in part.columns:
        top = above.get(c.name)
        if top is None or c.generated or c.identity:
            continue
        alter = f"ALTER TABLE {shadow} ALTER COLUMN {quote(c.name)}"
        if c.default != top.default:
            change = "DROP DEFAULT" if c.default is None else f"SET DEFAULT {mapper.rewrite(c.default)}"
            statements.append(f"{alter} {change}")
        if c.not_null and not top.not_null:
            statements.append(f"{alter} SET NOT NULL")
    return statements


def _option(option: str) -> str:
    """``name=value`` of a catalog's option array as SQL; the value may hold anything."""
    name, _, value = option.partition("=")
    return f"{name.strip()} = {literal(value.strip())}"


def dress(table: Table, mapper: Mapper) -> list[str]:
    """Owner, row security, policies, triggers (disabled until cutover), comments, grants, extended statistics of the
    double.
    """
    statements: list[str] = []
    for part in table.tree:
        name = derived(part.name, SHADOW_SUFFIX)
        shadow = qualified(part.schema, name)
        statements.append(f"ALTER TABLE {shadow} OWNER TO {quote(part.owner)}")
        statements += [create_policy(p, shadow, mapper) for p in part.policies if not p.reads_tables]
        if part.row_security:
            statements.append(f"ALTER TABLE {shadow} ENABLE ROW LEVEL SECURITY")
        for trigger in part.triggers:
            statements.append(create_trigger(trigger, part, shadow, mapper))
            statements.append(f"ALTER TABLE {shadow} DISABLE TRIGGER {quote(trigger.name)}")
        for statistics in part.statistics:
            statements += _statistics(part, statistics, shadow)
        statements += grants(shadow, part.grants)
        statements += comments(part, name)
        for s in (c.sequence for c in part.columns if c.sequence and not part.parent):
            sequence = f"SEQUENCE {qualified(s['schema'], derived(s['name'], SHADOW_SUFFIX))}"
            statements += grants(sequence, [Grant(**g) for g in s["grants"]])
            if s["comment"] is not None:
                statements.append(f"COMMENT ON {sequence} IS {literal(s['comment'])}")
    return statements


def _statistics(table: Table, found: Statistics, shadow: str) -> list[str]:
    name = qualified(found.schema, derived(found.name, SHADOW_SUFFIX))
    text = moved(found.definition, "CREATE STATISTICS ", (found.schema, found.name), "", name)
    work = [moved(text, " FROM ", (table.schema, table.name), "", shadow)]
    if found.target is not None:
        work.append(f"ALTER STATISTICS {name} SET STATISTICS {found.target}")
    if found.comment is not None:
        work.append(f"COMMENT ON STATISTICS {name} IS {literal(found.comment)}")
    return work


def policies(policy: Policy, table: str, mapper: Mapper | None) -> list[str]:
    """The policy and its comment; without ``mapper`` as it was."""
    work = [create_policy(policy, table, mapper)]
    if policy.comment is not None:
        work.append(f"COMMENT ON POLICY {quote(policy.name)} ON {table} IS {literal(policy.comment)}")
    return work


def create_policy(policy: Policy, table: str, mapper: Mapper | None) -> str:
    def mapped(expression: str) -> str:
        return expression if mapper is None else mapper.rewrite(expression)

    roles = ", ".join("PUBLIC" if r == "public" else quote(r) for r in policy.roles)
    text = f"CREATE POLICY {quote(policy.name)} ON {table} AS {'PERMISSIVE' if policy.permissive else 'RESTRICTIVE'}"
    text += f" FOR {_COMMANDS[policy.command]} TO {roles}"
    text += f" USING ({mapped(policy.using)})" if policy.using is not None else ""
    return text + (f" WITH CHECK ({mapped(policy.check)})" if policy.check is not None else "")


def create_trigger(trigger: Trigger, table: Table | View, target: str, mapper: Mapper | None) -> str:
    """The trigger's definition, moved from ``table`` to ``target``."""
    text = moved(trigger.definition, " ON ", (table.schema, table.name), " ", target)
    return mapper.rewrite(text) if mapper is not None else text


def enable_trigger(trigger: Trigger, table: str) -> str:
    return f"ALTER TABLE {table} {ENABLE[trigger.enabled]} TRIGGER {quote(trigger.name)}"


def grants(relation: str, entries: Iterable[Grant]) -> list[str]:
    entries = list(entries)
    unwanted = ["PUBLIC" if g.grantee == "public" else quote(g.grantee) for g in entries if g.privilege == "-"]
    result = [f"REVOKE ALL ON {relation} FROM {', '.join(unwanted)}"] if unwanted else []
    for g in (g for g in entries if g.privilege != "-"):
        column = f" ({quote(g.column)})" if g.column else ""
        to = "PUBLIC" if g.grantee == "public" else quote(g.grantee)
        option = " WITH GRANT OPTION" if g.grantable else ""
        result.append(f"GRANT {g.privilege}{column} ON {relation} TO {to}{option}")
    return result


def comments(table: Table, name: str) -> list[str]:
    """Comments of the table, its columns, constraints, triggers and policies, on the double called ``name``."""
    relation = qualified(table.schema, name)
    found: list[tuple[str, str | None]] = [(f"TABLE {relation}", table.comment)]
    found += [(f"COLUMN {relation}.{quote(c.name)}", c.comment) for c in table.columns]
    found += [
        (f"CONSTRAINT {quote(derived(k.name, SHADOW_SUFFIX) if k.kind in 'pux' else k.name)} ON {relation}", k.comment)
        for k in table.constraints
        if k.kind != "f" and (k.validated or k.kind in "pux")
    ]
    found += [(f"TRIGGER {quote(t.name)} ON {relation}", t.comment) for t in table.triggers]
    found += [(f"POLICY {quote(p.name)} ON {relation}", p.comment) for p in table.policies if not p.reads_tables]
    return [f"COMMENT ON {what} IS {literal(text)}" for what, text in found if text is not None]


def opclass_name(index: Index, pgvector: Extension, ours: Extension | None, mapper: Mapper) -> str:
    """Our operator class for a vector index's. ``vector_l2_ops`` is ``ruvector_l2_ops``; the others keep their
    names.
    """
    method = ACCESS_METHODS[index.method]
    name = "ru" + index.opclass if index.opclass.startswith("vector_") else index.opclass
    if ours is None:
        home = mapper.types[index.opclass_kind][0] if index.opclass_kind in mapper.types else pgvector.schema
    elif (method, name) in ours.opclasses:
        home = ours.opclasses[(method, name)]
    else:
        raise MigrateError(f'operator class "{name}" does not exist for access method "{method}"')
    return qualified(home, name)


def vector_index(
    index: Index,
    name: str,
    relation: str,
    opclass: str,
    mapper: Mapper,
    *,
    concurrently: bool,
    extra: Collection[str] = (),
) -> str:
    """CREATE INDEX with our access method: key, options, tablespace and predicate as the old one has them.
    ``extra``: options in place of the old ones or beside them, as far as they are of this kind of index.
    """
    foreign = _NOT_OF[index.method] | ({"quantization"} if index.opclass.startswith(("bit_", "sparsevec_")) else set())
    fitting = [o for o in extra if o.partition("=")[0].strip() not in foreign]
    merged = {o.partition("=")[0].strip(): o for o in (*index.options, *fitting)}
    options = [_option(o) for o in merged.values()]
    text = f"CREATE INDEX {'CONCURRENTLY ' if concurrently else ''}{quote(name)} ON {relation}"
    text += f" USING {ACCESS_METHODS[index.method]} ({mapper.rewrite(index.expression)} {opclass})"
    text += f" WITH ({', '.join(options)})" if options else ""
    text += f" TABLESPACE {quote(index.tablespace)}" if index.tablespace else ""
    return text + (f" WHERE {mapper.rewrite(index.predicate)}" if index.predicate else "")


def plain_index(index: Index, table: Table, name: str, relation: str, mapper: Mapper, *, concurrently: bool) -> str:
    """Any other index, from the server's own definition."""
    head, _, tail = index.definition.partition(" USING ")
    unique = "UNIQUE " if head.startswith("CREATE UNIQUE ") else ""
    where = f"{'CONCURRENTLY ' if concurrently else ''}{quote(name)} ON {relation}"
    return f"CREATE {unique}INDEX {where} USING {mapper.rewrite(tail)}" + (
        f" TABLESPACE {quote(index.tablespace)}" if index.tablespace and " TABLESPACE " not in tail else ""
    )


def pairs(table: Table) -> list[Pair]:
    """Everything of ``table`` whose name is unique in its schema, and so must be exchanged at cutover."""
    result: list[Pair] = []
    for part in table.tree:
        result.append(Pair.of("TABLE", part.schema, part.name))
        result += [Pair.of("INDEX", part.schema, i.name) for i in part.indexes]
        result += [Pair.of("STATISTICS", s.schema, s.name) for s in part.statistics]
        if not part.parent:
            result += [
                Pair.of("SEQUENCE", c.sequence["schema"], c.sequence["name"]) for c in part.columns if c.sequence
            ]
    return result
