# SPDX-License-Identifier: PostgreSQL
"""A store beside a heap table through kills: after each restart both hold the same, whatever that is.

Two writers make the same random transactions in both tables (batches of every size, COPY, UPDATE, DELETE, savepoints,
rollbacks; deltas are sealed and segments merged on the way). At a random moment one backend gets SIGKILL, and
PostgreSQL restarts all of them, or everything does, the postmaster too. The heap table says what was committed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fdw_database import FdwDatabase
from harness import Server

from ruvector_fdw.store import Store

Connection = psycopg.Connection[Any]
TABLES = ("heap", "items")
_ALL = "SELECT id, n, embedding::text FROM {} ORDER BY id, n"
_VECTOR = "('[' || g % 7 || ',' || {i} % 5 || ',1,2]')::ruvector"


class Writer(threading.Thread):
    """Transactions on ids that no other writer uses, until the connection breaks or `stop` is set."""

    def __init__(self, fdw: FdwDatabase, number: int, seed: int, numbers: itertools.count[int]) -> None:
        super().__init__()
        self.conn = fdw.connect()
        self.pid = self.conn.info.backend_pid
        self.done = 0
        self.stop = threading.Event()
        self._number = number
        self._random = random.Random(seed)
        self._numbers = numbers

    def run(self) -> None:
        with contextlib.suppress(psycopg.Error):
            while not self.stop.is_set():
                self._transaction()
                self.done += 1
        self.conn.close()

    def _transaction(self) -> None:
        own = self._random
        self.conn.execute("BEGIN")
        for _ in range(own.randrange(1, 4)):
            nested = own.random() < 0.4
            if nested:
                self.conn.execute("SAVEPOINT s")
            self._change(next(self._numbers))
            if nested:
                self.conn.execute(own.choice(["ROLLBACK TO s", "RELEASE s"]))
        self.conn.execute("ROLLBACK" if own.random() < 0.2 else "COMMIT")

    def _change(self, i: int) -> None:
        own, number = self._random, self._number
        first, count = i * 2000 + number, own.choice([1, 1, 3, 40, 300])
        some = own.randrange(max(1, i - 20), i + 1) * 2000
        mine = f"id % 2 = {number} AND id BETWEEN {some} AND {some + own.choice([2, 20, 300])}"
        action = own.randrange(5)
        for table in TABLES:
            if action == 0:
                with self.conn.cursor().copy(f"COPY {table} (id, n, embedding) FROM STDIN") as copy:
                    for g in range(count):
                        copy.write_row((first + 2 * g, 0, f"[{g},{i},1,2]" if g % 9 else None))
            elif action == 1:
                self.conn.execute(f"DELETE FROM {table} WHERE {mine}")
            elif action == 2:
                vector = ", embedding = '[9,9,9,9]'" if i % 2 else ""
                self.conn.execute(f"UPDATE {table} SET n = n + 1{vector} WHERE {mine}")
            else:
                values = f"{first} + 2 * g, 0, {_VECTOR.format(i=i)} FROM generate_series(0, {count - 1}) g"
                self.conn.execute(f"INSERT INTO {table} (id, n, embedding) SELECT {values}")


def kill(server: Server, fdw: FdwDatabase, victim: int | None) -> None:
    """SIGKILL one backend, or with None everything; returns when the server answers again."""
    if victim is None:
        server.kill9()
        server.start()
        fdw.reconnect()
        return
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(psycopg.Error):
            # The postmaster may not have noticed yet: then this connection goes with the others.
            fdw.reconnect()
            if fdw.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [victim]) == 0:
                return
        assert time.monotonic() < deadline, "the server did not come back"
        time.sleep(0.05)


def kill_at_random(server: Server, fdw: FdwDatabase, seed: int, numbers: itertools.count[int]) -> None:
    rng = random.Random(seed)
    writers = [Writer(fdw, number, 2 * seed + number, numbers) for number in (0, 1)]
    for writer in writers:
        writer.start()
    while any(writer.done < 2 and writer.is_alive() for writer in writers):
        time.sleep(0.005)
    time.sleep(rng.random() * 0.4)
    kill(server, fdw, None if seed % 2 else rng.choice(writers).pid)
    for writer in writers:
        writer.stop.set()
        writer.join()


@pytest.mark.core
@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_after_a_kill_the_store_is_what_postgresql_committed(
    new_cluster: Callable[..., Server], wrappers: Path, shared_dir: Path, rounds: int
) -> None:
    server = new_cluster()
    fdw = FdwDatabase(server, server.create(("ruvector", "ruvector_fdw")), wrappers)
    path = shared_dir / "items"
    columns = {"id": "int8", "n": "int4"}
    with Store.create(path, dims=4, columns=columns, indexed=["id"], seal_rows=256, merge_factor=2):
        pass
    for made in [path, *path.rglob("*")]:
        if server.account.uid is not None:
            shutil.chown(made, server.account.uid, server.account.gid)
    fdw.execute(f"CREATE SERVER stores FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store', directory '{shared_dir}')")
    fdw.execute("IMPORT FOREIGN SCHEMA public FROM SERVER stores INTO public")
    fdw.execute("CREATE TABLE heap (id int8, n int4, embedding ruvector(4))")
    numbers = itertools.count(1)
    for seed in range(rounds):
        kill_at_random(server, fdw, seed, numbers)
        committed = fdw.rows(_ALL.format("heap"))
        assert fdw.rows(_ALL.format("items")) == committed, f"round {seed}"
        with_vector = sorted(row[0] for row in committed if row[2] is not None)
        nearest = "SELECT id FROM items WHERE embedding IS NOT NULL ORDER BY embedding <-> '[3,3,1,2]' LIMIT 1000000"
        assert sorted(fdw.column(nearest)) == with_vector, f"round {seed}"
        if len(committed) > 10_000:
            for table in TABLES:
                fdw.execute(f"DELETE FROM {table} WHERE id % 5 <> 0")
    # The next writer settles what the dead have left; a commit that cannot have the lock at once leaves it to the next.
    deadline = time.monotonic() + 60
    pending = 1
    while pending:
        assert time.monotonic() < deadline, "transactions of the dead are still pending"
        fdw.execute("INSERT INTO items (id) VALUES (-1)")
        with Store(path) as store:
            pending = store.stats()["pending_transactions"]
    fdw.close()
    with Store(path) as store:
        assert store.check() == []
        store.compact()
        assert store.check() == []
