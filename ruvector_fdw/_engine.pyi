# SPDX-License-Identifier: PostgreSQL
"""The search engine: segments of vectors, built and searched without a server.

Dense vectors are float32 or float16 arrays of shape (n, dims); bits are uint8 arrays of shape (n, (dims + 7) // 8),
most significant bit first. Keys are uint64, 2**64 - 1 excepted. Tombstones are uint64 arrays with one bit a slot.
Distances are in the unit of the SQL operator.
"""

from collections.abc import Callable
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

Kind = Literal["flat", "hnsw", "ivf"]
Metric = Literal["l2", "ip", "cosine", "l1", "hamming", "jaccard"]
Element = Literal["f32", "f16", "bit", "sparse"]
Quantization = Literal["none", "f16", "sq8", "pq16", "binary"]

class EngineError(RuntimeError): ...
class CorruptError(EngineError): ...

class Info(TypedDict):
    kind: Kind
    metric: Metric
    element: Element
    quantization: Quantization
    dims: int
    m: int
    ef_construction: int
    lists: int
    seed: int
    nodes: int
    slots: int
    max_level: int
    bytes_total: int
    bytes_vectors: int
    bytes_traversal: int
    bytes_graph: int
    bytes_keys: int

def simd_level() -> str: ...
def distances(metric: Metric, query: NDArray[np.float32], block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Exact distances (n,) from a query (dims,) to a block (n, dims); NaN to a zero vector under cosine.

    :raise ValueError: the lengths differ, or the metric is one of bits.
    """

class KeptRows:
    """Rows read before, `(key, float32 vector as bytes, fields ...)`, and searches answered from them."""

    def __init__(self, metric: Metric, dims: int, fields: int) -> None: ...
    def __len__(self) -> int: ...
    def clear(self) -> None: ...
    def add(self, rows: list[tuple[Any, ...]]) -> None:
        """:raise ValueError: a vector has not these dims."""

    def search(
        self,
        parts: list[tuple[Segment, NDArray[np.uint64] | None]],
        query: NDArray[np.float32],
        ef: int,
        probes: int,
        wanted: int,
        most: int,
        given: NDArray[np.int64],
        given_lower: NDArray[np.float64],
        given_upper: NDArray[np.float64],
        interrupt: int,
    ) -> list[int] | None:
        """Find the keys that may be among the `wanted` nearest, in the first batch of every segment (with its tombstones)
        and among `given` keys with bounds. Returns those that have to be added before `ranked` is asked; None when
        there are fewer than `wanted` candidates or more than `most`."""

    def ranked(
        self, query: NDArray[np.float32], wanted: int, offset: int, with_vectors: bool
    ) -> tuple[bytes | None, list[list[Any]], bytes, bytes] | None:
        """Of what `search` found last, those after the first `offset` of the `wanted` nearest: vectors (float32), the
        values of every field, keys (int64) and distances (float64); nearest first, equal ones by key. None when a row
        has no distance, or one that was not found may be nearer."""

class Hits:
    """Columns of what a search found; the true distance lies in [lower, upper]."""

    batch_end: bool
    def __len__(self) -> int: ...
    @property
    def keys(self) -> NDArray[np.uint64]: ...
    @property
    def slots(self) -> NDArray[np.uint32]: ...
    @property
    def estimate(self) -> NDArray[np.float32]: ...
    @property
    def lower(self) -> NDArray[np.float32]: ...
    @property
    def upper(self) -> NDArray[np.float32]: ...

class Scan:
    """A search that can be asked for more; not for several threads at once."""

    def next(self, capacity: int = 100) -> Hits:
        """The next hits, at most `capacity`; empty: nothing is left."""

class Segment:
    """An immutable segment, read from a buffer that it keeps (no copy when aligned to 64, as a mapping is)."""

    def __init__(self, buffer: Buffer, verify: bool = False) -> None:
        """:raise CorruptError: the bytes are no segment, or with `verify` a checksum does not match."""
    @property
    def info(self) -> Info: ...
    @property
    def keys(self) -> NDArray[np.uint64]:
        """The key of every slot."""
    def check(self) -> None:
        """Check every checksum, link and key.

        :raise CorruptError: naming the section.
        """
    def decode(self, slots: NDArray[np.uint32]) -> NDArray[np.float32]:
        """The stored approximations, (n, dims)."""
    def search(
        self,
        queries: NDArray[Any],
        k: int,
        *,
        ef: int = 40,
        probes: int = 1,
        tombstones: NDArray[np.uint64] | None = None,
        threads: int = 1,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """The k nearest of every query by estimate: keys and estimates, (n, k), padded with 2**64 - 1 and inf."""
    def scan(
        self,
        query: NDArray[Any],
        *,
        indices: NDArray[np.int32] | None = None,
        ef: int = 40,
        probes: int = 1,
        max_probes: int = 0,
        tombstones: NDArray[np.uint64] | None = None,
        interrupt: int = 0,
    ) -> Scan:
        """Nearest first, in batches.

        indices: of the values of a sparse query. interrupt: the address of a C int that is not zero when the search
        should stop with an EngineError, or 0.
        """
    def range(
        self,
        query: NDArray[Any],
        radius: float,
        *,
        indices: NDArray[np.int32] | None = None,
        tombstones: NDArray[np.uint64] | None = None,
        interrupt: int = 0,
    ) -> Hits:
        """Everything whose lower bound is within the radius, in no order: nothing that belongs is missing."""

class Builder:
    """Collects vectors and builds one immutable segment of them."""

    def __init__(
        self,
        kind: Kind,
        metric: Metric,
        dims: int,
        *,
        element: Element = "f32",
        quantization: Quantization = "sq8",
        m: int = 16,
        ef_construction: int = 64,
        lists: int = 100,
        seed: int = 0,
        model: Segment | None = None,
    ) -> None:
        """:raise ValueError: a combination or a value that is not supported."""
    @property
    def count(self) -> int: ...
    @property
    def peak_bytes(self) -> int: ...
    def add(self, vectors: NDArray[Any], keys: NDArray[np.uint64]) -> None: ...
    def add_sparse(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: NDArray[np.float32],
        keys: NDArray[np.uint64],
    ) -> None: ...
    def add_segment(self, segment: Segment, tombstones: NDArray[np.uint64] | None = None) -> None: ...
    def build(self, threads: int = 1, progress: Callable[[str, int, int], object] | None = None) -> NDArray[np.uint8]:
        """Build the segment; the array is read-only and shares the builder's memory.

        :param progress: called with phase, done and total about twenty times a second; what it raises cancels.
        """
