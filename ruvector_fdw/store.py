# SPDX-License-Identifier: PostgreSQL
"""Vector stores from Python, without PostgreSQL: numpy in, numpy out.

    store = Store.create("/data/items", dims=384, metric="cosine", columns={"id": "int8", "title": "text"})
    store.add(vectors, id=ids, title=titles)
    found = store.search(query, 10, where=("id", "<", 1000))
    found.columns["title"], found.distances

Each call that writes is one transaction: other processes see all of it or nothing, and it is on disk when the call
returns. Any number of processes may open a store; a `Store` belongs to one thread at a time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import InvalidValueError, OptionError, StoreAccessError
from ruvector_fdw.request import (
    METRIC_OF_OPERATOR,
    AnyQual,
    Batch,
    NullQual,
    Qual,
    SearchRequest,
    VectorQual,
    VectorSortKey,
)
from ruvector_fdw.stores.progress import shown
from ruvector_fdw.stores.store import maintenance, quick, transaction, writer
from ruvector_fdw.stores.store.filters import level
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.question import Effort
from ruvector_fdw.stores.store.scan import Scan
from ruvector_fdw.stores.store.schema import LIMITS, Spec, make_columns
from ruvector_fdw.stores.vectors import TYPE_OF_ELEMENT

_Result = TypeVar("_Result")
_OPERATOR_OF_METRIC = {metric: operator for operator, metric in METRIC_OF_OPERATOR.items()}
_OPERATORS = {"==": "=", "!=": "<>", "like": "~~", "not like": "!~~"}
_LOAD_ROWS = 8192

Where = tuple[Any, ...] | Sequence[tuple[Any, ...]]
"""`(column, operator, value)`, or a sequence of those that must all hold. Operators: = <> < <= > >= like, "not like",
in, "not in" (with a list), and `(column, "is", None)`, `(column, "is not", None)`."""


@dataclass(frozen=True)
class Found:
    """Rows of a search, nearest first. distances: float64 (n,); columns: by name, arrays where there are no NULLs."""

    row_ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    columns: dict[str, Any]

    def __len__(self) -> int:
        return int(self.row_ids.size)


class Store:
    """A store, opened. `Store(path)` opens an existing one, `Store.create` makes one; both are context managers."""

    def __init__(self, path: str | Path) -> None:
        """:raise StoreError: it does not exist, is not a store, is damaged, or is from a newer version."""
        self._open = OpenStore.open(Path(path))

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        dims: int,
        metric: str = "l2",
        index: str = "hnsw",
        quantization: str = "sq8",
        element: str = "f32",
        columns: Mapping[str, str] | None = None,
        vector_column: str = "embedding",
        not_null: Sequence[str] = (),
        indexed: Sequence[str] = (),
        **limits: int,
    ) -> Store:
        """Make an empty store in a directory that does not exist or is empty.

        :param metric: l2, ip, cosine or l1; hamming or jaccard for bits.
        :param index: hnsw, ivf or flat.
        :param quantization: sq8, none, f16, pq16 or binary: how segments code vectors. Full vectors are always kept.
        :param element: f32, f16, bit or sparse.
        :param columns: name to SQL type, e.g. `{"id": "int8", "title": "text"}`; without the vector column it is last.
        :param indexed: columns that are often filtered by and few rows match.
        :param limits: m, ef_construction, lists, seal_rows, merge_factor.
        :raise StoreExistsError: something is there already.
        :raise OptionError: a value cannot be used.
        """
        for name in limits:
            if name not in LIMITS:
                raise OptionError(f'invalid option "{name}"', hint=f"Use {', '.join(LIMITS)}.")
        if element not in TYPE_OF_ELEMENT:
            raise OptionError(f'invalid value for option "element": "{element}"')
        vector_type = f"{TYPE_OF_ELEMENT[element]}({dims})"
        made = make_columns(columns or {}, vector_column, vector_type, not_null, indexed)
        spec = Spec(
            dims=dims, metric=metric, index=index, quantization=quantization, element=element, columns=made, **limits
        )
        store = cls.__new__(cls)
        store._open = OpenStore.create(Path(path), spec)
        return store

    @property
    def spec(self) -> Spec:
        return self._open.spec

    def __len__(self) -> int:
        """Rows, those of unfinished transactions not counted."""
        with self._open.snapshot(rows_only=True) as snapshot:
            return snapshot.state.row_count

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    # ---- writing ----------------------------------------------------------------------------------------------

    def _write(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._open.database.writing(durable=True) as connection:
            result = action(connection)
        self._seal()
        return result

    def _seal(self, progress: maintenance.Progress | None = None) -> None:
        """After a write. The rows are in: a full disk, say, is no reason to tell the caller that they are not."""
        try:
            maintenance.seal_if_due(self._open, *([progress] if progress else []))
        except StoreAccessError as ex:
            host.log(f"new rows are searched one by one for now: {ex}", logging.WARNING)

    def _encoded(self, vectors: Any, columns: Mapping[str, Any]) -> writer.Rows:
        values = dict(columns)
        values[self.spec.vector_column.name] = vectors
        return writer.encode(self._open, len(vectors), values)

    def add(self, vectors: Any, **columns: Any) -> npt.NDArray[np.int64]:
        """Add rows in one transaction.

        :param vectors: (n, dims); float16 arrays are widened, bits are uint8 (n, dims / 8); a list may hold None.
        :param columns: n values each; a column that is not named is NULL.
        :return: the row ids, ascending.
        """
        rows = self._encoded(vectors, columns)
        ids = self._write(lambda connection: writer.insert(self._open, connection, rows, None, 1))
        return np.arange(ids.start, ids.stop, dtype=np.int64)

    def load(self, vectors: Any, progress: bool = True, **columns: Any) -> npt.NDArray[np.int64]:
        """Add many rows in transactions of some thousand each, and build one segment of them at the end.

        :param progress: show a bar for rows and for the build. When it is stopped half way, what is in stays in.
        """
        parts: list[npt.NDArray[np.int64]] = []
        with shown(progress) as tell:
            for start in range(0, len(vectors), _LOAD_ROWS):
                end = min(start + _LOAD_ROWS, len(vectors))
                rows = self._encoded(vectors[start:end], {name: values[start:end] for name, values in columns.items()})
                with self._open.database.writing(durable=end == len(vectors)) as connection:
                    ids = writer.insert(self._open, connection, rows, None, 1)
                parts.append(np.arange(ids.start, ids.stop, dtype=np.int64))
                tell("storing", end, len(vectors))
            self._seal(tell)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def update(self, row_ids: Iterable[int], **columns: Any) -> npt.NDArray[np.int64]:
        """Set columns of rows; the vector column goes by its name. Returns the new row ids, in the same order."""
        ids = _distinct(row_ids)
        rows = writer.encode(self._open, len(ids), columns, partial=True)
        made = self._write(lambda connection: writer.update(self._open, connection, ids, rows, None, 1))
        return np.arange(made.start, made.stop, dtype=np.int64)

    def delete(self, row_ids: Iterable[int]) -> None:
        """Remove rows. :raise SerializationError: one of them is not there any more."""
        ids = _distinct(row_ids)
        self._write(lambda connection: writer.delete(self._open, connection, ids, None, 1))

    # ---- reading ----------------------------------------------------------------------------------------------

    def search(
        self,
        query: Any,
        k: int = 10,
        *,
        where: Where | None = None,
        columns: Sequence[str] | None = None,
        metric: str | None = None,
        ef_search: int = 40,
        probes: int = 1,
    ) -> Found:
        """The k nearest rows, in exact order of distance.

        :param query: (dims,); for bits a text of 0 and 1.
        :param columns: which to return; by default all but the vector.
        :param metric: another one than the store's is answered by looking at every vector.
        """
        request = SearchRequest(
            columns=self._names(columns),
            quals=tuple(self._conditions(where)),
            order=(self._order(query, metric),),
            limit=k,
            need_rowids=True,
            need_distances=True,
        )
        return self._collect(request, Effort(ef_search, probes))

    def range(
        self,
        query: Any,
        radius: float,
        *,
        where: Where | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Found:
        """Every row within `radius` (the distance at most that), none missing, nearest first."""
        name, operator = self.spec.vector_column.name, _OPERATOR_OF_METRIC[self.spec.metric]
        within = VectorQual(name, operator, query, "<=", float(radius))
        request = SearchRequest(
            columns=self._names(columns),
            quals=(within, *self._conditions(where)),
            order=(self._order(query, None),),
            limit=limit,
            need_rowids=True,
            need_distances=True,
        )
        return self._collect(request, Effort())

    def rows(self, *, where: Where | None = None, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All rows in batches, without an order; `Batch.rowids` names them."""
        names = columns if columns is not None else [column.name for column in self.spec.columns]
        request = SearchRequest(columns=self._names(names), quals=tuple(self._conditions(where)), need_rowids=True)
        with self._open.snapshot(rows_only=True) as snapshot:
            yield from Scan(snapshot, request, Effort()).batches()

    def _order(self, query: Any, metric: str | None) -> VectorSortKey:
        operator = _OPERATOR_OF_METRIC.get(metric or self.spec.metric)
        if operator is None:
            raise OptionError(f'unrecognized metric "{metric}"')
        return VectorSortKey(self.spec.vector_column.name, 0, operator, query)

    def _names(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        known = [column.name for column in self.spec.columns]
        if columns is None:
            return tuple(column.name for column in self.spec.payload)
        for name in columns:
            if name not in known:
                raise OptionError(f'column "{name}" does not exist', sqlstate="42703")
        return tuple(columns)

    def _conditions(self, where: Where | None) -> Iterator[AnyQual]:
        if where is None:
            return
        listed: Sequence[Any] = [where] if where and isinstance(where[0], str) else where
        for condition in listed:
            if len(condition) != 3:
                raise InvalidValueError(f"a condition is (column, operator, value), not {condition!r}")
            qual = _qual(*condition)
            self._names([condition[0]])
            if not level(self.spec, qual):
                raise InvalidValueError(
                    f'operator "{condition[1]}" does not apply to column "{condition[0]}"', sqlstate="42883"
                )
            yield qual

    def _collect(self, request: SearchRequest, effort: Effort) -> Found:
        self._open.database.check_alive()
        few = quick.nearest(self._open, request, effort)
        if few is not None:
            batches = [few]
        else:
            with self._open.snapshot() as snapshot:
                batches = list(Scan(snapshot, request, effort).batches())
        ids = [np.asarray(batch.rowids, dtype=np.int64) for batch in batches]
        distances = [batch.distances for batch in batches if batch.distances is not None]
        columns = {name: _joined([batch.columns[name] for batch in batches]) for name in request.columns}
        empty = np.empty(0, dtype=np.int64)
        return Found(
            np.concatenate(ids) if ids else empty, np.concatenate(distances) if distances else np.empty(0), columns
        )

    # ---- care -------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counts and sizes; see `maintenance.Stats`."""
        return asdict(maintenance.stats(self._open))

    def check(self) -> list[str]:
        """Verify everything; returns what is wrong, an empty list when the store is sound."""
        return maintenance.check(self._open)

    def compact(self, rebuild: bool = False, progress: bool = False) -> None:
        """Make one segment of all rows, without the dead ones. Others may read and write meanwhile.

        :param rebuild: even if nothing is to be gained: builds damaged or missing segments again.
        """
        transaction.settle(self._open)
        with shown(progress) as tell:
            maintenance.compact(self._open, rebuild, tell)


def _distinct(row_ids: Iterable[int]) -> list[int]:
    ids = [int(row_id) for row_id in row_ids]
    if len(set(ids)) < len(ids):
        raise InvalidValueError("a row is named twice")
    return ids


def _qual(column: str, operator: str, value: Any) -> AnyQual:
    word = operator.lower()
    if word in ("is", "is not"):
        if value is not None:
            raise InvalidValueError(f'operator "{operator}" takes None')
        return NullQual(column, word == "is")
    if word in ("in", "not in"):
        return Qual(column, ("=", True) if word == "in" else ("<>", False), list(value))
    return Qual(column, _OPERATORS.get(word, operator), value)


def _joined(parts: Sequence[Any]) -> Any:
    """Column data of several batches as one array, or a list when there are NULLs or values numpy has no type for."""
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    values = [value for part in parts for value in part]
    if values and len({type(value) for value in values}) == 1 and isinstance(values[0], (int, float)):
        return np.array(values)
    return values
