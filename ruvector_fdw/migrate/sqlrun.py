# SPDX-License-Identifier: PostgreSQL
"""The only module that changes a database: runs SQL, prints it, retries what only lacks a lock, measures how long
locks were held.

A :class:`Session` owns one autocommit connection. Everything it runs is printed first as SQL that could be pasted
into psql (connection strings masked); with ``dry_run`` it is only printed. Locks: DDL runs under a short
``lock_timeout`` and is retried with growing pauses, so that a waiting ALTER TABLE never makes the application queue
behind it for longer than that.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import Connection, conninfo, errors, sql

from .errors import BusyError, MigrateError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

T = TypeVar("T")
LOCK_TIMEOUT_MS_DEFAULT = 500
LOCK_RETRIES_DEFAULT = 120
_TELL_AFTER = (5, 20, 60)
# What a role's or a database's own settings must not change under the tool: how values print (COPY and keys cross servers
# and sessions as text), that batches see what has just been committed (sync.py), that long statements may be long.
_SETTINGS = (
    "SET client_min_messages = warning",
    "SET client_encoding = 'UTF8'",
    "SET datestyle = 'ISO, MDY'",
    "SET intervalstyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",
    "SET standard_conforming_strings = on",
    "SET quote_all_identifiers = off",
    "SET default_transaction_isolation = 'read committed'",
    "SET default_transaction_read_only = off",
    "SET default_transaction_deferrable = off",
    "SET default_table_access_method = 'heap'",
    "SET default_tablespace = ''",
    "SET statement_timeout = 0",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
)
_SECRET = re.compile(r"(password|passfile|sslpassword)\s*=\s*('(?:[^'\\]|\\.|'')*'|[^\s'\"]+)", re.IGNORECASE)
_URI_SECRET = re.compile(r"(postgres(?:ql)?://[^:/@\s]*):[^@\s]*@")
_TRANSIENT = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


def mask(text: str) -> str:
    """``text`` with every password in it replaced by asterisks."""
    return _URI_SECRET.sub(r"\1:****@", _SECRET.sub(r"\1=****", text))


def statement(text: str) -> sql.SQL:
    """SQL that this package composed (identifiers quoted by names.py) as psycopg wants it."""
    return sql.SQL(text)


@dataclass
class Output:
    """Where SQL and remarks go. ``log`` keeps every statement for ``--json``."""

    json: bool = False
    log: list[str] = field(default_factory=list)

    def sql(self, text: str) -> None:
        shown = mask(text).rstrip().rstrip(";") + ";"
        self.log.append(shown)
        if not self.json:
            print(shown, flush=True)

    def say(self, text: str) -> None:
        if not self.json:
            print("-- " + text.replace("\n", "\n-- "), flush=True)

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr, flush=True)


class Session:
    """One connection and how SQL is run on it. Not to be shared between threads."""

    def __init__(
        self,
        dsn: str,
        output: Output,
        *,
        dry_run: bool = False,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS_DEFAULT,
        lock_retries: int = LOCK_RETRIES_DEFAULT,
    ) -> None:
        self.dsn = dsn
        self.output = output
        self.dry_run = dry_run
        self.lock_timeout_ms = lock_timeout_ms
        self.lock_retries = lock_retries
        self.longest_lock_ms = 0.0
        self.conn = connect(dsn)

    def close(self) -> None:
        self.conn.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, text: LiteralString, params: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query that changes nothing; not printed."""
        return self.conn.execute(text, params).fetchall()

    def scalar(self, text: LiteralString, params: Sequence[Any] | None = None) -> Any:
        row = self.conn.execute(text, params).fetchone()
        return None if row is None else row[0]

    def run(self, text: str, *, show: bool = True) -> None:
        """One statement of its own transaction (or outside any, as CONCURRENTLY wants it), without a lock timeout."""
        if show:
            self.output.sql(text)
        if not self.dry_run:
            self.conn.execute(statement(text))

    def transaction(
        self, statements: Iterable[str], *, also: Callable[[], None] | None = None, show: bool = True
    ) -> float:
        """All of ``statements`` in one transaction under the lock timeout, retried while locks are wanting.

        :param also: run inside the same transaction after them (to write down that they are done).
        :return: milliseconds from asking for the first lock to the commit: nobody was kept waiting for longer.
        :raise BusyError: the retries are used up; nothing was changed.
        """
        work = list(statements)
        if show and work:
            for text in ["BEGIN", f"SET LOCAL lock_timeout = {self.lock_timeout_ms}", *work, "COMMIT"]:
                self.output.sql(text)
        if self.dry_run:
            return 0.0

        def attempt() -> None:
            with self.conn.transaction():
                self.conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(self.lock_timeout_ms),))
                for text in work:
                    self.conn.execute(statement(text))
                if also is not None:
                    also()

        def measured() -> float:
            started = time.monotonic()
            try:
                attempt()
            finally:
                held = (time.monotonic() - started) * 1000 if work else 0.0
                self.longest_lock_ms = max(self.longest_lock_ms, held)
            return held

        return self.retry(measured)

    def retry(self, attempt: Callable[[], T]) -> T:
        """``attempt``, again while it fails for want of a lock. Pauses grow to one second, with jitter."""
        for count in range(self.lock_retries):
            try:
                return attempt()
            except _TRANSIENT as ex:
                if count == self.lock_retries - 1:
                    raise BusyError(
                        f"could not get a lock in {self.lock_timeout_ms} ms, {self.lock_retries} times: {ex}".rstrip(),
                        hint="Look for long transactions in pg_stat_activity, or raise --lock-timeout.",
                    ) from ex
                if count in _TELL_AFTER:
                    self.output.warn(f"still waiting after {count + 1} attempts: {str(ex).splitlines()[0]}")
                time.sleep(min(1.0, 0.05 * 2 ** min(count, 5)) * (0.5 + random.random()))
        raise AssertionError("unreachable")


def connect(dsn: str) -> Connection[Any]:
    """An autocommit connection that names itself; errors never hold the password.

    :raise MigrateError: the server cannot be reached, or is older than 14.
    """
    try:
        conn = psycopg.connect(
            dsn, autocommit=True, application_name="ruvector migrate", connect_timeout=15, prepare_threshold=None
        )
    except psycopg.Error as ex:
        hint = None if dsn else "Name the database: --dsn, RUVECTOR_DSN, or libpq's PGHOST, PGDATABASE and so on."
        raise MigrateError(f"could not connect to {describe(dsn)}: {mask(str(ex)).strip()}", hint=hint) from ex
    if conn.info.server_version < 140000:
        version = conn.info.parameter_status("server_version")
        conn.close()
        raise MigrateError(f"PostgreSQL {version} is not supported", hint="Supported are PostgreSQL 14 to 18.")
    conn.execute(sql.SQL("; ").join(sql.SQL(text) for text in _SETTINGS))
    if conn.info.server_version >= 170000:
        conn.execute("SET transaction_timeout = 0")
    return conn


def describe(dsn: str) -> str:
    """Where ``dsn`` leads, without any secret: ``host:port/dbname``."""
    try:
        parts = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        return "the given connection string"
    host, port, name = parts.get("host") or "local", parts.get("port") or "5432", parts.get("dbname") or ""
    return f"{host}:{port}/{name}"
