# SPDX-License-Identifier: PostgreSQL
"""Runs SQL and shows it: each statement is printed as psql would take it, then what it returned.

A statement shows `[...]` where the vector of the first query goes, as the guide does; it runs with the vector's text in
that place. The vector is the only thing that is shortened.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import psycopg

_PLACE = "[...]"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Aligned as psql does it: numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    right = [all(_numeric(row[i]) for row in rows) and bool(rows) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        aligned = zip(cells, widths, right, strict=True)
        parts = [cell.rjust(width) if flag else cell.ljust(width) for cell, width, flag in aligned]
        return (" " + " | ".join(parts)).rstrip()

    return "\n".join([line(header), "-" + "-+-".join("-" * width for width in widths), *map(line, rows)])


def _numeric(cell: str) -> bool:
    return re.fullmatch(r"-?[\d,]*\.?\d*( (ms|s|MB))?x?", cell) is not None


class Script:
    """A connection that shows what it does."""

    def __init__(self, conn: psycopg.Connection[Any], literal: str) -> None:
        """:param literal: the text of the query vector, without quotes."""
        self.conn = conn
        self._literal = literal

    def say(self, text: str) -> None:
        """A heading."""
        print(f"\n-- {text}", flush=True)

    def show(self, statement: str) -> str:
        """Print a statement and return what is to be run."""
        shown = textwrap.dedent(statement).strip()
        print("\n" + textwrap.indent(shown, "    ") + ";", flush=True)
        return shown.replace(_PLACE, self._literal)

    def run(self, statement: str) -> None:
        """Show and execute; nothing is returned."""
        self.conn.execute(self.show(statement).encode())

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Show, execute, print the rows as a table, and return them."""
        cursor = self.conn.execute(self.show(statement).encode())
        rows = cursor.fetchall()
        header = [column.name for column in cursor.description or ()]
        print(table(header, [[_cell(value) for value in row] for row in rows]))
        print(f"({len(rows)} row{'' if len(rows) == 1 else 's'})", flush=True)
        return rows

    def explain(self, query: str) -> str:
        """Show, execute and print EXPLAIN; return its text with the vector shortened again."""
        lines = [str(row[0]) for row in self.conn.execute(self.show(f"EXPLAIN (COSTS OFF) {query}").encode())]
        # The server prints the shortest decimals of each float, not the text it was given; a foreign scan some of them.
        text = re.sub(r"\[[-+.,\de]{20,}(\]|(?<=\.\.\.))", _PLACE, "\n".join(lines))
        print(textwrap.indent(text, " "), flush=True)
        return text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
