# SPDX-License-Identifier: PostgreSQL
"""A migration's memory: schema ``ruvector_migration`` in the database that is migrated.

One run at a time. A step and the note that it is done are one transaction, so a killed run knows exactly where it
stands; steps that cannot be in a transaction (CREATE INDEX CONCURRENTLY) are checked against the catalog when the run
goes on. A session-level advisory lock keeps a second tool out, also while the server still works for a client that
was killed.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.types.json import Jsonb

from .ddl import Pair
from .errors import MigrateError
from .model import View
from .progress import Progress
from .revive import view_from
from .sqlrun import Session

SCHEMA = "ruvector_migration"
_WAIT_S = 30.0

TABLES = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.run (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  strategy text NOT NULL CHECK (strategy IN ('parallel', 'in-place', 'blue-green')),
  phase text NOT NULL,
  options jsonb NOT NULL,
  late_views jsonb NOT NULL DEFAULT '[]',
  longest_lock_ms float8 NOT NULL DEFAULT 0,
  started timestamptz NOT NULL DEFAULT now(),
  changed timestamptz NOT NULL DEFAULT now()
)""",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.relation (
  run int NOT NULL REFERENCES {SCHEMA}.run ON DELETE CASCADE,
  oid oid NOT NULL,
  shadow_oid oid,
  schema text NOT NULL,
  name text NOT NULL,
  signature jsonb NOT NULL,
  last_key jsonb,
  rows_done bigint NOT NULL DEFAULT 0,
  rows_total bigint NOT NULL,
  complete boolean NOT NULL DEFAULT false,
  PRIMARY KEY (run, oid)
)""",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.pair (
  run int NOT NULL REFERENCES {SCHEMA}.run ON DELETE CASCADE,
  kind text NOT NULL,
  schema text NOT NULL,
  name text NOT NULL,
  shadow text NOT NULL,
  retired text NOT NULL,
  level int NOT NULL DEFAULT 0,
  PRIMARY KEY (run, kind, schema, name)
)""",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.step (
  run int NOT NULL REFERENCES {SCHEMA}.run ON DELETE CASCADE,
  seq int NOT NULL,
  phase text NOT NULL,
  title text NOT NULL,
  statements jsonb NOT NULL,
  outside boolean NOT NULL,
  index text,
  done timestamptz,
  PRIMARY KEY (run, seq)
)""",
)


@dataclass(frozen=True)
class Step:
    """SQL to run in one transaction; or, ``outside``, one statement at a time. ``index``: qualified name of the
    index it builds.
    """

    phase: str
    title: str
    statements: list[str]
    outside: bool = False
    index: str | None = None


@dataclass
class Run:
    """A migration as the state schema has it."""

    id: int
    strategy: str
    phase: str
    options: dict[str, Any]
    longest_lock_ms: float


@dataclass
class Relation:
    """How far one table of a run is; `last_key` is where its backfill goes on."""

    oid: int
    shadow_oid: int | None
    schema: str
    name: str
    signature: dict[str, Any]
    last_key: list[str] | None
    rows_done: int
    rows_total: int
    complete: bool


# Phases after which nothing of a run is left to do or undo.
CLOSED = ("rolled back", "finished")


class State:
    """Reads and writes the schema through a session. Writing methods take part in the caller's transaction if there
    is one.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.conn = session.conn

    def lock(self) -> None:
        """Take the advisory lock for this session.

        :raise MigrateError: another session has it for longer than half a minute.
        """
        until = time.monotonic() + _WAIT_S
        while not self.session.scalar("SELECT pg_try_advisory_lock(hashtextextended('ruvector_migration', 0))"):
            if time.monotonic() > until:
                raise MigrateError(
                    "another migration command is at work in this database",
                    hint="If it was killed, the server may still build its index: see pg_stat_progress_create_index.",
                )
            time.sleep(0.5)

    def exists(self) -> bool:
        return bool(self.session.scalar("SELECT to_regclass('ruvector_migration.run') IS NOT NULL"))

    def create(self) -> None:
        if not self.exists():
            self.session.transaction(TABLES)

    def current(self) -> Run | None:
        """The latest run, closed or not."""
        if not self.exists():
            return None
        row = self.conn.execute(
            "SELECT id, strategy, phase, options, longest_lock_ms FROM ruvector_migration.run ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else Run(*row)

    def open(self) -> Run:
        """The run that is going on.

        :raise MigrateError: there is none.
        """
        run = self.current()
        if run is None or run.phase in CLOSED:
            raise MigrateError("no migration is going on in this database", hint="Start one with: ruvector migrate")
        return run

    def begin(
        self, strategy: str, options: dict[str, Any], steps: list[Step], pairs: list[Pair], relations: list[Relation]
    ) -> Run:
        """Write the whole plan down, in the caller's transaction."""
        run_id = self.session.scalar(
            "INSERT INTO ruvector_migration.run (strategy, phase, options) VALUES (%s, 'planned', %s) RETURNING id",
            (strategy, Jsonb(options)),
        )
        with self.conn.cursor() as cursor:
            for number, step in enumerate(steps):
                cursor.execute(
                    "INSERT INTO ruvector_migration.step (run, seq, phase, title, statements, outside, index)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (run_id, number, step.phase, step.title, Jsonb(step.statements), step.outside, step.index),
                )
            for relation in relations:
                cursor.execute(
                    "INSERT INTO ruvector_migration.relation (run, oid, schema, name, signature, rows_total)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (
                        run_id,
                        relation.oid,
                        relation.schema,
                        relation.name,
                        Jsonb(relation.signature),
                        relation.rows_total,
                    ),
                )
        self.add_pairs(run_id, pairs)
        return Run(run_id, strategy, "planned", options, 0.0)

    def add_pairs(self, run: int, pairs: list[Pair], level: int = 0) -> None:
        for pair in pairs:
            self.conn.execute(
                "INSERT INTO ruvector_migration.pair (run, kind, schema, name, shadow, retired, level)"
                " VALUES (%(run)s, %(kind)s, %(schema)s, %(name)s, %(shadow)s, %(retired)s, %(level)s)",
                {"run": run, "level": level, **asdict(pair)},
            )

    def pairs(self, run: int) -> list[tuple[Pair, int]]:
        rows = self.conn.execute(
            "SELECT kind, schema, name, shadow, retired, level FROM ruvector_migration.pair WHERE run = %s"
            " ORDER BY level, kind, schema, name",
            (run,),
        ).fetchall()
        return [(Pair(*row[:5]), row[5]) for row in rows]

    def set_options(self, run: Run) -> None:
        self.conn.execute(
            "UPDATE ruvector_migration.run SET options = %s, changed = now() WHERE id = %s",
            (Jsonb(run.options), run.id),
        )

    def keep_views(self, run: int, views: list[View]) -> None:
        """Remember views (by their definitions of now) that are to be made again after the exchange."""
        self.conn.execute(
            "UPDATE ruvector_migration.run SET late_views = %s WHERE id = %s", (Jsonb([asdict(v) for v in views]), run)
        )

    def kept_views(self, run: int) -> list[View]:
        found = self.session.scalar("SELECT late_views FROM ruvector_migration.run WHERE id = %s", (run,))
        return [view_from(v) for v in found]

    def set_phase(self, run: Run, phase: str) -> None:
        if self.session.dry_run:
            return
        run.phase = phase
        run.longest_lock_ms = max(run.longest_lock_ms, self.session.longest_lock_ms)
        self.conn.execute(
            "UPDATE ruvector_migration.run SET phase = %s, changed = now(), longest_lock_ms = %s WHERE id = %s",
            (phase, run.longest_lock_ms, run.id),
        )

    def left(self, run: int) -> dict[str, int]:
        """How many steps of each phase are not done."""
        return dict(
            self.session.query(
                "SELECT phase, count(*) FROM ruvector_migration.step WHERE run = %s AND done IS NULL GROUP BY phase"
                " ORDER BY min(seq)",
                (run,),
            )
        )

    def steps(self, run: int, phase: str) -> list[tuple[int, Step]]:
        """The steps of ``phase`` not done yet, in order."""
        rows = self.conn.execute(
            "SELECT seq, phase, title, statements, outside, index FROM ruvector_migration.step"
            " WHERE run = %s AND phase = %s AND done IS NULL ORDER BY seq",
            (run, phase),
        ).fetchall()
        return [(row[0], Step(*row[1:])) for row in rows]

    def mark(self, run: int, seq: int) -> None:
        self.conn.execute(
            "UPDATE ruvector_migration.step SET done = clock_timestamp() WHERE run = %s AND seq = %s", (run, seq)
        )

    def relations(self, run: int) -> list[Relation]:
        rows = self.conn.execute(
            "SELECT oid::int8, shadow_oid::int8, schema, name, signature, last_key, rows_done, rows_total, complete"
            " FROM ruvector_migration.relation WHERE run = %s ORDER BY schema, name",
            (run,),
        ).fetchall()
        return [Relation(*row) for row in rows]

    def set_signature(self, run: int, oid: int, signature: dict[str, Any]) -> None:
        self.conn.execute(
            "UPDATE ruvector_migration.relation SET signature = %s WHERE run = %s AND oid = %s",
            (Jsonb(signature), run, oid),
        )

    def progress(self, run: int, oid: int, last_key: list[str] | None, rows: int, complete: bool) -> None:
        self.conn.execute(
            "UPDATE ruvector_migration.relation SET last_key = %s, rows_done = rows_done + %s, complete = %s"
            " WHERE run = %s AND oid = %s",
            (None if last_key is None else Jsonb(last_key), rows, complete, run, oid),
        )


def run_steps(state: State, run: Run, phase: str, progress: Progress) -> None:
    """Do what is left of ``phase``. Each step is one transaction with its mark; an index build is repaired and
    repeated.
    """
    session = state.session
    for seq, step in state.steps(run.id, phase):
        session.output.say(step.title)
        if not step.outside:
            session.transaction(step.statements, also=lambda seq=seq: state.mark(run.id, seq))  # type: ignore[misc]
            continue
        if step.index is not None:
            valid = session.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (step.index,))
            if valid is False and "CONCURRENTLY" in step.statements[0]:
                session.run(f"DROP INDEX CONCURRENTLY {step.index}")
            elif valid is not None:
                state.mark(run.id, seq)
                continue
        for text in step.statements:
            with progress.index(step.title, session.conn, session.dsn):
                session.run(text)
        state.mark(run.id, seq)
