# SPDX-License-Identifier: PostgreSQL
"""Whether blue and green agree before green takes over: tables and columns, row counts, foreign keys.

Contents are compared by ``validate``; this is what a switch refuses to go on without.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .changelog import Plain
from .errors import DriftError, MigrateError
from .names import quote
from .sqlrun import Session, statement

if TYPE_CHECKING:
    from typing_extensions import LiteralString


def same_counts(blue: Session, green: Session, tables: list[Plain]) -> None:
    """Writes are refused while this counts: both servers count at once."""

    def counts(session: Session) -> list[int]:
        texts = [f"SELECT count(*) FROM ONLY {t.qualified}" for t in tables if t.kind == "r"]
        return [int(session.conn.execute(statement(text)).fetchone()[0]) for text in texts]  # type: ignore[index]

    with ThreadPoolExecutor(2) as pool:
        rows = pool.map(counts, (blue, green))
    for table, a, b in zip((t for t in tables if t.kind == "r"), *rows, strict=True):
        if a != b:
            raise MigrateError(
                f"{table.qualified} has {a} rows on blue and {b} on green",
                hint="Give ruvector validate, which says which rows; then ruvector cutover, or ruvector rollback.",
            )


def same_columns(blue: list[Plain], green: list[Plain]) -> None:
    """:raise DriftError: a table was made, dropped or changed on blue since its schema was brought over."""
    there = {t.qualified: set(t.columns) for t in green}
    for table in blue:
        if there.pop(table.qualified, None) != set(table.columns):
            raise DriftError(
                f"{table.qualified} is not the same on blue and green",
                hint="Make the same change on green (and its rows), or run ruvector rollback and begin again.",
            )
    if there:
        raise DriftError(f"{min(there)} is on green only", hint="Drop it there, or run ruvector rollback.")


def validate_keys(blue: Session, green: Session) -> None:
    """Foreign keys came NOT VALID, so that nothing was read while writes were refused; now their rows are checked."""
    query: LiteralString = (
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), k.conname FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE k.contype = 'f' AND NOT k.convalidated AND n.nspname <> 'ruvector_migration' ORDER BY 1, 2"
    )
    left = set(blue.query(query))
    for table, name in (found for found in green.query(query) if found not in left):
        green.transaction([f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote(name)}"])
