# SPDX-License-Identifier: PostgreSQL
"""A database full of pgvector, and the `ruvector` command on it.

`world`    a fresh database made by world.sql on `server` (skipped where the server has no pgvector)
`corners`  the same with corners.sql
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import Database, Server, needs_extension

HERE = Path(__file__).parent
ROLES = ("ruvector_reader", "ruvector_writer")
MAIN = "from ruvector_fdw.cli import main; main()"


class World(Database):
    """A database, and the command line on it."""

    def environment(self) -> dict[str, str]:
        return {**os.environ, "RUVECTOR_DSN": self.dsn}

    def ruvector(self, *arguments: str, code: int = 0) -> str:
        """Run `ruvector …`; what it printed on stdout. `code`: the exit status that is expected."""
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments],
            env=self.environment(), capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, f"ruvector {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def ruvector_json(self, *arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments, "--json"],
            env=self.environment(), capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        """`ruvector …` in the background, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def phase(self) -> str:
        return str(self.value("SELECT phase FROM ruvector_migration.run ORDER BY id DESC LIMIT 1"))

    def schema(self) -> str:
        """pg_dump of the schema, without what a dump says about itself and without the tool's own schema."""
        program = self.server.installation.program("pg_dump")
        text = subprocess.run(
            [program, "-s", "-N", "ruvector_migration", "-d", self.dsn], capture_output=True, text=True, check=True
        ).stdout
        return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def make_roles(server: Server) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for role in ROLES:
            if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                admin.execute(f"CREATE ROLE {role}")  # type: ignore[arg-type]


def fill(server: Server, name: str, *files: str) -> None:
    """Run SQL files (default: world.sql) in database ``name``."""
    make_roles(server)
    with psycopg.connect(server.dsn(name), autocommit=True) as conn:
        for file in files or ("world.sql",):
            conn.execute((HERE / file).read_bytes())


@pytest.fixture
def new_world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(server: Server, *files: str, extensions: Sequence[str] = ("vector",)) -> World:
        needs_extension(server, "vector")
        name = server.create(extensions)
        fill(server, name, *files)
        made.append(World(server, name))
        return made[-1]

    yield make
    for world in made:
        world.close()
        if world.server.cluster.pid() is not None:
            world.server.drop(world.name)


@pytest.fixture
def world(server: Server, new_world: Callable[..., World]) -> World:
    return new_world(server)


@pytest.fixture
def corners(server: Server, new_world: Callable[..., World]) -> World:
    """corners.sql's database, with ruvector."""
    made = new_world(server, "corners.sql")
    made.execute("CREATE EXTENSION ruvector")
    return made
