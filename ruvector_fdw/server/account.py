# SPDX-License-Identifier: PostgreSQL
"""Which system user runs a cluster.

PostgreSQL refuses to run as root. An ordinary user runs servers as itself. Root runs them as a system user: the one
named by RUVECTOR_SERVER_USER, else `postgres` or `pgserver` where they exist, else a new `pgserver`.

That user must be able to read the server's binaries, the interpreter and the checkout. Where a directory above them
is private (a checkout below root's home), the server is given the capability to read past it, and says so; where the
machine does not allow that either, it is an error that names the directory. Nobody's permissions are ever changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ServerError

# In order of preference: reading past permissions is all that is needed; containers often have only the second.
_CAPABILITIES = ("dac_read_search", "dac_override")


@dataclass(frozen=True)
class Account:
    """A system user; `uid` None is the user that runs this process."""

    name: str
    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = field(default=())

    @classmethod
    def choose(cls, must_read: Iterable[Path] = ()) -> Account:
        """The account for servers that this process starts.

        :param must_read: directories and files that the server has to reach.
        :raise ServerError: one of them cannot be made reachable.
        """
        if os.geteuid() != 0:
            return cls(pwd.getpwuid(os.geteuid()).pw_name)
        entry = _system_user()
        account = cls(entry.pw_name, entry.pw_uid, entry.pw_gid, _setpriv(entry))
        blocked = sorted({str(found) for path in must_read if (found := _blocked_at(path, entry)) is not None})
        if not blocked:
            return account
        for capability in _CAPABILITIES:
            prefix = _setpriv(entry, capability)
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
                note = f'note: "{blocked[0]}" is private to root; the server may read past it ({capability})'
                print(note, file=sys.stderr)
                return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, prefix)
        raise ServerError(
            f'user "{entry.pw_name}", which runs the server for root, cannot enter "{blocked[0]}": '
            "keep the checkout and the interpreter below directories that everyone may enter"
        )

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account and return its output.

        :raise ServerError: it failed (its last lines are in the message) and `check` is set.
        """
        # A private working directory would stop another user at once; PG* variables are the caller's, not ours.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        clean.update(env or {})
        argv = [*self.prefix, *map(str, command)]
        done = subprocess.run(
            argv,
            cwd="/",
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            tail = "\n".join(done.stdout.strip().splitlines()[-15:])
            raise ServerError(f'"{Path(str(command[0])).name}" failed with status {done.returncode}\n{tail}')
        return done

    def give(self, path: Path) -> None:
        """Make a file this account's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def own(self, path: Path, mode: int = 0o700) -> Path:
        """Make a directory, or take one that is there, for this account."""
        path.mkdir(parents=True, exist_ok=True)
        self.give(path)
        path.chmod(mode)
        return path


def _system_user() -> pwd.struct_passwd:
    named = os.environ.get("RUVECTOR_SERVER_USER")
    for name in [named] if named else ["postgres", "pgserver"]:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            if named:
                raise ServerError(f'user "{named}" (RUVECTOR_SERVER_USER) does not exist') from None
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
    if useradd is None:
        raise ServerError('PostgreSQL does not run as root: create a user "pgserver", or run as an ordinary user')
    shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    command = [useradd, "--system", "--no-create-home", "--shell", shell, "pgserver"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise ServerError(f'could not create user "pgserver": {made.stderr.strip()}')
    return pwd.getpwnam("pgserver")


def _setpriv(entry: pwd.struct_passwd, capability: str | None = None) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError("could not find setpriv (package util-linux), which runs the server as another user")
    prefix = [setpriv, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    if capability:
        prefix += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    return (*prefix, "--")


def _blocked_at(path: Path, entry: pwd.struct_passwd) -> Path | None:
    """The outermost directory on the way to `path` that the user may not enter, else None."""
    real = path.resolve()
    for folder in [*reversed(real.parents), *([real] if real.is_dir() else [])]:
        info = folder.stat()
        bit = 0o100 if info.st_uid == entry.pw_uid else 0o010 if info.st_gid == entry.pw_gid else 0o001
        if not info.st_mode & bit:
            return folder
    return None
