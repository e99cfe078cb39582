# SPDX-License-Identifier: PostgreSQL
"""The parallel strategy on a database with one of everything: under load, killed, rolled back at each point."""

from __future__ import annotations

import re
import signal
import time

import psycopg
import pytest
from harness import Server

from .conftest import World
from .load import Load

START = ("migrate", "--strategy", "parallel", "--table", "items", "--table", "child", "--table", "Docs")
# Everything that differs between the two doubles, apart from the types: nothing.
SAME = """
SELECT count(*) FROM (SELECT id, slug, category_id, parent_id, embedding::text, half::text, sparse::text, tags::text, body,
created, updated, length FROM {a}) a FULL JOIN (SELECT id, slug, category_id, parent_id, embedding::text, half::text,
sparse::text, tags::text, body, created, updated, length FROM {b}) b ON b = a WHERE a IS NULL OR b IS NULL"""


def difference(world: World, a: str, b: str) -> int:
    return int(world.value(SAME.format(a=a, b=b)))


@pytest.mark.core
def test_migration_under_load_loses_nothing(world: World) -> None:
    with Load(world.dsn) as load:
        world.ruvector(*START, "--batch-rows", "200")
        time.sleep(0.3)
        assert world.ruvector_json("validate", "--queries", "3")["passed"]
        world.ruvector("cutover")
        time.sleep(0.5)
        world.ruvector("validate", "--queries", "3")
    assert load.failures == []
    assert load.statements > 100
    assert world.value("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'items'::regclass"
                       " AND attname = 'embedding'") == "ruvector"  # fmt: skip
    load.check(world.conn, "items")
    load.check(world.conn, "items_pgvector_old")
    assert difference(world, "items", "items_pgvector_old") == 0
    status = world.ruvector_json("status")
    assert status["run"]["phase"] == "cut over"
    assert status["run"]["longest_lock_ms"] > 0


def test_rollback_after_cutover_under_load_loses_nothing(world: World) -> None:
    world.ruvector(*START)
    before = world.value("SELECT count(*) FROM items")
    with Load(world.dsn) as load:
        world.ruvector("cutover")
        time.sleep(0.5)
        world.ruvector("rollback")
        time.sleep(0.3)
    assert load.failures == []
    assert world.phase() == "ready"
    assert world.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "vector"
    load.check(world.conn, "items")
    load.check(world.conn, "items_ruvector")
    assert world.value("SELECT count(*) FROM items") != before
    world.ruvector("cutover")
    load.check(world.conn, "items")


@pytest.mark.core
def test_rollback_leaves_the_schema_as_it_was(world: World) -> None:
    world.execute("CREATE EXTENSION ruvector")
    before = world.schema()
    world.ruvector(*START)
    world.ruvector("cutover")
    assert "ruvector(8)" in world.schema()
    world.ruvector("rollback")
    world.ruvector("rollback")
    assert world.schema() == before
    assert world.phase() == "rolled back"
    world.ruvector("rollback", code=1)


def test_everything_is_carried_over(world: World) -> None:
    """The new schema is the old one with pgvector's names replaced, and nothing else, once the old tables are gone."""
    world.execute("CREATE EXTENSION ruvector")
    query = (
        "SELECT c.relname, pg_get_indexdef(c.oid), obj_description(c.oid) FROM pg_class c JOIN pg_index i"
        " ON i.indexrelid = c.oid WHERE c.relnamespace IN ('public'::regnamespace, '\"App Data\"'::regnamespace) ORDER BY 1"
    )
    triggers = "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    keys = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE connamespace IN ('public'::regnamespace, '\"App Data\"'::regnamespace) ORDER BY 1, 2"
    )
    rights = (
        "SELECT relname, relacl, relrowsecurity, relforcerowsecurity, reloptions, obj_description(oid) FROM pg_class"
        " WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    policies = "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    queries = (query, triggers, keys, rights, policies)

    def shown() -> list[str]:
        """The catalog with our names put back to pgvector's; an ivfflat index's class stands or not, as it is the default."""
        rows = [repr(row) for text in queries for row in world.rows(text)]
        rows = [r.replace("ruhnsw", "hnsw").replace("ruivfflat", "ivfflat").replace("ruvector", "vector") for r in rows]
        rows = [re.sub(r"\bvector\.(halfvec|sparsevec|bit)", r"\1", r) for r in rows]
        return sorted(r.replace("embedding vector_l2_ops", "embedding") for r in rows)

    before = shown()
    world.ruvector(*START)
    world.ruvector("cutover")
    world.ruvector("cutover", "--drop-old")
    assert shown() == before
    assert world.value("SELECT to_regclass('items_pgvector_old')") is None
    assert world.phase() == "finished"
    # Sequences go on: the next identity value is new, and goes with the table that is left.
    top = world.value("SELECT max(id) FROM items")
    assert world.value("INSERT INTO items (slug) VALUES ('next') RETURNING id") == top + 1
    assert world.value("SELECT pg_get_serial_sequence('child', 'id')") == "public.child_id_seq"


@pytest.mark.parametrize("where", ["backfill", "index", "keys"])
def test_a_killed_run_goes_on(world: World, where: str) -> None:
    """Killed without a chance to clean up as soon as it is in a phase; a second run ends it, and nothing is twice."""
    process = world.spawn(*START, "--batch-rows", "20")
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if world.value("SELECT to_regclass('ruvector_migration.run')") and world.rows(
            "SELECT 1 FROM ruvector_migration.run WHERE phase = %s", (where,)
        ):
            break
        if process.poll() is not None:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    world.execute("INSERT INTO items (slug) VALUES ('between')")
    world.ruvector("migrate")
    assert world.phase() == "ready"
    assert difference(world, "items", "items_ruvector") == 0
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert world.value(invalid) == 0
    world.ruvector("rollback")
    assert world.rows("SELECT relname FROM pg_class WHERE relname LIKE '%\\_ruvector'") == []


def test_cutover_refuses_a_changed_table(world: World) -> None:
    world.ruvector(*START)
    world.execute("ALTER TABLE items ADD COLUMN late int")
    text = world.ruvector("cutover", code=1)
    assert "error: columns of public.items changed since the migration began" in text
    world.execute("ALTER TABLE items DROP COLUMN late")
    world.ruvector("cutover")


def test_cutover_yields_to_a_long_transaction(world: World) -> None:
    """The exchange waits no longer than its timeout at a time, so that others get through between its attempts."""
    world.ruvector(*START)
    with world.connect() as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM items")
        process = world.spawn("cutover", "--lock-timeout", "50")
        time.sleep(1.5)
        assert process.poll() is None
        started = time.monotonic()
        with world.connect() as reader:
            reader.execute("SELECT count(*) FROM items")
        assert time.monotonic() - started < 1
        other.execute("COMMIT")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert world.phase() == "cut over"


def test_truncate_and_key_changes_are_carried(world: World) -> None:
    world.ruvector("migrate", "--strategy", "parallel", "--table", "Docs", "--table", "plain")
    world.execute('UPDATE "App Data"."Docs" SET a = a + 400, b = b || \'x\' WHERE a BETWEEN 90 AND 200')
    world.execute("UPDATE plain SET id = -id")
    left = world.rows('SELECT a, b, "Vec"::text FROM "App Data"."Docs" ORDER BY 1, 2')
    assert world.rows('SELECT a, b, "Vec"::text FROM "App Data"."Docs_ruvector" ORDER BY 1, 2') == left
    assert world.value("SELECT max(id) FROM plain_ruvector") == -1
    world.execute('TRUNCATE "App Data".docs_2a')
    assert world.value('SELECT count(*) FROM "App Data".docs_2a_ruvector') == 0
    world.execute("TRUNCATE plain")
    assert world.value("SELECT count(*) FROM plain_ruvector") == 0


def test_dry_run_changes_nothing(world: World) -> None:
    before = world.schema()
    text = world.ruvector(*START, "--dry-run")
    assert "USING ruhnsw (embedding public.ruvector_l2_ops) WITH (m = '8', ef_construction = '40')" in text
    assert world.schema() == before
    assert world.value("SELECT to_regnamespace('ruvector_migration')") is None


def test_a_table_without_a_key_is_refused(world: World) -> None:
    text = world.ruvector("migrate", "--strategy", "parallel", "--table", "nokey", code=1)
    assert "has neither a primary key nor a replica identity index" in text


def test_two_commands_at_once_are_refused(world: World, server: Server) -> None:
    world.ruvector(*START)
    with psycopg.connect(world.dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('ruvector_migration', 0))")
        process = world.spawn("cutover")
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "another migration command is at work" in out
