# SPDX-License-Identifier: PostgreSQL
"""Fixtures for tests of the foreign data wrapper.

`wrappers`  a directory with the wrapper classes of tests/server/wrappers that the server's user may read
`fdw`       a fresh database with both extensions, whose interpreter finds those classes; `fdw.notices` collects what
            the wrappers log, in order
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fdw_database import FdwDatabase
from harness import Server


@pytest.fixture(scope="session")
def wrappers(scratch: Path) -> Path:
    folder = scratch / "wrappers"
    if not folder.exists():
        shutil.copytree(Path(__file__).parent / "wrappers", folder, ignore=shutil.ignore_patterns("__pycache__"))
        folder.chmod(0o755)
    return folder


@pytest.fixture
def fdw(server: Server, wrappers: Path) -> Iterator[FdwDatabase]:
    made = FdwDatabase(server, server.create(("ruvector", "ruvector_fdw")), wrappers)
    yield made
    made.close()
    if server.cluster.pid() is not None:
        server.drop(made.name)
