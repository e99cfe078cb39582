# SPDX-License-Identifier: PostgreSQL
"""ruivfflat: as ruhnsw in everything but the kind of its segments; here is what lists are about."""

from __future__ import annotations

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
    db.execute("DELETE FROM items WHERE id % 4 = 0")
    db.execute("VACUUM items")
    assert compare(db).recall >= 0.95
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows("SELECT segments, delta_rows, dead_rows FROM ruvector_index_stats('items_idx')") == [(1, 0, 0)]
    assert compare(db).recall >= 0.95
    db.execute("SELECT ruvector_index_check('items_idx')")
    db.execute("REINDEX INDEX items_idx")
    assert compare(db).recall >= 0.95


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
