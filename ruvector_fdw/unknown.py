# SPDX-License-Identifier: PostgreSQL
"""SQL's third truth value, taken out of conditions before a store sees them.

A comparison with NULL is unknown, and a filter keeps only what is true. Conditions are made of comparisons, AND and OR
(no NOT), so an unknown part may be treated as false: it makes an AND false and leaves an OR to its other parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ruvector_fdw.abc import Qual
from ruvector_fdw.request import AnyQual, BoolQual, VectorQual


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """The members of an SQL array, which ANY and ALL take without regard to its dimensions."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _known(qual: AnyQual) -> AnyQual | None:
    """The condition without unknown parts, lists without NULLs; None when no row can pass it."""
    if isinstance(qual, Qual):
        if qual.value is None:
            return None
        if not isinstance(qual.operator, tuple):
            return qual
        values = list(_flat(qual.value))
        members = [value for value in values if value is not None]
        operator, is_any = qual.operator
        if is_any:
            return Qual(qual.field_name, (operator, True), members) if members else None
        # ALL: one NULL among the members and the whole can only be false or unknown
        return Qual(qual.field_name, (operator, False), members) if len(members) == len(values) else None
    if isinstance(qual, VectorQual):
        return None if qual.query is None or qual.threshold is None else qual
    if isinstance(qual, BoolQual):
        args = [_known(arg) for arg in qual.args]
        kept = tuple(arg for arg in args if arg is not None)
        if qual.operator == "AND":
            return BoolQual("AND", kept) if len(kept) == len(args) else None
        return BoolQual("OR", kept) if kept else None
    return qual


def without_unknown(quals: tuple[AnyQual, ...]) -> tuple[AnyQual, ...] | None:
    """All of `quals` in a form without NULLs, or None when they let no row pass."""
    if not quals:
        return quals
    known = [_known(qual) for qual in quals]
    if any(qual is None for qual in known):
        return None
    return tuple(qual for qual in known if qual is not None)
