# SPDX-License-Identifier: PostgreSQL
"""The kinds of store a foreign table can be over; each is loaded when it is first named.

A kind is a class derived from `ruvector_fdw.request.TableStore`: this table is all that has to know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from ruvector_fdw.errors import OptionError
from ruvector_fdw.request import ColumnDefinition, SearchRequest, TableStore

KINDS: Mapping[str, tuple[str, str]] = {
    "store": ("ruvector_fdw.stores.store.table", "StoreTable"),
    "numpy": ("ruvector_fdw.stores.numpy", "NumpyTable"),
    "usearch": ("ruvector_fdw.stores.usearch", "UsearchTable"),
    "pgvector": ("ruvector_fdw.stores.pgvector.table", "PgvectorTable"),
}


def store_class(kind: str) -> type[TableStore]:
    """:raise OptionError: there is no such kind."""
    try:
        module, name = KINDS[kind]
    except KeyError:
        raise OptionError(
            f'invalid value for option "kind": "{kind}"', hint=f"Use {', '.join(KINDS)}.", sqlstate="HV024"
        ) from None
    found: type[TableStore] = getattr(import_module(module), name)
    return found


def check_options(options: Mapping[str, str], kind: str, known: Sequence[str], required: str) -> None:
    """:raise OptionError: an option is not one of `known`, or the one that is `required` is missing."""
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise OptionError(f'invalid option "{unknown}"', hint=f"Use {', '.join(known)}.")
    if required not in options:
        raise OptionError(f'option "{required}" is required for kind "{kind}"', sqlstate="HV00B")


def planned_limit(request: SearchRequest) -> float:
    """Rows after which a request stops, for the planner: infinite without a limit or when it is not known yet."""
    if not isinstance(request.limit, int) or not isinstance(request.offset, int):
        return float("inf")
    return float(request.limit + request.offset)


def open_table(options: Mapping[str, str], columns: Mapping[str, ColumnDefinition]) -> TableStore:
    """Open the store that the options of a server, a user mapping and a table name (`kind`, by default `store`)."""
    return store_class(options.get("kind", "store"))(options, columns)
