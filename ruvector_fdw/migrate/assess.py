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

import psycopg

from . import catalog, dependents
from .dependents import Finding
from .errors import MigrateError
from .model import Index, Table
from .names import ACCESS_METHODS, Extension, Mapper, quote
from .sqlrun import Session, describe, statement

SAMPLE_ROWS_DEFAULT = 2000
SAMPLE_ROWS_MIN = 50
SAMPLE_WHOLE_BYTES_MAX = 256 << 20
PGVECTOR_MIN, PGVECTOR_MAX = (0, 5), (0, 8)
# The guide's "Resource Planning": vectors below, minutes from, minutes to, recommended RAM in GiB. Disk is 2x
# throughout.
GUIDE = ((1e6, 30, 60, 4), (1e7, 60, 240, 16), (1e8, 240, 720, 32), (math.inf, 720, None, 64))
GUIDE_DISK_FACTOR = 2
STRATEGIES = ("parallel", "in-place", "blue-green")
# The object of a finding that is about every table.
_SERVER = "this server"


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
    """What `assess` says of one table, with its partitions."""

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


@dataclass(frozen=True)
class Choice:
    """What a user asked for by ``--schema``, ``--table`` and ``--exclude`` (``name`` or ``schema.name``); all without any."""

    schemas: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.schemas or self.names or self.excluded)


ALL = Choice()


def select(tables: list[Table], choice: Choice) -> list[Table]:
    """The tables of the choice.

    :raise MigrateError: a name fits none.
    """

    def fits(t: Table, wanted: tuple[str, ...]) -> bool:
        return any(n in (t.name, f"{t.schema}.{t.name}", t.qualified) for n in wanted)

    chosen = [t for t in tables if not choice.schemas or t.schema in choice.schemas]
    for name in (*choice.names, *choice.excluded):
        if not any(fits(t, (name,)) for t in chosen):
            raise MigrateError(f'table "{name}" does not exist or has nothing of pgvector', sqlstate="42P01")
    chosen = [t for t in chosen if not choice.names or fits(t, choice.names)]
    return [t for t in chosen if not fits(t, choice.excluded)]


def assess(session: Session, choice: Choice = ALL, sample: int = SAMPLE_ROWS_DEFAULT) -> Assessment:
    """Read the catalog, sample each table, and say what can be done. ``sample`` 0: no sample."""
    conn = session.conn
    with catalog.snapshot(conn):
        pgvector, ours = catalog.extension(conn, "vector"), catalog.extension(conn, "ruvector")
        tables = select(catalog.tables(conn), choice)
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
        findings.append(Finding(_SERVER, "has no extension ruvector: install it first", ("parallel", "in-place")))
    for table in tables:
        result.tables.append(_table(session, table, pgvector, ours, findings, sample))
    return result


def _version(text: str) -> tuple[int, int]:
    parts = [*text.split("."), "0"][:2]
    return int(parts[0]), int(parts[1])


def _table(
    session: Session, table: Table, pgvector: Extension, ours: Extension | None, findings: list[Finding], sample: int
) -> TableReport:
    rows = float(rows_of(session, table))
    total = sum(t.total_bytes for t in table.leaves)
    mine = {t.qualified for t in table.tree} | {f"{t.name}" for t in table.tree}
    stopped = {s for f in findings if f.object in mine or f.object == _SERVER for s in f.stops}
    return TableReport(
        name=table.qualified,
        rows=rows,
        heap_bytes=table_heap(table),
        total_bytes=total,
        partitions=len(table.partitions),
        columns=[f"{c.name} {c.type.removeprefix(quote(pgvector.schema) + '.')}" for c in table.vector_columns],
        indexes=[f"{i.name} {i.method} {i.opclass}{_options(i)}" for i in table.vector_indexes if i.parent is None],
        estimate=_estimate(session, table, Mapper.between(pgvector, ours), ours, rows, total, sample),
        strategies=[s for s in STRATEGIES if s not in stopped],
    )


def rows_of(session: Session, table: Table) -> int:
    """As the statistics have it; counted where there are none."""
    if all(t.rows_estimate >= 0 for t in table.leaves) and any(t.rows_estimate for t in table.leaves):
        return int(sum(t.rows_estimate for t in table.leaves))
    return int(session.conn.execute(statement(f"SELECT count(*) FROM {table.qualified}")).fetchone()[0])  # type: ignore[index]


def _options(index: Index) -> str:
    text = f" ({', '.join(index.options)})" if index.options else ""
    return text + (" (partial)" if index.predicate else "")


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
    try:
        _measure(session, table, mapper, ours, rows, sample, result)
    except psycopg.Error as ex:  # a standby takes no temporary table; a row may not be what an index expects
        result.note = f"no sample: {str(ex).splitlines()[0]}"
    return result


def _measure(
    session: Session, table: Table, mapper: Mapper, ours: Extension | None, rows: float, sample: int, result: Estimate
) -> None:
    """Copy and index a sample in one transaction that is rolled back, and fill in ``measured_*``."""
    fraction = max(min(100.0, 110.0 * sample / max(rows, 1)), 1e-5)
    # Whole pages of a large table: reading it all for some thousand rows would take longer than anyone waits.
    method = "SYSTEM" if table_heap(table) > SAMPLE_WHOLE_BYTES_MAX else "BERNOULLI"
    source = f"{table.qualified} TABLESAMPLE {method} ({fraction:.5f})" if fraction < 100 else table.qualified
    casts = ", ".join(
        f"{quote(c.name)}::{mapper.rewrite(c.type)} AS {quote(c.name)}"
        if ours and c.through == "type"
        else quote(c.name)
        for c in table.columns
    )
    conn = session.conn
    with conn.transaction(force_rollback=True):
        conn.execute(statement(f"CREATE TEMP TABLE ruvector_sample AS SELECT {casts} FROM {source} LIMIT 0"))
        started = time.monotonic()
        n = conn.execute(
            statement(f"INSERT INTO pg_temp.ruvector_sample SELECT {casts} FROM {source} LIMIT {sample}")
        ).rowcount
        copied = time.monotonic() - started
        if n < SAMPLE_ROWS_MIN:
            result.note = "too few rows in the sample"
            return
        heap = int(conn.execute("SELECT pg_table_size('pg_temp.ruvector_sample')").fetchone()[0])  # type: ignore[index]
        seconds, bytes_index, largest = 0.0, 0, 0
        for index in (i for i in table.vector_indexes if table.kind == "r" or i.parent is None):
            took, size = _sample_index(session, index, mapper, ours)
            growth = math.log2(max(rows, 2)) / math.log2(n) if index.method == "hnsw" else 1.0
            seconds += took * rows / n * growth
            bytes_index += int(size * rows / n)
            largest = max(largest, int(size * rows / n))
    others = sum(i.size_bytes for t in table.leaves for i in t.indexes if i.method not in ACCESS_METHODS)
    result.sample_rows = n
    result.measured_copy_s = copied * rows / n
    result.measured_index_s = seconds
    result.measured_extra_bytes = int(heap * rows / n) + others + bytes_index
    result.measured_index_ram_bytes = largest
    if ours is None:
        result.note = "sampled with pgvector's own types and indexes: ruvector is not in this database yet"


def table_heap(table: Table) -> int:
    return sum(t.heap_bytes for t in table.leaves)


def _sample_index(session: Session, index: Index, mapper: Mapper, ours: Extension | None) -> tuple[float, int]:
    """Seconds and bytes of ``index`` on the sample; of a partial one, for the part of the sample that it is for."""
    method, opclass, expression, predicate = index.method, index.opclass, index.expression, index.predicate
    if ours is not None:
        method, expression = ACCESS_METHODS[method], mapper.rewrite(expression)
        predicate = mapper.rewrite(predicate) if predicate else None
        opclass = "ru" + opclass if opclass.startswith("vector_") else opclass
    home = (ours or None) and ours.opclasses.get((method, opclass)) if ours else mapper.schema
    options = f" WITH ({', '.join(o.replace('=', ' = ', 1) for o in index.options)})" if index.options else ""
    options += f" WHERE {predicate}" if predicate else ""
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
