# SPDX-License-Identifier: PostgreSQL
"""What the libraries export is what their install scripts name, and nothing besides.

A symbol too few is an error at CREATE EXTENSION; one too many is an interface that no one meant to offer (and the
engine's C++ symbols could meet another extension's).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import installations

from ruvector_fdw.server.places import build_dir

TOP = Path(__file__).resolve().parents[2]
# What PostgreSQL itself looks up: in any library, and as the entry point of a background worker.
ALWAYS = {"_PG_init", "_PG_fini", "Pg_magic_func", "ruvector_worker_main"}


def exported(library: Path) -> set[str]:
    done = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    return {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}


def named(script: str, library: str) -> set[str]:
    """C symbols that CREATE FUNCTION statements name; without a second string the symbol is the function's name."""
    code = re.sub(r"--[^\n]*", "", script)
    symbols: set[str] = set()
    statement = r"CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+([\w.@\"]+)\s*\((.*?);"
    for function, body in re.findall(statement, code, re.IGNORECASE | re.DOTALL):
        found = re.search(rf"AS\s+'(?:MODULE_PATHNAME|\$libdir/{library})'(?:\s*,\s*'(\w+)')?", body, re.IGNORECASE)
        if found:
            symbols.add(found[1] or function.split(".")[-1].strip('"'))
    return symbols


@pytest.mark.parametrize("library", ["ruvector", "ruvector_fdw"])
def test_exports_are_what_the_install_script_names(library: str) -> None:
    installation = installations()[-1]
    command = ["flock", build_dir() / ".lock", "make", "-s", "-C", TOP / "kernels", library]
    subprocess.run([*command, f"PG_CONFIG={installation.pg_config}", f"PYTHON={sys.executable}"], check=True)
    script = "".join(path.read_text() for path in sorted((TOP / "sql" / library).glob("*.sql")))
    wanted = named(script, library)
    assert wanted
    symbols = exported(build_dir() / f"pg{installation.major}" / f"{library}.so")
    functions = {name for name in symbols if not name.startswith("pg_finfo_")} - ALWAYS
    assert functions - wanted == set(), "exported, but no script names it"
    assert wanted - functions == set(), "a script names it, but it is not exported"
    assert {name.removeprefix("pg_finfo_") for name in symbols if name.startswith("pg_finfo_")} == functions
