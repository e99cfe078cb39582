# SPDX-License-Identifier: PostgreSQL
"""`make demo` and `make bench` on a few rows: that every step of both runs. Their numbers mean nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "RUVECTOR_STATE": str(scratch / "commands"), "LC_ALL": "C.UTF-8"}


def _run(command: list[str | Path], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    subprocess.run([Path(sys.prefix) / "bin/ruvector", "down"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_demo_comes_to_its_end(environment: dict[str, str], tmp_path: Path) -> None:
    printed = _run([Path(sys.prefix) / "bin/ruvector", "demo", "--rows", "1000", "--out", tmp_path], environment)
    for stage in (
        "CREATE INDEX items_embedding_idx ON items_ruvector\n    USING ruhnsw (embedding ruvector_l2_ops)",
        "Index Scan using items_embedding_idx",
        "CREATE FOREIGN TABLE",
        "IMPORT FOREIGN SCHEMA",
        "times better",
    ):
        assert stage in printed
    assert (tmp_path / "recall-latency.png").read_bytes().startswith(b"\x89PNG")


def test_the_benchmark_runs_every_suite(environment: dict[str, str], tmp_path: Path) -> None:
    _run([sys.executable, TOP / "bench/run.py", "--smoke", "--out", tmp_path], environment)
    [result] = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert set(result["suites"]) == {"hnsw", "ivf", "inserts", "threshold", "filtered", "conversion"}
    assert result["provenance"]["dataset"]["rows"] == 2000
    assert result["suites"]["conversion"]["rewritten"] is False
    assert result["suites"]["threshold"]["same_rows"] is True
