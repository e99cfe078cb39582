# SPDX-License-Identifier: PostgreSQL
"""docs/migration.md, executed: its ```sh blocks (`ruvector …`) and ```postgresql blocks in their order, on one database."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Database, Server, needs_extension

from .conftest import MAIN

PAGE = Path(__file__).resolve().parents[2] / "docs/migration.md"
_BLOCK = re.compile(r"^```(sh|postgresql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.core
def test_the_page_runs_as_it_stands(server: Server, tmp_path: Path) -> None:
    needs_extension(server, "vector")
    blue = Database(server, server.create(()))
    green = server.create(())
    env = {
        **os.environ,
        "RUVECTOR_DSN": blue.dsn,
        "RUVECTOR_TARGET_DSN": server.dsn(green),
        "PATH": f"{server.installation.bindir}:{os.environ['PATH']}",
    }
    ran = 0
    for language, code in _BLOCK.findall(PAGE.read_text()):
        if language == "postgresql":
            blue.conn.execute(code)
            continue
        for line in code.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "ruvector"
            done = subprocess.run(
                [sys.executable, "-c", MAIN, *arguments],
                env=env,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran > 12
    assert (tmp_path / "notes-undo.sql").exists()
    blue.close()
    server.drop(blue.name)
    server.drop(green)
