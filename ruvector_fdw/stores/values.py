# SPDX-License-Identifier: PostgreSQL
"""How a PostgreSQL value lies in a SQLite column, for every type a payload column may have.

A codec turns the Python value that `ruvector_fdw.request` names for a type into what SQLite stores, and back. Where
`ordered` holds, SQLite's own comparison of two encoded values (NULLs aside) is PostgreSQL's comparison of the two
values, so conditions and ORDER BY may run in SQLite; where only `equal` holds, equality alone may.

 - float NaN is stored as the text 'NaN': SQLite turns a NaN into NULL, and sorts text after every number, which is
   where PostgreSQL puts NaN.
 - date and timestamp are ISO text of fixed width with six decimals (timestamptz in UTC), a date as its midnight, so
   that the two compare; '-infinity' and 'infinity' sort before and after every digit.
 - text compares by bytes, which is equality under any deterministic collation and order under "C" only.
 - bpchar ignores trailing blanks, numeric ignores trailing zeros, json has no equality: those are stored, not compared.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ruvector_fdw import jsontext
from ruvector_fdw.errors import InvalidValueError, UnsupportedError

Encoder = Callable[[Any], Any]


@dataclass(frozen=True)
class Codec:
    """One type. `plain`: SQLite gives the value back as it is, so that reading needs no call for each value."""

    sqlite_type: str
    encode: Encoder
    decode: Encoder
    equal: bool = False
    ordered: bool = False
    text: bool = False
    plain: bool = False
    calendar: bool = False

    def operand(self, value: Any) -> Any:
        """A value to compare stored ones with, which may lie outside of what the column can hold."""
        if self.calendar and isinstance(value, str) and value not in _INFINITE:
            try:
                return self.encode(value)
            except InvalidValueError:
                # a year that Python's calendar has not: before every digit, or after them, and equal to nothing
                return "-infinity0" if value.endswith("BC") else "a"
        return self.encode(value)


def _wrong(what: str, value: Any) -> InvalidValueError:
    return InvalidValueError(f"invalid value for type {what}: {value!r}", sqlstate="22P02")


def _integer(bits: int, name: str) -> Encoder:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def encode(value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError) as ex:
            raise _wrong(name, value) from ex
        if number != value:
            raise _wrong(name, value)
        if not low <= number <= high:
            raise InvalidValueError(f"{name} out of range: {number}", sqlstate="22003")
        return number

    return encode


def _encode_float(value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError) as ex:
        raise _wrong("double precision", value) from ex
    return "NaN" if math.isnan(number) else number


def _encode_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("text", value)
    if "\0" in value:
        raise InvalidValueError("invalid byte sequence for encoding: 0x00", sqlstate="22021")
    return value


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _wrong("bytea", value)
    return bytes(value)


def _encode_bool(value: Any) -> int:
    if value not in (True, False):
        raise _wrong("boolean", value)
    return int(bool(value))


def _encode_uuid(value: Any) -> bytes:
    try:
        return value.bytes if isinstance(value, uuid.UUID) else uuid.UUID(str(value)).bytes
    except ValueError as ex:
        raise _wrong("uuid", value) from ex


_INFINITE = ("-infinity", "infinity")
_MIDNIGHT_AT_THE_END = "24:00:00"


def _stamp(value: dt.datetime) -> str:
    return f"{value.year:04d}-{value:%m-%dT%H:%M:%S.%f}"


def _encode_date(value: Any) -> str:
    if isinstance(value, str):
        if value in _INFINITE:
            return value
        value = _parse(dt.datetime.fromisoformat, "date", value)
    if isinstance(value, dt.datetime):
        return _encode_timestamp(value)
    if isinstance(value, dt.date):
        return f"{value.year:04d}-{value:%m-%d}T00:00:00.000000"
    raise _wrong("date", value)


def _encode_timestamp(value: Any) -> str:
    if isinstance(value, str):
        if value in _INFINITE:
            return value
        value = _parse(dt.datetime.fromisoformat, "timestamp", value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            raise UnsupportedError(
                "cannot compare a stored timestamp with a timestamp with time zone",
                hint="Cast one side to the type of the other.",
            )
        return _stamp(value)
    if isinstance(value, dt.date):
        return _encode_date(value)
    raise _wrong("timestamp", value)


def _encode_timestamptz(value: Any) -> str:
    if isinstance(value, str):
        if value in _INFINITE:
            return value
        value = _parse(dt.datetime.fromisoformat, "timestamp with time zone", value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return _stamp(value.astimezone(dt.timezone.utc))
    if isinstance(value, (dt.date, dt.datetime)):
        raise UnsupportedError(
            "cannot compare a stored timestamp with time zone with a value without one",
            hint="Cast one side to the type of the other.",
        )
    raise _wrong("timestamp with time zone", value)


def _parse(function: Callable[[str], Any], name: str, value: str) -> Any:
    try:
        return function(value)
    except ValueError as ex:
        error = _wrong(name, value)
        error.hint = "A store keeps the years 1 to 9999."
        raise error from ex


def _decode_date(value: str) -> Any:
    return value if value in _INFINITE else dt.date.fromisoformat(value[:10])


def _decode_timestamp(value: str) -> Any:
    return value if value in _INFINITE else dt.datetime.fromisoformat(value)


def _decode_timestamptz(value: str) -> Any:
    return value if value in _INFINITE else dt.datetime.fromisoformat(value).replace(tzinfo=dt.timezone.utc)


def _encode_time(value: Any) -> str:
    if value == _MIDNIGHT_AT_THE_END:
        return f"{value}.000000"
    if isinstance(value, str):
        value = _parse(dt.time.fromisoformat, "time", value)
    if isinstance(value, dt.time) and value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    raise _wrong("time", value)


def _decode_time(value: str) -> Any:
    return _MIDNIGHT_AT_THE_END if value.startswith("24") else dt.time.fromisoformat(value)


def _encode_interval(value: Any) -> str:
    if isinstance(value, dt.timedelta):
        return f"us:{value // dt.timedelta(microseconds=1)}"
    if isinstance(value, str):
        return value
    raise _wrong("interval", value)


def _decode_interval(value: str) -> Any:
    return dt.timedelta(microseconds=int(value[3:])) if value.startswith("us:") else value


def _encode_numeric(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise _wrong("numeric", value)
    try:
        return str(Decimal(value) if not isinstance(value, float) else Decimal(repr(value)))
    except ArithmeticError as ex:
        raise _wrong("numeric", value) from ex


def _encode_json(value: Any) -> str:
    try:
        return jsontext.dumps(value)
    except (TypeError, ValueError) as ex:
        raise _wrong("json", value) from ex


def _identity(value: Any) -> Any:
    return value


_FLOAT = Codec("REAL", _encode_float, float, equal=True, ordered=True)
_TEXT = Codec("TEXT", _encode_text, _identity, equal=True, text=True, plain=True)
_OPAQUE = Codec("TEXT", _encode_text, _identity, plain=True)

_CODECS: dict[str, Codec] = {
    "smallint": Codec("INTEGER", _integer(16, "smallint"), _identity, equal=True, ordered=True, plain=True),
    "integer": Codec("INTEGER", _integer(32, "integer"), _identity, equal=True, ordered=True, plain=True),
    "bigint": Codec("INTEGER", _integer(64, "bigint"), _identity, equal=True, ordered=True, plain=True),
    "real": _FLOAT,
    "double precision": _FLOAT,
    "boolean": Codec("INTEGER", _encode_bool, bool, equal=True, ordered=True),
    "text": _TEXT,
    "character varying": _TEXT,
    "name": _TEXT,
    "character": _OPAQUE,
    "bytea": Codec("BLOB", _encode_bytes, _identity, equal=True, ordered=True, plain=True),
    "uuid": Codec("BLOB", _encode_uuid, lambda raw: uuid.UUID(bytes=raw), equal=True, ordered=True),
    "date": Codec("TEXT", _encode_date, _decode_date, equal=True, ordered=True, calendar=True),
    "timestamp without time zone": Codec(
        "TEXT", _encode_timestamp, _decode_timestamp, equal=True, ordered=True, calendar=True
    ),
    "timestamp with time zone": Codec(
        "TEXT", _encode_timestamptz, _decode_timestamptz, equal=True, ordered=True, calendar=True
    ),
    "time without time zone": Codec("TEXT", _encode_time, _decode_time, equal=True, ordered=True),
    "interval": Codec("TEXT", _encode_interval, _decode_interval),
    "numeric": Codec("TEXT", _encode_numeric, Decimal),
    "json": Codec("TEXT", _encode_json, jsontext.loads),
    "jsonb": Codec("TEXT", _encode_json, jsontext.loads),
}

_ALIASES = {
    "int2": "smallint",
    "int4": "integer",
    "int": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "char": "character",
    "bpchar": "character",
    "decimal": "numeric",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
}


@lru_cache(maxsize=1024)
def split_type(name: str) -> tuple[str, str]:
    """`varchar(20)` to ("character varying", "(20)"): the canonical base name, and its modifier or ""."""
    match = re.fullmatch(r"([^()\[\]]+)(\([^()]*\))?([^()\[\]]*)((?:\[\d*\])*)", name.strip())
    if match is None:
        raise InvalidValueError(f'invalid type name "{name}"', sqlstate="42704")
    head, modifier, tail, array = match.groups(default="")
    base = f"{head.strip()} {tail.strip()}".strip().lower()
    return _ALIASES.get(base, base) + ("[]" if array else ""), modifier


def _array(element: Codec) -> Codec:
    def encode_item(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, (list, tuple)):
            return [encode_item(item) for item in value]
        raw = element.encode(value)
        return raw.hex() if isinstance(raw, bytes) else raw

    def decode_item(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [decode_item(item) for item in value]
        return element.decode(bytes.fromhex(value) if element.sqlite_type == "BLOB" else value)

    def encode(value: Any) -> str:
        if isinstance(value, str):
            return _encode_json({"text": value})
        return json.dumps(encode_item(list(value)), ensure_ascii=False, separators=(",", ":"))

    def decode(value: str) -> Any:
        parsed = json.loads(value)
        return parsed["text"] if isinstance(parsed, dict) else decode_item(parsed)

    return Codec("TEXT", encode, decode)


@lru_cache(maxsize=1024)
def codec_for(type_name: str) -> Codec:
    """The codec of a type by its SQL name. A type not known here is kept as the text PostgreSQL prints."""
    base, _ = split_type(type_name)
    if base.endswith("[]"):
        return _array(_CODECS.get(base[:-2], _OPAQUE))
    return _CODECS.get(base, _OPAQUE)


def encode_all(codec: Codec, values: Any) -> list[Any]:
    """Encode a column; None stays None. numpy arrays come in as Python values (`tolist`)."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    encode = codec.encode
    return [None if value is None else encode(value) for value in listed]


def decode_all(codec: Codec, values: Sequence[Any]) -> list[Any]:
    """The inverse of `encode_all`."""
    if codec.plain:
        return list(values)
    decode = codec.decode
    return [None if value is None else decode(value) for value in values]
