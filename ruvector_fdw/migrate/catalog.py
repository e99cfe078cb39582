# SPDX-License-Identifier: PostgreSQL
"""Reads what a database holds of pgvector: extensions, tables with everything that hangs on them.

Decides what counts as a vector column (a type that is a member of extension ``vector``, or a domain over or an array
of one) and which tables a migration touches (a vector column, or an index of pgvector's access methods). Reads only;
the caller's transaction must be one snapshot (REPEATABLE READ READ ONLY), which :func:`snapshot` makes. Source:
PostgreSQL manual, chapter "System Catalogs"; works on 14 to 18.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import Connection
from psycopg.rows import dict_row

from .model import Column, Constraint, Grant, Index, Policy, Statistics, Table, Trigger
from .names import Extension

if TYPE_CHECKING:
    from typing_extensions import LiteralString

Row = dict[str, Any]

_EXTENSION: LiteralString = """
SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema,
       coalesce((SELECT jsonb_object_agg(t.typname, s.nspname) FROM pg_depend d JOIN pg_type t ON t.oid = d.objid
                 JOIN pg_namespace s ON s.oid = t.typnamespace
                 WHERE d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                   AND d.classid = 'pg_type'::regclass AND t.typelem = 0), '{}') AS types,
       coalesce((SELECT jsonb_object_agg(p.proname, s.nspname ORDER BY p.pronamespace = e.extnamespace) FROM pg_depend
       d JOIN pg_proc p ON p.oid = d.objid
                 JOIN pg_namespace s ON s.oid = p.pronamespace
                 WHERE d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                   AND d.classid = 'pg_proc'::regclass), '{}') AS functions,
       coalesce((SELECT jsonb_object_agg(o.oprname, s.nspname ORDER BY o.oprnamespace = e.extnamespace) FROM pg_depend d
                 JOIN pg_operator o ON o.oid = d.objid JOIN pg_namespace s ON s.oid = o.oprnamespace
                 WHERE d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                   AND d.classid = 'pg_operator'::regclass), '{}') AS operators,
       coalesce((SELECT jsonb_agg(jsonb_build_array(a.amname, c.opcname, s.nspname) ORDER BY (c.opcintype =
       'bit'::regtype)
                 <> EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_opclass'::regclass AND d.objid = c.oid
                            AND d.refobjid = e.oid AND d.deptype = 'e')) FROM pg_opclass c
                 JOIN pg_am a ON a.oid = c.opcmethod JOIN pg_namespace s ON s.oid = c.opcnamespace
                 WHERE a.amname IN ('hnsw', 'ivfflat', 'ruhnsw', 'ruivfflat')), '[]') AS opclasses,
       ARRAY(SELECT a.amname FROM pg_depend d JOIN pg_am a ON a.oid = d.objid
             WHERE d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
               AND d.classid = 'pg_am'::regclass)::text[] AS access_methods
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = %s"""

# Types of pgvector, followed through domains, arrays, composites and ranges: oid -> (base kind, how). An array of a domain
# is a domain here: what it takes to change it is the same.
_VECTOR_TYPES: LiteralString = """
WITH RECURSIVE base AS (
  SELECT t.oid, t.typname::text AS kind, 'type' AS through FROM pg_type t
  JOIN pg_depend d ON d.objid = t.oid AND d.classid = 'pg_type'::regclass AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'vector'
  WHERE t.typname IN ('vector', 'halfvec', 'sparsevec')
  UNION
  SELECT t.oid, b.kind, CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range'
         WHEN 'm' THEN 'range' ELSE CASE b.through WHEN 'type' THEN 'array' ELSE b.through END END
  FROM base b JOIN pg_type t
    ON (t.typtype = 'd' AND t.typbasetype = b.oid) OR (t.typcategory = 'A' AND t.typelem = b.oid)
    OR (t.typtype IN ('r', 'm') AND EXISTS (SELECT FROM pg_range r WHERE r.rngsubtype = b.oid
        AND t.oid IN (r.rngtypid, r.rngmultitypid)))
    OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid
        WHERE k.reltype = t.oid AND k.relkind = 'c' AND a.atttypid = b.oid AND NOT a.attisdropped)))
SELECT DISTINCT ON (oid) oid, kind, through FROM base ORDER BY oid"""

_TABLES: LiteralString = """
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
pg_get_userbyid(c.relowner) AS owner,
       c.relpersistence::text AS persistence, am.amname AS method,
       coalesce(c.reloptions, '{}') || ARRAY(SELECT 'toast.' || o FROM pg_class t, unnest(t.reloptions) o
                                              WHERE t.oid = c.reltoastrelid) AS options,
       ts.spcname AS tablespace, c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
       c.relreplident::text AS replica_identity,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
       CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS bound,
       CASE WHEN c.relispartition THEN (SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid) END AS
       parent,
       c.reltuples::float8 AS rows_estimate,
       coalesce(pg_table_size(c.oid), 0)::int8 AS heap_bytes, coalesce(pg_total_relation_size(c.oid), 0)::int8 AS
       total_bytes,
       obj_description(c.oid, 'pg_class') AS comment,
       p.root::int8 AS root
FROM (SELECT r.oid AS root, coalesce(t.relid, r.oid) AS oid, coalesce(t.level, 0) AS level
      FROM unnest(%(roots)s::oid[]) r(oid) LEFT JOIN LATERAL pg_partition_tree(r.oid) t ON true) p
JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
ORDER BY n.nspname, p.root, p.level, c.relname"""

_COLUMNS: LiteralString = """
SELECT a.attrelid::int8 AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AND NOT
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated
               AND k.conkey = ARRAY[a.attnum]) AS not_null,
       pg_get_expr(d.adbin, d.adrelid) AS default, a.attgenerated::text AS generated, a.attidentity::text AS identity,
       CASE WHEN a.attidentity <> '' THEN (
         SELECT jsonb_build_object('schema', n.nspname, 'name', s.relname, 'type', format_type(q.seqtypid, NULL),
                'start', q.seqstart, 'increment', q.seqincrement, 'min', q.seqmin, 'max', q.seqmax, 'cache', q.seqcache,
                'cycle', q.seqcycle, 'comment', obj_description(s.oid, 'pg_class'), 'grants', coalesce((
                SELECT jsonb_agg(jsonb_build_object('grantee', CASE WHEN g.grantee = 0 THEN 'public' ELSE
                       pg_get_userbyid(g.grantee)::text END, 'privilege', g.privilege_type, 'grantable', g.is_grantable,
                       'column', NULL)) FROM aclexplode(s.relacl) g WHERE g.grantee <> s.relowner), '[]'))
         FROM pg_depend x JOIN pg_class s ON s.oid = x.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid =
         s.oid
         JOIN pg_namespace n ON n.oid = s.relnamespace
         WHERE x.classid = 'pg_class'::regclass AND x.refobjid = a.attrelid AND x.refobjsubid = a.attnum
           AND x.deptype = 'i') END AS sequence,
       CASE WHEN a.attcollation <> t.typcollation THEN (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname)
         FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END AS
         collation,
       nullif(a.attcompression::text, '') AS compression,
       CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage,
       nullif(a.attstattarget, -1) AS statistics, a.attoptions AS options, col_description(a.attrelid, a.attnum) AS
       comment,
       (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
          AND k.conkey = ARRAY[a.attnum]) AS not_null_name,
       a.atttypid::int8 AS type_oid, a.atttypmod AS typmod, a.attinhcount > 0 AS inherited,
       ARRAY(SELECT DISTINCT r.attname::text FROM pg_depend x JOIN pg_attribute r ON r.attrelid = x.refobjid
             AND r.attnum = x.refobjsubid WHERE a.attgenerated <> '' AND x.refclassid = 'pg_class'::regclass
             AND x.refobjid = a.attrelid AND x.refobjsubid NOT IN (0, a.attnum)
             AND ((x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid)  -- before 15 the column itself depends on them
               OR (x.classid = 'pg_class'::regclass AND x.objid = a.attrelid AND x.objsubid = a.attnum))) AS reads
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%(tables)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""

_INDEXES: LiteralString = """
SELECT i.indrelid::int8 AS table, c.oid::int8 AS oid, c.relname AS name, am.amname AS method, oc.opcname AS opclass,
       format_type(oc.opcintype, NULL) AS opclass_type, pg_get_indexdef(c.oid, 1, false) AS expression,
       pg_get_indexdef(c.oid) AS definition, coalesce(c.reloptions, '{}') AS options,
       pg_get_expr(i.indpred, i.indrelid) AS predicate, ts.spcname AS tablespace,
       (SELECT k.conname FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
          AND k.conrelid = i.indrelid) AS constraint,
       (SELECT h.inhparent::int8 FROM pg_inherits h WHERE h.inhrelid = c.oid) AS parent, i.indisvalid AS valid,
       pg_relation_size(c.oid)::int8 AS size_bytes, obj_description(c.oid, 'pg_class') AS comment,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
             WHERE k.o <= i.indnkeyatts ORDER BY k.o) AS key_columns,
       i.indisreplident AND i.indimmediate AS is_identity, i.indisclustered AS clustered
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
JOIN pg_opclass oc ON oc.oid = i.indclass[0] LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
WHERE i.indrelid = ANY (%(tables)s::oid[]) ORDER BY i.indrelid, c.relname"""

_CONSTRAINTS: LiteralString = """
SELECT k.conrelid::int8 AS table, k.conname AS name, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition,
       nullif(k.confrelid, 0)::int8 AS foreign_table, k.condeferrable AS deferrable, k.condeferred AS deferred,
       k.convalidated AS validated, nullif(k.conindid, 0)::int8 AS index, obj_description(k.oid, 'pg_constraint') AS
       comment,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.o) AS columns,
       k.conparentid <> 0 OR NOT k.conislocal AS inherited
FROM pg_constraint k WHERE k.conrelid = ANY (%(tables)s::oid[])
  AND (k.contype IN ('c', 'f', 'p', 'u', 'x') OR (k.contype = 'n' AND NOT k.convalidated))
ORDER BY k.conrelid, k.contype <> 'p', k.conname"""

_TRIGGERS: LiteralString = """
SELECT t.tgrelid::int8 AS table, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled,
       obj_description(t.oid, 'pg_trigger') AS comment,
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid
             AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
             AND d.refobjid = t.tgrelid AND d.refobjsubid > 0) AS columns
FROM pg_trigger t WHERE t.tgrelid = ANY (%(tables)s::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND t.tgname NOT LIKE '!ruvector%%' ORDER BY t.tgrelid, t.tgname"""

_POLICIES: LiteralString = """
SELECT p.polrelid::int8 AS table, p.polname AS name, p.polpermissive AS permissive, p.polcmd::text AS command,
       ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r)::text END FROM unnest(p.polroles) r) AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check,
       obj_description(p.oid, 'pg_policy') AS comment,
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid
             AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
             AND d.refobjid = p.polrelid AND d.refobjsubid > 0) AS columns
FROM pg_policy p WHERE p.polrelid = ANY (%(tables)s::oid[]) ORDER BY p.polrelid, p.polname"""

GRANTS: LiteralString = """
SELECT c.oid::int8 AS table, CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END AS grantee,
       x.privilege_type AS privilege, x.is_grantable AS grantable, NULL::text AS column
FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = ANY (%(tables)s::oid[]) AND x.grantee <> c.relowner
UNION ALL
SELECT c.oid::int8, CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END, x.privilege_type,
x.is_grantable, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
aclexplode(a.attacl) x
WHERE c.oid = ANY (%(tables)s::oid[]) AND x.grantee <> c.relowner
UNION
SELECT c.oid::int8, CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END, '-', false, NULL
FROM pg_class c JOIN pg_default_acl p ON p.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND p.defaclobjtype = 'r' AND p.defaclnamespace IN (0, c.relnamespace), aclexplode(p.defaclacl) x
WHERE c.oid = ANY (%(tables)s::oid[]) AND x.grantee NOT IN (c.relowner, p.defaclrole) ORDER BY 1, 2, 3"""

_STATISTICS: LiteralString = """
SELECT s.stxrelid::int8 AS table, n.nspname AS schema, s.stxname AS name, pg_get_statisticsobjdef(s.oid) AS definition,
       nullif(s.stxstattarget, -1)::int AS target, obj_description(s.oid, 'pg_statistic_ext') AS comment
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY (%(tables)s::oid[]) ORDER BY 1, 3"""

_AFFECTED: LiteralString = """
SELECT DISTINCT c.oid::int8 AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('ruvector_migration')
  AND n.nspname NOT LIKE 'pg\\_%%'
  AND (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.atttypid = ANY (%(types)s::oid[]))
    OR EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
               WHERE i.indrelid = c.oid AND m.amname IN ('hnsw', 'ivfflat')))"""


@contextmanager
def snapshot(conn: Connection[Any]) -> Iterator[None]:
    """One read-only snapshot with every name printed qualified. ``conn`` must be in autocommit mode, outside a
    transaction.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute("SET LOCAL search_path = pg_catalog")
        yield


def rows(conn: Connection[Any], query: LiteralString, **params: Any) -> list[Row]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params or None).fetchall()


def extension(conn: Connection[Any], name: str) -> Extension | None:
    """The installed extension ``name``, or None.

    Of two operator classes of one name its own wins; on bit the free-standing one, which is of the operators that an
    application's ``<~>`` means while pgvector is there.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_EXTENSION, (name,)).fetchone()
    if row is None:
        return None
    opclasses = {(method, opclass): schema for method, opclass, schema in row.pop("opclasses")}
    return Extension(**{**row, "access_methods": frozenset(row["access_methods"])}, opclasses=opclasses)


def vector_types(conn: Connection[Any]) -> dict[int, tuple[str, str]]:
    """Type oid to (pgvector's type name, how it is reached: type, array, domain, composite, range)."""
    return {row["oid"]: (row["kind"], row["through"]) for row in rows(conn, _VECTOR_TYPES)}


def tables(conn: Connection[Any], oids: list[int] | None = None) -> list[Table]:
    """The affected tables, or those of ``oids``; partitions hang on their root. Call it inside :func:`snapshot`."""
    types = vector_types(conn)
    if oids is None:
        oids = [row["oid"] for row in rows(conn, _AFFECTED, types=list(types))]
    found: dict[int, Table] = {}
    roots: list[Table] = []
    for row in rows(conn, _TABLES, roots=oids):
        root = row.pop("root")
        table = found[row["oid"]] = Table(**row)
        if table.oid == root:
            roots.append(table)
        else:
            found[root].partitions.append(table)
    _fill(conn, found, types)
    return roots


def _fill(conn: Connection[Any], found: dict[int, Table], types: dict[int, tuple[str, str]]) -> None:
    def each(query: LiteralString) -> Iterator[tuple[Table, Row]]:
        for row in rows(conn, query, tables=list(found)):
            yield found[row.pop("table")], row

    names = {oid: kind for oid, (kind, how) in types.items() if how == "type"}
    for table, row in each(_COLUMNS):
        kind, through = types.get(row.pop("type_oid"), (None, None))
        table.columns.append(Column(kind=kind, through=through, **row))
    for table, row in each(_INDEXES):
        shown = row.pop("opclass_type").split(".")[-1].strip('"')
        table.indexes.append(Index(opclass_kind=shown if shown in names.values() else None, **row))
    for table, row in each(_CONSTRAINTS):
        inherited = row.pop("inherited")
        if not (inherited and table.parent):
            table.constraints.append(Constraint(**row))
    for table, row in each(_TRIGGERS):
        table.triggers.append(Trigger(**row))
    for table, row in each(_POLICIES):
        table.policies.append(Policy(**row))
    for table, row in each(GRANTS):
        table.grants.append(Grant(**row))
    for table, row in each(_STATISTICS):
        table.statistics.append(Statistics(**row))


def grants_of(conn: Connection[Any], oids: list[int]) -> dict[int, list[Grant]]:
    """Grants of relations of any kind, by oid."""
    result: dict[int, list[Grant]] = defaultdict(list)
    for row in rows(conn, GRANTS, tables=oids):
        result[row.pop("table")].append(Grant(**row))
    return result
