# SPDX-License-Identifier: PostgreSQL
"""Wrappers as one writes them for Multicorn: they import `multicorn` and know nothing of ruvector_fdw.

Every call that a test is to see is logged at INFO, so that it arrives as a notice.
"""

import importlib
import threading
import time
from collections import UserDict, namedtuple
from collections.abc import Iterable
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING

import numpy
from multicorn import ColumnDefinition, ForeignDataWrapper, TableDefinition, TransactionAwareForeignDataWrapper
from multicorn.utils import check_interrupts, log_to_postgres

Row = namedtuple("Row", ["n", "name", "value"])
FORMS = {
    "dict": lambda n, name, value: {"n": n, "name": name, "value": value},
    "sequence": lambda *row: list(row),
    "namedtuple": Row,
    "userdict": lambda n, name, value: UserDict(n=n, name=name, value=value),
    "numpy": lambda *row: numpy.array(row, dtype=object),
}


class Numbers(ForeignDataWrapper):
    """`count` rows: n, name, and value n / 2 (NULL for every third). Says what it is asked."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.options = fdw_options
        self.columns = fdw_columns
        self.count = int(fdw_options.get("count", "10"))
        log_to_postgres(f"init {sorted(fdw_options.items())} {list(fdw_columns)}")

    def get_rel_size(self, quals, columns):
        return (self.count, 20 * len(columns))

    def get_path_keys(self):
        return [(("n",), 1)] if "keyed" in self.options else []

    def can_sort(self, sortkeys):
        if "sort" not in self.options:
            return []
        log_to_postgres(f"can_sort {sortkeys}")
        return sortkeys

    def can_limit(self, limit, offset):
        return "limit" in self.options

    def explain(self, quals, columns, sortkeys=None, **more):
        if "explain" in self.options:
            return [str(dict(sorted(more.items())))]
        return [f"quals {quals}", f"verbose {more['verbose']}"]

    def execute(self, quals, columns, sortkeys=None, **pushed):
        assert isinstance(columns, set)
        log_to_postgres(f"execute {sorted(map(str, quals))} {sorted(columns)} {sortkeys} {pushed}")
        rows = range(self.count)
        if "keyed" in self.options:
            for qual in quals:
                if qual.field_name == "n" and qual.operator == "=":
                    rows = [qual.value]
        if sortkeys and sortkeys[0].is_reversed:
            rows = list(rows)[::-1]
        offset = pushed.get("offset") or 0
        limit = pushed.get("limit")
        for n in list(rows)[offset : None if limit is None else offset + limit]:
            value = None if n % 3 == 2 else n / 2
            yield FORMS[self.options.get("rows", "dict")](n, f"name {n}", value)

    def end_scan(self):
        if "ends" in self.options:
            log_to_postgres("end_scan")


class Echo(ForeignDataWrapper):
    """One row whose columns are the values of the quals `column = value`; `seen` says what Python got."""

    def execute(self, quals, columns):
        row = {}
        seen = []
        for qual in quals:
            row[qual.field_name] = qual.value
            value = qual.value
            seen.append(f"{qual.field_name}: {type(value).__module__}.{type(value).__name__} {value!r}")
        row["seen"] = "; ".join(sorted(seen))
        yield row


class Ledger(ForeignDataWrapper):
    """Rows by key, kept in the backend; transactions are only logged. Batches when `batch` is given."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.options = fdw_options
        self.rows = {}

    @property
    def rowid_column(self):
        return self.options.get("rowid", "id")

    @property
    def modify_batch_size(self):
        return int(self.options.get("batch", "1"))

    def execute(self, quals, columns):
        for key in sorted(self.rows):
            yield dict(self.rows[key])

    def insert(self, values):
        log_to_postgres(f"insert {sorted(values.items())}")
        stored = dict(values)
        if stored.get("note") is None:
            stored["note"] = "made here"
        self.rows[stored["id"]] = stored
        return stored

    def bulk_insert(self, all_values):
        log_to_postgres(f"bulk_insert {[values['id'] for values in all_values]}")
        for values in all_values:
            self.rows[values["id"]] = dict(values)
        if self.options.get("short"):
            return all_values[:-1]
        return all_values

    def update(self, rowid, newvalues):
        log_to_postgres(f"update {rowid!r} {sorted(newvalues.items())}")
        self.rows.pop(rowid)
        self.rows[newvalues["id"]] = dict(newvalues)

    def delete(self, rowid):
        log_to_postgres(f"delete {rowid!r}")
        del self.rows[rowid]

    def end_modify(self):
        log_to_postgres("end_modify")

    def begin(self, serializable):
        log_to_postgres(f"begin {serializable}")

    def pre_commit(self):
        log_to_postgres("pre_commit")
        if any(row.get("note") == "refuse" for row in self.rows.values()):
            self.rows.clear()
            raise ValueError("pre_commit refuses")

    def commit(self):
        log_to_postgres("commit")

    def rollback(self):
        log_to_postgres("rollback")

    def sub_begin(self, level):
        log_to_postgres(f"sub_begin {level}")

    def sub_commit(self, level):
        log_to_postgres(f"sub_commit {level}")

    def sub_rollback(self, level):
        log_to_postgres(f"sub_rollback {level}")


class Queue(TransactionAwareForeignDataWrapper):
    """The queue of Multicorn's transaction-aware base class."""

    rowid_column = "id"

    def execute(self, quals, columns):
        return iter([{"id": 1, "note": "one"}])

    def pre_commit(self):
        log_to_postgres(f"queued {[(action, values) for action, values in self.current_transaction_state]}")
        self._init_transaction_state()


class ReadOnly(ForeignDataWrapper):
    def execute(self, quals, columns):
        return None


class Trouble(ForeignDataWrapper):
    """Fails, logs or dawdles as its option says."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.what = fdw_options["what"]
        if self.what == "init":
            raise RuntimeError("cannot start")

    def get_rel_size(self, quals, columns):
        if self.what == "size":
            return None
        return (1, 1)

    def execute(self, quals, columns):
        levels = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}
        if self.what in levels:
            log_to_postgres("a message", levels[self.what], hint="a hint", detail="a detail")
        elif self.what == "level":
            log_to_postgres("a message", 99)
        elif self.what == "raise":
            raise KeyError("missing thing")
        elif self.what == "later":
            yield {"n": 1}
            raise ZeroDivisionError("after one row")
        elif self.what == "loop":
            while True:
                pass
        elif self.what == "sleep":
            time.sleep(60)
        elif self.what == "swallow":
            while True:
                try:
                    time.sleep(0.01)
                except BaseException:
                    yield {"n": 7}
                    return
        elif self.what == "checks":
            while True:
                check_interrupts()
                sum(range(10000))
        elif self.what == "row":
            yield 42
        elif self.what == "short":
            yield []
        elif self.what == "value":
            yield {"n": "not a number"}
        elif self.what == "none":
            yield {"n": 1}
            yield None
            yield {"n": 2}
        yield {"n": 0}


class Slow(ForeignDataWrapper):
    """Works for ever in the phase that its option names."""

    rowid_column = "n"

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.phase = fdw_options["phase"]
        self.reach("init")

    def reach(self, phase):
        while phase == self.phase:
            sum(range(1000))

    def get_rel_size(self, quals, columns):
        self.reach("get_rel_size")
        return (1, 1)

    def can_sort(self, sortkeys):
        self.reach("can_sort")
        return []

    def explain(self, quals, columns, **more):
        self.reach("explain")
        return []

    def execute(self, quals, columns):
        yield {"n": 1}
        self.reach("next")

    def end_scan(self):
        self.reach("end_scan")

    def begin(self, serializable):
        self.reach("begin")

    def pre_commit(self):
        self.reach("pre_commit")

    def insert(self, values):
        self.reach("insert")

    def update(self, rowid, newvalues):
        self.reach("update")

    def delete(self, rowid):
        self.reach("delete")

    def end_modify(self):
        self.reach("end_modify")

    @classmethod
    def import_schema(cls, *arguments):
        while True:
            sum(range(1000))


class Schemas(ForeignDataWrapper):
    """IMPORT FOREIGN SCHEMA."""

    @classmethod
    def import_schema(cls, schema, srv_options, options, restriction_type, restricts):
        log_to_postgres(
            f"import {schema} {sorted(srv_options.items())} {sorted(options.items())} "
            f"{restriction_type} {sorted(restricts)}"
        )
        names = ["first", 'odd "name"', "third"]
        if restriction_type == "limit":
            names = [name for name in names if name in restricts]
        elif restriction_type == "except":
            names = [name for name in names if name not in restricts]
        return [
            TableDefinition(
                name,
                columns=[
                    ColumnDefinition("id", type_name="integer"),
                    ColumnDefinition("it's", type_name="character varying(10)", options={"key": "a 'quoted' one"}),
                ],
                options={"count": "3"},
            )
            for name in names
        ]

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.columns = fdw_columns

    def execute(self, quals, columns) -> Iterable:
        described = [
            (name, column.type_name, column.base_type_name, column.typmod, column.options)
            for name, column in self.columns.items()
        ]
        yield [1, str(len(described))]
        log_to_postgres(repr(described))


class Ticker(ForeignDataWrapper):
    """One row: what a thread of this wrapper has counted so far."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        self.count = 0
        threading.Thread(target=self.tick, daemon=True).start()

    def tick(self):
        while True:
            time.sleep(0.005)
            self.count += 1

    def execute(self, quals, columns):
        yield {"n": self.count}


class Chatty(ForeignDataWrapper):
    """Logs from threads of its own while PostgreSQL works, as an HTTP client's might; one row: how the threads ended."""

    def execute(self, quals, columns):
        seen = []

        def talk():
            for _ in range(50):
                log_to_postgres("from a thread", WARNING)
                check_interrupts()
                time.sleep(0.001)
            seen.append("done")

        threads = [threading.Thread(target=talk) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(2000):
            yield {"n": n, "name": None}
        for thread in threads:
            thread.join()
        yield {"n": -1, "name": str(seen)}


class Literal(ForeignDataWrapper):
    """One row: column `value` is the Python expression of option `python`."""

    def __init__(self, fdw_options, fdw_columns):
        super().__init__(fdw_options, fdw_columns)
        names = {name: importlib.import_module(name) for name in ("datetime", "decimal", "numpy", "uuid")}
        self.value = eval(fdw_options["python"], names)

    def execute(self, quals, columns):
        yield {"value": self.value}
