# SPDX-License-Identifier: PostgreSQL
"""A table over three servers of postgres_fdw beside the same rows on one: docs/sharding.md, measured.

All four servers share this machine, so the figures show what the coordinator adds, not what three machines would give.
Needs a PostgreSQL with postgres_fdw, which the embedded ones are not: --shards-pg names it, and is given the extension.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from measuring import Context, Result, Row, latencies_ms, middle_and_p95
from systems import HNSW, run

from ruvector_fdw.demo import measure
from ruvector_fdw.server import Cluster, Installation, ServerError
from ruvector_fdw.server.places import state_dir

SHARDS = 3
_OPTIONS = "-c cursor_tuple_fraction=0.001"


@contextmanager
def _servers(found: Installation) -> Iterator[list[Cluster]]:
    clusters = [Cluster(found, state_dir() / f"bench-shard{number}") for number in range(SHARDS + 1)]
    try:
        for cluster in clusters:
            cluster.start({"shared_buffers": "256MB", "maintenance_work_mem": "512MB", "max_wal_size": "4GB"})
        yield clusters
    finally:
        for cluster in clusters:
            cluster.stop("immediate")
            shutil.rmtree(cluster.data, ignore_errors=True)


def _mount(conn: psycopg.Connection[object], number: int, node: Cluster) -> None:
    run(
        conn,
        f"""CREATE SERVER shard{number} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (
            host '{node.socket_dir}', dbname 'postgres', extensions 'ruvector', fetch_size '20',
            async_capable 'true', options '{_OPTIONS}')""",
    )
    run(conn, f"CREATE USER MAPPING FOR CURRENT_USER SERVER shard{number} OPTIONS (user 'postgres')")
    run(
        conn,
        f"""CREATE FOREIGN TABLE items_{number} PARTITION OF items
            FOR VALUES WITH (MODULUS {SHARDS}, REMAINDER {number}) SERVER shard{number} OPTIONS (table_name 'items')""",
    )


def shards(context: Context) -> Result:
    """10 nearest and a threshold of 0.1 %, one table over three servers and the same rows on one; needs --shards-pg."""
    if context.shards_pg is None:
        return Result([], facts={"skipped": "--shards-pg names no server"})
    found = Installation.find(context.shards_pg)
    if not found.has_extension("postgres_fdw"):
        raise ServerError(f'"{found.pg_config}" has no postgres_fdw')
    found.ensure_extension()
    data, columns = context.data, f"(id int, content text, embedding ruvector({context.data.dims}))"
    index = "CREATE INDEX items_idx ON {} USING ruhnsw (embedding ruvector_l2_ops)"
    with _servers(found) as [coordinator, *nodes]:
        for node in nodes:
            with psycopg.connect(node.uri(), autocommit=True) as conn:
                run(conn, "CREATE EXTENSION ruvector")
                run(conn, f"CREATE TABLE items {columns}")
        with psycopg.connect(coordinator.uri(), autocommit=True) as conn:
            run(conn, "CREATE EXTENSION ruvector")
            run(conn, "CREATE EXTENSION postgres_fdw")
            HNSW[1].load(conn, data.base)
            run(conn, index.format(HNSW[1].table))
            run(conn, f"CREATE TABLE items {columns} PARTITION BY HASH (id)")
            for number, node in enumerate(nodes):
                _mount(conn, number, node)
            run(conn, f"INSERT INTO items SELECT * FROM {HNSW[1].table}")
            for node in nodes:
                with psycopg.connect(node.uri(), autocommit=True) as shard:
                    run(shard, index.format("items"))
                    run(shard, "ANALYZE items")
            run(conn, "ANALYZE items")
            return Result(_figures(context, conn), facts={"server": found.major})


def _figures(context: Context, conn: psycopg.Connection[object]) -> list[Row]:
    data = context.data
    queries = data.queries[: 10 if context.smoke else 50]
    parameters = HNSW[1].parameters(conn, queries)
    share = max(5, len(data.base) // 1000)
    reach = (measure.exact_radii(data.base, queries, share) ** 0.5 * (1 + 1e-6)).tolist()
    rows: list[Row] = []
    for name, table in (("one server", HNSW[1].table), ("three shards", "items")):
        point = measure.point(
            conn, f"SELECT id FROM {table} ORDER BY embedding <-> %s LIMIT 10", 40, parameters, data.base, queries,
            context.radii[: len(queries)],
        )  # fmt: skip
        code = f"SELECT count(*) FROM {table} WHERE embedding <-> %s < %s".encode()

        def ask(pair: tuple[object, float], code: bytes = code) -> None:
            conn.execute(code, pair, prepare=True).fetchall()

        below = middle_and_p95(latencies_ms(ask, list(zip(parameters, reach, strict=True))))
        row: Row = {"table on": name, "recall@10": point.recall, "10 nearest, median ms": point.median_ms}
        rows.append({**row, "threshold, median ms": below["median ms"]})
    return rows
