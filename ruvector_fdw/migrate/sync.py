# SPDX-License-Identifier: PostgreSQL
"""Keeps a table's double equal to it: dual-write triggers, and the batches that bring the old rows over.

Why no row is lost or stale. The triggers are AFTER ROW triggers that write the row's newest image into the double
(upsert by key) in the application's own transaction; their name sorts before every other trigger's, so that what
another AFTER trigger then changes comes later. CREATE TRIGGER waits for the writers before it, so once it has
committed every change goes through it. The backfill locks its rows FOR KEY SHARE, so none of them can be deleted
before the batch commits, and inserts ON CONFLICT DO NOTHING, so an image that a trigger wrote is never overwritten by
an older one; a row whose newest image is still uncommitted is waited for. Batches are ranges of the key whose upper
end is read first, so a row whose key changes under the batch cannot move the end. Why the application never fails by
it: a batch that waits for a lock longer than its lock_timeout (shorter than deadlock_timeout) gives up and is halved,
so in a deadlock the batch is always the one that yields.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from .model import Table
from .names import RETIRED_SUFFIX, SHADOW_SUFFIX, Mapper, derived, literal, qualified, quote
from .sqlrun import Session, statement
from .state import SCHEMA

TRIGGER = "!ruvector_sync"
TRUNCATE = quote(TRIGGER + "_truncate")
BATCH_ROWS_DEFAULT = 2000
_BATCH_MIN = 20
_FAILURES_MAX = 600
# What a batch may meet of the application's: SerializationFailure is a row that moved to another partition under it.
_AGAIN = (errors.LockNotAvailable, errors.DeadlockDetected, errors.UniqueViolation, errors.SerializationFailure)


@dataclass(frozen=True)
class Link:
    """From a table to its double: the columns to write, each with its cast in that direction, and the key."""

    source: str
    target: str
    columns: list[str]
    casts: dict[str, str]
    key: list[str]
    fixed: list[str]
    truncates: list[tuple[str, str]]
    deferrable: list[str]
    function: str

    def values(self, prefix: str) -> str:
        return ", ".join(f"{prefix}{quote(c)}{self.casts.get(c, '')}" for c in self.columns)


def link(table: Table, mapper: Mapper, names: Callable[[str], tuple[str, str]], *, reverse: bool = False) -> Link:
    """The link of ``table`` (as it is described with pgvector's types) to its double.

    :param names: the present name of the original and of its double, from the original's own.
    :param reverse: from the double back to the original (after cutover).
    """

    def ends(t: Table) -> tuple[str, str]:
        old, new = (qualified(t.schema, n) for n in names(t.name))
        return (new, old) if reverse else (old, new)

    source, target = ends(table)
    stored = table.stored_columns
    types = {c.name: (c.type if reverse else mapper.rewrite(c.type)) for c in table.vector_columns}
    return Link(
        source=source,
        target=target,
        columns=[c.name for c in stored],
        casts={name: f"::{type_}" for name, type_ in types.items()},
        key=table.key,
        fixed=[c.name for c in stored if c.identity == "a"],
        truncates=[ends(t) for t in table.tree],
        deferrable=[
            qualified(table.schema, derived(k.name, RETIRED_SUFFIX if reverse else SHADOW_SUFFIX))
            for k in table.constraints
            if k.kind in "ux" and k.deferrable
        ],
        function=f"{SCHEMA}.{'back' if reverse else 'sync'}_{table.oid}",
    )


def create_triggers(to: Link) -> list[str]:
    """The trigger function (as its owner, so that applications need no right on the double) and its triggers."""
    columns = ", ".join(quote(c) for c in to.columns)
    changed = [c for c in to.columns if c not in to.key and c not in to.fixed]
    resolve = (
        f"DO UPDATE SET {', '.join(f'{quote(c)} = EXCLUDED.{quote(c)}' for c in changed)}" if changed else "DO NOTHING"
    )
    keys = ", ".join(quote(c) for c in to.key)
    same = " AND ".join(f"t.{quote(c)} = OLD.{quote(c)}" for c in to.key)
    moved = " OR ".join(f"OLD.{quote(c)} IS DISTINCT FROM NEW.{quote(c)}" for c in to.key)
    # The rows of one statement come one by one: what they break among themselves until the last is checked at commit.
    defer = f"  SET CONSTRAINTS {', '.join(to.deferrable)} DEFERRED;\n" if to.deferrable else ""
    function = f"""CREATE OR REPLACE FUNCTION {to.function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $sync$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE 'TRUNCATE ' || TG_ARGV[0] || ' CASCADE';
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF {moved} THEN
      DELETE FROM {to.target} t WHERE {same};
    END IF;
  ELSIF TG_OP = 'DELETE' THEN
    DELETE FROM {to.target} t WHERE {same};
    RETURN NULL;
  END IF;
{defer}  INSERT INTO {to.target} ({columns}) OVERRIDING SYSTEM VALUE
  VALUES ({to.values("NEW.")})
  ON CONFLICT ({keys}) {resolve};
  RETURN NULL;
END
$sync$"""
    statements = [function, f"REVOKE ALL ON FUNCTION {to.function}() FROM PUBLIC"]
    statements.append(
        f"CREATE TRIGGER {quote(TRIGGER)} AFTER INSERT OR UPDATE OR DELETE ON {to.source}"
        f" FOR EACH ROW EXECUTE FUNCTION {to.function}()"
    )
    statements.append(f"ALTER TABLE {to.source} ENABLE ALWAYS TRIGGER {quote(TRIGGER)}")
    for source, target in to.truncates:
        statements += truncate_trigger(to, source, target)
    return statements


def truncate_trigger(to: Link, source: str, target: str) -> list[str]:
    """For a table or one of its partitions: each needs one of its own."""
    function = f"{to.function}({literal(target)})"
    return [
        f"CREATE TRIGGER {TRUNCATE} AFTER TRUNCATE ON {source} FOR EACH STATEMENT EXECUTE FUNCTION {function}",
        f"ALTER TABLE {source} ENABLE ALWAYS TRIGGER {TRUNCATE}",
    ]


def drop_triggers(to: Link) -> list[str]:
    statements = [f"DROP TRIGGER IF EXISTS {quote(TRIGGER)} ON {to.source}"]
    statements += [f"DROP TRIGGER IF EXISTS {TRUNCATE} ON {source}" for source, _ in to.truncates]
    return [*statements, f"DROP FUNCTION IF EXISTS {to.function}()"]


def before_cutover(name: str) -> tuple[str, str]:
    """Names while the original serves: the original's and its double's."""
    return name, derived(name, SHADOW_SUFFIX)


def after_cutover(name: str) -> tuple[str, str]:
    """Names while the double serves."""
    return derived(name, "_pgvector_old"), name


def batch_sql(to: Link, *, first: bool, last: bool) -> str:
    """One batch as SQL: parameters are the key before it (unless ``first``) and its last key (unless ``last``), as
    text.
    """
    keys = ", ".join(quote(c) for c in to.key)
    slots = ", ".join(["%s"] * len(to.key))
    limits = ([] if first else [f"({keys}) > ({slots})"]) + ([] if last else [f"({keys}) <= ({slots})"])
    where = f" WHERE {' AND '.join(limits)}" if limits else ""
    columns = ", ".join(quote(c) for c in to.columns)
    return (
        f"WITH batch AS MATERIALIZED (SELECT {columns} FROM {to.source}{where} FOR KEY SHARE)\n"
        f"INSERT INTO {to.target} ({columns}) OVERRIDING SYSTEM VALUE\n"
        f"SELECT {to.values('batch.')} FROM batch ON CONFLICT ({keys}) DO NOTHING"
    )


def batch_end_sql(to: Link, *, first: bool) -> str:
    """The last key of a batch: parameters are the key before it (unless ``first``) and the number of rows less one."""
    keys = ", ".join(quote(c) for c in to.key)
    slots = ", ".join(["%s"] * len(to.key))
    where = "" if first else f" WHERE ({keys}) > ({slots})"
    texts = ", ".join(f"{quote(c)}::text" for c in to.key)
    return f"SELECT {texts} FROM {to.source}{where} ORDER BY {keys} OFFSET %s LIMIT 1"


def backfill(
    session: Session,
    to: Link,
    last_key: list[str] | None,
    batch_rows: int,
    note: Callable[[list[str] | None, int, bool], None],
) -> None:
    """Bring all rows after ``last_key`` over. ``note(last key, rows, complete)`` is called inside each batch's
    transaction.

    Rows counted are those this tool wrote; rows that a trigger had written first are not among them.
    """
    conn = session.conn
    deadlock_ms = int(session.scalar("SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'"))
    timeout = str(max(20, min(200, deadlock_ms // 3)))
    size, failures = batch_rows, 0
    complete = False

    def attempt(before: list[str] | None, rows: int) -> tuple[list[str] | None, bool]:
        began = time.monotonic()
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (timeout,))
            start: list[Any] = list(before or [])
            row = conn.execute(statement(batch_end_sql(to, first=before is None)), [*start, rows - 1]).fetchone()
            end = None if row is None else [str(value) for value in row]
            text = batch_sql(to, first=before is None, last=end is None)
            copied = conn.execute(statement(text), [*start, *(end or [])]).rowcount
            note(end or before, copied, end is None)
        session.longest_lock_ms = max(session.longest_lock_ms, (time.monotonic() - began) * 1000)  # of its rows
        return end or before, end is None

    while not complete:
        try:
            last_key, complete = attempt(last_key, size)
            size, failures = min(batch_rows, size * 2), 0
        except _AGAIN:
            if failures == _FAILURES_MAX:
                raise
            failures += 1
            size = max(_BATCH_MIN, size // 2)
            time.sleep(min(1.0, 0.02 * 2 ** min(failures, 6)))
