# SPDX-License-Identifier: PostgreSQL
"""A store that is damaged, newer, gone or out of reach: one clear error each, and nothing changed by it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ruvector_fdw.errors import (
    RuvectorError,
    StoreAccessError,
    StoreCorruptError,
    StoreFormatError,
    StoreNotFoundError,
)
from ruvector_fdw.store import Store
from ruvector_fdw.stores.store import segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Store.create(tmp_path / "s", dims=8, columns={"id": "int4"}, seal_rows=64) as store:
        store.add(np.random.default_rng(5).standard_normal((300, 8)), id=np.arange(300))
    return tmp_path / "s"


def segment_of(path: Path) -> Path:
    (found,) = (path / "segments").iterdir()
    return found


@pytest.mark.parametrize("at", [0, 9, 200, 0.3, 0.6])
def test_a_flipped_byte_in_a_segment_is_found_and_can_be_repaired(path: Path, at: float) -> None:
    file = segment_of(path)
    raw = bytearray(file.read_bytes())
    where = int(at * len(raw)) if 0 < at < 1 else int(at)
    raw[where] ^= 0x10
    file.write_bytes(raw)
    with Store(path) as store, pytest.raises(StoreCorruptError, match=file.name) as caught:
        store.search(np.zeros(8), 300)
    assert caught.value.sqlstate == "XX001" and "compact --rebuild" in str(caught.value.hint)
    with Store(path) as store:
        store.compact(rebuild=True)
        assert store.check() == [] and len(store.search(np.zeros(8), 300)) == 300


def test_a_short_or_missing_segment_is_found_and_can_be_repaired(path: Path) -> None:
    file = segment_of(path)
    file.write_bytes(file.read_bytes()[:-64])
    with Store(path) as store, pytest.raises(StoreCorruptError, match="it has"):
        store.search(np.zeros(8), 3)
    file.unlink()
    with Store(path) as store:
        with pytest.raises(StoreCorruptError, match="is missing"):
            store.search(np.zeros(8), 3)
        store.compact(rebuild=True)
        assert len(store.search(np.zeros(8), 300)) == 300


def test_a_foreign_segment_is_refused(path: Path, tmp_path: Path) -> None:
    with Store.create(tmp_path / "t", dims=8, metric="ip", seal_rows=64) as other:
        other.add(np.random.default_rng(6).standard_normal((300, 8)))
    data = segment_of(tmp_path / "t").read_bytes()
    segment_of(path).write_bytes(data)
    connection = sqlite3.connect(path / "store.db")
    connection.execute("UPDATE segments SET size_bytes = ?", (len(data),))
    connection.commit()
    connection.close()
    with Store(path) as store, pytest.raises(StoreCorruptError, match="belongs to another store"):
        store.search(np.zeros(8), 3)


def test_a_newer_format_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path / "store.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StoreFormatError, match="format version 2, newer than 1") as caught:
        Store(path)
    assert caught.value.hint is not None


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    for name, make in {
        "empty": lambda p: (p / "store.db").write_bytes(b""),
        "text": lambda p: (p / "store.db").write_text("hello " * 1000),
        "sqlite": lambda p: sqlite3.connect(p / "store.db").execute("CREATE TABLE t (x)").connection.close(),
    }.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        before = (tmp_path / name / "store.db").read_bytes()
        with pytest.raises(RuvectorError, match="is not a vector store"):
            Store(tmp_path / name)
        assert (tmp_path / name / "store.db").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreNotFoundError):
        Store(tmp_path / "file")


def test_a_damaged_database_is_one_error(path: Path) -> None:
    file = path / "store.db"
    raw = bytearray(file.read_bytes())
    raw[4096:] = os.urandom(len(raw) - 4096)
    file.write_bytes(raw)
    with pytest.raises(StoreCorruptError) as caught, Store(path) as store:
        list(store.rows())
    assert caught.value.sqlstate == "XX001"


def test_a_store_removed_under_us_is_one_error(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        assert len(store.search(np.zeros(8), 3)) == 3
        shutil.rmtree(path)
        for attempt in (lambda: store.search(np.zeros(8), 3), lambda: store.add(np.zeros((1, 8))), store.stats):
            with pytest.raises(StoreNotFoundError, match="does not exist"):
                attempt()
        Store.create(path, dims=8).close()
        with pytest.raises(StoreNotFoundError, match="was replaced"):
            store.search(np.zeros(8), 3)


def test_orphaned_files_of_a_dead_maker_are_swept(path: Path) -> None:
    for name in (".0123456789abcdef.rvs", "fedcba9876543210.rvs"):
        (path / "segments" / name).write_bytes(b"half")
    with Store(path) as store:
        store.compact()
        assert [p.name for p in (path / "segments").iterdir()] == [d["file"] for d in store.stats()["details"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_who_may_not_write_can_read(path: Path) -> None:
    for part in [path, path / "segments", *path.parents[:3]]:
        part.chmod(0o755)
    script = f"""
import os, sys, numpy as np
sys.path[:0] = {sys.path!r}
os.setgid(65534); os.setuid(65534)
from ruvector_fdw.store import Store
from ruvector_fdw.errors import StoreAccessError
store = Store(sys.argv[1])
for told in sys.stdin:
    print(len(store.search(np.zeros(8), 1000)), flush=True)
try:
    store.add(np.zeros((1, 8)))
except StoreAccessError as ex:
    print(ex.sqlstate)
"""
    command = [sys.executable, "-c", script, str(path)]
    if subprocess.run([*command], input="", text=True, capture_output=True, check=False).returncode:
        pytest.skip("the interpreter or the package is private to root")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None and reader.stdout is not None

        def count() -> int:
            reader.stdin.write("\n")
            reader.stdin.flush()
            return int(reader.stdout.readline())

        assert count() == 300
        with Store(path) as store:
            store.add(np.ones((5, 8)))
            assert count() == 305
            store.add(np.ones((5, 8)))
            assert count() == 310
        assert count() == 310
        with Store(path) as store:
            store.compact()
        assert count() == 310
        assert reader.communicate()[0] == "42501\n"


def test_a_full_disk_is_one_error_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(pages: int) -> None:
        store._open.database._writer.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[union-attr]

    with Store(path) as store:
        store.add(np.ones((1, 8)), id=[-1])
        before = len(store)
        limit(1)
        with pytest.raises(StoreAccessError) as caught:
            store.add(np.ones((5000, 8)), id=range(5000))
        assert caught.value.sqlstate == "53100" and "is full" in str(caught.value)
        assert len(store) == before and store.check() == []
        limit(1_000_000)
        store.add(np.ones((1, 8)), id=[-2])

        # The rows have found room, the segment has not: that is tried again with the next rows.
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(segment.os, "fsync", full)
        segments = store.stats()["segments"]
        store.add(np.ones((5000, 8)), id=range(5000))
        assert len(store) == before + 5001 and store.stats()["segments"] == segments
        monkeypatch.undo()
        store.add(np.ones((1, 8)), id=[-3])
        assert store.stats()["delta_rows"] == 0 and store.check() == []
    assert len(list((path / "segments").iterdir())) == Store(path).stats()["segments"]
