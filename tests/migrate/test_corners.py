# SPDX-License-Identifier: PostgreSQL
"""Every strategy on corners.sql: names, constraints, rules, publications and privileges that are easily lost.

The measure is pg_dump: the schema after a migration is the schema before it with pgvector's names replaced, and a
rollback leaves it as it was, to the letter.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server, needs_extension

from .conftest import World, fill, make_roles

PARALLEL = ("migrate", "--strategy", "parallel")
# Statements that each need something of the triggers: rows that break a constraint until the last has changed, a key
# that is no primary key, rows that break a constraint nobody validated, a rule, partitions, keys that change.
WORK = """
UPDATE app.pos SET pos = pos + 1;
UPDATE app.nopk SET t = 'y', v = '[7,7]' WHERE k < 50; DELETE FROM app.nopk WHERE k = 60;
UPDATE app.nopk SET k = k + 1000 WHERE k = 61; INSERT INTO app.nopk VALUES (5000, '[1,1]', 'n');
UPDATE app.dirty SET v = '[9,9]' WHERE id < 30;
INSERT INTO app.rulev (v) VALUES ('[3,3]');
INSERT INTO app.parts VALUES ('q', 1, '[1,1,1]'), ('a', 1001, '[2,2,2]');
INSERT INTO app.parts_a (id, k, v) VALUES (2001, 'a', '[1,1,1]');
UPDATE app.parts SET k = 'b' WHERE k = 'a' AND id < 20;
UPDATE app."user" SET "order" = "order" + 1000 WHERE "order" > 250;
INSERT INTO app.empty VALUES (1, '[1,2,3]', '{1:1}/10');
UPDATE app.gen SET v = '[5,5,5]' WHERE id < 10;
UPDATE app.anydim SET v = NULL WHERE id < 10;
TRUNCATE app.unl; INSERT INTO app.unl VALUES (1, '[1,2,3]')
"""


def mapped(schema: str) -> list[str]:
    """pg_dump's lines with our names put back to pgvector's, in any order (a partition that was attached gets its parent's).

    A default operator class stands or not, as the access methods' defaults differ.
    """
    text = re.sub(r"\bruvector\.(halfvec|sparsevec)", r"public.\1", schema)
    text = text.replace("ruvector_reader", "reader").replace("ruvector_writer", "writer")
    text = text.replace("ruhnsw", "hnsw").replace("ruivfflat", "ivfflat").replace("ruvector", "vector")
    text = text.replace(" public.vector_l2_ops", "")
    return sorted(line.strip().removesuffix(",") for line in text.splitlines())


def in_partition(line: str) -> str:
    """Columns of a partition: with NOT NULL's name or without."""
    return re.sub(r" CONSTRAINT \S+ NOT NULL", " NOT NULL", line)


def same_schema(after: str, before: str) -> None:
    new, old = ({in_partition(line) for line in mapped(text)} for text in (after, before))
    assert new == old


@pytest.mark.core
def test_parallel_carries_everything(corners: World) -> None:
    before = corners.schema()
    corners.ruvector(*PARALLEL)
    corners.execute(WORK)
    assert corners.ruvector_json("validate", "--queries", "2")["passed"]
    corners.ruvector("cutover")
    corners.execute(WORK.replace("+ 1000", "+ 3000").replace("5000", "6000").replace("(1, '", "(2, '")
                    .replace("'q', 1", "'q', 2").replace("1001", "1002").replace("2001", "2002"))  # fmt: skip
    assert corners.ruvector_json("validate", "--queries", "2")["passed"]
    assert corners.value("SELECT d FROM app.parts WHERE id = 2002") == 7  # a partition's own default
    assert corners.value("SELECT min(o) FROM app.over_mv2") == 1
    corners.ruvector("cutover", "--drop-old")
    same_schema(corners.schema(), before)
    assert corners.column("SELECT * FROM app.near('[1,1,2]', 1)") == [1]


def test_parallel_goes_back(corners: World) -> None:
    before = corners.schema()
    corners.ruvector(*PARALLEL)
    corners.ruvector("cutover")
    served = corners.schema()
    published = "SELECT pubname, schemaname, tablename, attnames FROM pg_publication_tables ORDER BY 1, 2, 3"
    assert [row[:3] for row in corners.rows(published)] == [("app_pub", "app", "ser"), ("app_pub", "app", "user")]
    corners.ruvector("rollback")
    corners.ruvector("cutover")
    assert corners.schema() == served
    corners.ruvector("rollback")
    corners.ruvector("rollback")
    assert corners.schema() == before


def test_in_place_and_back(corners: World, tmp_path: Path) -> None:
    corners.execute((Path(__file__).parent / "blockers.sql").read_text())
    before = corners.schema()
    hard = [word for name in ("gen", "dom", "doms", "cmp") for word in ("--exclude", f"app.{name}")]
    text = corners.ruvector("migrate", "--strategy", "in-place", *hard, "--undo-file", str(tmp_path / "undo.sql"))
    assert "were not rewritten" in text
    corners.ruvector("validate", "--queries", "2")
    assert corners.value("SELECT count(*) FROM app.par WHERE pg_typeof(v)::text = 'ruvector'") == 100
    corners.ruvector("rollback")
    assert corners.schema() == before


@pytest.mark.parametrize("how", ["logical", "log"])
def test_blue_green_carries_everything(new_cluster: Callable[..., Server], how: str) -> None:
    """Under settings of the database that would change what crosses as text."""
    blue_server = new_cluster({"wal_level": "logical", "max_replication_slots": "8", "max_wal_senders": "8"})
    needs_extension(blue_server, "vector")
    name = blue_server.create(("vector",))
    fill(blue_server, name, "corners.sql", "blockers.sql")
    green_server = new_cluster(None)
    make_roles(green_server)
    with psycopg.connect(blue_server.dsn(name), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET datestyle = 'German, DMY'")  # type: ignore[arg-type]
        admin.execute(f"ALTER DATABASE {name} SET extra_float_digits = 0")  # type: ignore[arg-type]
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")  # type: ignore[arg-type]
    blue, green = World(blue_server, name), Database(green_server, green_server.create(()))
    blue.execute("CREATE TABLE app.plain (id date PRIMARY KEY, f float8, r real, i interval)")
    blue.execute("INSERT INTO app.plain SELECT date '2020-01-05' + g, 1.0 / (g + 2), 1.0::real / (g + 3),"
                 " make_interval(days => g, mins => g) FROM generate_series(1, 30) g")  # fmt: skip
    if how == "log":
        blue.execute("DROP TABLE app.nokey; ALTER TABLE app.nopk ADD PRIMARY KEY USING INDEX nopk_k")
    program = ("--pg-dump", str(blue_server.installation.program("pg_dump")))
    target = ("--target-dsn", green.dsn)
    before = blue.schema()
    blue.ruvector("migrate", "--strategy", "blue-green", "--replication", how, *program, *target)
    blue.execute("DELETE FROM app.plain WHERE id = '07.01.2020'; UPDATE app.plain SET f = f / 3")
    blue.execute(WORK)
    shown = blue.ruvector("cutover", "--dry-run", *program, *target)
    assert "this database has moved to" in shown
    assert "NOT VALID;" in shown
    blue.ruvector("validate", "--queries", "2", *target)
    blue.ruvector("cutover", *program, *target)
    rows = "SELECT to_char(id, 'YYYY-MM-DD'), float8send(f)::text, float4send(r)::text, extract(epoch FROM i) FROM app.plain"
    assert sorted(green.rows(rows)) == sorted(blue.rows(rows))
    assert green.rows("SELECT m::text, pg_typeof(m::ruvector)::text FROM app.dom WHERE id = 1") == [("[1,2,3]", "ruvector")]
    assert green.rows("SELECT (c).a, (c).v + '[1,1,1]' FROM app.cmp") == [(7, "[2,3,4]")]
    assert green.value("SELECT ms[2] <-> '[4,5,6]' FROM app.doms") == 0
    for table in ("par", "chi", "pos", "parts", "dirty", "unl", "ruled"):
        count = f"SELECT count(*), count(v) FROM app.{table}"
        assert green.rows(count) == blue.rows(count), table
    unchecked = "SELECT conname FROM pg_constraint WHERE NOT convalidated ORDER BY 1"
    assert green.column(unchecked) == blue.column(unchecked)
    green.execute("INSERT INTO app.plain VALUES ('2031-02-03', 0.1, 0.1, '1 day'); DELETE FROM app.pos WHERE id < 5")
    blue.ruvector("rollback", *target)
    assert blue.value("SELECT to_char(id, 'YYYY-MM-DD') FROM app.plain WHERE r = 0.1::real AND f = 0.1") == "2031-02-03"
    assert blue.value("SELECT count(*) FROM app.pos") == 96
    assert blue.schema() == before
    blue.close()
    green.close()


def test_a_table_of_that_name_is_refused_and_survives(corners: World) -> None:
    """The guide's own name for a double, made by hand before: neither migrate nor rollback touches it."""
    corners.execute("CREATE TABLE app.pos_ruvector AS SELECT 1 AS precious")
    text = corners.ruvector(*PARALLEL, code=1)
    assert "error: app.pos_ruvector exists already" in text
    corners.ruvector("rollback", code=1)
    assert corners.value("SELECT precious FROM app.pos_ruvector") == 1


def test_rollback_drops_only_doubles_it_made(corners: World) -> None:
    corners.ruvector(*PARALLEL, "--table", "pos", "--table", "gen")
    corners.execute("UPDATE ruvector_migration.step SET done = NULL WHERE title = 'the double of app.pos'")
    corners.execute("DROP TABLE app.pos_ruvector; CREATE TABLE app.pos_ruvector AS SELECT 1 AS precious")
    corners.execute('DROP TRIGGER "!ruvector_sync" ON app.pos; DROP TRIGGER "!ruvector_sync_truncate" ON app.pos')
    corners.ruvector("rollback")
    assert corners.value("SELECT precious FROM app.pos_ruvector") == 1
    assert corners.value("SELECT to_regclass('app.gen_ruvector')") is None


def test_dry_runs_change_nothing(corners: World) -> None:
    def state() -> list[object]:
        return [corners.schema(), corners.rows("SELECT * FROM ruvector_migration.run")]

    corners.ruvector(*PARALLEL, "--table", "pos", "--table", "gen")
    ready = state()
    assert "ALTER TABLE app.gen_ruvector RENAME TO gen" in corners.ruvector("cutover", "--dry-run")
    assert "DROP TABLE app.gen_ruvector, app.pos_ruvector" in corners.ruvector("rollback", "--dry-run")
    assert state() == ready
    corners.ruvector("cutover")
    served = state()
    assert "ALTER TABLE app.gen RENAME TO gen_ruvector" in corners.ruvector("rollback", "--dry-run")
    assert "DROP TABLE app.gen_pgvector_old" in corners.ruvector("cutover", "--drop-old", "--dry-run")
    assert state() == served


def test_what_stops_a_strategy_is_found(corners: World) -> None:
    corners.execute((Path(__file__).parent / "blockers.sql").read_text())
    corners.execute("CREATE FUNCTION app.seen(app.uv) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    corners.execute("CREATE PUBLICATION whole FOR ALL TABLES")
    text = corners.ruvector(*PARALLEL, "--table", "user", "--table", "par", code=1)
    for problem in (
        'app."user": is in publication "whole" with all tables',
        'app."user": is read by policy "o" of app.other',
        "app.par: has the child app.chi (not a partition)",
        "app.seen(app.uv): function takes or returns rows of app.uv",
    ):
        assert problem in text, problem
    corners.execute("DROP PUBLICATION whole; DROP FUNCTION app.seen")
    shown = corners.ruvector("assess", "--sample", "0")
    assert 'app.gen: generated column "norm" reads a vector column (not in-place)' in shown
    assert "parallel fits 14 of 22; in-place fits 18 of 22; blue-green fits all of 22" in shown


@pytest.mark.core
def test_what_holds_a_type_inside_another_is_refused_before_anything_changes(corners: World) -> None:
    """Domains, composites, arrays of them and ranges, columns that hold rows; the generated ones in place only."""
    corners.execute((Path(__file__).parent / "blockers.sql").read_text())
    corners.execute("CREATE TABLE app.holds (id int PRIMARY KEY, p app.pos, ps app.pos[])")
    corners.execute("CREATE TYPE app.span AS RANGE (subtype = vector)")
    corners.execute("CREATE TABLE app.spans (id int PRIMARY KEY, s app.span, m app.span[])")
    before = corners.schema()
    nested = {
        "dom": 'column "m" is a domain over vector: change the domain first',
        "doms": 'column "ms" is a domain over vector',
        "cmp": 'column "c" is a composite over vector',
        "spans": 'column "m" is a range over vector',
        "pos": 'its rows are what column "ps" of app.holds holds',
    }
    for strategy in ("parallel", "in-place"):
        for dry in ((), ("--dry-run",)):
            for table, problem in nested.items():
                text = corners.ruvector("migrate", "--strategy", strategy, "--table", table, *dry, code=1)
                assert f"app.{table}: {problem}" in text
                assert "hint: --strategy blue-green fits, or choose other tables with --table or --exclude." in text
    text = corners.ruvector("migrate", "--strategy", "in-place", "--table", "gen", code=1)
    assert 'app.gen: generated column "norm" reads a vector column' in text
    assert "hint: --strategy parallel fits" in text
    corners.execute("DROP SCHEMA ruvector_migration CASCADE")
    assert corners.schema() == before


def test_blue_green_refuses_what_it_would_lose(corners: World, server: Server) -> None:
    corners.execute("SELECT lo_create(0)")
    green = server.create(())
    start = ("migrate", "--strategy", "blue-green", "--replication", "log", "--target-dsn", server.dsn(green))
    assert "1 large objects would stay behind" in corners.ruvector(*start, code=1)
    server.drop(green)


def test_pgvector_in_another_schema(server: Server, new_world: Callable[..., World]) -> None:
    world = new_world(server, "elsewhere.sql", extensions=())
    before = world.schema()
    world.ruvector(*PARALLEL)
    assert world.ruvector_json("validate", "--queries", "2")["passed"]
    world.ruvector("cutover")
    assert world.value("SELECT pg_typeof(v)::text FROM docs LIMIT 1") == "ext.ruvector"
    assert "USING ruhnsw (v ext.ruvector_cosine_ops)" in world.value("SELECT pg_get_indexdef('docs_v'::regclass)")
    world.ruvector("rollback")
    world.ruvector("rollback")
    world.execute("DROP EXTENSION ruvector CASCADE")
    assert world.schema() == before


def test_its_owner_can_migrate_a_table(corners: World, server: Server) -> None:
    """No superuser is needed once the extension is there."""
    corners.execute("GRANT CREATE ON SCHEMA app TO ruvector_writer; ALTER ROLE ruvector_writer LOGIN")
    corners.execute(f"GRANT CREATE ON DATABASE {corners.name} TO ruvector_writer")
    before = corners.schema()
    corners.dsn = psycopg.conninfo.make_conninfo(corners.dsn, user="ruvector_writer")
    corners.ruvector(*PARALLEL, "--table", "pos")
    corners.ruvector("validate", "--queries", "2")
    corners.ruvector("cutover")
    corners.execute("UPDATE app.pos SET pos = pos + 1")
    corners.ruvector("rollback")
    corners.ruvector("rollback")
    corners.dsn = server.dsn(corners.name)
    assert corners.schema() == before


def test_status_tells_where_it_stands(corners: World) -> None:
    corners.ruvector(*PARALLEL, "--table", "gen")
    corners.execute("UPDATE ruvector_migration.run SET phase = 'index'")
    corners.execute("UPDATE ruvector_migration.step SET done = NULL WHERE phase = 'keys'")
    text = corners.ruvector("status")
    assert "app.gen: all 100 rows copied" in text
    assert "steps left: keys 1" in text
    assert "next: ruvector migrate, to go on; ruvector rollback, to give up" in text


def test_help_names_every_command() -> None:
    import sys

    from .conftest import MAIN

    for command in ("assess", "migrate", "validate", "cutover", "rollback", "status"):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, command, "--help"], capture_output=True, text=True, check=True
        )
        assert "--json" in done.stdout


def test_index_options_replace_and_are_tried_first(corners: World) -> None:
    text = corners.ruvector(*PARALLEL, "--index-option", "quantization=foo", code=1)
    assert (
        'error: index "Idx "q"" of app."user" cannot be built: invalid value for enum option "quantization": foo'
        in text
    )
    assert corners.value("SELECT to_regclass('app.user_ruvector')") is None
    options = ("--index-option", "m=32", "--index-option", "quantization = f16", "--index-option", "lists=7")
    corners.ruvector(*PARALLEL, *options)
    found = "SELECT reloptions FROM pg_class WHERE relname = %s"
    assert corners.value(found, ['Idx "q"_ruvector']) == ["m=32", "quantization=f16"]
    assert corners.value(found, ['Ta.b "le_V e.c_idx_ruvector']) == ["lists=7", "quantization=f16"]
