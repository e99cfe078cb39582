# SPDX-License-Identifier: PostgreSQL
"""A table hash-partitioned over three servers with postgres_fdw: docs/sharding.md, as written there.

A coordinator and three shards, each a cluster of its own, made by the statements of the page: only addresses are put in,
and the statements for the first shard repeated for the others. Queries must reach every shard's index, and what comes back
must be what one machine with all the rows returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg
import pytest
from harness import Database, Server, installations

TOP = Path(__file__).parents[2]
DATA = TOP / "data"
ROWS = 3000
SHARDS = 3


def text(vector: np.ndarray) -> str:  # type: ignore[type-arg]
    return "[" + ",".join(str(x) for x in vector.astype(np.float32).tolist()) + "]"


class Sharded(NamedTuple):
    """The coordinator's database, and the shards behind it."""

    db: Database
    shards: list[Database]
    queries: list[str]


def load(conn: psycopg.Connection[tuple[object, ...]], table: str) -> None:
    base = np.load(DATA / "text384_base.npy")[:ROWS]
    with conn.cursor() as cursor, cursor.copy(f"COPY {table} (id, embedding) FROM STDIN") as copy:  # type: ignore[arg-type]
        for i, vector in enumerate(base):
            copy.write_row((i, text(vector)))


def page() -> tuple[str, str, str]:
    """The page's SQL: what every shard runs, what it runs after loading, what the coordinator runs."""
    blocks = re.findall(r"^```sql\n(.*?)^```", (TOP / "docs/sharding.md").read_text(), re.MULTILINE | re.DOTALL)
    on_shard, indexed, on_coordinator = blocks
    return on_shard, indexed, on_coordinator


def addressed(code: str, number: int, shard: Database) -> str:
    """The statements for the first shard as those for another, with its address."""
    for old, new in (
        ("shard0.example", str(shard.server.socket_dir)),
        ("'5432'", f"'{shard.conn.info.port}'"),
        ("dbname 'app'", f"dbname '{shard.name}'"),
        ("user 'app'", f"user '{shard.conn.info.user}'"),
        ("shard0", f"shard{number}"),
        ("items_0", f"items_{number}"),
        ("REMAINDER 0", f"REMAINDER {number}"),
    ):
        assert old in code, old
        code = code.replace(old, new)
    return code


@pytest.fixture(scope="module")
def sharded(scratch: Path) -> Iterator[Sharded]:
    found = [one for one in installations() if one.has_extension("postgres_fdw")]
    if not found:
        pytest.skip("none of the servers of RUVECTOR_TEST_PG has postgres_fdw")
    servers = [Server(found[0], scratch / f"shard{i}") for i in range(SHARDS + 1)]
    coordinator, *nodes = servers
    shards = [node.database(()) for node in nodes]
    db = coordinator.database(())
    on_shard, indexed, on_coordinator = page()
    for shard in shards:
        shard.execute(on_shard)
    common, for_one = on_coordinator.split("CREATE SERVER", 1)
    for_one, after = for_one.split("-- likewise")
    db.execute(common)
    for i, shard in enumerate(shards):
        db.execute(addressed("CREATE SERVER" + for_one, i, shard))
    load(db.conn, "items")
    for shard in shards:
        for statement in indexed.split(";"):
            shard.execute(statement)
    db.execute(after.split("\n", 1)[1])
    db.execute("CREATE TABLE all_items (id bigint PRIMARY KEY, embedding ruvector(384))")
    load(db.conn, "all_items")
    queries = [text(q) for q in np.load(DATA / "text384_queries.npy")[:20]]
    yield Sharded(db, shards, queries)
    for database in (db, *shards):
        database.close()
    for server in servers:
        server.stop("immediate")


def test_rows_are_spread(sharded: Sharded) -> None:
    counts = [shard.value("SELECT count(*) FROM items") for shard in sharded.shards]
    assert sum(counts) == ROWS
    assert min(counts) > ROWS / SHARDS * 0.8


def test_nearest_neighbours_use_every_shards_index(sharded: Sharded) -> None:
    statement = "SELECT id FROM items ORDER BY embedding <-> %s::ruvector LIMIT 10"
    plan = sharded.db.plan(statement, [sharded.queries[0]], options="VERBOSE, COSTS OFF")
    remote = [line for line in plan.splitlines() if "Remote SQL" in line]
    assert "Merge Append" in plan
    assert len(remote) == SHARDS and all("ORDER BY (embedding" in line for line in remote), plan
    for i, shard in enumerate(sharded.shards):
        shard.execute("SET cursor_tuple_fraction = 0.001")
        with shard.conn.transaction():
            local = "\n".join(
                row[0]
                for row in shard.rows(
                    "EXPLAIN DECLARE c CURSOR FOR SELECT id FROM items ORDER BY embedding <-> %s::ruvector ASC NULLS LAST".replace(
                        "%s", f"'{sharded.queries[0]}'"
                    )
                )
            )
        assert "Index Scan using items_idx" in local, f"shard {i}: {local}"


def test_nearest_neighbours_are_those_of_one_machine(sharded: Sharded) -> None:
    """Each shard returns its own nearest with the recall of its index; measured 0.99 to 1.00 over 20 queries."""
    found = 0
    for query in sharded.queries:
        rows = sharded.db.rows("SELECT id, embedding <-> %s::ruvector AS d FROM items ORDER BY d LIMIT 10", [query])
        distances = [row[1] for row in rows]
        assert distances == sorted(distances)
        assert len(rows) == 10
        truth = sharded.db.column("SELECT id FROM all_items ORDER BY embedding <-> %s::ruvector LIMIT 10", [query])
        found += len({row[0] for row in rows} & set(truth))
    assert found >= 0.95 * 10 * len(sharded.queries)


def test_thresholds_are_answered_on_the_shards(sharded: Sharded) -> None:
    for query in sharded.queries[:5]:
        radius = sharded.db.value(
            "SELECT d FROM (SELECT embedding <-> %s::ruvector AS d FROM all_items) AS x ORDER BY d OFFSET 30 LIMIT 1",
            [query],
        )
        statement = "SELECT id FROM items WHERE embedding <-> %s::ruvector < %s"
        plan = sharded.db.plan(statement, [query, radius], options="VERBOSE, COSTS OFF")
        assert plan.count("Remote SQL") == SHARDS
        assert plan.count("WHERE (((embedding") == SHARDS, plan
        assert "Filter" not in plan
        expected = sharded.db.column("SELECT id FROM all_items WHERE embedding <-> %s::ruvector < %s", [query, radius])
        assert sorted(sharded.db.column(statement, [query, radius])) == sorted(expected)
        assert len(expected) == 30


def test_a_dead_shard_is_named(sharded: Sharded) -> None:
    """Last: the shard stays down."""
    sharded.db.reconnect()
    sharded.shards[1].server.stop("immediate")
    with pytest.raises(psycopg.Error) as raised:
        sharded.db.rows("SELECT id FROM items ORDER BY embedding <-> %s::ruvector LIMIT 10", [sharded.queries[0]])
    assert 'could not connect to server "shard1"' in str(raised.value)
    assert raised.value.sqlstate == "08001"
