# SPDX-License-Identifier: PostgreSQL
"""Fixtures for tests that need a server, and which of them run on which server.

`server`           one throwaway cluster for the whole session, for each PostgreSQL of RUVECTOR_TEST_PG (majors or
                   paths of pg_config, comma-separated; default 18): every test runs on the newest, `core` ones on all.
                   `pytest -n` divides the files among processes, each with clusters of its own
`db`               a fresh database on `server` with the extension ruvector, and a connection to it
`new_cluster`      makes clusters of its own for tests that kill, replicate or configure servers
`shared_dir`       an empty directory that the test and the server's user may both write to

The extension is built and installed into each server once, before its first test. Nothing outlives the session.
Tests run in the order of their files: the guide's steps depend on one another.
"""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from harness import Database, Server, installations

from ruvector_fdw.server import Installation


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory that the server's user may enter; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ruvector-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(scratch: Path) -> Iterator[dict[str, Server]]:
    """The clusters that `server` has made so far, by the installation's tag: a session goes back and forth between them."""
    made: dict[str, Server] = {}
    yield made
    for one in made.values():
        one.stop("immediate")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, scratch: Path, servers: dict[str, Server]) -> Server:
    installation: Installation = request.param
    if installation.tag not in servers:
        servers[installation.tag] = Server(installation, scratch / installation.tag)
    return servers[installation.tag]


@pytest.fixture
def db(server: Server) -> Iterator[Database]:
    made = server.database()
    yield made
    made.close()
    # A test that stopped the server has nothing left to drop here.
    if server.cluster.pid() is not None:
        server.drop(made.name)


@pytest.fixture
def new_cluster(server: Server, scratch: Path) -> Iterator[Callable[..., Server]]:
    """new_cluster(settings={...}) -> Server of the same PostgreSQL as `server`; stopped after the test."""
    made: list[Server] = []

    def make(settings: Mapping[str, str] | None = None) -> Server:
        folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=scratch))
        folder.chmod(0o755)
        made.append(Server(server.installation, folder, settings))
        return made[-1]

    yield make
    for one in made:
        one.stop("immediate")
        shutil.rmtree(one.folder, ignore_errors=True)


@pytest.fixture
def shared_dir(server: Server) -> Iterator[Path]:
    """An empty directory that both the test and the server's user may write to."""
    folder = Path(tempfile.mkdtemp(prefix="ruvector-shared-"))
    server.account.own(folder, 0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        found = installations()
        if not metafunc.definition.get_closest_marker("core"):
            found = found[-1:]
        metafunc.parametrize("server", found, indirect=True, scope="session", ids=lambda one: _tag(one.tag))


def _tag(tag: str) -> str:
    return re.sub(r"^(pg\d+).*", r"\1", tag)


def pytest_configure() -> None:
    """A test run that is stopped stops its servers: SIGTERM unwinds as an interrupt does."""
    signal.signal(signal.SIGTERM, lambda number, frame: pytest.exit("stopped by SIGTERM", returncode=143))


def pytest_report_header() -> str:
    return "servers: " + ", ".join(f"PostgreSQL {found.major} ({found.pg_config})" for found in installations())
