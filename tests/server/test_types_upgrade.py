# SPDX-License-Identifier: PostgreSQL
"""Upgrades: of the extension by increment scripts, and of the server by pg_upgrade.

A database that was upgraded has the catalog of one that was made afresh.

An increment is sql/ruvector--OLD--NEW.sql, installed beside the full script of the newest version. Until there is a
released version to upgrade from, one is made here: today's script without some of its objects, which an increment made
from sql/increment-template.sql adds.
The scripts are given to the server by extension_control_path, so that nothing is installed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import Database, Server, installations

TEMPLATE = Path(__file__).resolve().parents[2] / "sql" / "increment-template.sql"
LEFT_OUT = ["ruvector_random(dims integer, seed bigint)", "ruvector_norm(halfvec)", "avg(sparsevec)"]

# Members by what they are called, functions with what CREATE says of them.
CATALOG = """
    SELECT pg_describe_object(d.classid, d.objid, 0), obj_description(d.objid, d.classid::regclass::name),
           CASE WHEN p.prokind = 'f' THEN pg_get_functiondef(p.oid) END,
           p.proacl::text, a.aggtransfn::text, a.aggcombinefn::text, a.aggfinalfn::text
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'ruvector' ORDER BY 1
"""


def split(script: str) -> tuple[str, str]:
    """The script without the objects of LEFT_OUT, and the statements that make them."""
    added = []
    for signature in LEFT_OUT:
        types = re.sub(r"\b(dims|seed) ", "", signature)
        kind = "AGGREGATE" if signature.startswith("avg") else "FUNCTION"
        for head in (f"CREATE {kind} {signature}", f"COMMENT ON {kind} {types}"):
            found = re.search(re.escape(head) + r".*?;\n", script, re.DOTALL)
            assert found is not None, head
            added.append(found[0])
            script = script.replace(found[0], "")
    return script, "\n".join(added)


@pytest.fixture
def old(server: Server, shared_dir: Path) -> str:
    """The value of extension_control_path that finds version 0.1.18 and the increment to today's."""
    if server.major < 18:
        pytest.skip("extension_control_path came with PostgreSQL 18")
    folder = shared_dir / "extension"
    folder.mkdir()
    installed = server.installation.sharedir / "extension"
    control = (installed / "ruvector.control").read_text()
    found = re.search(r"default_version *= *'(.*)'", control)
    assert found is not None
    script = (installed / f"ruvector--{found[1]}.sql").read_text()
    earlier, increment = split(script)
    (folder / "ruvector.control").write_text(control)
    (folder / f"ruvector--{found[1]}.sql").write_text(script)
    (folder / "ruvector--0.1.18.sql").write_text(earlier)
    template = TEMPLATE.read_text()
    assert "-- the statements of the increment\n" in template
    template = template.replace("-- the statements of the increment\n", increment)
    (folder / f"ruvector--0.1.18--{found[1]}.sql").write_text(template)
    for path in (folder, *folder.iterdir()):
        server.account.give(path)
    return f"{shared_dir}:$system"


@pytest.mark.parametrize("beside", [(), ("vector",)])
def test_an_upgraded_catalog_is_a_fresh_one(server: Server, old: str, beside: tuple[str, ...]) -> None:
    databases = [server.database(()) for _ in range(2)]
    upgraded, fresh = databases
    for db in databases:
        for extension in beside:
            db.execute(f"CREATE EXTENSION {extension}")
        db.execute(f"SET extension_control_path = '{old}'")
    upgraded.execute("CREATE EXTENSION ruvector VERSION '0.1.18'")
    before = catalog(upgraded)
    upgraded.execute("CREATE TABLE t AS SELECT '[1,2,3]'::ruvector AS v")
    upgraded.execute("ALTER EXTENSION ruvector UPDATE")
    fresh.execute("CREATE EXTENSION ruvector")
    assert len(before) + len(LEFT_OUT) == len(catalog(fresh))
    assert catalog(upgraded) == catalog(fresh)
    assert upgraded.value("SELECT v::text FROM t") == "[1,2,3]"
    assert upgraded.value("SELECT ruvector_dims(ruvector_random(3, 1))") == 3
    for db in databases:
        db.close()
        server.drop(db.name)


OLD_WORLD = """
    CREATE TABLE t (id serial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), r ruvector(3),
                    rh ruvector.halfvec(3), rs ruvector.sparsevec(3), list ruvector.halfvec[]);
    INSERT INTO t (v, h, s, r, rh, rs, list)
        SELECT x::vector, x::vector, x::vector, x, x::ruvector.halfvec, x::ruvector.sparsevec,
               ARRAY[x::ruvector.halfvec]
        FROM generate_series(1, 200) AS i, ruvector_random(3, i) AS x;
    CREATE INDEX theirs ON t USING ruhnsw (v vector_cosine_ops);
    CREATE INDEX ours ON t USING ruhnsw (r ruvector_l2_ops);
    CREATE INDEX half ON t USING ruhnsw ((r::halfvec(3)) halfvec_ip_ops);
    CREATE INDEX ordered ON t (r, rh, rs);
    CREATE VIEW seen AS SELECT id, v::ruvector <-> r AS one, '{1:2}/2'::sparsevec::ruvector AS two,
                               h::ruvector.halfvec AS three, B'101' OPERATOR(ruvector.<~>) B'111' AS four FROM t
"""
# Query, and the index that answers it
OLD_QUERIES = {
    "SELECT id FROM t ORDER BY v <=> '[1,2,3]' LIMIT 5": "theirs",
    "SELECT id FROM t ORDER BY r <-> '[1,2,3]' LIMIT 5": "ours",
    "SELECT id FROM t ORDER BY r::halfvec(3) <#> '[1,2,3]' LIMIT 5": "half",
    "SELECT id FROM t WHERE r = ruvector_random(3, 77)": "ordered",
}


def pg_upgrade(old: Server, new: Server, shared_dir: Path) -> None:
    """Both are running before, and the new one after."""
    for one in (old, new):
        one.stop()
    program = new.installation.program
    account = new.account
    if old.major < 18 <= new.major:  # since 18 initdb turns them on
        account.run([program("pg_checksums"), "--disable", "-D", new.cluster.data])
    work = account.own(shared_dir / "work")
    paths = ["-b", old.installation.bindir, "-B", new.installation.bindir]
    clusters = ["-d", old.cluster.data, "-D", new.cluster.data, "-U", "postgres", "-s", work]
    account.run(["sh", "-c", 'cd "$0" && exec "$@"', work, program("pg_upgrade"), *paths, *clusters])
    new.start()


def test_pg_upgrade_takes_both_extensions_along(server: Server, shared_dir: Path) -> None:
    """Schemas, links, indexes and views over the types, from the oldest server of the run that has pgvector."""
    older = [one for one in installations() if one.major < server.major and one.has_extension("vector")]
    if not older or not server.has("vector"):
        pytest.skip("needs pgvector in two servers of RUVECTOR_TEST_PG")
    old, new = Server(older[0], shared_dir / "old"), Server(server.installation, shared_dir / "new")
    try:
        db = old.database(("vector", "ruvector"))
        db.execute(OLD_WORLD)
        content, seen = db.rows("SELECT t::text FROM t ORDER BY id"), db.rows("SELECT seen::text FROM seen ORDER BY id")
        db.execute("SET enable_seqscan = off")
        found = [db.column(query) for query in OLD_QUERIES]
        db.close()
        pg_upgrade(old, new, shared_dir)
        db = Database(new, db.name)
        assert db.rows("SELECT t::text FROM t ORDER BY id") == content
        assert db.rows("SELECT seen::text FROM seen ORDER BY id") == seen
        assert db.value("SELECT ruvector_link_pgvector()") == 0
        db.execute("SET enable_seqscan = off")
        for (query, index), before in zip(OLD_QUERIES.items(), found, strict=True):
            assert f"using {index} on" in db.plan(query)
            assert db.column(query) == before
        db.close()
    finally:
        for one in (old, new):
            one.stop("immediate")


EVERY_TYPE = """
    CREATE TABLE t (id int, r ruvector(3), h halfvec(3), s sparsevec(3), b bit(3));
    INSERT INTO t SELECT i, x, x, x, binary_quantize(x) FROM generate_series(1, 300) AS i, ruvector_random(3, i) AS x;
    CREATE INDEX graph ON t USING ruhnsw (r ruvector_cosine_ops);
    CREATE INDEX lists ON t USING ruivfflat (h halfvec_l2_ops) WITH (lists = 4);
    CREATE INDEX sparse ON t USING ruhnsw (s sparsevec_ip_ops);
    CREATE INDEX bits ON t USING ruhnsw (b bit_hamming_ops);
    CREATE INDEX hashed ON t USING hash (r);
    CREATE INDEX ordered ON t (s);
"""
# Query, and the index that answers it
EVERY_INDEX = {
    "SELECT id FROM t ORDER BY r <=> '[1,2,3]' LIMIT 5": "graph",
    "SELECT id FROM t ORDER BY h <-> '[1,2,3]' LIMIT 5": "lists",
    "SELECT id FROM t ORDER BY s <#> '{1:1,3:2}/3' LIMIT 5": "sparse",
    "SELECT b <~> B'110' FROM t ORDER BY b <~> B'110' LIMIT 5": "bits",
    "SELECT id FROM t WHERE r = ruvector_random(3, 77)": "hashed",
    "SELECT id FROM t WHERE s = ruvector_random(3, 78)::sparsevec": "ordered",
}


def oldest_upgradable(server: Server, shared_dir: Path) -> Server | None:
    """The oldest older server, running. One whose columns have options of their own is passed over: a vendor's build that
    marks them so is refused by every other's pg_upgrade, whatever the table."""
    for one in installations():
        if one.major >= server.major:
            continue
        old = Server(one, shared_dir / f"old{one.major}")
        db = old.database(())
        db.execute("CREATE TABLE plain (i int)")
        marked = db.value(
            "SELECT attoptions IS NOT NULL FROM pg_attribute WHERE attrelid = 'plain'::regclass AND attnum = 1"
        )
        db.close()
        if not marked:
            old.drop(db.name)
            return old
        old.stop("immediate")
    return None


def test_pg_upgrade_takes_every_type_and_index_along(server: Server, shared_dir: Path) -> None:
    """Without pgvector, from the oldest server of the run."""
    old = oldest_upgradable(server, shared_dir)
    if old is None:
        pytest.skip("needs an older server in RUVECTOR_TEST_PG, of a build that PostgreSQL's own can read")
    new = Server(server.installation, shared_dir / "new")
    try:
        db = old.database()
        db.execute(EVERY_TYPE)
        content = db.rows("SELECT t::text FROM t ORDER BY id")
        db.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        found = [db.column(query) for query in EVERY_INDEX]
        db.close()
        pg_upgrade(old, new, shared_dir)
        db = Database(new, db.name)
        assert db.rows("SELECT t::text FROM t ORDER BY id") == content
        db.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for (query, index), before in zip(EVERY_INDEX.items(), found, strict=True):
            assert f"{index} on" in db.plan(query)
            assert db.column(query) == before
        db.close()
    finally:
        for one in (old, new):
            one.stop("immediate")


def catalog(db: Database) -> list[tuple[object, ...]]:
    return db.rows(CATALOG)
