# SPDX-License-Identifier: PostgreSQL
"""Segments of which most rows are dead and more are alive than memory holds at once: rewritten in parts, or left alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness import Database
from index_tables import compare, index_only

ROWS = 12500
STATS = "SELECT segments, dead_rows, vector_count FROM ruvector_index_stats('items_idx')"
CHECK = "SELECT * FROM ruvector_index_check('items_idx')"
# 4 MB, the least that maintenance takes for itself, hold some 2,500 rows of 600 dimensions while they become a graph, 1,300
# while they become lists.
LITTLE_MEMORY = "SET maintenance_work_mem = '1MB'; SET ruvector.background_maintenance = off"


def make(db: Database, method: str, kind: str = "", memory: str = "256MB") -> None:
    """One segment of ROWS rows, or more with less memory. Each is a sum of two of 225 vectors."""
    db.execute(f"SELECT setseed(0.5); SET client_min_messages = warning; SET maintenance_work_mem = '{memory}'")
    db.execute(
        "CREATE TEMP TABLE terms AS SELECT i, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 600) WHERE i = i)"
        "::float4[]::ruvector AS v FROM generate_series(1, 225) i"
    )
    db.execute(f"CREATE {kind} TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(600))")
    db.execute("ALTER TABLE items SET (autovacuum_enabled = off)")
    db.execute("INSERT INTO items (category, embedding) SELECT 0, a.v + b.v FROM terms a, terms b WHERE a.i <= 125 AND b.i > 125")
    options = "m = 4, ef_construction = 16" if method == "ruhnsw" else "lists = 10"
    db.execute(f"CREATE INDEX items_idx ON items USING {method} (embedding ruvector_l2_ops) WITH ({options})")
    segments, dead, live = db.rows(STATS)[0]
    assert (segments == 1, dead, live) == (memory == "256MB", 0, ROWS)


def images(db: Database) -> int:
    folder = db.server.cluster.data / "pgsql_tmp_ruvector" / str(db.value("SELECT oid FROM pg_database WHERE datname = current_database()"))
    return len(list(Path(folder).iterdir()))


def found_in_order(db: Database) -> list[int]:
    index_only(db)
    db.execute("SET ruvector.iterative_scan = relaxed_order; SET ruvector.max_scan_tuples = 1000000; SET work_mem = '1GB'")
    found = db.column("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1)")
    db.execute("RESET enable_seqscan; RESET ruvector.iterative_scan; RESET ruvector.max_scan_tuples; RESET work_mem")
    return sorted(found)


@pytest.mark.core
@pytest.mark.parametrize(("method", "share"), [("ruhnsw", 3), ("ruivfflat", 6)])
def test_a_segment_larger_than_memory_is_rewritten_in_parts(db: Database, method: str, share: int) -> None:
    make(db, method)
    notices: list[str] = []
    db.conn.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    db.execute(f"{LITTLE_MEMORY}; SET client_min_messages = notice")

    # a third is dead: more parts than a search would be quicker for
    db.execute("DELETE FROM items WHERE id % 3 = 0")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows(STATS) == [(1, ROWS // 3, ROWS - ROWS // 3)]
    assert notices[-1] == (
        f'index "items_idx" keeps {ROWS // 3} dead rows, whose segments maintenance_work_mem does not suffice to rewrite'
    )

    db.execute(f"DELETE FROM items WHERE id % {share} <> 1")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    left = db.column("SELECT id FROM items ORDER BY id")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    segments, dead, live = db.rows(STATS)[0]
    assert (segments > 1, dead, live) == (True, 0, len(left))
    assert f", {ROWS - len(left)} dead rows dropped" in notices[-2]
    assert notices[-1].startswith(f'index "items_idx" has {segments} segments, which')
    assert db.rows(CHECK) == []
    assert images(db) == segments
    assert found_in_order(db) == left
    comparison = compare(db)
    assert (comparison.out_of_order, comparison.wrong_distances, comparison.returned) == (0, 0, 200)

    # the pages that came free suffice for as many rows again
    size = db.value("SELECT pg_relation_size('items_idx')")
    db.execute(f"INSERT INTO items (id, category, embedding) SELECT id + {ROWS}, 0, embedding FROM items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.value("SELECT pg_relation_size('items_idx')") <= size * 1.1
    assert db.rows(CHECK) == []

    db.execute("SET maintenance_work_mem = '256MB'; SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows(STATS) == [(1, 0, 2 * len(left))]


def test_segments_that_do_not_fit_together_are_rewritten_one_by_one(db: Database) -> None:
    make(db, "ruhnsw", memory="9MB")
    db.execute("SET ruvector.background_maintenance = off; SET maintenance_work_mem = '9MB'")
    db.execute("DELETE FROM items WHERE id % 10 = 0")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    segments, dead, live = db.rows(STATS)[0]
    assert (segments > 1, dead, live) == (True, 0, ROWS - ROWS // 10)
    assert db.rows(CHECK) == []


@pytest.mark.core
def test_between_two_parts(db: Database) -> None:
    """VACUUM of a temporary table rewrites one part each time; what it has moved is no more and no less in the index."""
    make(db, "ruhnsw", kind="TEMP")
    db.execute(LITTLE_MEMORY)
    db.execute("DELETE FROM items WHERE id % 3 > 0 AND id > 1")
    states = []
    for step in range(6):
        # a VACUUM of what is half moved finds dead rows on either side
        db.execute(f"DELETE FROM items WHERE id % 1000 = {3 * step} AND id < 12000")
        db.execute("VACUUM (INDEX_CLEANUP ON) items")
        left = db.column("SELECT id FROM items ORDER BY id")
        states.append(db.rows(STATS)[0])
        assert states[-1][2] == len(left)
        assert db.rows(CHECK) == []
        assert found_in_order(db) == left
    assert states[0][0] == 2 and states[0][1] > ROWS * 2 // 3
    assert states[-1][0] > 1 and states[-1][1] < 100


@pytest.mark.core
def test_the_worker_rewrites_in_parts(db: Database) -> None:
    make(db, "ruhnsw")
    db.execute(f"ALTER DATABASE {db.name} SET maintenance_work_mem = '1MB'")
    db.execute("DELETE FROM items WHERE id % 3 > 0")
    db.execute("VACUUM (INDEX_CLEANUP ON) items")
    end = time.monotonic() + 60
    while db.rows(STATS)[0][1] > 0:
        assert time.monotonic() < end, db.rows(STATS)
        time.sleep(0.05)
    segments, _, live = db.rows(STATS)[0]
    assert (segments > 1, live) == (True, ROWS // 3)
    assert db.rows(CHECK) == []
