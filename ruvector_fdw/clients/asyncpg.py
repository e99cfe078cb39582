# SPDX-License-Identifier: PostgreSQL
"""asyncpg: vectors go out and come in as values, in binary. For a pool: ``create_pool(..., init=register_ruvector)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncpg import Connection

from .types import QUERY, by_name
from .values import HalfVector, SparseVector, Vector

_CLASSES: dict[str, Any] = {"ruvector": Vector, "halfvec": HalfVector, "sparsevec": SparseVector}


async def register_ruvector(connection: Connection) -> None:
    """Register ruvector, halfvec and sparsevec; schemas are found, not asked for.

    :raise TypeNotFoundError: extension ruvector is not installed.
    """
    found = by_name(await connection.fetch(QUERY))
    for name, value in _CLASSES.items():
        if name in found:
            await connection.set_type_codec(
                name, schema=found[name].schema, encoder=_encoder(value), decoder=value.from_binary, format="binary"
            )


def _encoder(value: Any) -> Callable[[Any], bytes]:
    """Values of the class as they are; lists and arrays through it."""

    def encode(given: Any) -> bytes:
        made = given if isinstance(given, value) else value(given)
        return bytes(made.to_binary())

    return encode
