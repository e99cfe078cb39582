# SPDX-License-Identifier: PostgreSQL
"""The SQLite database of a store: creating, opening, connections, write transactions, and what its errors mean.

Locks: SQLite has one writer at a time and any number of readers, each with its own snapshot. Waiting for the write
lock is done here, in short steps, so that a cancelled query does not wait. A connection belongs to the process that
made it: after a fork they are left behind and made anew.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from ruvector_fdw import host
from ruvector_fdw.errors import (
    RuvectorError,
    StoreAccessError,
    StoreBusyError,
    StoreCorruptError,
    StoreExistsError,
    StoreFormatError,
    StoreNotFoundError,
)
from ruvector_fdw.stores.store import schema

BUSY_TIMEOUT_S = 60.0
_BUSY_STEP_S = 0.02
# One call of the progress handler in this many steps of SQLite's virtual machine: about a millisecond.
_PROGRESS_STEPS = 20_000
_CACHE_KIB = 65536
_CHECKPOINT_PAGES = 4000
_LOG_BYTES = 64 << 20
# What the texts of SQLite's errors say (3.10 knows no codes), and the SQLSTATE of each.
_REFUSALS = {"is full": "53100", "readonly": "42501", "unable to open": "58030", "disk I/O": "58030"}


class Database:
    """One store's database in one process. Not for use from two threads at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / schema.DATABASE_FILE
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._interruption: BaseException | None = None
        self._log = directory / f"{schema.DATABASE_FILE}-wal"
        self._unlocked: int | None = None
        self._pid = os.getpid()
        self._identity = self._stat()
        with self.translated():
            connection = self._connect()
            try:
                self._check_format(connection)
                self.spec = schema.Spec.from_json(connection.execute("SELECT spec FROM manifest").fetchone()[0])
            except BaseException:
                connection.close()
                raise
            self._readers.append(connection)

    # ---- making and opening -----------------------------------------------------------------------------------

    @classmethod
    def create(cls, directory: Path, spec: schema.Spec, vector_bytes: int) -> Database:
        """Make an empty store. Everything is made beside it and renamed, so that a store is whole or not there."""
        spec.check()
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise StoreExistsError(f'"{directory}" already exists and is not an empty directory')
        temporary = directory.with_name(f".{directory.name}.{os.getpid()}.new")
        try:
            temporary.mkdir(mode=0o750)
            (temporary / schema.SEGMENT_DIRECTORY).mkdir(mode=0o750)
            (temporary / schema.LOCK_FILE).touch(mode=0o640)
            connection = sqlite3.connect(temporary / schema.DATABASE_FILE, isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size = {schema.page_size(vector_bytes)}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN")
                for statement in schema.statements(spec):
                    connection.execute(statement)
                connection.execute("INSERT INTO manifest VALUES (?)", (spec.to_json(),))
                connection.execute("COMMIT")
            finally:
                connection.close()
            temporary.rename(directory)
            sync_directory(directory.parent)
        except FileNotFoundError as ex:
            raise StoreNotFoundError(f'directory "{directory.parent}" does not exist') from ex
        except OSError as ex:
            raise StoreAccessError.of(f'could not create store "{directory}"', ex) from ex
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(directory)

    def _stat(self) -> tuple[int, int]:
        try:
            status = os.stat(self.file)
        except (FileNotFoundError, NotADirectoryError) as ex:
            raise StoreNotFoundError(
                f'store "{self.directory}" does not exist',
                hint='Make one with "ruvector store create" or ruvector_fdw.Store.create.',
            ) from ex
        except OSError as ex:
            raise StoreAccessError.of(f'could not open store "{self.directory}"', ex) from ex
        return status.st_dev, status.st_ino

    def _check_format(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != schema.APPLICATION_ID:
            raise StoreFormatError(f'"{self.directory}" is not a vector store', sqlstate="HV000")
        if version > schema.FORMAT_VERSION:
            raise StoreFormatError(
                f'store "{self.directory}" has format version {version}, newer than {schema.FORMAT_VERSION}',
                hint="Upgrade ruvector_fdw to read it.",
            )

    def _connect(self) -> sqlite3.Connection:
        mode = "rw"
        if not (os.access(self.file, os.W_OK) and os.access(self.directory, os.W_OK)):
            # Where nothing may be written SQLite cannot lock. A log beside the file means that somebody who may is
            # there, and locks for us; without one the file is taken as it is, until that changes (check_alive).
            mode = "ro" if self._log.exists() else "ro&immutable=1"
            self._unlocked = None if mode == "ro" else os.stat(self.file).st_mtime_ns
        connection = sqlite3.connect(
            f"{self.file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=0,
            isolation_level=None,
            cached_statements=256,
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        connection.execute("PRAGMA temp_store = MEMORY")
        if host.in_server():
            connection.set_progress_handler(self._progress, _PROGRESS_STEPS)
        return connection

    def is_at(self, path: str) -> bool:
        """Whether this is the store that a path names now."""
        try:
            status = os.stat(f"{path}/{schema.DATABASE_FILE}")
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    @property
    def locked_for_reading(self) -> bool:
        """Whether SQLite locks the file; if not, it has to be looked at before every use (check_alive)."""
        return self._unlocked is None

    def check_alive(self) -> None:
        """:raise StoreNotFoundError: the directory was removed or replaced since it was opened."""
        if self._pid != os.getpid():
            # The parent's connections must not be closed here: closing would drop the locks it holds.
            self._readers, self._writer, self._pid = [], None, os.getpid()
        if self._unlocked is not None and (self._log.exists() or os.stat(self.file).st_mtime_ns != self._unlocked):
            self.close()
            self._unlocked = None
        if self._stat() != self._identity:
            raise StoreNotFoundError(f'store "{self.directory}" was replaced while it was in use')

    # ---- connections ------------------------------------------------------------------------------------------

    def take_reader(self) -> sqlite3.Connection:
        """A connection for one snapshot; give it back with `return_reader`."""
        return self._readers.pop() if self._readers else self._connect()

    def return_reader(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._readers.append(connection)

    @contextmanager
    def writing(self, durable: bool, patience_s: float = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end, rolled back on an error.

        durable: on disk when this returns, with everything committed before it. Otherwise it survives the death of
        processes but not of the machine, which is enough for what a later durable step confirms.
        """
        self.check_alive()
        with self.translated():
            if self._writer is None:
                self._writer = self._connect()
            connection = self._writer
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            patient(lambda: connection.execute("BEGIN IMMEDIATE"), self.directory, patience_s)
            try:
                yield connection
                patient(lambda: connection.execute("COMMIT"), self.directory, patience_s)
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def shrink(self) -> None:
        """Give free pages back to the file system when they are a quarter of the file or more. Left for another time
        when somebody reads or writes just now."""
        self.check_alive()
        with self.translated(), suppress(sqlite3.OperationalError):
            connection = self._writer or self._connect()
            self._writer = connection
            pages, free = (
                connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count")
            )
            if free * 4 >= pages:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def begin_reading(self, connection: sqlite3.Connection) -> None:
        """Fix the snapshot of a connection: a SQLite snapshot begins with the first read."""
        connection.execute("BEGIN")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what SQLite raises into the errors of this package."""
        try:
            yield
        except sqlite3.Error as ex:
            self.raise_translated(ex)

    def _progress(self) -> int:
        try:
            host.check_interrupts()
        except BaseException as ex:  # raised again by raise_translated, once SQLite has unwound
            self._interruption = ex
            return 1
        return 0

    def raise_translated(self, ex: sqlite3.Error) -> NoReturn:
        text = str(ex)
        name = f'store "{self.directory}"'
        if "interrupted" in text and self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            raise interruption
        if "not a database" in text:
            raise StoreFormatError(f'"{self.directory}" is not a vector store', sqlstate="HV000") from ex
        if "malformed" in text or "no such table" in text or "corrupt" in text:
            raise StoreCorruptError(
                f"{name} is damaged: {text}", hint="Restore it from a backup, or load it again."
            ) from ex
        if "locked" in text or "busy" in text:
            raise StoreBusyError(f"could not lock {name}: {text}") from ex
        for words, state in _REFUSALS.items():
            if words in text:
                raise StoreAccessError(f"could not access {name}: {text}", sqlstate=state) from ex
        raise RuvectorError(f"unexpected error in {name}: {text}") from ex

    def close(self) -> None:
        """Close what this process opened."""
        if self._pid == os.getpid():
            for connection in [*self._readers, *([self._writer] if self._writer else [])]:
                with suppress(sqlite3.Error):
                    connection.close()
        self._readers, self._writer = [], None


def patient(action: Callable[[], object], directory: Path, patience_s: float = BUSY_TIMEOUT_S) -> None:
    """Call `action` until SQLite no longer says it is busy. :raise StoreBusyError: after that time."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as ex:
            if "locked" not in str(ex) and "busy" not in str(ex):
                raise
            if time.monotonic() > deadline:
                raise StoreBusyError(
                    f'could not lock store "{directory}" within {patience_s:.0f} seconds',
                    hint="Another process is writing to it.",
                ) from ex
        host.check_interrupts()
        time.sleep(_BUSY_STEP_S)


def sync_directory(directory: Path) -> None:
    """Make a rename in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
