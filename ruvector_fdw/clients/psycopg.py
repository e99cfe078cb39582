# SPDX-License-Identifier: PostgreSQL
"""psycopg 3: vectors go out and come in as values, in text and binary, also in COPY and arrays.

A registration makes Vector and numpy arrays go out as ruvector on that connection (or, given ``psycopg.adapters``-like contexts,
wherever those reach); pgvector-python's own registration on the same connection would replace it, and the last one wins.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo

from .types import QUERY, ServerType, by_name
from .values import Bit, HalfVector, SparseVector, Vector

_CLASSES: dict[str, Any] = {"ruvector": Vector, "halfvec": HalfVector, "sparsevec": SparseVector}


def register_ruvector(connection: Connection[Any]) -> None:
    """Register ruvector, halfvec, sparsevec and bit.

    :raise TypeNotFoundError: extension ruvector is not installed.
    """
    found = by_name(connection.cursor().execute(QUERY).fetchall())
    _register(connection, found, TypeInfo.fetch(connection, "bit"))


async def register_ruvector_async(connection: AsyncConnection[Any]) -> None:
    """The same on an asynchronous connection."""
    cursor = await connection.cursor().execute(QUERY)
    found = by_name(await cursor.fetchall())
    _register(connection, found, await TypeInfo.fetch(connection, "bit"))


def _register(context: Any, found: dict[str, ServerType], bit: TypeInfo | None) -> None:
    for name, value in _CLASSES.items():
        if name in found:
            t = found[name]
            arrays = ("numpy.ndarray",) if value is Vector else ()
            _register_type(context, TypeInfo(t.name, t.oid, t.array_oid, regtype=t.regtype), value, arrays)
    if bit is not None:
        _register_type(context, bit, Bit, ())


def _register_type(context: Any, info: TypeInfo, value: Any, others: tuple[str, ...]) -> None:
    """others: more classes, by name, whose objects go out as this type."""
    info.register(context)
    for dumper in (_dumper(value, info.oid, Format.TEXT), _dumper(value, info.oid, Format.BINARY)):
        for kind in (value, *others):
            context.adapters.register_dumper(kind, dumper)
    for loader in (_loader(value, Format.TEXT), _loader(value, Format.BINARY)):
        context.adapters.register_loader(info.oid, loader)


def _dumper(value: Any, type_oid: int, wire_format: Format) -> type[Dumper]:
    class ValueDumper(Dumper):
        format = wire_format
        oid = type_oid

        def dump(self, obj: Any) -> Buffer | None:
            made = obj if isinstance(obj, value) else value(obj)
            return bytes(made.to_binary()) if self.format == Format.BINARY else str(made.to_text()).encode()

    return ValueDumper


def _loader(value: Any, wire_format: Format) -> type[Loader]:
    class ValueLoader(Loader):
        format = wire_format

        def load(self, data: Buffer) -> Any:
            return value.from_binary(data) if self.format == Format.BINARY else value.from_text(bytes(data).decode())

    return ValueLoader
