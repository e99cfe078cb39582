# SPDX-License-Identifier: PostgreSQL
"""psycopg2: vectors go out and come in as values. What goes out is adapted globally, as psycopg2 has it."""

from __future__ import annotations

from pgvector.psycopg2.halfvec import register_halfvec_info
from pgvector.psycopg2.sparsevec import register_sparsevec_info
from pgvector.psycopg2.vector import register_vector_info
from psycopg2.extensions import connection, cursor

from .types import QUERY, by_name

_REGISTER = {"ruvector": register_vector_info, "halfvec": register_halfvec_info, "sparsevec": register_sparsevec_info}


def register_ruvector(conn_or_curs: connection | cursor, *, globally: bool = False, arrays: bool = True) -> None:
    """Register ruvector, halfvec and sparsevec for a connection, a cursor, or globally.

    :raise TypeNotFoundError: extension ruvector is not installed.
    """
    conn = conn_or_curs if isinstance(conn_or_curs, connection) else conn_or_curs.connection
    with conn.cursor(cursor_factory=cursor) as look:
        look.execute(QUERY)
        found = by_name(look.fetchall())
    for name, register in _REGISTER.items():
        if name in found:
            register(found[name].oid, found[name].array_oid if arrays else None, None if globally else conn_or_curs)
