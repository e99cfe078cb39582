# SPDX-License-Identifier: PostgreSQL
"""Where this installation of the package keeps things: clusters, the extension's sources, and what is built of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def state_dir() -> Path:
    """Where clusters are kept that no one gave a directory of their own."""
    override = os.environ.get("RUVECTOR_STATE")
    if override:
        return Path(override).absolute()
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / "var" / "ruvector"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "ruvector"


def source_dir() -> Path | None:
    """The directory with kernels/, sql/ and tools/: the checkout, else the copy that a wheel carries, else None."""
    for folder in (_PACKAGE.parent, _PACKAGE / "_source"):
        if (folder / "kernels" / "Makefile").exists():
            return folder
    return None


def build_dir() -> Path:
    """Where objects go: build/ of a checkout, which make uses as well; else beside the clusters."""
    checkout = _PACKAGE.parent
    return checkout / "build" if source_dir() == checkout else state_dir() / "build"
