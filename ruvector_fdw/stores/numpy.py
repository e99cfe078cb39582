# SPDX-License-Identifier: PostgreSQL
"""Kind `numpy`: a file of vectors made elsewhere, mapped and searched exactly, block by block. Read-only.

Options: `path` (`.npy` with a 2-d array, `.fvecs` or `.bvecs`), `id_column` (default `id`: the row number, from 0),
`vector_column` (default: the first column of a vector type, else `embedding`).

The formats: `.npy` as numpy documents it; `.fvecs` and `.bvecs` (corpus-texmex.irisa.fr) have for each vector its
dimensions as a little-endian int32, then that many float32 or uint8.

Search reads the file once: each block gives estimates with bounds by one matrix product, what cannot be among the
nearest is dropped, and the exact distance decides among the few that are left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import OptionError, StoreAccessError, StoreCorruptError, StoreFormatError, StoreNotFoundError
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
from ruvector_fdw.stores import planned_limit
from ruvector_fdw.stores.keyed import condition_level, file_state, never, passing
from ruvector_fdw.stores.vectors import DENSE_METRICS, ELEMENT_OF_TYPE, VectorCodec, distances, estimates

_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 2048
_OPTIONS = ("kind", "path", "id_column", "vector_column")
Ids = npt.NDArray[np.int64]
# From the planner's cost of one operator call (0.0025) and of a sequential page (1.0 for 8 KB).
_COST_PER_VALUE, _COST_PER_BYTE = 0.000025, 1.0 / 8192


def map_vectors(path: Path) -> npt.NDArray[Any]:
    """A file as a mapped array (n, dims). :raise StoreError: missing, unreadable, or not of its format."""
    _check_format(path)
    try:
        if path.suffix == ".npy":
            loaded: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            if loaded.ndim != 2 or loaded.dtype.kind not in "fiu":
                raise StoreFormatError(f'"{path}" is not a two-dimensional array of numbers', sqlstate="HV000")
            return loaded
        if path.suffix == ".fvecs":
            return _map_vecs(path, np.dtype("<f4"))
        return _map_vecs(path, np.dtype("u1"))
    except FileNotFoundError as ex:
        raise StoreNotFoundError(f'file "{path}" does not exist') from ex
    except OSError as ex:
        raise StoreAccessError.of(f'could not read file "{path}"', ex) from ex
    except (ValueError, EOFError) as ex:
        raise StoreCorruptError(f'file "{path}" is damaged or not of its format: {ex}') from ex


def _check_format(path: Path) -> None:
    if path.suffix not in (".npy", ".fvecs", ".bvecs"):
        raise OptionError(f'unrecognized file format of "{path}"', hint="Use .npy, .fvecs or .bvecs.")


def _map_vecs(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    size = os.stat(path).st_size
    if size == 0:
        return np.empty((0, 1), dtype=dtype)
    head = np.fromfile(path, dtype="<i4", count=1)
    dims = int(head[0]) if head.size else 0
    record = 4 + dims * dtype.itemsize
    if dims < 1 or size % record:
        raise ValueError(f"{size} bytes are no whole number of vectors of {dims} dimensions")
    raw = np.memmap(path, dtype=np.uint8, mode="r", shape=(size // record, record))
    for row in (0, raw.shape[0] // 2, raw.shape[0] - 1):
        if int(raw[row, :4].view("<i4")[0]) != dims:
            raise ValueError(f"vector {row} has other dimensions than the first")
    mapped: npt.NDArray[Any] = np.ndarray(
        (raw.shape[0], dims), dtype=dtype, buffer=raw, offset=4, strides=(record, dtype.itemsize)
    )
    return mapped


class NumpyTable(TableStore):
    """See the head of this file."""

    kind: ClassVar[str] = "numpy"

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(options, columns)
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise OptionError(f'invalid option "{unknown[0]}"', hint=f"Use {', '.join(_OPTIONS)}.")
        if "path" not in options:
            raise OptionError('option "path" is required for kind "numpy"', sqlstate="HV00B")
        self.path = Path(options["path"])
        _check_format(self.path)
        self._map()
        self.id_column = options.get("id_column", "id")
        vector_columns = [n for n, c in columns.items() if c.base_type_name in ELEMENT_OF_TYPE]
        self.vector_column = options.get("vector_column", next(iter(vector_columns), "embedding"))

    def _map(self) -> None:
        self._state = file_state(self.path)
        self.vectors = map_vectors(self.path)
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
        if any(never(qual) for qual in request.quals) or request.limit == 0:
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
        part = self.vectors[int(ids[0]) : int(ids[-1]) + 1] if whole else self.vectors[ids]
        block = np.ascontiguousarray(part, dtype=np.float32)
        if not np.isfinite(block).all():
            raise StoreCorruptError(f'file "{self.path}" has a vector that is not finite', sqlstate="22000")
        return block

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
