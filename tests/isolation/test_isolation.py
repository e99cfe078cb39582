# SPDX-License-Identifier: PostgreSQL
"""specs/*.spec run by isolationtester, each in a fresh database, compared with expected/NAME.out.

The database has the extension ruvector, or what a first line `# extensions: vector, ruvector` names.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from pathlib import Path

import pytest
from harness import Server, needs_extension, test_program

HERE = Path(__file__).parent


@pytest.mark.core
@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "specs").glob("*.spec")))
def test_sessions_interleave_as_expected(server: Server, name: str) -> None:
    spec = (HERE / "specs" / f"{name}.spec").read_text()
    named = re.match(r"# extensions: *(.*)", spec)
    extensions = [part.strip() for part in named[1].split(",")] if named else ["ruvector"]
    for extension in extensions:
        needs_extension(server, extension)
    database = server.create(extensions)
    done = subprocess.run(
        [test_program("isolation/isolationtester"), server.dsn(database)],
        input=spec,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    server.drop(database)
    expected = (HERE / "expected" / f"{name}.out").read_text()
    if done.stdout != expected or done.returncode != 0:
        diff = difflib.unified_diff(expected.splitlines(), done.stdout.splitlines(), "expected", "results", lineterm="")
        pytest.fail("\n".join([f"isolationtester ended with {done.returncode}", *diff]), pytrace=False)
