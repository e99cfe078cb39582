# SPDX-License-Identifier: PostgreSQL
"""The migration guide, executed from its first statement to its last, in its order.

Every SQL statement and shell line of the guide that does something stands here as the guide has it; what the guide
leaves open is filled in by name: ``[...]`` is a real vector of 1536 dims, ``query`` and ``query_vector`` are parameters
of a function around the statement, ``your_database`` and ``your_vector_table`` are the names used. Expected results
are the guide's own "Expected" comments. Each test is one section and leaves the database as the next one needs it.

The installation commands of the guide belong to a Rust build; this project's own stand in docs/install.md and are
run by the harness before any test.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg
import pytest

DIMS = 1536
ROWS = 600
SEED = 20260119
CATEGORIES = ("technology", "science", "art")

VECTORS = np.random.default_rng(SEED).normal(size=(ROWS, DIMS)).astype(np.float32)
VECTORS = (VECTORS * 0.02).astype(np.float32)  # so that the guide's radius of 0.5 divides near from far
QUERY = VECTORS[7] + np.float32(0.001)


def literal(vector: np.ndarray[Any, Any]) -> str:
    """The vector's text form, without the quotes."""
    return "[" + ",".join(repr(float(x)) for x in vector) + "]"


def fill(sql: str) -> str:
    """A statement of the guide with its placeholder vectors replaced by a real one."""
    return sql.replace("[0.1, 0.2, ...]", "[...]").replace("[...]", literal(QUERY))


class Guide(NamedTuple):
    """A database in the middle of the guide."""

    conn: psycopg.Connection[Any]
    env: dict[str, str]
    cwd: Path

    def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run one statement of the guide and return its rows ([] when it returns none)."""
        cursor = self.conn.execute(fill(sql), args or None)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def value(self, sql: str) -> Any:
        """The only column of the only row."""
        ((value,),) = self.rows(sql)
        return value

    def plan(self, sql: str) -> str:
        """EXPLAIN's text."""
        return "\n".join(str(row[0]) for row in self.rows(sql))

    def shell(self, script: str) -> str:
        """Run shell lines of the guide with the server's own programs; return what they print."""
        done = subprocess.run(
            ["bash", "-euc", script], env=self.env, cwd=self.cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def guide(pgvector_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """A database called your_database with pgvector, filled as the guide assumes it to be."""
    server = pgvector_server
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS your_database")
        admin.execute("CREATE DATABASE your_database")
    env = dict(os.environ) | server.environment("your_database")
    with psycopg.connect(server.dsn("your_database"), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION vector")
        conn.execute(
            f"""CREATE TABLE items (id int PRIMARY KEY, content text, metadata jsonb, embedding vector({DIMS}),
                created_at timestamp DEFAULT now(), category text)"""
        )
        with (
            conn.cursor() as cursor,
            cursor.copy("COPY items (id, content, metadata, embedding, category) FROM STDIN") as copy,
        ):
            for i, vector in enumerate(VECTORS):
                copy.write_row((i, f"row {i}", f'{{"n": {i}}}', literal(vector), CATEGORIES[i % 3]))
        conn.execute(
            "CREATE INDEX items_hnsw ON items USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)"
        )
        conn.execute("ANALYZE items")
        yield Guide(conn, env, tmp_path_factory.mktemp("guide"))
        for name in ("ruvector.ef_search", "ruvector.probes", "shared_buffers", "maintenance_work_mem", "work_mem"):
            conn.execute(f"ALTER SYSTEM RESET {name}")  # type: ignore[arg-type]
        conn.execute("SELECT pg_reload_conf()")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE your_database WITH (FORCE)")


# ---- Pre-Migration Checklist ------------------------------------------------------------------------------------


def test_compatibility_assessment(guide: Guide) -> None:
    version = guide.value("SELECT extversion FROM pg_extension WHERE extname = 'vector';")
    assert re.match(r"0\.[5-8]\.\d+$", version)
    vector_types = """
        SELECT DISTINCT
            n.nspname AS schema,
            c.relname AS table,
            a.attname AS column,
            t.typname AS type
        FROM pg_attribute a
        JOIN pg_class c ON a.attrelid = c.oid
        JOIN pg_namespace n ON c.relnamespace = n.oid
        JOIN pg_type t ON a.atttypid = t.oid
        WHERE t.typname IN ('vector', 'halfvec', 'sparsevec')
        ORDER BY schema, table, column;
        """
    # PostgreSQL's own parser refuses the guide's text: "table" and "column" are reserved words. Quoted, it runs.
    with pytest.raises(psycopg.errors.SyntaxError, match='at or near "table"'):
        guide.rows(vector_types)
    types = guide.rows(vector_types.replace("schema, table, column;", 'schema, "table", "column";'))
    assert ("public", "items", "embedding", "vector") in types
    indexes = guide.rows(
        """
        SELECT
            schemaname,
            tablename,
            indexname,
            indexdef
        FROM pg_indexes
        WHERE indexdef LIKE '%%vector%%'
        ORDER BY schemaname, tablename;
        """.replace("%%", "%")
    )
    assert any(row[2] == "items_hnsw" and "USING hnsw" in row[3] for row in indexes)


def test_backup_current_state(guide: Guide) -> None:
    guide.shell("pg_dump -Fc -f backup_before_migration_$(date +%Y%m%d).dump your_database")
    guide.shell("""psql -c "SELECT extversion FROM pg_extension WHERE extname = 'vector'" > pgvector_version.txt""")
    guide.shell(
        r"""
        your_vector_table=items
        psql -c "\COPY (SELECT * FROM $your_vector_table) TO 'vector_data_export.csv' WITH CSV HEADER"
        """
    )
    (dump,) = guide.cwd.glob("backup_before_migration_*.dump")
    assert dump.stat().st_size > ROWS * DIMS
    assert re.search(r"0\.[5-8]\.\d", (guide.cwd / "pgvector_version.txt").read_text())
    assert len((guide.cwd / "vector_data_export.csv").read_text().splitlines()) == ROWS + 1


def exact_count(radius: float) -> int:
    """Rows within a radius of the query, by numpy in float64."""
    return int((np.linalg.norm(VECTORS.astype(np.float64) - QUERY.astype(np.float64), axis=1) < radius).sum())


def test_performance_baseline(guide: Guide) -> None:
    assert guide.value("SELECT COUNT(*) FROM items WHERE embedding <-> '[...]'::vector < 0.5;") == exact_count(0.5)
    plan = guide.plan(
        """
        EXPLAIN ANALYZE
        SELECT * FROM items
        ORDER BY embedding <-> '[...]'::vector
        LIMIT 10;
        """
    )
    assert "Planning Time" in plan and "Execution Time" in plan


# ---- Step 1: Install --------------------------------------------------------------------------------------------


def test_install(guide: Guide) -> None:
    guide.rows("CREATE EXTENSION ruvector;")
    assert guide.value("SELECT ruvector_version();") == "0.1.19"
    names = guide.rows("SELECT extname, extversion FROM pg_extension WHERE extname IN ('vector', 'ruvector');")
    assert {name for name, _ in names} == {"vector", "ruvector"}


# ---- Step 2: Schema Conversion ----------------------------------------------------------------------------------


def test_type_mapping(guide: Guide) -> None:
    guide.rows("CREATE TABLE mapped (a ruvector(3), b halfvec(3), c sparsevec(3))")
    guide.rows("INSERT INTO mapped VALUES ('[1,2,3]', '[1,2,3]', '{1:1,3:3}/3')")
    assert guide.rows("SELECT a::text, b::text, c::text FROM mapped") == [("[1,2,3]", "[1,2,3]", "{1:1,3:3}/3")]
    guide.rows("DROP TABLE mapped")


CREATE_PARALLEL = """
CREATE TABLE items_ruvector (
    id INT PRIMARY KEY,
    content TEXT,
    metadata JSONB,
    embedding ruvector(1536),
    created_at TIMESTAMP DEFAULT NOW()
);
"""


def test_table_creation_parallel(guide: Guide) -> None:
    guide.rows(CREATE_PARALLEL)
    guide.rows(
        """
        INSERT INTO items_ruvector (id, content, metadata, embedding, created_at)
        SELECT id, content, metadata, embedding::ruvector, created_at
        FROM items;
        """
    )
    counts = guide.rows(
        """
        SELECT
            (SELECT COUNT(*) FROM items) AS pgvector_count,
            (SELECT COUNT(*) FROM items_ruvector) AS ruvector_count;
        """
    )
    assert counts == [(ROWS, ROWS)]
    assert guide.value(
        "SELECT bool_and(a.embedding::text = b.embedding::text) FROM items a JOIN items_ruvector b USING (id)"
    )


def test_table_creation_in_place(guide: Guide) -> None:
    """Inside a transaction that is rolled back: the following steps go on with the parallel tables."""
    guide.rows("BEGIN")
    guide.rows("ALTER TABLE items RENAME TO items_pgvector;")
    guide.rows("ALTER TABLE items_pgvector RENAME CONSTRAINT items_pkey TO items_pgvector_pkey")
    guide.rows(CREATE_PARALLEL.replace("items_ruvector", "items"))
    guide.rows(
        """
        INSERT INTO items (id, content, metadata, embedding, created_at)
        SELECT id, content, metadata, embedding::ruvector, created_at
        FROM items_pgvector;
        """
    )
    assert guide.value("SELECT COUNT(*) FROM items;") == ROWS
    assert guide.value("SELECT COUNT(*) FROM items_pgvector;") == ROWS
    guide.rows("DROP TABLE items_pgvector;")  # Step 7, in-place
    assert guide.value("SELECT COUNT(*) FROM items;") == ROWS
    guide.rows("ROLLBACK")


# ---- Step 3: Index Migration ------------------------------------------------------------------------------------

NEAREST = """
SELECT * FROM items_ruvector
ORDER BY embedding <-> '[...]'::ruvector
LIMIT 10;
"""

EXACT = np.argsort(np.linalg.norm(VECTORS.astype(np.float64) - QUERY.astype(np.float64), axis=1), kind="stable")

HNSW = [
    "WITH (m = 16, ef_construction = 64);",
    "WITH (m = 32, ef_construction = 200);",
    "WITH (m = 32, ef_construction = 200, quantization = 'sq8');",
]


@pytest.mark.parametrize("options", HNSW)
def test_create_hnsw_index(guide: Guide, options: str) -> None:
    guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
    guide.rows(
        f"""
        CREATE INDEX items_embedding_idx ON items_ruvector
        USING ruhnsw (embedding ruvector_l2_ops)
        {options}
        """
    )
    guide.rows("SELECT * FROM pg_stat_progress_create_index;")
    assert "Index Scan using items_embedding_idx" in guide.plan("EXPLAIN " + NEAREST)
    found = [row[0] for row in guide.rows(NEAREST)]
    assert len(set(found) & set(EXACT[:10].tolist())) >= 9  # isotropic noise of 1536 dims: the hardest case for a graph


@pytest.mark.parametrize("options", ["WITH (lists = 100);", "WITH (lists = 1000);"])
def test_create_ivfflat_index(guide: Guide, options: str) -> None:
    guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
    guide.rows(
        f"""
        CREATE INDEX items_embedding_idx ON items_ruvector
        USING ruivfflat (embedding ruvector_l2_ops)
        {options}
        """
    )
    assert "Index Scan using items_embedding_idx" in guide.plan("EXPLAIN " + NEAREST)
    guide.rows("SET ruvector.probes = 1000")
    found = [row[0] for row in guide.rows(NEAREST)]
    guide.rows("RESET ruvector.probes")
    assert found == EXACT[:10].tolist()  # every list probed: exact


# ---- Step 4: Query Conversion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["<->", "<#>", "<=>", "<+>"])
def test_operator_mapping(guide: Guide, operator: str) -> None:
    differing = guide.value(
        f"""
        SELECT count(*) FROM items p JOIN items_ruvector r USING (id)
        WHERE abs((p.embedding {operator} '[...]'::vector) - (r.embedding {operator} '[...]'::ruvector)) > 1e-5
        """
    )
    assert differing == 0


@pytest.fixture
def hnsw_index(guide: Guide) -> None:
    """The index as the guide's first example makes it."""
    guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
    guide.rows(
        """
        CREATE INDEX items_embedding_idx ON items_ruvector
        USING ruhnsw (embedding ruvector_l2_ops)
        WITH (m = 16, ef_construction = 64);
        """
    )


@pytest.mark.usefixtures("hnsw_index")
def test_basic_similarity_search(guide: Guide) -> None:
    before = guide.rows(
        """
        SELECT * FROM items
        ORDER BY embedding <-> '[0.1, 0.2, ...]'::vector
        LIMIT 10;
        """
    )
    after = guide.rows(
        """
        SELECT * FROM items_ruvector
        ORDER BY embedding <-> '[0.1, 0.2, ...]'::ruvector
        LIMIT 10;
        """
    )
    assert len(before) == len(after) == 10
    assert after[0][0] == before[0][0] == 7


@pytest.mark.usefixtures("hnsw_index")
def test_filtered_search(guide: Guide) -> None:
    guide.rows("ALTER TABLE items_ruvector ADD COLUMN category text")
    guide.rows("UPDATE items_ruvector r SET category = i.category FROM items i WHERE i.id = r.id")
    guide.rows(
        """
        CREATE FUNCTION filtered(query_vector ruvector) RETURNS SETOF items_ruvector STABLE LANGUAGE sql AS $$
        SELECT * FROM items_ruvector
        WHERE category = 'technology'
        ORDER BY embedding <-> query_vector
        LIMIT 10;
        $$
        """
    )
    found = [row[0] for row in guide.rows("SELECT * FROM filtered('[...]')")]
    expected = [int(i) for i in EXACT if CATEGORIES[i % 3] == "technology"][:10]
    assert len(found) == 10
    assert len(set(found) & set(expected)) >= 9
    guide.rows("DROP FUNCTION filtered(ruvector)")
    guide.rows("ALTER TABLE items_ruvector DROP COLUMN category")


@pytest.mark.usefixtures("hnsw_index")
def test_distance_threshold(guide: Guide) -> None:
    before = guide.rows(
        """
        SELECT * FROM items
        WHERE embedding <-> '[...]'::vector < 0.5;
        """
    )
    after = guide.rows(
        """
        SELECT * FROM items_ruvector
        WHERE embedding <-> '[...]'::ruvector < 0.5;
        """
    )
    assert {row[0] for row in before} == {row[0] for row in after}
    assert len(after) == exact_count(0.5)


# ---- Step 5: Validation -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hnsw_index")
def test_functional_validation(guide: Guide) -> None:
    """Both sides search exactly as many candidates as make the comparison one of results, not of two indexes."""
    guide.rows("SET hnsw.ef_search = 1000")
    guide.rows("SET ruvector.ef_search = 1000")
    differing = guide.rows(
        """
        WITH pgvector_results AS (
            SELECT id, embedding <-> '[...]'::vector AS distance
            FROM items
            ORDER BY distance
            LIMIT 100
        ),
        ruvector_results AS (
            SELECT id, embedding <-> '[...]'::ruvector AS distance
            FROM items_ruvector
            ORDER BY distance
            LIMIT 100
        )
        SELECT
            p.id AS pg_id,
            r.id AS ru_id,
            p.distance AS pg_dist,
            r.distance AS ru_dist,
            p.id = r.id AS id_match,
            abs(p.distance - r.distance) < 0.0001 AS distance_match
        FROM pgvector_results p
        FULL OUTER JOIN ruvector_results r ON p.id = r.id
        WHERE p.id != r.id OR abs(p.distance - r.distance) >= 0.0001;
        """
    )
    guide.rows("RESET hnsw.ef_search")
    guide.rows("RESET ruvector.ef_search")
    assert differing == []


@pytest.mark.usefixtures("hnsw_index")
def test_performance_validation(guide: Guide) -> None:
    count = guide.value("SELECT COUNT(*) FROM items_ruvector WHERE embedding <-> '[...]'::ruvector < 0.5;")
    assert count == exact_count(0.5)
    plan = guide.plan(
        """
        EXPLAIN ANALYZE
        SELECT * FROM items_ruvector
        ORDER BY embedding <-> '[...]'::ruvector
        LIMIT 10;
        """
    )
    assert "Index Scan using items_embedding_idx" in plan
    assert "Planning Time" in plan and "Execution Time" in plan


def test_data_integrity_checks(guide: Guide) -> None:
    counts = guide.rows(
        """
        SELECT
            (SELECT COUNT(*) FROM items) AS pgvector_count,
            (SELECT COUNT(*) FROM items_ruvector) AS ruvector_count,
            (SELECT COUNT(*) FROM items) = (SELECT COUNT(*) FROM items_ruvector) AS counts_match;
        """
    )
    assert counts == [(ROWS, ROWS, True)]
    assert guide.value("SELECT COUNT(*) FROM items_ruvector WHERE embedding IS NULL;") == 0
    dims = guide.rows(
        """
        SELECT DISTINCT array_length(embedding::float4[], 1) AS dims
        FROM items_ruvector;
        """
    )
    assert dims == [(DIMS,)]


# ---- Step 6: Application Updates --------------------------------------------------------------------------------


@pytest.mark.usefixtures("hnsw_index")
def test_application_query(guide: Guide) -> None:
    """A parameter of unknown type, as psycopg2, pg and pgx send it: the vector's text."""
    query_vector = literal(QUERY)
    with guide.conn.cursor() as cursor:
        cursor.execute(
            """
            SELECT * FROM items_ruvector
            ORDER BY embedding <-> %s
            LIMIT 10
            """,
            (query_vector,),
        )
        rows = cursor.fetchall()
    assert len(rows) == 10 and rows[0][0] == 7
    guide.rows(
        "PREPARE node_and_go AS " + "SELECT * FROM items_ruvector ORDER BY embedding <-> $1 LIMIT 10",
    )
    assert guide.rows("EXECUTE node_and_go('[...]')")[0][0] == 7


# ---- Step 7: Cutover --------------------------------------------------------------------------------------------


def test_cutover_parallel(guide: Guide) -> None:
    guide.rows("INSERT INTO items SELECT id + 10000, content, metadata, embedding FROM items WHERE id < 5")
    guide.rows(
        """
        INSERT INTO items_ruvector (id, content, metadata, embedding, created_at)
        SELECT id, content, metadata, embedding::ruvector, created_at
        FROM items
        WHERE id NOT IN (SELECT id FROM items_ruvector)
        ON CONFLICT (id) DO NOTHING;
        """
    )
    assert guide.value("SELECT count(*) FROM items_ruvector") == ROWS + 5
    guide.rows("BEGIN;")
    guide.rows("ALTER TABLE items RENAME TO items_pgvector_old;")
    guide.rows("ALTER TABLE items_ruvector RENAME TO items;")
    guide.rows("COMMIT;")
    assert guide.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "ruvector"


# ---- Performance Tuning -----------------------------------------------------------------------------------------


def test_configure_guc_variables(guide: Guide, pgvector_server: Any) -> None:
    with psycopg.connect(pgvector_server.dsn("your_database"), autocommit=True) as fresh:
        fresh.execute("ALTER SYSTEM SET ruvector.ef_search = 100;")
        fresh.execute("ALTER SYSTEM SET ruvector.probes = 10;")
        fresh.execute("SELECT pg_reload_conf();")
        fresh.execute("SET ruvector.ef_search = 200;")
        assert fresh.execute("SHOW ruvector.ef_search").fetchone() == ("200",)
        fresh.execute("SET ruvector.ef_search = 40;")
        assert fresh.execute("SHOW ruvector.ef_search").fetchone() == ("40",)
    for _ in range(100):  # the postmaster reloads when it gets round to it
        with psycopg.connect(pgvector_server.dsn("your_database"), autocommit=True) as later:
            later.execute("SELECT ruvector_version()")
            shown = tuple(later.execute(f"SHOW ruvector.{name}").fetchone() for name in ("ef_search", "probes"))
        if shown == (("100",), ("10",)):
            return
    pytest.fail(f"after ALTER SYSTEM and a reload a new session shows {shown}")


@pytest.mark.usefixtures("renamed_index")
def test_index_optimization(guide: Guide) -> None:
    cursor = guide.conn.execute("SELECT * FROM ruvector_index_stats('items_embedding_idx');")
    assert cursor.description is not None
    stats = dict(zip([c.name for c in cursor.description], cursor.fetchone() or (), strict=True))
    assert stats["index_name"] == "items_embedding_idx"
    assert stats["vector_count"] == ROWS + 5
    assert stats["dimensions"] == DIMS
    assert stats["index_size_mb"] > 0
    assert stats["build_time_seconds"] >= 0
    assert stats["fragmentation_pct"] >= 0
    guide.rows("DROP INDEX items_embedding_idx;")
    guide.rows(
        """
        CREATE INDEX items_embedding_idx ON items
        USING ruhnsw (embedding ruvector_l2_ops)
        WITH (
            m = 32,                    -- Higher for better recall
            ef_construction = 200,     -- Higher for better build quality
            quantization = 'sq8'       -- Optional: 4x memory reduction
        );
        """
    )


@pytest.fixture
def renamed_index(guide: Guide) -> None:
    """The index on the table that is called items after the cutover."""
    guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
    guide.rows("CREATE INDEX items_embedding_idx ON items USING ruhnsw (embedding ruvector_l2_ops)")


@pytest.mark.usefixtures("renamed_index")
def test_query_optimization(guide: Guide) -> None:
    guide.rows(
        """
        CREATE FUNCTION explained(query ruvector) RETURNS SETOF text LANGUAGE plpgsql AS $$
        BEGIN
            RETURN QUERY EXECUTE format($explain$
                EXPLAIN (ANALYZE, BUFFERS)
                SELECT * FROM items
                ORDER BY embedding <-> %L::ruvector
                LIMIT 10
            $explain$, query);
        END $$
        """
    )
    plan = guide.plan("SELECT explained('[...]')")
    assert "Index Scan using items_embedding_idx" in plan
    assert re.search(r"Buffers: shared hit=\d+", plan)


def test_memory_tuning(guide: Guide) -> None:
    guide.rows("ALTER SYSTEM SET shared_buffers = '8GB';")
    guide.rows("ALTER SYSTEM SET maintenance_work_mem = '2GB';")
    guide.rows("ALTER SYSTEM SET work_mem = '256MB';")
    guide.rows("SELECT pg_reload_conf();")
    for name in ("shared_buffers", "maintenance_work_mem", "work_mem"):
        guide.rows(f"ALTER SYSTEM RESET {name}")
    guide.rows("SELECT pg_reload_conf();")


# ---- Troubleshooting --------------------------------------------------------------------------------------------


def test_type_conversion_errors(guide: Guide) -> None:
    for expression in ("embedding::text::ruvector", "(embedding::text)::ruvector"):
        guide.rows("CREATE TABLE items_ruvector (embedding ruvector(1536))")
        guide.rows(
            f"""
            INSERT INTO items_ruvector (embedding)
            SELECT {expression} FROM items;
            """
        )
        assert guide.value("SELECT count(*) FROM items_ruvector") == ROWS + 5
        guide.rows("DROP TABLE items_ruvector")


@pytest.mark.parametrize("options", ["WITH (m = 8, ef_construction = 32);", "WITH (quantization = 'pq16');"])
def test_index_build_in_little_memory(guide: Guide, options: str) -> None:
    guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
    guide.rows("SET maintenance_work_mem = '8GB';")
    guide.rows(
        f"""
        CREATE INDEX items_embedding_idx ON items
        USING ruhnsw (embedding ruvector_l2_ops)
        {options}
        """
    )
    guide.rows("RESET maintenance_work_mem")
    found = guide.rows("SELECT id FROM items ORDER BY embedding <-> '[...]'::ruvector LIMIT 1")
    assert found[0][0] in (7, 10007)


@pytest.mark.usefixtures("renamed_index")
def test_performance_diagnosis(guide: Guide) -> None:
    assert guide.value("SELECT ruvector_simd_info();").split()[0] in ("AVX2", "AVX512", "NEON")
    assert "Index Scan using items_embedding_idx" in guide.plan(
        "EXPLAIN SELECT * FROM items ORDER BY embedding <-> '[...]'::ruvector LIMIT 10;"
    )
    assert int(guide.value("SHOW ruvector.ef_search;")) >= 1
    guide.rows("SET ruvector.ef_search = 100;")
    guide.rows("RESET ruvector.ef_search")


def test_results_differ(guide: Guide) -> None:
    ((largest, average),) = guide.rows(
        """
        WITH pgvector_results AS (SELECT id, embedding <-> '[...]'::vector AS distance FROM items_pgvector_old),
        ruvector_results AS (SELECT id, embedding <-> '[...]'::ruvector AS distance FROM items),
        comparison AS (
            SELECT
                p.id,
                p.distance AS pg_dist,
                r.distance AS ru_dist,
                abs(p.distance - r.distance) AS diff
            FROM pgvector_results p
            JOIN ruvector_results r ON p.id = r.id
        )
        SELECT
            MAX(diff) AS max_difference,
            AVG(diff) AS avg_difference
        FROM comparison;
        """
    )
    assert largest < 0.0001
    assert average < 0.00001


# ---- Schema Compatibility Notes ---------------------------------------------------------------------------------

FUNCTIONS = [
    ("vector_dims(v)", "ruvector_dims(v)"),
    ("vector_norm(v)", "ruvector_norm(v)"),
    ("l2_distance(v, w)", "ruvector_l2_distance(v, w)"),
    ("cosine_distance(v, w)", "ruvector_cosine_distance(v, w)"),
    ("inner_product(v, w)", "ruvector_ip_distance(v, w)"),
]


@pytest.mark.parametrize(("before", "after"), FUNCTIONS)
def test_compatible_sql_functions(guide: Guide, before: str, after: str) -> None:
    values = [
        guide.value(f"SELECT {call} FROM (SELECT '[1,2,3]'::{kind} AS v, '[3,-1,0.5]'::{kind} AS w) AS x")
        for call, kind in ((before, "vector"), (after, "ruvector"), (before, "ruvector"))
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert values[2] == pytest.approx(values[0], rel=1e-6)


@pytest.mark.usefixtures("renamed_index")
def test_new_features(guide: Guide) -> None:
    for quantization in ("none", "f16", "sq8", "pq16", "binary"):
        guide.rows(f"CREATE INDEX extra ON items USING ruhnsw (embedding) WITH (quantization = '{quantization}');")
        guide.rows("DROP INDEX extra")
    guide.rows("CREATE TABLE halves (embedding halfvec(1536));")
    guide.rows("INSERT INTO halves SELECT embedding::text::halfvec FROM items LIMIT 3")
    assert guide.value("SELECT count(*) FROM halves") == 3
    guide.rows("DROP TABLE halves")
    guide.rows("SELECT ruvector_index_maintenance('items_embedding_idx');")
    assert guide.rows("SELECT * FROM ruvector_memory_stats();")


# ---- Rollback Plan ----------------------------------------------------------------------------------------------


def test_rollback_from_parallel(guide: Guide) -> None:
    guide.rows("BEGIN;")
    guide.rows("ALTER TABLE items RENAME TO items_ruvector;")
    guide.rows("ALTER TABLE items_pgvector_old RENAME TO items;")
    guide.rows("COMMIT;")
    guide.rows("DROP EXTENSION ruvector CASCADE;")
    assert guide.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "vector"
    assert guide.value("SELECT count(*) FROM items WHERE embedding <-> '[...]'::vector < 100") == ROWS + 5


def test_rollback_from_in_place(guide: Guide) -> None:
    guide.rows("DROP TABLE items, items_ruvector")
    guide.shell("mv backup_before_migration_*.dump backup_before_migration.dump")
    guide.rows("DROP EXTENSION vector CASCADE")
    guide.shell("pg_restore -d your_database backup_before_migration.dump")
    assert str(ROWS) in guide.shell('psql -c "SELECT COUNT(*) FROM items" your_database')
