# SPDX-License-Identifier: PostgreSQL
"""Answering one request over a snapshot: which way to go, and the batches that come of it.

 - No distance in it: rows stream from SQLite, with conditions, order and limit there.
 - A distance with a threshold: every candidate the segments cannot rule out (`range`), the delta by brute force, and
   the exact distance decides.
 - Order by distance: candidates of the segments and the delta, merged in exact order (rank.py). With a filter, the
   first batch shows how many pass. When few do, the row ids that pass are listed and, if they are not many, their
   distances computed; else the search goes on, and past a part of the table all that is left is ranked by its codes.
   So a LIMIT is filled whenever that many rows pass.
 - A distance that is not the store's metric, or one that is NaN for every row: without the segments.

Rows without a distance come last, as in PostgreSQL: NaN (a zero vector under cosine), then NULL (no vector).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ruvector_fdw import host
from ruvector_fdw.request import Batch, SearchRequest, SortKey, VectorQual
from ruvector_fdw.stores.store import filters
from ruvector_fdw.stores.store.fetch import CHUNK, RawRow, RowReader
from ruvector_fdw.stores.store.filters import Condition
from ruvector_fdw.stores.store.hits import Given, Hits, Source, Unbounded
from ruvector_fdw.stores.store.question import Effort, Threshold, same_query, split
from ruvector_fdw.stores.store.rank import ExactOrder, Ranked
from ruvector_fdw.stores.store.schema import ROW_NULL, ROW_ZERO
from ruvector_fdw.stores.store.snapshot import Snapshot
from ruvector_fdw.stores.vectors import Float64s, distances, estimates

LISTED_AT_MOST = 4096
"""Row ids that a selective filter may leave for their distances to be computed outright."""
_RESUME_FACTOR = 8
_RANK_ALL_AFTER = 8192
_FIRST_TAKEN, _MOST_TAKEN = 32, 1024
AT_ONCE = 100


class Scan:
    """One request over one snapshot; `batches` may be called once."""

    def __init__(self, snapshot: Snapshot, request: SearchRequest, effort: Effort) -> None:
        self.snapshot = snapshot
        self.store = snapshot.store
        self.request = request
        self.effort = effort
        vector_quals, plain_quals = split(request.quals)
        self.filtered = bool(plain_quals)
        self.indexed_filter = filters.uses_index(self.store.spec, plain_quals)
        condition = filters.conjunction([filters.compile_qual(self.store.spec, qual) for qual in plain_quals])
        self.reader = RowReader(snapshot, request.columns, condition)
        self._nan_ids: list[int] = []
        self.impossible = any(qual.query is None or qual.threshold is None for qual in vector_quals)
        self.thresholds = [] if self.impossible else [self._threshold(qual) for qual in vector_quals]
        key = request.vector_key
        self.metric = key.metric if key is not None else None
        self.query = self.store.codec.one(key.query) if key is not None and key.query is not None else None
        if self.metric is not None and self.query is not None and self._pointless(self.metric, self.query):
            self.query = None  # every distance is NaN or NULL: any order is the right one

    def _threshold(self, qual: VectorQual) -> Threshold:
        query = self.store.codec.one(qual.query)
        return Threshold(qual.metric, query, qual.comparison == "<=", float(qual.threshold))

    def _pointless(self, metric: str, query: Any) -> bool:
        block = [query] if self.store.codec.element == "sparse" else query[np.newaxis]
        return metric == "cosine" and bool(self.store.codec.zeros(block)[0])

    # ---- the ways ---------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """The rows of the request, lazily."""
        if self.impossible or self.request.limit == 0:
            return
        if self.request.vector_key is None and not self.thresholds:
            order = [key for key in self.request.order if isinstance(key, SortKey)]
            for rows in self.reader.stream(order, self.request.limit, self.request.offset):
                yield self.reader.batch(rows)
            return
        if self.query is None:
            yield from self._unordered()
            return
        if (found := self._at_once()) is not None:
            yield found
            return
        ordered = ExactOrder(self._sources(), self._resolve, None if self.thresholds else self._escalate)
        yield from self._take(ordered)

    def _at_once(self) -> Batch | None:
        """The usual question, a few nearest rows, without the machinery of `ExactOrder`: one batch of candidates, one
        statement. None when that did not prove to be enough, or when it is not that question."""
        wanted = (self.request.limit or 0) + self.request.offset
        if not 0 < wanted <= AT_ONCE or self.thresholds or self.indexed_filter or self.metric != self.store.spec.metric:
            return None
        hits = Hits.join([source.next_batch() for source in self._searches(wanted)])
        if self.store.spec.index == "flat" and hits.row_ids.size >= wanted:
            # What was asked for is exact: whatever may be within the bound that so many are within.
            bound = float(np.partition(hits.upper, wanted - 1)[wanted - 1])
            hits = Hits.join([source.next_batch() for source in self._range_sources(self.query, bound)])
        beyond = hits.horizon
        if hits.row_ids.size > wanted:
            near = hits.lower <= np.partition(hits.upper, wanted - 1)[wanted - 1]
            if not near.all():
                beyond = min(beyond, float(hits.lower[~near].min()))
            ids = hits.row_ids[near]
        else:
            ids = hits.row_ids
        if not wanted <= ids.size <= CHUNK:
            return None
        exact, rows = self._resolve(ids.tolist())
        ranked = sorted(zip(exact.tolist(), rows, strict=True), key=_rank)[:wanted]
        if len(ranked) < wanted or ranked[-1][0] > beyond:
            return None
        kept = ranked[self.request.offset :]
        return self.reader.batch([row for _, row in kept], np.array([distance for distance, _ in kept]))

    def _take(self, ordered: ExactOrder) -> Iterator[Batch]:
        limit, skip = self.request.limit, self.request.offset
        left = None if limit is None else limit + skip
        size = _FIRST_TAKEN if left is None else min(left, _MOST_TAKEN)
        while left is None or left > 0:
            wanted = size if left is None else min(size, left)
            ranked = ordered.take(wanted)
            kept = ranked[skip:]
            skip = max(0, skip - len(ranked))
            if left is not None:
                left -= len(ranked)
            if kept:
                yield self._batch(kept)
            if len(ranked) < wanted:
                break
            size = min(size * 2, _MOST_TAKEN)
        if (left is None or left > 0) and not self.thresholds:
            yield from self._without_distance(left, skip)

    def _batch(self, ranked: Sequence[Ranked]) -> Batch:
        return self.reader.batch([row[2] for row in ranked], np.array([row[0] for row in ranked], dtype=np.float64))

    def _without_distance(self, left: int | None, skip: int) -> Iterator[Batch]:
        """Rows whose distance is NaN, then rows without a vector."""
        groups = [Condition(f"r.kind = {ROW_NULL}")]
        if self._nan_ids:
            groups.insert(0, _among(self._nan_ids))
        elif self.metric == "cosine" == self.store.spec.metric:
            groups.insert(0, Condition(f"r.kind = {ROW_ZERO}"))
        for group in groups:
            if left is not None and left <= 0:
                return
            for rows in self.reader.stream(extra=group, limit=left):
                kept = rows[skip:]
                skip = max(0, skip - len(rows))
                left = None if left is None else left - len(rows)
                if kept:
                    yield self.reader.batch(kept, np.full(len(kept), np.nan))

    def _unordered(self) -> Iterator[Batch]:
        """Rows within the thresholds, as they come or in the order of plain columns; or, when the query has no
        distance to anything, all rows, those with a vector first."""
        limit, skip = self.request.limit, self.request.offset
        if not self.thresholds:
            left = None if limit is None else limit + skip
            for rows in self.reader.stream(extra=Condition(f"r.kind <> {ROW_NULL}"), limit=left):
                kept = rows[skip:]
                skip = max(0, skip - len(rows))
                left = None if left is None else left - len(rows)
                if kept:
                    yield self.reader.batch(kept, np.full(len(kept), np.nan))
            self.metric = None
            yield from self._without_distance(left, skip)
            return
        found = self._within_thresholds()
        order = [key for key in self.request.order if isinstance(key, SortKey)]
        if order:
            these = _among([row[0] for rows in found for row in rows])
            for rows in self.reader.stream(order, limit, skip, these):
                yield self.reader.batch(rows)
            return
        for rows in found:
            kept = rows[skip:] if limit is None else rows[skip : skip + limit]
            skip = max(0, skip - len(rows))
            limit = None if limit is None else limit - len(kept)
            if kept:
                yield self.reader.batch(kept)
            if limit is not None and limit <= 0:
                return

    def _within_thresholds(self) -> Iterator[list[RawRow]]:
        for source in self._sources():
            hits = source.next_batch()
            for start in range(0, hits.row_ids.size, CHUNK):
                _, rows = self._resolve(hits.row_ids[start : start + CHUNK].tolist())
                if rows:
                    yield rows

    # ---- candidates -------------------------------------------------------------------------------------------

    def _sources(self) -> list[Source]:
        """Where this request's candidates come from; each row in one of them at most once. Those of a threshold and
        those given outright come in one batch."""
        spec = self.store.spec
        within = next((t for t in self.thresholds if t.metric == spec.metric), None)
        if within is not None and not self._pointless(within.metric, within.query):
            found = self._range_sources(within.query, within.value)
            same = within.metric == self.metric and same_query(within.query, self.query)
            return found if same else [Unbounded(source) for source in found]
        if self.thresholds or self.metric != spec.metric or self.query is None:
            return [Given(self._all_by_distance())]
        if self.filtered and self.indexed_filter and (listed := self._listed()) is not None:
            return [Given(listed)]
        limit = self.request.limit
        wanted = 0 if limit is None else limit + self.request.offset
        if spec.index == "flat" or wanted > max(_RANK_ALL_AFTER, self.snapshot.state.row_count // 4):
            return self._range_sources(self.query, np.inf)
        return self._searches(wanted)

    def _searches(self, wanted: int) -> list[Source]:
        ef = max(self.effort.ef_search, wanted)
        made: list[Source] = [
            live.segment.search(self.query, ef, self.effort.probes, live.tombstones) for live in self.snapshot.segments
        ]
        if self.snapshot.delta.row_ids.size:
            made.append(Given(self._delta_hits(self.query)))
        return made

    def _range_sources(self, query: Any, radius: float) -> list[Source]:
        made: list[Source] = [live.segment.within(query, radius, live.tombstones) for live in self.snapshot.segments]
        hits = self._delta_hits(query)
        made.append(Given(hits.take(hits.lower <= radius)))
        return made

    def _delta_hits(self, query: Any) -> Hits:
        delta = self.snapshot.delta
        if not delta.row_ids.size:
            return Hits.join([])
        _, lower, upper = estimates(self.store.spec.metric, query, delta.block, delta.norms)
        return Hits(delta.row_ids, lower, upper)

    def _all_by_distance(self) -> Hits:
        """Every visible row that passes, its distance to the ordering query computed from the vector itself; without
        an order the bounds say nothing."""
        parts = []
        ordinary = Condition(f"r.kind <> {ROW_NULL}")
        for rows in self.reader.stream(extra=ordinary, need_vector=True):
            ids = np.array([row[0] for row in rows], dtype=np.int64)
            if self.query is None or self.metric is None:
                parts.append(Hits(ids, np.full(ids.size, -np.inf), np.full(ids.size, np.inf)))
                continue
            exact = distances(self.metric, self.query, self.store.codec.from_blobs([row[1] for row in rows]))
            known = ~np.isnan(exact)
            self._nan_ids += ids[~known].tolist()
            parts.append(Hits(ids[known], exact[known], exact[known]))
        return Hits.join(parts)

    def _listed(self) -> Hits | None:
        """The rows that pass the filter with their distances, None when there are more than LISTED_AT_MOST."""
        ids = self.reader.ids(LISTED_AT_MOST + 1)
        if len(ids) > LISTED_AT_MOST:
            return None
        assert self.metric is not None
        parts = []
        for start in range(0, len(ids), CHUNK):
            rows = self.reader.by_ids(ids[start : start + CHUNK])
            exact = distances(self.metric, self.query, self.store.codec.from_blobs([row[1] for row in rows]))
            found = Hits(np.array([row[0] for row in rows], dtype=np.int64), exact, exact)
            parts.append(found.take(~np.isnan(exact)))
        return Hits.join(parts)

    def _escalate(self, examined: int, found: int) -> Hits | None:
        """When the next batch would likely not be enough: all that is left."""
        host.check_interrupts()
        if examined > max(_RANK_ALL_AFTER, self.snapshot.state.row_count // 8):
            return Hits.join([source.next_batch() for source in self._range_sources(self.query, np.inf)])
        wanted = (self.request.limit or _FIRST_TAKEN) + self.request.offset
        if self.filtered and not self.indexed_filter and found * _RESUME_FACTOR < wanted:
            return self._listed()
        return None

    def _resolve(self, row_ids: list[int]) -> tuple[Float64s, list[RawRow]]:
        """The rows of these ids that are visible, pass, and are within every threshold; NaN is no distance."""
        rows = self.reader.by_ids(row_ids)
        if not rows:
            return np.empty(0), []
        block = self.store.codec.from_blobs([row[1] for row in rows])
        keep = np.ones(len(rows), dtype=bool)
        for threshold in self.thresholds:
            keep &= threshold.holds(distances(threshold.metric, threshold.query, block))
        exact = np.zeros(len(rows))
        if self.query is not None and self.metric is not None:
            exact = distances(self.metric, self.query, block)
            keep &= ~np.isnan(exact)
        if keep.all():
            return exact, rows
        return exact[keep], [row for row, kept in zip(rows, keep.tolist(), strict=True) if kept]


def _rank(row: tuple[float, RawRow]) -> tuple[float, int]:
    return row[0], row[1][0]


def _among(row_ids: list[int]) -> Condition:
    return Condition("r.row_id IN (SELECT value FROM json_each(?))", (json.dumps(row_ids),))
