# SPDX-License-Identifier: PostgreSQL
"""A wrapper of our own protocol over rows in memory: exact, so that a heap table with the same rows must agree with it.

Options: `rows` (how many), `dims`, `seed`; `push` (exact, hint, none), `batches` (plain arrays, lists, or rows),
`limit` (no: refuses LIMIT).
"""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np

from ruvector_fdw.abc import Qual, VectorForeignDataWrapper
from ruvector_fdw.request import (
    Batch,
    BoolQual,
    Estimate,
    NullQual,
    PushLevel,
    SearchRequest,
    VectorQual,
    VectorSortKey,
)
from ruvector_fdw.unknown import without_unknown
from ruvector_fdw.utils import log_to_postgres

COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
DATA: dict[tuple[int, int, int], dict[str, Any]] = {}


def make_rows(count: int, dims: int, seed: int) -> dict[str, Any]:
    """Columns id, price (NULL for every seventh), label (every fifth), embedding (every eleventh)."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-8, 9, size=(count, dims)).astype(np.float32) / 4
    return {
        "id": list(range(count)),
        "price": [None if i % 7 == 3 else float(p) / 4 for i, p in enumerate(rng.integers(0, 200, count))],
        "label": [None if i % 5 == 2 else "abcdef"[k] * 2 for i, k in enumerate(rng.integers(0, 6, count))],
        "embedding": [None if i % 11 == 5 else vectors[i] for i in range(count)],
    }


def distance(metric: str, a: Any, b: Any) -> float:
    a = np.asarray(a, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    if metric == "l2":
        return float(np.sqrt(((a - b) ** 2).sum()))
    if metric == "ip":
        return -float(a @ b)
    if metric == "l1":
        return float(np.abs(a - b).sum())
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return 1 - float(a @ b) / norm if norm else float("nan")


def like(text: str, pattern: str) -> bool:
    parts = re.split(r"(\\.|%|_)", pattern)
    regex = "".join(".*" if p == "%" else "." if p == "_" else re.escape(p[1:] if p[:1] == "\\" else p) for p in parts)
    return re.fullmatch(regex, text, re.DOTALL) is not None


class Memory(VectorForeignDataWrapper):
    def __init__(self, fdw_options: Any, fdw_columns: Any) -> None:
        super().__init__(fdw_options, fdw_columns)
        self.options = fdw_options
        key = tuple(int(fdw_options.get(k, d)) for k, d in (("rows", "100"), ("dims", "4"), ("seed", "1")))
        self.data = DATA.setdefault(key, make_rows(*key))
        self.count = len(self.data["id"])
        self.names = list(fdw_columns)

    def can_push(self, qual: Any) -> PushLevel | bool:
        return {"exact": True, "hint": PushLevel.HINT, "none": False}[self.options.get("push", "exact")]

    def can_sort(self, sortkeys: list[Any]) -> list[Any]:
        return sortkeys[:1] if isinstance(sortkeys[0], VectorSortKey) or sortkeys[0].attname != "label" else []

    def accepts_limit(self, request: SearchRequest) -> bool:
        return self.options.get("limit") != "no"

    def estimate(self, request: SearchRequest) -> Estimate:
        return Estimate(self.count, 100, 10, 0.05)

    def explain_scan(self, request: SearchRequest, verbose: bool) -> list[tuple[str, str]]:
        return [("Foreign Store", f"memory, columns {', '.join(request.columns)}")]

    def passes(self, qual: Any, i: int) -> bool:
        if isinstance(qual, BoolQual):
            return (all if qual.operator == "AND" else any)(self.passes(arg, i) for arg in qual.args)
        value = self.data[qual.field_name][i]
        if isinstance(qual, NullQual):
            return (value is None) == qual.is_null
        if value is None:
            return False
        if isinstance(qual, VectorQual):
            found = distance(qual.metric, value, qual.query)
            return bool(COMPARE[qual.comparison](found, qual.threshold))
        assert isinstance(qual, Qual)
        if isinstance(qual.operator, tuple):
            name, is_any = qual.operator
            return (any if is_any else all)(self.compare(name, value, member) for member in qual.value)
        return self.compare(qual.operator, value, qual.value)

    def compare(self, name: str, value: Any, other: Any) -> bool:
        if name in ("~~", "!~~"):
            return like(value, other) == (name == "~~")
        return bool(COMPARE[name](value, other))

    def scan(self, request: SearchRequest) -> Any:
        if self.options.get("log"):
            log_to_postgres(f"scan {request.columns} {len(request.quals)} quals {request.limit} {request.offset}")
        quals = without_unknown(request.quals)
        found = [] if quals is None else [i for i in range(self.count) if all(self.passes(q, i) for q in quals)]
        if request.order:
            key = request.order[0]
            values = self.data[key.attname]
            if isinstance(key, VectorSortKey):
                query = key.query
                assert query is None or query.dtype == np.float32
                ranks = {
                    i: (1, 0.0) if values[i] is None or query is None else (0, distance(key.metric, values[i], query))
                    for i in found
                }
                found.sort(key=lambda i: (ranks[i][0], np.isnan(ranks[i][1]), ranks[i][1]))
            else:
                nulls = [i for i in found if values[i] is None]
                rest = sorted((i for i in found if values[i] is not None), key=lambda i: values[i])
                rest = rest[::-1] if key.is_reversed else rest
                found = nulls + rest if key.nulls_first else rest + nulls
        stop = None if request.limit is None else request.offset + request.limit
        found = found[request.offset : stop]
        for start in range(0, len(found), 7):
            yield self.batch(request, found[start : start + 7])

    def batch(self, request: SearchRequest, rows: list[int]) -> Any:
        columns: dict[str, Any] = {name: [self.data[name][i] for i in rows] for name in request.columns}
        nulls: dict[str, Any] = {}
        if self.options.get("batches") == "lists":
            return Batch(len(rows), columns)
        if "id" in columns:
            columns["id"] = np.asarray(columns["id"], dtype=np.int64)
        if "price" in columns:
            nulls["price"] = np.asarray([p is None for p in columns["price"]])
            columns["price"] = np.asarray([p or 0.0 for p in columns["price"]])
        if "embedding" in columns:
            nulls["embedding"] = np.asarray([e is None for e in columns["embedding"]])
            blank = np.zeros(int(self.options.get("dims", "4")), dtype=np.float32)
            columns["embedding"] = np.stack([blank if e is None else e for e in columns["embedding"]])
        return Batch(len(rows), columns, nulls)


class Kept(VectorForeignDataWrapper):
    """A writable table in the backend's memory: gives back the very objects that it was given."""

    def __init__(self, fdw_options: Any, fdw_columns: Any) -> None:
        super().__init__(fdw_options, fdw_columns)
        self.names = list(fdw_columns)
        self.rows: dict[int, dict[str, Any]] = {}
        self.last = 0

    def estimate(self, request: SearchRequest) -> Estimate:
        return Estimate(max(1, len(self.rows)), 100, 10, 0.05)

    def scan(self, request: SearchRequest) -> Any:
        rows = sorted(self.rows.items())
        if rows:
            columns = {name: [row.get(name) for _, row in rows] for name in request.columns}
            yield Batch(len(rows), columns, rowids=[rowid for rowid, _ in rows] if request.need_rowids else None)

    def check_writable(self) -> None:
        pass

    def insert_batch(self, batch: Batch) -> None:
        log_to_postgres(f"insert_batch {batch.count}")
        for i in range(batch.count):
            self.last += 1
            self.rows[self.last] = {name: column[i] for name, column in batch.columns.items()}

    def update_row(self, rowid: int, batch: Batch) -> None:
        log_to_postgres(f"update_row {sorted(batch.columns)}")
        self.rows[rowid].update({name: column[0] for name, column in batch.columns.items()})

    def delete_row(self, rowid: int) -> None:
        del self.rows[rowid]

    def truncate(self) -> None:
        self.rows.clear()
