# SPDX-License-Identifier: PostgreSQL
"""Kind `usearch`: an index file written by usearch's own Python package, viewed in place. Read-only.

Options: `path`, `id_column` (default `id`: the key, a bigint), `vector_column` (default: the first column of a vector
type, else `embedding`), `ef_search` (1 to 1000; usearch's expansion; default: what the file was made with).

The vectors of such a table are what the file holds, which for a file of `i8` or `f16` is already an approximation.
Distances are computed from them, so order and thresholds are exact over these values. ORDER BY the file's metric asks
its graph for candidates, in rounds that double; the graph cannot go on where it stopped, so past a part of the file
every vector is looked at, as for another metric and for a threshold.

usearch is only imported here, when a table of this kind is first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import (
    OptionError,
    StoreAccessError,
    StoreCorruptError,
    StoreFormatError,
    StoreNotFoundError,
    UnsupportedError,
)
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
from ruvector_fdw.stores.store.hits import Hits, Ids, Source
from ruvector_fdw.stores.store.rank import ExactOrder
from ruvector_fdw.stores.usearch_layout import check_layout
from ruvector_fdw.stores.vectors import ELEMENT_OF_TYPE, METRICS_OF_ELEMENT, VectorCodec, distances

_OPTIONS = ("kind", "path", "id_column", "vector_column", "ef_search")
_METRICS = {
    "L2sq": "l2",
    "IP": "ip",
    "Cos": "cosine",
    "Hamming": "hamming",
    "Tanimoto": "jaccard",
    "Jaccard": "jaccard",
}
_BITS = {
    "F64": 64,
    "F32": 32,
    "BF16": 16,
    "F16": 16,
    "E5M2": 8,
    "E4M3": 8,
    "E3M2": 8,
    "E2M3": 8,
    "I8": 8,
    "U8": 8,
    "B1": 1,
}
# Whole numbers that stand for -1 or 0 to 1: the lowest, and that of 1.
_STEPS = {"I8": (-127, 127), "U8": (0, 255)}
_BLOCK_ROWS = 4096
_FIRST_TAKEN, _MOST_TAKEN = 32, 1024
# In the planner's unit: a search of the graph, a row of it, a row of a pass over all.
_SEARCH_COST, _FOUND_ROW_COST, _SCANNED_ROW_COST = 10.0, 0.05, 0.05


class UsearchTable(TableStore):
    """See the head of this file."""

    kind: ClassVar[str] = "usearch"

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(options, columns)
        check_options(options, self.kind, _OPTIONS, required="path")
        self.path = Path(options["path"])
        expansion = options.get("ef_search")
        if expansion is not None and not (expansion.isdigit() and 1 <= int(expansion) <= 1000):
            raise OptionError(f'invalid value for option "ef_search": "{expansion}"', hint="It is 1 to 1000.")
        self._view()
        self.id_column = options.get("id_column", "id")
        vector_columns = [name for name, c in columns.items() if c.base_type_name in ELEMENT_OF_TYPE]
        self.vector_column = options.get("vector_column", next(iter(vector_columns), "embedding"))

    def _view(self) -> None:
        self._state = file_state(self.path)
        self._index = _viewed(self.path)
        if "ef_search" in self.options:
            self._index.expansion_search = int(self.options["ef_search"])
        self._scalar = str(self._index.dtype.name)
        self._codec = VectorCodec("bit" if self._scalar == "B1" else "f32", int(self._index.ndim))
        self.metric = _METRICS.get(self._index.metric.name)
        self._keys: Ids | None = None

    def _renew(self) -> None:
        """View the file again when it is another one by now."""
        if file_state(self.path) != self._state:
            self._view()

    def columns(self) -> list[ColumnDefinition]:
        base = "bit" if self._codec.element == "bit" else "ruvector"
        type_name = f"{base}({self._codec.dims})"
        return [
            ColumnDefinition(self.id_column, type_name="bigint", base_type_name="bigint", not_null=True),
            ColumnDefinition(self.vector_column, type_name=type_name, base_type_name=base, not_null=True),
        ]

    # ---- planning ---------------------------------------------------------------------------------------------

    def can_push(self, qual: AnyQual) -> PushLevel:
        metrics = METRICS_OF_ELEMENT[self._codec.element]
        return condition_level(qual, self.id_column, self.vector_column, metrics)

    def can_sort(self, order: Sequence[AnySortKey]) -> bool:
        key = order[0] if len(order) == 1 else None
        known = METRICS_OF_ELEMENT[self._codec.element]
        return isinstance(key, VectorSortKey) and key.attname == self.vector_column and key.metric in known

    def estimate(self, request: SearchRequest) -> Estimate:
        self._renew()
        count = float(max(1, len(self._index)))
        rows = count
        for qual in request.quals:
            rows *= 0.005 if isinstance(qual, Qual) and qual.operator == "=" else 0.33
        key = request.vector_key
        by_graph = key is not None and key.metric == self.metric
        startup = _SEARCH_COST if by_graph else (count * _SCANNED_ROW_COST if key is not None else 1.0)
        per_row = _FOUND_ROW_COST if key is not None else count / max(1.0, rows) * _SCANNED_ROW_COST
        width = 8 + 4 * self._codec.dims * (self.vector_column in request.columns)
        return Estimate(max(1.0, min(rows, planned_limit(request))), width, startup, per_row)

    def explain(self, request: SearchRequest) -> list[str]:
        key = request.vector_key
        by_graph = key is not None and key.metric == self.metric
        lines = [f"{len(self._index)} vectors of {self._index.dtype.name.lower()}"]
        if key is not None:
            lines.append(f"Search: ef_search {self._index.expansion_search}" if by_graph else "Search: every vector")
        return lines

    # ---- scanning ---------------------------------------------------------------------------------------------

    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        self._renew()
        if any(never(qual) for qual in request.quals) or request.limit == 0:
            return
        key = request.vector_key
        query = self._codec.one(key.query) if key is not None and key.query is not None else None
        if key is None or query is None:
            yield from self._in_key_order(request)
            return
        thresholds = any(isinstance(qual, VectorQual) for qual in request.quals)
        wanted = planned_limit(request)
        asked = self._asked(query) if key.metric == self.metric else None
        if asked is None or thresholds or request.quals or wanted > len(self._index) // 4:
            sources: list[Source] = [_Everything(self, request, key.metric, query)]
        else:
            sources = [_Graph(self, query, asked, int(wanted) if wanted < np.inf else _FIRST_TAKEN)]

        def resolve(ids: list[int]) -> tuple[npt.NDArray[np.float64], list[tuple[int]]]:
            found = distances(key.metric, query, self.vectors(np.array(ids, dtype=np.int64)))
            # NaN (a zero vector under cosine) is farther than everything
            return np.nan_to_num(found, nan=np.inf), [(row_id,) for row_id in ids]

        yield from self._take(ExactOrder(sources, resolve), request)

    def _take(self, ordered: ExactOrder, request: SearchRequest) -> Iterator[Batch]:
        left, skip, size = planned_limit(request), request.offset, _FIRST_TAKEN
        while left > 0:
            host.check_interrupts()
            wanted = int(min(left, size))
            ranked = ordered.take(wanted)
            kept = ranked[skip:]
            skip = max(0, skip - len(ranked))
            left -= len(ranked)
            if kept:
                found = np.array([row[0] for row in kept])
                yield self._batch(request, np.array([row[1] for row in kept], dtype=np.int64), found)
            if len(ranked) < wanted:
                return
            size = min(size * 2, _MOST_TAKEN)

    def _in_key_order(self, request: SearchRequest) -> Iterator[Batch]:
        skip, left = request.offset, request.limit
        for ids, _ in self.blocks(request):
            kept = ids[skip:] if left is None else ids[skip : skip + left]
            skip = max(0, skip - ids.size)
            if kept.size:
                yield self._batch(request, kept, None)
            if left is not None:
                left -= kept.size
                if left <= 0:
                    return

    def blocks(self, request: SearchRequest) -> Iterator[tuple[Ids, Any]]:
        """Keys ascending that pass every condition, with their vectors."""
        if self._keys is None:
            self._keys = np.sort(np.asarray(self._index.keys).astype(np.int64))
        keys = self._keys
        for qual in request.quals:
            if isinstance(qual, Qual):
                keys = keys[passing(qual, keys)]
        thresholds = [qual for qual in request.quals if isinstance(qual, VectorQual)]
        for start in range(0, keys.size, _BLOCK_ROWS):
            host.check_interrupts()
            ids = keys[start : start + _BLOCK_ROWS]
            block = self.vectors(ids)
            for qual in thresholds:
                found = distances(qual.metric, self._codec.one(qual.query), block)
                limit = float(qual.threshold)
                kept = found <= limit if qual.comparison == "<=" else found < limit
                ids, block = ids[kept], block[kept]
            yield ids, block

    def _asked(self, query: Any) -> Any | None:
        """The query as the graph is to be asked. Of a float usearch makes an i8 or u8 of length 1, whatever length the
        vectors of the file have, so the number is made here; None when it is none: then every vector is looked at."""
        if self._scalar not in _STEPS:
            return query
        lowest, steps = _STEPS[self._scalar]
        longest = float(np.abs(query).max())
        # only L2 minds the length of the query
        scaled = np.rint(query * (steps if self.metric == "l2" else steps / longest if longest else np.nan))
        fits = bool((scaled >= lowest).all() and (scaled <= steps).all())
        return scaled.astype(np.int8 if lowest else np.uint8) if fits else None

    def nearest(self, asked: Any, count: int) -> Ids:
        """The keys that the file's graph finds."""
        host.check_interrupts()
        return np.asarray(self._index.search(asked, count, threads=1).keys).astype(np.int64)

    def vectors(self, ids: Ids) -> Any:
        """The vectors of these keys, float32 or packed bits."""
        if not ids.size:
            return self._codec.block([])
        as_stored = self._codec.element == "bit" or self._scalar in _STEPS
        found = self._index.get(ids.astype(np.uint64), dtype=None if as_stored else "f32")
        if any(vector is None for vector in found):
            raise StoreCorruptError(f'file "{self.path}" has lost a vector that its keys name')
        block = np.stack(found)
        return block / np.float32(_STEPS[self._scalar][1]) if self._scalar in _STEPS else block

    def _batch(self, request: SearchRequest, ids: Ids, found: npt.NDArray[np.float64] | None) -> Batch:
        columns: dict[str, ColumnData] = {}
        if self.id_column in request.columns:
            columns[self.id_column] = ids
        if self.vector_column in request.columns:
            columns[self.vector_column] = self._codec.values(self.vectors(ids))
        return Batch(int(ids.size), columns, distances=found)


class _Graph:
    """Candidates of the graph, in rounds of twice the size; each round gives what is new."""

    def __init__(self, table: UsearchTable, query: Any, asked: Any, wanted: int) -> None:
        self._table = table
        self._query = query
        self._asked = asked
        self._size = max(wanted, _FIRST_TAKEN)
        self._given: Ids = np.empty(0, dtype=np.int64)

    def next_batch(self) -> Hits:
        table = self._table
        total = len(table._index)
        if self._size > total // 4:
            request = SearchRequest(())
            assert table.metric is not None
            hits = _Everything(table, request, table.metric, self._query).next_batch()
            return hits.take(~np.isin(hits.row_ids, self._given))
        found = table.nearest(self._asked, self._size)
        self._size *= 2
        ids = found[~np.isin(found, self._given)]
        self._given = np.concatenate([self._given, ids])
        assert table.metric is not None
        exact = distances(table.metric, self._query, table.vectors(ids))
        far = float(np.nanmax(exact)) if ids.size and not np.isnan(exact).all() else -np.inf
        exact = np.nan_to_num(exact, nan=np.inf)
        return Hits(ids, exact, exact, far)


class _Everything:
    """Every vector that passes, with its distance."""

    def __init__(self, table: UsearchTable, request: SearchRequest, metric: str, query: Any) -> None:
        self._table = table
        self._request = request
        self._metric = metric
        self._query = query

    def next_batch(self) -> Hits:
        parts = []
        for ids, block in self._table.blocks(self._request):
            exact = np.nan_to_num(distances(self._metric, self._query, block), nan=np.inf)
            parts.append(Hits(ids, exact, exact))
        return Hits.join(parts)


def _viewed(path: Path) -> Any:
    """Open a file. :raise StoreError: missing, unreadable, damaged, or not what usearch writes."""
    try:
        from usearch.index import Index
    except ImportError as ex:
        raise UnsupportedError(
            'kind "usearch" needs the Python package usearch', hint='Install it: pip install "ruvector-fdw[usearch]".'
        ) from ex
    try:
        row_bytes = check_layout(path)
        index = Index.restore(str(path), view=True)
    except FileNotFoundError as ex:
        raise StoreNotFoundError(f'file "{path}" does not exist') from ex
    except OSError as ex:
        raise StoreAccessError.of(f'could not read file "{path}"', ex) from ex
    except ValueError as ex:
        raise StoreFormatError(f'"{path}" is not a usearch file', detail=f"{ex}", sqlstate="HV000") from ex
    except (RuntimeError, KeyError) as ex:
        raise StoreCorruptError(f'file "{path}" is damaged: {ex}') from ex
    if index is None:
        raise StoreFormatError(f'"{path}" is not a usearch file', sqlstate="HV000")
    if index.multi:
        raise UnsupportedError(f'file "{path}" has several vectors a key')
    bits = _BITS.get(index.dtype.name)
    if bits is None:
        raise UnsupportedError(f'file "{path}" has vectors of an unknown type, "{index.dtype.name}"')
    if row_bytes != (int(index.ndim) * bits + 7) // 8:
        raise StoreCorruptError(f'file "{path}" is damaged: {index.ndim} dimensions in {row_bytes} bytes')
    return index
