# SPDX-License-Identifier: PostgreSQL
"""Wrappers as they are written for Multicorn, in everyday use: a query on a foreign table answers as on a heap table with
the same rows, whatever was pushed down, and changes end with their transaction."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from fdw_database import FdwDatabase


def hand_over(fdw: FdwDatabase, folder: Path) -> None:
    """The files that a test has made are the server's from here on."""
    for path in [folder, *folder.rglob("*")]:
        if fdw.server.account.uid is not None:
            shutil.chown(path, fdw.server.account.uid, fdw.server.account.gid)


@pytest.fixture
def shop(fdw: FdwDatabase, shared_dir: Path) -> FdwDatabase:
    """Tables of an SQLite database: item (imported), other; near_item is a heap table with item's rows."""
    with contextlib.closing(sqlite3.connect(shared_dir / "shop.db")) as there:
        there.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL, data BLOB)")
        there.execute("CREATE TABLE other (code TEXT PRIMARY KEY, n INTEGER)")
        there.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?)",
            [
                (i, None if i % 9 == 4 else f"{'abcde'[i % 5]}{i % 7}", None if i % 6 == 5 else i % 13 / 4, b"\0" * i)
                for i in range(60)
            ],
        )
        there.commit()
    hand_over(fdw, shared_dir)
    fdw.execute(
        "CREATE SERVER shop FOREIGN DATA WRAPPER ruvector_fdw "
        f"OPTIONS (wrapper 'realistic.Sqlite', database '{shared_dir}/shop.db')"
    )
    fdw.execute("IMPORT FOREIGN SCHEMA main FROM SERVER shop INTO public")
    fdw.execute('ALTER FOREIGN TABLE item ALTER COLUMN name TYPE text COLLATE "C"')
    fdw.execute("CREATE TABLE near_item AS SELECT * FROM item; ANALYZE near_item")
    fdw.said()
    return fdw


@pytest.mark.core
def test_a_database_is_imported(shop: FdwDatabase) -> None:
    columns = (
        "SELECT attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod) FROM pg_attribute JOIN "
        "pg_foreign_table ON ftrelid = attrelid WHERE attnum > 0 ORDER BY attrelid::regclass::text, attnum"
    )
    assert shop.rows(columns) == [
        ("item", "id", "bigint"), ("item", "name", "text"), ("item", "price", "double precision"),
        ("item", "data", "bytea"), ("other", "code", "text"), ("other", "n", "bigint"),
    ]  # fmt: skip
    assert shop.value("SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'other'::regclass") == [
        "primary_key=code", "table=other",
    ]  # fmt: skip
    shop.execute("CREATE SCHEMA part")
    shop.execute("IMPORT FOREIGN SCHEMA main EXCEPT (item) FROM SERVER shop INTO part OPTIONS (batch '3')")
    assert shop.column("SELECT relname::text FROM pg_class WHERE relnamespace = 'part'::regnamespace") == ["other"]
    assert "batch=3" in shop.value("SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'part.other'::regclass")


@pytest.mark.core
def test_what_is_pushed_is_what_multicorn_pushes(shop: FdwDatabase) -> None:
    for query, pushed in [
        ("SELECT name FROM item WHERE id = 3", ' WHERE "id" = ?'),
        ("SELECT name FROM item WHERE id IN (3, 4)", ' WHERE ("id" = ? OR "id" = ?)'),
        ("SELECT name FROM item WHERE name LIKE 'a%' AND price IS NULL", ' WHERE "price" IS NULL AND "name" LIKE ?'),
        ("SELECT name FROM item ORDER BY name DESC, id", ' ORDER BY "name" DESC NULLS FIRST, "id" ASC NULLS LAST'),
        ('SELECT name FROM item ORDER BY name COLLATE "POSIX"', ' ORDER BY "name" ASC NULLS LAST'),
        ("SELECT name FROM item ORDER BY id LIMIT 3 OFFSET 2", ' ORDER BY "id" ASC NULLS LAST LIMIT 3 OFFSET 2'),
        ("SELECT name FROM item LIMIT 3", " LIMIT 3 OFFSET 0"),
        ("SELECT name FROM item OFFSET 3", " LIMIT -1 OFFSET 3"),
    ]:
        shop.execute(query)
        assert shop.said()[-1].endswith(f'FROM "item"{pushed}'), query
        assert f'FROM "item"{pushed}' in shop.plan(query)
        shop.said()
    assert "Multicorn: verbose" in shop.plan("SELECT name FROM item", options="VERBOSE")
    assert "Limit" not in shop.plan("SELECT name FROM item ORDER BY id LIMIT 3").split("\n")[0]
    shop.execute("ALTER FOREIGN TABLE item OPTIONS (ADD limits 'no')")
    assert shop.plan("SELECT name FROM item ORDER BY id LIMIT 3").startswith("Limit")


def test_queries_answer_as_on_a_heap_table(shop: FdwDatabase) -> None:
    rng = random.Random(5)
    conditions = [
        "id > 30", "id BETWEEN 10 AND 40", "id IN (1, 5, 77, NULL)", "id <> ALL (ARRAY[1, 2])", "name = 'a0'",
        "name LIKE 'b_'", "name NOT LIKE '%3'", "name ILIKE 'C%'", "name IS NULL", "price IS NOT NULL", "price < 1.5",
        "price >= ALL (ARRAY[0.5, 1])", "length(data) > 40", "id % 3 = 1", "(id < 5 OR name > 'd')", "price = id",
        "id = (SELECT max(id) - 3 FROM near_item)", "id = ANY (SELECT id FROM near_item WHERE price > 2)",
        "data > '\\x000000'", "NOT (id < 50)", "name = lower('A0')", "name > 'b' COLLATE \"C\"",
    ]  # fmt: skip
    shapes = [
        "SELECT {columns} FROM TABLE i WHERE {where} ORDER BY {order}id LIMIT {limit} OFFSET {offset}",
        "SELECT {columns} FROM TABLE i WHERE {where} ORDER BY {order}id",
        "SELECT count(*), sum(price), min(name), max(id) FROM TABLE i WHERE {where}",
        "SELECT name, count(*) FROM TABLE i WHERE {where} GROUP BY name ORDER BY 1 LIMIT {limit}",
        "SELECT DISTINCT name FROM TABLE i WHERE {where} ORDER BY 1",
        "SELECT i.id, n.name FROM TABLE i JOIN near_item n ON n.id = i.id + 1 WHERE i.{where} ORDER BY 1",
        "SELECT n.id, i.name FROM near_item n LEFT JOIN TABLE i ON i.id = n.id AND i.{where} ORDER BY 1 LIMIT {limit}",
        "SELECT id, row_number() OVER (ORDER BY id) FROM TABLE i WHERE {where} ORDER BY 1 LIMIT {limit}",
        "SELECT n.id, x.name FROM near_item n, LATERAL (SELECT name FROM TABLE i WHERE i.id <= n.id AND {where} "
        "ORDER BY i.id DESC LIMIT 1) x ORDER BY 1",
        "SELECT id FROM TABLE i WHERE {where} UNION SELECT id + 100 FROM TABLE i WHERE {other} ORDER BY 1",
        "SELECT {columns} FROM (SELECT * FROM TABLE i ORDER BY {order}id LIMIT {limit}) q WHERE {where} ORDER BY id",
    ]
    simple = [one for one in conditions if one.split()[0] in ("id", "name", "price") and one != "price = id"]
    for _ in range(300):
        shape = rng.choice(shapes)
        query = shape.format(
            columns=rng.choice(["id", "id, name", "*", "price, id"]),
            where=rng.choice(simple if "i.{where}" in shape else conditions),
            other=rng.choice(conditions),
            order=rng.choice(["", "name, ", "name DESC, ", "price NULLS FIRST, ", "price DESC NULLS LAST, "]),
            limit=rng.randint(0, 12),
            offset=rng.randint(0, 4),
        )
        far, near = query.replace("TABLE", "item"), query.replace("TABLE", "near_item")
        assert shop.rows(far) == shop.rows(near), query


@pytest.mark.core
def test_changes_end_with_their_transaction(shop: FdwDatabase) -> None:
    assert shop.rows("INSERT INTO item (name, price) VALUES ('new', 1.5), ('more', NULL) RETURNING id, price") == [
        (60, 1.5), (61, None),
    ]  # fmt: skip
    shop.execute("BEGIN; UPDATE item SET price = price + 1 WHERE name = 'new'; SAVEPOINT a; DELETE FROM item")
    shop.execute("ROLLBACK TO a; DELETE FROM item WHERE id = 61; SAVEPOINT b; UPDATE item SET data = NULL WHERE id = 0")
    shop.execute("RELEASE b; COMMIT")
    shop.execute("INSERT INTO other VALUES ('x', 1)")
    assert shop.rows("SELECT name, price FROM item WHERE id >= 60") == [("new", 2.5)]
    assert shop.rows("SELECT * FROM other") == [("x", 1)]
    shop.execute("BEGIN; DELETE FROM item; ROLLBACK")
    assert shop.value("SELECT count(*) FROM item") == 61
    assert shop.state("INSERT INTO item (id) VALUES (3)") == ("38000", "Error in python: IntegrityError")
    assert shop.value("SELECT count(*) FROM item") == 61
    found = shop.rows("DELETE FROM item USING other o WHERE item.id = o.n RETURNING item.*, o.code")
    assert found == [(1, "b1", 0.25, b"\0", "x")]
    found = shop.rows("UPDATE item SET name = n.name || '!' FROM near_item n WHERE n.id = item.id + 1 RETURNING item.id")
    assert sorted(found) == [(i,) for i in range(59) if i != 1]
    assert shop.value("SELECT name FROM item WHERE id = 2") == "d3!"


def test_batches(shop: FdwDatabase) -> None:
    shop.execute("ALTER FOREIGN TABLE other OPTIONS (ADD batch '4')")
    shop.execute("INSERT INTO other SELECT 'k' || g, g FROM generate_series(1, 10) g")
    assert [line for line in shop.said() if line.startswith("bulk")] == ["bulk 4", "bulk 4", "bulk 2"]
    with shop.conn.cursor().copy("COPY other FROM STDIN") as copy:
        copy.write_row(("copied", 11))
    assert shop.value("SELECT sum(n) FROM other") == 66


@pytest.mark.core
def test_lookups_by_path_keys(shop: FdwDatabase) -> None:
    shop.execute("CREATE TABLE wanted AS SELECT 7 * g AS id FROM generate_series(1, 3) g; ANALYZE wanted")
    query = "SELECT w.id, i.name FROM wanted w JOIN item i ON i.id = w.id ORDER BY 1"
    assert "Nested Loop" in shop.plan(query)
    shop.said()
    assert shop.rows(query) == [(7, "c0"), (14, "e0"), (21, "b0")]
    assert [line for line in shop.said() if "WHERE" in line] == [
        'SELECT "id", "name" FROM "item" WHERE "id" = ?'
    ] * 3


def test_rows_as_sequences(fdw: FdwDatabase, shared_dir: Path) -> None:
    (shared_dir / "points.csv").write_text("id;at;note\n1;2024-02-29;\n2;2024-03-01;'quoted'\n3\n")
    hand_over(fdw, shared_dir)
    fdw.server_for("realistic.Csv")
    fdw.table("bare", "id int")
    assert fdw.state("SELECT * FROM bare") == ("38000", "Please set the filename option")
    fdw.table("points", "id int, at date, note text", filename=shared_dir / "points.csv", delimiter=";", skip_header=1)
    assert fdw.rows("SELECT id, at::text, note FROM points") == [
        (1, "2024-02-29", None), (2, "2024-03-01", "'quoted'"), (3, None, None),
    ]  # fmt: skip
    assert fdw.said()[-1] == "line 3 has 1 columns"
    assert fdw.value("SELECT count(*) FROM points") == 3
    assert fdw.column("SELECT id FROM points WHERE at > '2024-02-29' ORDER BY id") == [2]


def test_a_folder_as_a_table(fdw: FdwDatabase, shared_dir: Path) -> None:
    hand_over(fdw, shared_dir)
    fdw.server_for("realistic.Folder")
    fdw.table(
        "file", "author text, book text, path text, content bytea", root=shared_dir, pattern="{author}/{book}.txt"
    )
    fdw.execute("INSERT INTO file VALUES ('ann', 'one', NULL, 'first'), ('bob', 'two', NULL, '\\x00ff')")
    assert fdw.rows("SELECT author, path, content FROM file ORDER BY 1") == [
        ("ann", "ann/one.txt", b"first"), ("bob", "bob/two.txt", b"\0\xff"),
    ]  # fmt: skip
    fdw.execute("UPDATE file SET book = 'three' WHERE author = 'ann'")
    assert (shared_dir / "ann/three.txt").read_bytes() == b"first"
    fdw.said()
    assert fdw.column("SELECT book FROM file WHERE author = 'bob'") == ["two"]
    assert fdw.said()[-1] == "fixed [('author', 'bob')]"
    assert fdw.rows("DELETE FROM file WHERE book = 'two' RETURNING path, author") == [("bob/two.txt", "bob")]
    assert not (shared_dir / "bob/two.txt").exists()


def test_virtual_columns_are_checked_again(fdw: FdwDatabase) -> None:
    fdw.server_for("realistic.Clock")
    fdw.table("clock", "span int, step int, at int")
    assert fdw.rows("SELECT step FROM clock WHERE span = 3 AND step > 0") == [(1,), (2,)]
    assert fdw.state("SELECT step FROM clock") == ("38000", "a condition span = ... is needed")
    assert fdw.column("SELECT count(*) FROM generate_series(1, 3) g JOIN clock ON span = g") == [6]


def test_the_modules_of_an_installed_multicorn(fdw: FdwDatabase, shared_dir: Path) -> None:
    """Its wrappers are found in its package, and run with our classes."""
    package = shared_dir / "multicorn"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('not for this host')\n")
    (package / "fewfdw.py").write_text(
        "from . import ForeignDataWrapper\n"
        "from .utils import log_to_postgres, INFO\n"
        "import multicorn\n"
        "class Few(ForeignDataWrapper):\n"
        "    def execute(self, quals, columns):\n"
        "        log_to_postgres(('any', 'object'), INFO)\n"
        "        yield {'n': 1, 'version': multicorn.__version__}\n"
    )
    hand_over(fdw, shared_dir)
    fdw.execute(f"SET ruvector_fdw.python_path = '{shared_dir}'")
    fdw.server_for("multicorn.fewfdw.Few")
    fdw.table("few", "n int, version text")
    assert fdw.rows("SELECT * FROM few") == [(1, "3.2")]
    assert fdw.said()[-1] == "('any', 'object')"
