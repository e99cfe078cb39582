# SPDX-License-Identifier: PostgreSQL
"""Kind `pgvector`: tables of another database, by the Python API and as foreign tables. The rows there are the truth."""

from __future__ import annotations

import datetime
import gc
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from fdw_database import FdwDatabase
from harness import Database, Server, needs_extension
from psycopg.conninfo import conninfo_to_dict

from ruvector_fdw import jsontext
from ruvector_fdw.errors import OptionError, RemoteError
from ruvector_fdw.request import BoolQual, NullQual, Qual, SearchRequest, SortKey, VectorQual, VectorSortKey
from ruvector_fdw.stores import open_table, store_class
from ruvector_fdw.stores.pgvector.table import PgvectorTable

DATA = np.random.default_rng(2).standard_normal((600, 8)).astype(np.float32)
TYPES = {"vector": "ruvector(8)", "ruvector": "ruvector(8)"}


def literal(vector: np.ndarray) -> str:
    return str(vector.tolist())


@pytest.fixture(params=["vector", "ruvector"])
def remote(request: pytest.FixtureRequest, server: Server) -> Iterator[Database]:
    if request.param == "vector":
        needs_extension(server, "vector")
    made = server.database((request.param,))
    made.execute('CREATE SCHEMA "odd %s"')
    made.execute("CREATE DOMAIN short AS varchar(9) NOT NULL")
    made.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    made.execute(
        f"""CREATE TABLE "odd %s".items (id bigserial PRIMARY KEY, "we""ird %s" text, n numeric, at timestamptz,
        d date, tags text[], iv interval, m mood, s short, j jsonb, u uuid, b bytea, ok boolean, r real,
        embedding {request.param}(8) NOT NULL)"""
    )
    made.execute("COMMENT ON COLUMN \"odd %s\".items.n IS 'how much'")
    made.execute('CREATE TABLE "odd %s".plain (a int)')
    with made.conn.cursor() as cursor, made.conn.transaction():
        cursor.executemany(
            'INSERT INTO "odd %%s".items ("we""ird %%s", n, at, d, tags, iv, m, s, j, u, b, ok, r, embedding) VALUES'
            " (%s, %s, %s, %s, %s, '1 mon 2 days', 'ok', 'x', '{\"a\": [1]}', %s, '\\x00ff', %s, 0.1, %s)",
            [
                (
                    None if i % 9 == 0 else f"t{i % 5}%",
                    f"{i}.50",
                    f"2024-01-01 {i % 24:02d}:00+00",
                    "infinity" if i % 50 == 1 else "2024-02-03",
                    ["a", None],
                    f"00000000-0000-0000-0000-{i:012d}",
                    i % 2 == 0,
                    literal(DATA[i]),
                )
                for i in range(len(DATA))
            ],
        )
    made.execute(
        f'CREATE INDEX ON "odd %s".items USING {"hnsw" if request.param == "vector" else "ruhnsw"}'
        f" (embedding {request.param}_l2_ops)"
    )
    made.execute('ANALYZE "odd %s".items')
    made.kind = request.param  # type: ignore[attr-defined]
    yield made
    made.close()


def options(remote: Database) -> dict[str, str]:
    return {key: str(value) for key, value in conninfo_to_dict(remote.dsn).items() if value is not None}


def table(remote: Database, name: str = "items", **more: str) -> PgvectorTable:
    made = open_table({"kind": "pgvector", "schema_name": "odd %s", "table_name": name, **options(remote), **more}, {})
    assert isinstance(made, PgvectorTable)
    return made


def rows(store: PgvectorTable, request: SearchRequest) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for batch in store.scan(request):
        found += zip(*(batch.columns[name] for name in request.columns), strict=True)
    return found


def test_import(remote: Database) -> None:
    kind = store_class("pgvector")
    made = {t.table_name: t for t in kind.import_schema("odd %s", options(remote), {}, None, [])}
    assert sorted(made) == ["items", "plain"]
    columns = {column.column_name: column for column in made["items"].columns}
    assert {name: column.type_name for name, column in columns.items()} == {
        "id": "bigint", 'we"ird %s': "text", "n": "numeric", "at": "timestamp with time zone", "d": "date",
        "tags": "text[]", "iv": "interval", "m": "text", "s": "character varying(9)", "j": "jsonb", "u": "uuid",
        "b": "bytea", "ok": "boolean", "r": "real", "embedding": "ruvector(8)",
    }  # fmt: skip
    assert [name for name, column in columns.items() if column.not_null] == ["id", "s", "embedding"]
    assert columns["n"].options["comment"] == "how much"
    assert made["items"].options == {"schema_name": "odd %s", "table_name": "items"}
    for restriction, names, left in [("limit", ["plain", "no"], ["plain"]), ("except", ["plain"], ["items"])]:
        found = kind.import_schema("odd %s", options(remote), {}, restriction, names)
        assert [t.table_name for t in found] == left
    only = kind.import_schema("odd %s", options(remote), {"only_vectors": "true", "import_not_null": "no"}, None, [])
    assert [t.table_name for t in only] == ["items"] and not any(c.not_null for c in only[0].columns)
    with pytest.raises(RemoteError) as caught:
        kind.import_schema("none", options(remote), {}, None, [])
    assert caught.value.sqlstate == "HV00Q"
    with pytest.raises(OptionError):
        kind.import_schema("odd %s", options(remote), {"import_everything": "1"}, None, [])


def test_values_come_as_they_are(remote: Database) -> None:
    names = tuple(column.column_name for column in table(remote).columns())
    (row,) = rows(table(remote), SearchRequest(names, quals=(Qual("id", "=", 2),)))
    got = dict(zip(names, row, strict=True))
    assert (str(got["n"]), got['we"ird %s'], got["tags"], got["iv"], got["m"]) == (
        "1.50", "t1%", "{a,NULL}", "1 mon 2 days", "ok",
    )  # fmt: skip
    assert (got["d"], got["j"], str(got["u"])[-1], got["b"], got["ok"]) == (
        "infinity", {"a": [1]}, "1", b"\x00\xff", False,
    )  # fmt: skip
    assert got["at"].isoformat() == "2024-01-01T01:00:00+00:00" and got["r"] == np.float32(0.1)
    np.testing.assert_array_equal(got["embedding"], DATA[1])


def test_order_conditions_and_limit_run_there(remote: Database) -> None:
    store, query = table(remote), DATA[5]
    distances = np.sqrt(((DATA.astype(np.float64) - query) ** 2).sum(axis=1))
    key = VectorSortKey("embedding", 15, "<->", query)
    quals = (Qual("id", ("=", True), [*range(1, 300), None]), Qual('we"ird %s', "~~", "t%\\%"))
    request = SearchRequest(("id",), quals=quals, order=(key,), limit=7, offset=2)
    (line,) = store.explain(request)
    assert 'ORDER BY "embedding" OPERATOR("public".<->) $' in line and line.endswith("LIMIT 7 OFFSET 2")
    chosen = [i + 1 for i in np.argsort(distances) if i < 299 and i % 9][2:9]
    assert [row[0] for row in rows(store, request)] == chosen
    # all rows, through a cursor: more than an index scan of pgvector gives by default
    everything = [row[0] for row in rows(table(remote, fetch_size="50"), SearchRequest(("id",), order=(key,)))]
    assert everything == (np.argsort(distances, kind="stable") + 1).tolist()
    within = VectorQual("embedding", "<->", query, "<=", float(np.sort(distances)[40:42].mean()))
    assert len(rows(store, SearchRequest(("id",), quals=(within,)))) == 41
    by_time = SearchRequest(("id",), order=(SortKey("n", 3, True, False, None),), limit=2)
    assert rows(store, by_time) == [(600,), (599,)]
    assert not store.can_sort([SortKey('we"ird %s', 2, False, False, None)])
    assert not store.can_push(Qual("m", "=", "ok")) and not store.can_push(Qual('we"ird %s', "<", "x"))


CONDITIONS: list[tuple[Any, str]] = [
    (Qual("id", "<", 50), "id < 50"), (Qual("id", ("<>", False), [3, 4]), "id <> ALL ('{3,4}')"),
    (Qual("n", ">=", 580), "n >= 580"), (NullQual('we"ird %s', True), '"we""ird %%s" IS NULL'),
    (Qual('we"ird %s', "=", "t3%"), '"we""ird %%s" = \'t3%%\''), (Qual("ok", "=", True), "ok"),
    (Qual("d", "=", "infinity"), "d = 'infinity'"), (Qual("r", "=", float(np.float32(0.1))), "r = 0.1::real"),
    (Qual("u", ">", "00000000-0000-0000-0000-000000000500"), "u > '00000000-0000-0000-0000-000000000500'"),
    (BoolQual("OR", (Qual("id", "=", 9), BoolQual("AND", (Qual("id", ">", 590), Qual("ok", "<>", True))))),
     "(id = 9 OR id > 590 AND NOT ok)"),
    (Qual("b", "=", b"\x00\xff"), "b = '\\x00ff'"), (Qual("id", "=", None), "id = NULL"),
]  # fmt: skip


def test_conditions_mean_the_same_there(remote: Database) -> None:
    rng, store = random.Random(3), table(remote)
    for chosen in [[one] for one in CONDITIONS] + [rng.sample(CONDITIONS, 2) for _ in range(20)]:
        quals = tuple(qual for qual, _ in chosen)
        assert all(store.can_push(qual) for qual in quals), quals
        text = " AND ".join(condition for _, condition in chosen)
        expected = remote.rows(f'SELECT id FROM "odd %%s".items WHERE {text} ORDER BY id', [])
        order = (SortKey("id", 1, False, False, None),)
        assert rows(store, SearchRequest(("id",), quals=quals, order=order)) == expected, text


def test_values_that_datetime_and_json_do_not_have(remote: Database) -> None:
    values = {
        "d": ("date", ["0044-03-15 BC", "0001-12-31 BC", "20240-02-29", "10000-01-01", "-infinity", "2024-02-29"]),
        "t": ("timestamp", ["0044-03-15 10:00:00.25 BC", "294276-12-31 23:59:59.999999", "infinity", "1999-12-31 00:00:00"]),
        "z": ("timestamptz", ["4713-01-01 00:00:00+00 BC", "10000-01-01 00:00:00.5+00", "-infinity", "2024-01-01 00:00:00+00"]),
        "h": ("time", ["24:00:00", "23:59:59.999999"]),
        "j": ("jsonb", ["1.50", "12345678901234567890.5", "null", '{"a": [1, 1.5]}']),
    }  # fmt: skip
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in values.items())
    remote.execute(f'CREATE TABLE "odd %s".far (id int, {columns})')
    for name, (_, literals) in values.items():
        for i, literal in enumerate(literals):
            remote.execute(f'INSERT INTO "odd %%s".far (id, {name}) VALUES ({i}, %s)', [literal])
    store = table(remote, "far")
    for name, (kind, literals) in values.items():
        request = SearchRequest((name,), quals=(NullQual(name, False),), order=(SortKey("id", 1, False, False, None),))
        for (got,), literal in zip(rows(store, request), literals, strict=True):
            text = jsontext.dumps(got) if kind == "jsonb" else str(got)
            assert remote.value(f"SELECT %s::{kind}::text = %s::{kind}::text", [text, literal]), (literal, got)
    for quals, count in [
        ((Qual("d", ("=", True), ["-infinity", None, datetime.date(2024, 2, 29)]),), 2),
        ((Qual("z", ("<", False), ["infinity", datetime.datetime(9999, 1, 1, tzinfo=datetime.timezone.utc)]),), 3),
        ((Qual("d", "<", "0001-01-01"),), 3),
        ((Qual("t", ">", datetime.datetime(9999, 12, 31)),), 2),
    ]:
        assert len(rows(store, SearchRequest(("id",), quals=quals))) == count, quals


@pytest.fixture
def plain_role(fdw: FdwDatabase) -> Iterator[FdwDatabase]:
    fdw.execute("CREATE ROLE plain LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER ruvector_fdw TO plain")
    fdw.execute("GRANT CREATE ON SCHEMA public TO plain; CREATE TABLE there (id int)")
    yield fdw
    fdw.execute("RESET ROLE; DROP OWNED BY plain CASCADE; DROP ROLE plain")


@pytest.mark.parametrize("version", ["0.5.1", "0.6.2", "0.7.4", "0.8.0"])
def test_catalogs_of_older_versions(remote: Database, version: str) -> None:
    """Before 0.7 there were no halfvec and sparsevec, before 0.8 index scans could not go on: then the remote sorts."""
    remote.execute(f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = '{remote.kind}'")  # type: ignore[attr-defined]
    if version < "0.7":
        for name in ("halfvec", "sparsevec"):
            remote.execute(f"UPDATE pg_type SET typname = '{name}_then_unknown' WHERE typname = '{name}'")
    made = {t.table_name: t for t in store_class("pgvector").import_schema("odd %s", options(remote), {}, None, [])}
    assert made["items"].columns[-1].type_name == "ruvector(8)"
    store, query = table(remote), DATA[5]
    key = VectorSortKey("embedding", 15, "<->", query)
    distances = ((DATA.astype(np.float64) - query) ** 2).sum(axis=1)
    rare = (Qual("n", ">=", 560),)  # an index scan that ends after its first candidates finds few of these
    request = SearchRequest(("id",), quals=rare, order=(key,), limit=20)
    assert [row[0] for row in rows(store, request)] == [i + 1 for i in np.argsort(distances) if i >= 560][:20]
    sorts = "+ 0.0" in store.explain(request)[0]
    assert sorts == (version < "0.8" and remote.kind == "vector")  # type: ignore[attr-defined]
    few = SearchRequest(("id",), order=(key,), limit=20)
    assert "+ 0.0" not in store.explain(few)[0] and len(rows(store, few)) == 20
    many = SearchRequest(("id",), order=(key,), limit=300)
    assert [row[0] for row in rows(store, many)] == (np.argsort(distances)[:300] + 1).tolist()


def test_who_needs_a_password(plain_role: FdwDatabase) -> None:
    fdw = plain_role
    given = ", ".join(f"{k} '{v}'" for k, v in conninfo_to_dict(fdw.dsn).items() if k != "user")
    # every user can read the options of a server and of a table
    hint = "HV00D", 'option "password" cannot be set on a server'
    create = f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'pgvector', {given}"
    assert fdw.state(f"{create}, password 'x')") == hint
    fdw.execute(f"SET ROLE plain; {create})")
    assert fdw.state("ALTER SERVER s OPTIONS (ADD password 'x')") == hint
    fdw.execute("CREATE FOREIGN TABLE open (id int) SERVER s OPTIONS (table_name 'there', password 'x')")
    assert fdw.state("SELECT * FROM open") == ("HV00D", 'option "password" cannot be set on a table')
    fdw.execute("CREATE FOREIGN TABLE t (id int) SERVER s OPTIONS (table_name 'there')")
    needed = "2F003", "password is required"
    for mapping in ("user 'postgres'", "user 'postgres', password ''", "user 'postgres', password 'unused'"):
        # the last: the server asks for none (it trusts whoever comes from here), which would let everybody in
        fdw.execute(f"CREATE USER MAPPING FOR plain SERVER s OPTIONS ({mapping})")
        assert fdw.state("SELECT * FROM t") == needed, mapping
        assert fdw.state("IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public") == needed, mapping
        fdw.execute("DROP USER MAPPING FOR plain SERVER s")
    assert fdw.state("CREATE USER MAPPING FOR plain SERVER s OPTIONS (sslkey '/x')")[0] == "42501"
    # a superuser needs none; through the view of a user who does, it is needed
    fdw.execute("CREATE VIEW v AS SELECT * FROM t; RESET ROLE")
    fdw.execute("CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'postgres')")
    assert fdw.rows("SELECT * FROM t") == []
    assert fdw.state("SELECT * FROM v") == needed


def test_no_password_is_shown(fdw: FdwDatabase) -> None:
    given = ", ".join(f"{k} '{v}'" for k, v in conninfo_to_dict(fdw.dsn).items() if k not in ("user", "dbname"))
    fdw.execute(f"CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'pgvector', {given}, dbname 'nowhere')")
    fdw.execute("CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'nobody', password 'quite secret', sslpassword 'y')")
    fdw.execute("CREATE FOREIGN TABLE t (id int) SERVER s OPTIONS (table_name 'there')")
    before = fdw.server.log.stat().st_size
    fdw.execute("SET log_min_messages = debug1; SET log_error_verbosity = verbose")
    for statement in ("SELECT * FROM t", "EXPLAIN VERBOSE SELECT * FROM t", "IMPORT FOREIGN SCHEMA x FROM SERVER s INTO public"):
        with pytest.raises(psycopg.Error) as caught:
            fdw.execute(statement)
        assert caught.value.sqlstate == "08001" and "secret" not in str(caught.value)
    with fdw.server.log.open(errors="replace") as log:
        log.seek(before)
        written = log.read()
    assert "Traceback" in written and "quite secret" not in written


def test_one_snapshot_a_transaction(remote: Database) -> None:
    store, count = table(remote), SearchRequest(())
    store.begin(False)
    assert sum(batch.count for batch in store.scan(count)) == 600
    remote.execute('DELETE FROM "odd %s".items WHERE id <= 100')
    assert sum(batch.count for batch in store.scan(count)) == 600
    store.savepoint(2)
    with pytest.raises(RemoteError):
        list(store.scan(SearchRequest(("id",), quals=(Qual("u", "=", "no uuid"),))))
    store.rollback_to(2)
    assert sum(batch.count for batch in store.scan(count)) == 600
    store.commit()
    assert sum(batch.count for batch in store.scan(count)) == 500


def test_errors_name_no_password(remote: Database) -> None:
    with pytest.raises(RemoteError) as caught:
        table(remote, dbname="none", password="hidden in plain sight").columns()
    assert caught.value.sqlstate == "08001" and "hidden" not in f"{caught.value} {caught.value.detail}"
    with pytest.raises(RemoteError, match="does not exist") as caught:
        table(remote, "nothing").columns()
    assert caught.value.sqlstate == "HV00R"
    for wrong in ({"fetch_size": "0"}, {"hosts": "a"}):
        with pytest.raises(OptionError):
            table(remote, **wrong)
    store = table(remote)
    assert store.columns()
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        table(remote, application_name="dropped").columns()
        gc.collect()
    assert [str(w.message) for w in caught_warnings if issubclass(w.category, ResourceWarning)] == []
    pid = psycopg.connect(remote.dsn, autocommit=True)
    pid.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ruvector_fdw'")
    pid.close()
    with pytest.raises(RemoteError) as caught:
        rows(store, SearchRequest(("id",), limit=1))
    assert caught.value.sqlstate[:2] in ("57", "08")
    assert rows(store, SearchRequest(("id",), limit=1))
