# SPDX-License-Identifier: PostgreSQL
"""What a backend has to do with one store: the opened store, its transaction, and the snapshots of its scans.

Foreign tables over the same directory share a session, so that they see one another's changes.

Snapshots. A scan takes its own, except: rows that are to be updated or deleted are read from one snapshot until the
scan ends, so that a rescan does not meet the successors of rows already updated; and in a transaction with a
transaction snapshot (REPEATABLE READ and above) all scans read from one. After a change of its own such a
transaction needs a new SQLite snapshot to see it; it may have one only if nobody else has committed in between.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ruvector_fdw import host
from ruvector_fdw.errors import SerializationError, StoreBusyError, StoreNotFoundError
from ruvector_fdw.stores.store import maintenance
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.snapshot import Snapshot
from ruvector_fdw.stores.store.transaction import Transaction, Write

_Result = TypeVar("_Result")


class SharedSnapshot:
    """A snapshot that several scans read from; closed with the last of them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._users = 1

    def share(self) -> SharedSnapshot:
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.snapshot.close()


class Session:
    """One process, one store directory."""

    _known: dict[Path, Session] = {}  # noqa: RUF012
    _named: dict[str, Session] = {}  # noqa: RUF012
    """The same by the path as options give it: to resolve it takes as long as a search."""

    def __init__(self, directory: Path) -> None:
        self.store = OpenStore.open(directory)
        self._transaction: Transaction | None = None
        self._level = 1
        self._repeatable = False
        self.looked = False
        """`begin` has found the store where the path leads, and no scan has read since."""
        self._kept: SharedSnapshot | None = None
        self._kept_level = 1
        self._changed = False

    @classmethod
    def of(cls, path: str) -> Session:
        """The session for a directory, opened when it is first asked for, and again when it was replaced."""
        named = cls._named.get(path)
        if named is not None and named.store.database.is_at(path):
            return named
        directory = Path(path).resolve()
        # One of two sessions with one store would take the other's changes for those of a dead transaction.
        known = next((one for one in cls._known.values() if one.store.database.is_at(str(directory))), None)
        known = known or cls._known.get(directory)
        if known is not None:
            try:
                known.store.database.check_alive()
            except StoreNotFoundError:
                known.forget()
                known = None
        if known is None:
            known = cls._known[directory] = cls(directory)
        cls._named[path] = known
        return known

    def forget(self) -> None:
        """Close everything; whoever asks next opens anew."""
        Session._known.pop(self.store.directory, None)
        for path in [path for path, session in Session._named.items() if session is self]:
            del Session._named[path]
        self._drop_kept()
        self._transaction = None
        self.store.close()

    @property
    def plain(self) -> bool:
        """Whether a scan may take whatever is committed now: nothing of our own to see, no snapshot to keep to."""
        return self._transaction is None and self._kept is None and not self._repeatable

    # ---- reading ----------------------------------------------------------------------------------------------

    def snapshot(self, for_change: bool, rows_only: bool = False) -> SharedSnapshot:
        """The snapshot a scan reads from; release it when the scan is over. rows_only: segments are not needed."""
        if self._transaction is not None:
            self._transaction.catch_up()
        if self._kept is not None and not (self._repeatable and self._changed):
            return self._kept.share()
        kept = self._repeatable or for_change
        own = self._transaction.tx if self._transaction else None
        made = SharedSnapshot(self.store.snapshot(own, rows_only and not kept))
        if self._repeatable and self._kept is not None:
            if made.snapshot.others() != self._kept.snapshot.others():
                made.release()
                raise _changed_by_another()
            self._drop_kept()
            self._changed = False
        if kept:
            self._kept, self._kept_level = made.share(), self._level
        return made

    def end_scan(self) -> None:
        if not self._repeatable:
            self._drop_kept()

    def _drop_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.release()

    # ---- writing ----------------------------------------------------------------------------------------------

    def write(self, action: Write[_Result]) -> _Result:
        """Stage a change in the current PostgreSQL transaction."""
        if self._transaction is None:
            self._transaction = Transaction(self.store, host.cluster_id(), host.current_xid())
        self._transaction.level = self._level
        if self._repeatable and self._kept is None:
            self.snapshot(False).release()
        result = self._transaction.write(action)
        self._changed = True
        return result

    @property
    def _staged(self) -> Transaction | None:
        return self._transaction if self._transaction is not None and self._transaction.tx is not None else None

    def begin(self, repeatable: bool) -> None:
        self._repeatable = repeatable
        self.looked = self.store.database.locked_for_reading

    def check_alive(self) -> None:
        """:raise StoreNotFoundError: the directory was removed or replaced; a scan need not ask right after `begin`."""
        if self.looked:
            self.looked = False
        else:
            self.store.database.check_alive()

    def savepoint(self, level: int) -> None:
        self._level = level

    def release(self, level: int) -> None:
        self._level = level - 1
        self._kept_level = min(self._kept_level, self._level)
        if self._transaction is not None:
            self._transaction.release(level)

    def rollback_to(self, level: int) -> None:
        self._level = level - 1
        if self._kept_level >= level and not self._repeatable:
            self._drop_kept()  # a scan that an error has ended does not say so
        if self._transaction is not None:
            self._changed = True
            self._transaction.rollback_to(level)

    def prepare(self) -> None:
        """Durable, and sealed if the delta has grown: the cost of an index is paid where it arises, and can still
        be cancelled there."""
        staged = self._staged
        if staged is None or staged.prepared:
            return
        if self._repeatable and self._kept is not None:
            self.snapshot(False).release()  # says so when another transaction has committed meanwhile
        self._drop_kept()
        maintenance.seal_if_due(self.store)
        staged.prepare()

    def commit(self) -> None:
        """PostgreSQL has committed. When the store cannot be had at once, the next one settles it."""
        staged = self._staged
        self._end()
        if staged is not None:
            with suppress(StoreBusyError):
                staged.commit()

    def rollback(self) -> None:
        staged = self._staged
        self._end()
        if staged is not None:
            with suppress(StoreBusyError):
                staged.rollback()

    def _end(self) -> None:
        self._drop_kept()
        self._transaction = None
        self._level = 1
        self._repeatable = self._changed = False


def _changed_by_another() -> SerializationError:
    return SerializationError(
        "could not serialize access due to concurrent update",
        detail="Another transaction has changed the store since this one took its snapshot.",
        hint="The transaction might succeed if retried.",
    )
