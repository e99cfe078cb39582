# SPDX-License-Identifier: PostgreSQL
"""A store's part in PostgreSQL transactions, with PostgreSQL's answers given by the test.

`Cluster` plays the server: it hands out transaction numbers and says how they ended. Every "session" is one opened
store, as one backend has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruvector_fdw.errors import SerializationError, StoreBusyError
from ruvector_fdw.request import SearchRequest
from ruvector_fdw.store import Store
from ruvector_fdw.stores.store import maintenance, quick, transaction, writer
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.scan import Effort, Scan
from ruvector_fdw.stores.store.transaction import Transaction


class Cluster:
    """Transactions and how they ended."""

    def __init__(self) -> None:
        self.ended: dict[int, str] = {}
        self.last = 100

    def begin(self) -> int:
        self.last += 1
        return self.last

    def outcome(self, origin: str, xid: int) -> str:
        assert origin == "c"
        return self.ended.get(xid, "in progress")


class Session:
    """One backend: an opened store and at most one transaction."""

    def __init__(self, path: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.store = OpenStore.open(path)
        self.store.outcome = cluster.outcome  # type: ignore[assignment]
        self.begin()

    def begin(self) -> None:
        self.xid = self.cluster.begin()
        self.transaction = Transaction(self.store, "c", self.xid)

    def insert(self, *ids: int) -> None:
        rows = writer.encode(self.store, len(ids), {"id": list(ids), "embedding": vectors(ids)})
        self.transaction.write(lambda c, tx, level: writer.insert(self.store, c, rows, tx, level))

    def delete(self, *ids: int) -> None:
        rows = [row_id for row_id, number in self.rows() if number in ids]
        assert len(rows) == len(ids)
        self.transaction.write(lambda c, tx, level: writer.delete(self.store, c, rows, tx, level))

    def rows(self) -> list[tuple[int, int]]:
        found = []
        with self.store.snapshot(self.transaction.tx) as snapshot:
            for batch in Scan(snapshot, SearchRequest(("id",)), Effort()).batches():
                assert batch.rowids is not None
                found += list(zip(map(int, batch.rowids), batch.columns["id"], strict=True))
        return found

    def ids(self) -> list[int]:
        return sorted(number for _, number in self.rows())

    def commit(self, settle: bool = True) -> None:
        self.transaction.prepare()
        self.cluster.ended[self.xid] = "committed"
        if settle:
            self.transaction.commit()
        self.begin()

    def abort(self, settle: bool = True) -> None:
        self.cluster.ended[self.xid] = "aborted"
        if settle:
            self.transaction.rollback()
        self.begin()

    def searched(self) -> list[int]:
        """What a search that wants everything returns."""
        with self.store.snapshot(self.transaction.tx) as snapshot:
            request = SearchRequest(("id",), order=(_key(),), limit=10000)
            batches = list(Scan(snapshot, request, Effort()).batches())
        return sorted(number for batch in batches for number in batch.columns["id"])


def _key():  # type: ignore[no-untyped-def]
    from ruvector_fdw.request import VectorSortKey

    return VectorSortKey("embedding", 2, "<->", np.zeros(4, np.float32))


def vectors(ids: tuple[int, ...]) -> np.ndarray:
    return np.array([[i, i % 7, i % 3, 1] for i in ids], dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Store.create(tmp_path / "s", dims=4, columns={"id": "int4"}, seal_rows=64).close()
    return tmp_path / "s"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def two(path: Path, cluster: Cluster) -> Iterator[tuple[Session, Session]]:
    yield Session(path, cluster), Session(path, cluster)


def test_changes_are_seen_by_others_when_postgresql_has_committed(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1, 2, 3)
    assert (mine.ids(), other.ids(), other.searched()) == ([1, 2, 3], [], [])
    mine.transaction.prepare()
    assert other.ids() == []
    # between PostgreSQL's commit and the store's own: visible already
    mine.cluster.ended[mine.xid] = "committed"
    assert (other.ids(), other.searched()) == ([1, 2, 3], [1, 2, 3])
    mine.transaction.commit()
    mine.begin()
    other.delete(2)
    assert (other.ids(), mine.ids(), mine.searched()) == ([1, 3], [1, 2, 3], [1, 2, 3])
    other.commit(settle=False)
    assert (mine.ids(), mine.searched()) == ([1, 3], [1, 3])


def test_what_a_process_remembers_is_no_answer_while_a_change_is_pending(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(*range(10, 40))
    mine.commit()
    request = SearchRequest(("id",), order=(_key(),), limit=3)
    assert other.searched()[:3] == [10, 11, 12]
    assert (found := quick.nearest(other.store, request, Effort())) is not None
    assert list(found.columns["id"]) == [10, 11, 12]
    mine.insert(1)
    mine.transaction.prepare()
    assert quick.nearest(other.store, request, Effort()) is None
    mine.cluster.ended[mine.xid] = "committed"
    assert quick.nearest(other.store, request, Effort()) is None and other.searched()[0] == 1
    mine.transaction.commit()
    assert (found := quick.nearest(other.store, request, Effort())) is not None
    assert list(found.columns["id"]) == [1, 10, 11]


def test_aborted_changes_are_never_seen(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1, 2)
    mine.commit()
    mine.insert(3)
    mine.delete(1)
    assert mine.ids() == [2, 3]
    mine.abort()
    assert (mine.ids(), other.ids()) == ([1, 2], [1, 2])


@pytest.mark.parametrize("end", ["committed", "aborted"])
def test_a_dead_backend_is_settled_by_the_next_writer(two: tuple[Session, Session], path: Path, end: str) -> None:
    mine, other = two
    mine.insert(1, 2)
    mine.commit()
    mine.insert(3)
    mine.delete(1)
    if end == "committed":
        mine.commit(settle=False)
    else:
        mine.abort(settle=False)
    expected = [2, 3] if end == "committed" else [1, 2]
    assert other.ids() == expected
    other.insert(9)
    with other.store.snapshot() as snapshot:
        left = [row[0] for row in snapshot.execute("SELECT xid FROM transactions")]
    assert left == [other.xid]
    other.commit()
    assert maintenance.check(OpenStore.open(path)) == []
    assert Store(path).search(np.zeros(4), 10).columns["id"].tolist() == sorted([*expected, 9])


def test_a_number_given_out_again_after_a_crash_commits_nothing(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1)
    # the backend is gone before prepare, and another transaction of the same number commits
    mine.cluster.ended[mine.xid] = "committed"
    mine.begin()
    assert (mine.ids(), other.ids(), other.searched()) == ([], [], [])
    other.insert(2)
    other.commit()
    assert mine.ids() == [2] and transaction.settle(other.store) == 0


def test_a_number_given_out_again_is_settled_by_who_has_it_now(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1)
    mine.transaction = Transaction(mine.store, "c", mine.xid)  # after a crash: in progress, but not that one
    mine.insert(2)
    assert mine.ids() == [2]
    mine.commit()
    assert (mine.ids(), other.ids()) == ([2], [2]) and transaction.settle(other.store) == 0


def test_outside_the_cluster_a_pending_change_stays_hidden(two: tuple[Session, Session], path: Path) -> None:
    mine, _ = two
    mine.insert(1)
    mine.commit(settle=False)
    with Store(path) as store:
        assert len(store.search(np.zeros(4), 5)) == 0
        store.compact()
        assert store.stats()["pending_transactions"] == 1
    assert mine.ids() == [1]


def test_savepoints(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1)
    mine.transaction.level = 2
    mine.insert(2)
    mine.delete(1)
    mine.transaction.level = 3
    mine.insert(3)
    mine.delete(2)
    assert mine.ids() == [3]
    mine.transaction.rollback_to(3)
    assert mine.ids() == [2]
    mine.transaction.level = 3
    mine.insert(4)
    mine.transaction.release(3)
    assert mine.ids() == [2, 4]
    mine.transaction.rollback_to(2)
    assert mine.ids() == [1]
    mine.transaction.level = 2
    mine.insert(5)
    mine.transaction.release(2)
    mine.commit()
    assert (mine.ids(), other.searched()) == ([1, 5], [1, 5])


def test_a_rollback_to_a_savepoint_that_fails_is_made_up_for(
    two: tuple[Session, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL goes on after such a failure, so the store must not commit what was to be undone."""
    mine, other = two
    mine.insert(1)
    mine.transaction.level = 2
    mine.insert(2)

    def refused(durable: bool) -> None:
        raise StoreBusyError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(mine.store.database, "writing", refused)
        with pytest.raises(StoreBusyError):
            mine.transaction.rollback_to(2)
        with pytest.raises(StoreBusyError):
            mine.transaction.prepare()
    mine.transaction.level = 1
    mine.insert(3)
    mine.commit()
    assert mine.ids() == other.ids() == [1, 3]


def test_no_commit_is_seen_without_an_earlier_one(two: tuple[Session, Session], path: Path) -> None:
    """Both end while a reader asks how they ended: the first between the two questions, the second after it."""
    mine, other = two
    mine.insert(1)
    other.insert(2)
    for session in two:
        session.transaction.prepare()
    cluster = mine.cluster
    reader = Session(path, cluster)

    def outcome(origin: str, xid: int) -> str:
        answer = cluster.outcome(origin, xid)
        cluster.ended |= {mine.xid: "committed", other.xid: "committed"}
        return answer

    reader.store.outcome = outcome  # type: ignore[assignment]
    assert reader.ids() == [1, 2]


def test_a_row_met_twice_in_one_statement_is_changed_once(two: tuple[Session, Session]) -> None:
    mine, _ = two
    mine.insert(1, 2)
    mine.commit()
    rows = dict((number, row_id) for row_id, number in mine.rows())
    changed = writer.encode(mine.store, 1, {"id": [5]}, partial=True)

    def update(row_id: int) -> int:
        return len(mine.transaction.write(lambda c, tx, level: writer.update(mine.store, c, [row_id], changed, tx, level)))

    assert (update(rows[1]), update(rows[1]), mine.ids()) == (1, 0, [2, 5])
    mine.delete(2)
    again = mine.transaction.write(lambda c, tx, level: writer.delete(mine.store, c, [rows[2]], tx, level))
    assert again == []
    mine.commit()
    assert mine.ids() == [5] and maintenance.check(mine.store) == []


def test_two_transactions_cannot_change_one_row(two: tuple[Session, Session]) -> None:
    mine, other = two
    mine.insert(1, 2)
    mine.commit()
    mine.delete(1)
    with pytest.raises(SerializationError):
        other.delete(1)
    other.delete(2)
    mine.commit()
    other.abort()
    assert other.ids() == [2]
    # an aborted one is not in the way, even before it is settled
    mine.delete(2)
    mine.abort(settle=False)
    other.delete(2)
    other.commit()
    assert mine.ids() == []


def test_many_pending_rows_are_sealed_and_stay_hidden(two: tuple[Session, Session], path: Path) -> None:
    mine, other = two
    mine.insert(*range(200))
    maintenance.seal_if_due(mine.store)
    other.insert(*range(1000, 1010))
    assert (other.searched(), len(mine.searched())) == (list(range(1000, 1010)), 200)
    mine.abort()
    assert (mine.searched(), other.searched()) == ([], list(range(1000, 1010)))
    other.commit()
    maintenance.compact(other.store)
    assert maintenance.check(OpenStore.open(path)) == []
    assert other.searched() == list(range(1000, 1010))


def test_a_long_copy_costs_readers_nothing(two: tuple[Session, Session]) -> None:
    mine, other = two
    other.insert(5)
    other.commit()
    for start in range(1000, 3000, 50):
        mine.insert(*range(start, start + 50))
        assert other.searched() == [5]
        with other.store.snapshot() as snapshot:
            assert snapshot.delta.row_ids.size == 1
    mine.commit()
    assert len(other.searched()) == 2001
    assert transaction.settle(other.store) == 0
