# SPDX-License-Identifier: PostgreSQL
"""What a scan asks of a store, what a store answers, and the base class of every store.

`wrapper` turns what the host passes (quals, sort keys, limit) into a `SearchRequest`; a store (one class a file under
`stores/`) answers with `Batch` objects. A store knows nothing of PostgreSQL; the transaction number it writes into its
undo records and the question how that transaction ended go through `ruvector_fdw.host`.

Values. Vectors are numpy arrays: float32 for `ruvector` and `vector`, float16 for `halfvec`; `sparsevec` is a
`SparseVector`, `bit` a str of 0 and 1. smallint to bigint are int, float4 and float8 float, numeric Decimal (float to
a Multicorn wrapper), text str, bytea bytes, bool bool, json and jsonb what `jsontext.loads` gives, uuid UUID, date, time,
timestamp and timestamptz the classes of `datetime` (what those do not have stays str), interval timedelta when that has
the same days and hours, else str, arrays nested lists, a row type and all else the str PostgreSQL prints. NULL is None.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ruvector_fdw.abc import UNBOUND, ColumnDefinition, Qual, SortKey, TableDefinition

METRIC_OF_OPERATOR: Mapping[str, str] = {
    "<->": "l2",
    "<#>": "ip",
    "<=>": "cosine",
    "<+>": "l1",
    "<~>": "hamming",
    "<%>": "jaccard",
}


@dataclass(frozen=True)
class SparseVector:
    """Non-zero `values` (float32) at ascending 0-based `indices` (int32) of a vector of `dim` elements."""

    dim: int
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VectorSortKey:
    """`ORDER BY attname operator query`, ascending, NULLs last. `query` is UNBOUND while planning with parameters.

    A NULL distance (NULL vector; NULL query) sorts last; so does NaN (cosine of a zero vector), before NULL.
    """

    attname: str
    attnum: int
    operator: str
    query: Any

    @property
    def metric(self) -> str:
        return METRIC_OF_OPERATOR[self.operator]


@dataclass(frozen=True, eq=False)
class VectorQual:
    """`field_name operator query comparison threshold`, e.g. `embedding <-> query < 0.5`; comparison `<` or `<=`."""

    field_name: str
    operator: str
    query: Any
    comparison: str
    threshold: Any

    @property
    def metric(self) -> str:
        return METRIC_OF_OPERATOR[self.operator]


@dataclass(frozen=True)
class NullQual:
    """`field_name IS NULL`, or IS NOT NULL."""

    field_name: str
    is_null: bool


@dataclass(frozen=True, eq=False)
class BoolQual:
    """AND or OR of conditions."""

    operator: str
    args: tuple[AnyQual, ...]


AnyQual = Qual | VectorQual | NullQual | BoolQual
AnySortKey = SortKey | VectorSortKey


class PushLevel(enum.IntEnum):
    """What a store does with a condition."""

    NONE = 0
    HINT = 1  # it may leave out rows that fail; PostgreSQL checks what comes back
    EXACT = 2  # it returns exactly the rows that pass


@dataclass(frozen=True)
class Estimate:
    """rows after the quals; width in bytes; costs in the planner's units (a page read in sequence is 1)."""

    rows: float
    width: int
    startup_cost: float
    per_row_cost: float


@dataclass(frozen=True, eq=False)
class SearchRequest:
    """One scan.

    columns: the names the query needs, in table order; others need not be returned.
    quals: all must hold (three-valued logic: unknown does not pass); only those `can_push` accepted.
    order: empty, or the whole order to keep: one `VectorSortKey`, or plain `SortKey`s.
    limit, offset: rows after quals and order; None is all (offset 0). Only pushed when every qual is EXACT.
    need_rowids: the caller will update or delete: batches carry `rowids`.
    need_distances: `Batch.distances` is wanted (exact distances of the sort key), and the vector need not be.
    """

    columns: tuple[str, ...]
    quals: tuple[AnyQual, ...] = ()
    order: tuple[AnySortKey, ...] = ()
    limit: int | None = None
    offset: int = 0
    need_rowids: bool = False
    need_distances: bool = False

    @property
    def vector_key(self) -> VectorSortKey | None:
        """The distance to order by, if that is the order."""
        return self.order[0] if self.order and isinstance(self.order[0], VectorSortKey) else None

    @property
    def query(self) -> Any:
        return self.vector_key.query if self.vector_key else None

    @property
    def metric(self) -> str | None:
        return self.vector_key.metric if self.vector_key else None


ColumnData = Sequence[Any] | npt.NDArray[Any]


@dataclass(eq=False)
class Batch:
    """Some rows, by column.

    columns: name to a sequence of `count` values, None for NULL. A 1-d int64, int32, int16, float64, float32 or bool
    array, and a C-contiguous 2-d float32 (or float16) array for a vector column, are taken without a Python object a
    value; such an array has no NULLs unless `nulls` has a bool array of that name (True is NULL).
    rowids: int64 in [0, 2**47), what `update` and `delete` get back to name the row (they travel as its ctid).
    distances: float64, of the sort key, in the operator's unit.
    A name of the request that is missing in `columns` is NULL in every row.
    """

    count: int
    columns: Mapping[str, ColumnData] = field(default_factory=dict)
    nulls: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    rowids: npt.NDArray[np.int64] | Sequence[int] | None = None
    distances: npt.NDArray[np.float64] | None = None


class StoreHooks:
    """Calls a store may answer. Transactions: only after a first use of the table in the transaction."""

    def begin(self, serializable: bool) -> None:
        """The transaction touches this table now, also for reading. serializable: at REPEATABLE READ or above, where all
        scans of the transaction are to see one snapshot."""

    def prepare(self) -> None:
        """Last step that may fail, before PostgreSQL commits: everything durable but not visible."""

    def commit(self) -> None:
        """PostgreSQL has committed: make it visible. Must not raise."""

    def rollback(self) -> None:
        """PostgreSQL has aborted. Must not raise; may come without `begin`."""

    def savepoint(self, level: int) -> None:
        """Subtransaction `level` (2 is the first) has begun; called before its first change here."""

    def release(self, level: int) -> None:
        """Subtransaction `level` is now part of level - 1."""

    def rollback_to(self, level: int) -> None:
        """Undo everything since `savepoint(level)`, including levels above."""

    def end_scan(self) -> None:
        """A scan of this table is over, or given up."""

    def close(self) -> None:
        """Let go of files and connections."""


class TableStore(StoreHooks, ABC):
    """One opened table of a store: what a `kind` implements. Methods raise `StoreError` and its kin.

    Made once per backend and table; `close` is called when the table is altered or dropped.
    """

    kind: ClassVar[str]
    writable: ClassVar[bool] = False

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        """:param options: table, then server, then user mapping options, the later winning (Multicorn's order).
        :param columns: of the foreign table, in order; empty when the caller is not PostgreSQL."""
        self.options = dict(options)
        self.table_columns = dict(columns)

    @abstractmethod
    def columns(self) -> list[ColumnDefinition]:
        """The columns the store itself has."""

    @abstractmethod
    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        """Yield the rows, lazily: the first batch of an ordered scan small, growing while the caller goes on."""

    @abstractmethod
    def estimate(self, request: SearchRequest) -> Estimate:
        """For the planner; values of the request may be UNBOUND. Cheap: no scan."""

    def can_push(self, qual: AnyQual) -> PushLevel:
        """How far `scan` keeps this condition. Values may be UNBOUND; the answer must not depend on them."""
        return PushLevel.NONE

    def can_sort(self, order: Sequence[AnySortKey]) -> bool:
        """Whether `scan` keeps the whole of this order."""
        return False

    def can_limit(self, request: SearchRequest) -> bool:
        """Whether `scan` stops by itself after limit rows of this request."""
        return True

    def explain(self, request: SearchRequest) -> list[str]:
        """Lines for EXPLAIN beyond what the host prints; values may be UNBOUND. No passwords."""
        return []

    def equality_columns(self) -> list[tuple[tuple[str, ...], float]]:
        """Columns by which `=` is fast, with the rows it returns: joins then look up instead of scanning."""
        return []

    # ---- writing: only when `writable` ------------------------------------------------------------------------

    def insert(self, batch: Batch) -> Batch | None:
        """Add rows; return their values where the store changed or made them (keys), else None."""
        raise NotImplementedError

    def update(self, rowids: Sequence[int], batch: Batch) -> int:
        """Set the columns `batch` has in these rows. Returns how many were changed: one that the transaction has
        already changed since it was read is passed over, as PostgreSQL does when a row of a join has several matches."""
        raise NotImplementedError

    def delete(self, rowids: Sequence[int]) -> int:
        """Remove these rows. Returns how many, see `update`."""
        raise NotImplementedError

    def truncate(self) -> None:
        raise NotImplementedError

    @classmethod
    def import_schema(
        cls,
        schema: str,
        server_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction: str | None,
        names: Sequence[str],
    ) -> list[TableDefinition]:
        """Tables for IMPORT FOREIGN SCHEMA. :param restriction: "limit", "except" or None, for `names`."""
        raise NotImplementedError


__all__ = [
    "METRIC_OF_OPERATOR",
    "UNBOUND",
    "AnyQual",
    "AnySortKey",
    "Batch",
    "BoolQual",
    "ColumnDefinition",
    "Estimate",
    "NullQual",
    "PushLevel",
    "Qual",
    "SearchRequest",
    "SortKey",
    "SparseVector",
    "StoreHooks",
    "TableDefinition",
    "TableStore",
    "VectorQual",
    "VectorSortKey",
]
