# SPDX-License-Identifier: PostgreSQL
"""The systems that are compared, and how each is filled and indexed: all in one database of one server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from ruvector_fdw.demo import wire
from ruvector_fdw.demo.vectors import Floats


@dataclass(frozen=True)
class System:
    """One side of a comparison. `effort` is the setting that trades latency for recall, `iterative` the one of filters."""

    name: str
    table: str
    type_name: str
    method: str
    opclass: str
    effort: str
    iterative: str

    @property
    def index(self) -> str:
        return f"{self.table}_{self.method}_idx"

    def load(self, conn: psycopg.Connection[Any], base: Floats) -> None:
        """A fresh table with (id, content, embedding); ids are row numbers of `base`."""
        run(conn, f"DROP TABLE IF EXISTS {self.table}")
        run(conn, f"CREATE TABLE {self.table} (id int, content text, embedding {self.type_name}({base.shape[1]}))")
        copy = f"COPY {self.table} (id, content, embedding) FROM STDIN (FORMAT binary)"
        with conn.cursor() as cursor, cursor.copy(copy.encode()) as stream:
            for _, chunk in wire.copy_stream(base, "passage {:08d}".format):
                stream.write(chunk)
        run(conn, f"VACUUM (ANALYZE) {self.table}")

    def convert(self, conn: psycopg.Connection[Any], source: System, dims: int) -> None:
        """The same table from another system's rows."""
        run(conn, f"DROP TABLE IF EXISTS {self.table}")
        value = f"embedding::{self.type_name}({dims})"
        run(conn, f"CREATE TABLE {self.table} AS SELECT id, content, {value} AS embedding FROM {source.table}")
        run(conn, f"VACUUM (ANALYZE) {self.table}")

    def build(self, conn: psycopg.Connection[Any], options: str) -> dict[str, float]:
        """Create the index; seconds and megabytes."""
        run(conn, f"DROP INDEX IF EXISTS {self.index}")
        began = time.perf_counter()
        on = f"{self.table} USING {self.method} (embedding {self.opclass})"
        run(conn, f"CREATE INDEX {self.index} ON {on} WITH ({options})")
        seconds = time.perf_counter() - began
        [size] = conn.execute("SELECT pg_relation_size(%s::regclass)", (self.index,)).fetchone() or (0,)
        return {"build_s": seconds, "size_mb": size / 2**20}

    def parameters(self, conn: psycopg.Connection[Any], queries: Floats) -> Sequence[Any]:
        kind = wire.parameter_type(conn, self.type_name)
        return [kind(query) for query in queries]

    def knn(self, where: str = "") -> str:
        return f"SELECT id FROM {self.table} {where} ORDER BY embedding <-> %s LIMIT 10"


_OURS, _THEIRS = ("ruvector.ef_search", "ruvector.iterative_scan"), ("hnsw.ef_search", "hnsw.iterative_scan")
HNSW = (
    System("pgvector hnsw", "items", "vector", "hnsw", "vector_l2_ops", *_THEIRS),
    System("ruvector ruhnsw", "items_ruvector", "ruvector", "ruhnsw", "ruvector_l2_ops", *_OURS),
)
HALF = (
    System("pgvector hnsw, halfvec", "items_half", "halfvec", "hnsw", "halfvec_l2_ops", *_THEIRS),
    System("ruvector ruhnsw, halfvec", "items_ruvector_half", "ruvector.halfvec", "ruhnsw",
           "ruvector.halfvec_l2_ops", *_OURS),
)  # fmt: skip
IVF = (
    System("pgvector ivfflat", "items", "vector", "ivfflat", "vector_l2_ops", "ivfflat.probes",
           "ivfflat.iterative_scan"),
    System("ruvector ruivfflat", "items_ruvector", "ruvector", "ruivfflat", "ruvector_l2_ops", "ruvector.probes",
           "ruvector.iterative_scan"),
)  # fmt: skip


def run(conn: psycopg.Connection[Any], statement: str, parameters: Sequence[Any] | None = None) -> None:
    conn.execute(statement.encode(), parameters)


def plan(conn: psycopg.Connection[Any], statement: str, parameters: Sequence[Any]) -> str:
    return "\n".join(row[0] for row in conn.execute(f"EXPLAIN (COSTS OFF) {statement}".encode(), parameters))


def require_index(conn: psycopg.Connection[Any], system: System, statement: str, parameters: Sequence[Any]) -> None:
    """A number of another plan is no number."""
    shown = plan(conn, statement, parameters)
    assert f"Index Scan using {system.index}" in shown, shown
