# SPDX-License-Identifier: PostgreSQL
"""How values of a remote server become the Python values of `ruvector_fdw.request`, and vectors become parameters.

Vectors cross in binary, in pgvector's wire format: int16 dims, int16 unused, then big-endian float32 (halfvec: half)
elements; sparsevec: int32 dim, nnz, unused, nnz indices from 0, nnz float32. A type is found by name in the schema it
is in, whichever extension it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.rows import TupleRow
from psycopg.types.datetime import (
    DateBinaryLoader,
    TimeBinaryLoader,
    TimestampBinaryLoader,
    TimestamptzBinaryLoader,
)
from psycopg.types.json import set_json_loads

from ruvector_fdw import jsontext
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


# ---- dates that Python's datetime does not have: infinite ones, and years before 1 or after 9999 ---------------------


def _year_text(days: int) -> tuple[str, str]:
    """A day, counted from 2000-01-01, as year-month-day, and the suffix its year needs. Civil from days, in eras of 400
    years that begin on 1 March (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    shifted = days + 730425  # from 0000-03-01
    era, day_of_era = divmod(shifted, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + era * 400 + (month <= 2)
    shown, suffix = (year, "") if year > 0 else (1 - year, " BC")
    return f"{shown:04}-{month:02}-{day:02}", suffix


def _date_text(days: int, zone: str) -> str:
    text, suffix = _year_text(days)
    return text + suffix


def _timestamp_text(microseconds: int, zone: str) -> str:
    days, rest = divmod(microseconds, 86_400_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    text, suffix = _year_text(days)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{text} {hours:02}:{minutes:02}:{seconds % 60:02}.{fraction:06}{zone}{suffix}"


def _whole(
    load: Callable[[Any, Buffer], Any], as_text: Callable[[int, str], str], size: int, zone: str = ""
) -> Callable[[Any, Buffer], Any]:
    """A loader for every value of the type; those that are no `datetime` become text, as from our own host."""
    highest = (1 << (8 * size - 1)) - 1

    def wrapped(self: Any, data: Buffer) -> Any:
        try:
            return load(self, data)
        except psycopg.DataError:
            number = int.from_bytes(bytes(data), "big", signed=True)
            if number in (highest, -highest - 1):
                return "infinity" if number > 0 else "-infinity"
            return as_text(number, zone)

    return wrapped


class _DateLoader(DateBinaryLoader):
    load = _whole(DateBinaryLoader.load, _date_text, 4)  # type: ignore[assignment]


class _TimestampLoader(TimestampBinaryLoader):
    load = _whole(TimestampBinaryLoader.load, _timestamp_text, 8)  # type: ignore[assignment]


class _TimestamptzLoader(TimestamptzBinaryLoader):
    load = _whole(TimestamptzBinaryLoader.load, _timestamp_text, 8, "+00")  # type: ignore[assignment]


class _TimeLoader(TimeBinaryLoader):
    # the one time that datetime does not have
    load = _whole(TimeBinaryLoader.load, lambda number, zone: "24:00:00", 8)  # type: ignore[assignment]


def register(connection: psycopg.Connection[TupleRow]) -> None:
    """Teach a new connection the vector types its database has."""
    for oid, name in connection.execute(_TYPES_QUERY, (list(VECTOR_TYPES),)).fetchall():
        connection.adapters.register_loader(int(oid), _LOADERS[name])
    connection.adapters.register_loader("date", _DateLoader)
    connection.adapters.register_loader("timestamp", _TimestampLoader)
    connection.adapters.register_loader("timestamptz", _TimestamptzLoader)
    connection.adapters.register_loader("time", _TimeLoader)
    set_json_loads(jsontext.loads, connection)


def vector_text(value: Any) -> str:
    """A query vector as the type's text input takes it: nine digits bring every float32 back as it was."""
    if isinstance(value, SparseVector):
        pairs = zip(value.indices.tolist(), value.values.tolist(), strict=True)
        return "{" + ",".join(f"{i + 1}:{v:.9g}" for i, v in pairs) + f"}}/{value.dim}"
    if isinstance(value, str):
        return value
    return "[" + ",".join(f"{v:.9g}" for v in np.asarray(value, dtype=np.float32).tolist()) + "]"
