# SPDX-License-Identifier: PostgreSQL
"""Catch-up between two servers without logical replication: triggers note the keys that changed, and the rows are
fetched again.

The log holds keys (as text, printed alike whatever the application's settings), not images: applying it means fetching
the rows of those keys as they are now and putting them in place of the other side's. So it may be applied twice, in
any order, and after a crash between the two commits. A noted change is deleted by its number once the other side has
committed; one whose transaction is still open is simply not seen yet, whatever its number. TRUNCATE is noted as a
change without a key, and the table is copied anew. The applying session runs as a replica, so no trigger or foreign
key of the application fires on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import Connection, errors

from . import catalog
from .errors import MigrateError
from .names import literal, qualified, quote
from .sqlrun import Session, statement
from .state import SCHEMA

if TYPE_CHECKING:
    from typing_extensions import LiteralString

TRIGGER = "!ruvector_log"
BLOCK = "!ruvector_moved"
_BATCH = 2000

_PLAIN: LiteralString = """
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS
persistence,
       c.relreplident::text AS identity,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
       ARRAY(SELECT a.attname::text FROM pg_constraint k, unnest(k.conkey) WITH ORDINALITY u(n, o), pg_attribute a
             WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid AND a.attnum = u.n ORDER BY u.o) AS
             key,
       ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_constraint k, unnest(k.conkey) WITH ORDINALITY u(n, o),
             pg_attribute a WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid AND a.attnum = u.n
             ORDER BY u.o) AS key_types
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname NOT IN ('information_schema',
'ruvector_migration')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype =
  'e')
ORDER BY n.nspname, c.relname"""


@dataclass(frozen=True)
class Plain:
    """A table as one that copies rows sees it. Partitioned tables have kind p and no rows of their own."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    identity: str
    columns: list[str]
    key: list[str]
    key_types: list[str]

    @property
    def qualified(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def column_list(self) -> str:
        return ", ".join(quote(c) for c in self.columns)

    @property
    def function(self) -> str:
        return f"{SCHEMA}.log_{self.oid}"


def plain_tables(conn: Connection[Any]) -> list[Plain]:
    """Every table of the application, partitions included."""
    with catalog.snapshot(conn):
        return [Plain(**row) for row in catalog.rows(conn, _PLAIN)]


def install(tables: list[Plain]) -> list[str]:
    """The log and its triggers.

    :raise MigrateError: a table has no primary key, so its changes cannot be noted.
    """
    bad = [t.qualified for t in tables if t.kind == "r" and not t.key]
    if bad:
        raise MigrateError(
            f"table {bad[0]} has no primary key: its changes cannot be followed",
            hint="Give it one, or set wal_level = logical for logical replication.",
        )
    work = [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"CREATE TABLE {SCHEMA}.change ("
        "seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, relation oid NOT NULL, key text[])",
    ]
    for table in (t for t in tables if t.kind == "r"):
        old = ", ".join(f"OLD.{quote(c)}::text" for c in table.key)
        new = ", ".join(f"NEW.{quote(c)}::text" for c in table.key)
        note = f"INSERT INTO {SCHEMA}.change (relation, key) VALUES ({table.oid}"
        body = f"""CREATE FUNCTION {table.function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, MDY'
SET intervalstyle = 'postgres' SET extra_float_digits = 3 AS $log$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    {note}, NULL);
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    {note}, ARRAY[{old}]);
  END IF;
  IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND ROW({old}) IS DISTINCT FROM ROW({new})) THEN
    {note}, ARRAY[{new}]);
  END IF;
  RETURN NULL;
END
$log$"""
        for events, level, suffix in (
            ("INSERT OR UPDATE OR DELETE", "ROW", ""),
            ("TRUNCATE", "STATEMENT", "_truncate"),
        ):
            name = quote(TRIGGER + suffix)
            trigger = f"CREATE TRIGGER {name} AFTER {events} ON {table.qualified}"
            work += [body] if not suffix else []
            work.append(f"{trigger} FOR EACH {level} EXECUTE FUNCTION {table.function}()")
            work.append(f"ALTER TABLE {table.qualified} ENABLE ALWAYS TRIGGER {name}")
    return work


def remove(session: Session) -> list[str]:
    """Statements that take the log and its triggers away, as far as they are there."""
    found = session.query(
        "SELECT quote_ident(t.tgname), n.nspname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgname LIKE '!ruvector\\_log%' AND t.tgparentid = 0"
    )
    work = [f"DROP TRIGGER {trigger} ON {qualified(schema, name)}" for trigger, schema, name in found]
    functions = session.query(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = to_regnamespace('ruvector_migration')"
        " AND p.proname LIKE 'log\\_%'"
    )
    work += [f"DROP FUNCTION {SCHEMA}.{quote(name)}()" for (name,) in functions]
    return [*work, f"DROP TABLE IF EXISTS {SCHEMA}.change"]


def block(tables: list[Plain], where: str) -> list[str]:
    """Refuse every write, saying where the database has moved. A replica's writes pass: they are the tool's own."""
    message = literal(f"this database has moved to {where}")
    work = [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"""CREATE OR REPLACE FUNCTION {SCHEMA}.moved() RETURNS trigger LANGUAGE plpgsql AS $moved$
BEGIN
  RAISE EXCEPTION USING MESSAGE = {message}, ERRCODE = 'read_only_sql_transaction';
END
$moved$""",
    ]
    return work + [
        f"CREATE TRIGGER {quote(BLOCK)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {t.qualified}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.moved()"
        for t in tables
    ]


def unblock(tables: list[Plain]) -> list[str]:
    work = [f"DROP TRIGGER IF EXISTS {quote(BLOCK)} ON {t.qualified}" for t in tables]
    return [*work, f"DROP FUNCTION IF EXISTS {SCHEMA}.moved()"]


def copy_table(source: Connection[Any], target: Connection[Any], table: Plain, told: Callable[[int], None]) -> int:
    """Replace the target's rows by the source's, in one transaction of the target. Text crosses the change of types."""
    with target.transaction():
        target.execute("SET LOCAL session_replication_role = replica")
        target.execute(statement(f"DELETE FROM ONLY {table.qualified}"))
        return _copy(source, target, table, f"SELECT {table.column_list} FROM ONLY {table.qualified}", None, told)


def _copy(
    source: Connection[Any],
    target: Connection[Any],
    table: Plain,
    query: str,
    parameters: list[Any] | None,
    told: Callable[[int], None],
) -> int:
    rows = 0
    with source.cursor() as reader, target.cursor() as writer:
        with writer.copy(statement(f"COPY {table.qualified} ({table.column_list}) FROM STDIN")) as into:
            with reader.copy(statement(f"COPY ({query}) TO STDOUT"), parameters) as out:
                for data in out:
                    into.write(data)
                    lines = bytes(data).count(b"\n")
                    rows += lines
                    told(lines)
    return rows


def pending(conn: Connection[Any]) -> int:
    """Changes noted and not applied yet: the lag, in rows."""
    row = conn.execute("SELECT count(*) FROM ruvector_migration.change").fetchone()
    return 0 if row is None else int(row[0])


def apply(source: Connection[Any], target: Connection[Any], tables: list[Plain]) -> int:
    """One batch of the source's log brought to the target. Returns how many changes it held; 0: there is nothing
    left.
    """
    found = source.execute(
        "SELECT seq, relation::int8, key FROM ruvector_migration.change ORDER BY seq LIMIT %s", (_BATCH,)
    ).fetchall()
    by_table: dict[int, list[list[str] | None]] = {}
    for _, relation, key in found:
        by_table.setdefault(relation, []).append(key)
    known = {t.oid: t for t in tables}
    for oid, keys in by_table.items():
        table = known.get(oid)
        if table is None:
            raise MigrateError("a table was made or dropped since the migration began", hint="Run: ruvector rollback")
        if any(key is None for key in keys):
            copy_table(source, target, table, lambda rows: None)
        else:
            _refetch(source, target, table, sorted({tuple(key) for key in keys if key is not None}))
    source.execute("DELETE FROM ruvector_migration.change WHERE seq = ANY (%s)", ([row[0] for row in found],))
    return len(found)


def _refetch(source: Connection[Any], target: Connection[Any], table: Plain, keys: list[tuple[str, ...]]) -> None:
    columns = [list(column) for column in zip(*keys, strict=True)]
    names = [f"u.c{n}" for n in range(len(columns))]
    listed = f"unnest({', '.join(['%s::text[]'] * len(columns))}) u({', '.join(n[2:] for n in names)})"
    same = " AND ".join(
        f"t.{quote(c)} = {n}::{kind}" for c, n, kind in zip(table.key, names, table.key_types, strict=True)
    )
    shown = ", ".join(f"t.{quote(c)}" for c in table.columns)
    query = f"SELECT {shown} FROM ONLY {table.qualified} t JOIN {listed} ON {same}"
    try:
        with target.transaction():
            target.execute("SET LOCAL session_replication_role = replica")
            target.execute(statement(f"DELETE FROM ONLY {table.qualified} t USING {listed} WHERE {same}"), columns)
            _copy(source, target, table, query, columns, lambda rows: None)
    except errors.UniqueViolation:
        # A row took a unique value from another whose own change is not in this batch.
        copy_table(source, target, table, lambda rows: None)
