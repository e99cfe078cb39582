# SPDX-License-Identifier: PostgreSQL
"""pgvector's catalog against ours, object by object: what an application names there it finds here by changing a type.

The members of the extension vector are read from a server that has it, types are renamed, and each must be among ours
with the same markings: functions and aggregates by name and arguments, operators with what the planner knows of them,
casts with their context, operator classes with their operators and support functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Database, Server, needs_extension

MEMBER = """
    SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.classid = '{}'::regclass AND e.extname = %s
"""

# Functions that no query names, since a type, cast or aggregate calls them. Where they would collide with pgvector's
# beside it, or belong to a type of another name, ours have names of their own. The access methods' own are not compared.
PRIVATE = r"^(halfvec|sparsevec)_(?=(in|out|recv|send|typmod_in|accum|avg|combine|to_float4)\()"
RENAMED = [
    (PRIVATE, r"ruvector_\1_"),
    (r"^array_to_vector\b", "ruvector_from_array"),
    (r"^array_to_(halfvec|sparsevec)\b", r"ruvector_\1_from_array"),
    (r"^ruvector_halfvec_combine\b", "ruvector_combine"),
    (r"^vector_to_", "ruvector_to_"),
    (r"^(halfvec|sparsevec)_to_vector\b", r"\1_to_ruvector"),
    (r"^vector_(?!dims|norm)", "ruvector_"),
    (r"^vector\(", "ruvector("),
    # Types by their schema; operator classes by their name
    (r"\bpublic\.vector\b", "public.ruvector"),
    (r"\bpublic\.(halfvec|sparsevec)\b", r"ruvector.\1"),
    (r"\.vector_(\w+ for )", r".ruvector_\1"),
]


@pytest.fixture
def both(server: Server) -> Iterator[Database]:
    needs_extension(server, "vector")
    made = server.database(("vector", "ruvector"))
    # Names are written with their schema, whichever extension they are of
    made.execute("SET search_path = pg_catalog")
    yield made
    made.close()
    server.drop(made.name)


def renamed(value: Any) -> Any:
    """What is said of an object of pgvector's, with our names."""
    if isinstance(value, list):
        return [renamed(one) for one in value]
    if isinstance(value, dict):
        return {key: renamed(one) for key, one in value.items()}
    if isinstance(value, str):
        for theirs, ours in RENAMED:
            value = re.sub(theirs, ours, value)
    return value


def listing(db: Database, query: str, extension: str) -> dict[str, Any]:
    """First column: what an object is called; second: all that is said of it."""
    return {row[0]: row[1] for row in db.rows(query, [extension])}


def missing(db: Database, query: str) -> list[str]:
    theirs = {renamed(name): renamed(said) for name, said in listing(db, query, "vector").items()}
    ours = listing(db, query, "ruvector")
    assert theirs, "pgvector has nothing of the kind"
    return [f"{name}: theirs {said}, ours {ours.get(name)}" for name, said in theirs.items() if ours.get(name) != said]


FUNCTIONS = f"""
    SELECT p.proname || '(' || oidvectortypes(p.proargtypes) || ')',
           json_build_object('result', p.prorettype::regtype, 'set', p.proretset, 'volatile', p.provolatile,
                             'strict', p.proisstrict, 'parallel', p.proparallel, 'kind', p.prokind)
    FROM pg_proc p WHERE p.oid IN ({MEMBER.format("pg_proc")}) AND p.prokind = 'f' AND p.proname !~ '^(hnsw|ivfflat)'
"""


@pytest.mark.core
def test_functions(both: Database) -> None:
    assert missing(both, FUNCTIONS) == []


@pytest.mark.core
def test_aggregates(both: Database) -> None:
    query = f"""
        SELECT format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)),
               json_build_object('result', p.prorettype::regtype, 'state', a.aggtranstype::regtype, 'kind', a.aggkind,
                                 'initial', a.agginitval, 'parallel', p.proparallel, 'combines', a.aggcombinefn <> 0,
                                 'finishes', a.aggfinalfn <> 0, 'sorted by', a.aggsortop)
        FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid WHERE p.oid IN ({MEMBER.format("pg_proc")})
    """
    assert missing(both, query) == []


@pytest.mark.core
def test_operators(both: Database) -> None:
    query = f"""
        SELECT format('%%s(%%s, %%s)', o.oprname, o.oprleft::regtype, o.oprright::regtype),
               json_build_object('result', o.oprresult::regtype,
                                 'commutator', (SELECT oprname FROM pg_operator c WHERE c.oid = o.oprcom),
                                 'negator', (SELECT oprname FROM pg_operator n WHERE n.oid = o.oprnegate),
                                 /* pgvector gives <> the selectivity of = */
                                 'restrict', CASE o.oprname WHEN '<>' THEN 'neqsel' ELSE o.oprrest::regproc::text END,
                                 'join', CASE o.oprname WHEN '<>' THEN 'neqjoinsel' ELSE o.oprjoin::regproc::text END)
        FROM pg_operator o WHERE o.oid IN ({MEMBER.format("pg_operator")})
    """
    assert missing(both, query) == []


@pytest.mark.core
def test_casts(both: Database) -> None:
    query = f"""
        SELECT format('%%s AS %%s', c.castsource::regtype, c.casttarget::regtype),
               json_build_object('context', c.castcontext, 'method', c.castmethod)
        FROM pg_cast c WHERE c.oid IN ({MEMBER.format("pg_cast")})
    """
    assert missing(both, query) == []


@pytest.mark.core
def test_types(both: Database) -> None:
    query = f"""
        SELECT t.oid::regtype::text,
               json_build_object('length', t.typlen, 'alignment', t.typalign, 'storage', t.typstorage,
                                 'category', t.typcategory, 'delimiter', t.typdelim, 'element', t.typelem,
                                 'modifier', t.typmodin <> 0, 'modifier out', t.typmodout <> 0,
                                 'binary', t.typreceive <> 0 AND t.typsend <> 0, 'analyze', t.typanalyze <> 0)
        FROM pg_type t WHERE t.oid IN ({MEMBER.format("pg_type")}) AND t.typelem = 0
    """
    assert missing(both, query) == []


@pytest.mark.core
def test_operator_classes(both: Database) -> None:
    """By access method, name and type: the operators of each strategy; of btree, the support functions too."""
    query = f"""
        SELECT format('%%s.%%s for %%s', CASE WHEN a.amname IN ('hnsw', 'ivfflat') THEN replace('ru' || a.amname, 'ruru', 'ru')
                                         ELSE a.amname END, c.opcname, c.opcintype::regtype),
               json_build_object(
                   'default', c.opcdefault AND a.amname = 'btree',
                   'operators', (SELECT json_agg(json_build_array(p.amopstrategy, o.oprname, p.amoppurpose)
                                                 ORDER BY p.amopstrategy)
                                 FROM pg_amop p JOIN pg_operator o ON o.oid = p.amopopr
                                 WHERE p.amopfamily = c.opcfamily
                                 AND (a.amname = 'btree' OR p.amopstrategy = 1)),
                   'support', CASE WHEN a.amname = 'btree' THEN
                       (SELECT json_agg(json_build_array(f.amprocnum, p.proname)) FROM pg_amproc f
                        JOIN pg_proc p ON p.oid = f.amproc WHERE f.amprocfamily = c.opcfamily) END)
        FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod WHERE c.oid IN ({MEMBER.format("pg_opclass")})
    """
    assert missing(both, query) == []
