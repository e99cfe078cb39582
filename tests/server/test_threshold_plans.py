# SPDX-License-Identifier: PostgreSQL
"""Where thresholds may stand in a query, what the planner makes of them, and that the rows are those of the table."""

from __future__ import annotations

import pytest
from harness import Database, Server, needs_extension
from index_tables import add_rows, make_index, make_table


def same_rows(db: Database, query: str, expect: str = "Index Cond", generic: bool = False) -> int:
    """Assert that the plan with the index has `expect`, and that both ways give the same rows; return how many."""
    if generic:
        db.execute("SET plan_cache_mode = force_generic_plan")
    db.execute("SET enable_seqscan = off; SET ruvector.enable_range_scan = on")
    plan = db.plan(query)
    assert expect in plan, plan
    found = sorted(db.rows(query))
    db.execute("SET enable_seqscan = on; SET ruvector.enable_range_scan = off")
    assert found == sorted(db.rows(query)), query[:100]
    db.execute("RESET ALL")
    return len(found)


def vector_of(db: Database, row: int) -> str:
    return str(db.value(f"SELECT embedding::text FROM items WHERE id = {row}"))


@pytest.mark.core
def test_or_is_a_bitmap(db: Database) -> None:
    make_table(db, 1500, dims=16)
    make_index(db)
    db.execute("CREATE INDEX items_l1_idx ON items USING ruhnsw (embedding ruvector_l1_ops)")
    add_rows(db, 1501, 1600, dims=16)
    a, b = vector_of(db, 7), vector_of(db, 900)
    first, second = f"embedding <-> '{a}' < 1.1", f"1.2 >= embedding <-> '{b}'"
    for condition in (
        f"{first} OR {second}",
        f"({first} AND category < 50) OR {second}",
        f"{first} OR embedding <+> '{b}' < 4",
        f"({first} OR {second}) AND category > 10",
    ):
        assert same_rows(db, f"SELECT id FROM items WHERE {condition}", "BitmapOr") > 0
    # one arm that no index serves needs the whole table
    db.execute("SET enable_seqscan = off")
    assert "Index Cond" not in db.plan(f"SELECT id FROM items WHERE {first} OR category = 3")


@pytest.mark.core
def test_and_negation_and_aggregates(db: Database) -> None:
    make_table(db, 1500, dims=16)
    make_index(db, "ruvector_cosine_ops", "lists = 10", "ruivfflat")
    near = f"embedding <=> '{vector_of(db, 7)}'"
    for query in (
        f"SELECT id FROM items WHERE {near} < 0.2 AND category BETWEEN 5 AND 60",
        f"SELECT id FROM items WHERE {near} BETWEEN 0.02 AND 0.2",
        f"SELECT id FROM items WHERE NOT ({near} >= 0.2)",
        f"SELECT count(*) FROM items WHERE {near} < 0.2",
        f"SELECT category, count(*), max({near}) FROM items WHERE {near} <= 0.2 GROUP BY category HAVING count(*) > 0",
        f"SELECT id FROM items WHERE {near} < 0.2 ORDER BY category LIMIT 1000",
        f"SELECT id FROM items WHERE EXISTS (SELECT FROM items i WHERE i.embedding <=> items.embedding < 0.0001 "
        f"AND i.id <> items.id) AND {near} < 0.2",
        f"SELECT DISTINCT category FROM items WHERE {near} < 0.2 UNION SELECT id FROM items WHERE {near} < 0.01",
    ):
        assert same_rows(db, query) > 0 or "EXISTS" in query


@pytest.mark.core
def test_parameters_and_joins(db: Database) -> None:
    make_table(db, 1000, dims=16)
    make_index(db)
    db.execute("CREATE TABLE asked AS SELECT id AS q, embedding, 0.8 + id * 0.01 AS radius FROM items WHERE id <= 20")
    db.execute("ANALYZE asked")
    for query in (
        "SELECT q, id FROM asked JOIN items ON items.embedding <-> asked.embedding < radius",
        "SELECT q, id FROM asked JOIN items ON radius >= asked.embedding <-> items.embedding AND category < 50",
        "SELECT q, id FROM asked LEFT JOIN items ON items.embedding <-> asked.embedding < radius AND category = 5",
        "SELECT q, n FROM asked, LATERAL (SELECT count(*) n FROM items WHERE embedding <-> asked.embedding < radius) c",
        "SELECT id FROM items WHERE embedding <-> (SELECT embedding FROM asked WHERE q = 3) < (SELECT 1.1::float8)",
    ):
        assert same_rows(db, f"SELECT * FROM ({query}) x") > 0
    db.execute("PREPARE p(ruvector, float8, real) AS SELECT id FROM items WHERE embedding <-> $1 < $2 AND $3 > embedding <-> $1")
    for generic in (False, True):
        assert same_rows(db, f"EXECUTE p('{vector_of(db, 7)}', 1.2, 1.1)", generic=generic) > 0


@pytest.mark.core
def test_partitions_partial_and_expression_indexes(db: Database) -> None:
    make_table(db, 900, dims=16)
    vector = vector_of(db, 7)
    db.execute("CREATE TABLE parts (id int, category int, embedding ruvector(16)) PARTITION BY RANGE (id)")
    for i in range(3):
        db.execute(f"CREATE TABLE parts_{i} PARTITION OF parts FOR VALUES FROM ({i * 301}) TO ({i * 301 + 301})")
    db.execute("INSERT INTO parts SELECT * FROM items")
    db.execute("CREATE INDEX ON parts USING ruhnsw (embedding ruvector_l2_ops); ANALYZE parts")
    assert same_rows(db, f"SELECT id FROM parts WHERE embedding <-> '{vector}' < 1.2", "parts_2_embedding_idx") > 0

    db.execute("CREATE INDEX partial_idx ON items USING ruhnsw (embedding ruvector_l2_ops) WHERE category < 50")
    near = f"embedding <-> '{vector}' < 1.3"
    assert same_rows(db, f"SELECT id FROM items WHERE {near} AND category < 50", "partial_idx") > 0
    db.execute("SET enable_seqscan = off")
    assert "partial_idx" not in db.plan(f"SELECT id FROM items WHERE {near}")

    db.execute("CREATE INDEX half_idx ON items USING ruivfflat ((embedding::halfvec(16)) halfvec_l2_ops) WITH (lists = 5)")
    near = f"(embedding::halfvec(16)) <-> '{vector}'::halfvec(16) < 1.2"
    assert same_rows(db, f"SELECT id FROM items WHERE {near}", "half_idx") > 0


@pytest.mark.parametrize(
    ("type_", "method", "options"),
    [("ruvector", "ruhnsw", ""), ("ruvector", "ruivfflat", "lists = 200"), ("halfvec", "ruhnsw", "")],
)
def test_a_plan_is_told_how_many_rows_there_are(db: Database, type_: str, method: str, options: str) -> None:
    """The planner's own guess is a third of the table, whatever the radius."""
    make_table(db, 5000, dims=16, type_=type_)
    make_index(db, f"{type_}_l2_ops", options, method)
    distance = f"embedding <-> '{vector_of(db, 7)}'::{type_}"
    distances = db.column(f"SELECT {distance} FROM items ORDER BY 1")
    for rows in (3, 40, 1000, 4000):
        radius = distances[rows]
        plan = db.value(f"EXPLAIN (FORMAT JSON) SELECT id FROM items WHERE {distance} < {radius!r}")[0]["Plan"]
        # a sample of 256 for the wide ones: five standard deviations of its share
        assert abs(plan["Plan Rows"] - rows) <= max(2, 5 * (rows * (1 - rows / 5000) * 5000 / 256) ** 0.5)
    assert "Seq Scan" in db.plan(f"SELECT id FROM items WHERE {distance} < {distances[-1]!r}")
    assert "Index Scan" in db.plan(f"SELECT id FROM items WHERE {distance} < {distances[20]!r}")


def test_a_wide_radius_leaves_the_order_to_the_graph(db: Database) -> None:
    """Both scans have the order; to collect all that is within a wide radius for ten rows would be waste."""
    make_table(db, 5000, dims=16)
    make_index(db)
    distance = f"embedding <-> '{vector_of(db, 7)}'"
    wide = db.plan(f"SELECT id FROM items WHERE {distance} < 100 ORDER BY {distance} LIMIT 10")
    assert "Order By" in wide and "Index Cond" not in wide, wide
    narrow = db.plan(f"SELECT id FROM items WHERE {distance} < 0.9 ORDER BY {distance} LIMIT 1000")
    assert "Index Cond" in narrow, narrow


def test_row_security_is_checked_first(db: Database) -> None:
    """The bound of a user's condition is no way around a policy."""
    make_table(db, 500, dims=8)
    make_index(db)
    db.execute("CREATE ROLE reader; GRANT SELECT ON items TO reader; ALTER TABLE items ENABLE ROW LEVEL SECURITY")
    db.execute("CREATE POLICY few ON items TO reader USING (category < 10)")
    vector = vector_of(db, 7)
    truth = db.column(f"SELECT id FROM items WHERE embedding <-> '{vector}' < 100 AND category < 10 ORDER BY id")
    db.execute("SET ROLE reader; SET enable_seqscan = off")
    assert db.column(f"SELECT id FROM items WHERE embedding <-> '{vector}' < 100 ORDER BY id") == truth
    db.execute("RESET ROLE; DROP OWNED BY reader; DROP ROLE reader")


def test_columns_of_pgvector(server: Server) -> None:
    needs_extension(server, "vector")
    db = server.database(("vector", "ruvector"))
    try:
        make_table(db, 800, dims=16, type_="vector")
        vector = vector_of(db, 7)
        for metric, operator, radius in (("l2", "<->", 1.2), ("cosine", "<=>", 0.05), ("ip", "<#>", -5)):
            db.execute(f"CREATE INDEX items_idx ON items USING ruhnsw (embedding vector_{metric}_ops)")
            query = f"SELECT id FROM items WHERE embedding {operator} '{vector}'::vector < {radius}"
            assert same_rows(db, query, "items_idx") > 0
            db.execute("DROP INDEX items_idx")
    finally:
        db.close()
        server.drop(db.name)
