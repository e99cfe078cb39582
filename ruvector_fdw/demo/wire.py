# SPDX-License-Identifier: PostgreSQL
"""Vectors in PostgreSQL's binary protocol, the same bytes for pgvector's `vector` and for `ruvector`.

A value is int16 dims, int16 unused (0), then float4s (`halfvec`: float2s), all big-endian. Sent so, a query vector costs
both systems the same and neither's text parser is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo

from .vectors import Floats

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_CHUNK_ROWS = 2000


class Parameter:
    """A vector as bytes; a subclass for each type of each connection says which type."""

    __slots__ = ("data",)
    element = ">f4"

    def __init__(self, vector: Floats) -> None:
        self.data = np.array([len(vector), 0], dtype=">i2").tobytes() + vector.astype(self.element).tobytes()


class HalfParameter(Parameter):
    """The same for `halfvec`."""

    __slots__ = ()
    element = ">f2"


def parameter_type(conn: psycopg.Connection[Any], type_name: str) -> Callable[[Floats], Parameter]:
    """A class whose values `conn` sends as `type_name`."""
    info = TypeInfo.fetch(conn, type_name)
    if info is None:
        raise LookupError(f'type "{type_name}" does not exist')
    type_oid = info.oid
    base = HalfParameter if type_name.endswith("halfvec") else Parameter
    kind = type(f"{type_name.title()}Parameter", (base,), {"__slots__": ()})

    class ParameterDumper(Dumper):
        format = Format.BINARY
        oid = type_oid

        def dump(self, obj: Parameter) -> Buffer | None:
            return obj.data

    conn.adapters.register_dumper(kind, ParameterDumper)
    return kind


def copy_stream(base: Floats, text_of_row: Callable[[int], str], first_id: int = 0) -> Iterator[tuple[int, bytes]]:
    """(rows, bytes) of COPY … (id, content, embedding) FROM STDIN (FORMAT binary).

    :param text_of_row: of equal length for every row, so that a chunk is one array.
    """
    dims = base.shape[1]
    width = len(text_of_row(first_id).encode())
    row = np.dtype(
        [
            ("fields", ">i2"),
            *(("id_size", ">i4"), ("id", ">i4")),
            *(("content_size", ">i4"), ("content", f"S{width}")),
            *(("size", ">i4"), ("dims", ">i2"), ("unused", ">i2"), ("embedding", ">f4", (dims,))),
        ]
    )
    yield 0, _COPY_HEADER
    for start in range(0, len(base), _CHUNK_ROWS):
        part = base[start : start + _CHUNK_ROWS]
        rows = np.zeros(len(part), row)
        ids = np.arange(first_id + start, first_id + start + len(part))
        rows["fields"], rows["id_size"], rows["content_size"] = 3, 4, width
        rows["id"], rows["content"] = ids, [text_of_row(int(number)).encode() for number in ids]
        rows["size"], rows["dims"], rows["embedding"] = 4 + 4 * dims, dims, part
        yield len(part), rows.tobytes()
    yield 0, _COPY_TRAILER
