# SPDX-License-Identifier: PostgreSQL
"""ruvector and pgvector in one database: any order of creation, dump and restore, and dropping either."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server, needs_extension
from psycopg import sql


@pytest.fixture
def bare(server: Server) -> Iterator[Database]:
    needs_extension(server, "vector")
    made = server.database(())
    yield made
    made.close()
    server.drop(made.name)


def schemas(db: Database, extension: str) -> dict[str, str]:
    """Where the types of an extension are."""
    query = """
        SELECT t.typname::text, n.nspname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        JOIN pg_type t ON t.oid = d.objid JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE d.classid = 'pg_type'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        AND e.extname = %s AND t.typelem = 0 AND t.typtype = 'b' AND t.typname <> 'ruvector_range'
        """
    return dict(db.rows(query, [extension]))


def fill(db: Database) -> None:
    """A table with a column of every type of both, indexes, a view and a function over them."""
    db.execute(
        "CREATE TABLE every (id serial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), b bit(3),"
        " r ruvector(3), rh ruvector.halfvec(3), rs ruvector.sparsevec(3), list ruvector.halfvec[])"
    )
    db.execute(
        "INSERT INTO every (v, h, s, b, r, rh, rs, list) SELECT x::vector, x::vector, x::vector, B'101', x,"
        " x::ruvector.halfvec, x::ruvector.sparsevec, ARRAY[x::ruvector.halfvec]"
        " FROM generate_series(1, 50) AS i, ruvector_random(3, i) AS x"
    )
    db.execute("CREATE INDEX ON every USING hnsw (v vector_l2_ops)")
    db.execute("CREATE INDEX ON every USING ruhnsw (v vector_cosine_ops)")
    db.execute("CREATE INDEX ON every USING ruhnsw (r ruvector_l2_ops)")
    db.execute("CREATE INDEX ON every USING ruhnsw (rh ruvector.halfvec_ip_ops)")
    db.execute("CREATE INDEX ON every (r, rh, rs)")
    db.execute("CREATE INDEX ON every USING hash (rs)")
    db.execute(
        "CREATE VIEW seen AS SELECT v::ruvector <-> r AS one, rh <-> '[1,2,3]' AS two, b <~> B'111' AS three,"
        " b OPERATOR(ruvector.<~>) B'111' AS four, h::ruvector.halfvec AS five FROM every"
    )


CONTENT = "SELECT every::text FROM every ORDER BY id"
SEEN = "SELECT seen::text FROM seen ORDER BY 1"


@pytest.mark.core
@pytest.mark.parametrize("order", [("vector", "ruvector"), ("ruvector", "vector")])
def test_either_order_of_creation(bare: Database, order: tuple[str, str]) -> None:
    for extension in order:
        bare.execute(f"CREATE EXTENSION {extension}")
    assert schemas(bare, "vector") == {"vector": "public", "halfvec": "public", "sparsevec": "public"}
    assert schemas(bare, "ruvector") == {"ruvector": "public", "halfvec": "ruvector", "sparsevec": "ruvector"}
    bare.execute("SELECT ruvector_link_pgvector()")
    assert bare.value("SELECT ruvector_link_pgvector()") == 0
    fill(bare)
    assert len(bare.rows(SEEN)) == 50


@pytest.mark.core
def test_names_are_not_shared_across_schemas(bare: Database) -> None:
    bare.execute("CREATE SCHEMA other")
    bare.execute("CREATE EXTENSION ruvector")
    bare.execute("CREATE EXTENSION vector SCHEMA other")
    assert schemas(bare, "ruvector") == {"ruvector": "public", "halfvec": "public", "sparsevec": "public"}
    # When pgvector comes nearer, ours makes room; when it leaves, ours comes back
    bare.execute("ALTER EXTENSION vector SET SCHEMA public")
    assert schemas(bare, "ruvector") == {"ruvector": "public", "halfvec": "ruvector", "sparsevec": "ruvector"}
    bare.execute("ALTER EXTENSION vector SET SCHEMA other")
    assert schemas(bare, "ruvector") == {"ruvector": "public", "halfvec": "public", "sparsevec": "public"}


@pytest.mark.core
def test_without_pgvector_plain_names_work_in_any_schema(bare: Database) -> None:
    bare.execute('CREATE SCHEMA "Odd Name"')
    bare.execute('CREATE EXTENSION ruvector SCHEMA "Odd Name"')
    assert set(schemas(bare, "ruvector").values()) == {"Odd Name"}
    bare.execute("SET search_path = ''")
    odd = '"Odd Name"'
    assert bare.value(f"SELECT '[1,2]'::{odd}.halfvec(2) OPERATOR({odd}.<->) '[1,4]'") == 2.0
    assert bare.value(f"SELECT '{{1:3}}/2'::{odd}.sparsevec(2) OPERATOR({odd}.=) '{{1:3}}/2'") is True
    bare.execute(f"CREATE TABLE public.t (v {odd}.ruvector(2))")
    bare.execute("INSERT INTO public.t VALUES ('[3,4]')")
    bare.execute(f"CREATE INDEX ON public.t USING ruhnsw (v {odd}.ruvector_l2_ops)")
    bare.execute("SET enable_seqscan = off")
    query = f"SELECT v OPERATOR({odd}.<->) '[0,0]' FROM public.t ORDER BY v OPERATOR({odd}.<->) '[0,0]'"
    assert bare.column(query) == [5.0]
    assert bare.value(f"SELECT {odd}.avg(v)::text FROM public.t") == "[3,4]"


def test_our_schema_cannot_hold_both(bare: Database) -> None:
    bare.execute("CREATE SCHEMA ruvector")
    bare.execute("CREATE EXTENSION ruvector SCHEMA ruvector")
    with pytest.raises(psycopg.errors.DuplicateObject, match="cannot both be in schema"):
        bare.execute("CREATE EXTENSION vector SCHEMA ruvector")
    bare.execute("CREATE EXTENSION vector")


@pytest.mark.core
@pytest.mark.parametrize(
    ("form", "target_has"),
    [("plain", ()), ("custom", ()), ("parallel", ()), ("plain", ("vector", "ruvector")), ("parallel", ("vector",))],
)
def test_a_dump_restores_without_an_error(
    bare: Database, form: str, target_has: tuple[str, ...], shared_dir: Path
) -> None:
    """Also into a database that has pgvector already, where CREATE EXTENSION ruvector makes the links that the dump makes."""
    server = bare.server
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    fill(bare)
    target = server.create(target_has)
    environment = server.environment(bare.name)

    def run(program: str, *arguments: str, source: str | None = None) -> str:
        command = [str(server.installation.program(program)), "--no-password", *arguments]
        done = subprocess.run(command, env=environment, input=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stderr.lower(), done.stderr
        return done.stdout

    if form == "plain":
        run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target, source=run("pg_dump"))
    elif form == "custom":
        run("pg_dump", "-Fc", "-f", str(shared_dir / "dump"))
        run("pg_restore", "--exit-on-error", "-d", target, str(shared_dir / "dump"))
    else:
        run("pg_dump", "-Fd", "-j2", "-f", str(shared_dir / "dump"))
        run("pg_restore", "-j2", "-d", target, str(shared_dir / "dump"))
    restored = Database(server, target)
    try:
        for query in (CONTENT, SEEN):
            assert restored.rows(query) == bare.rows(query)
        assert schemas(restored, "ruvector") == schemas(bare, "ruvector")
        assert restored.value("SELECT ruvector_link_pgvector()") == 0
        casts = "SELECT castmethod::text, count(*)::int FROM pg_cast WHERE castsource >= 16384 GROUP BY 1 ORDER BY 1"
        assert restored.rows(casts) == bare.rows(casts)
        assert dict(bare.rows(casts))["b"] == 6
    finally:
        restored.close()
        server.drop(target)


@pytest.mark.core
def test_pgvector_goes_and_ours_stays(bare: Database) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    fill(bare)
    ours = "SELECT id, r::text, rh::text, rs::text, list::text FROM every ORDER BY id"
    before = bare.rows(ours)
    bare.execute("DROP EXTENSION vector CASCADE")
    assert bare.rows(ours) == before
    left = bare.column("SELECT indexdef FROM pg_indexes WHERE tablename = 'every' ORDER BY 1")
    assert sum("USING ruhnsw" in text for text in left) == 2
    # With the names free again, ours are where a fresh installation puts them
    assert set(schemas(bare, "ruvector").values()) == {"public"}
    bare.execute("SET enable_seqscan = off")
    assert len(bare.rows("SELECT id FROM every ORDER BY rh <#> '[1,2,3]'::halfvec LIMIT 5")) == 5
    bare.execute("CREATE EXTENSION vector")
    assert bare.value("SELECT ruvector_link_pgvector()") > 6


@pytest.mark.core
def test_ours_goes_and_pgvector_stays(bare: Database) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    fill(bare)
    theirs = "SELECT id, v::text, h::text, s::text FROM every ORDER BY id"
    before = bare.rows(theirs)
    bare.execute("DROP EXTENSION ruvector CASCADE")
    assert bare.rows(theirs) == before
    assert len(bare.rows("SELECT id FROM every ORDER BY v <-> '[1,2,3]' LIMIT 5")) == 5
    assert bare.column("SELECT nspname FROM pg_namespace WHERE nspname ~ '^ruvector'") == []
    families = "SELECT opfname FROM pg_opfamily f JOIN pg_am a ON a.oid = f.opfmethod WHERE a.amname ~ '^ru'"
    assert bare.column(families) == []
    bare.execute("CREATE EXTENSION ruvector")


@pytest.mark.core
@pytest.mark.parametrize("extension", ["vector", "ruvector"])
def test_links_do_not_stand_in_the_way(bare: Database, extension: str) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    bare.execute(f"DROP EXTENSION {extension}")
    bare.execute(f"CREATE EXTENSION {extension}")


CONVERSIONS = [
    ("ruvector", "halfvec"), ("ruvector.halfvec", "vector"),
    ("halfvec", "ruvector"), ("sparsevec", "ruvector"), ("vector", "ruvector.halfvec"),
    ("sparsevec", "ruvector.halfvec"), ("vector", "ruvector.sparsevec"), ("halfvec", "ruvector.sparsevec"),
]  # fmt: skip


@pytest.mark.core
def test_types_of_two_kinds_convert_too(bare: Database) -> None:
    """As embedding::halfvec(3), when the column has become ours and plain halfvec is still pgvector's."""
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    for source, target in CONVERSIONS:
        if bare.server.major < 16 and "sparsevec" in source + target:
            continue
        value = "{1:1.5,3:-2}/3" if "sparsevec" in source else "[1.5,0,-2]"
        found = bare.value(f"SELECT '{value}'::{source}::{target}(3)::text")
        assert found == ("{1:1.5,3:-2}/3" if "sparsevec" in target else "[1.5,0,-2]"), (source, target)
        with pytest.raises(psycopg.errors.DataException, match="expected 2 dimensions, not 3"):
            bare.execute(f"SELECT '{value}'::{source}::{target}(2)")
    bare.execute("CREATE TABLE t AS SELECT i AS id, ruvector_random(3, i) AS r FROM generate_series(1, 100) AS i")
    bare.execute("CREATE INDEX ON t USING ruhnsw ((r::halfvec(3)) halfvec_l2_ops)")
    bare.execute("SET enable_seqscan = off")
    query = "SELECT id FROM t ORDER BY r::halfvec(3) <-> ruvector_random(3, 7)::halfvec(3) LIMIT 1"
    assert "Index Scan using t_r_idx" in bare.plan(query)
    assert bare.value(query) == 7


@pytest.mark.core
def test_a_link_in_use_is_not_replaced(bare: Database) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    fill(bare)
    with pytest.raises(psycopg.errors.DuplicateObject, match='operator family "vector_cosine_ops"'):
        bare.execute("CREATE OPERATOR FAMILY vector_cosine_ops USING ruhnsw")
    bare.execute("SET enable_seqscan = off")
    assert "every_v_idx1" in bare.plan("SELECT id FROM every ORDER BY v <=> '[1,2,3]' LIMIT 5")


@pytest.mark.core
@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat WITH (lists = 10)"])
@pytest.mark.parametrize(
    ("column", "opclass", "operator"),
    [
        ("v", "vector_l2_ops", "<->"), ("v", "vector_ip_ops", "<#>"), ("v", "vector_cosine_ops", "<=>"),
        ("h", "halfvec_l2_ops", "<->"), ("h", "halfvec_ip_ops", "<#>"), ("h", "halfvec_cosine_ops", "<=>"),
    ],
)  # fmt: skip
def test_both_methods_search_pgvectors_own_columns(
    bare: Database, method: str, column: str, opclass: str, operator: str
) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    bare.execute(
        "CREATE TABLE theirs AS SELECT i AS id, ruvector_random(8, i)::vector(8) AS v,"
        " ruvector_random(8, i)::vector(8)::halfvec(8) AS h FROM generate_series(1, 2000) i"
    )
    kind = {"v": "vector", "h": "halfvec"}[column]
    query = f"SELECT id FROM theirs ORDER BY {column} {operator} ruvector_random(8, 0)::vector(8)::{kind}(8) LIMIT 10"
    expected = bare.column(query)
    name, _, options = method.partition(" ")
    bare.execute(f"CREATE INDEX theirs_idx ON theirs USING {name} ({column} {opclass}) {options}")
    bare.execute("INSERT INTO theirs SELECT -id, v, h FROM theirs WHERE id = ANY (%s)", [expected])
    bare.execute("DELETE FROM theirs WHERE id = ANY (%s)", [expected])
    for setting in ("enable_seqscan = off", "ruvector.probes = 10", "ruvector.ef_search = 400"):
        bare.execute(f"SET {setting}")
    assert "Index Scan using theirs_idx" in bare.plan(query)
    assert bare.column(query) == [-number for number in expected]


@pytest.mark.core
def test_unlinking_takes_back_what_linking_made(bare: Database) -> None:
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE EXTENSION ruvector")
    listing = (
        "SELECT format('%s %s', castsource::regtype, casttarget::regtype) FROM pg_cast"
        " UNION ALL SELECT format('%s %s', opcname, opcmethod) FROM pg_opclass"
        " UNION ALL SELECT format('%s %s', opfname, opfmethod) FROM pg_opfamily"
    )
    linked = sorted(bare.column(listing))
    assert bare.value("SELECT ruvector_unlink_pgvector()") > 6
    unlinked = sorted(bare.column(listing))
    # Casts, and a class and a family for every operator class of pgvector's
    assert len(linked) - len(unlinked) == bare.value("SELECT ruvector_link_pgvector()")
    assert sorted(bare.column(listing)) == linked


@pytest.mark.core
def test_calls_that_pgvector_resolves_still_resolve(bare: Database) -> None:
    """Our overloads must not make an untyped literal ambiguous that pgvector alone takes."""
    bare.execute("CREATE EXTENSION vector")
    bare.execute("CREATE TABLE t AS SELECT '[3,4]'::vector AS v, '[3,4]'::halfvec AS h, '{1:3}/2'::sparsevec AS s")
    queries = [
        "vector_norm('[3,4]')", "vector_norm(v)", "v <-> '[0,0]'", "'[0,0]' <-> v", "v <-> h",
        "l2_distance(v, '[0,0]')",
        "l2_norm(h)", "avg(v)::text", "sum(h)::text", "v + '[1,1]'", "v || '[1]'", "v = '[3,4]'", "subvector(v, 1, 1)",
        "v::real[]", "v::halfvec <-> h", "cosine_distance(v, h)", "v <-> s", "l2_normalize(v)", "v * v", "v < '[9]'",
        "binary_quantize(v)", "B'10' <~> B'11'", "hamming_distance(B'10', B'11')", "array_length(v::real[], 1)",
    ]  # fmt: skip
    alone = [bare.value(f"SELECT ({query})::text FROM t") for query in queries]
    bare.execute("CREATE EXTENSION ruvector")
    assert [bare.value(f"SELECT ({query})::text FROM t") for query in queries] == alone


@pytest.mark.core
def test_an_ordinary_user_may_create_ours(server: Server) -> None:
    """The extension is trusted: the owner of a database creates it, and its event triggers run for everyone."""
    name = server.create(())
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS plain_user")
        admin.execute("CREATE ROLE plain_user LOGIN")
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO plain_user").format(sql.Identifier(name)))
    with psycopg.connect(server.dsn(name), autocommit=True) as conn:
        conn.execute("SET SESSION AUTHORIZATION plain_user")
        conn.execute("CREATE EXTENSION ruvector")
        conn.execute("CREATE TABLE t AS SELECT '[1,2]'::ruvector(2) AS v, '[1,2]'::halfvec AS h")
        conn.execute("ALTER TABLE t ALTER COLUMN v TYPE halfvec(2)")
        conn.execute("ALTER TABLE t ADD COLUMN n int")
        if server.has("vector"):
            conn.execute("RESET SESSION AUTHORIZATION")
            conn.execute("CREATE EXTENSION vector")
            conn.execute("SET SESSION AUTHORIZATION plain_user")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="to link ruvector"):
                conn.execute("SELECT ruvector_link_pgvector()")
        found = conn.execute("SELECT h::text, pg_typeof(h)::text ~ 'halfvec' FROM t").fetchone()
        assert found == ("[1,2]", True)
        conn.execute("DROP EXTENSION ruvector CASCADE")
    server.drop(name)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("DROP ROLE plain_user")
