# SPDX-License-Identifier: PostgreSQL
"""Adding, changing and removing rows: the statements of one write, inside a SQLite write transaction.

Without a `tx` a change is plain at once, as the Python API wants it. With one it is staged: visible to that
transaction only, undone by savepoint level, until `transaction.py` settles it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ruvector_fdw.errors import InvalidValueError, SerializationError
from ruvector_fdw.request import ColumnData
from ruvector_fdw.stores.store.opened import OpenStore
from ruvector_fdw.stores.store.schema import ROW_NULL, ROW_ORDINARY, ROW_ZERO
from ruvector_fdw.stores.values import encode_all

MAX_ROW_ID = (1 << 47) - 1
"""A row id travels through PostgreSQL as a tuple identifier."""


@dataclass
class Rows:
    """Rows checked and encoded, ready for any number of statements; made before the write lock is taken.

    payload: by column name; vectors: blobs, None when an update leaves them as they are; kinds: as `rows.kind`.
    """

    count: int
    payload: dict[str, list[Any]]
    vectors: list[Any] | None
    kinds: list[int]


def encode(store: OpenStore, count: int, columns: Mapping[str, ColumnData], partial: bool = False) -> Rows:
    """:param partial: columns that are not named stay as they are (an update); otherwise they become NULL.
    :raise InvalidValueError: an unknown column, a wrong length, a value that does not fit, a NULL where none may be."""
    known = {column.name for column in store.spec.columns}
    for name, values in columns.items():
        if name not in known:
            raise InvalidValueError(f'column "{name}" of the store does not exist', sqlstate="42703")
        if len(values) != count:
            raise InvalidValueError(f'column "{name}" has {len(values)} values for {count} rows')
    rows = Rows(count, {}, None, [])
    for column in store.spec.columns:
        if partial and column.name not in columns:
            continue
        values = columns.get(column.name, [None] * count)
        if column.not_null and not isinstance(values, np.ndarray) and any(value is None for value in values):
            raise InvalidValueError(
                f'null value in column "{column.name}" violates not-null constraint', sqlstate="23502"
            )
        if column.vector:
            rows.vectors, rows.kinds = _encode_vectors(store, values)
        else:
            rows.payload[column.name] = encode_all(column.codec, values)
    return rows


def _encode_vectors(store: OpenStore, values: ColumnData) -> tuple[list[Any], list[int]]:
    codec = store.codec
    present = [True] * len(values) if isinstance(values, np.ndarray) else [value is not None for value in values]
    kept = values if all(present) else [value for value in values if value is not None]
    block = codec.block(kept)
    blobs = iter(codec.blobs(block))
    zero = iter(codec.zeros(block).tolist() if store.spec.metric == "cosine" else [False] * len(kept))
    vectors = [next(blobs) if there else None for there in present]
    return vectors, [(ROW_ZERO if next(zero) else ROW_ORDINARY) if there else ROW_NULL for there in present]


def insert(store: OpenStore, connection: sqlite3.Connection, rows: Rows, tx: int | None, level: int) -> range:
    """Add rows; returns their ids, a range. The ids are taken under the write lock, ascending."""
    if not rows.count:
        return range(0)
    first = connection.execute("SELECT next_row FROM state").fetchone()[0]
    ids = range(first, first + rows.count)
    if ids[-1] > MAX_ROW_ID:
        raise InvalidValueError("the store has used up its row ids", sqlstate="54000")
    spec = store.spec
    names = list(rows.payload)
    fields = "".join(f", {spec.field_of(name)}" for name in names)
    marks = ", ?" * len(names)
    connection.executemany(
        f"INSERT INTO rows (row_id, kind{fields}) VALUES (?, ?{marks})",
        zip(ids, rows.kinds, *(rows.payload[name] for name in names), strict=True),
    )
    assert rows.vectors is not None
    connection.executemany(
        "INSERT INTO vectors (row_id, vector) VALUES (?, ?)",
        ((row_id, blob) for row_id, blob in zip(ids, rows.vectors, strict=True) if blob is not None),
    )
    connection.execute("UPDATE state SET next_row = ?", (ids[-1] + 1,))
    _note_inserted(connection, ids, tx, level)
    return ids


def _note_inserted(connection: sqlite3.Connection, ids: range, tx: int | None, level: int) -> None:
    if tx is None:
        connection.execute("UPDATE state SET commits = commits + 1, row_count = row_count + ?", (len(ids),))
        return
    grown = connection.execute(
        "UPDATE inserted SET last_row = ? WHERE tx = ? AND level = ? AND last_row = ?", (ids[-1], tx, level, ids[0] - 1)
    )
    if not grown.rowcount:
        connection.execute("INSERT INTO inserted VALUES (?, ?, ?, ?)", (ids[0], ids[-1], tx, level))


def delete(
    store: OpenStore, connection: sqlite3.Connection, row_ids: Sequence[int], tx: int | None, level: int
) -> list[int]:
    """Remove rows that the caller has seen; returns those it did remove. A row that the same transaction has already
    removed or changed is passed over: the caller has seen it before, in the same statement (`UPDATE … FROM` with
    several matches), where PostgreSQL too takes the first and forgets the rest.

    :raise SerializationError: another transaction has removed or changed one of them.
    """
    taken: list[int] = []
    for row_id in row_ids:
        other = connection.execute("SELECT tx FROM deleted WHERE row_id = ?", (row_id,)).fetchone()
        if other is not None and other[0] == tx:
            continue
        there = connection.execute("SELECT 1 FROM rows WHERE row_id = ?", (row_id,)).fetchone()
        if there is None or other is not None:
            raise SerializationError(
                "could not serialize access due to concurrent update",
                detail=f'Row {row_id} of store "{store.directory}" was changed by another transaction.',
            )
        taken.append(row_id)
    if tx is None:
        remove(connection, taken)
        connection.execute("UPDATE state SET commits = commits + 1, row_count = row_count - ?", (len(taken),))
    else:
        connection.executemany("INSERT INTO deleted VALUES (?, ?, ?)", ((row_id, tx, level) for row_id in taken))
    return taken


def remove(connection: sqlite3.Connection, row_ids: Sequence[int]) -> None:
    """Take rows out of the tables for good, and note their ids for the bitmaps."""
    ids = [(row_id,) for row_id in row_ids]
    connection.executemany("DELETE FROM rows WHERE row_id = ?", ids)
    connection.executemany("DELETE FROM vectors WHERE row_id = ?", ids)
    sequence = connection.execute("SELECT tombstone FROM state").fetchone()[0]
    connection.executemany(
        "INSERT INTO tombstones VALUES (?, ?)", ((sequence + 1 + i, row_id) for i, row_id in enumerate(row_ids))
    )
    connection.execute("UPDATE state SET tombstone = tombstone + ?", (len(ids),))


def update(
    store: OpenStore,
    connection: sqlite3.Connection,
    row_ids: Sequence[int],
    rows: Rows,
    tx: int | None,
    level: int,
) -> range:
    """Give each of these rows a successor with the columns that `rows` has; returns the new ids, none for a row that
    `delete` passes over."""
    spec = store.spec
    names = [column.name for column in spec.payload]
    fields = "".join(f", r.{spec.field_of(name)}" for name in names)
    old = [
        connection.execute(
            f"SELECT r.kind, v.vector{fields} FROM rows r LEFT JOIN vectors v ON v.row_id = r.row_id"
            " WHERE r.row_id = ?",
            (row_id,),
        ).fetchone()
        for row_id in row_ids
    ]
    taken = set(delete(store, connection, row_ids, tx, level))  # says so when one of them is gone
    at = [i for i, row_id in enumerate(row_ids) if row_id in taken]
    payload = {
        name: [rows.payload[name][i] for i in at] if name in rows.payload else [old[i][2 + number] for i in at]
        for number, name in enumerate(names)
    }
    if rows.vectors is not None:
        successors = Rows(len(at), payload, [rows.vectors[i] for i in at], [rows.kinds[i] for i in at])
    else:
        successors = Rows(len(at), payload, [old[i][1] for i in at], [old[i][0] for i in at])
    return insert(store, connection, successors, tx, level)
