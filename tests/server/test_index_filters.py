# SPDX-License-Identifier: PostgreSQL
"""The nearest among the rows that other indexes find: as a sequential scan says, whatever finds them and however it is asked."""

from __future__ import annotations

import threading
import time

import pytest
from harness import Database, Row
from index_tables import add_rows, index_only, make_index, make_table

SCAN = "Custom Scan (RuvectorFilteredScan)"
QUERY = "(SELECT embedding FROM items WHERE id = {})"


def prepare(db: Database, rows: int = 3000, dims: int = 32, options: str = "", opclass: str = "ruvector_l2_ops") -> None:
    make_table(db, rows, dims)
    make_index(db, opclass, options)
    db.execute("CREATE INDEX category_idx ON items (category); ANALYZE items")


def both_ways(
    db: Database, where: str, *, k: int = 10, operator: str = "<->", queries: int = 10, table: str = "items", hint: str = ""
) -> tuple[list[list[Row]], list[list[Row]]]:
    """Ids and distances by a filtered scan, whose plan is asserted, and from the heap; a few settings make it the cheapest."""
    found: list[list[list[Row]]] = []
    for settings in (
        "SET enable_seqscan = off; SET enable_sort = off; SET enable_indexscan = on; SET cpu_tuple_cost = 100",
        "SET enable_seqscan = on; SET enable_indexscan = off; SET enable_bitmapscan = off",
    ):
        db.execute(settings)
        db.execute(hint)
        answers = []
        for number in range(1, queries + 1):
            query = QUERY.format(number * 7)
            statement = (
                f"SELECT id, embedding {operator} {query} FROM {table} WHERE {where} ORDER BY embedding {operator} {query} LIMIT {k}"
            )
            if not answers:
                assert (SCAN in db.plan(statement)) == (not found), db.plan(statement)
            answers.append(db.rows(statement))
        db.execute("RESET ALL")
        found.append(answers)
    return found[0], found[1]


def check(db: Database, where: str, **options: object) -> None:
    filtered, exact = both_ways(db, where, **options)  # type: ignore[arg-type]
    assert sum(map(len, exact)) > 0
    for mine, truth in zip(filtered, exact, strict=True):
        assert [row[1] for row in mine] == [row[1] for row in truth]
        assert len({row[0] for row in mine}) == len(mine)


@pytest.mark.core
@pytest.mark.parametrize(
    ("opclass", "operator"),
    [("ruvector_l2_ops", "<->"), ("ruvector_ip_ops", "<#>"), ("ruvector_cosine_ops", "<=>"), ("ruvector_l1_ops", "<+>")],
)
def test_the_nearest_that_pass(db: Database, opclass: str, operator: str) -> None:
    prepare(db, opclass=opclass)
    check(db, "category = 42", operator=operator)
    check(db, "category BETWEEN 10 AND 19", operator=operator, k=50)


@pytest.mark.parametrize("quantization", ["none", "f16", "sq8", "pq16", "binary"])
def test_every_quantization(db: Database, quantization: str) -> None:
    prepare(db, dims=64, options=f"quantization = '{quantization}'")
    check(db, "category IN (3, 4, 5)", k=90)


@pytest.mark.core
def test_every_kind_of_index_and_their_combinations(db: Database) -> None:
    prepare(db)
    db.execute(
        "ALTER TABLE items ADD COLUMN tags int[]; ALTER TABLE items ADD COLUMN day int; "
        "UPDATE items SET tags = ARRAY[id % 7, 10 + id % 11], day = id / 10"
    )
    db.execute("VACUUM items")
    for name, method, column in (("h", "hash", "day"), ("g", "gin", "tags"), ("b", "brin", "id"), ("d", "btree", "day")):
        db.execute(f"CREATE INDEX {name}_idx ON items USING {method} ({column})")
    db.execute("DROP INDEX d_idx; ALTER TABLE items DROP CONSTRAINT items_pkey; ANALYZE items")
    check(db, "day = 100")
    check(db, "tags @> ARRAY[3, 15]")
    check(db, "id BETWEEN 1000 AND 1500")
    check(db, "tags @> ARRAY[3] AND category < 30 AND embedding <> '[" + ",".join(["0"] * 32) + "]'")
    check(db, "category = 7 OR day = 200")
    check(db, "category = 7 AND id % 3 = 0", k=5)


@pytest.mark.core
def test_writes_are_seen(db: Database) -> None:
    """New rows, versions with and without an index entry of their own, deleted rows before and after VACUUM."""
    prepare(db)
    db.execute("SET ruvector.background_maintenance = off; ALTER TABLE items ADD COLUMN note int DEFAULT 0")
    add_rows(db, 3001, 3400)
    db.execute("UPDATE items SET note = 1 WHERE id % 5 = 0")
    db.execute("UPDATE items SET category = 42 WHERE id % 90 = 1")
    db.execute("DELETE FROM items WHERE id % 300 = 42")
    check(db, "category = 42")
    db.execute("VACUUM items")
    check(db, "category = 42")
    add_rows(db, 3401, 3600)
    check(db, "category = 42")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    check(db, "category = 42")
    db.execute("BEGIN; DELETE FROM items WHERE category = 42 AND id < 1000; INSERT INTO items (category, embedding) "
               "SELECT 42, embedding FROM items WHERE category = 41")  # fmt: skip
    check(db, "category = 42", k=60)
    db.execute("ROLLBACK")
    check(db, "category = 42", k=60)


@pytest.mark.core
def test_rows_with_one_vector(db: Database) -> None:
    """They share a node: the filter lets some of them through."""
    prepare(db, rows=1000)
    db.execute("INSERT INTO items (category, embedding) SELECT i % 100, (SELECT embedding FROM items WHERE id = 5) "
               "FROM generate_series(1, 2000) i")  # fmt: skip
    db.execute("REINDEX INDEX items_idx; ANALYZE items")
    check(db, "category = 42", k=25)
    db.execute("SET ruvector.background_maintenance = off; DELETE FROM items WHERE id % 200 = 42")
    db.execute("VACUUM items")
    check(db, "category = 42", k=25)


def test_a_bitmap_of_whole_pages(db: Database) -> None:
    """Past work_mem a bitmap keeps pages only: rows that do not pass are met, and dropped."""
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(4), filler text); SELECT setseed(0.2)")
    db.execute("INSERT INTO items (category, embedding, filler) SELECT i * 7 % 100, ARRAY[random(), random(), random(), random()] "
               "::float4[]::ruvector, repeat('x', 800) FROM generate_series(1, 30000) i; DELETE FROM items WHERE id % 7 = 0")  # fmt: skip
    make_index(db, options="m = 4, ef_construction = 8")
    db.execute("CREATE INDEX category_idx ON items (category); ANALYZE items")
    statement = "SELECT id FROM items WHERE category < 10 ORDER BY embedding <-> '[0.5,0.5,0.5,0.5]' LIMIT 30"
    exact = db.column(statement.replace("category <", "category + 0 <"))
    db.execute("SET work_mem = '64kB'; SET ruvector.scan_mem_multiplier = 1000; SET enable_seqscan = off; SET enable_sort = off")
    db.execute("SET cpu_tuple_cost = 100")
    plan = db.plan(statement, options="ANALYZE, COSTS OFF, TIMING OFF")
    assert SCAN in plan, plan
    assert "Rows Removed by Filter" in plan, plan
    assert db.column(statement) == exact


@pytest.mark.core
def test_many_that_pass_are_found_by_the_graph(db: Database) -> None:
    """Past the number that is read one by one, the graph is walked and what does not pass is left out. In ten runs all of
    the nearest ten were found each time."""
    prepare(db, rows=8000, dims=8)
    settings = "SET ruvector.ef_search = 5; SET cpu_tuple_cost = 100"
    filtered, exact = both_ways(db, "category < 50", hint=settings)
    db.execute(settings)
    db.execute("SET enable_sort = off")
    statement = f"SELECT id FROM items WHERE category < 50 ORDER BY embedding <-> {QUERY.format(5)} LIMIT 10"
    plan = db.plan(statement, options="ANALYZE, VERBOSE, COSTS OFF, TIMING OFF")
    assert "Filtered Rows: 4000" in plan, plan
    assert int(plan.split("Nodes Visited: ")[1].split()[0]) < 3000, plan
    assert [len(rows) for rows in filtered] == [10] * 10
    nearest = sum(len({row[0] for row in a} & {row[0] for row in b}) for a, b in zip(filtered, exact, strict=True))
    assert nearest >= 90
    assert all(rows == sorted(rows, key=lambda row: row[1]) for rows in filtered)


def test_lists(db: Database) -> None:
    prepare(db)
    db.execute("DROP INDEX items_idx; CREATE INDEX items_idx ON items USING ruivfflat (embedding ruvector_l2_ops) WITH (lists = 50)")
    check(db, "category = 42")
    check(db, "category BETWEEN 10 AND 19", k=50)


def test_bits_and_sparse_vectors(db: Database) -> None:
    db.execute("SELECT setseed(0.4); CREATE TABLE items (id serial PRIMARY KEY, category int, embedding bit(64), other sparsevec(9))")
    db.execute("INSERT INTO items (category, embedding, other) SELECT i % 100, (random() * 1e18)::bigint::bit(64), "
               "('{' || 1 + i % 9 || ':' || random() || '}/9')::sparsevec FROM generate_series(1, 3000) i")  # fmt: skip
    db.execute("CREATE INDEX items_idx ON items USING ruhnsw (embedding bit_hamming_ops)")
    db.execute("CREATE INDEX other_idx ON items USING ruhnsw (other sparsevec_l2_ops)")
    db.execute("CREATE INDEX category_idx ON items (category); ANALYZE items")
    check(db, "category = 42", operator="<~>")
    statement = "SELECT other <-> '{1:0.5}/9' FROM items WHERE category = 42 ORDER BY other <-> '{1:0.5}/9' LIMIT 9"
    exact = db.column(statement.replace("category =", "category + 0 ="))
    db.execute("SET enable_sort = off; SET enable_seqscan = off")
    assert SCAN in db.plan(statement)
    assert db.column(statement) == exact


@pytest.mark.core
def test_for_each_row_of_another_table(db: Database) -> None:
    """The bitmap and the query are made anew for each; a generic plan, and a query that is NULL for some."""
    prepare(db)
    db.execute("CREATE TABLE asked AS SELECT id, category, CASE WHEN id <> 9 THEN embedding END AS embedding FROM items WHERE id < 30")
    statement = (
        "SELECT a.id, (SELECT array_agg(n.distance) FROM (SELECT i.embedding <-> a.embedding AS distance FROM items i "
        "WHERE i.category {} = a.category ORDER BY i.embedding <-> a.embedding LIMIT 10) n) FROM asked a ORDER BY 1"
    )
    exact = db.rows(statement.format("+ 0"))
    db.execute("SET enable_seqscan = off; SET enable_sort = off; SET plan_cache_mode = force_generic_plan")
    plan = db.plan(statement.format(""))
    assert SCAN in plan, plan
    assert db.rows(statement.format("")) == exact
    db.execute("PREPARE q(int, ruvector) AS SELECT id FROM items WHERE category = $1 ORDER BY embedding <-> $2 LIMIT 5")
    for number in (1, 2, 3):
        [[query]] = db.rows("SELECT embedding::text FROM items WHERE id = %s", (number,))
        rows = db.column(f"EXECUTE q({number}, '{query}')")
        assert rows == db.column(f"SELECT id FROM items WHERE category + 0 = {number} ORDER BY embedding <-> '{query}' LIMIT 5")
    assert SCAN in db.plan(f"EXECUTE q(1, '{query}')")
    assert len(db.rows("EXECUTE q(1, NULL)")) == 5


def test_partitions_expressions_and_partial_indexes(db: Database) -> None:
    prepare(db)
    db.execute("CREATE TABLE parts (LIKE items) PARTITION BY RANGE (id)")
    for low in (0, 1000, 2000):
        db.execute(f"CREATE TABLE parts_{low} PARTITION OF parts FOR VALUES FROM ({low}) TO ({low + 1000})")
    db.execute("INSERT INTO parts SELECT * FROM items WHERE id < 3000")
    db.execute("CREATE INDEX ON parts USING ruhnsw (embedding ruvector_l2_ops); CREATE INDEX ON parts (category); ANALYZE parts")
    check(db, "category = 42", table="parts")
    db.execute("DROP INDEX items_idx; CREATE INDEX items_idx ON items USING ruhnsw ((embedding::halfvec(32)) halfvec_l2_ops) "
               "WHERE id % 2 = 0; CREATE STATISTICS half ON (id % 2) FROM items; ANALYZE items")  # fmt: skip
    query = "(SELECT embedding::halfvec(32) FROM items WHERE id = 8)"
    statement = f"SELECT id FROM items WHERE id % 2 = 0 AND category {{}} = 42 ORDER BY embedding::halfvec(32) <-> {query} LIMIT 8"
    exact = db.column(statement.format("+ 0"))
    db.execute("SET enable_seqscan = off; SET enable_sort = off; SET cpu_tuple_cost = 100")
    assert SCAN in db.plan(statement.format(""))
    assert db.column(statement.format("")) == exact


@pytest.mark.core
def test_cursors_system_columns_and_row_locks(db: Database) -> None:
    prepare(db)
    order = f"ORDER BY embedding <-> {QUERY.format(5)}"
    exact = db.rows(f"SELECT id, ctid::text, xmin::text, tableoid FROM items WHERE category + 0 = 42 {order} LIMIT 20")
    db.execute("SET enable_seqscan = off; SET enable_sort = off; SET cpu_tuple_cost = 100")
    statement = f"SELECT id, ctid::text, xmin::text, tableoid FROM items WHERE category = 42 {order} LIMIT 20"
    assert SCAN in db.plan(statement)
    assert db.rows(statement) == exact
    db.execute(f"BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR {statement}")
    assert db.rows("FETCH 5 FROM c") == exact[:5]
    assert db.rows("FETCH BACKWARD 2 FROM c") == [exact[3], exact[2]]
    db.execute("COMMIT")
    assert db.rows("FETCH 18 FROM c") == exact[3:]

    # a row that another session moves out of the filter while this one waits for it is not returned
    with db.connect() as other:
        other.execute(f"BEGIN; UPDATE items SET category = 1 WHERE id = {exact[0][0]}")
        commit = threading.Thread(target=lambda: (_wait_for_lock(db), other.execute("COMMIT")))
        commit.start()
        locked = db.column(f"SELECT id FROM items WHERE category = 42 {order} LIMIT 20 FOR UPDATE")
        commit.join()
    assert locked[:19] == [row[0] for row in exact[1:]]


def _wait_for_lock(db: Database) -> None:
    with db.connect() as watcher:
        while watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
            time.sleep(0.01)


@pytest.mark.core
def test_explain_and_settings(db: Database) -> None:
    prepare(db)
    index_only(db)
    db.execute("SET enable_sort = off; SET cpu_tuple_cost = 100")
    vector = "[" + ",".join(["0.5"] * 32) + "]"
    statement = f"SELECT id FROM items WHERE category = 42 ORDER BY embedding <-> '{vector}' LIMIT 10"
    plan = db.plan(statement, options="ANALYZE, VERBOSE, COSTS OFF, TIMING OFF")
    for line in ("Index: items_idx", "Order By: (items.embedding <-> ", "Filter: (items.category = 42)", "Filtered Rows: 30",
                 "Bitmap Index Scan on category_idx"):  # fmt: skip
        assert line in plan, plan
    assert int(plan.split("Exact Distances: ")[1].split()[0]) < 30
    assert plan.count("Filtered Rows: ") == 1
    for setting in ("ruvector.enable_filtered_scan = off", "enable_bitmapscan = off", "ruvector.iterative_scan = off"):
        db.execute(f"BEGIN; SET LOCAL {setting}")
        assert SCAN not in db.plan(statement), setting
        db.execute("ROLLBACK")
    assert SCAN in db.plan(statement)


@pytest.mark.core
def test_the_cheaper_plan_is_taken(db: Database) -> None:
    """A filter of 1 % that nothing but an index on it helps with, of a few rows, and of most; and without that index."""
    db.execute("CREATE TABLE items (id serial PRIMARY KEY, category int, embedding ruvector(32)); SELECT setseed(0.1)")
    db.execute("INSERT INTO items (category, embedding) SELECT i % 100, array_fill(random()::float4, '{32}')::ruvector "
               "FROM generate_series(1, 20000) i; ALTER TABLE items ADD COLUMN filler text DEFAULT repeat('x', 900)")  # fmt: skip
    db.execute("CREATE INDEX category_idx ON items (category)")
    make_index(db, options="m = 4, ef_construction = 8")
    db.execute("VACUUM (FULL, ANALYZE) items")
    order = f"ORDER BY embedding <-> '[{','.join(['0.3'] * 32)}]' LIMIT 10"
    assert SCAN in db.plan(f"SELECT id FROM items WHERE category = 7 {order}")
    assert "Index Scan using items_pkey" in db.plan(f"SELECT id FROM items WHERE id = 7 {order}")
    assert "Index Scan using items_idx" in db.plan(f"SELECT id FROM items WHERE category < 60 {order}")
    db.execute("DROP INDEX category_idx")
    assert "Index Scan using items_idx" in db.plan(f"SELECT id FROM items WHERE category < 10 {order}")
