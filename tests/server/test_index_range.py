# SPDX-License-Identifier: PostgreSQL
"""WHERE distance < radius: from the index, exactly the rows of a sequential scan."""

from __future__ import annotations

import random

import pytest
from harness import Database
from index_tables import add_rows, make_index, make_table

QUERY = "(SELECT embedding FROM items WHERE id = {})"


def ids(db: Database, condition: str, index: bool) -> list[int]:
    db.execute(f"SET enable_seqscan = {'off' if index else 'on'}; SET ruvector.enable_range_scan = {'on' if index else 'off'}")
    db.execute(f"SET enable_indexscan = {'on' if index else 'off'}")
    query = f"SELECT id FROM items WHERE {condition}"
    if index:
        plan = db.plan(query)
        assert "Index Scan using items_idx" in plan, plan
        assert "Filter" not in plan, plan
    found = sorted(db.column(query))
    db.execute("RESET enable_seqscan; RESET enable_indexscan; RESET ruvector.enable_range_scan")
    return found


def radii(db: Database, distance: str, rng: random.Random) -> list[float]:
    """Some that hit a row's distance exactly, some between, none, all."""
    db.execute("SET enable_indexscan = off")
    every = sorted(db.column(f"SELECT {distance} FROM items WHERE embedding IS NOT NULL"))
    db.execute("RESET enable_indexscan")
    chosen = [every[len(every) // 200], every[len(every) // 20], every[len(every) // 2], rng.choice(every)]
    return [every[0] - 1, every[0], *chosen, (every[10] + every[11]) / 2, every[-1], every[-1] + 1]


def assert_same_rows(db: Database, operator: str, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(2):
        distance = f"embedding {operator} {QUERY.format(rng.choice(db.column('SELECT id FROM items ORDER BY id')))}"
        for radius in radii(db, distance, rng):
            for comparison in ("<", "<="):
                condition = f"{distance} {comparison} {radius!r}::float8"
                assert ids(db, condition, True) == ids(db, condition, False), condition


CASES = [
    ("ruvector", "ruvector_l2_ops", "<->", "sq8"),
    ("ruvector", "ruvector_l2_ops", "<->", "none"),
    ("ruvector", "ruvector_l2_ops", "<->", "f16"),
    ("ruvector", "ruvector_l2_ops", "<->", "pq16"),
    ("ruvector", "ruvector_l2_ops", "<->", "binary"),
    ("ruvector", "ruvector_ip_ops", "<#>", "sq8"),
    ("ruvector", "ruvector_cosine_ops", "<=>", "sq8"),
    ("ruvector", "ruvector_l1_ops", "<+>", "sq8"),
    ("halfvec", "halfvec_l2_ops", "<->", "sq8"),
    ("halfvec", "halfvec_cosine_ops", "<=>", "none"),
]


@pytest.mark.core
@pytest.mark.parametrize(("type_", "opclass", "operator", "quantization"), CASES)
def test_the_rows_of_a_sequential_scan(db: Database, type_: str, opclass: str, operator: str, quantization: str) -> None:
    make_table(db, 800, dims=40, type_=type_)
    db.execute("INSERT INTO items (embedding) SELECT NULL FROM generate_series(1, 10)")
    make_index(db, opclass, f"quantization = '{quantization}'")
    assert_same_rows(db, operator, 1)
    add_rows(db, 801, 950, dims=40, type_=type_)
    db.execute("SET ruvector.background_maintenance = off; DELETE FROM items WHERE id % 5 = 0")
    assert_same_rows(db, operator, 2)
    db.execute("VACUUM items")
    assert_same_rows(db, operator, 3)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert_same_rows(db, operator, 4)


def test_every_spelling(db: Database) -> None:
    make_table(db, 500)
    make_index(db)
    literal = db.value("SELECT embedding::text FROM items WHERE id = 9")
    distance = f"embedding <-> '{literal}'"
    expected = ids(db, f"{distance} < 1.5", False)
    assert len(expected) > 1
    for condition in (
        f"{distance} < 1.5",
        f"1.5 > {distance}",
        f"'{literal}' <-> embedding < 1.5",
        f"l2_distance(embedding, '{literal}') < 1.5",
        f"{distance} < '1.5'::real",
        f"'1.5'::real > {distance}",
        f"{distance} < (SELECT 1.5::float8)",
    ):
        assert ids(db, condition, True) == expected, condition
    at_least = ids(db, f"{distance} <= 1.5", False)
    assert ids(db, f"1.5 >= {distance}", True) == at_least

    db.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    db.execute("PREPARE p(ruvector, float8) AS SELECT id FROM items WHERE embedding <-> $1 < $2")
    assert "Index Cond" in db.plan(f"EXECUTE p('{literal}', 1.5)")
    assert sorted(db.column(f"EXECUTE p('{literal}', 1.5)")) == expected
    assert db.rows(f"EXECUTE p('{literal}', NULL)") == db.rows("EXECUTE p(NULL, 1.5)") == []
    assert db.rows(f"EXECUTE p('{literal}', -1)") == []
    assert len(db.rows(f"EXECUTE p('{literal}', 'infinity')")) == len(db.rows(f"EXECUTE p('{literal}', 'NaN')")) == 500
    db.execute("RESET ALL")
    # and not for what it cannot serve
    for condition in (f"{distance} > 1.5", f"{distance} < id", f"{distance} < random()", f"{distance} = 1.5"):
        assert "items_idx" not in db.plan(f"SELECT id FROM items WHERE {condition}")


def test_beside_other_conditions(db: Database) -> None:
    make_table(db, 1000)
    make_index(db)
    distance = f"embedding <-> {QUERY.format(9)}"
    db.execute("SET enable_seqscan = off")
    for condition in (
        f"{distance} < 2 AND category < 50",
        f"{distance} < 2 AND {distance} < 1.5",
        f"{distance} < 2 AND embedding <-> {QUERY.format(10)} < 2",
        f"({distance} < 1 OR category = 3)",
        f"NOT ({distance} >= 2)",
    ):
        db.execute("SET enable_indexscan = on; SET ruvector.enable_range_scan = on")
        with_index = sorted(db.column(f"SELECT id FROM items WHERE {condition}"))
        assert db.value(f"SELECT count(*) FROM items WHERE {condition}") == len(with_index)
        db.execute("SET enable_indexscan = off; SET ruvector.enable_range_scan = off")
        assert with_index == sorted(db.column(f"SELECT id FROM items WHERE {condition}")), condition


def test_with_the_order_of_the_same_distance(db: Database) -> None:
    """The scan stops at the radius, and no row within is missing: a graph search alone promises neither."""
    make_table(db, 2000)
    make_index(db)
    db.execute("SET enable_seqscan = off")
    distance = "embedding <-> '{}'".format(db.value(QUERY.format(9).replace("embedding FROM", "embedding::text FROM")))
    for limit in ("", "LIMIT 5", "LIMIT 60"):
        query = f"SELECT id, {distance} FROM items WHERE {distance} < 2.2 ORDER BY {distance}, id {limit}"
        ordered = f"SELECT id, {distance} FROM items WHERE {distance} < 2.2 ORDER BY {distance} {limit}"
        db.execute("SET enable_sort = off")  # a few rows may be cheaper to sort
        plan = db.plan(ordered)
        assert "Index Cond" in plan, plan
        assert "Order By" in plan, plan
        assert "Sort" not in plan, plan
        found = db.rows(ordered)
        db.execute("SET enable_indexscan = off; SET enable_seqscan = on; SET enable_sort = on")
        assert [row[1] for row in found] == [row[1] for row in db.rows(query)]
        db.execute("SET enable_indexscan = on; SET enable_seqscan = off")
    other = f"SELECT id FROM items WHERE {distance} < 2.2 ORDER BY embedding <-> {QUERY.format(77)} LIMIT 20"
    found_ids = db.column(other)
    db.execute("SET enable_indexscan = off; SET enable_seqscan = on")
    assert found_ids == db.column(other)


def test_joins_and_updates(db: Database) -> None:
    make_table(db, 600)
    make_index(db)
    join = "SELECT a.id, b.id FROM items a JOIN items b ON a.embedding <-> b.embedding < 1 WHERE a.id < 30 ORDER BY 1, 2"
    lateral = ("SELECT a.id, c.n FROM items a, LATERAL (SELECT count(*) AS n FROM items b "
               "WHERE b.embedding <-> a.embedding <= 1.5) c WHERE a.id < 20 ORDER BY 1")  # fmt: skip
    for query in (join, lateral):
        db.execute("SET enable_seqscan = off; SET enable_indexscan = on")
        assert "items_idx" in db.plan(query)
        found = db.rows(query)
        db.execute("SET enable_seqscan = on; SET enable_indexscan = off; SET ruvector.enable_range_scan = off")
        assert found == db.rows(query)
        db.execute("RESET ruvector.enable_range_scan")
    db.execute("RESET ALL; SET enable_seqscan = off")
    near = f"embedding <-> {QUERY.format(5)} < 1"
    expected = db.column(f"SELECT id FROM items WHERE {near} ORDER BY id")
    assert sorted(db.column(f"UPDATE items SET category = -1 WHERE {near} RETURNING id")) == expected
    assert db.column("SELECT id FROM items WHERE category = -1 ORDER BY id") == expected


def test_cost_decides(db: Database) -> None:
    make_table(db, 3000)
    make_index(db)
    literal = db.value("SELECT embedding::text FROM items WHERE id = 9")
    few = f"SELECT id FROM items WHERE embedding <-> '{literal}' < 0.8"
    most = f"SELECT id FROM items WHERE embedding <-> '{literal}' < 100"
    assert "items_idx" in db.plan(few)
    assert "Seq Scan" in db.plan(most)
    db.execute("SET ruvector.enable_range_scan = off")
    assert "Seq Scan" in db.plan(few)


def test_the_operator_by_itself(db: Database) -> None:
    """EvalPlanQual evaluates it outside of a scan."""
    make_table(db, 50)
    function = "'l2_distance(ruvector, ruvector)'::regprocedure"
    value = f"ruvector_range({QUERY.format(3)}, 1.2, true, {function})"
    assert db.column(f"SELECT id FROM items WHERE embedding <<@>> {value} ORDER BY id") == db.column(
        f"SELECT id FROM items WHERE embedding <-> {QUERY.format(3)} <= 1.2 ORDER BY id"
    )
    assert db.value(f"SELECT {value}::text") == "l2_distance <= 1.2"
    for wrong, message in (
        (f"'[1,2]'::halfvec <<@>> {value}", "the range is one of type"),
        (f"'x'::text <<@>> ruvector_range('x'::text, 1, true, {function})", "is not a distance between two values of type text"),
        ("ruvector_range(1, 1, true, 1)", "a range needs a vector as its centre"),
        ("'x'::ruvector_range", "cannot accept a value of type ruvector_range"),
    ):
        with pytest.raises(Exception, match=message):
            db.execute(f"SELECT {wrong}")
