# SPDX-License-Identifier: PostgreSQL
"""Several processes on one store: writers and readers at once, and writers that are killed.

A killed writer prints what it has been told is in; afterwards exactly that, and at most the one call that was under
way, must be there. Rounds are few here; RUVECTOR_SOAK_ROUNDS makes them many.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ruvector_fdw.store import Store

ROUNDS = int(os.environ.get("RUVECTOR_SOAK_ROUNDS", "4"))
DIMS = 8

WRITER = """
import sys, numpy as np
from ruvector_fdw.store import Store
path, first, calls, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = Store(path)
rng = np.random.default_rng(first)
for call in range(calls):
    ids = np.arange(first + call * rows, first + (call + 1) * rows)
    made = store.add(rng.standard_normal((rows, 8)).astype(np.float32), id=ids)
    if call % 3 == 2:
        store.delete([int(made[0])])
        print("deleted", int(ids[0]), flush=True)
    print("added", int(ids[0]), int(ids[-1]), flush=True)
"""


def start(path: Path, first: int, calls: int, rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(calls), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ids_of(store: Store) -> list[int]:
    return sorted(int(i) for batch in store.rows(columns=["id"]) for i in batch.columns["id"])


def test_writers_and_readers_in_parallel(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = Store.create(path, dims=DIMS, columns={"id": "int8"}, seal_rows=128)
    writers = [start(path, first, 12, 20) for first in (0, 10_000, 20_000)]
    seen = 0
    while None in [writer.poll() for writer in writers]:
        found = store.search(np.zeros(DIMS), 2000)
        assert len(set(found.row_ids.tolist())) == len(found)
        # calls are whole: twenty rows, or nineteen once the first is deleted
        for first in (0, 10_000, 20_000):
            ids = np.array(found.columns["id"], dtype=np.int64)
            calls = np.bincount((ids[ids // 10_000 == first // 10_000] - first) // 20)
            assert set(calls.tolist()) <= {0, 19, 20}
        seen = max(seen, len(found))
        time.sleep(0.02)
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(store) == 3 * (12 * 20 - 4) and seen > 0
    assert store.stats()["segments"] >= 1 and store.check() == []


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_a_killed_writer_loses_nothing_it_was_told_is_in(tmp_path: Path, round_number: int) -> None:
    rng = random.Random(round_number)
    path = tmp_path / "s"
    Store.create(path, dims=DIMS, columns={"id": "int8"}, seal_rows=64).close()
    writer = start(path, 0, 10_000, 10)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(rng.randrange(1, 30))]
    time.sleep(rng.random() * 0.05)
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.communicate()

    added: set[int] = set()
    deleted: set[int] = set()
    last = -1
    for line in lines:
        word, *numbers = line.split()
        if word == "added":
            added |= set(range(int(numbers[0]), int(numbers[1]) + 1))
            last = int(numbers[1])
        else:
            deleted.add(int(numbers[0]))
    with Store(path) as store:
        there = set(ids_of(store))
        under_way = set(range(last + 1, last + 11))
        assert added - deleted <= there <= (added - deleted) | under_way
        extra = there & under_way
        assert len(extra) in (0, 9, 10)
        assert store.check() == []
        store.add(np.ones((1, DIMS)), id=[-1])
        store.compact()
        assert set(ids_of(store)) == there | {-1}
        assert sorted(store.search(np.zeros(DIMS), 100_000).columns["id"].tolist()) == sorted(there | {-1})
        files = {p.name for p in (path / "segments").iterdir()}
        assert files == {detail["file"] for detail in store.stats()["details"]}


def test_a_reader_outlives_the_merging_of_its_segments(tmp_path: Path) -> None:
    path = tmp_path / "s"
    rng = np.random.default_rng(1)
    with Store.create(path, dims=DIMS, columns={"id": "int8"}, seal_rows=64) as store:
        store.add(rng.standard_normal((500, DIMS)), id=np.arange(500))
        rows = store.rows(columns=["id"])
        first = next(rows)
        script = "import sys; from ruvector_fdw.store import Store; Store(sys.argv[1]).compact(rebuild=True)"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        rest = [int(i) for batch in rows for i in batch.columns["id"]]
        assert sorted([*map(int, first.columns["id"]), *rest]) == list(range(500))
        assert len(store.search(np.zeros(DIMS), 500)) == 500


def test_a_fork_does_not_share_its_parents_connections(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = Store.create(path, dims=DIMS, columns={"id": "int8"})
    store.add(np.ones((3, DIMS)), id=[1, 2, 3])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.add(np.ones((1, DIMS)), id=[4])
            code = 0 if len(store.search(np.ones(DIMS), 10)) == 4 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.add(np.ones((1, DIMS)), id=[5])
    assert ids_of(store) == [1, 2, 3, 4, 5] and store.check() == []
