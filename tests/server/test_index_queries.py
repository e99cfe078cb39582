# SPDX-License-Identifier: PostgreSQL
"""Every way in which a query may drive an index scan: joins, cursors, parameters, partitions, workers, row locks."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from harness import Database
from index_tables import add_rows, heap_only, index_only, make_index, make_table

INDEX = "Index Scan using items_idx"


def vector(db: Database, row: int) -> str:
    return str(db.value(f"SELECT embedding::text FROM items WHERE id = {row}"))


def both_ways(db: Database, query: str, expect: str = INDEX) -> list[Any]:
    """The rows by index, its plan asserted, and the same without it; returned when equal."""
    index_only(db)
    plan = db.plan(query)
    assert expect in plan, plan
    found = db.rows(query)
    heap_only(db)
    assert found == db.rows(query), query
    db.execute("RESET enable_seqscan; RESET enable_indexscan; RESET enable_sort")
    return found


@pytest.fixture
def items(db: Database) -> Database:
    """1,500 rows and ef_search 400: on so few a search misses nothing, and both ways must give the same."""
    make_table(db, 1500, dims=16)
    make_index(db)
    add_rows(db, 1501, 1550, dims=16)
    db.execute("ANALYZE items; SET ruvector.ef_search = 400")
    return db


@pytest.mark.core
def test_joins(items: Database) -> None:
    db = items
    db.execute("CREATE TABLE kinds AS SELECT i AS category, 'kind ' || i AS name FROM generate_series(0, 49) i; ANALYZE kinds")
    near = f"embedding <-> '{vector(db, 8)}'"
    for query in (
        f"SELECT id, name FROM items JOIN kinds USING (category) ORDER BY {near} LIMIT 20",
        f"SELECT id, name FROM items LEFT JOIN kinds USING (category) ORDER BY {near} LIMIT 20",
        f"SELECT id FROM items WHERE EXISTS (SELECT FROM kinds k WHERE k.category = items.category) ORDER BY {near} LIMIT 20",
        f"SELECT id FROM items WHERE category IN (SELECT category FROM kinds WHERE category > 40) ORDER BY {near} LIMIT 20",
        f"SELECT a.id, b.id FROM (SELECT * FROM items ORDER BY {near} LIMIT 5) a JOIN kinds USING (category), "
        f"LATERAL (SELECT id FROM items i ORDER BY i.embedding <-> a.embedding LIMIT 3) b ORDER BY 1, 2",
        f"WITH n AS MATERIALIZED (SELECT id, {near} AS d FROM items ORDER BY 2 LIMIT 30) SELECT * FROM n WHERE id % 2 = 0",
        f"SELECT o.id, (SELECT i.id FROM items i ORDER BY i.embedding <-> o.embedding OFFSET 1 LIMIT 1) FROM items o "
        f"WHERE o.id < 6 ORDER BY {near}, o.id",
        f"SELECT id, row_number() OVER (ORDER BY {near}) FROM items ORDER BY {near} LIMIT 9",
        f"(SELECT id FROM items ORDER BY {near} LIMIT 4) UNION ALL (SELECT id FROM items ORDER BY embedding <-> "
        f"'{vector(db, 9)}' LIMIT 4)",
        f"SELECT id FROM items WHERE id > 10 ORDER BY {near} OFFSET 7 LIMIT 11",
    ):
        assert both_ways(db, query)


@pytest.mark.core
def test_ties_further_orders_and_limits(items: Database) -> None:
    db = items
    db.execute("INSERT INTO items (category, embedding) SELECT category, embedding FROM items WHERE id IN (20, 21, 22, 8)")
    db.execute("ANALYZE items")
    near = f"embedding <-> '{vector(db, 8)}'"
    if db.server.major >= 17:  # before, the planner sorts further only what a column orders
        assert len(both_ways(db, f"SELECT id FROM items ORDER BY {near}, id DESC LIMIT 30")) == 30
        both_ways(db, f"SELECT id FROM items WHERE id % 3 > 0 ORDER BY {near}, id LIMIT 30 OFFSET 5")
    for query, rows in (
        (f"SELECT {near} FROM items ORDER BY {near} FETCH FIRST 1 ROW WITH TIES", 2),
        (f"SELECT {near} FROM items WHERE id % 2 = 0 ORDER BY {near} FETCH FIRST 9 ROWS WITH TIES", 9),
        (f"SELECT DISTINCT ON ({near}) {near} FROM items ORDER BY {near} LIMIT 20", 20),
        (f"SELECT DISTINCT {near} FROM items WHERE category > 5 ORDER BY 1 LIMIT 20", 20),
        (f"SELECT {near}, rank() OVER (ORDER BY {near}), ({near}) - lag({near}) OVER (ORDER BY {near}) FROM items LIMIT 9", 9),
        (f"SELECT {near} FROM items ORDER BY {near} OFFSET 1545", 9),
        (f"SELECT {near} FROM items WHERE {near} > 0 ORDER BY {near} LIMIT 5", 5),
    ):
        assert len(both_ways(db, query)) == rows, query
    for query in (f"SELECT id FROM items ORDER BY {near} LIMIT 0", f"SELECT id FROM items ORDER BY {near} OFFSET 5000 LIMIT 3"):
        assert both_ways(db, query) == []


@pytest.mark.core
def test_a_merge_join_reads_ahead_and_goes_back(items: Database) -> None:
    """The index cannot mark and restore a position: the planner puts a Materialize on it."""
    db = items
    near = f"embedding <-> '{vector(db, 8)}'"
    db.execute(f"CREATE TABLE radii AS SELECT {near} AS d FROM items WHERE id < 40 UNION ALL SELECT {near} FROM items WHERE id < 40")
    db.execute("ANALYZE radii; SET enable_hashjoin = off; SET enable_nestloop = off")
    query = f"SELECT r.d, id FROM radii r JOIN (SELECT id, {near} AS d FROM items ORDER BY 2 LIMIT 1000) i ON i.d = r.d ORDER BY 1, 2"
    both_ways(db, query)
    assert "Merge Join" in db.plan(query)


@pytest.mark.core
def test_cursors(items: Database) -> None:
    db = items
    query = f"SELECT id FROM items ORDER BY embedding <-> '{vector(db, 8)}'"
    index_only(db)
    plain = db.column(f"{query} LIMIT 60")
    db.execute(f"BEGIN; DECLARE c SCROLL CURSOR FOR {query}")
    assert db.column("FETCH 20 FROM c") == plain[:20]
    assert db.column("FETCH BACKWARD 5 FROM c") == plain[18:13:-1]
    assert db.column("FETCH ABSOLUTE 3 FROM c") == plain[2:3]
    assert db.column("FETCH FORWARD 30 FROM c") == plain[3:33]
    assert db.column("FETCH FIRST FROM c") == plain[:1]
    db.execute(f"DECLARE f NO SCROLL CURSOR FOR {query}")
    assert db.column("FETCH 10 FROM f") == plain[:10]
    db.execute(f"DECLARE g NO SCROLL CURSOR FOR {query}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="can only scan forward"), db.conn.transaction():
        db.execute("FETCH BACKWARD 1 FROM g")
    db.execute(f"DECLARE h CURSOR WITH HOLD FOR {query} LIMIT 50")
    # rows that come while a cursor is open are none of its snapshot's; a merge under it takes nothing from it
    with db.connect() as other:
        other.execute("INSERT INTO items (category, embedding) SELECT category, embedding FROM items WHERE id = 8")
        other.execute("SELECT ruvector_index_maintenance('items_idx')")
        other.execute("DELETE FROM items WHERE id IN (SELECT unnest(%s::int[]))", (plain[30:40],))
    assert db.column("FETCH 50 FROM f") == plain[10:60]
    db.execute("COMMIT")
    assert db.column("FETCH ALL FROM h") == plain[:50]
    db.execute("CLOSE h")
    # positioned update and delete
    by_distance = f"ORDER BY embedding <-> '{vector(db, 9)}'"
    db.execute(f"BEGIN; DECLARE p CURSOR FOR SELECT id, category FROM items WHERE id < 1000 {by_distance} FOR UPDATE")
    nearest = db.rows("FETCH 1 FROM p")[0][0]
    db.execute("UPDATE items SET category = -5 WHERE CURRENT OF p")
    assert db.column("SELECT id FROM items WHERE category = -5") == [nearest]
    db.execute("COMMIT")


@pytest.mark.core
def test_parameters(items: Database) -> None:
    """Custom and generic plans; LIMIT, OFFSET and the query vector as parameters, NULL among them."""
    db = items
    literal = vector(db, 8)
    index_only(db)
    expected = db.column(f"SELECT id FROM items ORDER BY embedding <-> '{literal}' LIMIT 7 OFFSET 2")
    for mode in ("force_custom_plan", "force_generic_plan"):
        db.execute(f"SET plan_cache_mode = {mode}")
        db.execute("PREPARE q(ruvector, bigint, bigint) AS SELECT id FROM items ORDER BY embedding <-> $1 LIMIT $2 OFFSET $3")
        assert INDEX in db.plan(f"EXECUTE q('{literal}', 7, 2)")
        assert db.column(f"EXECUTE q('{literal}', 7, 2)") == expected
        assert len(db.column("EXECUTE q(NULL, 7, 2)")) == 7
        assert len(db.column(f"EXECUTE q('{literal}', NULL, NULL)")) >= 1500
        assert db.column(f"EXECUTE q('{literal}', 0, 0)") == []
        db.execute("DEALLOCATE q")
    # by default: a generic plan with an unknown LIMIT is the index's, too
    db.execute("RESET ALL")
    db.execute("PREPARE q(ruvector, bigint) AS SELECT id FROM items ORDER BY embedding <-> $1 LIMIT $2")
    db.execute("SET plan_cache_mode = force_generic_plan")
    assert INDEX in db.plan(f"EXECUTE q('{literal}', 5)")
    db.execute(
        "CREATE FUNCTION nearest(q ruvector, k int) RETURNS SETOF int LANGUAGE plpgsql STABLE AS "
        "$$ BEGIN RETURN QUERY SELECT id FROM items ORDER BY embedding <-> q LIMIT k; END $$"
    )
    for _ in range(7):
        assert db.column(f"SELECT nearest('{literal}', 9) OFFSET 2") == expected[:7]


@pytest.mark.core
def test_partitions_and_inheritance(items: Database) -> None:
    db = items
    db.execute("CREATE TABLE parts (id int, category int, embedding ruvector(16)) PARTITION BY LIST (category)")
    for part in range(4):
        values = ", ".join(str(c) for c in range(part * 25, part * 25 + 25))
        db.execute(f"CREATE TABLE part{part} PARTITION OF parts FOR VALUES IN ({values})")
    db.execute("CREATE TABLE part_rest PARTITION OF parts DEFAULT")
    db.execute("INSERT INTO parts SELECT id, category, embedding FROM items")
    db.execute("CREATE INDEX ON parts USING ruhnsw (embedding ruvector_l2_ops); ANALYZE parts")
    near = f"embedding <-> '{vector(db, 8)}'"
    assert both_ways(db, f"SELECT id FROM parts ORDER BY {near} LIMIT 25", "Merge Append")
    assert both_ways(db, f"SELECT id FROM parts WHERE category IN (3, 60) ORDER BY {near} LIMIT 12", "Merge Append")
    assert both_ways(db, f"SELECT id FROM parts WHERE category = 3 ORDER BY {near} LIMIT 5", "Index Scan using part0_embedding_idx")
    db.execute("SET plan_cache_mode = force_generic_plan; PREPARE p(int) AS SELECT id FROM parts WHERE category IN ($1, 60) "
               f"ORDER BY {near} LIMIT 9")  # fmt: skip
    both_ways(db, "EXECUTE p(3)", "Merge Append")
    assert "Subplans Removed" in db.plan("EXECUTE p(3)")


@pytest.mark.core
def test_partial_and_expression_indexes(items: Database) -> None:
    db = items
    db.execute("DROP INDEX items_idx")
    db.execute("CREATE INDEX items_idx ON items USING ruhnsw (embedding ruvector_l2_ops) WHERE category < 10")
    near = f"embedding <-> '{vector(db, 8)}'"
    both_ways(db, f"SELECT id FROM items WHERE category < 10 ORDER BY {near} LIMIT 10")
    both_ways(db, f"SELECT id FROM items WHERE category = 8 ORDER BY {near} LIMIT 10")
    index_only(db)
    assert INDEX not in db.plan(f"SELECT id FROM items WHERE category < 11 ORDER BY {near} LIMIT 10")
    # a row comes into the index, and leaves it, by an update of another column
    db.execute("UPDATE items SET category = 5 WHERE id = 777; UPDATE items SET category = 50 WHERE id = 8")
    both_ways(db, f"SELECT id FROM items WHERE category < 10 ORDER BY {near} LIMIT 200")
    db.execute("DROP INDEX items_idx")
    for expression, query in (
        ("subvector(embedding, 1, 4)::ruvector(4)", "'[1,0,0,0]'::ruvector(4)"),
        ("embedding::halfvec(16)", "'{}'::halfvec(16)"),
        ("l2_normalize(embedding)::ruvector(16)", "'{}'::ruvector(16)"),
    ):
        opclass = "halfvec_l2_ops" if "halfvec" in expression else "ruvector_l2_ops"
        db.execute(f"CREATE INDEX items_idx ON items USING ruhnsw (({expression}) {opclass})")
        add_rows(db, 1600, 1610, dims=16)
        query = query.format(vector(db, 8))
        both_ways(db, f"SELECT id FROM items ORDER BY {expression} <-> {query} LIMIT 20")
        assert db.rows("SELECT * FROM ruvector_index_check('items_idx')") == []
        db.execute("DROP INDEX items_idx")
    db.execute("CREATE INDEX items_idx ON items USING ruhnsw ((binary_quantize(embedding)::bit(16)) bit_hamming_ops)")
    # pgvector's way to rank again: 200 by code, of which the nearest 5; on 16 bits the codes do not tell all apart
    query = (
        f"SELECT id FROM (SELECT * FROM items ORDER BY binary_quantize(embedding)::bit(16) <~> "
        f"binary_quantize('{vector(db, 8)}'::ruvector)::bit(16) LIMIT 200) c ORDER BY {near} LIMIT 1"
    )
    index_only(db)
    assert INDEX in db.plan(query)
    assert db.column(query) == [8]


@pytest.mark.core
def test_parallel_workers_in_the_rest_of_the_plan(items: Database) -> None:
    db = items
    db.execute("CREATE TABLE big AS SELECT i AS id, i % 100 AS category FROM generate_series(1, 20000) i; ANALYZE big")
    eager = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"
    db.execute(eager)
    near = f"embedding <-> '{vector(db, 8)}'"
    query = f"SELECT count(*) FROM big WHERE category = ANY (ARRAY(SELECT category FROM items ORDER BY {near} LIMIT 20))"
    plan = db.plan(query)
    assert "Gather" in plan, plan
    assert INDEX in plan, plan
    # an index scan for every row, inside workers
    lateral = (
        "SELECT sum(n.id) FROM (SELECT * FROM items WHERE id <= 200) q, "
        "LATERAL (SELECT i.id FROM items i ORDER BY i.embedding <-> q.embedding LIMIT 2) n"
    )
    both_ways(db, query)
    both_ways(db, lateral)
    db.execute("SET plan_cache_mode = force_custom_plan; SET debug_parallel_query = on" if db.server.major >= 16 else
               "SET force_parallel_mode = on")  # fmt: skip
    both_ways(db, f"SELECT id FROM items ORDER BY {near} LIMIT 20")
    assert "Gather" in db.plan(f"SELECT id FROM items ORDER BY {near} LIMIT 20")


@pytest.mark.core
def test_row_locks_look_at_the_newest_version(items: Database) -> None:
    """EvalPlanQual: FOR UPDATE waits for another transaction, and then sees what it left."""
    db = items
    near = f"embedding <-> '{vector(db, 8)}'"
    query = f"SELECT id, category FROM items WHERE category >= 0 ORDER BY {near} LIMIT 2 FOR UPDATE"
    index_only(db)
    assert INDEX in db.plan(query)
    first, second, third = (row[0] for row in db.rows(query.replace("LIMIT 2", "LIMIT 3")))
    for change, expected in (
        (f"UPDATE items SET category = 99 WHERE id = {first}", [(first, 99), second]),
        (f"UPDATE items SET category = -1 WHERE id = {first}", [second, third]),
    ):
        found: list[Any] = []
        with db.connect() as other:
            other.execute("BEGIN")
            other.execute(change)
            waiter = threading.Thread(target=lambda found=found: found.extend(db.rows(query)))
            waiter.start()
            while not other.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone() == (1,):
                pass
            other.execute("COMMIT")
            waiter.join()
        assert [row if isinstance(want, tuple) else row[0] for row, want in zip(found, expected, strict=True)] == expected


@pytest.mark.core
def test_serializable_sees_the_conflict(items: Database) -> None:
    """Two transactions that each read by the index what the other inserts: one of them must fail."""
    db = items
    query = f"SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <-> '{vector(db, 8)}' LIMIT 5) n"
    insert = f"INSERT INTO items (category, embedding) VALUES (1, '{vector(db, 8)}')"
    failed = 0
    with db.connect() as one, db.connect() as two:
        for conn in (one, two):
            conn.execute("SET enable_seqscan = off")
            conn.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            conn.execute(query)
        for conn in (one, two):
            try:
                conn.execute(insert)
                conn.execute("COMMIT")
            except psycopg.errors.SerializationFailure:
                conn.execute("ROLLBACK")
                failed += 1
    assert failed == 1


@pytest.mark.core
def test_rescans_with_other_queries_keep_nothing(items: Database) -> None:
    db = items
    db.execute("INSERT INTO items (category, embedding) VALUES (1, NULL)")
    query = (
        "SELECT q.id, n.id FROM items q LEFT JOIN LATERAL (SELECT i.id FROM items i WHERE q.embedding IS NOT NULL "
        "ORDER BY i.embedding <-> q.embedding LIMIT 3) n ON true WHERE q.id IN (5, 6, 700, 1540) OR q.embedding IS NULL"
    )
    rows = both_ways(db, f"{query} ORDER BY 1, 2")
    assert len(rows) == 4 * 3 + 1
    # inside a volatile function, called by a scan of the same index
    db.execute(
        "CREATE FUNCTION twin(q ruvector) RETURNS int LANGUAGE sql VOLATILE AS "
        "$$ SELECT id FROM items ORDER BY embedding <-> q LIMIT 1 $$"
    )
    index_only(db)
    ids = db.rows(f"SELECT id, twin(embedding) FROM items WHERE id < 1500 ORDER BY embedding <-> '{vector(db, 8)}' LIMIT 20")
    assert all(a == b for a, b in ids)


@pytest.mark.core
def test_a_cancel_is_heard_at_once(db: Database) -> None:
    """A search polls: the statement ends by its timeout, although it would read a hundred thousand rows many times."""
    db.execute("SELECT setseed(0.1); CREATE TABLE items (id serial, embedding ruvector(64))")
    db.execute(
        "INSERT INTO items (embedding) SELECT (SELECT array_agg(random()) FROM generate_series(1, 64) WHERE i > 0)::float4[]::ruvector "
        "FROM generate_series(1, 20000) i"
    )
    make_index(db, options="m = 4, ef_construction = 8")
    index_only(db)
    db.execute("SET ruvector.max_scan_tuples = 1000000; SET ruvector.scan_mem_multiplier = 1000; SET statement_timeout = 200")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.rows(
            "SELECT count(*) FROM items q, LATERAL (SELECT id FROM items ORDER BY embedding <-> q.embedding LIMIT 15000) n"
        )
    db.execute("RESET statement_timeout")
    query = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items LIMIT 1) LIMIT 5"
    assert len(db.rows(query)) == 5
