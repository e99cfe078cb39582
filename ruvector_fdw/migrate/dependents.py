# SPDX-License-Identifier: PostgreSQL
"""What hangs on the tables of a migration from outside: views, foreign keys of other tables, and what cannot be
carried over.

Views are found through pg_depend and pg_rewrite, recursively, and ordered by their distance from the tables, so that
making them in order and dropping them in reverse order always works. Read inside
:func:`ruvector_fdw.migrate.catalog.snapshot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from .catalog import grants_of, rows, vector_types
from .model import IncomingKey, Rule, Table, Trigger, View

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_VIEWS: LiteralString = """
WITH RECURSIVE edge AS (
  SELECT DISTINCT w.ev_class AS view, d.refobjid AS source, d.refobjsubid AS attnum FROM pg_rewrite w
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm') WHERE d.refobjid <> w.ev_class),
reach AS (
  SELECT e.view, e.source AS root, 1 AS level, false AS over_matview FROM edge e
  WHERE e.source = ANY (%(tables)s::oid[]) AND (%(columns)s::text[] IS NULL OR e.attnum = 0
    OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = e.source AND a.attnum = e.attnum
               AND (e.source::int8::text || '.' || a.attname) = ANY (%(columns)s::text[])))
  UNION
  SELECT e.view, r.root, r.level + 1, r.over_matview OR c.relkind = 'm' FROM reach r JOIN edge e ON e.source = r.view
  JOIN pg_class c ON c.oid = r.view WHERE r.level < 64)
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       pg_get_viewdef(c.oid) AS definition, pg_get_userbyid(c.relowner) AS owner, coalesce(c.reloptions, '{}') AS
       options,
       obj_description(c.oid, 'pg_class') AS comment, c.relispopulated AS populated, max(r.level) AS level,
       array_agg(DISTINCT r.root::int8) AS roots, bool_or(r.over_matview) AS over_matview,
       coalesce((SELECT jsonb_object_agg(a.attname, col_description(c.oid, a.attnum)) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NOT NULL), '{}') AS
                 column_comments,
       coalesce((SELECT jsonb_object_agg(a.attname, pg_get_expr(f.adbin, f.adrelid)) FROM pg_attrdef f JOIN
       pg_attribute a
                 ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE f.adrelid = c.oid), '{}') AS defaults,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid ORDER BY i.indexrelid) AS
       indexes
FROM reach r JOIN pg_class c ON c.oid = r.view JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY c.oid, n.nspname ORDER BY max(r.level), n.nspname, c.relname"""

_VIEW_TRIGGERS: LiteralString = """
SELECT t.tgrelid::int8 AS table, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled,
       obj_description(t.oid, 'pg_trigger') AS comment FROM pg_trigger t
WHERE t.tgrelid = ANY (%(tables)s::oid[]) AND NOT t.tgisinternal ORDER BY 1, 2"""

_VIEW_RULES: LiteralString = """
SELECT w.ev_class::int8 AS table, w.rulename AS name, pg_get_ruledef(w.oid) AS definition, w.ev_enabled::text AS enabled,
       obj_description(w.oid, 'pg_rewrite') AS comment FROM pg_rewrite w
WHERE w.ev_class = ANY (%(tables)s::oid[]) AND w.rulename <> '_RETURN' ORDER BY 1, 2"""

_INCOMING: LiteralString = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS table, k.conname AS name,
       pg_get_constraintdef(k.oid) AS definition, c.relkind = 'p' AS partitioned,
       k.convalidated AS validated, obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (%(tables)s::oid[])
  AND NOT k.conrelid = ANY (%(but)s::oid[]) ORDER BY 1, 2"""

# What the tool does not carry over, one row each: where it stands, what it is, which strategies it stops ('' none: a
# note).
_UNSUPPORTED: LiteralString = """
SELECT x.object, x.problem, x.stops FROM (
  SELECT p.oid::regprocedure::text AS object, 'function takes or returns a type of pgvector' AS problem, '' AS stops
  FROM pg_proc p WHERE (p.prorettype = ANY (%(types)s::oid[]) OR p.proargtypes::oid[] && %(types)s::oid[]
      OR coalesce(p.proallargtypes, '{}') && %(types)s::oid[])
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                    AND d.deptype = 'e')
  UNION ALL
  SELECT p.oid::regprocedure::text, 'function takes or returns rows of ' || t.typrelid::regclass::text,
         'parallel' || CASE WHEN t.typrelid = ANY (%(views)s::oid[]) THEN ' in-place' ELSE '' END
  FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype OR t.oid = ANY (p.proargtypes::oid[])
    OR t.oid = ANY (coalesce(p.proallargtypes, '{}'))
  WHERE t.typrelid = ANY (%(tables)s::oid[] || %(views)s::oid[])
  UNION ALL
  SELECT DISTINCT p.oid::regprocedure::text, 'function with an SQL body depends on ' || d.refobjid::regclass::text,
         'parallel' || CASE WHEN d.refobjid = ANY (%(views)s::oid[]) OR d.refobjsubid <> 0 AND EXISTS (
           SELECT FROM pg_attribute a WHERE a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             AND a.atttypid = ANY (%(types)s::oid[])) THEN ' in-place' ELSE '' END
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_class'::regclass WHERE d.refobjid = ANY (%(tables)s::oid[] || %(views)s::oid[])
  UNION ALL
  SELECT c.oid::regclass::text, 'rule "' || w.rulename || '" on the table',
         'parallel' || CASE WHEN EXISTS (
           SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
           WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
             AND a.atttypid = ANY (%(types)s::oid[])) THEN ' in-place' ELSE '' END
  FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.oid = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT DISTINCT r.oid::regclass::text, 'is read by rule "' || w.rulename || '" of ' || c.oid::regclass::text, 'parallel'
  FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class AND c.relkind IN ('r', 'p')
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class r ON r.oid = d.refobjid
  WHERE r.oid = ANY (%(tables)s::oid[] || %(views)s::oid[]) AND NOT c.oid = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT DISTINCT r.oid::regclass::text, 'is read by policy "' || p.polname || '" of ' || p.polrelid::regclass::text ||
         ': drop the policy and make it again after cutover', 'parallel'
  FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_class'::regclass JOIN pg_class r ON r.oid = d.refobjid
  WHERE r.oid = ANY (%(tables)s::oid[] || %(views)s::oid[]) AND NOT p.polrelid = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT x.one::regclass::text, CASE WHEN x.one = i.inhrelid THEN 'inherits from ' || i.inhparent::regclass::text
         ELSE 'has the child ' || i.inhrelid::regclass::text END || ' (not a partition)', 'parallel'
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, unnest(ARRAY[i.inhrelid, i.inhparent]) x(one)
  WHERE NOT c.relispartition AND c.relkind <> 'I' AND x.one = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT coalesce(nullif(e.typrelid, 0), t.typrelid)::regclass::text, 'its rows are what column "' || a.attname || '" of '
         || c.oid::regclass::text || ' holds', 'parallel in-place'
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'c', 'f')
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  WHERE a.attnum > 0 AND NOT a.attisdropped AND coalesce(nullif(e.typrelid, 0), t.typrelid) = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT c.oid::regclass::text, 'is a typed table (OF ' || c.reloftype::regtype::text || ')', 'parallel'
  FROM pg_class c WHERE c.reloftype <> 0 AND c.oid = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT c.oid::regclass::text, 'is in publication "' || p.pubname || '" with all tables: its subscribers would get'
         ' changes of a double that they do not have', 'parallel'
  FROM pg_publication p, pg_class c WHERE p.puballtables AND c.oid = ANY (%(roots)s::oid[])
  UNION ALL
  SELECT c.oid::regclass::text, 'carries a security label', '' FROM pg_seclabel s JOIN pg_class c ON c.oid = s.objoid
  WHERE s.classoid = 'pg_class'::regclass AND c.oid = ANY (%(tables)s::oid[])
  UNION ALL
  SELECT c.oid::regclass::text, 'foreign table with a column of pgvector''s type: ALTER FOREIGN TABLE by hand', ''
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'f' AND a.atttypid = ANY
  (%(types)s::oid[])
  UNION ALL
  SELECT t.oid::regtype::text, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'composite type' END || ' over a type of pgvector', ''
  FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.oid = ANY (%(types)s::oid[]) AND (t.typtype = 'd' OR (t.typtype = 'c' AND c.relkind = 'c'))
) x ORDER BY 1, 2"""


_SCHEMA_PUBLICATIONS: LiteralString = """
SELECT c.oid::regclass::text AS object, 'is in publication "' || p.pubname || '" with its whole schema: its subscribers'
       ' would get changes of a double that they do not have' AS problem, 'parallel' AS stops
FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_class c
  ON c.relnamespace = s.pnnspid WHERE c.oid = ANY (%(roots)s::oid[]) ORDER BY 1, 2"""


@dataclass(frozen=True)
class Finding:
    """Something to know before migrating. ``stops`` names the strategies that cannot be used because of it."""

    object: str
    problem: str
    stops: tuple[str, ...] = ()


def views(conn: Connection[Any], tables: list[Table], columns: list[str] | None = None) -> list[View]:
    """Views and materialized views over ``tables``; with ``columns`` ("oid.name"), only over those columns (and
    views over such views).
    """
    found = rows(conn, _VIEWS, tables=[p.oid for t in tables for p in t.tree], columns=columns)
    oids = [row["oid"] for row in found]
    triggers: dict[int, list[Trigger]] = {}
    for row in rows(conn, _VIEW_TRIGGERS, tables=oids):
        triggers.setdefault(row.pop("table"), []).append(Trigger(columns=[], **row))
    rules: dict[int, list[Rule]] = {}
    for row in rows(conn, _VIEW_RULES, tables=oids):
        rules.setdefault(row.pop("table"), []).append(Rule(**row))
    grants = grants_of(conn, oids)
    return [
        View(grants=grants[r["oid"]], triggers=triggers.get(r["oid"], []), rules=rules.get(r["oid"], []), **r)
        for r in found
    ]


def incoming_keys(conn: Connection[Any], tables: list[Table], but: list[int]) -> list[IncomingKey]:
    """Foreign keys onto ``tables`` from any table not in ``but``."""
    return [IncomingKey(**row) for row in rows(conn, _INCOMING, tables=[t.oid for t in tables], but=but)]


def findings(conn: Connection[Any], tables: list[Table]) -> list[Finding]:
    """Everything about ``tables`` that a strategy cannot carry over, or that a person must look after."""
    types = list(vector_types(conn))
    oids = [p.oid for t in tables for p in t.tree]
    over = [v.oid for v in views(conn, tables)]
    roots = [t.oid for t in tables]
    found = rows(conn, _UNSUPPORTED, tables=oids, types=types, views=over, roots=roots)
    if conn.info.server_version >= 150000:
        found += rows(conn, _SCHEMA_PUBLICATIONS, roots=roots)
    result = [Finding(row["object"], row["problem"], tuple(row["stops"].split())) for row in found]
    for table in tables:
        result += _of_table(table)
    return result


def _of_table(table: Table) -> list[Finding]:
    result: list[Finding] = []
    name = table.qualified
    if table.vector_columns and not table.key:
        hint = "has neither a primary key nor a replica identity index: rows cannot be matched"
        result.append(Finding(name, hint, ("parallel",)))
    for column in table.vector_columns:
        if column.through in ("domain", "composite", "range"):
            text = f'column "{column.name}" is a {column.through} over {column.kind}: change the {column.through} first'
            result.append(Finding(name, text, ("parallel", "in-place")))
        if column.generated:
            result.append(Finding(name, f'column "{column.name}" is generated', ("in-place",)))
    for column in (c for c in table.derived_columns if c.kind is None):
        result.append(Finding(name, f'generated column "{column.name}" reads a vector column', ("in-place",)))
    for part in table.tree:
        for index in part.indexes:
            if not index.valid:
                result.append(Finding(part.qualified, f'index "{index.name}" is invalid: reindex or drop it'))
    if table.tree[0].kind == "p" and any(t.kind == "f" for t in table.partitions):
        result.append(Finding(name, "has a foreign table as a partition", ("parallel", "in-place", "blue-green")))
    return result
