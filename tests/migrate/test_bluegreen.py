# SPDX-License-Identifier: PostgreSQL
"""The blue-green strategy: by logical replication and by the change log; switch, rollback with green's changes, refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from harness import Database, Server, needs_extension

from .conftest import World, fill, make_roles

CLEAN = "DELETE FROM refs WHERE id > 900; UPDATE items SET body = 'changed' WHERE id % 7 = 0"
LOGICAL = {"wal_level": "logical", "max_replication_slots": "8", "max_wal_senders": "8"}


@pytest.fixture
def pair(new_cluster: Callable[..., Server]) -> Iterator[tuple[World, Database]]:
    """Blue, full, with wal_level logical, and an empty database on another server."""
    blue = new_cluster(LOGICAL)
    needs_extension(blue, "vector")
    name = blue.create(("vector",))
    fill(blue, name)
    green = new_cluster(None)
    make_roles(green)
    world, database = World(blue, name), Database(green, green.create(()))
    # A table without a key can be replicated (logical), but not logged.
    yield world, database
    world.close()
    database.close()


def rows(database: Database) -> list[str]:
    """Every row of the tables that matter, as text."""
    queries = (
        "SELECT id, slug, category_id, parent_id, embedding::text, half::text, sparse::text, tags::text, body FROM items",
        'SELECT a, b, "Vec"::text FROM "App Data"."Docs"',
        "SELECT id, item, v::text FROM child",
        "SELECT id, item, note FROM refs",
        "SELECT id, v::text FROM plain",
    )
    return [repr(row) for query in queries for row in database.rows(f"SELECT * FROM ({query}) q ORDER BY 1, 2")]


@pytest.mark.parametrize("how", ["logical", "log"])
def test_switch_and_back(pair: tuple[World, Database], how: str) -> None:
    blue, green = pair
    program = str(blue.server.installation.program("pg_dump"))
    target = ("--target-dsn", green.dsn)
    if how == "log":
        blue.execute("DROP TABLE nokey; ALTER TABLE audit ADD PRIMARY KEY (n)")
    text = blue.ruvector("migrate", "--strategy", "blue-green", "--replication", how, "--pg-dump", program, *target)
    assert "CREATE SUBSCRIPTION" in text if how == "logical" else "COPY public.items" in text
    blue.execute(CLEAN)
    blue.execute("INSERT INTO items (slug) VALUES ('late'); UPDATE plain SET id = -id WHERE id < 10; TRUNCATE audit")
    assert "behind" in blue.ruvector("status", *target)
    blue.ruvector("validate", "--queries", "2", *target)
    blue.ruvector("cutover", "--pg-dump", program, *target)
    assert blue.phase() == "cut over"
    assert rows(green) == rows(blue)
    assert green.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "ruvector"
    assert green.value("SELECT count(*) FROM items_near2") >= 0
    assert green.value("SELECT count(*) FROM items_mv") == blue.value("SELECT count(*) FROM items_mv")
    assert "ruhnsw" in green.value("SELECT pg_get_indexdef('items_hnsw'::regclass)")
    keys = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conname NOT LIKE '%run_fkey' ORDER BY 1, 2"
    assert green.rows(keys) == blue.rows(keys)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="this database has moved to"):
        blue.execute("DELETE FROM items WHERE id = 1")
    new = green.value("INSERT INTO items (slug, embedding) VALUES ('on green', '[1,2,3,4,5,6,7,8]') RETURNING id")
    assert new == green.value("SELECT max(id) FROM items")
    green.execute("DELETE FROM refs WHERE id < 5; UPDATE plain SET v = '[9,9,9,9]' WHERE id = 100")
    blue.ruvector("rollback", *target)
    assert rows(green) == rows(blue)
    assert blue.value("SELECT slug FROM items WHERE id = %s", (new,)) == "on green"
    blue.execute("INSERT INTO items (slug) VALUES ('blue serves')")
    assert blue.value("SELECT count(*) FROM pg_publication") == 0
    assert blue.value("SELECT count(*) FROM pg_replication_slots") == 0
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        green.execute("DELETE FROM items WHERE id = 1")


def test_killed_in_the_copy_it_goes_on(pair: tuple[World, Database]) -> None:
    blue, green = pair
    program = str(blue.server.installation.program("pg_dump"))
    blue.execute("DROP TABLE nokey; ALTER TABLE audit ADD PRIMARY KEY (n)")
    start = (
        "migrate",
        "--strategy",
        "blue-green",
        "--replication",
        "log",
        "--pg-dump",
        program,
        "--target-dsn",
        green.dsn,
    )
    process = blue.spawn(*start)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if blue.value("SELECT to_regclass('ruvector_migration.change') IS NOT NULL"):
            break
    process.kill()
    process.communicate()
    blue.execute(CLEAN)
    blue.ruvector(*start)
    assert blue.phase() == "following"
    assert rows(green) == rows(blue)
    blue.ruvector("rollback", "--target-dsn", green.dsn)
    assert blue.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!ruvector%'") == 0


def test_what_cannot_be_is_said_first(pair: tuple[World, Database]) -> None:
    blue, green = pair
    start = ("migrate", "--strategy", "blue-green")
    assert "needs --target-dsn" in blue.ruvector(*start, code=2)
    text = blue.ruvector(*start, "--replication", "log", "--target-dsn", green.dsn, code=1)
    assert "has no primary key: its changes cannot be followed" in text
    green.execute("CREATE TABLE something (a int)")
    assert "the target database is not empty" in blue.ruvector(*start, "--target-dsn", green.dsn, code=1)
    assert blue.value("SELECT count(*) FROM ruvector_migration.run") == 0


def test_passwords_are_never_shown(pair: tuple[World, Database]) -> None:
    blue, green = pair
    program = str(blue.server.installation.program("pg_dump"))
    secret = psycopg.conninfo.make_conninfo(blue.dsn, password="s3cret'word")
    text = blue.ruvector(
        "migrate",
        "--strategy",
        "blue-green",
        "--pg-dump",
        program,
        "--target-dsn",
        green.dsn,
        "--replication-dsn",
        secret,
    )
    assert "CREATE SUBSCRIPTION" in text
    assert "password=****" in text
    assert "s3cret" not in text
    blue.ruvector("rollback", "--target-dsn", green.dsn)
