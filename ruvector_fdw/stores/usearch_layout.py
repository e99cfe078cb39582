# SPDX-License-Identifier: PostgreSQL
"""What a usearch file must be before its package may be let at it: usearch follows the links of a file as they are, so
that one that points nowhere would end the process, and in a server every session with it.

The layout, as usearch 2 writes it (little-endian): rows and bytes of a row as two int32, the rows; a head of 64 bytes
(`usearch`, version, …); size, connectivity, connectivity of level 0, highest level and entry node as five int64; the
level of each node as int16; then each node: key (8 bytes), level (2), and for each level up to its own a count and room
for `connectivity` neighbours, int32 each. A node of level L is only ever reached on the levels 0 to L.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvector_fdw import host
from ruvector_fdw.errors import StoreCorruptError, StoreFormatError, UnsupportedError

_MAGIC = b"usearch"
_MAJOR_VERSION = 2
_SIZES_BYTES, _HEAD_BYTES, _GRAPH_HEAD_BYTES, _NODE_HEAD_BYTES, _LINK_BYTES = 8, 64, 40, 10, 4
_NODES_AT_ONCE = 65536
_MOST_LEVELS = 1024

_sound: set[tuple[int, ...]] = set()
"""Files this process has checked: device, inode, size, time of change."""


def check_layout(path: Path) -> int:
    """Verify every link of a file. Returns the bytes of one vector.

    :raise StoreFormatError: it is no file of usearch's. :raise StoreCorruptError: it is, but cannot be trusted.
    :raise UnsupportedError: of a version whose layout is not known here.
    """
    status = os.stat(path)
    if status.st_size < _SIZES_BYTES + _HEAD_BYTES:
        raise StoreFormatError(f'"{path}" is not a usearch file', sqlstate="HV000")
    raw = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    rows, row_bytes = (int(n) for n in raw[:_SIZES_BYTES].view("<u4"))
    _check(path, raw, rows, row_bytes, known=identity in _sound)
    _sound.add(identity)
    return row_bytes


def _check(path: Path, raw: npt.NDArray[np.uint8], rows: int, row_bytes: int, known: bool) -> None:
    def require(holds: bool, what: str) -> None:
        if not holds:
            raise StoreCorruptError(f'file "{path}" is damaged: {what}')

    at = _SIZES_BYTES + rows * row_bytes
    head = raw[at : at + _HEAD_BYTES].tobytes()
    if not head.startswith(_MAGIC):
        raise StoreFormatError(f'"{path}" is not a usearch file', sqlstate="HV000")
    major = int.from_bytes(head[7:9], "little")
    if major != _MAJOR_VERSION:
        raise UnsupportedError(f'file "{path}" was written by version {major} of usearch, not {_MAJOR_VERSION}')
    if known:
        return
    at += _HEAD_BYTES
    require(at + _GRAPH_HEAD_BYTES <= raw.size, "it ends before its graph")
    size, connectivity, base, top, entry = (int(n) for n in _numbers(raw, at, _GRAPH_HEAD_BYTES // 8, "<u8"))
    require(size == rows, f"it has {rows} vectors and {size} nodes")
    at += _GRAPH_HEAD_BYTES
    require(at + 2 * size <= raw.size, "it ends before its graph")
    require(max(connectivity, base) * _LINK_BYTES <= raw.size, "its connectivity is impossible")
    if not size:
        return
    levels = _numbers(raw, at, size, "<i2").astype(np.int64)
    require(bool((levels >= 0).all()) and int(levels.max()) < _MOST_LEVELS, "a node has an impossible level")
    require(entry < size and int(levels[entry]) == top == int(levels.max()), "its entry point is wrong")
    base_bytes, upper_bytes = (_LINK_BYTES * (1 + links) for links in (base, connectivity))
    ends = at + 2 * size + np.cumsum(_NODE_HEAD_BYTES + base_bytes + levels * upper_bytes)
    require(int(ends[-1]) == raw.size, f"it has {raw.size} bytes, not {int(ends[-1])}")
    starts = np.concatenate([[at + 2 * size], ends[:-1]])
    for first in range(0, size, _NODES_AT_ONCE):
        host.check_interrupts()
        part = slice(first, first + _NODES_AT_ONCE)
        require(
            bool((_gathered(raw, starts[part] + 8, 1, "<i2")[:, 0] == levels[part]).all()), "a node has another level"
        )
        for level in range(int(levels[part].max()) + 1):
            tall = starts[part][levels[part] >= level] + _NODE_HEAD_BYTES
            room = connectivity if level else base
            links = _gathered(raw, tall + (base_bytes + (level - 1) * upper_bytes if level else 0), 1 + room, "<u4")
            counts, slots = links[:, :1], links[:, 1:]
            require(bool((counts <= room).all()), "a node has too many neighbours")
            used = slots[np.arange(room) < counts]
            require(bool((used < size).all()), "a link leads nowhere")
            require(bool((levels[used] >= level).all()), "a link leads to a node below its level")


def _numbers(raw: npt.NDArray[np.uint8], at: int, count: int, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(raw[at : at + count * np.dtype(dtype).itemsize].tobytes(), dtype=dtype)


def _gathered(raw: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], count: int, dtype: str) -> npt.NDArray[Any]:
    """`count` numbers at each of these places, unaligned as they are: (places, count)."""
    width = count * np.dtype(dtype).itemsize
    windows = np.lib.stride_tricks.sliding_window_view(raw, width)
    return np.ascontiguousarray(windows[starts]).view(dtype)
