# SPDX-License-Identifier: PostgreSQL
"""Rows that are in no segment yet, read by their codes: exactly what a sequential scan says, whatever the data."""

from __future__ import annotations

import pytest
from harness import Database, Server, needs_extension
from index_tables import add_rows, heap_only, index_only, make_index, make_table

DIMS = 64
ROWS = 600
# Scans after which the rows have codes (deltacodes.c: 32 distances a row).
SCANS = 34

METRICS = [("l2", "<->"), ("ip", "<#>"), ("cosine", "<=>"), ("l1", "<+>")]

# Coordinate d of row i.
DATA = {
    "constant": "i % 50 + 1",
    "equal": "d % 7 + 0.5",
    "nearly equal": "1 + 1e-6 * ((i * d) % 5)",
    "far from the origin": "1000 + random()",
    "outliers": "CASE WHEN d = i % 64 THEN 1e4 ELSE random() / 100 END",
    "tiny": "1e-30 * (random() - 0.5)",
    "huge": "1e18 * (random() - 0.5)",
    "beyond float": "6e37 * (random() - 0.5)",
    "of all sizes": "(random() - 0.5) * 10 ^ (i % 20 - 10)",
}


@pytest.fixture
def unsealed(db: Database) -> Database:
    """Nothing is made a segment of."""
    db.execute("SET ruvector.delta_limit = '1GB'; SET ruvector.background_maintenance = off; SELECT setseed(0.5)")
    return db


def cache_bytes(db: Database) -> int:
    return int(db.value("SELECT cache_bytes FROM ruvector_memory_stats()"))


def scan_often(db: Database, operator: str, type_: str = "ruvector") -> int:
    """Until the rows of the delta have codes; how much more the backend then holds than after one scan."""
    index_only(db)
    scans = (
        f"DO $$ DECLARE q {type_} := (SELECT embedding FROM items ORDER BY id LIMIT 1); BEGIN FOR i IN 1..%s LOOP "
        f"PERFORM id FROM items ORDER BY embedding {operator} q LIMIT 1; END LOOP; END $$"
    )
    db.execute(scans % 1)
    before = cache_bytes(db)
    db.execute(scans % SCANS)
    return cache_bytes(db) - before


def make_coded_rows(db: Database) -> None:
    """ROWS of them, all in the delta, with codes."""
    make_table(db, 0, dims=DIMS)
    make_index(db)
    add_rows(db, 1, ROWS, dims=DIMS)
    scan_often(db, "<->")


def assert_as_the_heap(
    db: Database, operator: str, limits: tuple[int, ...] = (1, 10, 100, 10000), every: int = 97
) -> None:
    """The same distances in the same order, and the same rows within a radius, in order of distance and without."""
    for row in db.column(f"SELECT id FROM items WHERE id % {every} = 1 ORDER BY id"):
        q = db.value(f"SELECT embedding FROM items WHERE id = {row}")
        distances = f"SELECT embedding {operator} %s AS d FROM items ORDER BY embedding {operator} %s LIMIT 10000"
        heap_only(db)
        truth = db.column(distances, (q, q))
        radius = truth[len(truth) // 10]
        within = f"SELECT id FROM items WHERE embedding {operator} %s <= %s"
        near = sorted(db.column(within, (q, radius)))
        index_only(db)
        assert "Index Scan using items_idx" in db.plan(distances, (q, q))
        for limit in limits:
            found = db.column(distances.replace("LIMIT 10000", f"LIMIT {limit}"), (q, q))
            assert list(map(str, found)) == list(map(str, truth[:limit])), (row, limit)
        if radius == radius:
            assert "items_idx" in db.plan(within, (q, radius))
            assert sorted(db.column(within, (q, radius))) == near
            ordered = f"{within} ORDER BY embedding {operator} %s"
            assert sorted(db.column(ordered, (q, radius, q))) == near
    db.execute("RESET enable_seqscan; RESET enable_indexscan")


def insert(db: Database, coordinate: str, rows: int = ROWS, dims: int = DIMS) -> None:
    db.execute(
        f"INSERT INTO items (embedding) SELECT (SELECT array_agg(({coordinate})::float4 ORDER BY d) "
        f"FROM generate_series(1, {dims}) d WHERE i = i)::ruvector FROM generate_series(1, {rows}) i"
    )


@pytest.mark.core
@pytest.mark.parametrize(("metric", "operator"), METRICS)
@pytest.mark.parametrize("in_segment", [0, 500])
def test_every_metric(unsealed: Database, metric: str, operator: str, in_segment: int) -> None:
    """500 rows of a segment are read whole; so all answers are exact."""
    db = unsealed
    make_table(db, in_segment, dims=DIMS)
    make_index(db, f"ruvector_{metric}_ops")
    add_rows(db, in_segment + 1, in_segment + ROWS, dims=DIMS)
    held = scan_often(db, operator)
    assert (held >= ROWS * DIMS) == (metric != "l1")
    assert_as_the_heap(db, operator)


@pytest.mark.parametrize(("method", "in_segment"), [("ruhnsw", 300), ("ruivfflat", 1)])
@pytest.mark.parametrize("quantization", ["none", "f16", "pq16", "binary"])
def test_every_quantization(unsealed: Database, method: str, in_segment: int, quantization: str) -> None:
    """The codes of the delta are their own; they take the centre and rotation of the segment."""
    db = unsealed
    make_table(db, in_segment, dims=DIMS)
    make_index(db, "ruvector_cosine_ops", f"quantization = '{quantization}'", method)
    add_rows(db, in_segment + 1, in_segment + ROWS, dims=DIMS)
    assert scan_often(db, "<=>") >= ROWS * DIMS
    assert_as_the_heap(db, "<=>")


def test_other_types(unsealed: Database, server: Server) -> None:
    """halfvec has codes; what sets of bits and sparse vectors are stays as it is."""
    db = unsealed
    for metric, operator in METRICS:
        make_table(db, 0, dims=DIMS, type_="halfvec")
        make_index(db, f"halfvec_{metric}_ops")
        add_rows(db, 1, ROWS, dims=DIMS, type_="halfvec")
        assert (scan_often(db, operator, "halfvec") >= ROWS * DIMS) == (metric != "l1")
        assert_as_the_heap(db, operator, every=211)
        db.execute("DROP TABLE items")
    db.execute(f"CREATE TABLE items (id serial PRIMARY KEY, embedding sparsevec({DIMS})); "
               f"CREATE INDEX items_idx ON items USING ruhnsw (embedding sparsevec_l2_ops); "
               f"INSERT INTO items (embedding) SELECT (SELECT array_agg(random()::float4) FROM generate_series(1, {DIMS}) "
               f"WHERE i = i)::ruvector::sparsevec FROM generate_series(1, {ROWS}) i")  # fmt: skip
    scan_often(db, "<->", "sparsevec")
    assert_as_the_heap(db, "<->", every=211)


def test_columns_of_pgvector(server: Server) -> None:
    needs_extension(server, "vector")
    db = server.database(("vector", "ruvector"))
    db.execute("SET ruvector.delta_limit = '1GB'; SET ruvector.background_maintenance = off")
    for type_ in ("vector", "halfvec"):
        make_table(db, 100, dims=DIMS, type_=type_)
        make_index(db, f"{type_}_ip_ops")
        add_rows(db, 101, 100 + ROWS, dims=DIMS, type_=type_)
        assert scan_often(db, "<#>", type_) >= ROWS * DIMS
        assert_as_the_heap(db, "<#>", every=211)
        db.execute("DROP TABLE items")
    db.close()
    server.drop(db.name)


@pytest.mark.parametrize("kind", DATA)
def test_nasty_data(unsealed: Database, kind: str) -> None:
    db = unsealed
    for metric, operator in METRICS[:3]:
        make_table(db, 0, dims=DIMS)
        make_index(db, f"ruvector_{metric}_ops")
        insert(db, DATA[kind])
        assert scan_often(db, operator) >= ROWS * DIMS
        assert_as_the_heap(db, operator, every=151)
        db.execute("DROP TABLE items")


@pytest.mark.parametrize(("dims", "rows"), [(1, 400), (63, 400), (DIMS, 255), (16000, 257)])
def test_from_one_dimension_to_the_most(unsealed: Database, dims: int, rows: int) -> None:
    """Of few dimensions and few rows there are no codes."""
    db = unsealed
    make_table(db, 0, dims=dims)
    make_index(db)
    insert(db, "random() + i % 3", rows, dims)
    assert (scan_often(db, "<->") >= rows * dims) == (dims == 16000)
    assert_as_the_heap(db, "<->", every=199)


def test_rows_come_and_go(unsealed: Database) -> None:
    db = unsealed
    make_table(db, 500, dims=DIMS)
    make_index(db)
    add_rows(db, 501, 1100, dims=DIMS)
    assert scan_often(db, "<->") >= ROWS * DIMS

    # one that has no code yet, one that is not visible, and one that is gone
    nearest = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = %s) LIMIT 1"
    add_rows(db, 1101, 1101, dims=DIMS)
    index_only(db)
    assert db.value(nearest, (1101,)) == 1101
    db.execute("BEGIN; DELETE FROM items WHERE id = 700")
    everything = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 701)"
    assert db.column(everything).count(700) == 0
    db.execute("ROLLBACK; DELETE FROM items WHERE id % 5 = 0")
    assert_as_the_heap(db, "<->")
    db.execute("VACUUM items")
    assert scan_often(db, "<->") >= ROWS * 4 // 5 * DIMS
    assert_as_the_heap(db, "<->")

    # codes go with the delta that they are of
    held = cache_bytes(db)
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    index_only(db)
    assert db.value(nearest, (702,)) == 702
    assert cache_bytes(db) < held - ROWS * 4 // 5 * DIMS * 5
    assert_as_the_heap(db, "<->", limits=(1, 10))


def test_an_open_cursor_keeps_its_codes(unsealed: Database) -> None:
    """The codes outgrow their room while a scan is in the middle of them."""
    db = unsealed
    make_coded_rows(db)
    q = db.value("SELECT embedding FROM items WHERE id = 300")
    heap_only(db)
    truth = db.column("SELECT embedding <-> %s FROM items ORDER BY 1", (q,))
    index_only(db)
    db.execute("BEGIN")
    db.execute(f"DECLARE c CURSOR FOR SELECT embedding <-> '{q}' FROM items ORDER BY embedding <-> '{q}'")
    found = db.column("FETCH 5 FROM c")
    add_rows(db, ROWS + 1, 10 * ROWS, dims=DIMS)
    assert scan_often(db, "<->") >= 9 * ROWS * DIMS
    found += db.column("FETCH ALL FROM c")
    assert found == truth
    db.execute("COMMIT")
    assert_as_the_heap(db, "<->", every=997)


def test_bounds_of_a_scan_are_not_for_the_delta(unsealed: Database) -> None:
    """Its rows are all returned, with codes as without."""
    db = unsealed
    make_coded_rows(db)
    everything = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 7)"
    for setting in ("iterative_scan = off", "max_scan_tuples = 1", "iterative_scan = relaxed_order"):
        db.execute(f"SET ruvector.{setting}")
        assert len(set(db.column(everything))) == ROWS
    # rows that are as near as any other, and conditions on others' columns
    assert len(db.column("SELECT id FROM items ORDER BY embedding <-> NULL")) == ROWS
    assert db.value("SELECT count(*) FROM (SELECT id FROM items WHERE category = 7 "
                    "ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 7)) x") == ROWS // 100  # fmt: skip
