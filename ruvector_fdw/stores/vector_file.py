# SPDX-License-Identifier: PostgreSQL
"""Files of vectors that others have written, mapped: `.npy`, `.fvecs`, `.bvecs`.

`.npy` as numpy documents it (numpy.lib.format), versions 1.0 to 3.0. `.fvecs` and `.bvecs` (corpus-texmex.irisa.fr) have for
each vector its dimensions as a little-endian int32, then that many float32 or uint8.

A file is looked at before numpy is: what numpy says of one that it cannot read is advice to Python programmers.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ruvector_fdw.errors import OptionError, StoreAccessError, StoreCorruptError, StoreFormatError, StoreNotFoundError
from ruvector_fdw.stores.vectors import MAX_DIMS

_MAGIC = b"\x93NUMPY"
_NEWEST = (3, 0)
_ELEMENT_OF_VECS: dict[str, np.dtype[Any]] = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1")}


def check_format(path: Path) -> None:
    """:raise OptionError: the name says none of the formats."""
    if path.suffix not in (".npy", *_ELEMENT_OF_VECS):
        raise OptionError(f'unrecognized file format of "{path}"', hint="Use .npy, .fvecs or .bvecs.")


class VectorFile:
    """An opened file. `vectors` is mapped, (n, dims), of the file's element type."""

    def __init__(self, path: Path) -> None:
        """:raise StoreError: missing, unreadable, damaged, or not of its format."""
        check_format(path)
        self._path = path
        self._heads: npt.NDArray[np.int32] | None = None
        try:
            with open(path, "rb") as opened:
                self.vectors = self._map_npy(opened) if path.suffix == ".npy" else self._map_vecs(opened)
        except (FileNotFoundError, NotADirectoryError) as ex:
            raise StoreNotFoundError(f'file "{path}" does not exist') from ex
        except OSError as ex:
            raise StoreAccessError.of(f'could not read file "{path}"', ex) from ex
        dims = self.vectors.shape[1]
        if not 1 <= dims <= MAX_DIMS["f32"]:
            raise StoreFormatError(
                f'file "{path}" has vectors of {dims} dimensions, not 1 to {MAX_DIMS["f32"]}', sqlstate="0A000"
            )

    def _damaged(self, why: str) -> StoreCorruptError:
        return StoreCorruptError(f'file "{self._path}" is damaged: {why}', hint="Write it again, or restore it.")

    def _map_npy(self, opened: IO[bytes]) -> npt.NDArray[Any]:
        head = opened.read(len(_MAGIC) + 2)
        if head[: len(_MAGIC)] != _MAGIC:
            raise StoreFormatError(
                f'"{self._path}" is not an .npy file', hint="numpy.save writes such files.", sqlstate="HV000"
            )
        if len(head) < len(_MAGIC) + 2:
            raise self._damaged("its header is incomplete")
        version = (head[-2], head[-1])
        if version > _NEWEST:
            raise StoreFormatError(
                f'file "{self._path}" has version {version[0]}.{version[1]} of the .npy format, newer than 3.0',
                hint="Write it with an older version of numpy.",
            )
        # 3.0 differs from 2.0 in the encoding of field names, and arrays with fields are refused
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, fortran, dtype = read(opened)
        except (ValueError, SyntaxError, TypeError) as ex:
            raise self._damaged("its header cannot be read") from ex
        if len(shape) != 2 or dtype.kind not in "fiu":
            raise StoreFormatError(
                f'"{self._path}" is not a two-dimensional array of numbers',
                detail=f"It has {len(shape)} dimensions of {dtype}.",
                hint="Write a float32 array of shape (vectors, dimensions).",
                sqlstate="HV000",
            )
        size, wanted = os.fstat(opened.fileno()).st_size, opened.tell() + math.prod(shape) * dtype.itemsize
        if min(shape) < 0:
            raise self._damaged("its header cannot be read")
        if size < wanted:
            raise self._damaged(f"it has {size} bytes, not {wanted}")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(opened, dtype, "r", opened.tell(), shape, "F" if fortran else "C")

    def _map_vecs(self, opened: IO[bytes]) -> npt.NDArray[Any]:
        dtype = _ELEMENT_OF_VECS[self._path.suffix]
        size = os.fstat(opened.fileno()).st_size
        if size == 0:
            return np.empty((0, 1), dtype)
        head = opened.read(4)
        dims = int.from_bytes(head, "little", signed=True)
        record = 4 + dims * dtype.itemsize
        if len(head) < 4 or dims < 1:
            raise StoreFormatError(
                f'"{self._path}" is not {self._path.suffix[1:]}: its first four bytes are no number of dimensions',
                sqlstate="HV000",
            )
        if size % record:
            raise self._damaged(f"{size} bytes are no whole number of vectors of {dims} dimensions")
        raw = np.memmap(opened, np.uint8, "r", shape=(size // record, record))
        self._heads = np.ndarray(raw.shape[0], "<i4", raw, strides=record)
        self._check_heads(np.array([0, raw.shape[0] // 2, raw.shape[0] - 1]), dims)
        mapped: npt.NDArray[Any] = np.ndarray(
            (raw.shape[0], dims), dtype, raw, offset=4, strides=(record, dtype.itemsize)
        )
        return mapped

    def _check_heads(self, which: slice | npt.NDArray[np.int64], dims: int) -> None:
        """Every vector says its dimensions again: after one that differs, all others would be read askew."""
        if self._heads is not None and (self._heads[which] != dims).any():
            raise self._damaged("its vectors have different dimensions")

    def check(self) -> None:
        """Look at the dimensions of every vector. :raise StoreCorruptError: they differ."""
        self._check_heads(slice(None), self.vectors.shape[1])

    def read(self, which: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """These vectors as C-contiguous float32. :raise StoreCorruptError: one is not finite, or not of the file's dims."""
        self._check_heads(which, self.vectors.shape[1])
        with np.errstate(over="ignore"):  # of a float64: found to be infinite below
            block = np.ascontiguousarray(self.vectors[which], dtype=np.float32)
        if not np.isfinite(block).all():
            raise StoreCorruptError(f'file "{self._path}" has a vector that is not finite', sqlstate="22000")
        return block
