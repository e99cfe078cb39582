# SPDX-License-Identifier: PostgreSQL
"""What the catalog says about one table, as values: read by catalog.py, written as SQL by ddl.py.

SQL texts in here are the server's own, printed under ``search_path = pg_catalog`` (every other name qualified) and
not yet mapped to our names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .names import qualified


@dataclass(frozen=True)
class Column:
    """``kind`` is pgvector's type name (of the element, for an array) or None; ``through`` says how: type, array,
    domain, composite, range. ``reads``: the columns that a generated one is made from.
    """

    name: str
    type: str
    not_null: bool
    not_null_name: str | None
    default: str | None
    generated: str
    identity: str
    sequence: dict[str, Any] | None
    collation: str | None
    compression: str | None
    storage: str | None
    statistics: int | None
    options: list[str] | None
    comment: str | None
    kind: str | None
    through: str | None
    typmod: int
    inherited: bool
    reads: list[str]


@dataclass(frozen=True)
class Index:
    """``method`` hnsw or ivfflat marks a vector index; ``expression`` and ``opclass`` are of its single key then."""

    oid: int
    name: str
    method: str
    opclass: str
    opclass_kind: str | None
    expression: str
    definition: str
    options: list[str]
    predicate: str | None
    tablespace: str | None
    constraint: str | None
    parent: int | None
    valid: bool
    size_bytes: int
    comment: str | None
    key_columns: list[str]
    is_identity: bool
    clustered: bool


@dataclass(frozen=True)
class Constraint:
    """A constraint; `kind` is pg_constraint's contype, `foreign_table` and `index` are OIDs."""

    name: str
    kind: str
    definition: str
    foreign_table: int | None
    deferrable: bool
    deferred: bool
    validated: bool
    index: int | None
    comment: str | None
    columns: list[str]


@dataclass(frozen=True)
class Trigger:
    """A trigger of the user's; `enabled` is pg_trigger's tgenabled."""

    name: str
    definition: str
    enabled: str
    comment: str | None
    columns: list[str]


@dataclass(frozen=True)
class Policy:
    """A policy of row security; `using` and `check` are its expressions."""

    name: str
    permissive: bool
    command: str
    roles: list[str]
    using: str | None
    check: str | None
    comment: str | None
    columns: list[str]

    @property
    def reads_tables(self) -> bool:
        """Whether it may have a subquery: then its text holds its own table's name, and perhaps one that is exchanged
        too, so it can be made only under the final names.
        """
        return "SELECT" in f"{self.using} {self.check}"


@dataclass(frozen=True)
class Grant:
    """``privilege`` "-": what default privileges give to each new table of ours, and the original need not have."""

    grantee: str
    privilege: str
    grantable: bool
    column: str | None


@dataclass(frozen=True)
class Statistics:
    """An object of extended statistics; `target` is its statistics target where one was set."""

    schema: str
    name: str
    definition: str
    target: int | None
    comment: str | None


@dataclass
class Table:
    """A table, or a partition of one (then reached through ``partitions`` of its root, parents first)."""

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    persistence: str
    method: str | None
    options: list[str]
    tablespace: str | None
    row_security: bool
    force_row_security: bool
    replica_identity: str
    partition_key: str | None
    bound: str | None
    parent: int | None
    rows_estimate: float
    heap_bytes: int
    total_bytes: int
    comment: str | None
    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    partitions: list[Table] = field(default_factory=list)

    @property
    def qualified(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def tree(self) -> list[Table]:
        """This table and its partitions, parents first."""
        return [self, *self.partitions]

    @property
    def leaves(self) -> list[Table]:
        return [t for t in self.tree if t.kind == "r"]

    @property
    def vector_columns(self) -> list[Column]:
        return [c for c in self.columns if c.kind is not None]

    @property
    def derived_columns(self) -> list[Column]:
        """Generated columns that are made from vector columns."""
        names = {c.name for c in self.vector_columns}
        return [c for c in self.columns if c.generated and names & set(c.reads)]

    @property
    def vector_indexes(self) -> list[Index]:
        return [i for t in self.tree for i in t.indexes if i.method in ("hnsw", "ivfflat")]

    @property
    def stored_columns(self) -> list[Column]:
        """The columns an INSERT may name: all but generated ones."""
        return [c for c in self.columns if not c.generated]

    @property
    def key(self) -> list[str]:
        """The columns that name a row: the primary key, else the replica identity index. Empty without either."""
        for constraint in self.constraints:
            if constraint.kind == "p" and not constraint.deferrable:
                return constraint.columns
        return next((i.key_columns for i in self.indexes if i.is_identity), [])


@dataclass(frozen=True)
class Rule:
    """A rule of a view or table; `enabled` is pg_rewrite's ev_enabled."""

    name: str
    definition: str
    enabled: str
    comment: str | None


@dataclass(frozen=True)
class View:
    """``level`` is its distance from the tables: views are made in this order and dropped in the reverse."""

    oid: int
    schema: str
    name: str
    kind: str
    definition: str
    owner: str
    options: list[str]
    comment: str | None
    grants: list[Grant]
    column_comments: dict[str, str]
    defaults: dict[str, str]
    triggers: list[Trigger]
    rules: list[Rule]
    indexes: list[str]
    populated: bool
    level: int
    roots: list[int]
    over_matview: bool

    @property
    def qualified(self) -> str:
        return qualified(self.schema, self.name)


@dataclass(frozen=True)
class IncomingKey:
    """A foreign key of another table onto a migrated one."""

    table: str
    name: str
    definition: str
    partitioned: bool
    validated: bool
    comment: str | None
