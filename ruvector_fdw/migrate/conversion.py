# SPDX-License-Identifier: PostgreSQL
"""The SQL of the in-place strategy, in both directions: columns to our types and indexes to our access methods, and back.

One transaction for the catalog: what names the types goes, the columns change, what went comes back over the new types. Indexes by
themselves, CONCURRENTLY. Nothing is run here (inplace.py does) and nothing is remembered.
"""

from __future__ import annotations

from dataclasses import replace

from . import ddl, views
from .ddl import create_trigger, enable_trigger
from .ddl import policies as policies_of
from .model import Index, Policy, Table, Trigger, View
from .names import ACCESS_METHODS, Mapper, literal, qualified, quote
from .plan import Source
from .state import Step

# In front of a statement that builds an index CONCURRENTLY, and so stands outside the transaction: /* its name */.
NOTE = "/* "


def steps(source: Source, found: list[View]) -> list[Step]:
    """Everything in the catalog in one transaction; then each index by itself, CONCURRENTLY; materialized views
    filled last.
    """
    result = [Step("convert", "types, and what names them", _convert(source, found))]
    for table in source.tables:
        result += _index_steps(table, source)
    for view in found:
        if view.kind == "m":
            result.append(Step("index", f"rows of {view.qualified}", views.fill(view, source.mapper)))
    for table in source.tables:
        for part in table.tree:
            for k in _checks(part, source.mapper):
                text = f"ALTER TABLE {part.qualified} VALIDATE CONSTRAINT {quote(k[0])}"
                result.append(Step("index", f'check "{k[0]}" of {part.qualified}', [text]))
    return result


def _checks(part: Table, mapper: Mapper) -> list[tuple[str, str]]:
    """Checks that name something of pgvector's: (name, definition)."""
    return [
        (k.name, k.definition)
        for k in part.constraints
        if k.kind == "c" and k.validated and mapper.rewrite(k.definition) != k.definition
    ]


def _bound(part: Table) -> tuple[list[Trigger], list[Policy]]:
    """Triggers and policies that read a vector column: ALTER TABLE … TYPE refuses while they stand."""
    names = {c.name for c in part.vector_columns}
    return [t for t in part.triggers if names & set(t.columns)], [p for p in part.policies if names & set(p.columns)]


def _convert(source: Source, found: list[View], *, reverse: bool = False) -> list[str]:
    """The transaction. ``reverse``: from our types back to pgvector's, the same in the other direction."""
    mapper = None if reverse else source.mapper
    work = [f"LOCK TABLE {', '.join(t.qualified for t in source.tables)} IN ACCESS EXCLUSIVE MODE"]
    work += [views.drop(v) for v in reversed(found)]
    every = [part for table in source.tables for part in table.tree]
    for part in every:
        work += _loosen(part, source, reverse=reverse)
    for table in source.tables:
        clauses = _types(table, mapper)
        if clauses:
            work.append(f"ALTER TABLE {table.qualified} " + ", ".join(clauses))
    for part in every:
        work += _own_defaults(part, mapper)
        work += _fasten(part, source, mapper)
    for view in found:
        work += views.create(view, mapper)
    return work


def _types(table: Table, mapper: Mapper | None) -> list[str]:
    clauses = []
    for c in table.vector_columns:
        if c.inherited:  # with its parent's
            continue
        if c.default is not None:
            clauses.append(f"ALTER COLUMN {quote(c.name)} DROP DEFAULT")
        clauses.append(f"ALTER COLUMN {quote(c.name)} TYPE {mapper.rewrite(c.type) if mapper else c.type}")
        if c.default is not None:
            default = mapper.rewrite(c.default) if mapper else c.default
            clauses.append(f"ALTER COLUMN {quote(c.name)} SET DEFAULT {default}")
    return clauses


def _own_defaults(part: Table, mapper: Mapper | None) -> list[str]:
    """Defaults of inherited columns: their parent's has just been put over them."""
    work = []
    for c in part.vector_columns:
        if c.inherited:
            default = c.default and (mapper.rewrite(c.default) if mapper else c.default)
            change = f"SET DEFAULT {default}" if default else "DROP DEFAULT"
            work.append(f"ALTER TABLE ONLY {part.qualified} ALTER COLUMN {quote(c.name)} {change}")
    return work


def _loosen(part: Table, source: Source, *, reverse: bool) -> list[str]:
    work = []
    triggers, policies = _bound(part)
    for index in part.indexes:
        if _ours_to_rebuild(index, source.mapper) and (reverse or index.parent is None):
            work.append(f"DROP INDEX IF EXISTS {qualified(part.schema, index.name)}")
    work += [f"DROP TRIGGER {quote(t.name)} ON {part.qualified}" for t in triggers]
    work += [f"DROP POLICY {quote(p.name)} ON {part.qualified}" for p in policies]
    work += [f"ALTER TABLE {part.qualified} DROP CONSTRAINT {quote(name)}" for name, _ in _checks(part, source.mapper)]
    return work


def _fasten(part: Table, source: Source, mapper: Mapper | None) -> list[str]:
    plain = mapper or replace(source.mapper, types={}, functions={}, operators={})
    work = []
    triggers, policies = _bound(part)
    for trigger in triggers:
        work.append(create_trigger(trigger, part, part.qualified, plain))
        if trigger.enabled != "O":
            work.append(enable_trigger(trigger, part.qualified))
        if trigger.comment is not None:
            work.append(f"COMMENT ON TRIGGER {quote(trigger.name)} ON {part.qualified} IS {literal(trigger.comment)}")
    for policy in policies:
        work += policies_of(policy, part.qualified, mapper)
    for name, definition in _checks(part, source.mapper):
        text = f"ALTER TABLE {part.qualified} ADD CONSTRAINT {quote(name)} {plain.rewrite(definition)}"
        work.append(text + " NOT VALID")
    return work


def _ours_to_rebuild(index: Index, mapper: Mapper) -> bool:
    """pgvector's indexes, and any other whose text names something of pgvector's."""
    if index.constraint:
        return False
    return index.method in ACCESS_METHODS or mapper.rewrite(index.definition) != index.definition


def _index_steps(table: Table, source: Source) -> list[Step]:
    result: list[Step] = []
    attach: list[Step] = []
    for part in table.tree:
        for index in part.indexes:
            if not _ours_to_rebuild(index, source.mapper):
                continue
            on = f"ONLY {part.qualified}" if part.kind == "p" else part.qualified
            leaf = part.kind == "r"
            full = qualified(part.schema, index.name)
            if index.method in ACCESS_METHODS:
                opclass = ddl.opclass_name(index, source.pgvector, source.ours, source.mapper)
                text = ddl.vector_index(
                    index, index.name, on, opclass, source.mapper, concurrently=leaf, extra=source.index_options
                )
            else:
                text = ddl.plain_index(index, part, index.name, on, source.mapper, concurrently=leaf)
            comment = [] if index.comment is None else [f"COMMENT ON INDEX {full} IS {literal(index.comment)}"]
            result.append(Step("index", f"index {full}", [text, *comment], outside=True, index=full))
            if index.parent is not None:
                parent = next((t, i) for t in table.tree for i in t.indexes if i.oid == index.parent)
                top = qualified(parent[0].schema, parent[1].name)
                attach.insert(0, Step("index", f"attach {full}", [f"ALTER INDEX {top} ATTACH PARTITION {full}"]))
    return result + attach


def undo_catalog(source: Source, found: list[View]) -> list[str]:
    """Back to pgvector's types: the statements of one transaction."""
    work = _convert(source, found, reverse=True)
    for view in found:
        if view.kind == "m":
            work += views.fill(view, None)
    return work


def undo_indexes(source: Source) -> list[str]:
    """pgvector's indexes again. Each names what it builds in a comment, so that a broken build can be found and
    dropped.
    """
    work = []
    for table in source.tables:
        for part in table.tree:
            for index in part.indexes:
                if not _ours_to_rebuild(index, source.mapper) or (table.kind == "p" and index.parent is not None):
                    continue
                full = qualified(part.schema, index.name)
                head, using, tail = index.definition.partition(" USING ")
                if part.kind == "p":
                    work.append(f"{head.replace(' ON ONLY ', ' ON ', 1)}{using}{tail}")
                else:
                    unique = "UNIQUE " if head.startswith("CREATE UNIQUE ") else ""
                    start = f"CREATE {unique}INDEX CONCURRENTLY {quote(index.name)} ON {part.qualified}"
                    work.append(f"{NOTE}{full} */ {start}{using}{tail}")
    return work


def built_index(text: str) -> str:
    """The qualified name of the index that a statement of :func:`undo_indexes` builds, from the note in front of it."""
    return text.removeprefix(NOTE).partition(" */")[0]
