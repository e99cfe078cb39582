# SPDX-License-Identifier: PostgreSQL
"""ruivfflat: as ruhnsw in everything but the kind of its segments; here is what lists are about."""

from __future__ import annotations

import re

import psycopg
import pytest
from harness import Database
from index_tables import add_rows, compare, index_only, make_index, make_table

NEAREST = "SELECT id FROM items ORDER BY embedding {} (SELECT embedding FROM items WHERE id = 5)"


@pytest.mark.core
@pytest.mark.parametrize(("metric", "operator"), [("l2", "<->"), ("ip", "<#>"), ("cosine", "<=>")])
@pytest.mark.parametrize("type_", ["ruvector", "halfvec"])
def test_rows_leave_in_exact_order(db: Database, type_: str, metric: str, operator: str) -> None:
    """Half of the lists probed: measured 0.985 to 1.0 over ten seeds."""
    make_table(db, 2000, type_=type_)
    make_index(db, f"{type_}_{metric}_ops", "lists = 20", "ruivfflat")
    db.execute("SET ruvector.probes = 10")
    found = compare(db, k=20, operator=operator)
    assert found.out_of_order == 0
    assert found.wrong_distances == 0
    assert found.returned == 20 * 20
    assert found.recall >= 0.95


@pytest.mark.parametrize("quantization", ["none", "f16", "sq8", "pq16", "binary"])
def test_order_is_exact_for_every_quantization(db: Database, quantization: str) -> None:
    make_table(db, 1500, dims=64)
    make_index(db, options=f"lists = 10, quantization = '{quantization}'", method="ruivfflat")
    db.execute("SET ruvector.probes = 10")
    found = compare(db, k=10)
    assert found.out_of_order == 0
    assert found.recall >= 0.9
    assert db.value("SELECT quantization FROM ruvector_index_stats('items_idx')") == quantization


def test_probes_and_iteration(db: Database) -> None:
    make_table(db, 2000)
    make_index(db, options="lists = 20", method="ruivfflat")
    index_only(db)
    query = NEAREST.format("<->")
    db.execute("SET ruvector.iterative_scan = off")
    sizes = []
    for probes in (1, 5, 20, 32768):
        db.execute(f"SET ruvector.probes = {probes}")
        sizes.append(len(db.rows(query)))
    # everything that is in the probed lists, as from ivfflat, and nothing more
    assert 0 < sizes[0] < sizes[1] < sizes[2] == sizes[3] == 2000
    db.execute("SET ruvector.probes = 1")
    for mode in ("strict_order", "relaxed_order"):
        db.execute(f"SET ruvector.iterative_scan = {mode}")
        assert len(db.rows(f"{query} LIMIT 500")) == 500 > sizes[0]
    db.execute("SET ruvector.max_probes = 1")
    assert len(db.rows(query)) == sizes[0]
    db.execute("SET ruvector.max_probes = 5")
    assert len(db.rows(query)) == sizes[1]


def test_a_selective_filter_still_fills_the_limit(db: Database) -> None:
    make_table(db, 5000)
    make_index(db, options="lists = 50", method="ruivfflat")
    found = compare(db, k=10, where="WHERE category = 42")
    assert found.returned == 20 * 10
    assert found.out_of_order == 0


def test_an_index_has_its_own_probes(db: Database) -> None:
    """Where nobody chose a value, the index's holds: it survives a connection pooler."""
    make_table(db, 1000)
    make_index(db, options="lists = 10, probes = 4", method="ruivfflat")
    index_only(db)
    db.execute("SET ruvector.iterative_scan = off")
    own = len(db.rows(NEAREST.format("<->")))
    db.execute("SET ruvector.probes = 4")
    assert len(db.rows(NEAREST.format("<->"))) == own
    db.execute("SET ruvector.probes = 10")
    assert len(db.rows(NEAREST.format("<->"))) == 1000 > own
    db.execute("RESET ruvector.probes; ALTER INDEX items_idx SET (probes = 10)")
    assert len(db.rows(NEAREST.format("<->"))) == 1000


def test_writes_and_maintenance(db: Database) -> None:
    make_table(db, 1000)
    make_index(db, options="lists = 10", method="ruivfflat")
    db.execute("SET ruvector.probes = 10")
    add_rows(db, 1001, 1400)
    assert compare(db).recall >= 0.95
    db.execute("SET ruvector.background_maintenance = off; DELETE FROM items WHERE id % 4 = 0")
    db.execute("VACUUM items")
    assert compare(db).recall >= 0.95
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows("SELECT segments, delta_rows, dead_rows FROM ruvector_index_stats('items_idx')") == [(1, 0, 0)]
    assert compare(db).recall >= 0.95
    db.execute("SELECT ruvector_index_check('items_idx')")
    db.execute("REINDEX INDEX items_idx")
    assert compare(db).recall >= 0.95


def make_bits(db: Database, rows: int, bits: int = 96) -> None:
    """A table (id, embedding bit): around rows / 40 centres, a bit in eight is another one."""
    db.execute("SELECT setseed(0.5)")
    db.execute(f"CREATE TABLE items (id serial PRIMARY KEY, embedding bit({bits}))")
    db.execute(
        f"INSERT INTO items (embedding) SELECT (SELECT string_agg(((hashint4(i % ({rows} / 40) * 1000 + b) & 1) "
        f"# (random() < 0.125)::int)::text, '' ORDER BY b) FROM generate_series(1, {bits}) b WHERE i = i)::bit({bits}) "
        f"FROM generate_series(1, {rows}) i"
    )
    db.execute("ANALYZE items")


@pytest.mark.core
def test_lists_of_bit_strings(db: Database) -> None:
    """Hamming distance: exact order, probes, threshold, writes, maintenance, check; Jaccard has no lists, as in pgvector."""
    make_bits(db, 2000)
    make_index(db, "bit_hamming_ops", "lists = 20", "ruivfflat")
    db.execute("SET ruvector.probes = 10")
    found = compare(db, k=20, operator="<~>")
    assert (found.out_of_order, found.wrong_distances, found.returned) == (0, 0, 20 * 20)
    assert found.recall >= 0.95  # measured 0.99 to 1.0 over ten seeds
    db.execute("SET ruvector.probes = 20")
    assert compare(db, k=20, operator="<~>").recall == 1

    db.execute("INSERT INTO items (embedding) SELECT ~embedding FROM items WHERE id <= 300")
    db.execute("SET ruvector.background_maintenance = off; DELETE FROM items WHERE id % 5 = 0")
    db.execute("VACUUM items")
    db.execute("SELECT ruvector_index_maintenance('items_idx'); SELECT ruvector_index_check('items_idx')")
    assert compare(db, k=20, operator="<~>").recall == 1
    near = "embedding <~> (SELECT embedding FROM items WHERE id = 7) <= {}"
    for radius in (0, 17.5, 25, 96):
        db.execute("SET enable_seqscan = off")
        query = f"SELECT id FROM items WHERE {near.format(radius)}"
        assert "Index Cond" in db.plan(query)
        rows = sorted(db.column(query))
        db.execute("SET ruvector.enable_range_scan = off; SET enable_seqscan = on")
        assert rows == sorted(db.column(query))
        db.execute("RESET ruvector.enable_range_scan")
    with pytest.raises(psycopg.errors.DataException, match="^different bit lengths 96 and 3"):
        db.rows("SET enable_seqscan = off; SELECT id FROM items ORDER BY embedding <~> B'101' LIMIT 1")
    with pytest.raises(psycopg.errors.UndefinedObject, match='"bit_jaccard_ops" does not exist for access method'):
        db.execute("CREATE INDEX ON items USING ruivfflat (embedding bit_jaccard_ops)")


def test_maintenance_makes_stale_lists_anew(db: Database) -> None:
    """And says so; lists that still fit are kept, and it says nothing. Fewer rows are read for the same recall then."""
    told: list[tuple[str, str]] = []
    db.conn.add_notice_handler(lambda n: told.append((str(n.message_primary), str(n.message_detail))))
    make_table(db, 3000)
    db.execute("CREATE TABLE later AS SELECT * FROM items WHERE id % 3 = 0; DELETE FROM items WHERE id % 3 = 0")
    make_index(db, options="lists = 40", method="ruivfflat")
    db.execute("INSERT INTO items SELECT * FROM later")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert [t[0] for t in told if "anew" in t[0]] == [], told

    # rows of another kind: far away, and each near others of theirs
    db.execute(
        "INSERT INTO items (id, embedding) SELECT 10000 + i, (SELECT array_agg(50 + 10 * sin(i % 40 * (1 + d * 0.71)) + "
        "random()) FROM generate_series(1, 32) d WHERE i = i)::float4[]::ruvector FROM generate_series(1, 3000) i"
    )
    query = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 10007) LIMIT 10"
    db.execute("SET ruvector.background_maintenance = off; SET ruvector.probes = 1")
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    [(message, detail)] = [t for t in told if "anew" in t[0]]
    assert message == 'index "items_idx": lists clustered anew, since rows had come that they did not fit'
    fell = [float(x) for x in re.findall(r"from ([0-9.e+]+) to ([0-9.e+]+), the share", detail)[0]]
    assert fell[1] < 0.5 * fell[0], detail
    index_only(db)
    assert len(db.rows(query)) == 10
    # the list that is probed holds rows of its own kind only, not all 3,000 of the new ones
    assert db.value("SELECT nodes_visited FROM ruvector_last_scan()") < 1500
    db.execute("SELECT ruvector_index_check('items_idx')")
    assert compare(db).out_of_order == 0

    told.clear()
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert [t[0] for t in told if "anew" in t[0]] == []


def test_little_data_is_told(db: Database) -> None:
    told: list[str] = []
    db.conn.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
    make_table(db, 99, dims=3)
    make_index(db, method="ruivfflat")
    assert told == ["ruivfflat index created with little data"]
    index_only(db)
    assert len(db.rows("SELECT id FROM items ORDER BY embedding <-> '[1,2,3]' LIMIT 50")) == 50
    add_rows(db, 100, 100, dims=3)
    db.execute("REINDEX INDEX items_idx")
    assert len(told) == 1


def test_vectors_are_as_many_times_smaller_as_promised(db: Database) -> None:
    """Of 1,536 dims, the 16 bytes beside each code counted: 0.998, 1.99, 3.96, 15.4 and 29.5."""
    make_table(db, 100, dims=1536)
    for method in ("ruhnsw", "ruivfflat"):
        for quantization, times in (("none", 1), ("f16", 2), ("sq8", 4), ("pq16", 16), ("binary", 32)):
            make_index(db, options=f"quantization = '{quantization}'", method=method)
            ratio = db.value("SELECT compression_ratio FROM ruvector_index_stats('items_idx')")
            assert 0.9 * times < ratio <= times, (method, quantization)
            db.execute("DROP INDEX items_idx")
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        make_index(db, options="quantization = 'sq4'")
    assert 'Valid values are "none", "f16", "sq8", "pq16" and "binary".' in str(caught.value.diag.message_detail)


@pytest.mark.core
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("WITH (lists = 0)", 'value 0 out of bounds for option "lists"'),
        ("WITH (lists = 32769)", 'value 32769 out of bounds for option "lists"'),
        ("WITH (probes = 32769)", 'value 32769 out of bounds for option "probes"'),
        ("WITH (m = 16)", 'unrecognized parameter "m"'),
        ("WITH (quantization = 'sq4')", 'invalid value for enum option "quantization": sq4'),
    ],
)
def test_options_out_of_range(db: Database, statement: str, message: str) -> None:
    db.execute("CREATE TABLE items (embedding ruvector(3))")
    with pytest.raises(psycopg.Error, match="^" + message):
        db.execute(f"CREATE INDEX ON items USING ruivfflat (embedding ruvector_l2_ops) {statement}")


def test_settings_out_of_range(db: Database) -> None:
    db.execute("SELECT ruvector_version()")  # before it is loaded the server takes any value for its settings
    for name in ("probes", "max_probes"):
        for value in (0, 32769):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                db.execute(f"SET ruvector.{name} = {value}")
        for value in (1, 32768):
            db.execute(f"SET ruvector.{name} = {value}")


def test_more_probes_cost_more(db: Database) -> None:
    """The planner leaves the index where it would read nearly all of it for many rows."""
    make_table(db, 3000)
    make_index(db, options="lists = 100", method="ruivfflat")

    def cost(probes: int) -> float:
        db.execute(f"SET ruvector.probes = {probes}")
        plan = db.value(f"EXPLAIN (FORMAT JSON) {NEAREST.format('<->')} LIMIT 1")[0]["Plan"]["Plans"][-1]
        assert plan["Index Name"] == "items_idx", plan
        return float(plan["Startup Cost"])

    assert cost(1) < cost(20) < cost(100)
