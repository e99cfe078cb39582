# SPDX-License-Identifier: PostgreSQL
"""What pgvector lacks and ours has, and how values fare in storage, plans and parallel workers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import psycopg
import pytest
from harness import Database, needs_extension


def floats(text: str) -> list[float]:
    return [float(part) for part in json.loads(text)]


@pytest.mark.core
@pytest.mark.parametrize("dims", [1, 7, 8, 30, 31, 32, 500, 3000, 16000])
@pytest.mark.parametrize("storage", ["plain", "external", "extended", "main"])
def test_storage_does_not_show(db: Database, dims: int, storage: str) -> None:
    """Short headers, compressed values and values out of line: every function takes them."""
    if storage == "plain" and dims > 1500:
        pytest.skip("does not fit on a page without toast")
    db.execute("CREATE TABLE t (r ruvector, h halfvec, s sparsevec)")
    for column in "rhs":
        db.execute(f"ALTER TABLE t ALTER COLUMN {column} SET STORAGE {storage}")
    # Half of it zeros, so that it compresses
    text = "[" + ",".join(["0.5", "0"] * (dims // 2) + ["0.5"] * (dims % 2)) + "]"
    db.execute("INSERT INTO t VALUES (%s, %s, %s::text::ruvector)", [text, text, text])
    ones = (dims + 1) // 2
    row = db.rows(
        "SELECT r::text = h::text, ruvector_dims(r), ruvector_norm(h), r <-> r, h <-> h, s <-> s, r = s::ruvector,"
        " ruvector_norm(s), (SELECT avg(r)::text FROM t) = r::text, ruvector_hash(r) = ruvector_hash(s::ruvector)"
        " FROM t"
    )[0]
    norm = math.sqrt(ones * 0.25)
    assert row[:2] == (True, dims)
    assert row[2] == pytest.approx(norm)
    assert row[3:7] == (0, 0, 0, True)
    assert row[7] == pytest.approx(norm)
    assert row[8:] == (True, True)


@pytest.mark.core
def test_hash_joins_and_groups_agree_with_equality(db: Database) -> None:
    db.execute("CREATE TABLE t (r ruvector, h halfvec, s sparsevec)")
    values = ["[0,1]", "[-0,1]", "[1,0]", "[1]", "[1,0,0]", "[0.5,-1]"]
    for value in values * 3:
        db.execute("INSERT INTO t VALUES (%s, %s, %s::text::ruvector)", [value, value, value])
    for column in "rhs":
        db.execute("SET enable_sort = off; SET enable_hashagg = on")
        query = f"SELECT count(*) FROM (SELECT {column} FROM t GROUP BY {column}) AS g"
        assert "HashAggregate" in db.plan(query)
        assert db.value(query) == 5, column
        db.execute("SET enable_sort = on; SET enable_hashagg = off")
        assert db.value(query) == 5, column
        join = f"SELECT count(*) FROM t AS a JOIN t AS b ON a.{column} = b.{column}"
        db.execute("SET enable_mergejoin = off; SET enable_nestloop = off")
        assert "Hash Join" in db.plan(join)
        hashed = db.value(join)
        db.execute("RESET enable_mergejoin; SET enable_hashjoin = off")
        assert hashed == db.value(join) == 6 * 6 + 4 * 9, column
        db.execute("RESET ALL")


@pytest.mark.core
def test_hash_partitions_take_every_row(db: Database) -> None:
    db.execute("CREATE TABLE t (r ruvector(4)) PARTITION BY HASH (r)")
    for i in range(3):
        db.execute(f"CREATE TABLE t{i} PARTITION OF t FOR VALUES WITH (MODULUS 3, REMAINDER {i})")
    db.execute("INSERT INTO t SELECT ruvector_random(4, i) FROM generate_series(1, 300) AS i")
    sizes = [db.value(f"SELECT count(*) FROM t{i}") for i in range(3)]
    assert sum(sizes) == 300
    assert min(sizes) > 50
    assert db.value("SELECT count(*) FROM t WHERE r = ruvector_random(4, 7)") == 1


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ruvector", "halfvec", "sparsevec"])
def test_aggregates_in_parallel_workers(db: Database, kind: str) -> None:
    db.execute(f"CREATE TABLE t (g int, v {kind}(3))")
    # These sum exactly in any order, also as float16: to 46.875 and to -1500
    db.execute(
        f"INSERT INTO t SELECT i % 3, ARRAY[(i % 8 = 0)::int / 8.0, -(i % 2), 0]::real[]::ruvector::{kind}"
        " FROM generate_series(1, 3000) AS i"
    )
    db.execute("INSERT INTO t VALUES (0, NULL)")
    db.execute("ALTER TABLE t SET (parallel_workers = 2)")
    db.execute("ANALYZE t")
    query = "SELECT avg(v)::ruvector::text, sum(v)::ruvector::text FROM t"
    serial = db.rows(query)
    db.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0")
    assert "Partial Aggregate" in db.plan(query)
    assert db.rows(query) == serial
    assert floats(serial[0][0]) == [0.015625, -0.5, 0]
    assert floats(serial[0][1]) == [46.875, -1500, 0]
    grouped = db.rows("SELECT g, avg(v)::text, count(v) FROM t GROUP BY g ORDER BY g")
    assert [row[2] for row in grouped] == [1000, 1000, 1000]
    assert db.rows("SELECT avg(v), sum(v) FROM t WHERE false") == [(None, None)]


@pytest.mark.core
def test_aggregates_over_a_moving_frame(db: Database) -> None:
    """The state is updated in place: a frame's earlier rows must not see later ones."""
    source = "(VALUES (1, '[1,10]'), (2, '[2,20]'), (3, '[3,30]')) AS t(i, v)"
    running = f"SELECT sum(v::ruvector) OVER (ORDER BY i)::text, avg(v::halfvec) OVER (ORDER BY i)::text FROM {source}"
    assert db.rows(running) == [("[1,10]", "[1,10]"), ("[3,30]", "[1.5,15]"), ("[6,60]", "[2,20]")]
    frame = f"SELECT sum(v::halfvec) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)::text FROM {source}"
    assert db.column(frame) == ["[1,10]", "[3,30]", "[5,50]"]
    kept = f"SELECT array_agg(s)::text FROM (SELECT sum(v::ruvector) OVER (ORDER BY i) AS s FROM {source}) AS w"
    assert db.value(kept) == '{"[1,10]","[3,30]","[6,60]"}'
    # The table's own values are untouched
    db.execute("CREATE TABLE kept (v ruvector)")
    db.execute("INSERT INTO kept SELECT ruvector_random(3, 1) FROM generate_series(1, 3)")
    db.rows("SELECT sum(v), sum(v::halfvec), avg(v) FROM kept")
    assert db.value("SELECT count(DISTINCT v) FROM kept") == 1


@pytest.mark.core
def test_sparsevec_is_cast_to_and_from_json(db: Database) -> None:
    given = {"dim": 9, "indices": [9, 2, 4], "values": [-1.5e-3, 0.1, 0]}
    document = "SELECT %s::jsonb::sparsevec"
    assert db.value(f"{document}::text", [json.dumps(given)]) == "{2:0.1,9:-0.0015}/9"
    assert db.value("SELECT '{2:0.1,9:-0.0015}/9'::sparsevec::jsonb") == {
        "dim": 9, "indices": [2, 9], "values": [0.1, -0.0015],
    }  # fmt: skip
    assert db.value("SELECT '{}/1000000000'::sparsevec::jsonb") == {"dim": 10**9, "indices": [], "values": []}
    assert db.value(f"{document}(9)::jsonb::sparsevec::text", [json.dumps(given)]) == "{2:0.1,9:-0.0015}/9"
    for change, message in [
        ({"dim": 8}, "sparsevec index out of bounds"),
        ({"dim": 9.5}, 'cannot cast "9.5" in key "dim" of a jsonb object to type sparsevec: it is not an integer'),
        ({"dim": 0}, "sparsevec must have at least 1 dimension"),
        ({"indices": [1, 2]}, "cannot cast a jsonb object of 2 indices and 3 values to type sparsevec"),
        ({"indices": [1, 2, "x"]}, 'cannot cast a jsonb value that is not a number in key "indices" to type sparsevec'),
        ({"indices": [0, 1, 2]}, "sparsevec index out of bounds"),
        ({"indices": [2, 2, 3]}, "sparsevec indices must not contain duplicates"),
        ({"values": 1}, 'cannot cast a jsonb object whose key "values" is not an array to type sparsevec'),
        ({"values": [1, 1e40, 1]}, '"10000000000000000000000000000000000000000" is out of range for type sparsevec'),
    ]:
        with pytest.raises(psycopg.Error) as raised:
            db.execute(document, [json.dumps({**given, **change})])
        assert raised.value.diag.message_primary == message
    for text, message in [
        ("[1]", "cannot cast a jsonb value that is not an object to type sparsevec"),
        ("{}", 'cannot cast a jsonb object without key "indices" to type sparsevec'),
    ]:
        with pytest.raises(psycopg.Error, match=message):
            db.execute(document, [text])
    with pytest.raises(psycopg.errors.DataException, match="expected 8 dimensions, not 9"):
        db.execute(f"{document}(8)", [json.dumps(given)])


@pytest.mark.core
def test_dims_of_bits_and_of_what_has_no_type(db: Database) -> None:
    assert db.value("SELECT ruvector_dims(B'10110')") == 5
    assert db.value("SELECT ruvector_dims(''::bit varying::bit(12))") == 12
    assert db.value("SELECT ruvector_dims('[1,2,3]')") == 3
    assert db.value("SELECT ruvector_dims('[1,2]'::halfvec)") == 2
    assert db.value("SELECT ruvector_dims(NULL)") is None
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match='invalid input syntax for type ruvector: "101"'):
        db.value("SELECT ruvector_dims('101')")


@pytest.mark.core
def test_json(db: Database) -> None:
    assert db.value("SELECT '[1, 2.5, -3e2]'::jsonb::ruvector(3)::text") == "[1,2.5,-300]"
    assert db.value("SELECT '[1,2.5]'::ruvector::jsonb") == [1, 2.5]
    assert db.value("SELECT '[1,2.5]'::halfvec::jsonb::halfvec::text") == "[1,2.5]"
    refused = [
        ("'{}'::jsonb::ruvector", "cannot cast a jsonb value that is not an array to type ruvector"),
        ("'3'::jsonb::halfvec", "cannot cast a jsonb value that is not an array to type halfvec"),
        ("'[1, \"2\"]'::jsonb::ruvector", "cannot cast a jsonb array element that is not a number to type ruvector"),
        ("'[[1]]'::jsonb::ruvector", "cannot cast a jsonb array element that is not a number to type ruvector"),
        ("'[]'::jsonb::ruvector", "ruvector must have at least 1 dimension"),
        ("'[1,2]'::jsonb::ruvector(3)", "expected 3 dimensions, not 2"),
        ("'[70000]'::jsonb::halfvec", '"70000" is out of range for type halfvec'),
        ("'[1e39]'::jsonb::ruvector", "out of range for type real"),
    ]
    for expression, message in refused:
        with pytest.raises(psycopg.Error) as caught:
            db.execute(f"SELECT {expression}")
        assert message in str(caught.value)


@pytest.mark.core
def test_random_repeats(db: Database) -> None:
    # The first output of splitmix64 for seed 1234567 is 6457827717110365317; its upper 24 bits over 2^23, less one
    first = (6457827717110365317 >> 40) / 2**23 - 1
    assert floats(db.value("SELECT ruvector_random(1, 1234567)::text")) == pytest.approx([first], rel=1e-7)
    values = floats(db.value("SELECT ruvector_random(16000, 42)::text"))
    assert len(values) == 16000
    assert min(values) >= -1 and max(values) < 1
    assert abs(sum(values) / 16000) < 0.02
    assert db.value("SELECT ruvector_random(5, 1) = ruvector_random(5, 1)")
    assert db.value("SELECT ruvector_random(5, 1) <> ruvector_random(5, 2)")
    with pytest.raises(psycopg.errors.DataException):
        db.execute("SELECT ruvector_random(0, 1)")


@pytest.mark.core
def test_bad_input_can_be_asked_about(db: Database) -> None:
    if db.server.major < 16:
        pytest.skip("pg_input_is_valid came with PostgreSQL 16")
    cases: Sequence[tuple[str, str, bool]] = [
        ("[1,2]", "ruvector(2)", True), ("[1,2]", "ruvector(3)", False), ("[1", "ruvector", False),
        ("[]", "ruvector", False), ("[NaN]", "ruvector", False), ("[1e99]", "ruvector", False),
        ("[65520]", "halfvec", False), ("[1]x", "halfvec", False),
        ("{1:2}/3", "sparsevec(3)", True), ("{1:2}/0", "sparsevec", False), ("{4:2}/3", "sparsevec", False),
        ("{1:1,1:2}/3", "sparsevec", False), ("{1:NaN}/3", "sparsevec", False), ("{1:2}", "sparsevec", False),
    ]  # fmt: skip
    for text, kind, valid in cases:
        assert db.value("SELECT pg_input_is_valid(%s, %s)", [text, kind]) is valid, (text, kind)
        message = db.value("SELECT message FROM pg_input_error_info(%s, %s)", [text, kind])
        assert (message is None) is valid


@pytest.mark.core
def test_limits(db: Database) -> None:
    most = "[" + ",".join(["1"] * 16000) + "]"
    for kind in ("ruvector", "halfvec"):
        assert db.value(f"SELECT ruvector_dims(%s::{kind}(16000))", [most]) == 16000
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match=f"{kind} cannot have more than 16000 dimensions"):
            db.execute(f"SELECT ('[' || repeat('1,', 16000) || '1]')::{kind}")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            db.execute(f"SELECT %s::{kind} || '[1]'", [most])
    full = "{" + ",".join(f"{i}:1" for i in range(1, 16001)) + "}/1000000000"
    assert db.value("SELECT ruvector_norm(%s::sparsevec(1000000000))", [full]) == pytest.approx(math.sqrt(16000))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        db.execute("SELECT %s::sparsevec", [full.replace("}", ",16001:1}")])
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        db.execute("SELECT '{}/1000000001'::sparsevec")
    query = "SELECT sum(v) FROM (VALUES (%s::sparsevec), ('{20000:1}/1000000000')) AS t(v)"
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="sparsevec cannot have more than 16000 non-zero"):
        db.execute(query, [full])


@pytest.mark.core
def test_the_server_says_what_it_computes_with(db: Database) -> None:
    assert db.value("SELECT ruvector_version()") == "0.1.19"
    assert db.value("SELECT extversion FROM pg_extension WHERE extname = 'ruvector'") == "0.1.19"
    level, _, detected = str(db.value("SELECT ruvector_simd_info()")).partition(" ")
    assert level in ("AVX512", "AVX2", "NEON", "Scalar")
    assert level == "Scalar" or level.lower() in detected


@pytest.mark.core
def test_an_index_on_the_order_is_used(db: Database) -> None:
    db.execute("CREATE TABLE t (r ruvector(3) UNIQUE)")
    db.execute("INSERT INTO t SELECT ruvector_random(3, i) FROM generate_series(1, 1000) AS i")
    db.execute("ANALYZE t")
    assert "Index" in db.plan("SELECT * FROM t WHERE r = '[1,2,3]'")
    assert db.value("SELECT count(*) FROM t WHERE r = ruvector_random(3, 5)") == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("INSERT INTO t VALUES (ruvector_random(3, 5))")


def test_a_query_declared_as_pgvectors_searches_a_converted_column(db: Database) -> None:
    needs_extension(db.server, "vector")
    db.execute("CREATE EXTENSION vector")
    db.execute("SELECT ruvector_link_pgvector()")
    db.execute("CREATE TABLE t AS SELECT i AS id, ruvector_random(3, i) AS v FROM generate_series(1, 100) AS i")
    query = "SELECT id FROM t ORDER BY v <-> '[0,0,0]'::{} LIMIT 5"
    assert db.column(query.format("vector")) == db.column(query.format("ruvector"))
