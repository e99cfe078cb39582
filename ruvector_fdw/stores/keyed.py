# SPDX-License-Identifier: PostgreSQL
"""What the kinds whose tables are a number and a vector, neither ever NULL, share (`numpy` and `usearch`): conditions,
and noticing that the mapped file is another one by now."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvector_fdw.errors import StoreAccessError, StoreNotFoundError
from ruvector_fdw.request import AnyQual, NullQual, PushLevel, Qual, VectorQual

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def file_state(path: Path) -> tuple[int, ...]:
    """Differs when the file was replaced or written to: what is mapped of it must not be read any more.

    :raise StoreNotFoundError: it is gone. :raise StoreAccessError: it cannot be looked at.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as ex:
        raise StoreNotFoundError(f'file "{path}" does not exist') from ex
    except OSError as ex:
        raise StoreAccessError.of(f'could not read file "{path}"', ex) from ex
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def condition_level(qual: AnyQual, id_column: str, vector_column: str, metrics: Sequence[str]) -> PushLevel:
    """EXACT for comparisons of the number, = ANY of a list, IS NULL, and thresholds of these metrics."""
    if isinstance(qual, VectorQual):
        return PushLevel.EXACT if qual.field_name == vector_column and qual.metric in metrics else PushLevel.NONE
    if isinstance(qual, NullQual):
        return PushLevel.EXACT if qual.field_name in (id_column, vector_column) else PushLevel.NONE
    if isinstance(qual, Qual) and qual.field_name == id_column:
        known = qual.operator == ("=", True) if isinstance(qual.operator, tuple) else qual.operator in _COMPARE
        return PushLevel.EXACT if known else PushLevel.NONE
    return PushLevel.NONE


def never(qual: AnyQual) -> bool:
    """Conditions that no row meets: IS NULL, and comparisons with NULL."""
    if isinstance(qual, NullQual):
        return qual.is_null
    if isinstance(qual, VectorQual):
        return qual.query is None or qual.threshold is None
    return isinstance(qual, Qual) and qual.value is None


def passing(qual: Qual, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of these numbers meet a comparison."""
    if isinstance(qual.operator, tuple):
        return np.isin(ids, np.array([value for value in qual.value if value is not None], dtype=np.int64))
    return np.asarray(_COMPARE[qual.operator](ids, qual.value))
