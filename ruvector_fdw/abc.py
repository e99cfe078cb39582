# SPDX-License-Identifier: PostgreSQL
"""The classes a foreign data wrapper is written against.

The first half has the names, attributes and defaults of Multicorn 3.2's Python protocol (its documentation and the
behaviour of its host are the source), so that a wrapper written for Multicorn runs here unchanged: `import multicorn`
finds these classes when the process is our host (see `multicorn_compat`). The second half is what we add:
`VectorForeignDataWrapper`, a wrapper that is offered distances and boolean trees, says which conditions it keeps
exactly, and may return `Batch` objects. A wrapper opts in by deriving from it; everything of Multicorn's stays valid.

The host calls every method from one thread with the GIL held, never two at a time for one backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from ruvector_fdw.request import AnyQual, Batch, Estimate, PushLevel, SearchRequest


class _Marker:
    """A value that is only compared by identity and prints its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


ANY = _Marker("ANY")
ALL = _Marker("ALL")
UNBOUND = _Marker("UNBOUND")
"""The value of a condition or query that is not known while planning: a parameter, or a column of an outer table."""


class SortKey(NamedTuple):
    """One plain column of an ORDER BY."""

    attname: str
    attnum: int
    is_reversed: bool
    nulls_first: bool
    collate: str | None


class Qual:
    """`field_name operator value`; for a list, `operator` is `(name, True)` for ANY and `(name, False)` for ALL.

    To a Multicorn wrapper `IS NULL` is `= None` and `IS NOT NULL` is `<> None`, as Multicorn has it.
    """

    field_name: str
    operator: str | tuple[str, bool]
    value: Any

    def __init__(self, field_name: str, operator: str | tuple[str, bool], value: Any) -> None:
        self.field_name = field_name
        self.operator = operator
        self.value = value

    @property
    def is_list_operator(self) -> bool:
        return isinstance(self.operator, tuple)

    @property
    def list_any_or_all(self) -> object | None:
        """ANY, ALL, or None when the operator takes no list."""
        if isinstance(self.operator, tuple):
            return ANY if self.operator[1] else ALL
        return None

    def __repr__(self) -> str:
        if isinstance(self.operator, tuple):
            return f"{self.field_name} {self.operator[0]} {self.list_any_or_all!r}({self.value})"
        return f"{self.field_name} {self.operator} {self.value}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Qual):
            return False
        mine = (self.field_name, self.operator, self.value)
        return bool(mine == (other.field_name, other.operator, other.value))

    def __hash__(self) -> int:
        return hash((self.field_name, self.operator, self.value))


def quote_identifier(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def quote_option(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def dict_to_optionstring(options: Mapping[str, str]) -> str:
    return ",\n".join(f"{key} {quote_option(value)}" for key, value in sorted(options.items()))


class ColumnDefinition:
    """A column of a foreign table; `type_name` has the modifier (`ruvector(384)`), `base_type_name` has not."""

    def __init__(
        self,
        column_name: str,
        type_oid: int = 0,
        typmod: int = 0,
        type_name: str = "",
        base_type_name: str = "",
        options: dict[str, str] | None = None,
        not_null: bool = False,
    ) -> None:
        self.column_name = column_name
        self.type_oid = type_oid
        self.typmod = typmod
        self.type_name = type_name
        self.base_type_name = base_type_name
        self.options = options or {}
        self.not_null = not_null

    def __repr__(self) -> str:
        options = f" options {self.options}" if self.options else ""
        return f"{type(self).__name__}({self.column_name}, {self.type_oid}, {self.type_name}{options})"

    def to_statement(self) -> str:
        statement = f"{quote_identifier(self.column_name)} {self.type_name}"
        if self.options:
            statement += f" OPTIONS ( {dict_to_optionstring(self.options)} )"
        return statement + (" NOT NULL" if self.not_null else "")


class TableDefinition:
    """A foreign table for IMPORT FOREIGN SCHEMA to create. `schema` is accepted and unused, as in Multicorn."""

    def __init__(
        self,
        table_name: str,
        schema: str | None = None,
        columns: list[ColumnDefinition] | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        self.table_name = table_name
        self.columns = columns or []
        self.options = options or {}

    def to_statement(self, schema_name: str, server_name: str) -> str:
        columns = ",\n".join(column.to_statement() for column in self.columns)
        statement = (
            f"CREATE FOREIGN TABLE {quote_identifier(schema_name)}.{quote_identifier(self.table_name)} (\n"
            f"{columns}\n) SERVER {quote_identifier(server_name)}"
        )
        if self.options:
            statement += f" OPTIONS (\n{dict_to_optionstring(self.options)}\n)"
        return statement


_READ_ONLY = "This FDW does not support the writable API"


class ForeignDataWrapper:
    """A foreign table. The host keeps one instance per table and backend, and makes a new one after an ALTER."""

    _startup_cost: float = 20

    def __init__(self, fdw_options: Mapping[str, str], fdw_columns: Mapping[str, ColumnDefinition]) -> None:
        pass

    def get_rel_size(self, quals: list[Any], columns: Any) -> tuple[float, int]:
        """Estimated rows after `quals`, and the bytes of one row of `columns`."""
        return (100000000, len(columns) * 100)

    def can_sort(self, sortkeys: list[Any]) -> Sequence[Any]:
        """The prefix of `sortkeys` that `execute` keeps."""
        return []

    def can_limit(self, limit: int | None, offset: int | None) -> bool:
        return False

    def get_path_keys(self) -> Sequence[tuple[Sequence[str], float]]:
        """`[((column, …), rows), …]`: equality on these columns is cheap and returns so many rows."""
        return []

    def explain(
        self,
        quals: list[Any],
        columns: Any,
        sortkeys: list[Any] | None = None,
        verbose: bool = False,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Iterable[str]:
        return []

    def execute(
        self,
        quals: list[Any],
        columns: Any,
        sortkeys: list[Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Iterable[Any] | None:
        """Rows as dicts (a missing column is NULL) or as sequences with every column of the table.

        `columns` is a set of names. `sortkeys`, `limit` and `offset` are passed only when they were pushed down.
        """
        return None

    @property
    def rowid_column(self) -> str:
        raise NotImplementedError(_READ_ONLY)

    @property
    def modify_batch_size(self) -> int:
        return 1

    def insert(self, values: dict[str, Any]) -> Mapping[str, Any] | None:
        raise NotImplementedError(_READ_ONLY)

    def bulk_insert(self, all_values: list[dict[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        raise NotImplementedError("This FDW does not support the bulk insert writable API")

    def update(self, oldvalues: Any, newvalues: dict[str, Any]) -> Mapping[str, Any] | None:
        raise NotImplementedError(_READ_ONLY)

    def delete(self, oldvalues: Any) -> None:
        raise NotImplementedError(_READ_ONLY)

    def pre_commit(self) -> None:
        pass

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        pass

    def end_scan(self) -> None:
        pass

    def end_modify(self) -> None:
        pass

    def begin(self, serializable: bool) -> None:
        pass

    def sub_begin(self, level: int) -> None:
        pass

    def sub_rollback(self, level: int) -> None:
        pass

    def sub_commit(self, level: int) -> None:
        pass

    @classmethod
    def import_schema(
        cls,
        schema: str,
        srv_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction_type: str | None,
        restricts: list[str],
    ) -> list[TableDefinition]:
        """:param restriction_type: "limit", "except" or None"""
        raise NotImplementedError("This FDW does not support IMPORT FOREIGN SCHEMA")


class TransactionAwareForeignDataWrapper(ForeignDataWrapper):
    """Collects the changes of a transaction in `current_transaction_state` for `pre_commit` to apply."""

    def __init__(self, fdw_options: Mapping[str, str], fdw_columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(fdw_options, fdw_columns)
        self._init_transaction_state()

    def _init_transaction_state(self) -> None:
        self.current_transaction_state: list[tuple[str, Any]] = []

    def insert(self, values: dict[str, Any]) -> None:
        self.current_transaction_state.append(("insert", values))

    def update(self, oldvalues: Any, newvalues: dict[str, Any]) -> None:
        self.current_transaction_state.append(("update", (oldvalues, newvalues)))

    def delete(self, oldvalues: Any) -> None:
        self.current_transaction_state.append(("delete", oldvalues))

    def rollback(self) -> None:
        self._init_transaction_state()


class VectorForeignDataWrapper(ForeignDataWrapper):
    """What our host adds to Multicorn's protocol: it asks with a whole `SearchRequest`, and takes columns for rows.

    The host calls these methods instead of `get_rel_size`, `execute`, `explain`, `bulk_insert`, `update` and `delete`.
    While planning, a value of the request that is not yet known is `UNBOUND`.
    """

    @property
    def modify_batch_size(self) -> int:
        return 1000

    def can_push(self, qual: AnyQual) -> PushLevel | bool:
        """How far `scan` keeps this condition: True or EXACT removes the local filter, HINT keeps it."""
        return False

    def accepts_limit(self, request: SearchRequest) -> bool:
        """Whether `scan` stops after `limit` rows (asked only when every condition is pushed EXACT)."""
        return False

    def estimate(self, request: SearchRequest) -> Estimate:
        raise NotImplementedError

    def explain_scan(self, request: SearchRequest, verbose: bool) -> Iterable[tuple[str, str]]:
        """Labelled lines for EXPLAIN, beyond what the host prints of the request itself."""
        return []

    def scan(self, request: SearchRequest) -> Iterable[Any]:
        """Yield `Batch` objects, or rows as `execute` does."""
        raise NotImplementedError

    def check_writable(self) -> None:
        """Raise when rows cannot be inserted, updated or deleted; called before the first is."""
        raise NotImplementedError(_READ_ONLY)

    def insert_batch(self, batch: Batch) -> Batch | None:
        """Add rows; a returned batch has the values as stored, for RETURNING and triggers."""
        raise NotImplementedError(_READ_ONLY)

    def update_row(self, rowid: int, batch: Batch) -> Batch | Literal[False] | None:
        """Set the columns of the one row in `batch`. False: passed over, the statement has already changed this row."""
        raise NotImplementedError(_READ_ONLY)

    def delete_row(self, rowid: int) -> Literal[False] | None:
        """Remove the row. False as for `update_row`."""
        raise NotImplementedError(_READ_ONLY)

    def truncate(self) -> None:
        raise NotImplementedError(_READ_ONLY)

    def close(self) -> None:
        """The table was altered or dropped: let go of files and connections."""
