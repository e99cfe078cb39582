# SPDX-License-Identifier: PostgreSQL
"""psycopg2: vectors go out and come in as values. What goes out is adapted globally, as psycopg2 has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from psycopg2.extensions import (
    QuotedString,
    connection,
    cursor,
    new_array_type,
    new_type,
    register_adapter,
    register_type,
)

from .types import QUERY, by_name
from .values import HalfVector, SparseVector, Vector

_CLASSES: dict[str, Any] = {"ruvector": Vector, "halfvec": HalfVector, "sparsevec": SparseVector}


def register_ruvector(conn_or_curs: connection | cursor, *, globally: bool = False, arrays: bool = True) -> None:
    """Register ruvector, halfvec and sparsevec for a connection, a cursor, or globally.

    :raise TypeNotFoundError: extension ruvector is not installed.
    """
    conn = conn_or_curs if isinstance(conn_or_curs, connection) else conn_or_curs.connection
    scope = None if globally else conn_or_curs
    with conn.cursor(cursor_factory=cursor) as look:
        look.execute(QUERY)
        found = by_name(look.fetchall())
    for name, value in _CLASSES.items():
        register_adapter(value, lambda given: QuotedString(given.to_text()))
        if name in found:
            one = new_type((found[name].oid,), name.upper(), _reader(value))
            register_type(one, scope)
            if arrays:
                register_type(new_array_type((found[name].array_oid,), f"{name.upper()}ARRAY", one), scope)
    register_adapter(np.ndarray, lambda given: QuotedString(Vector(given).to_text()))


def _reader(value: Any) -> Any:
    return lambda text, _: None if text is None else value.from_text(text)
