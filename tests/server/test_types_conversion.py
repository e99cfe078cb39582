# SPDX-License-Identifier: PostgreSQL
"""ALTER TABLE ... TYPE between pgvector's types and ours: a change of the catalog, never of the table's file."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from harness import Database, Server, needs_extension
from server.types_support import beside_pgvector

PAIRS = [("vector", "ruvector"), ("halfvec", "ruvector.halfvec"), ("sparsevec", "ruvector.sparsevec")]
TEXT = {"vector": "[1,2,3]", "halfvec": "[1,2,3]", "sparsevec": "{1:1,3:3}/3"}


@pytest.fixture
def both(server: Server) -> Iterator[Database]:
    made = server.database(())
    beside_pgvector(made)
    yield made
    made.close()
    server.drop(made.name)


def file_of(db: Database, table: str) -> int:
    return int(db.value("SELECT pg_relation_filenode(%s::regclass)", [table]))


def type_of(db: Database, table: str, column: str = "v") -> str:
    query = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s"
    return str(db.value(query, [table, column]))


@pytest.mark.core
@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
@pytest.mark.parametrize("modifier", ["(3)", ""])
def test_the_file_stays(both: Database, theirs: str, ours: str, modifier: str) -> None:
    both.execute(f"CREATE TABLE t (id int, v {theirs}{modifier} NOT NULL DEFAULT '{TEXT[theirs]}')")
    both.execute("INSERT INTO t SELECT i FROM generate_series(1, 500) AS i")
    before, content = file_of(both, "t"), both.rows("SELECT id, v::text FROM t ORDER BY id")
    # Back only without a modifier: the check of vector(n) is pgvector's, and PostgreSQL cannot see through it
    for target in (ours + modifier, theirs):
        both.execute(f"ALTER TABLE t ALTER COLUMN v TYPE {target}")
        assert type_of(both, "t") == target
        assert file_of(both, "t") == before
        assert both.rows("SELECT id, v::text FROM t ORDER BY id") == content
        both.execute("INSERT INTO t VALUES (0)")
        assert both.value("DELETE FROM t WHERE id = 0 RETURNING v::text") == TEXT[theirs]
    with pytest.raises(psycopg.errors.NotNullViolation):
        both.execute("INSERT INTO t VALUES (1, NULL)")


@pytest.mark.core
def test_toasted_values_stay_where_they_are(both: Database) -> None:
    both.execute("CREATE TABLE t (id int, v vector(1536))")
    both.execute("INSERT INTO t SELECT i, ruvector_random(1536, i) FROM generate_series(1, 20) AS i")
    toast = "SELECT pg_relation_filenode(reltoastrelid) FROM pg_class WHERE oid = 't'::regclass"
    before = (file_of(both, "t"), both.value(toast))
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(1536)")
    assert (file_of(both, "t"), both.value(toast)) == before
    assert both.value("SELECT count(*) FROM t WHERE v = ruvector_random(1536, id)") == 20


@pytest.mark.core
def test_partitions_and_children_follow(both: Database) -> None:
    both.execute("CREATE TABLE t (id int, v vector(3)) PARTITION BY RANGE (id)")
    both.execute("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)")
    both.execute("CREATE TABLE t2 (v vector(3), id int)")
    both.execute("ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)")
    both.execute("INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(0, 19) AS i")
    before = [file_of(both, name) for name in ("t1", "t2")]
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert [file_of(both, name) for name in ("t1", "t2")] == before
    assert [type_of(both, name) for name in ("t", "t1", "t2")] == ["ruvector(3)"] * 3
    assert both.value("SELECT count(*) FROM t WHERE v = '[1,2,3]'") == 20


@pytest.mark.core
def test_a_generated_column_converts(both: Database) -> None:
    both.execute("CREATE TABLE t (id int, v vector(3) GENERATED ALWAYS AS ('[1,2,3]'::vector) STORED)")
    both.execute("INSERT INTO t SELECT generate_series(1, 10)")
    before = file_of(both, "t")
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    both.execute("INSERT INTO t VALUES (11)")
    assert file_of(both, "t") == before
    assert both.value("SELECT count(*) FROM t WHERE v = '[1,2,3]'::ruvector") == 11


@pytest.mark.core
def test_dimensions_that_are_not_known_are_checked(both: Database) -> None:
    both.execute("CREATE TABLE t (v vector)")
    both.execute("INSERT INTO t VALUES ('[1,2,3]')")
    before = file_of(both, "t")
    with pytest.raises(psycopg.errors.DataException, match="expected 4 dimensions, not 3"):
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(4)")
    assert file_of(both, "t") == before
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert both.value("SELECT v::text FROM t") == "[1,2,3]"


@pytest.mark.core
def test_a_cast_that_changes_nothing_is_not_called(both: Database) -> None:
    both.execute("CREATE TABLE t (v vector(3), r ruvector(3), any_r ruvector)")
    for expression in ("v::ruvector(3)", "r::vector::ruvector(3)", "r::ruvector(3)", "v::ruvector"):
        plan = both.plan(f"SELECT {expression} FROM t", options="VERBOSE, COSTS OFF")
        assert "ruvector(" not in plan.replace("::ruvector(3)", ""), plan
    # One that must look at the value stays
    plan = both.plan("SELECT any_r::ruvector(3) FROM t", options="VERBOSE, COSTS OFF")
    assert "(any_r)::ruvector(3)" in plan, plan


def test_an_index_of_pgvector_is_named(both: Database) -> None:
    needs_extension(both.server, "vector")
    both.execute("CREATE TABLE t (v vector(3))")
    both.execute("CREATE INDEX theirs ON t USING hnsw (v vector_l2_ops)")
    both.execute("CREATE INDEX lists ON t USING ivfflat (v vector_l2_ops)")
    both.execute("CREATE INDEX ordinary ON t (v)")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert caught.value.diag.message_detail == "Indexes: public.lists, public.theirs."
    assert "ruhnsw" in str(caught.value.diag.message_hint)
    both.execute("DROP INDEX theirs, lists")
    before = file_of(both, "t")
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert file_of(both, "t") == before


def test_an_index_of_ours_over_their_type_follows_or_is_named(both: Database) -> None:
    needs_extension(both.server, "vector")
    both.execute("CREATE TABLE t (id int, v vector(3))")
    both.execute("INSERT INTO t SELECT i, ruvector_random(3, i) FROM generate_series(1, 200) AS i")
    both.execute("CREATE INDEX cosine ON t USING ruhnsw (v vector_cosine_ops)")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    both.execute("DROP INDEX cosine")
    both.execute("CREATE INDEX euclid ON t USING ruhnsw (v vector_l2_ops)")
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    both.execute("SET enable_seqscan = off")
    query = "SELECT id FROM t ORDER BY v <-> '[0,0,0]' LIMIT 5"
    assert "Index Scan using euclid" in both.plan(query)
    assert len(both.column(query)) == 5


@pytest.mark.core
def test_constraints_and_expressions_follow(both: Database) -> None:
    """What the server parses again with the new type: checks, and indexes over expressions, casts to pgvector's included."""
    needs_extension(both.server, "vector")
    both.execute("CREATE TABLE t (id int, v vector(3) CHECK (v <> '[0,0,0]'::vector))")
    both.execute("CREATE INDEX half ON t (((v::halfvec(3))::text))")
    both.execute("INSERT INTO t VALUES (1, '[1,2,3]')")
    before = file_of(both, "t")
    both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3) USING v::ruvector(3)")
    assert file_of(both, "t") == before
    with pytest.raises(psycopg.errors.CheckViolation):
        both.execute("INSERT INTO t VALUES (2, '[0,0,0]')")
    both.execute("SET enable_seqscan = off")
    query = "SELECT id FROM t WHERE v::halfvec(3)::text = '[1,2,3]'"
    assert "Index Scan using half" in both.plan(query)
    assert both.column(query) == [1]


@pytest.mark.core
def test_a_materialized_view_is_named(both: Database) -> None:
    both.execute("CREATE TABLE t (v vector(3))")
    both.execute("CREATE MATERIALIZED VIEW kept AS SELECT v FROM t")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert caught.value.diag.message_detail == "In the way: materialized view public.kept."


@pytest.mark.core
def test_generated_columns_that_use_the_column_are_named(both: Database) -> None:
    both.execute("CREATE TABLE t (v vector(3), given boolean GENERATED ALWAYS AS (v IS NOT NULL) STORED)")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert caught.value.diag.message_detail == "In the way: column given of public.t."
    assert "add them again" in str(caught.value.diag.message_hint)


@pytest.mark.core
def test_views_and_rules_are_named(both: Database) -> None:
    both.execute("CREATE TABLE t (id int, v vector(3))")
    both.execute("CREATE VIEW seen AS SELECT v FROM t")
    both.execute("CREATE RULE copied AS ON UPDATE TO t WHERE old.v IS NULL DO INSTEAD NOTHING")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        both.execute("ALTER TABLE t ALTER COLUMN v TYPE ruvector(3)")
    assert caught.value.diag.message_detail == "In the way: rule copied on public.t, view public.seen."
    assert "pg_get_viewdef" in str(caught.value.diag.message_hint)
    # Other changes of the same table are none of our business
    both.execute("ALTER TABLE t ADD COLUMN w vector(3)")
    both.execute("ALTER TABLE t ALTER COLUMN w TYPE ruvector(3)")


@pytest.mark.core
def test_text_and_array_do_convert_with_a_rewrite(both: Database) -> None:
    """What is no relabelling still works as PostgreSQL does it."""
    both.execute("CREATE TABLE t (a real[], b text)")
    both.execute("INSERT INTO t VALUES ('{1,2,3}', '[4,5,6]')")
    both.execute("ALTER TABLE t ALTER COLUMN a TYPE ruvector(3)")
    both.execute("ALTER TABLE t ALTER COLUMN b TYPE ruvector(3) USING b::ruvector")
    assert both.rows("SELECT a::text, b::text FROM t") == [("[1,2,3]", "[4,5,6]")]
