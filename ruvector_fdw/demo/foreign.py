# SPDX-License-Identifier: PostgreSQL
"""The stages with foreign tables: a vector store written from the same rows, and the pgvector tables imported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from ruvector_fdw.server import Account
from ruvector_fdw.store import Store

from . import measure, wire
from .steps import Run, require

EF_SEARCH = 40


def write_store(run: Run, path: Path, account: Account) -> None:
    """A store in a directory, written by this process and handed to the server's user."""
    data = run.dataset
    run.script.say("A vector store on disk, written from the same rows in Python")
    columns = {"id": "int4", "content": "text"}
    print(f'\n    store = Store.create("{path}", dims={data.dims}, metric="l2", columns={columns})')
    print("    store.load(vectors, id=ids, content=texts)", flush=True)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.arange(len(data.base), dtype=np.int32)
    with Store.create(path, dims=data.dims, metric="l2", columns=columns) as store:
        store.load(data.base, id=ids, content=[f"passage {number:08d}" for number in ids])
    for folder, _, files in os.walk(path):
        account.own(Path(folder))
        for name in files:
            account.give(Path(folder) / name)


def foreign_table(run: Run, path: Path) -> None:
    """SELECT … ORDER BY embedding <-> q LIMIT 10 on the store, searched by the store's own index."""
    script, data = run.script, run.dataset
    script.say("The store as a foreign table")
    script.run("CREATE EXTENSION ruvector_fdw")
    script.run("CREATE SERVER vector_stores FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'store')")
    script.run(
        f"""
        CREATE FOREIGN TABLE items_store (id int, content text, embedding ruvector({data.dims}))
        SERVER vector_stores OPTIONS (path '{path}', ef_search '{EF_SEARCH}')
        """
    )
    plan = script.explain("SELECT id, content FROM items_store ORDER BY embedding <-> '[...]' LIMIT 10")
    require("Order By pushed" in plan and "Sort" not in plan, "the store does not answer ORDER BY embedding <-> q")
    require("Limit pushed: 10" in plan, "the store is not told the limit")
    rows = script.ask(
        """
        SELECT id, content, embedding <-> '[...]' AS distance
        FROM items_store
        ORDER BY embedding <-> '[...]'
        LIMIT 10
        """
    )
    require(len(rows) == 10 and rows == sorted(rows, key=lambda row: row[2]), "the rows are not the nearest in order")
    kind = wire.parameter_type(run.conn, "ruvector")
    statement = f"SELECT id FROM items_store ORDER BY embedding <-> %s LIMIT {measure.K}"
    parameters = [kind(query) for query in data.queries]
    run.foreign = measure.point(run.conn, statement, EF_SEARCH, parameters, data.base, data.queries, run.radii)


def import_pgvector(run: Run, host: Path, database: str) -> None:
    """A pgvector database (here: this one) mounted table by table."""
    script = run.script
    script.say("The pgvector tables of a database, imported")
    script.run(
        f"""
        CREATE SERVER pgvector_database FOREIGN DATA WRAPPER ruvector_fdw
        OPTIONS (kind 'pgvector', host '{host}', dbname '{database}')
        """
    )
    script.run("CREATE USER MAPPING FOR CURRENT_USER SERVER pgvector_database OPTIONS (user 'postgres')")
    script.run("CREATE SCHEMA imported")
    script.run("IMPORT FOREIGN SCHEMA public LIMIT TO (items) FROM SERVER pgvector_database INTO imported")
    [(count,)] = script.ask("SELECT COUNT(*) FROM imported.items")
    require(count == len(run.dataset.base), f"the imported table has {count} rows")
    query = "SELECT id, content FROM imported.items ORDER BY embedding <-> '[...]' LIMIT 3"
    plan = script.explain(query)
    require("Sort" not in plan, "the remote server does not answer ORDER BY embedding <-> q")
    require(len(script.ask(query)) == 3, "the imported table does not give its nearest rows")
