# SPDX-License-Identifier: PostgreSQL
"""Kind `numpy`: a file of vectors made elsewhere, mapped and searched exactly, block by block. Read-only.

Options: `path` (`.npy` with a 2-d array, `.fvecs` or `.bvecs`), `id_column` (default `id`: the row number, from 0),
`vector_column` (default: the first column of a vector type, else `embedding`).

Search reads the file once: each block gives estimates with bounds by one matrix product, what cannot be among the
nearest is dropped, and the exact distance decides among the few that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.request import (
    AnyQual,
    AnySortKey,
    Batch,
    ColumnData,
    ColumnDefinition,
    Estimate,
    PushLevel,
    Qual,
    SearchRequest,
    TableStore,
    VectorQual,
    VectorSortKey,
)
from ruvector_fdw.stores import check_options, planned_limit
from ruvector_fdw.stores.keyed import condition_level, file_state, never, passing
from ruvector_fdw.stores.vector_file import VectorFile, check_format
from ruvector_fdw.stores.vectors import DENSE_METRICS, ELEMENT_OF_TYPE, VectorCodec, distances, estimates

_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 2048
_OPTIONS = ("kind", "path", "id_column", "vector_column")
Ids = npt.NDArray[np.int64]
# From the planner's cost of one operator call (0.0025) and of a sequential page (1.0 for 8 KB).
_COST_PER_VALUE, _COST_PER_BYTE = 0.000025, 1.0 / 8192


class NumpyTable(TableStore):
    """See the head of this file."""

    kind: ClassVar[str] = "numpy"

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(options, columns)
        check_options(options, self.kind, _OPTIONS, required="path")
        self.path = Path(options["path"])
        check_format(self.path)
        self._map()
        self.id_column = options.get("id_column", "id")
        vector_columns = [n for n, c in columns.items() if c.base_type_name in ELEMENT_OF_TYPE]
        self.vector_column = options.get("vector_column", next(iter(vector_columns), "embedding"))

    def _map(self) -> None:
        self._state = file_state(self.path)
        self._file = VectorFile(self.path)
        self.vectors = self._file.vectors
        self._codec = VectorCodec("f32", int(self.vectors.shape[1]))
        self._block = max(1, _BLOCK_BYTES // (4 * int(self.vectors.shape[1])))

    def _renew(self) -> None:
        """Map the file again when it is another one by now."""
        if file_state(self.path) != self._state:
            self._map()

    def columns(self) -> list[ColumnDefinition]:
        dims = self.vectors.shape[1]
        return [
            ColumnDefinition(self.id_column, type_name="bigint", base_type_name="bigint", not_null=True),
            ColumnDefinition(
                self.vector_column, type_name=f"ruvector({dims})", base_type_name="ruvector", not_null=True
            ),
        ]

    # ---- planning ---------------------------------------------------------------------------------------------

    def can_push(self, qual: AnyQual) -> PushLevel:
        return condition_level(qual, self.id_column, self.vector_column, DENSE_METRICS)

    def can_sort(self, order: Sequence[AnySortKey]) -> bool:
        key = order[0] if len(order) == 1 else None
        return isinstance(key, VectorSortKey) and key.attname == self.vector_column and key.metric in DENSE_METRICS

    def estimate(self, request: SearchRequest) -> Estimate:
        self._renew()
        count, dims = self.vectors.shape
        rows = float(count)
        for qual in request.quals:
            rows *= 0.005 if isinstance(qual, Qual) and qual.operator == "=" else 0.33
        reading = count * dims * (self.vectors.dtype.itemsize * _COST_PER_BYTE + _COST_PER_VALUE)
        ordered = request.vector_key is not None
        returned = min(rows, planned_limit(request))
        width = 8 * (self.id_column in request.columns) + 4 * dims * (self.vector_column in request.columns)
        startup = reading if ordered else 1.0
        per_row = 0.01 if ordered else reading / max(count, 1)
        return Estimate(max(1.0, returned), max(8, int(width)), startup, per_row)

    def explain(self, request: SearchRequest) -> list[str]:
        return [f"{self.vectors.shape[0]} vectors, exact"]

    # ---- scanning ---------------------------------------------------------------------------------------------

    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        self._renew()
        if any(never(qual) for qual in request.quals) or request.limit == 0 or not self.vectors.shape[0]:
            return
        key = request.vector_key
        query = self._codec.one(key.query) if key is not None and key.query is not None else None
        if key is None or query is None:
            yield from self._in_file_order(request)
            return
        ids, found = self._nearest(request, key.metric, query)
        stop = ids.size if request.limit is None else request.offset + request.limit
        for start in range(request.offset, min(stop, ids.size), _BATCH_ROWS):
            end = min(start + _BATCH_ROWS, stop)
            yield self._batch(request, ids[start:end], found[start:end])

    def _in_file_order(self, request: SearchRequest) -> Iterator[Batch]:
        skip, left = request.offset, request.limit
        for ids, block in self._blocks(request):
            passing = ids[self._within(request, block)]
            kept = passing[skip:] if left is None else passing[skip : skip + left]
            skip = max(0, skip - passing.size)
            for start in range(0, kept.size, _BATCH_ROWS):
                yield self._batch(request, kept[start : start + _BATCH_ROWS], None)
            if left is not None:
                left -= kept.size
                if left <= 0:
                    return

    def _nearest(self, request: SearchRequest, metric: str, query: Any) -> tuple[Ids, npt.NDArray[np.float64]]:
        """Row numbers by exact distance, at least as many as the request asks for; NaN last."""
        wanted = None if request.limit is None else request.limit + request.offset
        ids, lower, upper = np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
        parts: list[tuple[Ids, npt.NDArray[np.float64]]] = []
        for block_ids, block in self._blocks(request):
            kept = self._within(request, block)
            block_ids, block = block_ids[kept], block[kept]
            if wanted is None:
                parts.append((block_ids, distances(metric, query, block)))
                continue
            _, low, high = estimates(metric, query, block)
            # NaN (a zero vector under cosine) is farther than everything.
            low, high = np.nan_to_num(low, nan=np.inf), np.nan_to_num(high, nan=np.inf)
            ids, lower, upper = np.append(ids, block_ids), np.append(lower, low), np.append(upper, high)
            if ids.size > wanted:
                near = lower <= np.partition(upper, wanted - 1)[wanted - 1]
                ids, lower, upper = ids[near], lower[near], upper[near]
        if wanted is not None:
            parts = [
                (ids[i : i + self._block], distances(metric, query, self._vectors(ids[i : i + self._block])))
                for i in range(0, ids.size, self._block)
            ]
        if not parts:
            return np.empty(0, dtype=np.int64), np.empty(0)
        ids = np.concatenate([part[0] for part in parts])
        found = np.concatenate([part[1] for part in parts])
        order = np.lexsort((ids, found))
        return ids[order], found[order]

    def _blocks(self, request: SearchRequest) -> Iterator[tuple[Ids, npt.NDArray[np.float32]]]:
        """Row numbers that pass the conditions on them, with their vectors."""
        conditions = [qual for qual in request.quals if isinstance(qual, Qual)]
        for start in range(0, self.vectors.shape[0], self._block):
            host.check_interrupts()
            ids = np.arange(start, min(start + self._block, self.vectors.shape[0]), dtype=np.int64)
            for qual in conditions:
                ids = ids[passing(qual, ids)]
            if ids.size:
                yield ids, self._vectors(ids)

    def _vectors(self, ids: Ids) -> npt.NDArray[np.float32]:
        whole = ids.size and int(ids[-1]) - int(ids[0]) + 1 == ids.size and bool((np.diff(ids) == 1).all())
        return self._file.read(slice(int(ids[0]), int(ids[-1]) + 1) if whole else ids)

    def _within(self, request: SearchRequest, block: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        kept = np.ones(block.shape[0], dtype=bool)
        for qual in request.quals:
            if isinstance(qual, VectorQual):
                found = distances(qual.metric, self._codec.one(qual.query), block)
                limit = float(qual.threshold)
                kept &= found <= limit if qual.comparison == "<=" else found < limit
        return kept

    def _batch(self, request: SearchRequest, ids: Ids, found: npt.NDArray[np.float64] | None) -> Batch:
        columns: dict[str, ColumnData] = {}
        if self.id_column in request.columns:
            columns[self.id_column] = ids
        if self.vector_column in request.columns:
            columns[self.vector_column] = self._vectors(ids)
        return Batch(int(ids.size), columns, rowids=ids, distances=found)
