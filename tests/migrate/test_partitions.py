# SPDX-License-Identifier: PostgreSQL
"""Partitions that are attached, made, detached and exchanged while a parallel migration runs, with writers on the table."""

from __future__ import annotations

import itertools
import threading
from types import TracebackType

import psycopg
import pytest

from .conftest import World

SETUP = """
CREATE EXTENSION IF NOT EXISTS ruvector;
CREATE TABLE log (day int, id bigint, v vector(3), note text DEFAULT 'n', PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
CREATE INDEX log_v ON log USING hnsw (v vector_l2_ops);
CREATE INDEX log_note ON log (note);
INSERT INTO log SELECT i % 20, i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 400) i
"""
# One that has rows, columns in another order and an index of its own when it is attached; one that is made in its place.
ATTACH = """
CREATE TABLE log_3 (note text DEFAULT 'three', id bigint NOT NULL, day int NOT NULL, v vector(3), CHECK (id > 0));
INSERT INTO log_3 SELECT 'early', i, 20 + i % 10, ARRAY[i, 3, 3]::vector FROM generate_series(1, 150) i;
CREATE INDEX log_3_cos ON log_3 USING hnsw (v vector_cosine_ops);
ALTER TABLE log ATTACH PARTITION log_3 FOR VALUES FROM (20) TO (30);
CREATE TABLE log_4 PARTITION OF log FOR VALUES FROM (30) TO (40)
"""
ROWS = "SELECT day, id, v::text, note FROM {} ORDER BY 1, 2"


class Writer:
    """Inserts, updates and deletes on every day below `days`, until it is closed; what failed is in `failures`."""

    def __init__(self, dsn: str) -> None:
        self.dsn, self.days, self.done = dsn, 20, 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for n in itertools.count(100_000):
                if self._stop.is_set():
                    return
                day = n % self.days
                try:
                    conn.execute("INSERT INTO log (day, id, v) VALUES (%s, %s, '[1,2,3]')", (day, n))
                    conn.execute("UPDATE log SET note = note || '+' WHERE day = %s AND id = %s", (day, n - self.days))
                    conn.execute("UPDATE log SET day = %s WHERE id = %s", (n * 7 % self.days, n - 5))
                    conn.execute("DELETE FROM log WHERE id = %s", (n - 50,))
                except psycopg.Error as ex:
                    self.failures.append(str(ex))
                self.done += 1

    def wait(self, rounds: int = 60) -> None:
        """Until so many rounds more are through."""
        until = self.done + rounds
        while self.done < until and self._thread.is_alive():
            self._stop.wait(0.01)


@pytest.fixture
def log(world: World) -> World:
    world.execute(SETUP)
    return world


@pytest.mark.core
def test_partitions_attached_under_load_are_followed(log: World) -> None:
    with Writer(log.dsn) as writer:
        log.ruvector("migrate", "--strategy", "parallel", "--table", "log")
        log.execute(ATTACH)
        writer.days = 40
        writer.wait()
        assert writer.failures == []
        text = log.ruvector("cutover", code=1)
        assert "error: partitions of public.log changed since the migration began" in text
        assert "hint: Run ruvector migrate, which follows them, then ruvector cutover." in text
        assert log.value("SELECT count(*) FROM log_ruvector_rest") > 0
        assert "partitions of public.log: 2 new, 0 gone" in log.ruvector("migrate")
        writer.wait()
        log.execute("TRUNCATE log_4")
        assert log.ruvector_json("validate", "--queries", "2")["passed"]
        log.ruvector("cutover")
        writer.wait()
    assert writer.failures == []
    assert log.rows(ROWS.format("log")) == log.rows(ROWS.format("log_pgvector_old"))
    assert log.value("SELECT count(*) FROM log WHERE note = 'early'") == 150
    parts = log.column("SELECT relid::regclass::text FROM pg_partition_tree('log') WHERE isleaf ORDER BY 1")
    assert parts == ["log_1", "log_2", "log_3", "log_4"]
    indexes = dict(log.rows("SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('log_3', 'log_4')"))
    assert set(indexes) == {"log_3_pkey", "log_3_v_idx", "log_3_note_idx", "log_3_cos", "log_4_pkey", "log_4_v_idx",
                            "log_4_note_idx"}  # fmt: skip
    assert "USING ruhnsw (v ruvector_cosine_ops)" in indexes["log_3_cos"]
    assert log.value("SELECT bool_and(indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = indrelid WHERE relname ~ '^log'")
    with pytest.raises(psycopg.errors.CheckViolation, match='no partition of relation "log" found'):
        log.execute("INSERT INTO log (day, id) VALUES (99, 1)")


def test_back_and_forth_with_new_partitions(log: World) -> None:
    before = log.schema()
    log.ruvector("migrate", "--strategy", "parallel", "--table", "log")
    log.execute(ATTACH)
    log.ruvector("migrate")
    log.ruvector("cutover")
    log.execute("CREATE TABLE log_5 PARTITION OF log FOR VALUES FROM (40) TO (50); INSERT INTO log VALUES (45, 1, '[1,1,1]')")
    text = log.ruvector("rollback", code=1)
    assert "error: partition public.log_5 was attached after cutover" in text
    log.execute("ALTER TABLE log DETACH PARTITION log_5")
    log.ruvector("rollback")
    assert log.phase() == "ready"
    log.execute("DROP TABLE log_5; DROP TABLE log_4; ALTER TABLE log DETACH PARTITION log_3; DROP TABLE log_3")
    log.ruvector("migrate")
    log.ruvector("cutover")
    log.ruvector("rollback")
    log.ruvector("rollback")
    assert log.schema() == before


def test_a_partition_that_was_away_is_copied_anew(log: World) -> None:
    """What happens to it in between goes through no trigger."""
    log.ruvector("migrate", "--strategy", "parallel", "--table", "log")
    log.execute("ALTER TABLE log DETACH PARTITION log_2; UPDATE log_2 SET note = 'changed' WHERE id < 100")
    log.execute("DELETE FROM log_2 WHERE id > 300; ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM (10) TO (20)")
    assert "partitions of public.log changed" in log.ruvector("cutover", code=1)
    log.ruvector("migrate")
    assert log.ruvector_json("validate", "--queries", "2")["passed"]
    log.execute("ALTER TABLE log DETACH PARTITION log_1")
    assert "0 new, 1 gone" in log.ruvector("migrate")
    log.execute("TRUNCATE log_1")
    log.ruvector("cutover")
    assert log.rows(ROWS.format("log")) == log.rows(ROWS.format("log_pgvector_old"))


def test_a_run_killed_between_partition_and_rows_goes_on(log: World) -> None:
    log.ruvector("migrate", "--strategy", "parallel", "--table", "log")
    log.execute(ATTACH)
    log.ruvector("migrate")
    oid = log.value("SELECT 'log_3'::regclass::oid::int8")
    log.execute("DELETE FROM log_3_ruvector")
    log.execute("UPDATE ruvector_migration.run SET phase = 'partitions',"
                " options = jsonb_set(options, '{unfilled}', to_jsonb(ARRAY[%s]))", [oid])  # fmt: skip
    assert "cannot cut over in phase" in log.ruvector("cutover", code=1)
    log.ruvector("migrate")
    log.ruvector("cutover")
    assert log.value("SELECT count(*) FROM log_3") == 150
