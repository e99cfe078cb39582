# SPDX-License-Identifier: PostgreSQL
"""The migration guide, executed from its first statement to its last, in its order and as it is written.

Expected results are the guide's own "Expected" comments. Each test is one section and leaves the database as the next one
needs it; guide_steps.py sees to it that nothing is left out. On a server without pgvector the columns that are migrated
are of type ruvector already; everything else is the same.

The installation commands of the guide belong to a Rust build; this project's own stand in docs/install.md and are
run by the harness before any test. Its Python, Node.js and Go examples run in tests/clients with those drivers; here with
the parameter that they send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from guide_steps import CATEGORIES, DATABASE, DIMS, QUERY, ROWS, VECTORS, Guide, literal
from harness import Server, installations

from ruvector_fdw.server import Installation

DISTANCES = np.linalg.norm(VECTORS.astype(np.float64) - QUERY.astype(np.float64), axis=1)
EXACT = np.argsort(DISTANCES, kind="stable")
WITHIN = int((DISTANCES < 0.5).sum())


@pytest.fixture(scope="module", params=installations(), ids=lambda one: f"pg{one.major}")
def guide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, scratch: Path) -> Iterator[Guide]:
    """A database called your_database, filled as the guide assumes it to be, on a server of its own."""
    installation: Installation = request.param
    server = Server(installation, scratch / f"{installation.tag}-guide")
    made = Guide(server, tmp_path_factory.mktemp("guide"))
    yield made
    made.close()
    server.stop("immediate")


# ---- Pre-Migration Checklist ------------------------------------------------------------------------------------


def test_compatibility_assessment(guide: Guide) -> None:
    version, vector_types, indexes = guide.take("Compatibility Assessment")
    found = guide.rows(version)
    assert len(found) == guide.has_pgvector
    assert all(re.match(r"0\.[5-8]\.\d+$", row[0]) for row in found)  # Supported: 0.5.0 - 0.8.0
    # PostgreSQL's own parser refuses the guide's text: "table" and "column" are reserved words. Quoted, it runs.
    with pytest.raises(psycopg.errors.SyntaxError, match='at or near "table"'):
        guide.rows(vector_types)
    types = guide.rows(vector_types.replace("schema, table, column;", 'schema, "table", "column";'))
    assert (("public", "items", "embedding", "vector") in types) == guide.has_pgvector
    # a default operator class is not shown, and with it nothing of the type
    assert any(row[2] == "items_hnsw" and "vector_l2_ops" in row[3] for row in guide.rows(indexes)) == guide.has_pgvector


def test_backup_current_state(guide: Guide) -> None:
    guide.shell("pg_dump -Fc -f backup_before_migration_$(date +%Y%m%d).dump your_database")
    guide.shell("""psql -c "SELECT extversion FROM pg_extension WHERE extname = 'vector'" > pgvector_version.txt""")
    guide.rows("CREATE VIEW your_vector_table AS TABLE items")
    guide.shell(
        r"""psql -c "\COPY (SELECT * FROM your_vector_table) TO 'vector_data_export.csv' WITH CSV HEADER" """
    )
    guide.rows("DROP VIEW your_vector_table")
    (dump,) = guide.cwd.glob("backup_before_migration_*.dump")
    assert dump.stat().st_size > ROWS * DIMS
    assert not guide.has_pgvector or re.search(r"0\.[5-8]\.\d", (guide.cwd / "pgvector_version.txt").read_text())
    assert len((guide.cwd / "vector_data_export.csv").read_text().splitlines()) == ROWS + 1


def measured(guide: Guide, section: str) -> str:
    """Run a section of \\timing, a count within 0.5 and EXPLAIN ANALYZE; return the plan."""
    timing, count, explain = guide.take(section)
    printed = guide.psql([timing, count])
    assert re.search(rf"^ +{WITHIN}$", printed, re.MULTILINE) and re.search(r"^Time: ", printed, re.MULTILINE), printed
    plan = guide.plan(explain)
    assert "Planning Time" in plan and "Execution Time" in plan and "rows=10" in plan
    return plan


def test_performance_baseline(guide: Guide) -> None:
    measured(guide, "Performance Baseline")


# ---- Step 1: Install --------------------------------------------------------------------------------------------


def test_install(guide: Guide) -> None:
    create, version, both = guide.take("Install")
    if guide.has_pgvector:
        guide.rows(create)
    else:  # it is there already; in a database without it
        with guide.server.connect(()) as fresh:
            guide.rows(create, fresh)
    assert guide.value(version) == "0.1.19"
    assert {name for name, _ in guide.rows(both)} == {guide.source, "ruvector"}


# ---- Step 2: Schema Conversion ----------------------------------------------------------------------------------


def test_type_mapping(guide: Guide) -> None:
    guide.rows("CREATE TABLE mapped (a ruvector(3), b halfvec(3), c sparsevec(3))")
    guide.rows("INSERT INTO mapped VALUES ('[1,2,3]', '[1,2,3]', '{1:1,3:3}/3')")
    assert guide.rows("SELECT a::text, b::text, c::text FROM mapped") == [("[1,2,3]", "[1,2,3]", "{1:1,3:3}/3")]
    guide.rows("DROP TABLE mapped")


def test_table_creation_parallel(guide: Guide) -> None:
    create, copy, counts = guide.take("Table Creation, Parallel Deployment")
    guide.rows(create)
    guide.rows(copy)
    assert guide.rows(counts) == [(ROWS, ROWS)]
    assert guide.value(
        "SELECT bool_and(a.embedding::text = b.embedding::text) FROM items a JOIN items_ruvector b USING (id)"
    )


def test_table_creation_in_place(guide: Guide) -> None:
    """In a schema of its own: the following steps go on with the parallel tables."""
    rename, create, copy, after, before = guide.take("Table Creation, In-Place Migration")
    guide.rows("CREATE SCHEMA in_place; CREATE TABLE in_place.items (LIKE items INCLUDING ALL)")
    guide.rows("INSERT INTO in_place.items TABLE items; SET search_path = in_place, public")
    for statement in (rename, create, copy):
        guide.rows(statement)
    assert guide.value(after) == guide.value(before) == ROWS
    assert guide.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "ruvector"
    guide.rows("RESET search_path")


# ---- Step 3: Index Migration ------------------------------------------------------------------------------------

NEAREST = "SELECT id FROM items_ruvector ORDER BY embedding <-> '[...]'::ruvector LIMIT 10"


def test_create_hnsw_index(guide: Guide) -> None:
    *creates, progress = guide.take("Create HNSW Index")
    assert ["m = 16" in creates[0], "m = 32" in creates[1], "'sq8'" in creates[2]] == [True] * 3
    for create in creates:
        guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
        guide.rows(create)
        assert "Index Scan using items_embedding_idx" in guide.plan("EXPLAIN " + NEAREST)
        found = [row[0] for row in guide.rows(NEAREST)]
        # isotropic noise of 1536 dims: the hardest case for a graph
        assert len(set(found) & set(EXACT[:10].tolist())) >= 9
    guide.rows(progress)


def test_create_ivfflat_index(guide: Guide) -> None:
    for create in guide.take("Create IVFFlat Index"):
        guide.rows("DROP INDEX IF EXISTS items_embedding_idx")
        guide.rows(create)
        assert "Index Scan using items_embedding_idx" in guide.plan("EXPLAIN " + NEAREST)
        guide.rows("SET ruvector.probes = 1000")
        found = [row[0] for row in guide.rows(NEAREST)]
        guide.rows("RESET ruvector.probes")
        assert found == EXACT[:10].tolist()  # every list probed: exact


# ---- Step 4: Query Conversion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["<->", "<#>", "<=>", "<+>"])
def test_operator_mapping(guide: Guide, operator: str) -> None:
    apart = guide.value(
        f"""
        SELECT max(abs(before - after) / (1 + abs(before))) FROM
            (SELECT id, embedding {operator} '[...]'::vector AS before FROM items) p JOIN
            (SELECT id, embedding {operator} '[...]'::ruvector AS after FROM items_ruvector) r USING (id)
        """
    )
    assert apart < 1e-6  # both sum 1536 terms in float32, in different orders


def test_basic_similarity_search(guide: Guide) -> None:
    guide.index("items_ruvector", "WITH (m = 16, ef_construction = 64)")
    before, after = (guide.rows(statement) for statement in guide.take("Basic Similarity Search"))
    assert len(before) == len(after) == 10
    assert after[0][0] == before[0][0] == 7


def test_filtered_search(guide: Guide) -> None:
    guide.rows("ALTER TABLE items_ruvector ADD COLUMN category text")
    guide.rows("UPDATE items_ruvector r SET category = i.category FROM items i WHERE i.id = r.id")
    guide.rows("SET hnsw.iterative_scan = strict_order" if guide.has_pgvector else "SELECT")
    before, after = (guide.rows(statement) for statement in guide.take("Filtered Search"))
    expected = [int(i) for i in EXACT if CATEGORIES[i % 3] == "technology"][:10]
    for found in (before, after):
        assert len(found) == 10
        assert len({row[0] for row in found} & set(expected)) >= 9
    guide.rows("ALTER TABLE items_ruvector DROP COLUMN category")


def test_distance_threshold(guide: Guide) -> None:
    before, after = (guide.rows(statement) for statement in guide.take("Distance Threshold"))
    assert {row[0] for row in before} == {row[0] for row in after}
    assert len(after) == WITHIN > 0


# ---- Step 5: Validation -----------------------------------------------------------------------------------------


def test_functional_validation(guide: Guide) -> None:
    """Both sides search exactly as many candidates as make the comparison one of results, not of two indexes."""
    (compare,) = guide.take("Functional Validation")
    guide.rows("SET hnsw.ef_search = 1000; SET ruvector.ef_search = 1000")
    assert guide.rows(compare) == []  # Expected: Empty result set (all rows match)
    guide.rows("RESET hnsw.ef_search; RESET ruvector.ef_search")


def test_performance_validation(guide: Guide) -> None:
    assert "Index Scan using items_embedding_idx" in measured(guide, "Performance Validation")


def test_data_integrity_checks(guide: Guide) -> None:
    counts, nulls, dims = guide.take("Data Integrity Checks")
    assert guide.rows(counts) == [(ROWS, ROWS, True)]
    assert guide.value(nulls) == 0
    assert guide.rows(dims) == [(DIMS,)]  # Expected: Single row with correct dimension count


# ---- Step 6: Application Updates --------------------------------------------------------------------------------


def test_application_query(guide: Guide) -> None:
    """A parameter of unknown type, as psycopg2, pg and pgx send it: the vector's text."""
    query_vector = literal(QUERY)
    with guide.conn.cursor() as cursor:
        for statement in (
            """
    SELECT * FROM items
    ORDER BY embedding <-> %s
    LIMIT 10
""",
            """
    SELECT * FROM items_ruvector
    ORDER BY embedding <-> %s
    LIMIT 10
""",
        ):
            cursor.execute(statement, (query_vector,))
            rows = cursor.fetchall()
            assert len(rows) == 10 and rows[0][0] == 7
    for table in ("items", "items_ruvector"):
        guide.rows(f"PREPARE {table}_of_node_and_go AS SELECT * FROM {table} ORDER BY embedding <-> $1 LIMIT 10")
        assert guide.rows(f"EXECUTE {table}_of_node_and_go('[...]')")[0][0] == 7


# ---- Step 7: Cutover --------------------------------------------------------------------------------------------


def test_cutover_parallel(guide: Guide) -> None:
    guide.rows("INSERT INTO items SELECT id + 10000, content, metadata, embedding FROM items WHERE id < 5")
    synchronise, *rename = guide.take("Cutover, Parallel Deployment")
    guide.rows(synchronise)
    assert guide.value("SELECT count(*) FROM items_ruvector") == ROWS + 5
    for statement in rename:
        guide.rows(statement)
    assert guide.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "ruvector"
    assert guide.value("SELECT id FROM items ORDER BY embedding <-> '[...]' LIMIT 1") == 7


def test_cutover_in_place(guide: Guide) -> None:
    (drop,) = guide.take("Cutover, In-Place Migration")
    guide.rows("SET search_path = in_place, public")
    guide.rows(drop)
    assert guide.value("SELECT COUNT(*) FROM in_place.items") == ROWS
    guide.rows("RESET search_path; DROP SCHEMA in_place CASCADE")


# ---- Performance Tuning -----------------------------------------------------------------------------------------


def test_configure_guc_variables(guide: Guide) -> None:
    *globally, high_recall, low_latency = guide.take("Configure GUC Variables")
    with psycopg.connect(guide.server.dsn(DATABASE), autocommit=True) as fresh:
        if guide.server.major < 17:  # ALTER SYSTEM knows no setting of a library that the session has not loaded
            with pytest.raises(psycopg.errors.UndefinedObject):
                fresh.execute("ALTER SYSTEM SET ruvector.ef_search = 100")
            fresh.execute("LOAD 'ruvector'")
        for statement in globally:
            guide.rows(statement, fresh)
        for statement, value in ((high_recall, "200"), (low_latency, "40")):
            guide.rows(statement, fresh)
            assert fresh.execute("SHOW ruvector.ef_search").fetchone() == (value,)
    for _ in range(100):  # the postmaster reloads when it gets round to it
        with psycopg.connect(guide.server.dsn(DATABASE), autocommit=True) as later:
            later.execute("SELECT ruvector_version()")
            shown = tuple(later.execute(f"SHOW ruvector.{name}").fetchone() for name in ("ef_search", "probes"))
        if shown == (("100",), ("10",)):
            return
    pytest.fail(f"after ALTER SYSTEM and a reload a new session shows {shown}")


def test_index_optimization(guide: Guide) -> None:
    guide.index("items")
    check, drop, create = guide.take("Index Optimization")
    names = guide.conn.execute("SELECT * FROM ruvector_index_stats('items_embedding_idx') LIMIT 0").description or ()
    stats = dict(zip([column.name for column in names], guide.rows(check)[0], strict=True))
    assert stats["index_name"] == "items_embedding_idx"
    assert stats["vector_count"] == ROWS + 5
    assert stats["dimensions"] == DIMS
    assert stats["index_size_mb"] > 0
    assert stats["build_time_seconds"] >= 0
    assert stats["fragmentation_pct"] >= 0
    guide.rows(drop)
    guide.rows(create)
    definition = guide.value("SELECT pg_get_indexdef('items_embedding_idx'::regclass)")
    assert "m='32', ef_construction='200', quantization=sq8" in definition


def test_query_optimization(guide: Guide) -> None:
    (explain,) = guide.take("Query Optimization")
    plan = guide.plan(explain)
    assert "Index Scan using items_embedding_idx" in plan
    assert re.search(r"Buffers: shared hit=\d+", plan)


def test_memory_tuning(guide: Guide) -> None:
    for statement in guide.take("Memory Tuning"):
        guide.rows(statement)
    for name in ("shared_buffers", "maintenance_work_mem", "work_mem"):
        guide.rows(f"ALTER SYSTEM RESET {name}")
    guide.rows("SELECT pg_reload_conf()")


# ---- Troubleshooting --------------------------------------------------------------------------------------------


def test_type_conversion_errors(guide: Guide) -> None:
    guide.rows("CREATE SCHEMA troubled; CREATE TABLE troubled.items AS TABLE items_pgvector_old")
    guide.rows("SET search_path = troubled, public; CREATE TABLE items_ruvector (embedding ruvector(1536))")
    for statement in guide.take("Type Conversion Errors"):
        guide.rows(statement)
        same = "SELECT count(*) FROM items_ruvector r JOIN items i ON r.embedding::text = i.embedding::text"
        assert guide.value("SELECT count(*) FROM items_ruvector") == ROWS + 5
        assert guide.value(same) >= ROWS + 5
        guide.rows("TRUNCATE items_ruvector")
    guide.rows("RESET search_path; DROP SCHEMA troubled CASCADE")


def test_index_build_in_little_memory(guide: Guide) -> None:
    memory, *creates = guide.take("Index Build Fails with OOM")
    guide.rows(memory)
    for create, times in zip(creates, (4, 16), strict=True):
        guide.rows("DROP INDEX items_embedding_idx")
        guide.rows(create)
        assert guide.value("SELECT id FROM items ORDER BY embedding <-> '[...]'::ruvector LIMIT 1") == 7
        smaller = guide.value("SELECT compression_ratio FROM ruvector_index_stats('items_embedding_idx')")
        assert 0.9 * times < smaller <= times
    guide.rows("RESET maintenance_work_mem")


def test_performance_diagnosis(guide: Guide) -> None:
    simd, explain, show = guide.take("Performance Worse Than pgvector")
    guide.index("items")
    assert guide.value(simd).split()[0] in ("AVX2", "AVX512", "NEON")  # Expected: … (not Scalar)
    assert "Index Scan using items_embedding_idx" in guide.plan(explain)
    assert guide.value(show) == "100"  # by ALTER SYSTEM, above
    guide.rows("SET ruvector.ef_search = 200")
    assert guide.value("SHOW ruvector.ef_search") == "200"
    guide.rows("RESET ruvector.ef_search")


def test_results_differ(guide: Guide) -> None:
    (compare,) = guide.take("Results Differ from pgvector")
    for view, type_, table in (("pgvector", "vector", "items_pgvector_old"), ("ruvector", "ruvector", "items")):
        guide.rows(
            f"CREATE VIEW {view}_results AS SELECT id, embedding <-> '[...]'::{type_} AS distance FROM {table}"
        )
    ((largest, average),) = guide.rows(compare)
    assert largest < 0.0001 and average < 0.00001  # Expected: max < 0.0001, avg < 0.00001
    guide.rows("DROP VIEW pgvector_results, ruvector_results")


# ---- Rollback Plan ----------------------------------------------------------------------------------------------


def test_rollback_from_parallel(guide: Guide) -> None:
    for statement in guide.take("Rollback, Parallel Deployment"):
        guide.rows(statement)
    assert guide.value("SELECT count(*) FROM items") == ROWS + 5
    if guide.has_pgvector:
        assert guide.value("SELECT pg_typeof(embedding)::text FROM items LIMIT 1") == "vector"
        assert guide.value("SELECT count(*) FROM items WHERE embedding <-> '[...]'::vector < 100") == ROWS + 5


def test_rollback_from_in_place(guide: Guide) -> None:
    guide.rows("DROP TABLE items, items_ruvector; DROP EXTENSION IF EXISTS vector CASCADE")
    guide.shell("mv backup_before_migration_*.dump backup_before_migration.dump")
    guide.shell("pg_restore -d your_database backup_before_migration.dump")
    assert str(ROWS) in guide.shell('psql -c "SELECT COUNT(*) FROM items" your_database')


# ---- Schema Compatibility Notes ---------------------------------------------------------------------------------

FUNCTIONS = [
    ("vector_dims(v)", "ruvector_dims(v)"),
    ("vector_norm(v)", "ruvector_norm(v)"),
    ("l2_distance(a, b)", "ruvector_l2_distance(a, b)"),
    ("cosine_distance(a, b)", "ruvector_cosine_distance(a, b)"),
    ("inner_product(a, b)", "ruvector_ip_distance(a, b)"),
]


@pytest.fixture
def extension(guide: Guide) -> None:
    """The rollback has taken it away."""
    guide.rows("CREATE EXTENSION IF NOT EXISTS ruvector")


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize(("before", "after"), FUNCTIONS)
def test_compatible_sql_functions(guide: Guide, before: str, after: str) -> None:
    values = "(SELECT v, v AS a, '[3,-1,0.5]'::{0} AS b FROM (SELECT '[1,2,3]'::{0} AS v) AS x) AS y"
    first, second, third = (
        guide.value(f"SELECT {call} FROM {values.format(kind)}")
        for call, kind in ((before, guide.source), (after, "ruvector"), (before, "ruvector"))
    )
    assert second == pytest.approx(first, rel=1e-6)
    assert third == pytest.approx(first, rel=1e-6)


@pytest.mark.usefixtures("extension")
def test_new_features(guide: Guide) -> None:
    guide.rows("ALTER TABLE items RENAME TO items_before; DROP INDEX items_hnsw")
    guide.rows("CREATE TABLE items AS SELECT id, embedding::text::ruvector(1536) AS embedding FROM items_before")
    scalar, product, halves, maintenance, memory = guide.take("New Features in RuVector")
    for statement, name, times in ((scalar, "items_embedding_idx", 4), (product, "items_embedding_idx1", 16)):
        guide.rows(statement)
        smaller = guide.value(f"SELECT compression_ratio FROM ruvector_index_stats('{name}')")
        assert 0.9 * times < smaller <= times
    guide.rows("CREATE SCHEMA halves; SET search_path = halves, public")
    guide.rows(halves)
    guide.rows("INSERT INTO halves.items SELECT embedding::text::halfvec FROM public.items")
    assert guide.value("SELECT count(*) FROM halves.items") == ROWS
    guide.rows("RESET search_path; INSERT INTO items SELECT id + 1000, embedding FROM items WHERE id < 100")
    notices: list[Any] = []
    guide.conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    guide.rows(maintenance)
    assert "100 rows sealed" in notices[0]
    assert len(guide.rows(memory)) == 1


def test_nothing_was_left_out(guide: Guide) -> None:
    assert not guide.waiting and not guide.sections, (guide.waiting, [name for name, _ in guide.sections])
