# SPDX-License-Identifier: PostgreSQL
"""``ruvector assess``: what is there, what stands in the way, and what a migration will cost.

Time, disk and memory come twice: from the migration guide's table (by number of vectors), and from a sample of the
table itself (rows copied into a temporary table with our type and indexed with the target's access method, or
pgvector's while ours is not installed), extrapolated: copying by n, a graph by n log n, lists by n. Changes nothing
but the temporary table.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from . import catalog, dependents
from .dependents import Finding
from .errors import MigrateError
from .model import Index, Table
from .names import ACCESS_METHODS, Extension, Mapper, quote
from .sqlrun import Session, describe, statement

SAMPLE_ROWS_DEFAULT = 2000
SAMPLE_ROWS_MIN = 50
PGVECTOR_MIN, PGVECTOR_MAX = (0, 5), (0, 8)
# The guide's "Resource Planning": vectors below, minutes from, minutes to, recommended RAM in GiB. Disk is 2x
# throughout.
GUIDE = ((1e6, 30, 60, 4), (1e7, 60, 240, 16), (1e8, 240, 720, 32), (math.inf, 720, None, 64))
GUIDE_DISK_FACTOR = 2


@dataclass
class Estimate:
    """Seconds and bytes; ``measured_*`` are None without a sample."""

    guide_minutes: tuple[int, int | None]
    guide_disk_bytes: int
    guide_ram_gib: int
    sample_rows: int = 0
    measured_copy_s: float | None = None
    measured_index_s: float | None = None
    measured_extra_bytes: int | None = None
    measured_index_ram_bytes: int | None = None
    note: str | None = None


@dataclass
class TableReport:
    name: str
    rows: float
    heap_bytes: int
    total_bytes: int
    partitions: int
    columns: list[str]
    indexes: list[str]
    estimate: Estimate
    strategies: list[str]


@dataclass
class Assessment:
    """What ``assess`` found. ``blockers`` stop every strategy; ``findings`` some of them, or none."""

    server: str
    server_version: str
    database: str
    pgvector: str | None
    ruvector: str | None
    ruvector_available: str | None
    wal_level: str
    tables: list[TableReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def select(tables: list[Table], schemas: tuple[str, ...], names: tuple[str, ...]) -> list[Table]:
    """The tables a user asked for by ``--schema`` and ``--table`` (``name`` or ``schema.name``); all without either."""
    chosen = [t for t in tables if not schemas or t.schema in schemas]
    if names:
        unknown = [n for n in names if not any(n in (t.name, f"{t.schema}.{t.name}") for t in chosen)]
        if unknown:
            raise MigrateError(f'table "{unknown[0]}" does not exist or has nothing of pgvector', sqlstate="42P01")
        chosen = [t for t in chosen if t.name in names or f"{t.schema}.{t.name}" in names]
    return chosen


def assess(
    session: Session, schemas: tuple[str, ...] = (), names: tuple[str, ...] = (), sample: int = SAMPLE_ROWS_DEFAULT
) -> Assessment:
    """Read the catalog, sample each table, and say what can be done. ``sample`` 0: no sample."""
    conn = session.conn
    with catalog.snapshot(conn):
        pgvector, ours = catalog.extension(conn, "vector"), catalog.extension(conn, "ruvector")
        tables = select(catalog.tables(conn), schemas, names)
        findings = dependents.findings(conn, tables)
        views = dependents.views(conn, tables)
    result = Assessment(
        server=describe(session.dsn),
        server_version=str(session.scalar("SHOW server_version")),
        database=str(session.scalar("SELECT current_database()")),
        pgvector=pgvector.version if pgvector else None,
        ruvector=ours.version if ours else None,
        ruvector_available=session.scalar(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'ruvector'"
        ),
        wal_level=str(session.scalar("SHOW wal_level")),
        findings=findings,
        views=[v.qualified for v in views],
    )
    if pgvector is None:
        result.blockers.append("extension vector is not installed in this database: there is nothing to migrate")
        return result
    if not PGVECTOR_MIN <= _version(pgvector.version) <= PGVECTOR_MAX:
        result.blockers.append(f"pgvector {pgvector.version} is not one of 0.5 to 0.8")
    if result.ruvector is None and result.ruvector_available is None:
        result.blockers.append("extension ruvector is not installed on the server's machine")
    for table in tables:
        result.tables.append(_table(session, table, pgvector, ours, findings, sample))
    return result


def _version(text: str) -> tuple[int, int]:
    parts = [*text.split("."), "0"][:2]
    return int(parts[0]), int(parts[1])


def _table(
    session: Session, table: Table, pgvector: Extension, ours: Extension | None, findings: list[Finding], sample: int
) -> TableReport:
    rows = sum(max(t.rows_estimate, 0) for t in table.leaves)
    if any(t.rows_estimate < 0 for t in table.leaves) or not rows:  # never analyzed
        rows = float(session.conn.execute(statement(f"SELECT count(*) FROM {table.qualified}")).fetchone()[0])  # type: ignore[index]
    heap, total = (sum(getattr(t, name) for t in table.leaves) for name in ("heap_bytes", "total_bytes"))
    mine = {t.qualified for t in table.tree} | {f"{t.name}" for t in table.tree}
    stopped = {s for f in findings if f.object in mine for s in f.stops}
    return TableReport(
        name=table.qualified,
        rows=rows,
        heap_bytes=heap,
        total_bytes=total,
        partitions=len(table.partitions),
        columns=[f"{c.name} {c.type}" for c in table.vector_columns],
        indexes=[f"{i.name} {i.method} {i.opclass}{_options(i)}" for i in table.vector_indexes if i.parent is None],
        estimate=_estimate(session, table, Mapper.between(pgvector, ours), ours, rows, total, sample),
        strategies=[s for s in ("parallel", "in-place", "blue-green") if s not in stopped],
    )


def _options(index: Index) -> str:
    text = f" ({', '.join(index.options)})" if index.options else ""
    return text + (f" where {index.predicate}" if index.predicate else "")


def guide_row(rows: float) -> tuple[float, int, int | None, int]:
    """The guide's row for a table of ``rows`` vectors."""
    return next(row for row in GUIDE if rows < row[0] or row[0] == math.inf)


def _estimate(
    session: Session, table: Table, mapper: Mapper, ours: Extension | None, rows: float, total: int, sample: int
) -> Estimate:
    _, low, high, ram = guide_row(rows)
    result = Estimate((low, high), GUIDE_DISK_FACTOR * total, ram)
    columns = [c for c in table.vector_columns if c.through == "type"]
    if not sample or not columns or rows < SAMPLE_ROWS_MIN:
        result.note = "too few rows to sample" if rows < SAMPLE_ROWS_MIN else "no sample"
        return result
    fraction = max(min(100.0, 110.0 * sample / max(rows, 1)), 1e-5)
    source = f"{table.qualified} TABLESAMPLE BERNOULLI ({fraction:.5f})" if fraction < 100 else table.qualified
    conn = session.conn
    try:
        conn.execute("DROP TABLE IF EXISTS pg_temp.ruvector_sample")
        if ours is None:
            conn.execute(statement(f"CREATE TEMP TABLE ruvector_sample AS SELECT * FROM {source} LIMIT 0"))
        else:
            parts = [
                f"{quote(c.name)}::{mapper.rewrite(c.type)} AS {quote(c.name)}"
                if c.through == "type"
                else quote(c.name)
                for c in table.columns
            ]
            conn.execute(
                statement(f"CREATE TEMP TABLE ruvector_sample AS SELECT {', '.join(parts)} FROM {source} LIMIT 0")
            )
        casts = ", ".join(
            f"{quote(c.name)}::{mapper.rewrite(c.type)}" if ours and c.through == "type" else quote(c.name)
            for c in table.columns
        )
        started = time.monotonic()
        n = conn.execute(
            statement(f"INSERT INTO pg_temp.ruvector_sample SELECT {casts} FROM {source} LIMIT {sample}")
        ).rowcount
        copied = time.monotonic() - started
        if n < SAMPLE_ROWS_MIN:
            result.note = "too few rows in the sample"
            return result
        heap = int(conn.execute("SELECT pg_table_size('pg_temp.ruvector_sample')").fetchone()[0])  # type: ignore[index]
        seconds, bytes_index = 0.0, 0
        for index in (
            table.vector_indexes if table.kind == "r" else [i for i in table.vector_indexes if i.parent is None]
        ):
            took, size = _sample_index(session, index, mapper, ours)
            growth = math.log2(max(rows, 2)) / math.log2(n) if index.method == "hnsw" else 1.0
            seconds += took * rows / n * growth
            bytes_index += int(size * rows / n)
    finally:
        conn.execute("DROP TABLE IF EXISTS pg_temp.ruvector_sample")
    others = sum(i.size_bytes for t in table.leaves for i in t.indexes if i.method not in ACCESS_METHODS)
    result.sample_rows = n
    result.measured_copy_s = copied * rows / n
    result.measured_index_s = seconds
    result.measured_extra_bytes = int(heap * rows / n) + others + bytes_index
    result.measured_index_ram_bytes = bytes_index
    if ours is None:
        result.note = "sampled with pgvector's own types and indexes: ruvector is not installed here yet"
    return result


def _sample_index(session: Session, index: Index, mapper: Mapper, ours: Extension | None) -> tuple[float, int]:
    """Seconds and bytes of ``index`` on the sample, without its predicate (so that the whole sample is in it)."""
    method, opclass, expression = index.method, index.opclass, index.expression
    if ours is not None:
        method, expression = ACCESS_METHODS[method], mapper.rewrite(expression)
        opclass = "ru" + opclass if opclass.startswith("vector_") else opclass
    home = (ours or None) and ours.opclasses.get((method, opclass)) if ours else mapper.schema
    options = f" WITH ({', '.join(o.replace('=', ' = ', 1) for o in index.options)})" if index.options else ""
    started = time.monotonic()
    session.conn.execute(
        statement(
            f"CREATE INDEX ruvector_sample_idx ON pg_temp.ruvector_sample USING {method} "
            f"({expression} {quote(str(home))}.{quote(opclass)}){options}"
        )
    )
    took = time.monotonic() - started
    size = int(session.conn.execute("SELECT pg_relation_size('pg_temp.ruvector_sample_idx')").fetchone()[0])  # type: ignore[index]
    session.conn.execute("DROP INDEX pg_temp.ruvector_sample_idx")
    return took, size
