# SPDX-License-Identifier: PostgreSQL
"""Copies of a running server, and how far one has come."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
from harness import Database, Server


def base_backup(server: Server, folder: Path, *options: str) -> None:
    folder.chmod(0o755)
    server.account.own(folder)
    server.account.run([
        server.installation.program("pg_basebackup"), "-h", server.socket_dir, "-p", "5432", "-U", "postgres",
        "-D", folder / "data", "-c", "fast", *options,
    ])  # fmt: skip


def make_standby(primary: Server, scratch: Path, settings: Mapping[str, str] | None = None) -> Server:
    """A running standby that follows the primary; the caller stops it."""
    folder = Path(tempfile.mkdtemp(prefix="standby-", dir=scratch))
    base_backup(primary, folder, "-R", "-X", "stream")
    assert not list((folder / "data").glob("pgsql_tmp_ruvector/*")), "images are left out of base backups"
    return Server(primary.installation, folder, settings)


def wait_for_replay(primary: Database, standby: psycopg.Connection[tuple[object, ...]]) -> None:
    """Until the standby has what the primary has done so far, also what nobody has waited for to be written."""
    end = time.monotonic() + 60
    position = primary.value("SELECT pg_switch_wal()")
    while standby.execute("SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", (position,)).fetchone() == (True,):
        assert time.monotonic() < end, "timed out waiting for replay"
        time.sleep(0.05)
