# SPDX-License-Identifier: PostgreSQL
"""The functions that tell about an index: statistics, memory, recall, prewarm, check (what it finds: test_index_damage.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from harness import Database, Server
from index_tables import add_rows, compare, make_index, make_table

CHECK = "SELECT place, problem FROM ruvector_index_check('items_idx')"


@pytest.mark.core
def test_statistics(db: Database) -> None:
    make_table(db, 1000)
    make_index(db, options="m = 8, ef_construction = 40")
    add_rows(db, 1001, 1010)
    row = db.execute("SELECT * FROM ruvector_index_stats('items_idx')")
    assert row.description is not None
    stats = dict(zip([column.name for column in row.description], row.fetchone() or (), strict=True))
    assert list(stats)[:6] == [
        "index_name", "index_size_mb", "vector_count", "dimensions", "build_time_seconds", "fragmentation_pct",
    ]  # fmt: skip
    assert stats["index_name"] == "items_idx"
    assert (stats["vector_count"], stats["dimensions"], stats["segments"], stats["delta_rows"]) == (1010, 32, 1, 10)
    assert (stats["access_method"], stats["metric"], stats["quantization"]) == ("ruhnsw", "l2", "sq8")
    assert float(stats["index_size_mb"]) == pytest.approx(db.value("SELECT pg_relation_size('items_idx')") / 2**20, abs=0.001)
    assert 0 < stats["build_time_seconds"] < 60
    assert stats["image_bytes"] > stats["vector_bytes"] > 1000 * 32
    memory = db.rows("SELECT mapped_images, mapped_bytes, image_files, image_file_bytes FROM ruvector_memory_stats()")[0]
    assert memory == (1, stats["image_bytes"], 1, stats["image_bytes"])
    assert db.value("SELECT ruvector_prewarm('items_idx')") == stats["image_bytes"]


def test_recall_agrees_with_a_comparison_by_hand(db: Database) -> None:
    make_table(db, 3000)
    make_index(db)
    add_rows(db, 3001, 3100)
    for ef in (1, 10, 200):
        db.execute(f"SET ruvector.ef_search = {ef}; SET ruvector.iterative_scan = off")
        measured = db.value("SELECT ruvector_recall('items_idx', 60, 10)")
        by_hand = compare(db, k=10, queries=60).recall
        # the two ask for different rows: 600 answers each, so three standard errors are at most 0.09
        assert measured == pytest.approx(by_hand, abs=0.09)
    assert measured > 0.99
    for wrong in ("0, 10", "10, 0", "10001, 10", "10, 1001"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            db.execute(f"SELECT ruvector_recall('items_idx', {wrong})")


@pytest.mark.core
def test_who_may_maintain(db: Database) -> None:
    """Whoever may VACUUM the table: its owner, the database's, and from 17 on who has MAINTAIN."""
    make_table(db, 100)
    make_index(db)
    db.execute("DROP ROLE IF EXISTS ruvector_helper; CREATE ROLE ruvector_helper")
    call = "SELECT ruvector_index_maintenance('items_idx')"
    if db.server.major >= 17:
        db.execute("GRANT MAINTAIN ON items TO ruvector_helper; SET ROLE ruvector_helper")
        db.execute(call)
        db.execute("RESET ROLE; REVOKE MAINTAIN ON items FROM ruvector_helper; GRANT pg_maintain TO ruvector_helper")
        db.execute(f"SET ROLE ruvector_helper; {call}; RESET ROLE; REVOKE pg_maintain FROM ruvector_helper")
    db.execute("SET ROLE ruvector_helper")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="^must be owner of index items_idx"):
        db.execute(call)
    db.execute(f"RESET ROLE; ALTER DATABASE {db.name} OWNER TO ruvector_helper; SET ROLE ruvector_helper; {call}; RESET ROLE")
    db.execute(f"ALTER DATABASE {db.name} OWNER TO CURRENT_USER; DROP OWNED BY ruvector_helper; DROP ROLE ruvector_helper")


@pytest.mark.core
def test_functions_of_an_index_run_as_its_owner(db: Database) -> None:
    """A superuser who looks at an index must not run its owner's expression with a superuser's rights."""
    db.execute("DROP ROLE IF EXISTS ruvector_owner; CREATE ROLE ruvector_owner; GRANT CREATE ON SCHEMA public TO ruvector_owner")
    db.execute(
        "SET ROLE ruvector_owner; CREATE TABLE items (id serial, embedding ruvector(3)); "
        "CREATE FUNCTION seen(v ruvector) RETURNS ruvector LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN RAISE NOTICE 'as %', current_user; RETURN v; END $$; "
        "INSERT INTO items (embedding) SELECT ARRAY[i, 1, 2]::ruvector FROM generate_series(1, 20) i; "
        "CREATE INDEX items_idx ON items USING ruhnsw ((seen(embedding)::ruvector(3)) ruvector_l2_ops); RESET ROLE"
    )
    notices: list[str] = []
    db.conn.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    for call in ("index_stats", "index_check", "recall", "prewarm", "index_maintenance"):
        db.execute(f"SELECT ruvector_{call}('items_idx')")
        assert db.value("SELECT current_user") != "ruvector_owner"
    assert notices.count("as ruvector_owner") > 20
    assert [one for one in notices if one.startswith("as ")].count("as ruvector_owner") == sum(n.startswith("as ") for n in notices)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        db.execute("SELECT ruvector_recall('items_idx', 0)")
    db.execute("DROP OWNED BY ruvector_owner; DROP ROLE ruvector_owner")


@pytest.mark.core
def test_what_is_no_index_of_ours(db: Database) -> None:
    make_table(db, 10)
    db.execute("CREATE TABLE parts (id int, embedding ruvector(3)) PARTITION BY LIST (id)")
    db.execute("CREATE INDEX parts_idx ON parts USING ruhnsw (embedding ruvector_l2_ops); CREATE SEQUENCE numbers")
    for name, error, message in (
        ("items", psycopg.errors.WrongObjectType, '"items" is not an index'),
        ("numbers", psycopg.errors.WrongObjectType, '"numbers" is not an index'),
        ("items_pkey", psycopg.errors.WrongObjectType, '"items_pkey" is not a ruhnsw or ruivfflat index'),
        ("parts_idx", psycopg.errors.WrongObjectType, '"parts_idx" is a partitioned index'),
        ("12345678", psycopg.errors.UndefinedTable, "relation with OID 12345678 does not exist"),
    ):
        for call in ("index_stats", "index_check", "recall", "prewarm", "index_maintenance"):
            with pytest.raises(error, match="^" + message):
                db.execute(f"SELECT ruvector_{call}('{name}')")


@pytest.mark.core
def test_memory_statistics_follow_the_session(db: Database) -> None:
    make_table(db, 1000)
    make_index(db)
    db.reconnect()
    assert db.rows("SELECT mapped_images, mapped_bytes FROM ruvector_memory_stats()") == [(0, 0)]
    db.value("SELECT ruvector_prewarm('items_idx')")
    assert db.value("SELECT mapped_images FROM ruvector_memory_stats()") == 1
    before = db.value("SELECT cache_bytes FROM ruvector_memory_stats()")
    add_rows(db, 1001, 1500)
    db.execute("SET enable_seqscan = off")
    db.rows("SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1) LIMIT 1")
    # 500 vectors of 32 floats, decoded
    assert db.value("SELECT cache_bytes FROM ruvector_memory_stats()") >= before + 500 * 32 * 4
    db.execute("DROP INDEX items_idx")
    assert db.rows("SELECT mapped_images, mapped_bytes FROM ruvector_memory_stats()") == [(0, 0)]


@pytest.mark.core
def test_memory_statistics_of_all_sessions(db: Database) -> None:
    """Of each as it left them with its last scan; gone with the session, and with the index; of this database only."""
    make_table(db, 1000)
    make_index(db)
    add_rows(db, 1001, 1500)
    db.reconnect()
    own = "SELECT mapped_bytes, cache_bytes FROM ruvector_memory_stats()"
    everyone = "SELECT sessions, all_mapped_bytes, all_cache_bytes FROM ruvector_memory_stats()"
    search = "SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1) LIMIT 1"
    while db.rows(everyone) != [(0, 0, 0)]:  # the session that made the index is about to exit
        pass
    with db.connect() as one, db.connect() as two:
        for conn in (one, two):
            conn.execute("SET enable_seqscan = off")
            conn.execute(search)
        held = [conn.execute(own).fetchone() or () for conn in (one, two)]
        assert min(held[0][1], held[1][1]) >= 500 * 32 * 4
        assert db.rows(everyone) == [(2, held[0][0] + held[1][0], held[0][1] + held[1][1])]
        # anyone may ask, of another database there is nothing to be seen
        db.execute("DROP ROLE IF EXISTS ruvector_helper; CREATE ROLE ruvector_helper; SET ROLE ruvector_helper")
        assert db.rows(everyone)[0][0] == 2
        db.execute("RESET ROLE; DROP ROLE ruvector_helper")
        elsewhere = db.server.database()
        assert elsewhere.rows(everyone) == [(0, 0, 0)]
        elsewhere.close()
        db.server.drop(elsewhere.name)
        one.close()
        while (found := db.rows(everyone)[0])[0] == 2:
            pass
        assert found == (1, *held[1])
        db.execute("DROP INDEX items_idx")
        two.execute("SELECT 1 FROM items LIMIT 1")
        assert db.rows("SELECT all_mapped_bytes FROM ruvector_memory_stats()") == [(0,)]


def test_privileges(db: Database) -> None:
    make_table(db, 100)
    make_index(db)
    db.execute("DROP ROLE IF EXISTS ruvector_reader")
    db.execute("CREATE ROLE ruvector_reader; SET ROLE ruvector_reader")
    for call in ("index_stats", "index_check", "recall", "prewarm"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(f"SELECT ruvector_{call}('items_idx')")
    db.execute("RESET ROLE; GRANT SELECT ON items TO ruvector_reader; SET ROLE ruvector_reader")
    for call in ("index_stats", "index_check", "recall", "prewarm"):
        db.execute(f"SELECT ruvector_{call}('items_idx')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner"):
        db.execute("SELECT ruvector_index_maintenance('items_idx')")
    db.execute("RESET ROLE; DROP OWNED BY ruvector_reader; DROP ROLE ruvector_reader")
    for other, message in (("items", "is not an index"), ("items_pkey", "is not a ruhnsw or ruivfflat index")):
        with pytest.raises(psycopg.errors.WrongObjectType, match=message):
            db.execute(f"SELECT * FROM ruvector_index_stats('{other}')")


@pytest.mark.core
def test_check_finds_nothing_in_a_sound_index(db: Database) -> None:
    make_table(db, 1000)
    make_index(db)
    assert db.rows(CHECK) == []
    add_rows(db, 1001, 1200)
    db.execute("UPDATE items SET category = -category WHERE id % 3 = 0")
    db.execute("DELETE FROM items WHERE id % 5 = 0")
    assert db.rows(CHECK) == []
    db.execute("VACUUM items")
    assert db.rows(CHECK) == []
    db.execute("SELECT ruvector_index_maintenance('items_idx')")
    assert db.rows(CHECK) == []


def test_check_is_cancelled(db: Database) -> None:
    """In the midst of its own pass over a segment, too, which looks for interrupts itself."""
    make_table(db, 20000, dims=64)
    db.execute("SET maintenance_work_mem = '256MB'")
    make_index(db, options="m = 8, ef_construction = 16")
    check = "SELECT * FROM ruvector_index_check('items_idx')"
    began = time.monotonic()
    assert db.rows(check) == []
    took = time.monotonic() - began
    cancelled = 0
    for step in range(1, 20):
        db.execute(f"SET statement_timeout = {max(1, int(took * 1000 * step / 20))}")
        try:
            assert db.rows(check) == []
        except psycopg.errors.QueryCanceled:
            cancelled += 1
    db.execute("RESET statement_timeout")
    assert cancelled > 0
    assert db.rows(check) == []
    db.execute("SELECT ruvector_index_maintenance('items_idx')")


def test_check_finds_rows_that_are_missing_and_images_that_differ(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database()
    make_table(db, 500)
    make_index(db)
    # the heap gets rows behind the index's back
    db.execute("UPDATE pg_index SET indisready = false WHERE indexrelid = 'items_idx'::regclass")
    db.reconnect()
    add_rows(db, 501, 503)
    db.execute("UPDATE pg_index SET indisready = true WHERE indexrelid = 'items_idx'::regclass")
    db.reconnect()
    assert [place for place, _ in db.rows(CHECK)] == ["table"] * 3
    db.execute("REINDEX INDEX items_idx")
    assert db.rows(CHECK) == []
    node = db.value("SELECT pg_relation_filenode('items_idx')")
    [image] = server.cluster.data.glob(f"pgsql_tmp_ruvector/*/*_{node}_*")
    good = image.read_bytes()
    image.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    assert db.rows(CHECK) == [("segment 0", "the image differs from the pages")]
    db.close()


@pytest.mark.core
def test_what_a_scan_did(db: Database) -> None:
    make_table(db, 2000)
    make_index(db)
    add_rows(db, 2001, 2010)
    literal = db.value("SELECT embedding::text FROM items WHERE id = 9")
    query = f"SELECT id FROM items ORDER BY embedding <-> '{literal}' LIMIT 10"
    db.execute("SET enable_seqscan = off; SET ruvector.ef_search = 50")
    plan = db.plan(query, options="ANALYZE, VERBOSE, COSTS OFF, TIMING OFF")
    names = "segments, delta_rows, ef_search, batches, candidates, exact_distances, nodes_visited"
    segments, delta, ef, batches, candidates, exact, visited = db.rows(f"SELECT {names} FROM ruvector_last_scan()")[0]
    assert (segments, delta, ef, batches, candidates) == (1, 10, 50, 1, 50)
    # the bounds save most of the heap visits: 10 rows are returned, 50 are candidates
    assert 9 <= exact <= 30
    assert 50 <= visited <= 2000
    # from 18 on below the node, before that at the end
    for line in ("Segments: 1", "Delta Rows: 10", "Ef Search: 50", "Candidates: 50", f"Exact Distances: {exact}",
                 f"Nodes Visited: {visited}"):  # fmt: skip
        assert line in plan, plan
    short = db.plan(query, options="ANALYZE, COSTS OFF, TIMING OFF")
    assert ("Segments: 1" in short) == (db.server.major >= 18)
    assert "Nodes Visited" not in short
    [found] = db.column(f"EXPLAIN (ANALYZE, VERBOSE, FORMAT json) {query}")
    node = found[0]["Plan"]["Plans"][0] if db.server.major >= 18 else found[1]
    assert (node["Segments"], node["Delta Rows"], node["Ef Search"], node["Candidates"]) == (1, 10, 50, 50)
    if db.server.major < 18:
        assert node["Index Search"] == "items_idx"
    # nor does it matter that the statement was prepared
    db.execute(f"PREPARE nearest (int) AS {query.replace('LIMIT 10', 'LIMIT $1')}")
    for options in ("ANALYZE, VERBOSE, COSTS OFF, TIMING OFF", "ANALYZE, COSTS OFF, TIMING OFF", "VERBOSE", "COSTS OFF"):
        by_name, by_text = db.plan("EXECUTE nearest (10)", options=options), db.plan(query, options=options)
        assert by_name.count("Segments: 1") == by_text.count("Segments: 1"), by_name
        assert by_name.count("Nodes Visited: ") == by_text.count("Nodes Visited: ")
        assert "Limit" in by_name
    assert "Segments: 1" in db.plan("CREATE TABLE found AS EXECUTE nearest (10)", options="ANALYZE, VERBOSE")
    [found] = db.column("EXPLAIN (ANALYZE, VERBOSE, FORMAT json) EXECUTE nearest (10)")
    node = found[0]["Plan"]["Plans"][0] if db.server.major >= 18 else found[1]
    assert (node["Segments"], node["Candidates"]) == (1, 50)
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        db.execute("EXPLAIN (ANALYZE, VERBOSE) EXECUTE farthest (10)")
    # a bound that is reached is told
    db.execute("SET ruvector.max_scan_tuples = 100")
    plan = db.plan(query.replace("ORDER", "WHERE id < category ORDER"), options="ANALYZE, VERBOSE")
    assert "Scan Ended By: max_scan_tuples" in plan, plan
    # within an error nothing is left behind
    with pytest.raises(psycopg.errors.DivisionByZero):
        db.execute(f"EXPLAIN (ANALYZE, VERBOSE) SELECT id / 0 FROM items ORDER BY embedding <-> '{literal}' LIMIT 1")
    assert db.plan(query, options="ANALYZE, VERBOSE").count("Segments: ") == 1
