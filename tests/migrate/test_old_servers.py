# SPDX-License-Identifier: PostgreSQL
"""Every command on servers of the past with the pgvector of their time: 0.5.1, 0.6.2, 0.7.4 and 0.8.0 as they were released."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Database, Server
from old_servers import RELEASES, old_installation
from psycopg import errors

from .conftest import World
from .test_corners import mapped, same_schema

LOGICAL = {"wal_level": "logical", "max_replication_slots": "8", "max_wal_senders": "8"}
NEAREST = "SELECT id FROM items ORDER BY v <-> '[0.3,0.8,0.2]' LIMIT 5"
WORK = """
INSERT INTO items (v) VALUES ('[1,2,3]'); UPDATE items SET v = '[4,5,6]' WHERE id < 5; DELETE FROM items WHERE id > 290;
INSERT INTO parts VALUES (1, 1000, '[3,4]', 1); UPDATE parts SET k = 2 WHERE k = 1 AND id < 20; DELETE FROM parts WHERE id = 50
"""


@pytest.fixture(scope="module", params=list(RELEASES))
def old_server(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Server]:
    installation = old_installation(request.param)
    made = Server(installation, scratch / f"old-{request.param}", LOGICAL)
    made.pgvector = request.param  # type: ignore[attr-defined]
    yield made
    made.stop("immediate")


@pytest.fixture
def old(old_server: Server, new_world: Callable[..., World]) -> World:
    """old.sql's database on such a server; from 0.7 on old07.sql's too."""
    later = () if old_server.pgvector < "0.7" else ("old07.sql",)  # type: ignore[attr-defined]
    return new_world(old_server, "old.sql", *later)


def test_pgvectors_own_columns_are_indexed(old: World) -> None:
    found = old.ruvector_json("assess", "--sample", "100")
    assert (found["pgvector"], found["blockers"]) == (old.server.pgvector, [])  # type: ignore[attr-defined]
    assert all("parallel" in t["strategies"] and "blue-green" in t["strategies"] for t in found["tables"])
    old.execute("SET enable_indexscan = off")
    exact = old.column(NEAREST)
    old.execute("RESET enable_indexscan; CREATE EXTENSION ruvector; DROP INDEX items_h")
    old.execute("CREATE INDEX linked ON items USING ruhnsw (v vector_l2_ops); SET enable_seqscan = off")
    assert "Index Scan using linked" in old.plan(NEAREST)
    assert old.column(NEAREST) == exact
    within = "SELECT count(*) FROM items WHERE v <-> '[0.3,0.8,0.2]' < 0.7"
    assert "linked" in old.plan(within)
    few = old.value(within)
    old.execute("SET enable_seqscan = on; SET enable_indexscan = off; SET enable_bitmapscan = off")
    assert few == old.value(within) > 0


def test_parallel_there_and_back(old: World) -> None:
    old.execute("CREATE EXTENSION ruvector")
    before = old.schema()
    old.ruvector("migrate", "--strategy", "parallel", "--index-option", "quantization=sq8")
    old.execute(WORK)
    assert old.ruvector_json("validate", "--queries", "2")["passed"]
    old.ruvector("cutover")
    old.execute(WORK.replace("1000", "1001").replace("290", "280").replace("= 50", "= 51"))
    assert old.ruvector_json("status")["run"]["phase"] == "cut over"
    assert old.ruvector_json("validate", "--queries", "2")["passed"]
    assert old.value("SELECT pg_typeof(v)::text FROM items LIMIT 1") == "ruvector"
    assert old.value("SELECT count(*) FROM near WHERE d < 100") > 0
    old.ruvector("rollback")
    old.ruvector("rollback")
    assert old.schema() == before


def test_in_place_there_and_back(old: World, tmp_path: Path) -> None:
    """The column that a generated one reads is left to the other strategies."""
    old.execute("CREATE EXTENSION ruvector; ALTER TABLE items DROP COLUMN norm")
    before, counted = old.schema(), old.value("SELECT count(*) FROM near WHERE d < 2")
    text = old.ruvector("migrate", "--strategy", "in-place", "--undo-file", str(tmp_path / "undo.sql"))
    assert "were not rewritten" in text
    same_schema(old.schema(), before)
    assert old.value("SELECT count(*) FROM near WHERE d < 2") == counted
    assert old.ruvector_json("validate", "--queries", "2")["passed"]
    old.ruvector("rollback")
    assert old.schema() == before
    old.ruvector("migrate", "--strategy", "in-place", "--undo-file", str(tmp_path / "again.sql"))
    old.ruvector("cutover")
    old.execute("DROP MATERIALIZED VIEW means")
    bits = old.column("SELECT indexdef FROM pg_indexes WHERE indexdef ~ 'bit_hamming_ops'")
    if bits:  # as the page says: they use pgvector's operator as long as it is there
        with pytest.raises(errors.DependentObjectsStillExist, match="wide_b"):
            old.execute("DROP EXTENSION vector")
        old.execute("DROP INDEX wide_b, wide_q")
    old.execute("DROP EXTENSION vector")
    for statement in bits:
        old.execute(statement.replace("ruvector.", ""))
    assert old.value("SELECT pg_typeof(v)::text FROM items LIMIT 1") == "ruvector"
    assert old.rows(NEAREST)


def test_blue_green_alone_needs_no_extension_here(old: World) -> None:
    """A server that nobody may install anything on is left by blue-green."""
    home = old.server.installation.sharedir / "extension"
    control = home / "ruvector.control"
    control.rename(home / "ruvector.away")
    try:
        text = old.ruvector("assess")
    finally:
        (home / "ruvector.away").rename(control)
    assert "this server: has no extension ruvector: install it first (not parallel, not in-place)" in text
    assert "Verdict: ready. parallel fits 0 of" in text and "Next: ruvector migrate --strategy blue-green" in text


def test_blue_green_into_the_newest(old: World, server: Server) -> None:
    """The old server has no ruvector, the new one no pgvector. Two releases by logical replication, two by the log."""
    how = "logical" if old.server.pgvector in ("0.5.1", "0.7.4") else "log"  # type: ignore[attr-defined]
    green = Database(server, server.create(()))
    target = ("--target-dsn", green.dsn)
    program = ("--pg-dump", str(old.server.installation.program("pg_dump")))
    before = old.schema()
    old.ruvector("migrate", "--strategy", "blue-green", "--replication", how, *program, *target)
    old.execute(WORK)
    assert "behind" in old.ruvector("status", *target)
    old.ruvector("cutover", *program, *target)
    text = World.schema(green)  # type: ignore[arg-type]
    assert {line for line in mapped(before) if " USING " in line} <= set(mapped(text))
    for table in ("items", "parts"):
        rows = f"SELECT id, v::text FROM {table} ORDER BY 1"
        assert green.rows(rows) == old.rows(rows), table
    green.execute("INSERT INTO items (v) VALUES ('[7,7,7]')")
    old.ruvector("rollback", *target)
    assert old.value("SELECT count(*) FROM items WHERE v = '[7,7,7]'") == 1
    assert old.schema() == before
    green.close()
    server.drop(green.name)
