# SPDX-License-Identifier: PostgreSQL
"""What server tests are written with: a throwaway server, a database on it, and their small conveniences.

Tests import the types from here (`from harness import Database, Server`); the fixtures are in conftest.py.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ruvector_fdw.server import Account, Cluster, Installation
from ruvector_fdw.server.cluster import SUPERUSER

Row = tuple[Any, ...]

# Durability across a power loss is not tested: a killed server's pages are in the kernel's cache.
SETTINGS = {
    "fsync": "off",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "max_wal_senders": "4",
    "wal_level": "replica",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %d ",
}


_INSTALLED: set[Path] = set()


def installations() -> list[Installation]:
    """The servers of RUVECTOR_TEST_PG, oldest first."""
    specs = [spec for spec in os.environ.get("RUVECTOR_TEST_PG", "18").split(",") if spec]
    return sorted((Installation.find(spec) for spec in specs), key=lambda found: found.major)


def _install(installation: Installation) -> None:
    if installation.pg_config not in _INSTALLED:
        installation.ensure_extension()
        installed(installation)


def installed(installation: Installation) -> None:
    """Take the extension's files for those of now: a server is not built for again."""
    _INSTALLED.add(installation.pg_config)


class Database:
    """A database of its own and a connection to it in autocommit mode; everything else is psycopg's."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.dsn = server.dsn(name)
        self.conn = psycopg.connect(self.dsn, autocommit=True)

    def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> psycopg.Cursor[Row]:
        return self.conn.execute(statement, parameters)  # type: ignore[arg-type]

    def rows(self, statement: str, parameters: Sequence[Any] | None = None) -> list[Row]:
        return self.execute(statement, parameters).fetchall()

    def column(self, statement: str, parameters: Sequence[Any] | None = None) -> list[Any]:
        return [row[0] for row in self.rows(statement, parameters)]

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The one column of the one row."""
        [[value]] = self.rows(statement, parameters)
        return value

    def plan(self, statement: str, parameters: Sequence[Any] | None = None, options: str = "COSTS OFF") -> str:
        """The text of EXPLAIN."""
        return "\n".join(self.column(f"EXPLAIN ({options}) {statement}", parameters))

    def connect(self, **options: Any) -> psycopg.Connection[Row]:
        """Another connection to the same database; the caller closes it."""
        return psycopg.connect(self.dsn, autocommit=True, **options)

    def reconnect(self) -> None:
        """After the server was restarted or killed."""
        self.conn.close()
        self.conn = psycopg.connect(self.dsn, autocommit=True)

    def close(self) -> None:
        self.conn.close()


class Server:
    """A running throwaway cluster; databases are made on it as they are asked for."""

    def __init__(self, installation: Installation, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        _install(installation)
        self.installation = installation
        self.major = installation.major
        self.folder = folder
        self.cluster = Cluster(installation, folder / "data")
        self.cluster.start({**SETTINGS, **(settings or {})})
        self._numbers = itertools.count(1)

    @property
    def newest(self) -> bool:
        """Whether this is the server that every test runs on."""
        return self.major == max(one.major for one in installations())

    @property
    def account(self) -> Account:
        return self.cluster.account

    @property
    def log(self) -> Path:
        return self.cluster.log

    @property
    def socket_dir(self) -> Path:
        return self.cluster.socket_dir

    def dsn(self, database: str = "postgres") -> str:
        return self.cluster.uri(database)

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """What psql, pg_dump and the like of this server need to find it."""
        return {
            "PATH": f"{self.installation.bindir}:{os.environ['PATH']}",
            "PGHOST": str(self.socket_dir),
            "PGUSER": SUPERUSER,
            "PGDATABASE": database,
        }

    def has(self, extension: str) -> bool:
        return self.installation.has_extension(extension)

    def create(self, extensions: Sequence[str] = ("ruvector",), template: str | None = None) -> str:
        """Make a fresh database with these extensions, and return its name."""
        name = f"t{next(self._numbers)}"
        with psycopg.connect(self.dsn(), autocommit=True) as admin:
            source = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + source)
        with psycopg.connect(self.dsn(name), autocommit=True) as conn:
            for extension in extensions:
                conn.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
        return name

    def database(self, extensions: Sequence[str] = ("ruvector",)) -> Database:
        """A fresh database with these extensions and a connection to it; the caller closes it."""
        return Database(self, self.create(extensions))

    def connect(self, extensions: Sequence[str] = ("ruvector",), **options: Any) -> psycopg.Connection[Row]:
        """A connection (autocommit) to a fresh database with these extensions; the caller closes it."""
        return psycopg.connect(self.dsn(self.create(extensions)), autocommit=True, **options)

    def drop(self, name: str) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        self.cluster.start()

    def stop(self, mode: str = "fast") -> None:
        self.cluster.stop(mode)

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Restart; settings, when given, replace those it was started with (the fixtures' own stay)."""
        self.cluster.restart({**SETTINGS, **settings} if settings is not None else None)

    def kill9(self) -> None:
        """SIGKILL to the postmaster and all its processes; start() recovers."""
        self.cluster.kill9()


def test_program(path: str) -> Path:
    """pg_regress or isolationtester: one drives any server. The embedded 18's own pg_regress dies at its start."""
    program = Installation.find("16").pkglibdir / "pgxs/src/test" / path
    assert program.exists(), program
    return program


test_program.__test__ = False  # type: ignore[attr-defined]


def needs_extension(server: Server, name: str) -> None:
    """Skip the test where the server has no such extension (Debian's PostgreSQL often comes without pgvector)."""
    if not server.has(name):
        pytest.skip(f'PostgreSQL {server.major} here has no extension "{name}"')
