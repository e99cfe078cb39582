# SPDX-License-Identifier: PostgreSQL
"""Wrappers of the kinds that people run under Multicorn, written for it: files of comma-separated values, a folder whose
paths are columns, and the tables of another database with everything that Multicorn pushes down and writes.
"""

import csv
import os
import re
import sqlite3
import time

from multicorn import ANY, ColumnDefinition, ForeignDataWrapper, Qual, SortKey, TableDefinition
from multicorn.utils import ERROR, WARNING, log_to_postgres


class Csv(ForeignDataWrapper):
    """Rows as lists, every column of the table in order; lines of another length are reported and padded."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        if "filename" not in fdw_options:
            log_to_postgres("Please set the filename option", ERROR, hint="It names the file.")
        self.filename = fdw_options["filename"]
        self.delimiter = fdw_options.get("delimiter", ",")
        self.skip = int(fdw_options.get("skip_header", 0))
        self.columns = fdw_columns

    def execute(self, quals, columns):
        with open(self.filename, newline="") as stream:
            for number, line in enumerate(csv.reader(stream, delimiter=self.delimiter)):
                if number < self.skip:
                    continue
                if len(line) != len(self.columns):
                    log_to_postgres(f"line {number} has {len(line)} columns", WARNING, hint="the rest is NULL")
                yield [cell or None for cell in line[: len(self.columns)]] + [None] * (len(self.columns) - len(line))


class Folder(ForeignDataWrapper):
    """Files below `root`; the parts of `pattern` in braces are columns, `content` is the file. Writable by path.

    A column that a condition fixes narrows the walk, and is echoed: PostgreSQL checks every condition again.
    """

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.root = fdw_options["root"]
        self.pattern = fdw_options["pattern"]
        self.names = re.findall(r"\{(\w+)\}", self.pattern)
        self.regex = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.pattern)))

    rowid_column = "path"

    def get_rel_size(self, quals, columns):
        return (sum(len(files) for _, _, files in os.walk(self.root)), 100 * len(columns))

    def get_path_keys(self):
        return [((name,), 2) for name in self.names]

    def execute(self, quals, columns):
        fixed = {q.field_name: q.value for q in quals if q.operator == "=" and q.field_name in self.names}
        log_to_postgres(f"fixed {sorted(fixed.items())}")
        for folder, _, files in sorted(os.walk(self.root)):
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), self.root)
                found = self.regex.fullmatch(path)
                if not found or any(found[key] != value for key, value in fixed.items()):
                    continue
                row = dict(found.groupdict(), path=path)
                if "content" in columns:
                    with open(os.path.join(self.root, path), "rb") as stream:
                        row["content"] = stream.read()
                yield row

    def _write(self, values):
        path = self.pattern.format(**values)
        os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
        with open(os.path.join(self.root, path), "wb") as stream:
            stream.write(values["content"])
        return dict(values, path=path)

    def insert(self, values):
        return self._write(values)

    def update(self, rowid, newvalues):
        os.unlink(os.path.join(self.root, rowid))
        return self._write(newvalues)

    def delete(self, rowid):
        os.unlink(os.path.join(self.root, rowid))


class Sqlite(ForeignDataWrapper):
    """A table of an SQLite database, in the manner of Multicorn's SQLAlchemy wrapper."""

    _startup_cost = 5
    OPERATORS = {"=": "=", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~~": "LIKE", "!~~": "NOT LIKE"}
    TYPES = {"INTEGER": "bigint", "TEXT": "text", "REAL": "double precision", "BLOB": "bytea"}

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.options = fdw_options
        self.columns = fdw_columns
        self.table = fdw_options["table"]
        self.connection = sqlite3.connect(fdw_options["database"], isolation_level=None, timeout=5)
        self.connection.execute("PRAGMA case_sensitive_like = on")

    # ---- planning

    def get_rel_size(self, quals, columns):
        [[rows]] = self.connection.execute(f'SELECT count(*) FROM "{self.table}"')
        return (rows // (4 if quals else 1), 20 * len(columns))

    def get_path_keys(self):
        return [((self.rowid_column,), 1)]

    def can_sort(self, sortkeys):
        kept = []
        for key in sortkeys:
            assert isinstance(key, SortKey) and list(self.columns)[key.attnum - 1] == key.attname
            text = self.columns[key.attname].base_type_name in ("text", "character varying")
            if text and key.collate not in ("C", "POSIX"):
                break
            kept.append(key)
        return kept

    def can_limit(self, limit, offset):
        return self.options.get("limits", "yes") == "yes"

    def _statement(self, quals, columns, sortkeys, limit, offset):
        wanted = [name for name in self.columns if name in columns] or [self.rowid_column]
        where, values = [], []
        for qual in quals:
            assert isinstance(qual, Qual)
            operator = qual.operator[0] if qual.is_list_operator else qual.operator
            if operator not in self.OPERATORS or (qual.is_list_operator and qual.list_any_or_all is not ANY):
                continue
            word = self.OPERATORS[operator]
            name = f'"{qual.field_name}"'
            if qual.value is None:
                where.append(f"{name} IS {'' if operator == '=' else 'NOT '}NULL")
            elif qual.is_list_operator:
                where.append("(" + (" OR ".join(f"{name} {word} ?" for _ in qual.value) or "0") + ")")
                values += qual.value
            elif not (operator in ("~~", "!~~") and "\\" in qual.value):
                where.append(f"{name} {word} ?")
                values.append(qual.value)
        statement = f"SELECT {', '.join(f'{chr(34)}{name}{chr(34)}' for name in wanted)} FROM \"{self.table}\""
        if where:
            statement += " WHERE " + " AND ".join(where)
        if sortkeys:
            statement += " ORDER BY " + ", ".join(
                f'"{key.attname}" {"DESC" if key.is_reversed else "ASC"} '
                f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
                for key in sortkeys
            )
        if limit is not None or offset is not None:
            statement += f" LIMIT {-1 if limit is None else limit} OFFSET {offset or 0}"
        return wanted, statement, values

    def explain(self, quals, columns, sortkeys=None, verbose=False, limit=None, offset=None):
        statement = self._statement(quals, columns, sortkeys, limit, offset)[1]
        return [statement] + (["verbose"] if verbose else [])

    def execute(self, quals, columns, sortkeys=None, limit=None, offset=None):
        wanted, statement, values = self._statement(quals, columns, sortkeys, limit, offset)
        log_to_postgres(statement)
        for row in self.connection.execute(statement, values):
            yield dict(zip(wanted, row, strict=True))

    # ---- changes

    @property
    def rowid_column(self):
        return self.options.get("primary_key", "id")

    @property
    def modify_batch_size(self):
        return int(self.options.get("batch", "1"))

    def insert(self, values):
        names = [name for name, value in values.items() if value is not None]
        statement = (
            f'INSERT INTO "{self.table}" ({", ".join(names)}) VALUES ({", ".join("?" * len(names))}) RETURNING *'
            if names
            else f'INSERT INTO "{self.table}" DEFAULT VALUES RETURNING *'
        )
        cursor = self.connection.execute(statement, [values[name] for name in names])
        [row] = cursor.fetchall()
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    def bulk_insert(self, all_values):
        log_to_postgres(f"bulk {len(all_values)}")
        return [self.insert(values) for values in all_values]

    def update(self, rowid, newvalues):
        names = ", ".join(f'"{name}" = ?' for name in newvalues)
        self.connection.execute(
            f'UPDATE "{self.table}" SET {names} WHERE "{self.rowid_column}" = ?', [*newvalues.values(), rowid]
        )

    def delete(self, rowid):
        self.connection.execute(f'DELETE FROM "{self.table}" WHERE "{self.rowid_column}" = ?', [rowid])

    # ---- transactions

    def begin(self, serializable):
        self.connection.execute("BEGIN")

    def pre_commit(self):
        self.connection.execute("COMMIT")

    def rollback(self):
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def sub_begin(self, level):
        self.connection.execute(f"SAVEPOINT level{level}")

    def sub_commit(self, level):
        self.connection.execute(f"RELEASE level{level}")

    def sub_rollback(self, level):
        self.connection.execute(f"ROLLBACK TO level{level}")
        self.connection.execute(f"RELEASE level{level}")

    @classmethod
    def import_schema(cls, schema, srv_options, options, restriction_type, restricts):
        made = []
        connection = sqlite3.connect(srv_options["database"])
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").fetchall():
            if (restriction_type == "limit" and name not in restricts) or (
                restriction_type == "except" and name in restricts
            ):
                continue
            table = TableDefinition(name, schema=schema, options={"table": name})
            for _, column, kind, _, _, key in connection.execute(f'PRAGMA table_info("{name}")'):
                table.columns.append(ColumnDefinition(column, type_name=cls.TYPES[kind]))
                if key:
                    table.options["primary_key"] = column
            table.options.update(options)
            made.append(table)
        connection.close()
        return made


class Clock(ForeignDataWrapper):
    """Virtual columns: `span` must be given, and is echoed for PostgreSQL to check."""

    def get_path_keys(self):
        return [(("span",), 10)]

    def execute(self, quals, columns):
        spans = [qual.value for qual in quals if qual.field_name == "span" and qual.operator == "="]
        if not spans:
            log_to_postgres("a condition span = ... is needed", ERROR)
        for step in range(int(spans[0])):
            yield {"span": spans[0], "step": step, "at": time.gmtime(step).tm_sec}
