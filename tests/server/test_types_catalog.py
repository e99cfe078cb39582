# SPDX-License-Identifier: PostgreSQL
"""What the install script leaves in the catalogs: comments, markings of functions, operators that know each other."""

from __future__ import annotations

import pytest
from harness import Database

MEMBERS = """
    SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'ruvector'
"""

# Not IMMUTABLE: what looks at the server rather than at its arguments.
LOOKS_AROUND = (
    r"^(ruvector_(simd_info|link|unlink|before_ddl|after_ddl|index_|memory_|prewarm|recall|range_out|last_scan)"
    r"|ruhnsw|ruivf)"
)


@pytest.mark.core
def test_every_object_has_a_comment(db: Database) -> None:
    query = f"""
        SELECT m.name FROM ({MEMBERS}) m
        WHERE NOT EXISTS (SELECT FROM pg_description c WHERE c.classoid = m.classid AND c.objoid = m.objid)
        AND NOT (m.classid = 'pg_type'::regclass AND m.name ~ '\\[\\]$') AND m.name !~ 'ru(hnsw|ivfflat)$'
    """
    # Operator families that an operator class made for itself take its comment's place
    assert [name for name in db.column(query) if not name.startswith("operator family")] == []


@pytest.mark.core
def test_functions_are_marked(db: Database) -> None:
    query = f"""
        SELECT p.oid::regprocedure::text FROM ({MEMBERS}) m
        JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        WHERE p.proname !~ %s AND p.prokind = 'f'
        AND (p.provolatile <> 'i' OR p.proparallel <> 's'
             OR (NOT p.proisstrict AND NOT p.proargtypes::oid[] @> %s::oid[]))
    """
    assert db.column(query, [LOOKS_AROUND, [2281]]) == []
    aggregates = f"""
        SELECT count(*) FROM ({MEMBERS}) m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        WHERE p.prokind = 'a' AND p.proparallel = 's'
    """
    assert db.value(aggregates) == 6


@pytest.mark.core
def test_distance_operators_commute(db: Database) -> None:
    query = f"""
        SELECT o.oid::regoperator::text FROM ({MEMBERS}) m
        JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
        WHERE o.oprname IN ('<->', '<#>', '<=>', '<+>', '<~>', '<%%>') AND o.oprcom <> o.oid
    """
    assert db.column(query) == []
    query = f"""
        SELECT o.oid::regoperator::text FROM ({MEMBERS}) m
        JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
        LEFT JOIN pg_operator c ON c.oid = o.oprcom LEFT JOIN pg_operator n ON n.oid = o.oprnegate
        WHERE o.oprname IN ('<', '<=', '=', '<>', '>=', '>')
        AND (c.oprcom IS DISTINCT FROM o.oid OR n.oprnegate IS DISTINCT FROM o.oid OR o.oprrest = 0 OR o.oprjoin = 0)
    """
    assert db.column(query) == []


@pytest.mark.core
def test_operator_classes_are_valid(db: Database) -> None:
    query = f"""
        SELECT m.name, amvalidate(m.objid) FROM ({MEMBERS}) m WHERE m.classid = 'pg_opclass'::regclass
    """
    found = db.rows(query)
    assert len(found) > 20
    assert [name for name, valid in found if not valid] == []


@pytest.mark.core
@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ("OPERATOR 1 <-> (ruvector, ruvector) FOR ORDER BY float_ops", "is missing support function 1"),
        ("FUNCTION 1 ruvector_index_l2(internal)", "is missing the operator that it orders by"),
        (
            "OPERATOR 1 < (ruvector, ruvector), FUNCTION 1 ruvector_index_l2(internal)",
            "contains invalid ORDER BY specification for operator <(ruvector,ruvector)",
        ),
        (
            "OPERATOR 1 <-> (ruvector, ruvector) FOR ORDER BY integer_ops, FUNCTION 1 ruvector_index_l2(internal)",
            "contains invalid ORDER BY specification for operator <->(ruvector,ruvector)",
        ),
        (
            "OPERATOR 1 <-> (ruvector, ruvector) FOR ORDER BY float_ops, FUNCTION 1 vector_dims(ruvector)",
            "contains function vector_dims(ruvector) with wrong signature for support number 1",
        ),
        (
            "OPERATOR 1 <-> FOR ORDER BY float_ops, OPERATOR 2 <, FUNCTION 1 ruvector_index_l2(internal)",
            "contains operator <(ruvector,ruvector) with wrong signature",
        ),
    ],
)
@pytest.mark.parametrize("method", ["ruhnsw", "ruivfflat"])
def test_an_operator_class_that_cannot_work_is_not_valid(
    db: Database, method: str, members: str, complaint: str
) -> None:
    said: list[str] = []
    db.conn.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    db.execute(f"CREATE OPERATOR CLASS mine FOR TYPE ruvector USING {method} AS {members}")
    query = "SELECT amvalidate(c.oid) FROM pg_opclass c WHERE opcname = 'mine'"
    assert db.value(query) is False
    assert f'operator class "mine" {complaint}' in said


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ruvector", "halfvec", "sparsevec"])
def test_each_type_has_a_default_order_and_hash(db: Database, kind: str) -> None:
    query = """
        SELECT a.amname::text FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod
        WHERE c.opcintype = %s::regtype AND c.opcdefault AND a.amname IN ('btree', 'hash') ORDER BY 1
    """
    assert db.column(query, [kind]) == ["btree", "hash"]
    layout = "SELECT typstorage::text, typelem::int, typalign::text FROM pg_type WHERE oid = %s::regtype"
    assert db.rows(layout, [kind]) == [("e", 0, "i")]


@pytest.mark.core
def test_nothing_is_left_in_the_schema_of_the_script(db: Database) -> None:
    assert db.column("SELECT nspname::text FROM pg_namespace WHERE nspname ~ 'ruvector'") == []
    query = f"""
        SELECT DISTINCT n.nspname::text FROM ({MEMBERS}) m
        JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        JOIN pg_namespace n ON n.oid = p.pronamespace
    """
    assert db.column(query) == ["public"]
