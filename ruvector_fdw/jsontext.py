# SPDX-License-Identifier: PostgreSQL
"""JSON documents as Python objects and back, without losing digits.

`json` makes a float of every number with a fraction or an exponent; a jsonb number is a numeric, which may have more
digits, or zeros that count (1.50). Such a number becomes a Decimal here, and any other a float, as everybody expects.
The document `null` is NULL_DOCUMENT, because None is SQL's NULL. What a document of type json has beside its value,
blanks and repeated keys, is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


class _NullDocument:
    def __repr__(self) -> str:
        return "NULL_DOCUMENT"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "NULL_DOCUMENT"


NULL_DOCUMENT = _NullDocument()


def _number(text: str) -> float | Decimal:
    number = float(text)
    return number if repr(number) == text else Decimal(text)


def loads(text: str | bytes) -> Any:
    """:raise ValueError: it is not JSON."""
    value = json.loads(text, parse_float=_number)
    return NULL_DOCUMENT if value is None else value


def _written(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if value is NULL_DOCUMENT:
        return "null"
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"keys of a JSON object are str, not {type(key).__name__}")
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def dumps(value: Any) -> str:
    """:raise TypeError: JSON has nothing like it."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except TypeError:
        return _written(value)
