# SPDX-License-Identifier: PostgreSQL
"""Vectors from a file: `.npy` (rows x dims, float16 or float32) or `.fvecs` (each row: int32 dims, then float32s).

Queries come from the file beside it whose name says `queries` where this one says `base`; else the last rows are held
out as queries, and are then not part of the base.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvector_fdw.errors import OptionError

Floats = npt.NDArray[np.float32]
_QUERIES_MAX = 100
SHIPPED = Path(__file__).resolve().parents[2] / "data" / "text384_base.npy"


@dataclass(frozen=True)
class Dataset:
    """`base` float32 (rows, dims), `queries` float32 (count, dims), C-contiguous; `sha256` is of the base's file."""

    name: str
    base: Floats
    queries: Floats
    sha256: str

    @property
    def dims(self) -> int:
        return int(self.base.shape[1])


def load(path: Path, rows: int | None = None) -> Dataset:
    """Read a set of vectors.

    :param rows: take only the first ones; None for all.
    :raise OptionError: the file is of no known form, or its values are not finite.
    """
    if not path.exists():
        hint = "The vectors that come with the source are not in a wheel: name others with --data."
        raise OptionError(f'could not find "{path}"', hint=hint if path == SHIPPED else None)
    base = _read(path)
    beside = path.with_name(path.name.replace("base", "queries"))
    if beside != path and beside.exists():
        queries = _read(beside)[:_QUERIES_MAX]
    else:
        held_out = min(_QUERIES_MAX, len(base) // 10)
        base, queries = base[:-held_out], base[len(base) - held_out :]
    dataset = Dataset(path.stem, _floats(base[:rows], path), _floats(queries, beside), _sha256(path))
    if len(dataset.base) < 10 or len(dataset.queries) == 0 or dataset.base.shape[1] != dataset.queries.shape[1]:
        raise OptionError(f'"{path}" has too few rows, or its queries have other dimensions')
    return dataset


def _read(path: Path) -> npt.NDArray[Any]:
    if path.suffix == ".npy":
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    elif path.suffix == ".fvecs":
        raw = np.memmap(path, dtype="<i4", mode="r")
        width = int(raw[0]) + 1 if len(raw) else 0
        if width < 2 or len(raw) % width != 0 or not (raw[::width] == width - 1).all():
            raise OptionError(f'"{path}" is no .fvecs file')
        array = raw.reshape(-1, width)[:, 1:].view("<f4")
    else:
        raise OptionError(f'"{path}" is neither .npy nor .fvecs')
    if array.ndim != 2 or array.dtype.kind != "f":
        raise OptionError(f'"{path}" holds {array.dtype} of shape {array.shape}, not rows of floats')
    return array


def _floats(array: npt.NDArray[Any], path: Path) -> Floats:
    values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise OptionError(f'"{path}" has values that are not finite')
    return values


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
