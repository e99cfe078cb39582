# SPDX-License-Identifier: PostgreSQL
"""Tables of random vectors with an index on them, and the comparison of an index scan with a sequential one."""

from __future__ import annotations

from dataclasses import dataclass

from harness import Database, Row

# A sum of a few random walks: neighbours differ in distance, as those of embeddings do, unlike uniform noise.
GENERATE = """
INSERT INTO {table} (category, embedding)
SELECT i % 100, (SELECT array_agg(sin(i * (0.0137 + d * 0.00071)) + random() * 0.6) FROM generate_series(1, {dims}) d
                 WHERE i = i)::float4[]::{type}
FROM generate_series({first}, {last}) i
"""


def make_table(db: Database, rows: int, dims: int = 32, table: str = "items", type_: str = "ruvector") -> None:
    """A table (id, category, embedding) with that many rows; category is id % 100."""
    db.execute("SELECT setseed(0.25)")
    db.execute(f"CREATE TABLE {table} (id serial PRIMARY KEY, category int, embedding {type_}({dims}))")
    add_rows(db, 1, rows, dims, table, type_)
    db.execute(f"ANALYZE {table}")


def add_rows(
    db: Database, first: int, last: int, dims: int = 32, table: str = "items", type_: str = "ruvector"
) -> None:
    if last >= first:
        db.execute(GENERATE.format(table=table, dims=dims, type=type_, first=first, last=last))


def make_index(
    db: Database, opclass: str = "ruvector_l2_ops", options: str = "", method: str = "ruhnsw", table: str = "items"
) -> None:
    clause = f"WITH ({options})" if options else ""
    db.execute(f"CREATE INDEX {table}_idx ON {table} USING {method} (embedding {opclass}) {clause}")


def index_only(db: Database) -> None:
    db.execute("SET enable_seqscan = off; SET enable_indexscan = on; SET enable_sort = on")


def heap_only(db: Database) -> None:
    db.execute("SET enable_seqscan = on; SET enable_indexscan = off")


@dataclass
class Comparison:
    recall: float
    out_of_order: int
    wrong_distances: int
    returned: int


def compare(
    db: Database, k: int = 10, operator: str = "<->", where: str = "", queries: int = 20, table: str = "items"
) -> Comparison:
    """Ask index and heap the same; the queries are rows of the table. A row as near as the k-th counts as found."""
    ids = db.column(f"SELECT id FROM {table} WHERE embedding IS NOT NULL ORDER BY id::bigint * 7919 % 10007 LIMIT {queries}")
    db.execute(f"PREPARE q(int) AS SELECT id, embedding {operator} (SELECT embedding FROM {table} WHERE id = $1) AS d "
               f"FROM {table} {where} ORDER BY embedding {operator} (SELECT embedding FROM {table} WHERE id = $1) "
               f"LIMIT {k}")  # fmt: skip
    index_only(db)
    plan = db.plan("EXECUTE q(1)")
    assert f"Index Scan using {table}_idx" in plan, plan
    approximate: list[list[Row]] = [db.rows(f"EXECUTE q({i})") for i in ids]
    db.execute("DEALLOCATE q")
    heap_only(db)
    exact: list[list[Row]] = [
        db.rows(f"SELECT id, embedding {operator} (SELECT embedding FROM {table} WHERE id = {i}) AS d FROM {table} "
                f"{where} ORDER BY 2, 1 LIMIT {k}")
        for i in ids
    ]  # fmt: skip
    db.execute("RESET enable_seqscan; RESET enable_indexscan")
    found = sum(sum(row[1] <= truth[-1][1] for row in rows) for rows, truth in zip(approximate, exact, strict=True))
    total = sum(len(truth) for truth in exact)
    return Comparison(
        recall=min(found, total) / total,
        out_of_order=sum(a[1] > b[1] for rows in approximate for a, b in zip(rows, rows[1:], strict=False)),
        wrong_distances=sum(len({row[0] for row in rows}) != len(rows) for rows in approximate),
        returned=sum(len(rows) for rows in approximate),
    )
