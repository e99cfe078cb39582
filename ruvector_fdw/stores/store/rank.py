# SPDX-License-Identifier: PostgreSQL
"""Rows in exact order of distance, from candidates with bounds.

Sources give candidates with a lower and an upper bound of their distance. A row's exact distance costs a read from
SQLite, so it is computed only for those whose lower bound says that they may be among the next n; a row leaves when
no candidate that is still undecided, and none that a source has yet to give (its horizon), can be nearer. Order is
exact among the candidates there are: an approximate source may find, in a later batch, a row nearer than one that has
already left. Such a late row is kept back to the end, so that order holds for whoever stops early and no row is lost
for whoever reads on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ruvector_fdw.stores.store.fetch import CHUNK, RawRow
from ruvector_fdw.stores.store.hits import Hits, Ids, Source
from ruvector_fdw.stores.vectors import Float64s

Ranked = tuple[float, int, RawRow]


Resolver = Callable[[list[int]], tuple[Float64s, list[RawRow]]]
"""Row ids to the exact distances and the rows of those that are visible and pass, in equal order."""

Escalation = Callable[[int, int], "Hits | None"]
"""Asked when a batch is used up: (candidates examined, rows found) to everything that is left, or None to go on."""


class ExactOrder:
    """Merges sources; `take` gives the next rows."""

    def __init__(self, sources: Sequence[Source], resolve: Resolver, escalate: Escalation | None = None) -> None:
        # each with its horizon; nothing is known of a source that was not asked yet
        self._sources: list[tuple[float, Source]] = [(-np.inf, source) for source in sources]
        self._resolve = resolve
        self._escalate = escalate
        self._open = Hits.join([])  # undecided, by ascending lower bound
        self._known: list[Ranked] = []  # decided, not yet given out, by ascending distance
        self._late: list[Ranked] = []
        self._seen: list[Ids] = []
        self._floor = -np.inf
        self._examined = self._found = 0

    def take(self, count: int) -> list[Ranked]:
        """The next `count` rows, fewer when there are no more."""
        taken: list[Ranked] = []
        step = 1
        while True:
            horizon = min((far for far, _ in self._sources), default=np.inf)
            nearest = float(self._open.lower[0]) if self._open.row_ids.size else np.inf
            self._move_decided(taken, count, min(horizon, nearest))
            if len(taken) == count:
                break
            if self._open.row_ids.size and nearest <= horizon:
                step = self._decide(count - len(taken), step)
            elif self._sources:
                self._pull(min(nearest, self._known[0][0] if self._known else np.inf))
            else:
                taken += self._late[: count - len(taken)]
                del self._late[: count - len(taken)]
                break
        return self._leave(taken)

    def _leave(self, taken: list[Ranked]) -> list[Ranked]:
        ahead = [row for row in taken if row[0] >= self._floor]
        ahead.sort(key=_rank)
        late = [row for row in taken if row[0] < self._floor]
        if ahead:
            self._floor = ahead[-1][0]
        return ahead + late

    def _move_decided(self, taken: list[Ranked], count: int, frontier: float) -> None:
        """Rows that nothing undecided, and nothing a source still has, can precede."""
        ready = 0
        while ready < len(self._known) and len(taken) + ready < count and self._known[ready][0] <= frontier:
            ready += 1
        taken += self._known[:ready]
        del self._known[:ready]

    def _decide(self, needed: int, step: int) -> int:
        """Compute the distances that may be among the next `needed`. Each call takes at least twice the last one's
        while rows are filtered out, so that a selective filter costs few statements."""
        open_ = self._open
        tops = np.concatenate([open_.upper, [row[0] for row in self._known[:needed]]])
        bound = np.partition(tops, needed - 1)[needed - 1] if tops.size >= needed else np.inf
        within = int(np.searchsorted(open_.lower, bound, side="right"))
        size = max(1, min(within, CHUNK), min(step, CHUNK, open_.row_ids.size))
        distances, rows = self._resolve(open_.row_ids[:size].tolist())
        self._open = open_.take(slice(size, None))
        self._examined += size
        self._found += len(rows)
        for distance, row in zip(distances.tolist(), rows, strict=True):
            ranked = (distance, row[0], row)
            (self._late if distance < self._floor else self._known).append(ranked)
        self._known.sort(key=_rank)
        self._late.sort(key=_rank)
        return 2 * size if len(rows) < size else 1

    def _pull(self, upto: float) -> None:
        """Ask the sources that may still have something nearer than `upto`; all, when that is not known."""
        if self._examined and self._escalate is not None:
            rest = self._escalate(self._examined, self._found)
            if rest is not None:
                self._sources = []
                self._add([rest.take(~np.isin(rest.row_ids, np.concatenate(self._seen)))])
                return
        hits = []
        kept: list[tuple[float, Source]] = []
        for horizon, source in self._sources:
            if horizon > upto:
                kept.append((horizon, source))
                continue
            batch = source.next_batch()
            hits.append(batch)
            if batch.horizon < np.inf:
                kept.append((batch.horizon, source))
        self._sources = kept
        self._add(hits)

    def _add(self, parts: Sequence[Hits]) -> None:
        hits = Hits.join([part for part in parts if part.row_ids.size])
        if hits.row_ids.size:
            self._seen.append(hits.row_ids)
            both = Hits.join([self._open, hits]) if self._open.row_ids.size else hits
            self._open = both.take(np.argsort(both.lower, kind="stable"))


def _rank(row: Ranked) -> tuple[float, int]:
    return row[0], row[1]
