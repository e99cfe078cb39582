# SPDX-License-Identifier: PostgreSQL
"""psycopg 3: vectors go out and come in as values, in text and binary, also in COPY and arrays.

A registration makes Vector and numpy arrays go out as ruvector on that connection (or, given ``psycopg.adapters``-like contexts,
wherever those reach); pgvector-python's own registration on the same connection would replace it, and the last one wins.
"""

from __future__ import annotations

from typing import Any

from pgvector.psycopg.bit import register_bit_info
from pgvector.psycopg.halfvec import register_halfvec_info
from pgvector.psycopg.sparsevec import register_sparsevec_info
from pgvector.psycopg.vector import register_vector_info
from psycopg import AsyncConnection, Connection
from psycopg.types import TypeInfo

from .types import QUERY, ServerType, by_name

_REGISTER = {"ruvector": register_vector_info, "halfvec": register_halfvec_info, "sparsevec": register_sparsevec_info}


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
    for name, register in _REGISTER.items():
        if name in found:
            t = found[name]
            register(context, TypeInfo(t.name, t.oid, t.array_oid, regtype=t.regtype))
    register_bit_info(context, bit)
