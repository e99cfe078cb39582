# SPDX-License-Identifier: PostgreSQL
"""WHERE embedding <-> query < radius is answered by an index with exactly the rows of a sequential scan.

The radii are the distances of rows themselves, as float8 prints them, and their neighbours: where bounds that are a
little too tight would show.
"""

from __future__ import annotations

import math
import random

import pytest
from harness import Database
from index_tables import add_rows, make_index, make_table

SEED = 20260123
METRICS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}


def ask(db: Database, condition: str, table: str = "items", index: bool = True) -> list[int]:
    """The ids that satisfy the condition, by the index or by reading the table."""
    query = f"SELECT id FROM {table} WHERE {condition}"
    db.execute(f"SET ruvector.enable_range_scan = {'on' if index else 'off'}")
    db.execute(f"SET enable_seqscan = {'off' if index else 'on'}")
    plan = db.plan(query)
    if index:
        assert "Index Cond" in plan and "Seq Scan" not in plan, plan
    else:
        assert "Seq Scan" in plan, plan
    return sorted(db.column(query))


def check(db: Database, condition: str, table: str = "items") -> int:
    """Assert that both ways give the same rows; return how many."""
    found, truth = ask(db, condition, table), ask(db, condition, table, index=False)
    assert found == truth, f"{condition[:60]}…: {len(found)} rows by the index, {len(truth)} in the table"
    return len(found)


def literal(radius: float) -> str:
    """A float8 constant."""
    return f"'{radius!r}'::float8"


def check_radii(db: Database, operator: str, vector: str, seed: int, type_: str = "ruvector", many: int = 6) -> int:
    """Check radii that are distances of rows, from the nearest to the farthest, and those beside them."""
    distance = f"embedding {operator} '{vector}'::{type_}"
    distances = db.column(f"SELECT d FROM (SELECT {distance} AS d FROM items) t WHERE d IS NOT NULL ORDER BY d")
    finite = [d for d in distances if math.isfinite(d)]
    picks = [finite[0], finite[-1], *random.Random(seed).sample(finite[: len(finite) // 4], many // 2)]
    picks += random.Random(seed + 1).sample(finite, many - many // 2)
    rows = 0
    for radius in picks:
        for comparison in ("<", "<="):
            rows += check(db, f"{distance} {comparison} {literal(radius)}")
        rows += check(db, f"{literal(math.nextafter(radius, math.inf))} > {distance}")
        rows += check(db, f"{literal(math.nextafter(radius, -math.inf))} >= {distance}")
    return rows


def vector_of(db: Database, row: int, table: str = "items") -> str:
    return str(db.value(f"SELECT embedding::text FROM {table} WHERE id = {row}"))


@pytest.mark.core
@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_radii_at_the_distances_of_rows(db: Database, metric: str, method: str) -> None:
    make_table(db, 1500, dims=24)
    make_index(db, f"ruvector_{metric}_ops", "lists = 20" if method == "ruivfflat" else "", method)
    for row in (3, 700):
        assert check_radii(db, METRICS[metric], vector_of(db, row), SEED + row) > 1000


def test_radii_of_taxicab_distance(db: Database) -> None:
    make_table(db, 1000, dims=24)
    make_index(db, "ruvector_l1_ops")
    assert check_radii(db, "<+>", vector_of(db, 5), SEED) > 500


@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
@pytest.mark.parametrize("quantization", ["none", "f16", "sq8", "pq16", "binary"])
def test_every_quantization(db: Database, quantization: str, method: str) -> None:
    make_table(db, 1000, dims=64)
    options = f"quantization = '{quantization}'" + (", lists = 10" if method == "ruivfflat" else "")
    for metric in ("l2", "cosine"):
        make_index(db, f"ruvector_{metric}_ops", options, method)
        assert check_radii(db, METRICS[metric], vector_of(db, 77), SEED) > 500
        db.execute("DROP INDEX items_idx")


@pytest.mark.parametrize(
    ("type_", "opclass", "operator", "method"),
    [
        ("halfvec", "halfvec_l2_ops", "<->", "ruhnsw"),
        ("halfvec", "halfvec_cosine_ops", "<=>", "ruivfflat"),
        ("halfvec", "halfvec_l1_ops", "<+>", "ruhnsw"),
        ("halfvec", "halfvec_ip_ops", "<#>", "ruhnsw"),
        ("sparsevec", "sparsevec_l2_ops", "<->", "ruhnsw"),
        ("sparsevec", "sparsevec_ip_ops", "<#>", "ruhnsw"),
        ("sparsevec", "sparsevec_cosine_ops", "<=>", "ruhnsw"),
        ("sparsevec", "sparsevec_l1_ops", "<+>", "ruhnsw"),
    ],
)
def test_the_other_types(db: Database, type_: str, opclass: str, operator: str, method: str) -> None:
    make_table(db, 800, dims=16, type_="ruvector")
    db.execute(f"ALTER TABLE items ALTER COLUMN embedding TYPE {type_}(16) USING embedding::{type_}")
    make_index(db, opclass, method=method)
    assert check_radii(db, operator, vector_of(db, 42), SEED, type_) > 300


@pytest.mark.parametrize(
    ("opclass", "operator", "method"),
    [
        ("bit_hamming_ops", "<~>", "ruhnsw"),
        ("bit_hamming_ops", "<~>", "ruivfflat"),
        ("bit_jaccard_ops", "<%>", "ruhnsw"),
    ],
)
def test_bit_strings(db: Database, opclass: str, operator: str, method: str) -> None:
    db.execute("SELECT setseed(0.5)")
    db.execute("CREATE TABLE items (id serial, embedding bit(100))")
    db.execute(
        "INSERT INTO items (embedding) SELECT (SELECT string_agg((random() < 0.4)::int::text, '') "
        "FROM generate_series(1, 100) WHERE i = i)::bit(100) FROM generate_series(1, 800) i"
    )
    make_index(db, opclass, method=method)
    assert check_radii(db, operator, vector_of(db, 42), SEED, "bit(100)") > 300


@pytest.mark.core
def test_new_changed_and_deleted_rows(db: Database) -> None:
    """Rows in the delta, tombstones, dead rows not yet vacuumed, other segments, and what only this transaction sees."""
    make_table(db, 1000, dims=16)
    make_index(db)
    vector = vector_of(db, 9)

    def check_now() -> None:
        assert check_radii(db, "<->", vector, SEED, many=3) > 0

    add_rows(db, 1001, 1300, dims=16)
    check_now()
    db.execute("SET ruvector.background_maintenance = off; DELETE FROM items WHERE id % 3 = 0")
    check_now()
    db.execute("UPDATE items SET embedding = (SELECT embedding FROM items WHERE id = 10) WHERE id % 50 = 1")
    check_now()
    db.execute("VACUUM items")
    check_now()
    add_rows(db, 1301, 1500, dims=16)
    check_now()
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    check_now()
    db.execute("BEGIN")
    db.execute("DELETE FROM items WHERE id % 2 = 0")
    add_rows(db, 1501, 1550, dims=16)
    check_now()
    with db.connect() as other:
        other.execute("SET enable_seqscan = off")
        seen = other.execute(f"SELECT count(*) FROM items WHERE embedding <-> '{vector}' < 100").fetchone()
        assert seen == other.execute("SELECT count(*) FROM items").fetchone()
    db.execute("ROLLBACK")
    check_now()


@pytest.mark.core
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_radii_that_are_no_distances(db: Database, metric: str) -> None:
    """NaN is larger than every number and equal to itself: a row whose distance is NaN is within NaN, included."""
    make_table(db, 300, dims=3)
    db.execute("INSERT INTO items (embedding) VALUES (NULL), ('[0,0,0]')")
    make_index(db, f"ruvector_{metric}_ops")
    db.execute("INSERT INTO items (embedding) VALUES (NULL), ('[0,0,0]'), ('[1,1,1]')")
    operator = METRICS[metric]
    for vector in ("[1,2,3]", "[0,0,0]"):
        for radius in ("NaN", "Infinity", "-Infinity", "-1", "0", "2", "-0.0", "1e308"):
            for comparison in ("<", "<="):
                condition = f"embedding {operator} '{vector}' {comparison}"
                truth = ask(db, f"{condition} '{radius}'::float8", index=False)
                db.execute("SET ruvector.enable_range_scan = on; SET enable_seqscan = off")
                query = f"SELECT id FROM items WHERE {condition}"
                assert sorted(db.column(f"{query} '{radius}'::float8")) == truth, (vector, comparison, radius)
                # the same where the planner does not know the radius
                db.execute("SET plan_cache_mode = force_generic_plan")
                db.execute(f"PREPARE p(float8) AS {query} $1")
                assert sorted(db.column(f"EXECUTE p('{radius}')")) == truth, (vector, comparison, radius, "generic")
                db.execute("DEALLOCATE p; RESET plan_cache_mode")
    assert db.rows(f"SELECT id FROM items WHERE embedding {operator} '[1,2,3]' < NULL::float8") == []
    assert db.rows(f"SELECT id FROM items WHERE embedding {operator} NULL::ruvector < 1") == []
    db.execute("PREPARE p(ruvector, float8) AS SELECT id FROM items WHERE embedding <-> $1 < $2")
    db.execute("SET plan_cache_mode = force_generic_plan")
    assert db.rows("EXECUTE p(NULL, 1)") == db.rows("EXECUTE p('[1,2,3]', NULL)") == []


def test_a_query_of_other_dims_raises_as_without_index(db: Database) -> None:
    make_table(db, 20, dims=3)
    make_index(db)
    for setting in ("on", "off"):
        db.execute(f"SET ruvector.enable_range_scan = {setting}; SET enable_seqscan = {setting == 'off'}")
        with pytest.raises(Exception, match="^different ruvector dimensions 3 and 2"):
            db.rows("SELECT id FROM items WHERE embedding <-> '[1,2]' < 1")


def test_a_table_without_rows(db: Database) -> None:
    make_table(db, 0, dims=3)
    make_index(db)
    assert check(db, "embedding <-> '[1,2,3]' < 1") == 0
    db.execute("INSERT INTO items (embedding) VALUES ('[1,2,3]')")
    assert check(db, "embedding <-> '[1,2,3]' < 1") == 1
