# SPDX-License-Identifier: PostgreSQL
"""What a request asks of the vectors, apart from how it is answered (scan.py): distances told from conditions, thresholds,
and how hard to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ruvector_fdw.request import AnyQual, BoolQual, SearchRequest, SparseVector, VectorQual
from ruvector_fdw.stores.vectors import Float64s


@dataclass(frozen=True)
class Effort:
    """How much of a segment a search looks at: `ef` for hnsw, `probes` for ivf."""

    ef_search: int = 40
    probes: int = 1


@dataclass(frozen=True)
class Threshold:
    """`distance(query) < value`, or `<=`."""

    metric: str
    query: Any
    inclusive: bool
    value: float

    def holds(self, found: Float64s) -> Any:
        if np.isnan(self.value):
            return ~np.isnan(found) | self.inclusive
        return found <= self.value if self.inclusive else found < self.value


def needs_segments(request: SearchRequest) -> bool:
    """Whether there is a distance in it; without one the rows alone answer, even when a segment is damaged."""
    return request.vector_key is not None or bool(split(request.quals)[0])


def split(quals: Sequence[AnyQual]) -> tuple[list[VectorQual], list[AnyQual]]:
    """Distances, and the rest; an AND at the top is taken apart."""
    vector: list[VectorQual] = []
    plain: list[AnyQual] = []
    for qual in quals:
        if isinstance(qual, BoolQual) and qual.operator == "AND":
            inner_vector, inner_plain = split(qual.args)
            vector += inner_vector
            plain += inner_plain
        elif isinstance(qual, VectorQual):
            vector.append(qual)
        else:
            plain.append(qual)
    return vector, plain


def same_query(a: Any, b: Any) -> bool:
    """Whether two query vectors are the same one."""
    if isinstance(a, SparseVector) and isinstance(b, SparseVector):
        return np.array_equal(a.indices, b.indices) and np.array_equal(a.values, b.values)
    return a is not None and b is not None and np.array_equal(a, b)
