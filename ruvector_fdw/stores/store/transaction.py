# SPDX-License-Identifier: PostgreSQL
"""A store's part in a PostgreSQL transaction: visible when, and only when, PostgreSQL has committed.

Changes are staged under a number (`tx`) that carries the cluster and the 64-bit xid. `prepare`, PostgreSQL's last
step before its commit record, makes them durable. From then on the truth is PostgreSQL's: whoever reads asks it how
the xid ended, so nothing has to happen in the moment of the commit, and a crash between the two leaves nothing to
guess. A number that PostgreSQL had not written to disk is given out again after a crash; so `prepare` has it written
first, and what was never prepared is never taken for committed, whatever its number says. `commit` only settles what
is already decided, which saves readers the question; a transaction left behind by a dead backend is settled by the
next writer of the same cluster.

Two transactions cannot both change a row: the later gets a serialization failure, as under REPEATABLE READ; it does
not wait for the first.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from ruvector_fdw import host
from ruvector_fdw.stores.store import writer
from ruvector_fdw.stores.store.opened import OpenStore

_Result = TypeVar("_Result")
_SETTLE_PATIENCE_S = 0.5
"""A commit is PostgreSQL's already: when the lock is not to be had at once, whoever comes next settles it."""
Write = Callable[[sqlite3.Connection, "int | None", int], _Result]


class Transaction:
    """One PostgreSQL transaction's changes to one store. :param xid: as `pg_xact_status` takes it."""

    def __init__(self, store: OpenStore, origin: str, xid: int) -> None:
        self._store = store
        self._origin = origin
        self._xid = xid
        self.tx: int | None = None
        self.level = 1
        self.prepared = False
        self._undo_from: int | None = None

    def write(self, action: Write[_Result]) -> _Result:
        """Run `action(connection, tx, level)` in a SQLite transaction; the first one registers this transaction."""
        self.catch_up()
        with self._store.database.writing(durable=False) as connection:
            tx = self.tx
            if tx is None:
                self._undo_namesake(connection)
                settle_ended(self._store, connection)
                began = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
                tx = connection.execute(
                    "INSERT INTO transactions (origin, xid, prepared, begun_at) VALUES (?, ?, 0, ?)",
                    (self._origin, self._xid, began),
                ).lastrowid
                _count_pending(connection)
            result = action(connection, tx, self.level)
        self.tx = tx
        return result

    def _undo_namesake(self, connection: sqlite3.Connection) -> None:
        """Undo what bears our number already: left by one that a crash ended, whose number was given out again, to us.
        PostgreSQL would call it in progress."""
        listed = connection.execute(
            "SELECT tx FROM transactions WHERE origin = ? AND xid = ?", (self._origin, self._xid)
        )
        for (tx,) in listed.fetchall():
            _undo(connection, tx, 0)
            _forget(connection, tx)

    def release(self, level: int) -> None:
        """What `level` and above did now belongs to level - 1."""
        if self.tx is not None:
            with self._store.database.writing(durable=False) as connection:
                for table in ("inserted", "deleted"):
                    connection.execute(
                        f"UPDATE {table} SET level = ? WHERE tx = ? AND level >= ?", (level - 1, self.tx, level)
                    )

    def rollback_to(self, level: int) -> None:
        """Undo what `level` and above did. PostgreSQL, which is rolling back, takes no error for an answer: when the
        store cannot be had now, `catch_up` must succeed before anything is read, written or committed."""
        if self.tx is not None:
            self._undo_from = level if self._undo_from is None else min(level, self._undo_from)
            self.catch_up()

    def catch_up(self) -> None:
        """Do what a `rollback_to` has left undone, if anything."""
        if self.tx is not None and self._undo_from is not None:
            with self._store.database.writing(durable=False) as connection:
                _undo(connection, self.tx, self._undo_from)
            self._undo_from = None

    def prepare(self) -> None:
        """Make everything staged durable. After this PostgreSQL decides alone."""
        self.catch_up()
        if self.tx is not None:
            host.secure_xid()
            with self._store.database.writing(durable=True) as connection:
                connection.execute("UPDATE transactions SET prepared = 1 WHERE tx = ?", (self.tx,))
            self.prepared = True

    def commit(self) -> None:
        """PostgreSQL has committed."""
        if self.tx is not None:
            with self._store.database.writing(durable=False, patience_s=_SETTLE_PATIENCE_S) as connection:
                _finish(connection, self.tx)
        self.tx = None

    def rollback(self) -> None:
        """PostgreSQL has aborted."""
        if self.tx is not None:
            with self._store.database.writing(durable=False, patience_s=_SETTLE_PATIENCE_S) as connection:
                _undo(connection, self.tx, 0)
                _forget(connection, self.tx)
        self.tx = None


def settle_ended(store: OpenStore, connection: sqlite3.Connection) -> int:
    """Finish or undo the transactions that PostgreSQL says are over; returns how many are left."""
    left = 0
    listed = connection.execute("SELECT tx, origin, xid, prepared FROM transactions").fetchall()
    for tx, origin, xid, prepared in listed:
        outcome = store.ended(origin, xid, bool(prepared))
        if outcome == "committed":
            _finish(connection, tx)
        elif outcome == "aborted":
            _undo(connection, tx, 0)
            _forget(connection, tx)
        else:
            left += 1
    return left


def settle(store: OpenStore) -> int:
    """`settle_ended` in a write transaction of its own, if there is anything to settle."""
    with store.snapshot(rows_only=True) as snapshot:
        if not snapshot.state.pending:
            return 0
    with store.database.writing(durable=False) as connection:
        return settle_ended(store, connection)


def _finish(connection: sqlite3.Connection, tx: int) -> None:
    gone = [row[0] for row in connection.execute("SELECT row_id FROM deleted WHERE tx = ? ORDER BY row_id", (tx,))]
    added = connection.execute(
        "SELECT COALESCE(sum(last_row - first_row + 1), 0) FROM inserted WHERE tx = ?", (tx,)
    ).fetchone()[0]
    writer.remove(connection, gone)
    connection.execute("UPDATE state SET commits = commits + 1, row_count = row_count + ?", (added - len(gone),))
    _forget(connection, tx)


def _undo(connection: sqlite3.Connection, tx: int, level: int) -> None:
    """Remove what the transaction inserted at this level and above, and let live what it deleted there."""
    connection.execute("DELETE FROM deleted WHERE tx = ? AND level >= ?", (tx, level))
    ranges = connection.execute(
        "SELECT first_row, last_row FROM inserted WHERE tx = ? AND level >= ?", (tx, level)
    ).fetchall()
    for first, last in ranges:
        writer.remove(connection, range(first, last + 1))
        connection.execute("DELETE FROM deleted WHERE tx = ? AND row_id BETWEEN ? AND ?", (tx, first, last))
    connection.execute("DELETE FROM inserted WHERE tx = ? AND level >= ?", (tx, level))


def _forget(connection: sqlite3.Connection, tx: int) -> None:
    for table in ("inserted", "deleted", "transactions"):
        connection.execute(f"DELETE FROM {table} WHERE tx = ?", (tx,))
    _count_pending(connection)


def _count_pending(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE state SET pending = (SELECT count(*) FROM transactions)")
