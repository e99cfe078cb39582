# SPDX-License-Identifier: PostgreSQL
"""pg8000: vectors go out and come in as values, as text (pg8000 has no binary format)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .types import QUERY, by_name
from .values import HalfVector, SparseVector, Vector

_CLASSES: dict[str, Any] = {"ruvector": Vector, "halfvec": HalfVector, "sparsevec": SparseVector}


def register_ruvector(connection: Any) -> None:
    """Register ruvector, halfvec and sparsevec on a ``pg8000.native`` or ``pg8000.dbapi`` connection.

    :raise TypeNotFoundError: extension ruvector is not installed.
    """
    if hasattr(connection, "run"):
        rows = connection.run(QUERY)
    else:
        cursor = connection.cursor()
        cursor.execute(QUERY)
        rows = cursor.fetchall()
    found = by_name(rows)
    for name, value in _CLASSES.items():
        connection.register_out_adapter(value, lambda v: v.to_text())
        if name in found:
            connection.register_in_adapter(found[name].oid, value.from_text)
            connection.register_in_adapter(found[name].array_oid, _array(value.from_text))
    connection.register_out_adapter(np.ndarray, lambda v: Vector(v).to_text())


def _array(element: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Reader of an array's text; its elements hold commas or braces, so the server quotes each that is not NULL."""

    def read(text: str) -> list[Any]:
        return [None if null else element(one) for one, null in re.findall(r'"([^"]*)"|(NULL)', text)]

    return read
