# SPDX-License-Identifier: PostgreSQL
"""What a store is (`Spec`), and the SQLite tables that hold it.

A store is a directory: `store.db` (SQLite, WAL mode) is the truth, `segments/` has engine segments that can be built
again from it, `lock` is held by whoever seals, merges or compacts.

Rows. A row id is given once and never again; an UPDATE makes a new row. `next_row` grows under SQLite's write lock, so
the ids of one batch are a range, and all rows up to `sealed_upto` are in segments (or dead): what is above is the
delta, searched by brute force. `rows` has the payload, `vectors` the full-precision vectors: apart, so that a filter
over the payload does not read the vectors.

Visibility. A row in `rows` is there for everybody, unless its id is in a range of `inserted` whose transaction has
not committed, or it is in `deleted` by one that has. When a PostgreSQL transaction ends for good its lines in
`transactions`, `inserted` and `deleted` go, in one SQLite transaction: what it inserted becomes plain, what it deleted
is removed and noted in `tombstones`, from which each process derives the bitmaps it searches with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ruvector_fdw.errors import OptionError, StoreCorruptError
from ruvector_fdw.stores.values import Codec, codec_for, split_type
from ruvector_fdw.stores.vectors import METRICS_OF_ELEMENT, TYPE_OF_ELEMENT, VectorCodec

FORMAT_VERSION = 1
APPLICATION_ID = 0x52565354  # "RVST"
DATABASE_FILE = "store.db"
SEGMENT_DIRECTORY = "segments"
LOCK_FILE = "lock"

INDEX_KINDS = ("flat", "hnsw", "ivf")
QUANTIZATIONS = ("none", "f16", "sq8", "pq16", "binary")
# (lowest, default, highest)
LIMITS: Mapping[str, tuple[int, int, int]] = {
    "m": (2, 16, 100),
    "ef_construction": (4, 64, 1000),
    "lists": (1, 100, 32768),
    "seal_rows": (16, 4096, 1_000_000),
    "merge_factor": (2, 4, 64),
}

ROW_ORDINARY, ROW_ZERO, ROW_NULL = 0, 1, 2
"""`rows.kind`: in the segments or the delta; a zero vector under cosine; no vector at all."""


@dataclass(frozen=True)
class Column:
    """A column of the store, in the order of its tables; the vector column is among them."""

    name: str
    type_name: str
    not_null: bool = False
    indexed: bool = False
    vector: bool = False

    @cached_property
    def codec(self) -> Codec:
        return codec_for(self.type_name)


@dataclass(frozen=True)
class Spec:
    """Everything about a store that its creation fixes."""

    dims: int
    metric: str = "l2"
    index: str = "hnsw"
    quantization: str = "sq8"
    element: str = "f32"
    m: int = 16
    ef_construction: int = 64
    lists: int = 100
    seal_rows: int = 4096
    merge_factor: int = 4
    columns: tuple[Column, ...] = ()

    def check(self) -> None:
        """:raise OptionError: a value is out of range, or the combination makes no sense."""
        VectorCodec(self.element, self.dims)
        _one_of("metric", self.metric, METRICS_OF_ELEMENT[self.element])
        _one_of("index", self.index, INDEX_KINDS)
        _one_of("quantization", self.quantization, QUANTIZATIONS)
        for name, (low, _, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f'value {value} out of bounds for option "{name}"', detail=f"{low} to {high}.")
        names = [column.name for column in self.columns]
        for name in names:
            if not name or "\0" in name or names.count(name) > 1:
                raise OptionError(f'invalid or repeated column name "{name}"')
        if sum(column.vector for column in self.columns) != 1:
            raise OptionError("a store has exactly one vector column")

    @cached_property
    def vector_column(self) -> Column:
        return next(column for column in self.columns if column.vector)

    @cached_property
    def payload(self) -> list[Column]:
        return [column for column in self.columns if not column.vector]

    @property
    def vector_type(self) -> str:
        return f"{TYPE_OF_ELEMENT[self.element]}({self.dims})"

    def field_of(self, name: str) -> str:
        """The SQLite column of a payload column: numbered, so that no user's name is ever part of a statement."""
        return self._fields[name]

    @cached_property
    def _fields(self) -> dict[str, str]:
        return {column.name: f"c{i}" for i, column in enumerate(self.columns)}

    def to_json(self) -> str:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "columns"}
        plain["columns"] = [asdict(column) for column in self.columns]
        return json.dumps(plain, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        try:
            plain: dict[str, Any] = json.loads(text)
            plain["columns"] = tuple(Column(**column) for column in plain["columns"])
            spec = cls(**plain)
            spec.check()
        except (ValueError, TypeError, KeyError, OptionError) as ex:
            raise StoreCorruptError("the manifest of the store is damaged", detail=f"{ex}.") from ex
        return spec


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(f'invalid value for option "{name}": "{value}"', hint=f"Use {', '.join(allowed)}.")


def make_columns(
    columns: Mapping[str, str], vector_column: str, vector_type: str, not_null: Sequence[str], indexed: Sequence[str]
) -> tuple[Column, ...]:
    """Columns from names and SQL types. The vector column keeps the place it has in `columns`, else it comes last."""
    for name in [*not_null, *indexed]:
        if name not in columns and name != vector_column:
            raise OptionError(f'column "{name}" does not exist', sqlstate="42703")
    made = []
    for name, type_name in columns.items():
        if name == vector_column:
            made.append(Column(name, vector_type, name in not_null, vector=True))
            continue
        base, modifier = split_type(type_name)
        made.append(Column(name, base + modifier, name in not_null, name in indexed))
    if vector_column not in columns:
        made.append(Column(vector_column, vector_type, vector_column in not_null, vector=True))
    return tuple(made)


def page_size(vector_bytes: int) -> int:
    """Four vectors a page or more: SQLite moves what exceeds a quarter of a page out of line, one read each."""
    size = 4096
    while size < 65536 and size < 4 * vector_bytes + 256:
        size *= 2
    return size


def statements(spec: Spec) -> list[str]:
    """The statements that make the tables of an empty store."""
    fields = "".join(f", c{i} {c.codec.sqlite_type}" for i, c in enumerate(spec.columns) if not c.vector)
    made = [
        "CREATE TABLE manifest (spec TEXT NOT NULL)",
        "CREATE TABLE state (next_row INTEGER NOT NULL, sealed_upto INTEGER NOT NULL, generation INTEGER NOT NULL,"
        " tombstone INTEGER NOT NULL, commits INTEGER NOT NULL, row_count INTEGER NOT NULL, pending INTEGER NOT NULL)",
        "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0)",
        f"CREATE TABLE rows (row_id INTEGER PRIMARY KEY, kind INTEGER NOT NULL{fields})",
        "CREATE INDEX rows_kind ON rows (kind, row_id) WHERE kind > 0",
        "CREATE TABLE vectors (row_id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        "CREATE TABLE segments (segment_id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL,"
        " keys INTEGER NOT NULL, build_seconds REAL NOT NULL)",
        "CREATE TABLE tombstones (sequence INTEGER PRIMARY KEY, row_id INTEGER NOT NULL)",
        "CREATE TABLE transactions (tx INTEGER PRIMARY KEY AUTOINCREMENT, origin TEXT NOT NULL, xid INTEGER NOT NULL,"
        " prepared INTEGER NOT NULL, begun_at TEXT NOT NULL)",
        "CREATE TABLE inserted (first_row INTEGER PRIMARY KEY, last_row INTEGER NOT NULL, tx INTEGER NOT NULL,"
        " level INTEGER NOT NULL)",
        "CREATE INDEX inserted_tx ON inserted (tx)",
        "CREATE TABLE deleted (row_id INTEGER PRIMARY KEY, tx INTEGER NOT NULL, level INTEGER NOT NULL)",
        "CREATE INDEX deleted_tx ON deleted (tx)",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {FORMAT_VERSION}",
    ]
    made += [f"CREATE INDEX rows_c{i} ON rows (c{i})" for i, column in enumerate(spec.columns) if column.indexed]
    return made
