# SPDX-License-Identifier: PostgreSQL
"""One data directory: made, started, found again, stopped.

A cluster listens on a Unix socket only, in a directory that belongs to the server's user alone, and trusts whoever can
enter it. The socket's path must stay below 108 characters, so that directory is in the system's temporary directory,
named after the data directory; its owner is checked before it is used.

Settings are in ruvector.conf below the data directory, which postgresql.conf includes: what `start` is given replaces
what an earlier start wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from .account import Account
from .errors import ServerError
from .installation import Installation

SUPERUSER = "postgres"
_START_TIMEOUT_S = 120


class Cluster:
    """A PostgreSQL data directory and the server that may be running on it."""

    def __init__(self, installation: Installation, data: Path, account: Account | None = None) -> None:
        """:param data: the directory of the cluster; made by `start` when it does not exist."""
        self.installation = installation
        self.data = data.absolute()
        self.account = account or Account.choose(
            [installation.bindir, Path(sys.prefix), Path(sys.base_prefix), Path(__file__), self._above()]
        )
        name = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        self.socket_dir = Path(tempfile.gettempdir()) / f"ruvector-{name}"

    def _above(self) -> Path:
        """The nearest directory above the data that exists: the server has to enter it."""
        return next(folder for folder in self.data.parents if folder.exists())

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def uri(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """The libpq URI of a database of this cluster."""
        return f"postgresql:///{quote(database)}?host={quote(str(self.socket_dir), safe='/')}&user={quote(user)}"

    def pid(self) -> int | None:
        """The postmaster's process id, or None when no server runs here."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            name = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
        except (OSError, ValueError):
            return None
        # After a crash the number may belong to someone else's process.
        return pid if name.endswith(b"postgres") else None

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start the server, making the cluster first when there is none; nothing happens when it runs already.

        :param settings: configuration parameters, kept until the next start that is given some.
        :raise ServerError: with the end of the log.
        """
        with self._alone():
            if self.pid() is not None:
                if settings:
                    raise ServerError(f'a server runs on "{self.data}" already: stop it before changing settings')
                return
            if not (self.data / "PG_VERSION").exists():
                self._make()
            self._check_version()
            if settings is not None or not (self.data / "ruvector.conf").exists():
                self._write_settings(settings or {})
            self._own_socket_dir()
            command: list[str | Path] = [self.installation.program("pg_ctl"), "-D", self.data, "-l", self.log, "-w"]
            done = self.account.run([*command, "-t", str(_START_TIMEOUT_S), "start"], check=False)
            if done.returncode != 0:
                raise ServerError(f'could not start the server on "{self.data}"\n{self._log_tail()}')

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; nothing happens when none runs. mode: smart, fast or immediate, as of pg_ctl."""
        if self.pid() is not None:
            self.account.run([self.installation.program("pg_ctl"), "-D", self.data, "-m", mode, "-w", "stop"])
        with contextlib.suppress(OSError):
            self.socket_dir.rmdir()

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Stop (mode fast) and start again, with the settings it had unless others are given."""
        self.stop()
        self.start(settings)

    def kill9(self) -> None:
        """Kill the postmaster and every process below it with SIGKILL, as a machine that loses power would."""
        pid = self.pid()
        if pid is None:
            return
        # Stopped first, so that it neither notices nor forks while its children are being listed.
        os.kill(pid, signal.SIGSTOP)
        while _alive(pid) and _state(Path(f"/proc/{pid}/stat")) != "T":
            time.sleep(0.001)
        victims = [pid, *_children(pid)]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(_alive(victim) for victim in victims):
            if time.monotonic() > deadline:
                raise ServerError(f"server processes outlived SIGKILL: {victims}")
            time.sleep(0.01)
        # Dead, but reaped late or, by a container's first process, never; PostgreSQL takes a zombie for a postmaster.
        for lock in (self.data / "postmaster.pid", *self.socket_dir.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One start at a time for one data directory."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        lock = self.data.with_name(f".{self.data.name}.lock")
        with lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _make(self) -> None:
        if self.data.exists() and any(self.data.iterdir()):
            raise ServerError(f'"{self.data}" is neither empty nor the data directory of a cluster')
        self.account.own(self.data)
        initdb = self.installation.program("initdb")
        self.account.run([initdb, "-D", self.data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'ruvector.conf'\n")

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != str(self.installation.major):
            raise ServerError(f'"{self.data}" belongs to PostgreSQL {version}, not {self.installation.major}')

    def _write_settings(self, settings: Mapping[str, str]) -> None:
        fixed = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "lc_messages": "C",
        }
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in {**fixed, **settings}.items()]
        path = self.data / "ruvector.conf"
        path.write_text("".join(lines))
        self.account.give(path)

    def _own_socket_dir(self) -> None:
        with contextlib.suppress(FileExistsError):
            self.socket_dir.mkdir(mode=0o700)
        info = self.socket_dir.lstat()
        owner = os.geteuid() if self.account.uid is None else self.account.uid
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (owner, os.geteuid()):
            raise ServerError(f'"{self.socket_dir}" belongs to someone else')
        self.account.own(self.socket_dir)

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return "(there is no log)"


def _quoted(value: str) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "''")


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # The name, which may hold spaces, ends at the last parenthesis; state and parent follow it.
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found += [int(folder.name), *_children(int(folder.name))]
    return found


def _alive(pid: int) -> bool:
    """Whether any thread is: the first one may be a zombie while others still hold the shared memory."""
    try:
        return any(_state(task / "stat") not in "ZX" for task in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


def _state(stat_file: Path) -> str:
    try:
        return stat_file.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
