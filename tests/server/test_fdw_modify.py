# SPDX-License-Identifier: PostgreSQL
"""INSERT, UPDATE, DELETE, COPY, batches, RETURNING, triggers and transactions of wrappers written for Multicorn."""

from __future__ import annotations

import psycopg
import pytest
from fdw_database import FdwDatabase


@pytest.fixture
def ledger(fdw: FdwDatabase) -> FdwDatabase:
    fdw.server_for("classic.Ledger")
    fdw.table("ledger", "id int, note text, at date DEFAULT '2020-01-01'")
    return fdw


def calls(db: FdwDatabase) -> list[str]:
    return [line.split(" ", 1)[0] for line in db.said()]


@pytest.mark.core
def test_insert_update_delete_returning(ledger: FdwDatabase) -> None:
    assert ledger.rows("INSERT INTO ledger VALUES (1, 'x'), (2, NULL) RETURNING id, note") == [
        (1, "x"),
        (2, "made here"),
    ]
    assert ledger.said()[1] == "insert [('at', datetime.date(2020, 1, 1)), ('id', 1), ('note', 'x')]"
    assert ledger.rows("UPDATE ledger SET note = note || '!' WHERE id = 1 RETURNING *") == [
        (1, "x!", ledger.value("SELECT date '2020-01-01'"))
    ]
    assert "update 1 [('at', datetime.date(2020, 1, 1)), ('id', 1), ('note', 'x!')]" in ledger.said()
    assert ledger.rows("DELETE FROM ledger WHERE id = 2 RETURNING note, id") == [("made here", 2)]
    assert "delete 2" in ledger.said()
    assert ledger.column("SELECT note FROM ledger") == ["x!"]
    ledger.execute("UPDATE ledger SET id = 7")
    assert ledger.column("SELECT id FROM ledger") == [7]


@pytest.mark.core
def test_the_order_of_calls(ledger: FdwDatabase) -> None:
    ledger.execute("INSERT INTO ledger VALUES (1, 'x')")
    assert calls(ledger) == ["begin", "insert", "end_modify", "pre_commit", "commit"]
    ledger.execute("SELECT * FROM ledger")
    assert calls(ledger) == ["begin", "pre_commit", "commit"]


def test_serializable_is_told(ledger: FdwDatabase) -> None:
    ledger.execute("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM ledger; COMMIT")
    assert ledger.said()[0] == "begin 1"


@pytest.mark.core
def test_savepoints(ledger: FdwDatabase) -> None:
    ledger.execute("BEGIN")
    ledger.execute("INSERT INTO ledger VALUES (1, 'x')")
    ledger.said()
    ledger.execute("SAVEPOINT a; SAVEPOINT b")
    assert ledger.said() == []
    ledger.execute("INSERT INTO ledger VALUES (2, 'y')")
    assert calls(ledger) == ["sub_begin", "sub_begin", "insert", "end_modify"]
    ledger.execute("RELEASE b")
    assert ledger.said() == ["sub_commit 3"]
    ledger.execute("ROLLBACK TO a")
    assert ledger.said() == ["sub_rollback 2"]
    ledger.execute("COMMIT")
    assert ledger.said() == ["pre_commit", "commit"]


def test_a_failing_statement_rolls_back(ledger: FdwDatabase) -> None:
    ledger.execute("INSERT INTO ledger VALUES (1, 'x')")
    ledger.said()
    assert ledger.state("UPDATE ledger SET id = 1 / (id - 1)")[0] == "22012"
    assert calls(ledger)[-1] == "rollback"
    ledger.execute("BEGIN; SAVEPOINT s")
    assert ledger.state("UPDATE ledger SET id = 1 / (id - 1)")[0] == "22012"
    ledger.said()
    ledger.execute("ROLLBACK TO s; COMMIT")
    assert calls(ledger)[-2:] == ["pre_commit", "commit"]


@pytest.mark.core
def test_pre_commit_can_refuse(ledger: FdwDatabase) -> None:
    ledger.execute("CREATE TABLE beside (n int)")
    ledger.execute("BEGIN; INSERT INTO beside VALUES (1); INSERT INTO ledger VALUES (1, 'refuse')")
    ledger.said()
    assert ledger.state("COMMIT") == ("38000", "Error in python: ValueError")
    assert ledger.said() == ["pre_commit", "rollback"]
    assert ledger.rows("SELECT * FROM beside") == []


def test_prepared_transactions_are_refused(ledger: FdwDatabase) -> None:
    ledger.execute("BEGIN; INSERT INTO ledger VALUES (1, 'x')")
    assert ledger.state("PREPARE TRANSACTION 'p'")[0] == "0A000"
    assert calls(ledger)[-1] == "rollback"


def test_a_changed_table_in_a_transaction_still_commits_what_it_wrote(ledger: FdwDatabase) -> None:
    ledger.execute("BEGIN; INSERT INTO ledger VALUES (1, 'x')")
    ledger.execute("ALTER FOREIGN TABLE ledger OPTIONS (ADD anything 'x')")
    ledger.execute("INSERT INTO ledger VALUES (2, 'x')")
    ledger.said()
    ledger.execute("COMMIT")
    assert sorted(calls(ledger)) == ["commit", "commit", "pre_commit", "pre_commit"]


def test_transaction_aware_base_class(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Queue")
    fdw.table("q", "id int, note text")
    fdw.execute("BEGIN; INSERT INTO q VALUES (2, 'two'); UPDATE q SET note = 'x'; DELETE FROM q; COMMIT")
    assert fdw.said() == [
        "queued [('insert', {'id': 2, 'note': 'two'}), ('update', (1, {'id': 1, 'note': 'x'})), ('delete', 1)]"
    ]
    fdw.execute("BEGIN; INSERT INTO q VALUES (2, 'two'); ROLLBACK")
    fdw.execute("BEGIN; SELECT * FROM q; COMMIT")
    assert fdw.said() == ["queued []"]


# ---- batches ------------------------------------------------------------------------------------------------------


@pytest.fixture
def batched(ledger: FdwDatabase) -> FdwDatabase:
    ledger.execute("ALTER FOREIGN TABLE ledger OPTIONS (ADD batch '2')")
    return ledger


@pytest.mark.core
def test_bulk_insert_in_batches(batched: FdwDatabase) -> None:
    batched.execute("INSERT INTO ledger SELECT g, 'x' FROM generate_series(1, 5) g")
    assert [line for line in batched.said() if "insert" in line] == [
        f"bulk_insert {ids}" for ids in ([1, 2], [3, 4], [5])
    ]
    assert batched.value("SELECT count(*) FROM ledger") == 5


def test_returning_goes_row_by_row(batched: FdwDatabase) -> None:
    assert batched.rows("INSERT INTO ledger VALUES (1, NULL), (2, 'b'), (3, 'c') RETURNING id, note") == [
        (1, "made here"), (2, "b"), (3, "c"),
    ]  # fmt: skip
    assert calls(batched).count("insert") == 3


def test_a_returned_list_of_another_length_is_an_error(batched: FdwDatabase) -> None:
    batched.execute("ALTER FOREIGN TABLE ledger OPTIONS (ADD short 'yes')")
    assert batched.state("INSERT INTO ledger VALUES (1, 'x'), (2, 'y')") == (
        "HV000", "Returned list size does not match number of inserted values",
    )  # fmt: skip


@pytest.mark.core
def test_copy_from(batched: FdwDatabase) -> None:
    with batched.conn.cursor().copy("COPY ledger (id, note) FROM STDIN") as copy:
        for n in range(5):
            copy.write_row((n, f"row {n}"))
    assert batched.rows("SELECT id, note, at::text FROM ledger WHERE id > 2") == [
        (3, "row 3", "2020-01-01"), (4, "row 4", "2020-01-01"),
    ]  # fmt: skip


# ---- triggers, partitions, generated columns ------------------------------------------------------------------------


def test_triggers_see_rows(ledger: FdwDatabase) -> None:
    ledger.execute("CREATE TABLE log (line text)")
    ledger.execute(
        "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO log VALUES (TG_WHEN || ' ' || TG_OP || ' ' || coalesce(OLD.note, '-') || ' ' || "
        "coalesce(NEW.note, '-')); RETURN coalesce(NEW, OLD); END$$"
    )
    ledger.execute(
        "CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION note_it();"
        "CREATE TRIGGER b BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION note_it()"
    )
    ledger.execute("INSERT INTO ledger VALUES (1, NULL)")
    ledger.execute("UPDATE ledger SET note = 'new'")
    ledger.execute("DELETE FROM ledger")
    assert ledger.column("SELECT line FROM log") == [
        "AFTER INSERT - made here",
        "BEFORE UPDATE made here new",
        "AFTER UPDATE made here new",
        "BEFORE DELETE new -",
        "AFTER DELETE new -",
    ]


def test_rows_are_routed_to_a_foreign_partition(ledger: FdwDatabase) -> None:
    ledger.execute("CREATE TABLE whole (id int, note text, at date) PARTITION BY RANGE (id)")
    ledger.execute("ALTER TABLE whole ATTACH PARTITION ledger FOR VALUES FROM (0) TO (10)")
    ledger.execute("INSERT INTO whole VALUES (1, 'x', NULL), (2, 'y', NULL)")
    assert ledger.rows("SELECT id, note FROM whole WHERE id > 1") == [(2, "y")]
    ledger.execute("UPDATE whole SET note = 'z' WHERE id = 2; DELETE FROM whole WHERE id = 1")
    assert ledger.rows("SELECT id, note FROM whole") == [(2, "z")]


@pytest.fixture
def parts(fdw: FdwDatabase) -> FdwDatabase:
    """whole: foreign partitions l1 and l2, whose columns are numbered differently, and a heap partition."""
    fdw.server_for("classic.Ledger")
    fdw.execute("CREATE TABLE whole (id int, note text, at date) PARTITION BY RANGE (id)")
    fdw.execute("CREATE TABLE heap PARTITION OF whole FOR VALUES FROM (20) TO (30)")
    fdw.table("l1", "at date, id int, note text")
    fdw.table("l2", "note text, gone int, at date, id int")
    fdw.execute("ALTER FOREIGN TABLE l2 DROP COLUMN gone")
    fdw.execute("ALTER TABLE whole ATTACH PARTITION l1 FOR VALUES FROM (0) TO (10)")
    fdw.execute("ALTER TABLE whole ATTACH PARTITION l2 FOR VALUES FROM (10) TO (20)")
    fdw.execute("INSERT INTO whole VALUES (1, 'a', NULL), (11, 'b', '2024-02-29'), (21, 'c', NULL)")
    return fdw


@pytest.mark.core
def test_partitions_whose_columns_are_numbered_differently(parts: FdwDatabase) -> None:
    assert parts.rows("UPDATE whole SET note = note || '!' RETURNING id, note, at::text, tableoid::regclass::text") == [
        (1, "a!", None, "l1"), (11, "b!", "2024-02-29", "l2"), (21, "c!", None, "heap"),
    ]  # fmt: skip
    assert parts.rows("DELETE FROM whole WHERE id < 20 RETURNING *") == [
        (1, "a!", None), (11, "b!", parts.value("SELECT date '2024-02-29'")),
    ]  # fmt: skip
    assert parts.rows("DELETE FROM whole USING (VALUES ('c!')) v (n) WHERE note = n RETURNING whole.*, n") == [
        (21, "c!", None, "c!"),
    ]  # fmt: skip


@pytest.mark.core
def test_rows_that_move_into_a_foreign_partition(parts: FdwDatabase) -> None:
    parts.execute("UPDATE whole SET id = 2 WHERE id = 21 AND tableoid = 'heap'::regclass")
    assert parts.column("SELECT id FROM whole") in ([1, 11, 21], [1, 2, 11])
    parts.execute("UPDATE whole SET id = 3 WHERE id = 21")
    # the same partition would be updated afterwards: its new row could be met again
    parts.execute("INSERT INTO heap VALUES (22, 'd', NULL)")
    assert parts.state("UPDATE whole SET id = 4 WHERE note = 'd'") == (
        "0A000", 'cannot route tuples into foreign table to be updated "l1"',
    )  # fmt: skip
    assert parts.value("SELECT count(*) FROM whole WHERE note = 'd'") == 1


@pytest.mark.core
def test_inheritance_children(ledger: FdwDatabase) -> None:
    ledger.execute("CREATE TABLE parent (id int, note text, at date); ALTER FOREIGN TABLE ledger INHERIT parent")
    ledger.execute("INSERT INTO parent VALUES (1, 'own', NULL); INSERT INTO ledger VALUES (2, 'far')")
    assert ledger.rows("UPDATE parent SET note = note || id RETURNING id, note") == [(1, "own1"), (2, "far2")]
    assert ledger.rows("DELETE FROM parent RETURNING id, note, at IS NULL") == [(1, "own1", True), (2, "far2", False)]


def test_joins_in_changes_and_row_locks(ledger: FdwDatabase) -> None:
    ledger.execute("INSERT INTO ledger SELECT g, 'n' || g FROM generate_series(1, 4) g")
    ledger.execute("CREATE TABLE near AS SELECT g AS id, 'm' || g AS note FROM generate_series(3, 6) g")
    assert sorted(ledger.rows("SELECT l.id, n.note FROM ledger l JOIN near n USING (id) FOR UPDATE")) == [
        (3, "m3"), (4, "m4"),
    ]  # fmt: skip
    assert ledger.rows("SELECT id FROM ledger WHERE note = 'n2' FOR UPDATE OF ledger") == [(2,)]
    assert sorted(
        ledger.rows("UPDATE ledger l SET note = n.note FROM near n WHERE n.id = l.id RETURNING l.id, l.note, n.note")
    ) == [(3, "m3", "m3"), (4, "m4", "m4")]
    assert ledger.rows("DELETE FROM ledger l USING near n WHERE n.id = l.id + 1 RETURNING l.id, l.note, n.id") == [
        (2, "n2", 3), (3, "m3", 4), (4, "m4", 5),
    ]  # fmt: skip
    ledger.execute("WITH gone AS (DELETE FROM ledger RETURNING id) INSERT INTO near SELECT id, 'moved' FROM gone")
    assert ledger.rows("SELECT id FROM near WHERE note = 'moved'") == [(1,)]


def test_views_with_a_check(ledger: FdwDatabase) -> None:
    ledger.execute("ALTER FOREIGN TABLE ledger OPTIONS (ADD batch '5')")
    ledger.execute("CREATE VIEW few AS SELECT id, note FROM ledger WHERE id < 5 WITH CHECK OPTION")
    ledger.execute("INSERT INTO few VALUES (1, 'x'), (2, 'y')")
    assert ledger.state("INSERT INTO few VALUES (3, 'z'), (5, 'x')")[0] == "44000"
    ledger.execute("UPDATE few SET note = 'w' WHERE id = 2")
    assert ledger.state("UPDATE few SET id = 9")[0] == "44000"


def test_a_view_acts_for_its_owner(fdw: FdwDatabase) -> None:
    """The user mapping that counts is that of the view's owner, also where a change is planned."""
    fdw.server_for("classic.Ledger")
    fdw.execute("CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (rowid 'note')")
    fdw.table("t", "id int, note text")
    fdw.execute("CREATE VIEW v AS SELECT * FROM t; CREATE ROLE reader; GRANT ALL ON v TO reader")
    try:
        fdw.execute("INSERT INTO t VALUES (1, 'x')")
        fdw.said()
        fdw.execute("SET ROLE reader; DELETE FROM v; RESET ROLE")
        assert [line for line in fdw.said() if line.startswith("delete")] == ["delete 'x'"]
    except psycopg.Error as error:
        # the ledger keeps its rows by id; that it was asked with the note is what is looked for
        assert "KeyError" in str(error) and "delete 'x'" in fdw.said()
    finally:
        fdw.execute("RESET ROLE; DROP OWNED BY reader; DROP ROLE reader")


def test_generated_columns_are_stored(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Ledger")
    fdw.table("g", "id int, twice int GENERATED ALWAYS AS (id * 2) STORED, note text")
    fdw.execute("INSERT INTO g (id, note) VALUES (4, 'x')")
    assert "('twice', 8)" in " ".join(fdw.said())
    fdw.execute("UPDATE g SET id = 5")
    assert fdw.rows("SELECT id, twice FROM g") == [(5, 10)]


# ---- our own protocol -------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(fdw: FdwDatabase) -> FdwDatabase:
    fdw.server_for("vectors.Kept")
    fdw.table("kept", "id int, note text, twice int GENERATED ALWAYS AS (id * 2) STORED, embedding ruvector(2)")
    return fdw


@pytest.mark.core
def test_batches_changes_and_truncate_of_our_protocol(kept: FdwDatabase) -> None:
    kept.execute("INSERT INTO kept (id, note, embedding) SELECT g, 'n' || g, '[1,2]' FROM generate_series(1, 2500) g")
    assert kept.said() == ["insert_batch 1000", "insert_batch 1000", "insert_batch 500"]
    assert kept.rows("INSERT INTO kept (id) VALUES (0), (-1) RETURNING id, twice") == [(0, 0), (-1, -2)]
    assert kept.rows("UPDATE kept SET id = id + 1 WHERE note = 'n7' RETURNING id, twice, embedding::text") == [
        (8, 16, "[1,2]"),
    ]  # fmt: skip
    assert kept.said()[-1] == "update_row ['id', 'twice']"
    assert kept.rows("DELETE FROM kept WHERE note = 'n7' RETURNING note, twice") == [("n7", 16)]
    with kept.conn.cursor().copy("COPY kept (id, embedding) FROM STDIN") as copy:
        for row in ((70, "[3,4]"), (71, None)):
            copy.write_row(row)
    assert kept.rows("SELECT twice, embedding::text FROM kept WHERE id >= 70 AND note IS NULL") == [
        (140, "[3,4]"), (142, None),
    ]  # fmt: skip
    assert kept.state("INSERT INTO kept (id) VALUES (1) ON CONFLICT DO NOTHING") == (
        "0A000", 'ON CONFLICT is not supported on foreign table "kept"',
    )  # fmt: skip
    kept.execute("TRUNCATE kept")
    assert kept.value("SELECT count(*) FROM kept") == 0


@pytest.mark.core
def test_partitions_of_our_protocol(kept: FdwDatabase) -> None:
    kept.execute("CREATE TABLE whole (note text, id int) PARTITION BY LIST (id)")
    kept.table("k1", "id int, note text")
    kept.table("k2", "note text, id int")
    kept.execute("ALTER TABLE whole ATTACH PARTITION k1 FOR VALUES IN (1)")
    kept.execute("ALTER TABLE whole ATTACH PARTITION k2 FOR VALUES IN (2)")
    kept.execute("INSERT INTO whole SELECT 'n' || g, g % 2 + 1 FROM generate_series(1, 6) g")
    assert kept.rows("UPDATE whole SET note = note || '!' WHERE note > 'n4' RETURNING id, note") == [
        (1, "n6!"), (2, "n5!"),
    ]  # fmt: skip
    assert kept.rows("DELETE FROM whole WHERE note LIKE '%!' RETURNING note, id") == [("n6!", 1), ("n5!", 2)]
    assert kept.column("SELECT note FROM whole ORDER BY 1") == ["n1", "n2", "n3", "n4"]


# ---- what cannot be done ---------------------------------------------------------------------------------------------


def test_a_wrapper_that_only_reads(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.ReadOnly")
    fdw.table("r", "id int")
    assert fdw.rows("SELECT * FROM r") == []
    for statement in ("INSERT INTO r VALUES (1)", "UPDATE r SET id = 2", "DELETE FROM r"):
        assert fdw.state(statement) == ("0A000", "Error in python: NotImplementedError")
    assert fdw.state("TRUNCATE r") == ("0A000", "this foreign table cannot be truncated")


def test_a_rowid_column_that_is_not_there(ledger: FdwDatabase) -> None:
    ledger.execute("ALTER FOREIGN TABLE ledger OPTIONS (ADD rowid 'absent')")
    assert ledger.state("DELETE FROM ledger") == ("HV008", "The rowid attribute does not exist")


@pytest.mark.core
def test_analyze_counts_and_samples(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Numbers")
    fdw.table("numbers", "n int, name text, value float8", count=40000)
    fdw.execute("ANALYZE numbers")
    assert fdw.value("SELECT reltuples FROM pg_class WHERE relname = 'numbers'") == 40000
    assert fdw.value("SELECT n_distinct FROM pg_stats WHERE tablename = 'numbers' AND attname = 'n'") == -1
    bounds = fdw.value(
        "SELECT histogram_bounds::text::int[] FROM pg_stats WHERE tablename = 'numbers' AND attname = 'n'"
    )
    # a sample of 30,000 of 40,000: both ends are sampled, not only the first rows
    assert bounds[0] < 400
    assert bounds[-1] > 39600
