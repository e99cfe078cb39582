# SPDX-License-Identifier: PostgreSQL
"""The migration guide as test_guide.py walks through it: its statements in order, and a database in the middle of it.

guide.sql has the guide's SQL word for word. A test takes the next section and executes each of its statements; a section
that is left out, taken out of order or not executed to its end fails the next one. What the guide leaves open is filled
in just before a statement is sent: a real vector for ``[...]``, ``query`` and ``query_vector``, an index for
``CREATE INDEX ...``.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from harness import Server
from psycopg import sql

DIMS = 1536
ROWS = 600
SEED = 20260119
CATEGORIES = ("technology", "science", "art")
DATABASE = "your_database"

VECTORS = np.random.default_rng(SEED).normal(size=(ROWS, DIMS)).astype(np.float32)
VECTORS = (VECTORS * 0.02).astype(np.float32)  # so that the guide's radius of 0.5 divides near from far
QUERY = VECTORS[7] + np.float32(0.001)


def literal(vector: np.ndarray[Any, Any]) -> str:
    """The vector's text form, without the quotes."""
    return "[" + ",".join(repr(float(x)) for x in vector) + "]"


def sections() -> dict[str, list[str]]:
    """The statements of each section of guide.sql, in order; psql's commands count as statements."""
    found: dict[str, list[str]] = {}
    pending = ""
    for line in (Path(__file__).parent / "guide.sql").read_text().splitlines():
        if line.startswith("-- @ "):
            found[line.removeprefix("-- @ ")] = statements = []
        elif line.startswith("\\"):
            statements.append(line)
        elif (code := line.partition("--")[0].rstrip()) or pending:
            pending += line + "\n"
            if code.endswith(";"):
                statements.append(pending)
                pending = ""
    assert not pending, pending
    return found


def fill(statement: str) -> str:
    """A statement of the guide with what it leaves open filled in."""
    vector = f"'{literal(QUERY)}'"
    statement = re.sub(r"<-> (query_vector|query)\b", lambda _: f"<-> {vector}", statement)
    statement = statement.replace("[0.1, 0.2, ...]", "[...]").replace("'[...]'", vector)
    return statement.replace("CREATE INDEX ...", "CREATE INDEX ON items USING ruhnsw (embedding ruvector_l2_ops)")


class Guide:
    """A database in the middle of the guide. `source` is the type of the columns to migrate: pgvector's, where it is."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.cwd = server, folder
        self.has_pgvector = server.has("vector")
        self.source = "vector" if self.has_pgvector else "ruvector"
        self.sections = list(sections().items())
        self.waiting: list[str] = []
        self.section = ""
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        self.conn = psycopg.connect(server.dsn(DATABASE), autocommit=True)
        self._fill_table()

    def _fill_table(self) -> None:
        self.rows(f"CREATE EXTENSION {self.source}")
        self.rows(
            f"""CREATE TABLE items (id int PRIMARY KEY, content text, metadata jsonb, embedding {self.source}({DIMS}),
                created_at timestamp DEFAULT now(), category text)"""
        )
        with (
            self.conn.cursor() as cursor,
            cursor.copy("COPY items (id, content, metadata, embedding, category) FROM STDIN") as copy,
        ):
            for i, vector in enumerate(VECTORS):
                copy.write_row((i, f"row {i}", f'{{"n": {i}}}', literal(vector), CATEGORIES[i % 3]))
        method = "hnsw" if self.has_pgvector else "ruhnsw"
        self.rows(
            f"CREATE INDEX items_hnsw ON items USING {method} (embedding {self.source}_l2_ops) "
            "WITH (m = 16, ef_construction = 64)"
        )
        self.rows("ANALYZE items")

    def take(self, section: str) -> list[str]:
        """The statements of a section, which must be the next one, to be executed one after the other."""
        assert not self.waiting, f"section {self.section!r} was left before: {self.waiting[0]}"
        self.section, self.waiting = self.sections.pop(0)
        assert self.section == section
        return list(self.waiting)

    def _sent(self, statement: str) -> str:
        if self.waiting and statement == self.waiting[0]:
            self.waiting.pop(0)
        else:
            assert statement not in self.waiting, f"before it comes {self.waiting[0]}"
        statement = fill(statement)
        return statement if self.has_pgvector else statement.replace("::vector", "::ruvector")

    def rows(self, statement: str, conn: psycopg.Connection[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement, the guide's next or one between; return its rows ([] when it returns none)."""
        cursor = (conn or self.conn).execute(self._sent(statement))  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str) -> Any:
        """The only column of the only row."""
        [[value]] = self.rows(statement)
        return value

    def plan(self, statement: str) -> str:
        """EXPLAIN's text."""
        return "\n".join(str(row[0]) for row in self.rows(statement))

    def shell(self, script: str, stdin: str | None = None) -> str:
        """Run shell lines of the guide with the server's own programs; return what they print."""
        done = subprocess.run(
            ["bash", "-euc", script], env=self.server.environment(DATABASE), cwd=self.cwd, input=stdin,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def psql(self, statements: Sequence[str]) -> str:
        """Run statements in one psql; return what it prints."""
        script = "\n".join(self._sent(statement) for statement in statements)
        return self.shell("psql -X -v ON_ERROR_STOP=1", script)

    def index(self, table: str, options: str = "") -> None:
        """The index that a section takes for granted."""
        self.rows("DROP INDEX IF EXISTS items_embedding_idx")
        self.rows(f"CREATE INDEX items_embedding_idx ON {table} USING ruhnsw (embedding ruvector_l2_ops) {options}")

    def close(self) -> None:
        self.conn.close()
