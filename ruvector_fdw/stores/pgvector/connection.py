# SPDX-License-Identifier: PostgreSQL
"""A connection to a remote PostgreSQL, one for each set of connection options and process, closed with its last table.

The session is made like postgres_fdw's: fixed formats, and a search_path of pg_catalog alone, so that every name in
the SQL sent is qualified. Waiting for the server is done in steps, between which a cancelled local query is noticed:
the remote query is then cancelled too. No password appears in a message: libpq's do not carry it.

Who is no superuser here must give a password, and the remote server must have asked for it: otherwise it would be the
account of this server's process that the remote lets in (postgres_fdw's rule).
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from ruvector_fdw import host
from ruvector_fdw.errors import OptionError, RemoteError
from ruvector_fdw.stores.pgvector import loaders
from ruvector_fdw.stores.pgvector.deparse import Fragment

CONNECTION_OPTIONS = frozenset(
    {
        "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "gssencmode",
        "gsslib", "host", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "krbsrvname", "load_balance_hosts", "options", "passfile", "password", "port",
        "require_auth", "requirepeer", "service", "ssl_max_protocol_version", "ssl_min_protocol_version",
        "sslcert", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation",
        "sslpassword", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout", "user",
    }
)  # fmt: skip
_SESSION = (
    "SET search_path = pg_catalog",
    "SET timezone = 'UTC'",
    "SET datestyle = ISO",
    "SET intervalstyle = postgres",
    "SET extra_float_digits = 3",
)
_STEP_S = 0.05
_Result = TypeVar("_Result")


class _Connection(psycopg.Connection[TupleRow]):
    """Waits in short steps, and asks in between whether the local query was cancelled."""

    def wait(self, gen: Generator[Any, Any, _Result], *unused: Any, **ignored: Any) -> _Result:
        return super().wait(_interruptible(gen), interval=_STEP_S)


def _interruptible(gen: Generator[Any, Any, _Result]) -> Generator[Any, Any, _Result]:
    """psycopg's waiting sends a generator the readiness of the socket, 0 after each interval without any."""
    try:
        asked = next(gen)
        while True:
            ready = yield asked
            if not ready:
                host.check_interrupts()
            asked = gen.send(ready)
    except StopIteration as stop:
        result: _Result = stop.value
        return result


class Remote:
    """One remote session; see the head of this file."""

    _known: ClassVar[weakref.WeakValueDictionary[tuple[int, bool, frozenset[tuple[str, str]]], Remote]] = (
        weakref.WeakValueDictionary()
    )

    def __init__(self, options: Mapping[str, str], superuser: bool = True) -> None:
        self._options = {k: v for k, v in options.items() if k in CONNECTION_OPTIONS}
        self._superuser = superuser
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._in_transaction = False
        self._cursors = 0
        self.keeps_looking = False
        """Whether pgvector's index scans go on when a filter or a large limit has used up their first candidates."""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Remote:
        """The session for these options, connected when it is first used.

        :raise OptionError: a password is needed, and there is none.
        """
        superuser = host.is_superuser()
        if not superuser and not options.get("password"):
            raise OptionError(
                "password is required",
                detail="Non-superusers must give a password in the user mapping.",
                sqlstate="2F003",
            )
        key = (os.getpid(), superuser, frozenset((k, v) for k, v in options.items() if k in CONNECTION_OPTIONS))
        return cls._known.setdefault(key, cls(options, superuser))

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def connection(self) -> psycopg.Connection[TupleRow]:
        """:raise RemoteError: the server cannot be reached, or refuses."""
        if self._connection is not None and (self._connection.closed or self._connection.broken):
            self._connection = None
            if self._in_transaction:
                self._in_transaction = False
                raise RemoteError("the connection to the remote server was lost", sqlstate="08006")
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[TupleRow]:
        parameters: dict[str, Any] = {"application_name": "ruvector_fdw", **self._options, "client_encoding": "UTF8"}
        made: psycopg.Connection[TupleRow] | None = None
        try:
            made = _Connection.connect("", autocommit=True, prepare_threshold=None, **parameters)
            if not self._superuser and not made.pgconn.used_password:
                raise OptionError(
                    "password is required",
                    detail="Non-superusers cannot connect if the server does not request a password.",
                    hint="The remote server's authentication method must be changed.",
                    sqlstate="2F003",
                )
            # Raw cursors take $1 for a parameter: in the usual style a % in a quoted name would be one.
            made.cursor_factory = psycopg.RawCursor
            made.server_cursor_factory = psycopg.RawServerCursor
            for statement in _SESSION:
                made.execute(statement.encode())
            loaders.register(made)
            self.keeps_looking = _iterate(made, self._options.get("options", ""))
        except BaseException as ex:
            if made is not None:
                made.close()
            if not isinstance(ex, psycopg.Error):
                raise
            name = self._options.get("dbname", "")
            raise RemoteError(
                f'could not connect to remote database "{name}"', detail=_line(ex), sqlstate="08001"
            ) from ex
        return made

    # ---- queries ----------------------------------------------------------------------------------------------

    def fetch(self, statement: sql.Composed, values: Sequence[Any] = ()) -> list[TupleRow]:
        """All rows of a small query, as text protocol values."""
        connection = self.connection()
        with self._translated(connection):
            return connection.execute(statement, values).fetchall()

    def once(self, statement: Fragment) -> Generator[list[TupleRow], None, None]:
        """All rows in one round trip."""
        connection = self.connection()
        with self._translated(connection), connection.cursor(binary=True, row_factory=tuple_row) as cursor:
            rows = cursor.execute(statement.sql, statement.values).fetchall()
        if rows:
            yield rows

    def cursor(self, statement: Fragment, first: int, size: int) -> Generator[list[TupleRow], None, None]:
        """Rows in runs of `first`, then of at most `size`, by a cursor on the server."""
        connection = self.connection()
        own = not self._in_transaction
        self._cursors += 1
        try:
            with self._translated(connection):
                if own:
                    self.begin()
                cursor = connection.cursor(f"ruvector_{self._cursors}", row_factory=tuple_row)
            try:
                with self._translated(connection):
                    cursor.execute(statement.sql, statement.values, binary=True)
                fetch = first
                while True:
                    with self._translated(connection):
                        rows = cursor.fetchmany(fetch)
                    if not rows:
                        return
                    yield rows
                    fetch = min(fetch * 4, size)
            finally:
                with self._translated(connection):
                    cursor.close()
        finally:
            if own:
                self.end()

    # ---- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Fix one snapshot until `end`. Again while it is fixed: nothing."""
        connection = self.connection()
        if not self._in_transaction:
            with self._translated(connection):
                connection.execute("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._in_transaction = True

    def end(self) -> None:
        """Give the snapshot up. Nothing was changed there, so that nothing can be lost: an error closes the session."""
        connection, was = self._connection, self._in_transaction
        self._in_transaction = False
        if connection is not None and was:
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                connection.close()

    def savepoint(self, level: int) -> None:
        self._control("SAVEPOINT", level)

    def release(self, level: int) -> None:
        self._control("RELEASE SAVEPOINT", level)

    def rollback_to(self, level: int) -> None:
        self._control("ROLLBACK TO SAVEPOINT", level)
        self._control("RELEASE SAVEPOINT", level)

    def _control(self, word: str, level: int) -> None:
        if self._in_transaction and self._connection is not None and not self._connection.closed:
            with self._translated(self._connection):
                self._connection.execute(f"{word} s{int(level)}".encode())

    def _translated(self, connection: psycopg.Connection[TupleRow]) -> _Translated:
        return _Translated(connection)


def _iterate(connection: psycopg.Connection[TupleRow], chosen: str) -> bool:
    """Turn on iterative index scans, which pgvector has since 0.8, unless the connection options say otherwise."""
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    version = found[0].split(".") if found is not None else ["0", "0"]
    if (int(version[0]), int(version[1])) < (0, 8):
        return False
    if "iterative_scan" not in chosen:
        connection.execute("SET hnsw.iterative_scan = strict_order")
        connection.execute("SET ivfflat.iterative_scan = relaxed_order")
    return True


class _Translated:
    """Turns psycopg's errors into ours with the remote's SQLSTATE; on anything else stops the remote query."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, ex: BaseException | None, trace: Any) -> None:
        if ex is None:
            return
        if isinstance(ex, psycopg.Error):
            raise RemoteError(
                f"remote server: {_line(ex)}",
                detail=ex.diag.message_detail,
                hint=ex.diag.message_hint,
                sqlstate=ex.sqlstate or "08006",
            ) from ex
        if not isinstance(ex, GeneratorExit):
            # A query may still run there. The protocol is in the middle of something: the session cannot be kept.
            try:
                self._connection.cancel_safe(timeout=1.0)
            finally:
                self._connection.close()


def _line(ex: psycopg.Error) -> str:
    return (ex.diag.message_primary or str(ex)).strip().splitlines()[0] if str(ex) else type(ex).__name__
