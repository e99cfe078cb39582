# SPDX-License-Identifier: PostgreSQL
"""Values of every common type, from SQL to Python and back, through a wrapper that returns what it was asked for."""

from __future__ import annotations

import psycopg
import pytest
from fdw_database import FdwDatabase

# type, literal, what Python is to see (class and repr)
VALUES = [
    ("bool", "true", "builtins.bool True"),
    ("smallint", "-3", "builtins.int -3"),
    ("int", "2147483647", "builtins.int 2147483647"),
    ("bigint", "'-9223372036854775808'", "builtins.int -9223372036854775808"),
    ("float4", "0.5", "builtins.float 0.5"),
    ("float8", "1e300", "builtins.float 1e+300"),
    ("float8", "'NaN'", "builtins.float nan"),
    ("float8", "'-Infinity'", "builtins.float -inf"),
    ("numeric(10, 2)", "12.50", "builtins.float 12.5"),
    ("text", "'ü \"quoted\"'", "builtins.str 'ü \"quoted\"'"),
    ("text", "''", "builtins.str ''"),
    ("varchar(5)", "'ab'", "builtins.str 'ab'"),
    ("char(5)", "'ab'", "builtins.str 'ab'"),
    ("name", "'n'", "builtins.str 'n'"),
    ("bytea", "'\\x00ff41'", "builtins.bytes b'\\x00\\xffA'"),
    ("date", "'2024-02-29'", "datetime.date datetime.date(2024, 2, 29)"),
    ("date", "'infinity'", "builtins.str 'infinity'"),
    ("time", "'01:02:03.000004'", "datetime.time datetime.time(1, 2, 3, 4)"),
    ("timestamp", "'2024-02-29 01:02:03.000004'", "datetime.datetime datetime.datetime(2024, 2, 29, 1, 2, 3, 4)"),
    (
        "timestamptz", "'2024-02-29 01:02:03+01'",
        "datetime.datetime datetime.datetime(2024, 2, 29, 0, 2, 3, tzinfo=datetime.timezone.utc)",
    ),
    ("interval", "'2 days 00:00:01'", "datetime.timedelta datetime.timedelta(days=2, seconds=1)"),
    ("interval", "'1 mon'", "builtins.str '1 mon'"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "uuid.UUID UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')"),
    ("jsonb", "'{\"a\": [1, null, \"x\"]}'", "builtins.dict {'a': [1, None, 'x']}"),
    ("int[]", "'{1,NULL,3}'", "builtins.list [1, None, 3]"),
    ("int[]", "'{}'", "builtins.list []"),
    ("text[]", "'{{a,b},{\"c d\",e}}'", "builtins.list [['a', 'b'], ['c d', 'e']]"),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
     "builtins.list [UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')]"),
    ("bit(4)", "'1010'", "builtins.str '1010'"),
    ("inet", "'10.0.0.1'", "builtins.str '10.0.0.1'"),
    ("ruvector(3)", "'[1,-2.5,0]'", "numpy.ndarray array([ 1. , -2.5,  0. ], dtype=float32)"),
    ("halfvec(2)", "'[1,-2.5]'", "numpy.ndarray array([ 1. , -2.5], dtype=float16)"),
    (
        "sparsevec(5)", "'{2:1.5,5:-1}/5'",
        "ruvector_fdw.request.SparseVector SparseVector(dim=5, indices=array([1, 4], dtype=int32), "
        "values=array([ 1.5, -1. ], dtype=float32))",
    ),
    ("positive", "5", "builtins.int 5"),
    ("ruvector(2)[]", "'{\"[1,2]\",\"[3,4]\"}'",
     "builtins.list [array([1., 2.], dtype=float32), array([3., 4.], dtype=float32)]"),
]  # fmt: skip


@pytest.fixture
def echo(fdw: FdwDatabase) -> FdwDatabase:
    fdw.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    fdw.server_for("classic.Echo")
    return fdw


@pytest.mark.core
def test_values_go_to_python_and_back(echo: FdwDatabase) -> None:
    for number, (kind, literal, python) in enumerate(VALUES):
        echo.table(f"e{number}", f"value {kind}, seen text")
        # the qual's value is what Python gets, and returns
        query = f"SELECT seen, value::text FROM e{number} WHERE value = {literal}::{kind}"
        [(seen, back)] = echo.rows(query)
        module, rest = python.split(" ", 1)
        assert seen == f"value: {module} {rest}", kind
        assert back == echo.value(f"SELECT ({literal}::{kind})::text"), kind


@pytest.mark.core
@pytest.mark.parametrize(
    ("kind", "python", "expected"),
    [
        ("int", "numpy.int64(7)", 7),
        ("bigint", "True", 1),
        ("float8", "numpy.float32(0.5)", 0.5),
        ("float4", "decimal.Decimal('0.25')", 0.25),
        ("bool", "numpy.bool_(True)", True),
        ("bool", "'off'", False),
        ("bool", "1", True),
        ("text", "12", "12"),
        ("text", "b'bytes'", "bytes"),
        ("text", "datetime.date(2024, 2, 29)", "2024-02-29"),
        ("varchar(3)", "'abc'", "abc"),
        ("numeric", "decimal.Decimal('1.10')", "1.10"),
        ("bytea::text", "bytearray(b'ab')", "\\x6162"),
        ("bytea::text", "'ab'", "\\x6162"),
        ("jsonb::text", "{'a': 1}", '{"a": 1}'),
        ("jsonb::text", "'[1]'", "[1]"),
        ("jsonb::text", "[1, None]", "[1, null]"),
        ("int[]", "numpy.array([[1, 2], [3, 4]])", [[1, 2], [3, 4]]),
        ("int[]", "(1, None)", [1, None]),
        ("int[]", "'{5}'", [5]),
        ("timestamp::text", "'2024-02-29 10:00'", "2024-02-29 10:00:00"),
        ("interval::text", "datetime.timedelta(days=-1, seconds=5)", "-1 days +00:00:05"),
        ("ruvector(2)::text", "numpy.array([1, 2], dtype='float64')", "[1,2]"),
        ("ruvector(2)::text", "[1, 2.5]", "[1,2.5]"),
        ("ruvector(2)::text", "'[1,2]'", "[1,2]"),
        ("ruvector(2)::text", "numpy.arange(4, dtype='float32')[::2]", "[0,2]"),
        ("halfvec(2)::text", "[0.5, 2]", "[0.5,2]"),
        ("ruvector(2)[]::text", "numpy.array([[1, 2], [3, 4]])", '{"[1,2]","[3,4]"}'),
        ("positive", "3", 3),
    ],
)
def test_python_values_become_sql(echo: FdwDatabase, kind: str, python: str, expected: object) -> None:
    echo.server_for("classic.Literal", "lit")
    name, _, cast = kind.partition("::")
    echo.table("t", f"value {name}", server="lit", python=python.replace("'", "''"))
    found = echo.value(f"SELECT value{'::' + cast if cast else ''} FROM t")
    assert (str(found) if name == "numeric" else found) == expected


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ruvector", "halfvec"])
def test_other_dims_than_declared_are_explained(echo: FdwDatabase, kind: str) -> None:
    echo.server_for("classic.Literal", "lit")
    echo.table("t", f"value {kind}(3)", server="lit", python="[1, 2]")
    with pytest.raises(psycopg.errors.DataException, match="expected 3 dimensions, not 2") as caught:
        echo.rows("SELECT value FROM t")
    hint = f"The foreign table's column is declared as {kind}(3), and its source has vectors of 2 dimensions."
    assert caught.value.diag.message_hint == hint


@pytest.mark.parametrize(
    ("kind", "python", "sqlstate"),
    [
        ("smallint", "40000", "22003"),
        ("int", "2**31", "22003"),
        ("bigint", "2**63", "22003"),
        ("float4", "1e300", "22003"),
        ("varchar(3)", "'abcd'", "22001"),
        ("text", "'a\\0b'", "22021"),
        ("positive", "-3", "23514"),
        ("ruvector(2)", "[1, 2, 3]", "22000"),
        ("ruvector(2)", "[1, float('nan')]", "22000"),
        ("ruvector(2)", "[]", "22000"),
        ("ruvector(2)", "[[1, 2]]", "42804"),
        ("ruvector(2)", "'[1,2'", "22P02"),
        ("halfvec(2)", "[1, 1e6]", "22000"),
        ("int[]", "[[1], [2, 3]]", "2202E"),
        ("jsonb", "'{'", "22P02"),
        ("date", "'yesterdayish'", "22007"),
    ],
)
def test_values_that_do_not_fit(echo: FdwDatabase, kind: str, python: str, sqlstate: str) -> None:
    echo.server_for("classic.Literal", "lit")
    echo.table("t", f"value {kind}", server="lit", python=python.replace("'", "''"))
    for _ in range(2):
        assert echo.state("SELECT * FROM t")[0] == sqlstate


def test_null_for_none_and_for_what_is_missing(echo: FdwDatabase) -> None:
    echo.server_for("classic.Literal", "lit")
    echo.table("t", "value int, other ruvector(3)", server="lit", python="None")
    assert echo.rows("SELECT * FROM t") == [(None, None)]


def test_dropped_columns_are_left_out(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Numbers")
    for rows in ("dict", "sequence"):
        fdw.table(f"n_{rows}", "gone int, n int, also_gone text, name text, value float8", rows=rows, count=3)
        fdw.execute(f"ALTER FOREIGN TABLE n_{rows} DROP COLUMN gone, DROP COLUMN also_gone")
        assert fdw.rows(f"SELECT * FROM n_{rows}") == [(0, "name 0", 0.0), (1, "name 1", 0.5), (2, "name 2", None)]


# Values that Python's own classes do not have, or have otherwise: they must come back as they were.
AWKWARD = [
    ("interval", "-00:00:00.5"), ("interval", "36:00:00"), ("interval", "-1 days +23:59:59"), ("interval", "1 mon -1 days"),
    ("interval", "3 days"), ("date", "0044-03-15 BC"), ("date", "20240-01-01"), ("timestamp", "infinity"),
    ("timestamp", "0044-03-15 10:00:00.25 BC"), ("timestamptz", "-infinity"), ("time", "24:00:00"),
    ("time", "23:59:59.999999"), ("numeric", "NaN"), ("numeric", "-Infinity"), ("numeric", "1.10"),
    ("numeric", "123456789012345678901234567890.0001"), ("float8", "-0"), ("float8", "NaN"), ("float4", "0.1"),
    ("jsonb", "null"), ("jsonb", "1.50"), ("jsonb", '{"n": [12345678901234567890.123, 1.0, null], "e": 1E+400}'),
    ("json", '{"b":1,"a":"\u00e9"}'), ("text", ""), ("text", "a\tb\nc\\"), ("char(4)", "ab"), ("bytea", "\\x"),
    ("int[]", "[2:3]={1,NULL}"), ("text[]", "{NULL,\"NULL\",\"\",\"a,b\",\"{\"}"), ("uuid[]", "{}"),
    ("bool", "f"), ("inet", "::1/64"), ("bit(3)", "101"), ("int4range", "[1,5)"), ("money", "$1.50"),
    ("halfvec(2)", "[0.099975586,-0]"), ("sparsevec(4)", "{2:1.5}/4"), ("ruvector(2)", "[1e-40,3.4028235e+38]"),
]  # fmt: skip


@pytest.mark.core
def test_awkward_values_come_back_as_they_were(fdw: FdwDatabase) -> None:
    fdw.server_for("vectors.Kept")
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _) in enumerate(AWKWARD))
    fdw.execute(f"CREATE TABLE near ({columns})")
    fdw.table("kept", columns)
    places = ", ".join(f"%s::text::{kind}" for kind, _ in AWKWARD)
    fdw.execute(f"INSERT INTO near SELECT {places}", [literal for _, literal in AWKWARD])
    fdw.execute("INSERT INTO near VALUES (NULL)")
    fdw.execute("INSERT INTO kept SELECT * FROM near")
    for i, (kind, literal) in enumerate(AWKWARD):
        if literal.startswith("[2:3]"):
            continue  # a list begins at 1: bounds are lost
        assert fdw.column(f"SELECT c{i}::text FROM kept") == fdw.column(f"SELECT c{i}::text FROM near"), (kind, literal)
