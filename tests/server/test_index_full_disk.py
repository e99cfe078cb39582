# SPDX-License-Identifier: PostgreSQL
"""A full disk while an index is built, sealed, written to, or its image made: one error, and the index as it was.

The disk is a small tmpfs, which takes the right to mount one.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, index_only, make_index, make_table

CHECK = "SELECT * FROM ruvector_index_check('items_idx')"
MIB = 2**20


@pytest.fixture
def disk(scratch: Path) -> Iterator[Path]:
    """A file system of 6 MiB, empty."""
    folder = Path(tempfile.mkdtemp(prefix="disk-", dir=scratch))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all but so many bytes."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    done = subprocess.run(["df", "--output=avail", "-B1", folder], capture_output=True, check=True, text=True)
    ballast.write_bytes(bytes(max(0, int(done.stdout.split()[1]) - leave)))
    return ballast


def every_row(db: Database) -> set[int]:
    index_only(db)
    db.execute("SET ruvector.iterative_scan = relaxed_order; SET ruvector.max_scan_tuples = 10000000; SET work_mem = '1GB'")
    found = db.column("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1)")
    db.execute("RESET enable_seqscan; RESET ruvector.iterative_scan; RESET ruvector.max_scan_tuples; RESET work_mem")
    assert len(found) == len(set(found))
    return set(found)


def test_no_room_for_an_image(new_cluster: Callable[..., Server], disk: Path) -> None:
    server = new_cluster()
    server.stop()
    directory = server.cluster.data / "pgsql_tmp_ruvector"
    directory.symlink_to(disk / "images")
    (disk / "images").mkdir()
    server.account.own(disk)
    server.account.own(disk / "images")
    server.start()
    db = server.database()
    make_table(db, 1000)
    make_index(db)
    add_rows(db, 1001, 1100)
    ids = set(range(1, 1101))
    for image in disk.glob("images/*/*"):
        image.unlink()
    ballast = fill(disk, 16384)
    # made by a scan
    db.reconnect()
    index_only(db)
    for _ in range(2):
        with pytest.raises(psycopg.errors.DiskFull, match="could not write to file"):
            db.rows("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1) LIMIT 5")
    # by a seal, by a build
    ballast.unlink()
    assert every_row(db) == ids
    ballast = fill(disk, 16384)
    for statement in ("SELECT ruvector_index_maintenance('items_idx')", "REINDEX INDEX items_idx",
                      "CREATE INDEX other_idx ON items USING ruivfflat (embedding ruvector_l2_ops) WITH (lists = 10)"):  # fmt: skip
        with pytest.raises(psycopg.errors.DiskFull, match="could not write to file"):
            db.execute(statement)
    assert every_row(db) == ids
    db.execute("INSERT INTO items (embedding) SELECT embedding FROM items WHERE id = 1")
    assert len(every_row(db)) == 1101
    assert list(disk.glob("images/*/*.tmp")) == []
    ballast.unlink()
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert len(every_row(db)) == 1101
    assert db.rows(CHECK) == []
    db.close()
    server.stop()
    directory.unlink()


def test_no_room_for_pages(new_cluster: Callable[..., Server], disk: Path) -> None:
    server = new_cluster({"temp_tablespaces": ""})
    server.account.own(disk)
    db = server.database()
    db.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    make_table(db, 3000)
    make_index(db)
    ids = set(range(1, 3001))
    db.execute("ALTER INDEX items_idx SET TABLESPACE small")
    assert every_row(db) == ids
    assert db.rows(CHECK) == []
    fill(disk, 10 * 8192)
    # the delta grows until the disk is full; what was committed before is there
    failed = 0
    for step in range(60):
        try:
            add_rows(db, 3001 + step * 50, 3050 + step * 50)
        except psycopg.errors.DiskFull:
            failed += 1
    assert 0 < failed < 60
    truth = set(db.column("SELECT id FROM items"))
    assert every_row(db) == truth
    with pytest.raises(psycopg.errors.DiskFull):
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
    with pytest.raises(psycopg.errors.DiskFull):
        db.execute("REINDEX INDEX items_idx")
    assert every_row(db) == truth
    assert db.rows(CHECK) == []
    (disk / "ballast").unlink()
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    add_rows(db, 9001, 9100)
    assert every_row(db) == set(db.column("SELECT id FROM items"))
    assert db.rows(CHECK) == []
    size = db.value("SELECT pg_relation_size('items_idx')")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    # what the failures wrote is free and used
    assert db.value("SELECT pg_relation_size('items_idx')") <= size + MIB
    db.execute("ALTER INDEX items_idx SET TABLESPACE pg_default")
    assert every_row(db) == set(db.column("SELECT id FROM items"))
    db.execute("DROP TABLESPACE small")
    db.close()
