# SPDX-License-Identifier: PostgreSQL
"""sql/*.sql against expected/*.out, by pg_regress, each file in a fresh database that has the extension ruvector.

First lines of a file may say otherwise:
    -- extensions: vector, ruvector     which extensions the database gets, in this order (none: a bare database);
                                        skipped where the server lacks one of them
    -- newest only                      not on the older servers of RUVECTOR_TEST_PG

A difference is shown as pg_regress writes it. Where servers print differently, expected/NAME_1.out is accepted too.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from harness import Server, needs_extension, test_program

HERE = Path(__file__).parent


def _names() -> list[str]:
    return sorted(path.stem for path in (HERE / "sql").glob("*.sql"))


def _extensions(text: str) -> list[str]:
    found = re.search(r"^-- extensions: *(.*)$", text, re.MULTILINE)
    if found is None:
        return ["ruvector"]
    return [] if found[1] == "none" else [name.strip() for name in found[1].split(",")]


@pytest.mark.core
@pytest.mark.parametrize("name", _names())
def test_output_is_as_expected(server: Server, name: str, tmp_path: Path) -> None:
    head = "".join((HERE / "sql" / f"{name}.sql").read_text().splitlines(keepends=True)[:5])
    if "-- newest only" in head and not server.newest:
        pytest.skip(f"only meant for the newest server, not for PostgreSQL {server.major}")
    extensions = _extensions(head)
    for extension in extensions:
        needs_extension(server, extension)
    database = server.create(extensions)
    done = subprocess.run(
        [
            *(test_program("regress/pg_regress"), "--use-existing", f"--dbname={database}"),
            *(f"--host={server.socket_dir}", "--port=5432", "--user=postgres"),
            f"--bindir={server.installation.bindir}",
            *(f"--inputdir={HERE}", f"--expecteddir={HERE}", f"--outputdir={tmp_path}", name),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    server.drop(database)
    if done.returncode != 0:
        diffs = tmp_path / "regression.diffs"
        pytest.fail(diffs.read_text() if diffs.exists() else done.stdout, pytrace=False)
