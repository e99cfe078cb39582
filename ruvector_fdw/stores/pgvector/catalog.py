# SPDX-License-Identifier: PostgreSQL
"""What the catalogs of a remote server say: the columns of a table, its size, and tables to import.

Works from PostgreSQL 12 and pgvector 0.5 on, and with ruvector: types are recognised by name. A type that is not
built in becomes text here, a domain its base type; a remote `vector` becomes `ruvector`, whose bytes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from ruvector_fdw import host
from ruvector_fdw.errors import OptionError, RemoteError
from ruvector_fdw.request import ColumnDefinition, TableDefinition
from ruvector_fdw.stores.pgvector.connection import Remote
from ruvector_fdw.stores.pgvector.deparse import PLAIN_TYPES, RemoteColumn

_COLUMNS = """
WITH RECURSIVE based AS (
    SELECT a.attrelid, a.attnum, a.attname, a.attnotnull, a.atttypid AS typid, a.atttypmod AS typmod
    FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attrelid, b.attnum, b.attname, b.attnotnull OR t.typnotnull, t.typbasetype,
           CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typmod END
    FROM based b JOIN pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
)
SELECT c.relname::text, b.attname::text, b.attnotnull, format_type(b.typid, b.typmod), t.typname::text,
       n.nspname::text, t.typcategory = 'A', col_description(c.oid, b.attnum)
FROM pg_class c
JOIN pg_namespace s ON s.oid = c.relnamespace
JOIN based b ON b.attrelid = c.oid
JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE s.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND {which}
ORDER BY c.relname, b.attnum
"""
_SIZE = """
SELECT c.reltuples::float8, c.relpages::float8,
       COALESCE((SELECT sum(s.avg_width) FROM pg_stats s WHERE s.schemaname = $1 AND s.tablename = $2), 100)::int4
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
"""
_OPTIONS = ("import_not_null", "import_comments", "only_vectors")


def _listed(remote: Remote, schema: str, which: str, names: Sequence[str]) -> dict[str, dict[str, RemoteColumn]]:
    query = sql.SQL(_COLUMNS).format(which=sql.SQL(which))
    tables: dict[str, dict[str, RemoteColumn]] = {}
    for table, name, not_null, type_name, base, type_schema, is_array, comment in remote.fetch(
        query, [schema, list(names)] if "$2" in which else [schema]
    ):
        # format_type adds the schema of a type outside the search path; only the modifier is of use here.
        modifier = type_name[type_name.rindex("(") :] if type_name.endswith(")") else ""
        shown = type_name if type_schema == "pg_catalog" else base + modifier
        column = RemoteColumn(name, shown, base, type_schema, is_array, not_null, comment)
        tables.setdefault(table, {})[name] = column
    return tables


def describe(remote: Remote, schema: str, table: str) -> dict[str, RemoteColumn]:
    """:raise RemoteError: there is no such table, or it cannot be seen."""
    tables = _listed(remote, schema, "c.relname = ANY ($2)", [table])
    if table not in tables:
        # A partition is not listed for import, but may be named.
        raise RemoteError(f'remote table "{schema}.{table}" does not exist', sqlstate="HV00R")
    return tables[table]


def size(remote: Remote, schema: str, table: str) -> tuple[float, int]:
    """Rows as the remote's statistics have them, and bytes a row."""
    rows = remote.fetch(sql.Composed([sql.SQL(_SIZE)]), [schema, table])
    if not rows:
        raise RemoteError(f'remote table "{schema}.{table}" does not exist', sqlstate="HV00R")
    tuples, pages, width = rows[0]
    return (tuples if tuples > 0 else max(1000.0, pages * 10)), width


def local_definition(column: RemoteColumn) -> ColumnDefinition:
    """The column as a foreign table here has it."""
    element = column.base.lstrip("_") if column.is_array else column.base
    if column.is_vector:
        type_name = _vector_type(column)
    elif column.schema == "pg_catalog" and (column.is_plain or _known(element)):
        type_name = column.type_name
    else:
        type_name = "text"
    base = type_name.split("(")[0]
    options = {"column_name": column.name}
    if column.comment:
        options["comment"] = column.comment
    return ColumnDefinition(
        column.name, type_name=type_name, base_type_name=base, options=options, not_null=column.not_null
    )


def _vector_type(column: RemoteColumn) -> str:
    modifier = column.type_name[len(column.base) :]
    local = "ruvector" if column.base == "vector" else column.base
    if host.in_server() and host.type_oid(local) is None and host.type_oid(f"ruvector.{local}") is not None:
        local = f"ruvector.{local}"
    return local + modifier


def _known(element: str) -> bool:
    """Built-in types whose text form both servers read alike."""
    return element in PLAIN_TYPES or element in (
        "interval", "timetz", "bit", "varbit", "inet", "cidr", "macaddr", "macaddr8", "money", "char", "xml", "point",
        "box", "circle", "path", "polygon", "lseg", "line", "tsvector", "tsquery", "int4range", "int8range",
        "numrange", "daterange", "tsrange", "tstzrange",
    )  # fmt: skip


def import_schema(
    remote: Remote, schema: str, options: Mapping[str, str], restriction: str | None, names: Sequence[str]
) -> list[TableDefinition]:
    """Every table and view of a remote schema as a foreign table.

    Options, each true or false: `import_not_null` (default true), `import_comments` (true: the comment of a column
    becomes its option `comment`), `only_vectors` (false: also tables without a vector column).
    """
    chosen = {name: _boolean(options, name, name != "only_vectors") for name in _OPTIONS}
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise OptionError(f'invalid option "{unknown[0]}"', hint=f"Use {', '.join(_OPTIONS)}.", sqlstate="HV00D")
    if not remote.fetch(sql.Composed([sql.SQL("SELECT 1 FROM pg_namespace WHERE nspname = $1")]), [schema]):
        raise RemoteError(f'schema "{schema}" is not present on the remote server', sqlstate="HV00Q")
    which = {None: "true", "limit": "c.relname = ANY ($2)", "except": "c.relname <> ALL ($2)"}[restriction]
    made = []
    for table, columns in _listed(remote, schema, which, names).items():
        if chosen["only_vectors"] and not any(column.is_vector for column in columns.values()):
            continue
        definitions = [local_definition(column) for column in columns.values()]
        for definition in definitions:
            definition.not_null = definition.not_null and chosen["import_not_null"]
            if not chosen["import_comments"]:
                definition.options.pop("comment", None)
        made.append(
            TableDefinition(
                table,
                columns=definitions,
                options={"schema_name": schema, "table_name": table},
            )
        )
    return made


def _boolean(options: Mapping[str, str], name: str, default: bool) -> bool:
    text = options.get(name, "true" if default else "false").lower()
    if text not in ("true", "false", "on", "off", "yes", "no", "1", "0"):
        raise OptionError(f'invalid value for option "{name}": "{text}"', hint="It is true or false.")
    return text in ("true", "on", "yes", "1")
