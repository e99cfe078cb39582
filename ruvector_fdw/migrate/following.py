# SPDX-License-Identifier: PostgreSQL
"""How green follows blue: by PostgreSQL's logical replication, or by COPY and the log of changed keys (changelog.py).

First copy, lag, catching up, and the end of it. Logical replication's text format crosses the change of types. A
replication worker that fails is started again by its server for ever: its errors are counted, and told after a few.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import changelog
from .errors import MigrateError
from .names import literal
from .progress import Progress
from .sqlrun import Session
from .state import State

if TYPE_CHECKING:
    from .bluegreen import Pair

NAME = "ruvector_migration"
_ERRORS_MAX = 4


def first_copy(pair: Pair, source_dsn: str, progress: Progress) -> None:
    """All rows, once, with a way to get what changed meanwhile."""
    if pair.logical:
        _publish(pair)
        _subscribe(pair.green, source_dsn)
        _await_copies(pair, progress)
    else:
        _copy(pair, progress)


def _publish(pair: Pair) -> None:
    blue, run = pair.blue, pair.run
    if run is None or blue.query("SELECT 1 FROM pg_publication WHERE pubname = %s", (NAME,)):
        return
    tables = [t for t in pair.tables() if t.kind == "r" and t.persistence == "p"]
    run.options["full"] = [t.qualified for t in tables if not t.key and t.identity == "d"]
    full = [f"ALTER TABLE {name} REPLICA IDENTITY FULL" for name in run.options["full"]]
    publication = f"CREATE PUBLICATION {NAME} FOR TABLE {', '.join(t.qualified for t in tables)}"
    blue.transaction([*full, publication], also=lambda: State(blue).set_options(run))


def _subscribe(green: Session, source_dsn: str) -> None:
    if green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        return
    # As the subscription's owner and not as each table's, who need not have the rights yet that blue's schema grants last.
    as_owner = ", run_as_owner = true" if green.conn.info.server_version >= 160000 else ""
    connection = f"CREATE SUBSCRIPTION {NAME} CONNECTION {literal(source_dsn)}"
    green.run(f"{connection} PUBLICATION {NAME} WITH (binary = false{as_owner})")


def _await_copies(pair: Pair, progress: Progress) -> None:
    tables = [t for t in pair.tables() if t.kind == "r" and t.persistence == "p"]
    failing = _Failures(pair.green)
    with progress.task("tables copied", len(tables)) as moved:
        done = 0
        while True:
            states = [
                row[0]
                for row in pair.green.query(
                    "SELECT r.srsubstate::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid"
                    " WHERE s.subname = %s",
                    (NAME,),
                )
            ]
            ready = states.count("r")
            moved(ready - done)
            done = ready
            if ready == len(states) and ready >= len(tables):
                return
            failing.check()
            time.sleep(0.2)


class _Failures:
    """Errors of the subscription's workers since this object was made (PostgreSQL 15 and later count them)."""

    def __init__(self, green: Session) -> None:
        self.green = green
        self.before = self._count()

    def _count(self) -> int:
        if self.green.conn.info.server_version < 150000:
            return 0
        return int(
            self.green.scalar(
                "SELECT coalesce(sum(apply_error_count + sync_error_count), 0) FROM pg_stat_subscription_stats"
                " WHERE subname = %s",
                (NAME,),
            )
        )

    def check(self) -> None:
        """:raise MigrateError: the workers fail again and again."""
        count = self._count() - self.before
        if count > _ERRORS_MAX:
            raise MigrateError(
                f"replication fails on the target ({count} errors in a row)",
                hint="The target's server log says why. Mend it and give the command again, or: ruvector rollback",
            )


def _copy(pair: Pair, progress: Progress) -> None:
    """The log first, then every table; a table that was not finished is copied anew."""
    blue, green, run = pair.blue, pair.green, pair.run
    assert run is not None
    tables = pair.tables()
    if blue.scalar("SELECT to_regclass('ruvector_migration.change')") is None:
        blue.transaction(changelog.install(tables))
    done = set(run.options.get("copied", []))
    for table in (t for t in tables if t.kind == "r" and t.oid not in done):
        blue.output.sql(f"COPY {table.qualified} ({table.column_list}) TO STDOUT")
        total = int(blue.scalar("SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = %s", (table.oid,)))
        with progress.task(table.qualified, total) as moved:
            changelog.copy_table(blue.conn, green.conn, table, moved)
        done.add(table.oid)
        run.options["copied"] = sorted(done)
        State(blue).set_options(run)


def lag(pair: Pair) -> tuple[int, str]:
    """How far green is behind, and in what unit."""
    if pair.logical:
        bytes_behind = pair.blue.scalar(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 FROM pg_replication_slots"
            " WHERE slot_name = %s",
            (NAME,),
        )
        if bytes_behind is None:
            raise MigrateError("the replication slot is gone", hint="Run: ruvector rollback")
        return int(bytes_behind), "bytes of WAL"
    return changelog.pending(pair.blue.conn), "changed rows"


def catch_up(pair: Pair, timeout_s: float = 3600) -> None:
    """Until green is where blue was when it began (by the log: until nothing is left).

    :raise MigrateError: it takes longer than ``timeout_s``, or replication fails.
    """
    until = time.monotonic() + timeout_s
    if not pair.logical:
        tables = pair.tables()
        while changelog.apply(pair.blue.conn, pair.green.conn, tables):
            if time.monotonic() > until:
                raise MigrateError(
                    f"green does not catch up in {timeout_s:.0f} s: {lag(pair)[0]} changed rows are left"
                )
        return
    target = pair.blue.scalar("SELECT pg_current_wal_lsn()::text")
    failing = _Failures(pair.green)
    while True:
        reached = pair.blue.scalar(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", (target, NAME)
        )
        if reached:
            return
        if reached is None or time.monotonic() > until:
            amount, unit = lag(pair)
            raise MigrateError(
                f"green does not catch up in {timeout_s:.0f} s: {amount} {unit} behind",
                hint="See the target's server log.",
            )
        failing.check()
        time.sleep(0.05)


def drop_replication(pair: Pair) -> None:
    """Subscription, publication and what the publication needed go."""
    blue, green = pair.blue, pair.green
    if green.query("SELECT 1 FROM pg_subscription WHERE subname = %s", (NAME,)):
        green.run(f"DROP SUBSCRIPTION {NAME}")
    work = [f"DROP PUBLICATION IF EXISTS {NAME}"]
    full = pair.run.options.get("full", []) if pair.run else []
    work += [f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT" for name in full]
    blue.transaction(work)
