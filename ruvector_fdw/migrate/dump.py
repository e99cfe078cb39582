# SPDX-License-Identifier: PostgreSQL
"""The schema of a whole database as pg_dump writes it, cut into its entries, with pgvector's names mapped to ours.

pg_dump knows every kind of object; this file only decides which entries go over (not the extensions in question, not
what links them), in which stage, and that indexes of pgvector's access methods become ours. Bodies of functions are
strings and stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from . import ddl, views
from .errors import MigrateError
from .model import Table
from .names import ACCESS_METHODS, Extension, Mapper, qualified
from .sqlrun import mask

_ENTRY = re.compile(r"^--\n-- (?:Data for )?Name: (.*?); Type: (.*?); Schema: (.*?); Owner: .*?\n--\n", re.MULTILINE)
# Objects that belong to the machinery and not to the application.
_NEVER = {"PUBLICATION", "PUBLICATION TABLE", "SUBSCRIPTION", "SUBSCRIPTION TABLE", "EVENT TRIGGER"}
_LINKS = {"CAST", "OPERATOR CLASS", "OPERATOR FAMILY"}
_OURS = re.compile(r"\b(ru)?(vector|halfvec|sparsevec|hnsw|ivfflat)")
# Entries of the stages after the tables: keys before the rows, foreign keys at the switch.
_KEYS = {"CONSTRAINT"}
_LAST = {"FK CONSTRAINT"}


@dataclass(frozen=True)
class Entry:
    """One statement or group of statements of a dump, and the object that it makes."""

    kind: str
    schema: str
    name: str
    sql: str


@dataclass(frozen=True)
class Schema:
    """SQL for each stage of the green database."""

    before: list[Entry]
    keys: list[Entry]
    indexes: list[Entry]
    last: list[Entry]


def find_pg_dump(program: str | None, major: int) -> str:
    """pg_dump's path.

    :raise MigrateError: there is none, or it is older than the server.
    """
    path = program or shutil.which("pg_dump")
    if path is None or not os.access(path, os.X_OK):
        raise MigrateError("could not find pg_dump", hint="Name it with --pg-dump.")
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(?:\.\d+)?", shown)
    if found is None or int(found[1]) < major:
        raise MigrateError(
            f'"{path}" ({shown.strip()}) is older than the server ({major})', hint="Name a newer one: --pg-dump."
        )
    return path


def read(dsn: str, pg_dump: str) -> list[Entry]:
    """Every entry of the schema, in pg_dump's order. The connection string goes in the environment, not among the
    arguments.
    """
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    password = parts.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    shown = psycopg.conninfo.make_conninfo("", **parts)
    done = subprocess.run(
        [pg_dump, "--schema-only", "--exclude-schema=ruvector_migration", f"--dbname={shown}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MigrateError(f"pg_dump failed: {mask(done.stderr).strip()}")
    return cut(done.stdout)


def cut(text: str) -> list[Entry]:
    """pg_dump's output at its comments; what stands before the first is left out, and so are psql's own commands."""
    marks = list(_ENTRY.finditer(text))
    result = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)]
        lines = [line for line in body.split("\n") if not line.startswith(("\\restrict", "\\unrestrict"))]
        result.append(
            Entry(mark[2], mark[3], mark[1], "\n".join(lines).split("\n--\n-- PostgreSQL database dump complete")[0])
        )
    return result


def translate(
    entries: list[Entry],
    mapper: Mapper,
    tables: list[Table],
    populated: set[tuple[str, str]],
    pgvector: Extension,
    ours: Extension | None,
    index_options: Collection[str] = (),
) -> Schema:
    """The entries that go over, mapped, by stage.

    :param tables: those with vector indexes, which are made from the catalog and not from their text.
    :param populated: materialized views (schema, name) that hold rows: a schema's dump does not say so.
    """
    result = Schema([], [], [], [])
    filled: list[Entry] = []
    known = {
        (p.schema, i.name): (i, p) for t in tables for p in t.tree for i in p.indexes if i.method in ACCESS_METHODS
    }
    post = False
    for entry in entries:
        post = post or entry.kind in _KEYS | _LAST | {"INDEX", "TRIGGER", "POLICY", "STATISTICS"}
        if entry.kind in _NEVER or " !ruvector_" in entry.name or (entry.kind in _LINKS and _OURS.search(entry.sql)):
            continue
        extension = entry.name.removeprefix("EXTENSION ") if "EXTENSION" in (entry.kind, entry.name[:9]) else None
        if extension in ("vector", "ruvector"):
            continue
        index = known.get((entry.schema, entry.name)) if entry.kind == "INDEX" else None
        if index is not None:
            on = ("ONLY " if index[1].kind == "p" else "") + index[1].qualified
            opclass = ddl.opclass_name(index[0], pgvector, ours, mapper)
            text = ddl.vector_index(index[0], entry.name, on, opclass, mapper, concurrently=False, extra=index_options)
        elif entry.kind == "INDEX":
            text = views.map_index(entry.sql, mapper)
        else:
            text = mapper.rewrite(entry.sql)
        if entry.kind == "SCHEMA":  # the one that holds the extension is there already
            text = text.replace("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
        elif entry.kind in _LAST and text.lstrip().startswith("ALTER TABLE ONLY ") and " NOT VALID" not in text:
            # Checked after the switch. A partitioned table (without ONLY) takes no such key before PostgreSQL 18.
            text = text.rstrip().removesuffix(";") + " NOT VALID;"
        stage = result.before if not post else result.keys if entry.kind in _KEYS else result.indexes
        unproven = "CONSTRAINT" in entry.kind and text.rstrip().endswith(
            "NOT VALID;"
        )  # rows that are there may break it
        comment = entry.kind == "COMMENT" and entry.name.startswith("CONSTRAINT ")
        if entry.kind in _LAST or unproven or comment:
            stage = result.last
        stage.append(Entry(entry.kind, entry.schema, entry.name, text.strip()))
        if entry.kind == "MATERIALIZED VIEW" and (entry.schema, entry.name) in populated:
            refresh = f"REFRESH MATERIALIZED VIEW {qualified(entry.schema, entry.name)}"
            filled.append(Entry("MATERIALIZED VIEW DATA", entry.schema, entry.name, refresh))
    result.indexes[:0] = filled
    return result


def title(entry: Entry) -> str:
    name = entry.name if entry.schema == "-" else qualified(entry.schema, entry.name)
    return f"{entry.kind.lower()} {name}"
