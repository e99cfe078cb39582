# SPDX-License-Identifier: PostgreSQL
"""pgvector beside ruvector, for the tests of the types: the real one, or on a server without it a stand-in.

The stand-in is what matters to casts and conversions: types of pgvector's names and layouts that are members of an
extension named vector. Its functions are our own library's, since the bytes are the same; so it says nothing of
pgvector's behaviour, and tests of that need the real one.
"""

from __future__ import annotations

from harness import Database

STAND_IN = """
CREATE TYPE {name};
CREATE FUNCTION {name}_in(cstring, oid, integer) RETURNS {name}
    AS '$libdir/ruvector', '{prefix}_in' LANGUAGE C IMMUTABLE STRICT;
CREATE FUNCTION {name}_out({name}) RETURNS cstring
    AS '$libdir/ruvector', '{prefix}_out' LANGUAGE C IMMUTABLE STRICT;
CREATE FUNCTION {name}_typmod_in(cstring[]) RETURNS integer
    AS '$libdir/ruvector', '{prefix}_typmod_in' LANGUAGE C IMMUTABLE STRICT;
CREATE TYPE {name} (INPUT = {name}_in, OUTPUT = {name}_out, TYPMOD_IN = {name}_typmod_in, STORAGE = external);
CREATE FUNCTION {name}({name}, integer, boolean) RETURNS {name}
    AS '$libdir/ruvector', '{prefix}_apply_typmod' LANGUAGE C IMMUTABLE STRICT;
CREATE CAST ({name} AS {name}) WITH FUNCTION {name}({name}, integer, boolean) AS IMPLICIT;
INSERT INTO pg_depend SELECT 'pg_type'::regclass, '{name}'::regtype, 0, 'pg_extension'::regclass, oid, 0, 'e'
    FROM pg_extension WHERE extname = 'vector';
"""


def add_pgvector(db: Database) -> None:
    if db.server.has("vector"):
        db.execute("CREATE EXTENSION vector")
        return
    db.execute(
        "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
        " VALUES (99999, 'vector', 10, 'public'::regnamespace, true, '0.8.5')"
    )
    for name, prefix in (("vector", "ruvector"), ("halfvec", "rv_halfvec"), ("sparsevec", "rv_sparsevec")):
        db.execute(STAND_IN.format(name=name, prefix=prefix))


def beside_pgvector(db: Database) -> None:
    """Into a bare database: pgvector, then ruvector, which links itself."""
    add_pgvector(db)
    db.execute("CREATE EXTENSION ruvector")
