# SPDX-License-Identifier: PostgreSQL
"""What the planner makes of an index: taken for the nearest rows at every size, left where another plan is better."""

from __future__ import annotations

import pytest
from harness import Database

INDEX = "Index Scan using items_idx"


def make(db: Database, rows: int, dims: int, options: str = "m = 16") -> str:
    """A table of that many rows, indexed and analyzed. Returns an ORDER BY clause."""
    db.execute(f"CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector({dims}))")
    db.execute(
        f"INSERT INTO items (category, embedding) SELECT i % 100, array_fill(random()::float4, '{{{dims}}}')::ruvector "
        f"FROM generate_series(1, {rows}) i"
    )
    db.execute(f"CREATE INDEX items_idx ON items USING ruhnsw (embedding ruvector_l2_ops) WITH ({options}); ANALYZE items")
    return f"ORDER BY embedding <-> array_fill(0.3::float4, '{{{dims}}}')::ruvector"


@pytest.mark.core
@pytest.mark.parametrize("dims", [3, 1000])
@pytest.mark.parametrize("rows", [100, 1000, 10000])
def test_the_nearest_few_come_from_the_index(db: Database, rows: int, dims: int) -> None:
    order = make(db, rows, dims)
    assert INDEX in db.plan(f"SELECT id FROM items {order} LIMIT 10")
    if rows >= 1000:  # a hundred rows are as soon read and sorted, when one of two is dropped
        assert INDEX in db.plan(f"SELECT id FROM items WHERE category < 50 {order} LIMIT 5")


@pytest.mark.parametrize(
    ("rows", "limit", "by_order_from", "filtered_from"),
    [(1000, 10, 50, 100), (10_000, 10, 30, 1), (10_000, 100, 60, 10), (50_000, 10, 10, 1), (50_000, 100, 30, 1)],
)
def test_a_filter_with_an_index_of_its_own(db: Database, rows: int, limit: int, by_order_from: int, filtered_from: int) -> None:
    """What is cheapest depends on how many rows are read until the LIMIT has passed. The shares were measured: from there
    on, and up to a tenth of it, the other plan takes more than twice as long (docs/design/filters.md, Cost)."""
    order = make(db, rows, 8, "m = 4, ef_construction = 8")
    db.execute("CREATE INDEX category_idx ON items (category); ANALYZE items; SET max_parallel_workers_per_gather = 0")
    for filtered in (True, False):
        db.execute(f"SET ruvector.enable_filtered_scan = {filtered}")
        for percent in (1, 3, 10, 30, 60, 100):
            plan = db.plan(f"SELECT id FROM items WHERE category < {percent} {order} LIMIT {limit}")
            if percent >= by_order_from:
                assert INDEX in plan, (percent, plan)
            elif percent <= by_order_from / 10:
                assert INDEX not in plan, (percent, plan)
                assert "RuvectorFilteredScan" in plan if filtered and percent >= filtered_from else "Sort" in plan, (percent, plan)


def test_other_plans_where_they_are_better(db: Database) -> None:
    order = make(db, 10000, 8)
    assert INDEX not in db.plan(f"SELECT id FROM items {order}")
    assert INDEX not in db.plan(f"SELECT id FROM items {order} DESC LIMIT 10")
    assert INDEX not in db.plan(f"SELECT id FROM items WHERE id = 77 {order} LIMIT 10")
    assert INDEX not in db.plan(f"SELECT id FROM items {order} LIMIT 9000")
    assert INDEX not in db.plan("SELECT count(*) FROM items")
    assert INDEX not in db.plan("SELECT id FROM items ORDER BY embedding <=> '[1,2,3,4,5,6,7,8]' LIMIT 10")
    # rows that a scan of at most max_scan_tuples is not expected to find
    db.execute("SET ruvector.max_scan_tuples = 500")
    assert INDEX in db.plan(f"SELECT id FROM items {order} LIMIT 400")
    assert INDEX not in db.plan(f"SELECT id FROM items {order} LIMIT 600")
    assert INDEX not in db.plan(f"SELECT id FROM items WHERE category = 5 {order} LIMIT 10")


def test_an_index_without_an_order_is_never_scanned(db: Database) -> None:
    make(db, 100, 3)
    db.execute("CREATE INDEX partial_idx ON items USING ruhnsw (embedding ruvector_l2_ops) WHERE category = 3")
    db.execute("SET enable_seqscan = off; SET enable_sort = off")
    for query in ("SELECT * FROM items WHERE category = 3", "SELECT count(*) FROM items", "SELECT * FROM items ORDER BY id DESC"):
        plan = db.plan(query)
        assert "items_idx" not in plan, plan
        assert "partial_idx" not in plan, plan
        db.rows(query)


@pytest.mark.core
def test_a_large_table(db: Database) -> None:
    """50,000 rows, and the planner told of a million: the nearest few by the index; what else is cheaper, otherwise."""
    order = make(db, 50_000, 3, "m = 4, ef_construction = 8")
    # of an expression that it has no statistics of, the planner believes that half a percent passes
    db.execute("CREATE INDEX category_idx ON items (category); CREATE STATISTICS halves ON (id % 2) FROM items; ANALYZE items")
    for tuples in (50_000, 1_000_000):
        db.execute("UPDATE pg_class SET reltuples = %s WHERE relname IN ('items', 'items_idx')", (tuples,))
        for query in (
            f"SELECT id FROM items {order} LIMIT 10",
            f"SELECT id FROM items {order} LIMIT 1000",
            f"SELECT id FROM items {order} OFFSET 50 LIMIT 50",
            f"SELECT id FROM items WHERE category < 50 {order} LIMIT 10",
            f"SELECT id FROM items WHERE category <> 3 {order} LIMIT 100",
            f"SELECT id FROM items WHERE id % 2 = 0 {order} LIMIT 10",
        ):
            assert INDEX in db.plan(query), query
        for query in (
            f"SELECT id FROM items {order}",
            f"SELECT id FROM items {order} DESC LIMIT 10",
            f"SELECT id FROM items {order} LIMIT 30000",
            f"SELECT id FROM items WHERE id BETWEEN 500 AND 520 {order} LIMIT 10",
            f"SELECT id FROM items WHERE id IN (5, 6, 7) {order} LIMIT 2",
            "SELECT count(*) FROM items",
            "SELECT category, avg(id) FROM items GROUP BY category ORDER BY category",
        ):
            assert INDEX not in db.plan(query), query
    # a LIMIT that is not known is taken for a tenth of the table; a known one is the custom plan's
    db.execute("PREPARE few(int) AS SELECT id FROM items " + order + " LIMIT $1")
    assert INDEX in db.plan("EXECUTE few(10)")
    assert INDEX not in db.plan("EXECUTE few(30000)")
    db.execute("SET plan_cache_mode = force_generic_plan")
    assert INDEX in db.plan("EXECUTE few(10)")


def test_a_higher_ef_search_costs_more(db: Database) -> None:
    order = make(db, 20000, 8, "m = 4, ef_construction = 8")
    costs = []
    for ef in (10, 100, 1000):
        db.execute(f"SET ruvector.ef_search = {ef}")
        [plan] = db.column(f"EXPLAIN (FORMAT json) SELECT id FROM items {order} LIMIT 10")
        costs.append(plan[0]["Plan"]["Total Cost"])
    assert costs[0] < costs[1] < costs[2]
