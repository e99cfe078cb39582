# SPDX-License-Identifier: PostgreSQL
"""`make demo` and `make bench` on a few rows: that every step of both runs. Their numbers mean nothing here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import installations

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
    shards = [found for found in installations() if found.has_extension("postgres_fdw")]
    options = ["--shards-pg", str(shards[0].pg_config)] if shards else []
    _run([sys.executable, TOP / "bench/run.py", "--smoke", "--out", tmp_path, *options], environment)
    general, one = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("general", "text384-2000"))
    assert set(general) == {"types", "growth"}
    assert set(one) == {
        "hnsw", "ivf", "halfvec", "quantization", "threshold", "filtered", "inserts", "beside-inserts", "clients",
        "conversion", "migration", "foreign", "store", "shards",
    }  # fmt: skip
    for suite, figures in {**general, **one}.items():
        if suite != "shards" or shards:
            assert figures["rows"], suite
        origin = figures["provenance"]
        assert {"commit", "command", "machine", "settings", "server", "rounds", "date"} <= set(origin)
    assert one["hnsw"]["provenance"]["dataset"]["rows"] == 2000
    assert len(one["hnsw"]["provenance"]["dataset"]["sha256"]) == 64
    assert one["conversion"]["facts"]["rewritten"] is False
    assert {row["plan"] for row in one["threshold"]["rows"][1::3]} == {"index"}
    assert [row["fewest rows"] for row in one["filtered"]["rows"][-3:]] == [10, 10, 10]
    assert len(one["quantization"]["rows"]) == 10
    pictures = {path.name for path in tmp_path.glob("*.png")}
    page = (tmp_path / "report.md").read_text()
    assert pictures >= {"general-growth.png", "text384-2000-hnsw.png", "text384-2000-ivf.png"}
    assert all(f"]({name})" in page for name in pictures)

def test_the_benchmark_page_is_the_report_of_the_files_beside_it(tmp_path: Path) -> None:
    """docs/benchmarks.md is never edited: it has no number that a result file does not have."""
    kept = TOP / "docs" / "benchmarks"
    command = [sys.executable, TOP / "bench/report.py", "--text-only", kept, tmp_path / "benchmarks.md"]
    subprocess.run(command, check=True, capture_output=True)
    page = (TOP / "docs" / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.md").read_text() == page
    for link in re.findall(r"\]\((benchmarks/[^)]+\.png)\)", page):
        assert (TOP / "docs" / link).exists(), link
