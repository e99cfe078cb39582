# SPDX-License-Identifier: PostgreSQL
"""The embedded server itself: what the fixtures and `ruvector up` rest on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import Server

from ruvector_fdw.server import Cluster, Installation, ServerError

ENGLISH = {**os.environ, "LC_ALL": "C"}


def ruvector(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.prefix) / "bin" / "ruvector"
    env = {**ENGLISH, "RUVECTOR_STATE": str(state)}
    return subprocess.run([command, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.mark.core
def test_committed_rows_survive_a_killed_server(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster()
    db = server.database(extensions=())
    db.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    server.kill9()
    with pytest.raises(psycopg.OperationalError):
        db.value("SELECT 1")
    server.start()
    db.reconnect()
    assert db.value("SELECT count(*) FROM kept") == 1000
    db.close()


def test_restart_keeps_settings_unless_told_others(new_cluster: Callable[..., Server]) -> None:
    server = new_cluster({"work_mem": "7MB"})
    db = server.database(extensions=())
    server.restart()
    db.reconnect()
    assert db.value("SHOW work_mem") == "7MB"
    server.restart({"work_mem": "9MB"})
    db.reconnect()
    assert db.value("SHOW work_mem") == "9MB"
    db.close()


def test_a_cluster_of_another_version_is_refused(server: Server) -> None:
    other = Installation.find(16 if server.major != 16 else 18)
    with pytest.raises(ServerError, match=f"belongs to PostgreSQL {server.major}, not {other.major}"):
        server.stop()
        Cluster(other, server.cluster.data).start()
    server.start()


def test_a_directory_with_other_things_in_it_is_no_data_directory(server: Server, shared_dir: Path) -> None:
    (shared_dir / "notes.txt").write_text("mine")
    with pytest.raises(ServerError, match="neither empty nor the data directory"):
        Cluster(server.installation, shared_dir).start()
    assert [path.name for path in shared_dir.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("13", "could not find PostgreSQL 13"),
        ("/bin/cat", "does not answer as a pg_config"),
        ("/no/such", "no pg_config"),
    ],
)
def test_what_is_no_installation_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ServerError, match=message):
        Installation.find(spec)


def test_up_prints_one_uri_and_finds_the_server_again(scratch: Path) -> None:
    state = scratch / "state"
    first = ruvector("up", "--set", "work_mem=5MB", state=state)
    assert first.returncode == 0, first.stderr
    assert len(first.stdout.splitlines()) == 1
    try:
        with psycopg.connect(first.stdout.strip()) as conn:
            assert conn.execute("SHOW work_mem").fetchone() == ("5MB",)
        assert ruvector("up", state=state).stdout == first.stdout
        asked = ruvector("psql", "--", "-XAtc", "SELECT 6 * 7", state=state)
        assert asked.stdout == "42\n", asked.stderr
    finally:
        down = ruvector("down", state=state)
    assert down.returncode == 0
    gone = ruvector("psql", "--", "-c", "SELECT 1", state=state)
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, "", "error: no server is up: run ruvector up\n")


def test_usage_errors_have_status_2(scratch: Path) -> None:
    done = ruvector("up", "--set", "work_mem", state=scratch / "unused")
    assert done.returncode == 2
    assert '"work_mem" is not name=value' in done.stderr


def test_install_says_what_it_cannot_do(scratch: Path) -> None:
    state = scratch / "unused"
    assert ruvector("install", state=state).returncode == 2
    done = ruvector("install", "--pg-config", "/bin/cat", state=state)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'error: "/bin/cat" does not answer as a pg_config\n'


def test_install_stages_below_destdir(server: Server, scratch: Path) -> None:
    """From the checkout, whose objects are there already: the same files as in the server, under its own paths."""
    stage = scratch / "stage"
    pg_config = str(server.installation.pg_config)
    done = ruvector("install", "--pg-config", pg_config, "--destdir", str(stage), state=scratch / "unused")
    assert done.returncode == 0, done.stderr
    for name in ("ruvector", "ruvector_fdw"):
        staged = Path(f"{stage}{server.installation.pkglibdir}/{name}.so")
        assert staged.read_bytes() == (server.installation.pkglibdir / f"{name}.so").read_bytes()
        assert Path(f"{stage}{server.installation.sharedir}/extension/{name}.control").exists()
