# SPDX-License-Identifier: PostgreSQL
"""Vectors as bytes, and the exact distances between them.

Distances have the unit of the SQL operator: L2 is the root, inner product negative, cosine 1 - similarity (NaN for a
zero vector), Hamming counts bits, Jaccard 1 - |both| / |either|. They are computed in float64, so they agree with the
SQL functions to 1e-6 relative.

A block is what a run of stored vectors decodes to: float32 or float16 (n, dims), uint8 (n, bytes) for bits, and a
list of SparseVector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ruvector_fdw import _engine
from ruvector_fdw.errors import InvalidValueError, UnsupportedError
from ruvector_fdw.request import SparseVector

Float64s = npt.NDArray[np.float64]
Block = Any
DENSE_METRICS = ("l2", "ip", "cosine", "l1")
METRICS_OF_ELEMENT = {
    "f32": DENSE_METRICS,
    "f16": DENSE_METRICS,
    "bit": ("hamming", "jaccard"),
    "sparse": DENSE_METRICS,
}
ELEMENT_OF_TYPE = {"ruvector": "f32", "vector": "f32", "halfvec": "f16", "bit": "bit", "sparsevec": "sparse"}
TYPE_OF_ELEMENT = {"f32": "ruvector", "f16": "halfvec", "bit": "bit", "sparse": "sparsevec"}
MAX_DIMS = {"f32": 16000, "f16": 16000, "bit": 64000, "sparse": 1_000_000_000}

_POPCOUNT = np.array([bin(i).count("1") for i in range(256)], dtype=np.uint16)


def _dims_error(expected: int, got: int) -> InvalidValueError:
    return InvalidValueError(f"expected {expected} dimensions, not {got}", sqlstate="22000")


class VectorCodec:
    """The vectors of one store: `element` (f32, f16, bit, sparse) and `dims`."""

    def __init__(self, element: str, dims: int) -> None:
        if element not in METRICS_OF_ELEMENT:
            raise InvalidValueError(f'unrecognized element "{element}"', hint="Use f32, f16, bit or sparse.")
        if not 1 <= dims <= MAX_DIMS[element]:
            raise InvalidValueError(
                f"dimensions for type {TYPE_OF_ELEMENT[element]} must be between 1 and {MAX_DIMS[element]}, not {dims}"
            )
        self.element = element
        self.dims = dims
        self._dtype: type[Any] = {"f32": np.float32, "f16": np.float16}.get(element, np.uint8)
        self._width = dims if element in ("f32", "f16") else (dims + 7) // 8

    def one(self, value: Any) -> Any:
        """A query or a vector in the form a block has: (dims,), (bytes,), or a SparseVector."""
        if self.element == "sparse":
            return self._sparse(value)
        plain = isinstance(value, np.ndarray) and value.dtype == self._dtype == np.float32
        if plain and value.shape == (self.dims,) and np.isfinite(value.sum()):
            return np.ascontiguousarray(value)
        return self.block([value])[0]

    def block(self, values: Any) -> Block:
        """Check many vectors: right dims, finite. :raise InvalidValueError: says what is wrong with the first."""
        if self.element == "sparse":
            return [self._sparse(value) for value in values]
        if self.element == "bit":
            return self._bits(values)
        try:
            matrix = np.asarray(values, dtype=np.float32)
        except (TypeError, ValueError) as ex:
            for value in values:
                if np.ndim(value) == 1 and len(value) != self.dims:
                    raise _dims_error(self.dims, len(value)) from ex
            raise InvalidValueError(f"invalid vector: {ex}", sqlstate="22P02") from ex
        if matrix.size == 0 and matrix.ndim < 2:
            return np.empty((0, self.dims), dtype=self._dtype)
        if matrix.ndim != 2 or matrix.shape[1] != self.dims:
            raise _dims_error(self.dims, int(matrix.shape[1]) if matrix.ndim == 2 else int(matrix.size))
        if not np.isfinite(matrix.sum(dtype=np.float64)) and not np.isfinite(matrix).all():
            bad = "NaN" if np.isnan(matrix).any() else "infinite value"
            raise InvalidValueError(f"{bad} not allowed in {TYPE_OF_ELEMENT[self.element]}", sqlstate="22000")
        if self._dtype is np.float16:
            with np.errstate(over="ignore"):
                half = matrix.astype(np.float16)
            if not np.isfinite(half).all():
                value = matrix[~np.isfinite(half)][0]
                raise InvalidValueError(f'"{value:g}" is out of range for type halfvec', sqlstate="22003")
            return half
        return np.ascontiguousarray(matrix)

    def _bits(self, values: Any) -> Block:
        if isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.ndim == 2:
            if values.shape[1] != self._width:
                raise _dims_error(self.dims, int(values.shape[1]) * 8)
            return np.ascontiguousarray(values)
        rows = []
        for value in values:
            if isinstance(value, np.ndarray) and value.dtype == np.uint8:
                if value.shape != (self._width,):
                    raise _dims_error(self.dims, int(value.size) * 8)
                rows.append(value)
                continue
            digits = np.frombuffer(value.encode("ascii", "replace"), dtype=np.uint8) - ord("0")
            if digits.size != self.dims:
                raise _dims_error(self.dims, int(digits.size))
            if (digits > 1).any():
                raise InvalidValueError(f'"{value}" is not a bit string', sqlstate="22P02")
            rows.append(np.packbits(digits))
        return np.stack(rows) if rows else np.empty((0, self._width), dtype=np.uint8)

    def _sparse(self, value: Any) -> SparseVector:
        if not isinstance(value, SparseVector):
            raise InvalidValueError(f"invalid sparse vector: {value!r}", sqlstate="22P02")
        if value.dim != self.dims:
            raise _dims_error(self.dims, value.dim)
        indices = np.ascontiguousarray(value.indices, dtype=np.int32)
        values = np.ascontiguousarray(value.values, dtype=np.float32)
        if indices.shape != values.shape or (np.diff(indices) <= 0).any():
            raise InvalidValueError("sparsevec indices must be distinct and ascending", sqlstate="22000")
        if indices.size and not 0 <= int(indices[0]) <= int(indices[-1]) < self.dims:
            raise InvalidValueError(f"sparsevec indices must be between 1 and {self.dims}", sqlstate="22000")
        if not np.isfinite(values).all():
            raise InvalidValueError("infinite value not allowed in sparsevec", sqlstate="22000")
        return SparseVector(self.dims, indices, values)

    def blobs(self, block: Block) -> list[Any]:
        """One bytes-like object a vector, little-endian as every supported machine is."""
        if self.element == "sparse":
            return [np.int32(v.indices.size).tobytes() + v.indices.tobytes() + v.values.tobytes() for v in block]
        if not len(block):
            return []
        raw = np.ascontiguousarray(block).data.cast("B")
        step = block.dtype.itemsize * self._width
        return [raw[i : i + step] for i in range(0, len(raw), step)]

    def from_blobs(self, blobs: Sequence[bytes]) -> Block:
        """The inverse. :raise InvalidValueError: a blob has the wrong size."""
        if self.element == "sparse":
            return [self._sparse_blob(blob) for blob in blobs]
        flat = np.frombuffer(b"".join(blobs), dtype=self._dtype)
        if flat.size != len(blobs) * self._width:
            raise InvalidValueError(f"a stored vector has not {self.dims} dimensions", sqlstate="XX001")
        return flat.reshape(len(blobs), self._width)

    def _sparse_blob(self, blob: bytes) -> SparseVector:
        count = int(np.frombuffer(blob, dtype=np.int32, count=1)[0]) if len(blob) >= 4 else -1
        if count < 0 or len(blob) != 4 + 8 * count:
            raise InvalidValueError("a stored sparse vector has a wrong size", sqlstate="XX001")
        indices = np.frombuffer(blob, dtype=np.int32, count=count, offset=4)
        return SparseVector(self.dims, indices, np.frombuffer(blob, dtype=np.float32, offset=4 + 4 * count))

    def values(self, block: Block) -> Any:
        """A block as the column values of `ruvector_fdw.request`: arrays stay, bits become text."""
        if self.element == "bit":
            return ["".join(map(str, row[: self.dims])) for row in np.unpackbits(block, axis=1)]
        return block

    def zeros(self, block: Block) -> npt.NDArray[np.bool_]:
        """Which vectors are zero: under cosine they have no direction and are in no segment."""
        if self.element == "sparse":
            return np.array([not v.values.any() for v in block], dtype=bool)
        return np.asarray(~block.any(axis=1))

    def take(self, block: Block, where: npt.NDArray[Any]) -> Block:
        """The vectors at these positions, or where a bool array holds."""
        if self.element == "sparse":
            positions = np.flatnonzero(where) if where.dtype == bool else where
            return [block[int(i)] for i in positions]
        return block[where]


def distances(metric: str, query: Any, block: Block) -> Float64s:
    """Exact distances float64 (n,) from a query (as `VectorCodec.one` gives it) to every vector of a block."""
    if isinstance(query, SparseVector):
        return np.array([_sparse_distance(metric, query, vector) for vector in block], dtype=np.float64)
    if metric in ("hamming", "jaccard"):
        return _bit_distances(metric, query, block)
    if metric not in DENSE_METRICS:
        raise UnsupportedError(f'distance "{metric}" does not apply to these vectors')
    q = query if query.dtype == np.float32 else query.astype(np.float32)
    x = block if block.dtype == np.float32 else block.astype(np.float32)
    return _engine.distances(cast("_engine.Metric", metric), q, np.ascontiguousarray(x))


def _bit_distances(metric: str, query: Any, block: Block) -> Float64s:
    if metric == "hamming":
        return np.asarray(_POPCOUNT[np.bitwise_xor(block, query)].sum(axis=1), dtype=np.float64)
    both = _POPCOUNT[np.bitwise_and(block, query)].sum(axis=1).astype(np.float64)
    either = _POPCOUNT[np.bitwise_or(block, query)].sum(axis=1).astype(np.float64)
    return np.asarray(np.where(both == 0, 1.0, 1.0 - both / np.maximum(either, 1.0)))


def _sparse_distance(metric: str, a: SparseVector, b: SparseVector) -> float:
    _, in_a, in_b = np.intersect1d(a.indices, b.indices, assume_unique=True, return_indices=True)
    av, bv = a.values.astype(np.float64), b.values.astype(np.float64)
    if metric in ("ip", "cosine"):
        dot = float(av[in_a] @ bv[in_b])
        if metric == "ip":
            return -dot
        norm = float(np.sqrt((av @ av) * (bv @ bv)))
        return float("nan") if norm == 0 else 1.0 - min(1.0, max(-1.0, dot / norm))
    shared = av[in_a] - bv[in_b]
    only = np.concatenate([shared, np.delete(av, in_a), np.delete(bv, in_b)])
    if metric == "l2":
        return float(np.sqrt(only @ only))
    if metric == "l1":
        return float(np.abs(only).sum())
    raise UnsupportedError(f'distance "{metric}" does not apply to sparse vectors')


def estimates(
    metric: str, query: Any, block: Block, norms: Float64s | None = None
) -> tuple[Float64s, Float64s, Float64s]:
    """Distances with rigorous bounds `(estimate, lower, upper)`, by one matrix product where the metric allows it.

    norms: the squared norms of the vectors, when they are kept. A float32 dot product of n terms in at least four
    lanes has an error of at most (n / 4 + 16) * 2^-24 * |q| |x| (Higham, Accuracy and Stability, section 3.1).
    """
    if metric not in ("l2", "ip", "cosine") or isinstance(query, SparseVector):
        exact = distances(metric, query, block)
        return exact, exact, exact
    q = query.astype(np.float32)
    x = block if block.dtype == np.float32 else block.astype(np.float32)
    if norms is None:
        norms = squared_norms(x)
    q_norm = float(np.dot(q.astype(np.float64), q))
    with np.errstate(over="ignore", invalid="ignore"):
        dot = (x @ q).astype(np.float64)
        slack = (q.size / 4 + 16) * 2.0**-23 * np.sqrt(norms * q_norm) + 1e-30
        if not np.isfinite(dot).all():
            exact = distances(metric, query, block)
            return exact, exact, exact
    if metric == "ip":
        return -dot, -dot - slack, -dot + slack
    if metric == "cosine":
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1.0 / np.sqrt(norms * q_norm)
            estimate = 1.0 - dot * scale
            error = slack * scale + 1e-12
        return estimate, estimate - error, estimate + error
    squared = norms + q_norm - 2.0 * dot
    error = 2.0 * slack + 1e-12 * (norms + q_norm)
    lower, upper = np.maximum(squared - error, 0.0), np.maximum(squared + error, 0.0)
    return np.sqrt(np.maximum(squared, 0.0)), np.sqrt(lower), np.sqrt(upper)


def squared_norms(x: npt.NDArray[np.float32]) -> Float64s:
    """float64 (n,) of float32 (n, dims)."""
    return np.asarray(np.einsum("ij,ij->i", x, x, dtype=np.float64))
