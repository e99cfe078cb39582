# SPDX-License-Identifier: PostgreSQL
"""assess: what it finds, what it says of each strategy, the guide's numbers and those of the sample."""

from __future__ import annotations

import psycopg
import pytest
from harness import Database

from ruvector_fdw.migrate.assess import guide_row

from .conftest import MAIN, World


@pytest.mark.core
def test_finds_what_is_there(world: World) -> None:
    found = world.ruvector_json("assess", "--sample", "300")
    tables = {t["name"]: t for t in found["tables"]}
    assert set(tables) == {
        "public.items",
        "public.child",
        "public.nokey",
        "public.bits",
        "public.plain",
        '"App Data"."Docs"',
    }
    items = tables["public.items"]
    assert items["rows"] == 1200
    assert len(items["indexes"]) == 6
    assert "items_hnsw hnsw vector_l2_ops (m=8, ef_construction=40)" in items["indexes"]
    assert items["strategies"] == ["parallel", "in-place", "blue-green"]
    assert items["estimate"]["guide_minutes"] == [30, 60]
    assert items["estimate"]["guide_ram_gib"] == 4
    assert items["estimate"]["sample_rows"] >= 100
    assert items["estimate"]["measured_extra_bytes"] > 100_000
    assert tables["public.nokey"]["strategies"] == ["in-place", "blue-green"]
    assert tables['"App Data"."Docs"']["partitions"] == 4
    assert found["views"] == ["public.items_mv", "public.items_near", "public.items_near2"]
    assert found["blockers"] == []


def test_changes_nothing(world: World) -> None:
    before = world.schema()
    world.ruvector("assess")
    assert world.schema() == before


def test_says_what_stands_in_the_way(world: World) -> None:
    world.execute("CREATE DOMAIN meaning AS vector(3); CREATE TABLE d (id int PRIMARY KEY, m meaning)")
    world.execute("CREATE FUNCTION near(vector) RETURNS SETOF items LANGUAGE sql AS 'SELECT * FROM items'")
    world.execute("CREATE RULE r AS ON DELETE TO plain DO INSTEAD NOTHING")
    text = world.ruvector("assess", "--sample", "0")
    assert 'public.d: column "m" is a domain over vector: change the domain first (not parallel, not in-place)' in text
    assert "function takes or returns rows of public.items" in text or "rows of items" in text
    assert 'rule "r" on the table' in text
    assert "Verdict: 1 of 7 tables need work first" not in text


def test_without_pgvector_there_is_nothing_to_do(db: Database) -> None:
    text = World(db.server, db.name)
    try:
        shown = text.ruvector("assess", code=1)
    finally:
        text.close()
    assert "extension vector is not installed in this database" in shown


@pytest.mark.parametrize(
    ("rows", "minutes", "ram"),
    [(999_999, (30, 60), 4), (1_000_000, (60, 240), 16), (9_999_999, (60, 240), 16), (10_000_000, (240, 720), 32),
     (99_999_999, (240, 720), 32), (100_000_000, (720, None), 64)],
)  # fmt: skip
def test_the_guides_table(rows: int, minutes: tuple[int, int | None], ram: int) -> None:
    assert guide_row(rows)[1:] == (*minutes, ram)


def test_a_server_that_is_not_there(world: World) -> None:
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", MAIN, "assess", "--dsn", "postgresql://me:s3cret@127.0.0.1:1/none"],
        env={**os.environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: could not connect to 127.0.0.1:1/none")
    assert "s3cret" not in done.stdout + done.stderr


def test_a_partial_index_over_mixed_dims_is_sampled(corners: World) -> None:
    """The sample's index has the predicate: without it the rows of other dims would be an error."""
    tables = {t["name"]: t for t in corners.ruvector_json("assess", "--sample", "90")["tables"]}
    estimate = tables["app.anydim"]["estimate"]
    assert estimate["note"] is None
    assert estimate["measured_index_ram_bytes"] > 0
    assert tables["app.empty"]["estimate"]["note"] == "too few rows to sample"


def test_the_report_has_a_line_for_a_table(corners: World) -> None:
    text = corners.ruvector("assess")
    [line] = [line for line in text.splitlines() if "app.dirty" in line]
    assert "100" in line
    assert "v vector(2)" in line
    assert "30-60 min, 64 kB, 4 GB" in line
    assert "15 in all" in text
    assert "30-60 min, " in text.split("15 in all")[1]  # the guide's row for all of them, not the sum of their rows


def test_without_a_sample_there_is_still_a_report(corners: World) -> None:
    """Where no temporary table may be made (as on a replica) the report says so."""
    corners.execute("REVOKE TEMP ON DATABASE " + corners.name + " FROM PUBLIC; ALTER ROLE ruvector_writer LOGIN")
    corners.execute("GRANT SELECT ON app.gen TO ruvector_writer")
    corners.dsn = psycopg.conninfo.make_conninfo(corners.dsn, user="ruvector_writer")
    [table] = corners.ruvector_json("assess", "--table", "gen")["tables"]
    assert table["estimate"]["note"].startswith("no sample: permission denied to create temporary tables")
