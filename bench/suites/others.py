# SPDX-License-Identifier: PostgreSQL
"""The benchmarks that are programs of their own (bench/types, bench/store), as suites of the whole."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import Context, Result, Row

BENCH = Path(__file__).resolve().parents[1]


def _outcome(program: str, *options: str | Path) -> dict[str, Any]:
    """Run bench/PROGRAM/run.py --out FILE with these options, and read the file."""
    with tempfile.TemporaryDirectory(prefix="ruvector-bench-") as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, BENCH / program / "run.py", *options, "--out", path]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def types(context: Context) -> Result:
    """Text and binary forms, casts, distances over a sequential scan, aggregates; microseconds a row."""
    count, dims, runs = (50, 64, 1) if context.smoke else (2000, 1536, 7)
    options = ("--dsn", context.dsn, "--rows", str(count), "--dims", str(dims), "--runs", str(runs))
    rows: list[Row] = []
    for name, sides in _outcome("types", *options)["milliseconds"].items():
        theirs, ours = (statistics.median(sides[side]) * 1000 / count for side in ("pgvector", "ruvector"))
        row: Row = {"what": name, "pgvector µs": theirs, "ruvector µs": ours}
        rows.append({**row, "times better": f"{theirs / ours:.1f}x"})
    return Result(rows, facts={"rows": count, "dims": dims, "runs": runs})


def store(context: Context) -> Result:
    """Loading, nearest rows and full scans of a store, beside the index and a wrapper that pushes nothing down."""
    options = ["--data", context.source, *(["--smoke"] if context.smoke else [])]
    if context.rows is not None:
        options += ["--rows", str(context.rows)]
    results = _outcome("store", *options)["results"]
    return Result([{"what": name, "value": value} for name, value in results.items()])
