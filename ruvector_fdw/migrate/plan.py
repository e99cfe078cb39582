# SPDX-License-Identifier: PostgreSQL
"""The parallel strategy as a list of steps, made once from one snapshot of the catalog and then kept in the state
schema.

Order: the doubles, empty, with keys, checks, foreign keys onto other tables and triggers disabled ("prepare"), each
partitioned one with a default partition for rows of partitions that are attached later; the dual-write triggers
("dual-write"); the rows ("backfill", not a step: see sync.py); the other indexes, CONCURRENTLY ("index"); foreign keys
among doubles, once both ends are full ("keys"); partitions that came or went ("partitions", no step either: see
partitions.py). Foreign keys of the side that stands by are deferred: its rows arrive one by one in the order of the
triggers, not in the order of the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import ddl, names
from .ddl import Pair
from .errors import MigrateError
from .model import Constraint, Index, Table
from .names import ACCESS_METHODS, SHADOW_SUFFIX, Extension, Mapper, derived, literal, qualified, quote
from .state import Step
from .sync import before_cutover, create_triggers, link


@dataclass(frozen=True)
class Source:
    """What a plan is made from."""

    tables: list[Table]
    pgvector: Extension
    ours: Extension | None
    mapper: Mapper
    index_options: tuple[str, ...] = ()


# What may change while a migration runs without spoiling it.
_VOLATILE = {"rows_estimate", "heap_bytes", "total_bytes", "size_bytes", "valid", "comment", "validated"}


def signature(table: Table) -> dict[str, Any]:
    """Everything of the table that its double was made from, for telling at cutover that it is still so."""

    def stable(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: stable(v) for k, v in value.items() if k not in _VOLATILE}
        if isinstance(value, (list, tuple)):
            return [stable(v) for v in value if not (isinstance(v, dict) and v.get("privilege") == "-")]
        return value

    return dict(stable(asdict(table)))


def check_methods(indexes: Sequence[Index], ours: Extension | None) -> None:
    """:raise MigrateError: an index needs an access method that the installed extension does not have."""
    for index in indexes:
        method = ACCESS_METHODS[index.method]
        if ours is not None and method not in ours.access_methods:
            raise MigrateError(
                f'index "{index.name}" needs access method "{method}", which ruvector {ours.version} does not have'
            )


def parallel(source: Source) -> list[Step]:
    steps: list[Step] = []
    moved = {t.oid: t for table in source.tables for t in table.tree}
    for table in source.tables:
        check_methods(table.vector_indexes, source.ours)
        work = ddl.create_table(table, source.mapper) + ddl.dress(table, source.mapper)
        work += [k for part in table.tree for k in _outer_keys(part, moved)]
        steps.append(Step("prepare", double_title(table), work))
        steps += _identity(table, source)
    for table in source.tables:
        to = link(table, source.mapper, before_cutover)
        steps.append(Step("dual-write", f"dual-write triggers on {table.qualified}", create_triggers(to)))
    for table in source.tables:
        steps += _indexes(table, source)
    for table in source.tables:
        name = qualified(table.schema, derived(table.name, SHADOW_SUFFIX))
        steps += _inner_keys(table, moved)
        steps += [step for part in table.tree for step in _unproven(part, source.mapper, moved)]
        steps.append(Step("keys", f"statistics of {name}", [f"VACUUM (ANALYZE) {name}"], outside=True))
    return steps


def double_title(table: Table) -> str:
    """The title of the step that makes a table's double: before it is done, nothing of that name is ours."""
    return f"the double of {table.qualified}"


def deferred(k: Constraint) -> str:
    """The foreign key's definition, checked at commit: for the side that stands by."""
    text = k.definition.removesuffix(" NOT VALID").removesuffix(" INITIALLY DEFERRED")
    return text.removesuffix(" DEFERRABLE") + " DEFERRABLE INITIALLY DEFERRED"


def _add(shadow: str, k: Constraint, definition: str) -> list[str]:
    work = [f"ALTER TABLE {shadow} ADD CONSTRAINT {quote(k.name)} {definition}"]
    if k.comment is not None:
        work.append(f"COMMENT ON CONSTRAINT {quote(k.name)} ON {shadow} IS {literal(k.comment)}")
    return work


def _outer_keys(part: Table, moved: dict[int, Table]) -> list[str]:
    """Foreign keys onto tables that stay, added while the double is empty, so that nothing is scanned."""
    shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
    found = [k for k in part.constraints if k.kind == "f" and k.validated and k.foreign_table not in moved]
    return [text for k in found for text in _add(shadow, k, k.definition)]


def _unproven(part: Table, mapper: Mapper, moved: dict[int, Table]) -> list[Step]:
    """Constraints that nobody has validated: rows that are there may break them, so they come after the rows, as they are."""
    shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
    found = [k for k in part.constraints if not k.validated and (k.kind in "cn" or k.foreign_table not in moved)]
    title = f"constraints of {shadow} that are not validated"
    work = [text for k in found for text in _add(shadow, k, mapper.rewrite(k.definition))]
    return [Step("keys", title, work)] if work else []


def _inner_keys(table: Table, moved: dict[int, Table]) -> list[Step]:
    """Foreign keys onto tables that move (also onto the table itself), from double to double."""
    steps = []
    for part in table.tree:
        shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
        for k in part.constraints:
            if k.kind != "f" or k.foreign_table not in moved:
                continue
            target = moved[k.foreign_table]
            there = qualified(target.schema, derived(target.name, SHADOW_SUFFIX))
            definition = names.moved(deferred(k), " REFERENCES ", (target.schema, target.name), "(", there)
            title = f'foreign key "{k.name}" of {shadow}'
            if part.kind == "p":  # before 18 a partitioned table takes no NOT VALID foreign key
                steps.append(Step("keys", title, _add(shadow, k, definition)))
                continue
            steps.append(Step("keys", title, _add(shadow, k, f"{definition} NOT VALID")))
            if k.validated:
                validate = f"ALTER TABLE {shadow} VALIDATE CONSTRAINT {quote(k.name)}"
                steps.append(Step("keys", f"{title}: check the rows", [validate]))
    return steps


def _indexes(table: Table, source: Source) -> list[Step]:
    """Every index without a constraint. On a partitioned table: on the parent alone, on each leaf CONCURRENTLY, then
    attached.
    """
    steps: list[Step] = []
    attach: list[Step] = []
    identity = _identity_index(table)
    rests = ddl.open_ended(table)
    for part in table.tree:
        shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
        for index in part.indexes:
            if index.constraint or not index.valid or index is identity:
                continue
            name = derived(index.name, SHADOW_SUFFIX)
            full = qualified(part.schema, name)
            if part in rests:  # a parent's index is valid when all partitions have theirs
                one = derived(index.name, f"{SHADOW_SUFFIX}_rest")
                rest, built = ddl.rest_name(part, SHADOW_SUFFIX), qualified(part.schema, one)
                text = shadow_index(index, part, one, rest, source, concurrently=True)
                steps.append(Step("index", f"index {built}", [text], outside=True, index=built))
                attach.insert(0, Step("index", f"attach {built}", [f"ALTER INDEX {full} ATTACH PARTITION {built}"]))
            on = f"ONLY {shadow}" if part.kind == "p" else shadow
            text = shadow_index(index, part, name, on, source, concurrently=part.kind == "r")
            work = [text] if index.comment is None else [text, f"COMMENT ON INDEX {full} IS {literal(index.comment)}"]
            steps.append(Step("index", f"index {full}", work, outside=True, index=full))
            if index.parent is not None:
                parent = next((t, i) for t in table.tree for i in t.indexes if i.oid == index.parent)
                top = qualified(parent[0].schema, derived(parent[1].name, SHADOW_SUFFIX))
                attach.insert(0, Step("index", f"attach {full}", [f"ALTER INDEX {top} ATTACH PARTITION {full}"]))
    for part in table.tree:
        shadow = qualified(part.schema, derived(part.name, SHADOW_SUFFIX))
        for index in (i for i in part.indexes if i.clustered):
            text = f"ALTER TABLE {shadow} CLUSTER ON {quote(derived(index.name, '_ruvector'))}"
            attach.append(Step("index", f"order of {shadow} for CLUSTER", [text]))
    return steps + attach


def _identity_index(table: Table) -> Index | None:
    """The replica identity's index, where no constraint makes it. (A partitioned table has one of each partition's own.)"""
    return next((i for i in table.indexes if i.is_identity and not i.constraint and table.kind == "r"), None)


def _identity(table: Table, source: Source) -> list[Step]:
    """The replica identity, and its index on the empty double: the triggers and batches find their rows by it."""
    shadow = qualified(table.schema, derived(table.name, SHADOW_SUFFIX))
    title = f"replica identity of {shadow}"
    if table.replica_identity == "i" and (found := next((i for i in table.indexes if i.is_identity), None)):
        name = derived(found.name, SHADOW_SUFFIX)
        work = [f"ALTER TABLE {shadow} REPLICA IDENTITY USING INDEX {quote(name)}"]
        if found is _identity_index(table):
            work.insert(0, ddl.plain_index(found, table, name, shadow, source.mapper, concurrently=False))
            if found.comment is not None:
                full = qualified(table.schema, name)
                work.append(f"COMMENT ON INDEX {full} IS {literal(found.comment)}")
        return [Step("prepare", title, work)]
    if table.replica_identity in "fn":
        mode = "FULL" if table.replica_identity == "f" else "NOTHING"
        return [Step("prepare", title, [f"ALTER TABLE {shadow} REPLICA IDENTITY {mode}"])]
    return []


def shadow_index(index: Index, part: Table, name: str, on: str, source: Source, *, concurrently: bool) -> str:
    """CREATE INDEX for the double of ``index``, whatever its access method."""
    if index.method not in ACCESS_METHODS:
        return ddl.plain_index(index, part, name, on, source.mapper, concurrently=concurrently)
    opclass = ddl.opclass_name(index, source.pgvector, source.ours, source.mapper)
    return ddl.vector_index(
        index, name, on, opclass, source.mapper, concurrently=concurrently, extra=source.index_options
    )


def all_pairs(tables: Sequence[Table]) -> list[Pair]:
    return [pair for table in tables for pair in ddl.pairs(table)]
