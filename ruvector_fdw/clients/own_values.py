# SPDX-License-Identifier: PostgreSQL
"""The values themselves, for where pgvector-python is not installed: the same names, methods, text and bytes as its classes have.

A value does not change. Two are equal when they have the same class, dimensions and elements.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

Bytes = bytes | bytearray | memoryview
_Dense = TypeVar("_Dense", bound="_DenseVector")
_DENSE_HEADER, _SPARSE_HEADER, _BIT_HEADER = struct.Struct(">HH"), struct.Struct(">iii"), struct.Struct(">i")


def _floats(value: Any, dtype: type[Any]) -> npt.NDArray[Any]:
    """:raise ValueError: not one row of numbers."""
    try:
        array = np.array(value, dtype=dtype)
    except (TypeError, ValueError) as ex:
        raise ValueError(f"expected a list of numbers or a numpy array, not {value!r:.60}") from ex
    if array.ndim != 1:
        raise ValueError(f"expected one dimension of values, not {array.ndim}")
    array.flags.writeable = False
    return array


def _numbers(text: str) -> list[float]:
    """The elements of ``[1,2,3]``. :raise ValueError: it is something else."""
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"expected a vector in brackets, not {text!r:.60}")
    return [float(number) for number in text[1:-1].split(",")]


class _DenseVector:
    """``dtype`` in memory, ``>dtype`` after dims and an unused 0 on the wire."""

    dtype: ClassVar[type[Any]]
    __slots__ = ("_values",)

    def __init__(self, value: Sequence[float] | npt.NDArray[Any]) -> None:
        self._values = _floats(value, self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_list()})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return np.array_equal(self._values, other._values)

    def __hash__(self) -> int:
        return hash(self._values.tobytes())

    def dimensions(self) -> int:
        return len(self._values)

    def to_list(self) -> list[float]:
        return [float(value) for value in self._values]

    def to_numpy(self) -> npt.NDArray[Any]:
        """(dims,), of the type's own precision; not to be written to."""
        return self._values

    def to_text(self) -> str:
        return f"[{','.join(map(str, self.to_list()))}]"

    def to_binary(self) -> bytes:
        big_endian = np.dtype(self.dtype).newbyteorder(">")
        return _DENSE_HEADER.pack(len(self._values), 0) + self._values.astype(big_endian).tobytes()

    @classmethod
    def from_text(cls: type[_Dense], value: str) -> _Dense:
        return cls(_numbers(value))

    @classmethod
    def from_binary(cls: type[_Dense], value: Bytes) -> _Dense:
        """:raise ValueError: the length is not what the header says."""
        dims, unused = _DENSE_HEADER.unpack_from(value)
        big_endian = np.dtype(cls.dtype).newbyteorder(">")
        if unused != 0 or len(value) != _DENSE_HEADER.size + dims * big_endian.itemsize:
            raise ValueError(f"invalid binary form of a {cls.__name__}")
        return cls(np.frombuffer(value, big_endian, offset=_DENSE_HEADER.size))


class Vector(_DenseVector):
    """A ``ruvector``: float32."""

    dtype = np.float32
    __slots__ = ()


class HalfVector(_DenseVector):
    """A ``halfvec``: float16."""

    dtype = np.float16
    __slots__ = ()


class SparseVector:
    """A ``sparsevec``: from a mapping of 0-based indices to values and the dimensions, or from all elements."""

    __slots__ = ("_dim", "_indices", "_values")

    def __init__(
        self, value: Mapping[int, float] | Sequence[float] | npt.NDArray[Any], dimensions: int | None = None
    ) -> None:
        if isinstance(value, Mapping):
            if dimensions is None:
                raise ValueError("missing dimensions")
            pairs = sorted((int(index), float(number)) for index, number in value.items() if number != 0)
            self._dim = int(dimensions)
        else:
            if dimensions is not None:
                raise ValueError("dimensions go with a mapping of indices to values")
            dense = _floats(value, np.float32)
            pairs = [(int(index), float(dense[index])) for index in np.flatnonzero(dense)]
            self._dim = len(dense)
        if pairs and not 0 <= pairs[0][0] <= pairs[-1][0] < self._dim:
            raise ValueError(f"indices must be from 0 to {self._dim - 1}")
        self._indices = [index for index, _ in pairs]
        self._values = [float(np.float32(number)) for _, number in pairs]

    def __repr__(self) -> str:
        return f"SparseVector({dict(zip(self._indices, self._values, strict=True))}, {self._dim})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVector):
            return NotImplemented
        return (self._dim, self._indices, self._values) == (other._dim, other._indices, other._values)

    def __hash__(self) -> int:
        return hash((self._dim, *self._indices, *self._values))

    def dimensions(self) -> int:
        return self._dim

    def indices(self) -> list[int]:
        """0-based, ascending."""
        return list(self._indices)

    def values(self) -> list[float]:
        return list(self._values)

    def to_list(self) -> list[float]:
        dense = [0.0] * self._dim
        for index, number in zip(self._indices, self._values, strict=True):
            dense[index] = number
        return dense

    def to_numpy(self) -> npt.NDArray[np.float32]:
        return np.array(self.to_list(), dtype=np.float32)

    def to_text(self) -> str:
        pairs = (f"{index + 1}:{number}" for index, number in zip(self._indices, self._values, strict=True))
        return f"{{{','.join(pairs)}}}/{self._dim}"

    def to_binary(self) -> bytes:
        indices, values = np.array(self._indices, dtype=">i4"), np.array(self._values, dtype=">f4")
        return _SPARSE_HEADER.pack(self._dim, len(indices), 0) + indices.tobytes() + values.tobytes()

    @classmethod
    def from_text(cls, value: str) -> SparseVector:
        """:raise ValueError: it is not of the form ``{1:1.5,3:2}/5``, with indices from 1."""
        elements, slash, dims = value.partition("/")
        if not (slash and elements.startswith("{") and elements.endswith("}")):
            raise ValueError(f"expected a sparse vector, not {value!r:.60}")
        pairs = [pair.split(":") for pair in elements[1:-1].split(",") if pair]
        return cls({int(index) - 1: float(number) for index, number in pairs}, int(dims))

    @classmethod
    def from_binary(cls, value: Bytes) -> SparseVector:
        """:raise ValueError: the length is not what the header says."""
        dims, count, unused = _SPARSE_HEADER.unpack_from(value)
        if unused != 0 or count < 0 or len(value) != _SPARSE_HEADER.size + 8 * count:
            raise ValueError("invalid binary form of a SparseVector")
        indices = np.frombuffer(value, ">i4", count, _SPARSE_HEADER.size)
        numbers = np.frombuffer(value, ">f4", count, _SPARSE_HEADER.size + 4 * count)
        return cls(dict(zip(indices.tolist(), numbers.tolist(), strict=True)), dims)


class Bit:
    """A ``bit(n)``: from a string of 0 and 1, a list or array of booleans, or bytes, eight bits each."""

    __slots__ = ("_text",)

    def __init__(self, value: str | bytes | Sequence[bool] | npt.NDArray[Any]) -> None:
        if isinstance(value, bytes):
            text = "".join(f"{byte:08b}" for byte in value)
        elif isinstance(value, str):
            text = value
        else:
            listed = value.tolist() if isinstance(value, np.ndarray) else list(value)
            if any(bit not in (0, 1) for bit in listed):
                raise ValueError("expected booleans")
            text = "".join("1" if bit else "0" for bit in listed)
        if not set(text) <= {"0", "1"}:
            raise ValueError(f"expected a string of 0 and 1, not {text!r:.60}")
        self._text = text

    def __repr__(self) -> str:
        return f"Bit({self._text})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Bit) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def to_list(self) -> list[bool]:
        return [bit == "1" for bit in self._text]

    def to_numpy(self) -> npt.NDArray[np.bool_]:
        return np.array(self.to_list(), dtype=np.bool_)

    def to_text(self) -> str:
        return self._text

    def to_binary(self) -> bytes:
        packed = np.packbits(self.to_numpy()).tobytes()
        return _BIT_HEADER.pack(len(self._text)) + packed

    @classmethod
    def from_text(cls, value: str) -> Bit:
        return cls(str(value))

    @classmethod
    def from_binary(cls, value: Bytes) -> Bit:
        """:raise ValueError: the length is not what the header says."""
        (count,) = _BIT_HEADER.unpack_from(value)
        if count < 0 or len(value) != _BIT_HEADER.size + (count + 7) // 8:
            raise ValueError("invalid binary form of a Bit")
        packed = np.frombuffer(value, np.uint8, offset=_BIT_HEADER.size)
        return cls(np.unpackbits(packed, count=count))
