# SPDX-License-Identifier: PostgreSQL
"""What a result file carries so that its numbers can be judged and made again."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg

from ruvector_fdw.demo.vectors import Dataset

TOP = Path(__file__).resolve().parents[1]
_SETTINGS = (
    "shared_buffers", "maintenance_work_mem", "work_mem", "max_parallel_maintenance_workers", "fsync", "jit",
)  # fmt: skip


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(TOP), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _field(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found[1].strip() if found else "unknown"


def describe(conn: psycopg.Connection[Any], dataset: Dataset) -> dict[str, Any]:
    """Commit, command, machine, server, settings and data of this run."""
    [version] = conn.execute("SELECT version()").fetchone() or ("",)
    extensions = dict(conn.execute("SELECT extname, extversion FROM pg_extension").fetchall())
    settings = conn.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) name", (list(_SETTINGS),))
    [simd] = conn.execute("SELECT ruvector_simd_info()").fetchone() or ("",)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        # A file's name and not where it lies on this machine.
        "command": [Path(word).name if "/" in word else word for word in sys.argv],
        "machine": {
            "cpu": _field("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
            "cores": os.cpu_count(),
            "memory_mb": int(_field("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1024,
            "kernel": platform.release(),
            # What else the machine did: near 1 when a run had it to itself.
            "load_average": round(os.getloadavg()[0], 1),
        },
        "server": version,
        "simd": simd,
        "extensions": extensions,
        "settings": dict(settings.fetchall()),
        "dataset": {
            "name": dataset.name,
            "rows": len(dataset.base),
            "dims": dataset.dims,
            "queries": len(dataset.queries),
            "sha256": dataset.sha256,
        },
    }
