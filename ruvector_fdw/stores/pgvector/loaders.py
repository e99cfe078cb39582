# SPDX-License-Identifier: PostgreSQL
"""How values of a remote server become the Python values of `ruvector_fdw.request`, and vectors become parameters.

Vectors cross in binary, in pgvector's wire format: int16 dims, int16 unused, then big-endian float32 (halfvec: half)
elements; sparsevec: int32 dim, nnz, unused, nnz indices from 0, nnz float32. A type is found by name in the schema it
is in, whichever extension it belongs to. Infinite dates stay text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.rows import TupleRow
from psycopg.types.datetime import DateBinaryLoader, TimestampBinaryLoader, TimestamptzBinaryLoader

from ruvector_fdw.request import SparseVector

VECTOR_TYPES = ("vector", "ruvector", "halfvec", "sparsevec")
_TYPES_QUERY = "SELECT t.oid::int8, t.typname::text FROM pg_type t WHERE t.typname = ANY($1) AND t.typtype = 'b'"


class _VectorLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return np.frombuffer(data, dtype=">f4", offset=4).astype(np.float32)


class _HalfLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return np.frombuffer(data, dtype=">f2", offset=4).astype(np.float16)


class _SparseLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        dim, count, _ = np.frombuffer(data, dtype=">i4", count=3).tolist()
        indices = np.frombuffer(data, dtype=">i4", count=count, offset=12).astype(np.int32)
        values = np.frombuffer(data, dtype=">f4", count=count, offset=12 + 4 * count).astype(np.float32)
        return SparseVector(dim, indices, values)


_LOADERS: dict[str, type[Loader]] = {
    "vector": _VectorLoader,
    "ruvector": _VectorLoader,
    "halfvec": _HalfLoader,
    "sparsevec": _SparseLoader,
}


def _infinite(load: Callable[[Any, Buffer], Any], lowest: bytes, highest: bytes) -> Callable[[Any, Buffer], Any]:
    def wrapped(self: Any, data: Buffer) -> Any:
        raw = bytes(data)
        return "-infinity" if raw == lowest else "infinity" if raw == highest else load(self, data)

    return wrapped


def _bounds(size: int) -> tuple[bytes, bytes]:
    """PostgreSQL's binary infinities: the lowest and the highest integer of that many bytes."""
    return b"\x80" + bytes(size - 1), b"\x7f" + b"\xff" * (size - 1)


class _DateLoader(DateBinaryLoader):
    load = _infinite(DateBinaryLoader.load, *_bounds(4))  # type: ignore[assignment]


class _TimestampLoader(TimestampBinaryLoader):
    load = _infinite(TimestampBinaryLoader.load, *_bounds(8))  # type: ignore[assignment]


class _TimestamptzLoader(TimestamptzBinaryLoader):
    load = _infinite(TimestamptzBinaryLoader.load, *_bounds(8))  # type: ignore[assignment]


def register(connection: psycopg.Connection[TupleRow]) -> None:
    """Teach a new connection the vector types its database has."""
    for oid, name in connection.execute(_TYPES_QUERY, (list(VECTOR_TYPES),)).fetchall():
        connection.adapters.register_loader(int(oid), _LOADERS[name])
    connection.adapters.register_loader("date", _DateLoader)
    connection.adapters.register_loader("timestamp", _TimestampLoader)
    connection.adapters.register_loader("timestamptz", _TimestamptzLoader)


def vector_text(value: Any) -> str:
    """A query vector as the type's text input takes it: nine digits bring every float32 back as it was."""
    if isinstance(value, SparseVector):
        pairs = zip(value.indices.tolist(), value.values.tolist(), strict=True)
        return "{" + ",".join(f"{i + 1}:{v:.9g}" for i, v in pairs) + f"}}/{value.dim}"
    if isinstance(value, str):
        return value
    return "[" + ",".join(f"{v:.9g}" for v in np.asarray(value, dtype=np.float32).tolist()) + "]"
