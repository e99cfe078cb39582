# SPDX-License-Identifier: PostgreSQL
"""The types' input functions outside a server, under sanitizers: the recorded corpus and seeded mutations of it.

`make -C tests/fuzz fuzz` explores with libFuzzer and adds to the corpus; `make soak` runs it here for longer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import installations

HERE = Path(__file__).parent


def run_make(target: str, **variables: str) -> str:
    found = [one for one in installations() if one.major >= 16]
    if not found:
        pytest.skip("soft input errors, which the harness uses, came with PostgreSQL 16")
    settings = [f"{name}={value}" for name, value in variables.items()]
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "-s", "-C", HERE, target, f"PG_CONFIG={found[-1].pg_config}", *settings],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def test_corpus_and_mutations() -> None:
    done = run_make("check", MUTATIONS="100000", NUMBERS="1000000", SEED="20261123")
    assert "100000 mutations" in done
    assert "1000000 numbers as strtof reads them" in done


@pytest.mark.soak
def test_explore() -> None:
    clang = shutil.which("clang") or shutil.which("clang-14")
    if clang is None:
        pytest.skip("libFuzzer comes with clang, and there is none here")
    target = "int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return 0; }"
    probe = [clang, "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", os.devnull]
    if subprocess.run(probe, input=target, text=True, capture_output=True, check=False).returncode != 0:
        pytest.skip("the clang here comes without libFuzzer")
    run_make("fuzz", CLANG=clang, SECONDS="600")
