# SPDX-License-Identifier: PostgreSQL
"""The parallel strategy as a list of steps, made once from one snapshot of the catalog and then kept in the state
schema.

Order: the doubles, empty, with keys, checks, foreign keys onto other tables and triggers disabled ("prepare"); the
dual-write triggers ("dual-write"); the rows ("backfill", not a step: see sync.py); the other indexes, CONCURRENTLY
("index"); foreign keys among doubles, once both ends are full ("keys"). Foreign keys of the side that stands by are
deferred: its rows arrive one by one in the order of the triggers, not in the order of the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import ddl
from .ddl import Pair
from .errors import MigrateError
from .model import Constraint, Index, Table
from .names import ACCESS_METHODS, Extension, Mapper, derived, literal, qualified, quote
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
        return [stable(v) for v in value] if isinstance(value, (list, tuple)) else value

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
        steps.append(Step("prepare", f"the double of {table.qualified}", work))
    for table in source.tables:
        to = link(table, source.mapper, before_cutover)
        steps.append(Step("dual-write", f"dual-write triggers on {table.qualified}", create_triggers(to)))
    for table in source.tables:
        steps += _indexes(table, source)
    for table in source.tables:
        name = qualified(table.schema, derived(table.name, "_ruvector"))
        steps += _inner_keys(table, moved)
        steps.append(Step("keys", f"statistics of {name}", [f"VACUUM (ANALYZE) {name}"], outside=True))
    return steps


def deferred(k: Constraint) -> str:
    """The foreign key's definition, checked at commit: for the side that stands by."""
    text = k.definition.removesuffix(" NOT VALID").removesuffix(" INITIALLY DEFERRED")
    return text.removesuffix(" DEFERRABLE") + " DEFERRABLE INITIALLY DEFERRED"


def _outer_keys(part: Table, moved: dict[int, Table]) -> list[str]:
    """Foreign keys onto tables that stay, added while the double is empty, so that nothing is scanned."""
    shadow = qualified(part.schema, derived(part.name, "_ruvector"))
    return [
        f"ALTER TABLE {shadow} ADD CONSTRAINT {quote(k.name)} {k.definition.removesuffix(' NOT VALID')}"
        for k in part.constraints
        if k.kind == "f" and k.foreign_table not in moved
    ]


def _inner_keys(table: Table, moved: dict[int, Table]) -> list[Step]:
    """Foreign keys onto tables that move (also onto the table itself), from double to double."""
    steps = []
    for part in table.tree:
        shadow = qualified(part.schema, derived(part.name, "_ruvector"))
        for k in part.constraints:
            if k.kind != "f" or k.foreign_table not in moved:
                continue
            target = moved[k.foreign_table]
            there = qualified(target.schema, derived(target.name, "_ruvector"))
            definition = deferred(k).replace(f" REFERENCES {target.qualified}(", f" REFERENCES {there}(", 1)
            add = f"ALTER TABLE {shadow} ADD CONSTRAINT {quote(k.name)} {definition}"
            title = f'foreign key "{k.name}" of {shadow}'
            if part.kind == "p":  # before 18 a partitioned table takes no NOT VALID foreign key
                steps.append(Step("keys", title, [add]))
            else:
                steps.append(Step("keys", title, [f"{add} NOT VALID"]))
                validate = f"ALTER TABLE {shadow} VALIDATE CONSTRAINT {quote(k.name)}"
                steps.append(Step("keys", f"{title}: check the rows", [validate]))
    return steps


def _indexes(table: Table, source: Source) -> list[Step]:
    """Every index without a constraint. On a partitioned table: on the parent alone, on each leaf CONCURRENTLY, then
    attached.
    """
    steps: list[Step] = []
    attach: list[Step] = []
    for part in table.tree:
        shadow = qualified(part.schema, derived(part.name, "_ruvector"))
        for index in part.indexes:
            if index.constraint or not index.valid:
                continue
            name = derived(index.name, "_ruvector")
            full = qualified(part.schema, name)
            on = f"ONLY {shadow}" if part.kind == "p" else shadow
            text = _index(index, part, name, on, source, concurrently=part.kind == "r")
            work = [text] if index.comment is None else [text, f"COMMENT ON INDEX {full} IS {literal(index.comment)}"]
            steps.append(Step("index", f"index {full}", work, outside=True, index=full))
            if index.parent is not None:
                parent = next((t, i) for t in table.tree for i in t.indexes if i.oid == index.parent)
                top = qualified(parent[0].schema, derived(parent[1].name, "_ruvector"))
                attach.insert(0, Step("index", f"attach {full}", [f"ALTER INDEX {top} ATTACH PARTITION {full}"]))
    if table.replica_identity == "i" and (identity := next((i for i in table.indexes if i.is_identity), None)):
        shadow = qualified(table.schema, derived(table.name, "_ruvector"))
        text = f"ALTER TABLE {shadow} REPLICA IDENTITY USING INDEX {quote(derived(identity.name, '_ruvector'))}"
        attach.append(Step("index", f"replica identity of {shadow}", [text]))
    elif table.replica_identity in "fn":
        shadow = qualified(table.schema, derived(table.name, "_ruvector"))
        mode = "FULL" if table.replica_identity == "f" else "NOTHING"
        attach.append(Step("index", f"replica identity of {shadow}", [f"ALTER TABLE {shadow} REPLICA IDENTITY {mode}"]))
    return steps + attach


def _index(index: Index, part: Table, name: str, on: str, source: Source, *, concurrently: bool) -> str:
    if index.method not in ACCESS_METHODS:
        return ddl.plain_index(index, part, name, on, source.mapper, concurrently=concurrently)
    opclass = ddl.opclass_name(index, source.pgvector, source.ours, source.mapper)
    return ddl.vector_index(
        index, name, on, opclass, source.mapper, concurrently=concurrently, extra=source.index_options
    )


def all_pairs(tables: Sequence[Table]) -> list[Pair]:
    return [pair for table in tables for pair in ddl.pairs(table)]
