# SPDX-License-Identifier: PostgreSQL
"""``ruvector validate``: the guide's three validations of the new tables against the old, and a verdict.

Integrity: rows, NULLs and dims of every vector column, and a checksum of every row, matched by key. Function: exact
nearest neighbours of sampled vectors by pgvector's operator and by ours; a distance may differ by 1e-4 at most and
1e-5 on average (the guide's thresholds). Performance: latency and recall of both indexes; shown, never part of the
verdict. On one server everything of a table is read in one snapshot, so validating under load compares equal with
equal. In place there is no second table: the same column is read as both types.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from psycopg import Connection

from .catalog import snapshot
from .errors import MigrateError
from .model import Column, Table
from .names import ACCESS_METHODS, quote
from .sqlrun import statement

MAX_DIFFERENCE = 1e-4
AVG_DIFFERENCE = 1e-5
QUERIES_DEFAULT = 20
NEIGHBOURS_DEFAULT = 10
_OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}


@dataclass(frozen=True)
class Side:
    """One of the two things compared: where it is, and what its vector columns are of (``types``: column to
    qualified type).
    """

    conn: Connection[Any]
    relation: str
    types: dict[str, str]
    cast: bool = False

    def column(self, name: str) -> str:
        return f"{quote(name)}::{self.types[name]}" if self.cast else quote(name)

    def dims_function(self, name: str) -> str | None:
        """The function that counts the dims of the column's type, qualified; None where there is none (sparsevec)."""
        row = self.conn.execute(
            "SELECT quote_ident(n.nspname) || '.' || p.proname FROM pg_proc p"
            " JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE p.proname IN ('vector_dims', 'ruvector_dims') AND p.pronargs = 1 AND p.proargtypes[0] = %s::regtype"
            " ORDER BY p.proname DESC LIMIT 1",
            (self.types[name],),
        ).fetchone()
        return None if row is None else str(row[0])

    def operator(self, name: str, operator: str) -> str:
        """The distance operator of the column's type, qualified."""
        row = self.conn.execute(
            "SELECT quote_ident(n.nspname) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace"
            " WHERE o.oprname = %s AND o.oprleft = %s::regtype AND o.oprright = o.oprleft",
            (operator, self.types[name]),
        ).fetchone()
        if row is None:
            raise MigrateError(f"operator {operator} does not exist for type {self.types[name]}")
        return f"OPERATOR({row[0]}.{operator})"


@dataclass
class Neighbours:
    """How the nearest rows of old and new table compare for one column and operator; pairs are (old, new)."""

    column: str
    operator: str
    queries: int
    max_difference: float
    avg_difference: float
    same_rows: float
    recall: tuple[float, float]
    latency_ms: tuple[float, float]

    @property
    def passed(self) -> bool:
        return self.max_difference < MAX_DIFFERENCE and self.avg_difference < AVG_DIFFERENCE


@dataclass
class TableVerdict:
    """``rows`` and the like are (old, new). ``failures`` says in words what is wrong; empty: passed."""

    table: str
    rows: tuple[int, int] = (0, 0)
    nulls: dict[str, tuple[int, int]] = field(default_factory=dict)
    dims: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    missing: int = 0
    extra: int = 0
    different: int = 0
    checksums: bool = False
    neighbours: list[Neighbours] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": not self.failures}


def validate(table: Table, old: Side, new: Side, queries: int, neighbours: int, seed: int) -> TableVerdict:
    """Compare. With both sides on one connection it is one snapshot; else the caller has stopped the writers."""
    result = TableVerdict(table.qualified)
    if old.conn is new.conn:
        with snapshot(old.conn):
            _compare(table, old, new, queries, neighbours, seed, result)
    else:
        with snapshot(old.conn), snapshot(new.conn):
            _compare(table, old, new, queries, neighbours, seed, result)
    return result


def _compare(table: Table, old: Side, new: Side, queries: int, k: int, seed: int, result: TableVerdict) -> None:
    for side in (old, new):
        side.conn.execute("SET LOCAL row_security = off")
    columns = [c for c in table.vector_columns if c.through == "type"]
    _integrity(old, new, columns, result)
    if old.relation != new.relation or old.conn is not new.conn:
        if table.key:
            _checksums(table, old, new, result)
            result.checksums = True
        bad = {"missing": result.missing, "too many": result.extra, "different": result.different}
        result.failures += [f"{count} rows are {what}" for what, count in bad.items() if count]
    for column in columns:
        if column.kind != "sparsevec" or any(i.opclass_kind == "sparsevec" for i in table.vector_indexes):
            found = _neighbours(table, column, old, new, queries, k, seed)
            if found is None:
                continue
            result.neighbours.append(found)
            if not found.passed:
                worst, mean = f"{found.max_difference:.2e}", f"{found.avg_difference:.2e}"
                result.failures.append(f'distances of "{column.name}" differ by {worst} (average {mean})')


def _one(conn: Connection[Any], text: str, parameters: list[Any] | None = None) -> tuple[Any, ...]:
    row = conn.execute(statement(text), parameters).fetchone()
    assert row is not None
    return tuple(row)


def _integrity(old: Side, new: Side, columns: list[Column], result: TableVerdict) -> None:
    # pgvector has no such function for sparsevec: its dims are the type's, and the checksums see them.
    known = {c.name for c in columns if old.dims_function(c.name) and new.dims_function(c.name)}

    def look(side: Side) -> tuple[Any, ...]:
        parts = ["count(*)"]
        for c in columns:
            parts.append(f"count(*) FILTER (WHERE {quote(c.name)} IS NULL)")
            name = side.dims_function(c.name) if c.name in known else None
            some = f"FILTER (WHERE {quote(c.name)} IS NOT NULL)"
            parts.append(f"array_agg(DISTINCT {name}({side.column(c.name)})) {some}" if name else "NULL::int[]")
        return _one(side.conn, f"SELECT {', '.join(parts)} FROM {side.relation}")

    a, b = look(old), look(new)
    result.rows = (a[0], b[0])
    if a[0] != b[0]:
        result.failures.append(f"{a[0]} rows are {b[0]}")
    for n, c in enumerate(columns):
        result.nulls[c.name] = (a[1 + 2 * n], b[1 + 2 * n])
        result.dims[c.name] = (a[2 + 2 * n] or [], b[2 + 2 * n] or [])
        if result.nulls[c.name][0] != result.nulls[c.name][1]:
            result.failures.append(f'NULLs of "{c.name}": {a[1 + 2 * n]} are {b[1 + 2 * n]}')
        if result.dims[c.name][0] != result.dims[c.name][1]:
            result.failures.append(f'dims of "{c.name}": {a[2 + 2 * n]} are {b[2 + 2 * n]}')


def _row_sums(table: Table, side: Side) -> str:
    """Key (as text, ordered bytewise) and checksum of each row. Vectors print alike in both types, so the text is
    what is summed. What is generated from a vector is left out: a norm may differ in its last digit.
    """
    derived = [c.name for c in table.derived_columns]
    values = ", ".join(f"{quote(c.name)}::text" for c in table.columns if c.name not in derived)
    keys = ", ".join(f"{quote(c)}::text" for c in table.key)
    return f"SELECT ROW({keys})::text AS k, md5(ROW({values})::text) AS s FROM {side.relation}"


def _checksums(table: Table, old: Side, new: Side, result: TableVerdict) -> None:
    if old.conn is new.conn:
        result.missing, result.extra, result.different = _one(
            old.conn,
            "SELECT count(*) FILTER (WHERE n.k IS NULL), count(*) FILTER (WHERE o.k IS NULL),"
            f" count(*) FILTER (WHERE o.s <> n.s) FROM ({_row_sums(table, old)}) o"
            f" FULL JOIN ({_row_sums(table, new)}) n ON n.k = o.k",
        )
        return
    left, right = _stream(table, old), _stream(table, new)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            result.missing, a = result.missing + 1, next(left, None)
        elif a is None or b[0] < a[0]:
            result.extra, b = result.extra + 1, next(right, None)
        else:
            result.different += a[1] != b[1]
            a, b = next(left, None), next(right, None)


def _stream(table: Table, side: Side) -> Iterator[tuple[bytes, str]]:
    with side.conn.cursor(name="ruvector_validate") as cursor:
        cursor.itersize = 5000
        cursor.execute(statement(f'SELECT k, s FROM ({_row_sums(table, side)}) r ORDER BY k COLLATE "C"'))
        for key, checksum in cursor:
            yield key.encode(), checksum


def _metric(table: Table, column: Column) -> str:
    """The metric of the column's first index (a whole one before a partial one), L2 without any."""
    found = [i for i in table.vector_indexes if i.method in ACCESS_METHODS and i.key_columns == [column.name]]
    for index in sorted(found, key=lambda i: (i.predicate is not None, i.name)):
        return index.opclass.rsplit("_", 2)[1]
    return "l2"


def _neighbours(
    table: Table, column: Column, old: Side, new: Side, queries: int, k: int, seed: int
) -> Neighbours | None:
    operator = _OPERATORS[_metric(table, column)]
    name = quote(column.name)
    # Two passes over random pages would be cheaper, but a small table must give its queries too.
    samples = [
        row[0]
        for row in old.conn.execute(
            statement(
                f"SELECT {name}::text FROM {old.relation} WHERE {name} IS NOT NULL"
                f" ORDER BY md5({name}::text || %s) LIMIT {queries}"
            ),
            (str(seed),),
        )
    ]
    if not samples:
        return None
    differences: list[float] = []
    same: list[float] = []
    recalls: list[tuple[float, float]] = []
    times: list[tuple[float, float]] = []
    for sample in samples:
        exact = [_search(table, side, column, operator, sample, k, exact=True) for side in (old, new)]
        found = [_search(table, side, column, operator, sample, k, exact=False) for side in (old, new)]
        (ids_a, distances_a, _), (ids_b, distances_b, _) = exact
        differences += [abs(x - y) for x, y in zip(distances_a, distances_b, strict=False) if x == x and y == y]
        same.append(len(set(ids_a) & set(ids_b)) / max(len(ids_a), 1))
        recalls.append(tuple(_recall(e, f) for e, f in zip(exact, found, strict=True)))  # type: ignore[arg-type]
        times.append((found[0][2], found[1][2]))
    return Neighbours(
        column=column.name,
        operator=operator,
        queries=len(samples),
        max_difference=max(differences, default=0.0),
        avg_difference=statistics.fmean(differences) if differences else 0.0,
        same_rows=statistics.fmean(same),
        recall=(statistics.fmean(r[0] for r in recalls), statistics.fmean(r[1] for r in recalls)),
        latency_ms=(statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)),
    )


Found = tuple[list[str], list[float], float]


def _recall(exact: Found, found: Found) -> float:
    """Of what was found, how much is as near as the k-th exact neighbour (so that ties count)."""
    if not exact[1]:
        return 1.0
    worst = exact[1][-1] + abs(exact[1][-1]) * 1e-6 + 1e-9
    return sum(d <= worst for d in found[1]) / len(exact[1])


def _search(table: Table, side: Side, column: Column, operator: str, vector: str, k: int, *, exact: bool) -> Found:
    """Keys, distances, milliseconds of the k nearest: by a sequential scan, or by the index where the planner takes
    it.
    """
    keys = f"ROW({', '.join(quote(c) for c in table.key)})::text" if table.key else "ctid::text"
    distance = f"{side.column(column.name)} {side.operator(column.name, operator)} %s::{side.types[column.name]}"
    text = f"SELECT {keys}, {distance} FROM {side.relation} WHERE {quote(column.name)} IS NOT NULL"
    counts = side.dims_function(column.name) if column.typmod == -1 else None
    if counts is not None:  # a column of any dims: a distance is between equals only
        text += f" AND {counts}({side.column(column.name)}) = {vector.count(',') + 1}"
    text += f" ORDER BY {distance} LIMIT {k}"
    conn = side.conn
    conn.execute("SELECT set_config('enable_indexscan', %s, true)", ("off" if exact else "on",))
    conn.execute("SELECT set_config('enable_sort', %s, true)", ("on" if exact else "off",))
    started = time.monotonic()
    rows = conn.execute(statement(text), (vector, vector)).fetchall()
    took = (time.monotonic() - started) * 1000
    return [r[0] for r in rows], [r[1] for r in rows], took
