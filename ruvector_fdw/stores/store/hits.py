# SPDX-License-Identifier: PostgreSQL
"""Candidates of a search, and what gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ruvector_fdw.stores.vectors import Float64s

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hits:
    """Candidates: row ids, and bounds of their distances.

    horizon: what the source has not given yet is, as far as it knows, not nearer than this; inf: it has given all.
    """

    row_ids: Ids
    lower: Float64s
    upper: Float64s
    horizon: float = float("inf")

    @classmethod
    def join(cls, parts: Sequence[Hits]) -> Hits:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
        return cls(
            np.concatenate([part.row_ids for part in parts]),
            np.concatenate([part.lower for part in parts]),
            np.concatenate([part.upper for part in parts]),
            min(part.horizon for part in parts),
        )

    def take(self, where: Any) -> Hits:
        return Hits(self.row_ids[where], self.lower[where], self.upper[where])


class Source(Protocol):
    """Where candidates come from: one segment's search, or the delta."""

    def next_batch(self) -> Hits:
        """More candidates; none, and an infinite horizon, when there are no more."""


class Given:
    """A source of candidates that are all known."""

    def __init__(self, hits: Hits) -> None:
        self._hits = hits

    def next_batch(self) -> Hits:
        hits, self._hits = self._hits, Hits.join([])
        return hits


class Unbounded:
    """A source whose bounds are of another distance than the one ordered by: they say nothing."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def next_batch(self) -> Hits:
        hits = self._source.next_batch()
        size = hits.row_ids.size
        return Hits(hits.row_ids, np.full(size, -np.inf), np.full(size, np.inf))
