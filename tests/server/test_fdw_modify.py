# SPDX-License-Identifier: PostgreSQL
"""INSERT, UPDATE, DELETE, COPY, batches, RETURNING, triggers and transactions of wrappers written for Multicorn."""

from __future__ import annotations

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


def test_generated_columns_are_stored(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Ledger")
    fdw.table("g", "id int, twice int GENERATED ALWAYS AS (id * 2) STORED, note text")
    fdw.execute("INSERT INTO g (id, note) VALUES (4, 'x')")
    assert "('twice', 8)" in " ".join(fdw.said())
    fdw.execute("UPDATE g SET id = 5")
    assert fdw.rows("SELECT id, twice FROM g") == [(5, 10)]


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
