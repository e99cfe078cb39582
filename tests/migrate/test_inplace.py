# SPDX-License-Identifier: PostgreSQL
"""The in-place strategy: no rewrite, everything that named the old types back in its place, undo by the tool and by the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import Server

from .conftest import World

START = ("migrate", "--strategy", "in-place")
NODES = (
    "SELECT c.relname, c.relfilenode FROM pg_class c WHERE relkind IN ('r', 't') AND (relname IN ('plain', 'child', 'nokey',"
    " 'docs_1', 'docs_2a') OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relname IN ('plain', 'child', 'docs_1')))"
    " ORDER BY 1"
)
ROWS = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM {} t"


@pytest.mark.core
def test_converts_without_a_rewrite_and_back(world: World, tmp_path: Path) -> None:
    world.execute("CREATE EXTENSION ruvector")
    before, nodes = world.schema(), world.rows(NODES)
    rows = [world.value(ROWS.format(name)) for name in ("items", "plain", "child", "items_mv")]
    undo = tmp_path / "undo.sql"
    text = world.ruvector(*START, "--undo-file", str(undo), "--allow-rewrite")
    assert "were not rewritten" in text
    assert world.rows(NODES) == nodes
    assert world.phase() == "converted"
    columns = "SELECT DISTINCT t.typname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')"
    columns += " JOIN pg_type t ON t.oid = a.atttypid JOIN pg_depend d ON d.objid = t.oid AND d.deptype = 'e'"
    columns += " JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = 'vector'"
    assert world.rows(columns) == []
    methods = "SELECT DISTINCT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'i' ORDER BY 1"
    assert world.column(methods) == ["btree", "ruhnsw", "ruivfflat"]
    assert world.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert [world.value(ROWS.format(name)) for name in ("items", "plain", "child", "items_mv")] == rows
    assert world.value("SELECT convalidated FROM pg_constraint WHERE conname = 'dims_ok'")
    world.ruvector("validate", "--queries", "3")
    world.ruvector("rollback")
    assert world.schema() == before
    assert world.phase() == "rolled back"
    assert undo.stat().st_mode & 0o077 == 0


def test_the_undo_script_is_enough(world: World, tmp_path: Path, server: Server) -> None:
    world.execute("CREATE EXTENSION ruvector")
    before = world.schema()
    undo = tmp_path / "undo.sql"
    world.ruvector(*START, "--undo-file", str(undo), "--allow-rewrite")
    psql = server.installation.program("psql")
    done = subprocess.run(
        [psql, "-d", world.dsn, "-q", "-v", "ON_ERROR_STOP=1", "-f", undo], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert world.schema() == before


def test_a_rewrite_is_refused_beforehand(world: World, tmp_path: Path) -> None:
    world.execute("CREATE EXTENSION ruvector")
    before = world.schema()
    undo = tmp_path / "undo.sql"
    text = world.ruvector(*START, "--undo-file", str(undo), code=1)
    assert "the server would rewrite public.items under an exclusive lock" in text
    assert world.schema() == before
    assert not undo.exists()


def test_an_existing_undo_script_is_kept(world: World, tmp_path: Path) -> None:
    undo = tmp_path / "undo.sql"
    undo.write_text("mine")
    text = world.ruvector(*START, "--table", "plain", "--undo-file", str(undo), code=1)
    assert "exists already" in text
    assert undo.read_text() == "mine"


def test_killed_between_the_indexes_it_goes_on(world: World, tmp_path: Path) -> None:
    process = world.spawn(*START, "--undo-file", str(tmp_path / "undo.sql"), "--allow-rewrite")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("CREATE INDEX CONCURRENTLY"):
            break
    process.kill()
    process.communicate()
    world.ruvector("migrate")
    assert world.phase() == "converted"
    assert world.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    methods = "SELECT DISTINCT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'i' ORDER BY 1"
    assert world.column(methods) == ["btree", "ruhnsw", "ruivfflat"]


def test_killed_it_can_be_undone(world: World, tmp_path: Path) -> None:
    world.execute("CREATE EXTENSION ruvector")
    before = world.schema()
    process = world.spawn(*START, "--undo-file", str(tmp_path / "undo.sql"), "--allow-rewrite")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("CREATE INDEX CONCURRENTLY"):
            break
    process.kill()
    process.communicate()
    world.ruvector("rollback")
    assert world.schema() == before


def test_a_generated_column_stands_in_the_way(world: World) -> None:
    world.execute("CREATE TABLE made (id int PRIMARY KEY, v vector(2), w vector(2) GENERATED ALWAYS AS (v * v) STORED)")
    text = world.ruvector(*START, "--table", "made", code=1)
    assert 'public.made: column "w" is generated' in text
