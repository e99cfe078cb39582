# SPDX-License-Identifier: PostgreSQL
"""The way through the demonstration, one function a stage; each takes the same `Run` and leaves its results in it.

Stages check what they show: an index that is not used, a row that differs, a foreign scan that sorts locally is a
`DemoError`, and the command ends with status 1.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ruvector_fdw.errors import RuvectorError

from . import measure, progress, wire
from .measure import Point
from .script import Script
from .vectors import Dataset

EFFORTS = (10, 20, 40, 80, 200, 400)
PGVECTOR, RUVECTOR = "pgvector hnsw", "ruvector ruhnsw"


class DemoError(RuvectorError):
    """Something the demonstration shows did not come out as it must."""


@dataclass
class Run:
    """What the stages share. `dsn` is of the demonstration's own database."""

    script: Script
    dsn: str
    dataset: Dataset
    radii: Any
    build_s: dict[str, float] = field(default_factory=dict)
    size_mb: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    foreign: Point | None = None

    @property
    def conn(self) -> psycopg.Connection[Any]:
        return self.script.conn


def pgvector_table(run: Run) -> None:
    """The database as a pgvector user has it."""
    script, data = run.script, run.dataset
    script.say(f"A pgvector database: {len(data.base):,} real embeddings of {data.dims} dimensions ({data.name})")
    script.run("CREATE EXTENSION vector")
    script.run(f"CREATE TABLE items (id int PRIMARY KEY, content text, embedding vector({data.dims}))")
    copy = script.show("COPY items (id, content, embedding) FROM STDIN (FORMAT binary)")
    with run.conn.cursor() as cursor, cursor.copy(copy.encode()) as stream:
        with progress.bar() as bar:
            task = bar.add_task("loading", total=len(data.base))
            for rows, chunk in wire.copy_stream(data.base, "passage {:08d}".format):
                stream.write(chunk)
                bar.advance(task, rows)
    _build(
        run,
        PGVECTOR,
        "items_hnsw_idx",
        """
        CREATE INDEX items_hnsw_idx ON items
        USING hnsw (embedding vector_l2_ops)
        WITH (m = 16, ef_construction = 64)
        """,
    )
    script.run("ANALYZE items")


def ruvector_table(run: Run) -> None:
    """The guide's parallel deployment: a second table, filled by a cast."""
    script = run.script
    script.say("RuVector beside it")
    script.run("CREATE EXTENSION ruvector")
    script.ask("SELECT ruvector_version(), ruvector_simd_info()")
    dims = run.dataset.dims
    script.run(f"CREATE TABLE items_ruvector (id int PRIMARY KEY, content text, embedding ruvector({dims}))")
    script.run(
        """
        INSERT INTO items_ruvector (id, content, embedding)
        SELECT id, content, embedding::ruvector
        FROM items
        """
    )
    [counts] = script.ask(
        """
        SELECT
            (SELECT COUNT(*) FROM items) AS pgvector_count,
            (SELECT COUNT(*) FROM items_ruvector) AS ruvector_count
        """
    )
    require(counts == (len(run.dataset.base),) * 2, f"row counts differ: {counts}")
    _build(
        run,
        RUVECTOR,
        "items_embedding_idx",
        """
        CREATE INDEX items_embedding_idx ON items_ruvector
        USING ruhnsw (embedding ruvector_l2_ops)
        WITH (m = 16, ef_construction = 64)
        """,
    )
    script.run("ANALYZE items_ruvector")
    plan = script.explain("SELECT * FROM items_ruvector ORDER BY embedding <-> '[...]'::ruvector LIMIT 10")
    require("Index Scan using items_embedding_idx" in plan, "the plan does not use items_embedding_idx")


def _build(run: Run, system: str, index: str, statement: str) -> None:
    pid = run.conn.info.backend_pid
    code = run.script.show(statement).encode()
    began = time.perf_counter()
    with progress.watch(run.dsn, pid, f"building {index}"):
        run.conn.execute(code)
    run.build_s[system] = time.perf_counter() - began
    size = run.conn.execute("SELECT pg_relation_size(%s::regclass)", (index,)).fetchone()
    assert size is not None
    run.size_mb[system] = size[0] / 2**20


def functional_validation(run: Run) -> None:
    """The guide's step 5, as it stands there."""
    script = run.script
    script.say("The guide's functional validation: no row may differ")
    differing = script.ask(
        """
        WITH pgvector_results AS (
            SELECT id, embedding <-> '[...]'::vector AS distance
            FROM items
            ORDER BY distance
            LIMIT 100
        ),
        ruvector_results AS (
            SELECT id, embedding <-> '[...]'::ruvector AS distance
            FROM items_ruvector
            ORDER BY distance
            LIMIT 100
        )
        SELECT
            p.id AS pg_id,
            r.id AS ru_id,
            p.distance AS pg_dist,
            r.distance AS ru_dist,
            p.id = r.id AS id_match,
            abs(p.distance - r.distance) < 0.0001 AS distance_match
        FROM pgvector_results p
        FULL OUTER JOIN ruvector_results r ON p.id = r.id
        WHERE p.id != r.id OR abs(p.distance - r.distance) >= 0.0001
        """
    )
    require(differing == [], f"{len(differing)} rows differ between pgvector and ruvector")


def recall_and_latency(run: Run) -> None:
    """Both systems, the same queries, the same client, in turns: what else the machine does meets both."""
    data = run.dataset
    run.script.say(f"Recall@10 and latency of both, {len(data.queries)} queries")
    sides = []
    for system, table, type_name, setting in (
        (PGVECTOR, "items", "vector", "hnsw.ef_search"),
        (RUVECTOR, "items_ruvector", "ruvector", "ruvector.ef_search"),
    ):
        statement = f"SELECT id FROM {table} ORDER BY embedding <-> %s LIMIT {measure.K}"
        run.script.show(statement.replace("%s", "$1"))
        kind = wire.parameter_type(run.conn, type_name)
        sides.append((system, statement, setting, [kind(query) for query in data.queries]))
        run.curves[system] = []
    for effort in EFFORTS:
        for system, statement, setting, parameters in sides:
            run.script.run(f"SET {setting} = {effort}")
            point = measure.point(run.conn, statement, effort, parameters, data.base, data.queries, run.radii)
            run.curves[system].append(point)
            print(f" recall@10 {point.recall:.3f}, median {point.median_ms:.3f} ms", flush=True)
    for _, _, setting, _ in sides:
        run.conn.execute(f"RESET {setting}".encode())


def require(holds: bool, message: str) -> None:
    """:raise DemoError: it does not hold."""
    if not holds:
        raise DemoError(message)
