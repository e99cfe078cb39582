# SPDX-License-Identifier: PostgreSQL
"""Finds our types in a database.

By membership in extension ruvector and not by name: where pgvector is installed too, its ``halfvec`` and ``sparsevec`` may be the
ones that the plain names mean, and ours are in another schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

QUERY = """
SELECT t.typname::text, t.oid::bigint, t.typarray::bigint, n.nspname::text, format_type(t.oid, NULL)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'ruvector' AND t.typname IN ('ruvector', 'halfvec', 'sparsevec')"""


class TypeNotFoundError(LookupError):
    """Extension ruvector is not installed in the database."""

    def __init__(self) -> None:
        super().__init__("ruvector type not found in the database: CREATE EXTENSION ruvector")


class ServerType(NamedTuple):
    """A type of ours in one database; `regtype` is how SQL names it there."""

    name: str
    oid: int
    array_oid: int
    schema: str
    regtype: str


def by_name(rows: Iterable[Any]) -> dict[str, ServerType]:
    """The rows of QUERY by type name.

    :raise TypeNotFoundError: there are none.
    """
    found = {row[0]: ServerType(*row) for row in rows}
    if "ruvector" not in found:
        raise TypeNotFoundError
    return found
