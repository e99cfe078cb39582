# SPDX-License-Identifier: PostgreSQL
"""Publications that name a table follow its name: at the exchange the table that goes leaves them, the one that comes
enters them with the same columns and row filter.

A subscriber knows tables by name and takes their values as text (or in a binary format that is the same for both
types), so it goes on without REFRESH PUBLICATION. Publications of all tables or of a schema would publish the double
as well; dependents.py finds those and stops the strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from . import catalog
from .names import quote

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_MEMBERS: LiteralString = """
SELECT p.pubname AS publication, r.prrelid::int8 AS table, NULL::text[] AS columns, NULL::text AS filter
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = ANY (%(tables)s::oid[])
ORDER BY 1, 2"""
# Columns and filters since 15.
_MEMBERS_15: LiteralString = """
SELECT p.pubname AS publication, r.prrelid::int8 AS table, pg_get_expr(r.prqual, r.prrelid) AS filter,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) AS columns
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = ANY (%(tables)s::oid[])
ORDER BY 1, 2"""


def exchange(conn: Connection[Any], names: Mapping[int, tuple[str, str]]) -> list[str]:
    """Statements for after the renames. ``names``: serving table's oid to (name it will have, name of its successor)."""
    query = _MEMBERS_15 if conn.info.server_version >= 150000 else _MEMBERS
    work = []
    with catalog.snapshot(conn):
        found = catalog.rows(conn, query, tables=list(names))
    for member in found:
        leaving, coming = names[member["table"]]
        publication = f"ALTER PUBLICATION {quote(member['publication'])}"
        columns = f" ({', '.join(map(quote, member['columns']))})" if member["columns"] else ""
        where = f" WHERE ({member['filter']})" if member["filter"] else ""
        work.append(f"{publication} DROP TABLE {leaving}")
        work.append(f"{publication} ADD TABLE {coming}{columns}{where}")
    return work
