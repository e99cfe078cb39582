# SPDX-License-Identifier: PostgreSQL
"""What a machine lacks is named, with its Debian package, before anything is built: all of it in one message."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NEEDED = ("bash", "env", "dirname", "sed", "cat", "gcc", "g++", "make")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory of programs as the only PATH: take some away."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    (folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "python3").chmod(0o755)
    return folder


def preflight(machine: Path, *arguments: str) -> tuple[int, list[str]]:
    env = {"PATH": str(machine), "LC_ALL": "C"}
    done = subprocess.run(
        [TOOLS / "preflight", *(arguments or ("python3",))], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return done.returncode, [line.strip() for line in done.stderr.splitlines()]


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_complete_machine_is_told_nothing(machine: Path) -> None:
    assert preflight(machine) == (0, [])


def test_compilers_that_are_missing_are_named_together(machine: Path) -> None:
    for name in ("gcc", "g++", "make"):
        (machine / name).unlink()
    status, lines = preflight(machine)
    assert status == 1
    assert lines == [
        "error: cannot build, this is missing (after the colon: the Debian package):",
        "the C compiler (gcc): build-essential",
        "the C++ compiler (g++): build-essential",
        "make: build-essential",
        "On Debian 12: apt-get install build-essential python3-dev python3-venv",
    ]


def test_an_interpreter_that_is_missing_is_named(machine: Path) -> None:
    status, lines = preflight(machine, "python3.99")
    assert status == 1
    assert lines[1].startswith("python3.99: python3 python3-dev python3-venv")


def test_what_the_interpreter_lacks_is_passed_on(machine: Path) -> None:
    poor = script(machine / "poor", "echo 'lacks Python.h: python3-dev'; echo 'lacks venv: python3-venv'")
    status, lines = preflight(machine, poor)
    assert (status, lines[1:3]) == (1, [f"{poor} lacks Python.h: python3-dev", f"{poor} lacks venv: python3-venv"])


def test_a_server_without_headers_is_named_and_venv_is_then_not_needed(machine: Path, tmp_path: Path) -> None:
    answer = f'case $1 in --version) echo "PostgreSQL 15.9 (Debian)";; *) echo "{tmp_path}/include";; esac'
    pg_config = script(machine / "pg_config", answer)
    poor = script(machine / "poor", "echo 'lacks venv: python3-venv'")
    status, lines = preflight(machine, poor, pg_config)
    assert status == 1
    assert lines[1:] == [
        "the headers of PostgreSQL 15: postgresql-server-dev-15",
        "On Debian 12: apt-get install build-essential python3-dev postgresql-server-dev-15",
    ]
    (tmp_path / "include").mkdir()
    (tmp_path / "include/postgres.h").touch()
    assert preflight(machine, poor, pg_config) == (0, [])


def probed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    runpy.run_path(str(TOOLS / "probe_python.py"))
    return capsys.readouterr().out.splitlines()


def test_this_interpreter_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = probed(capsys)
    assert line.split()[0] in ("complete", "private")


def test_a_static_interpreter_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = sysconfig.get_config_var

    def without(name: str) -> Any:
        return 0 if name == "Py_ENABLE_SHARED" else real(name)

    monkeypatch.setattr(sysconfig, "get_config_var", without)
    [line] = probed(capsys)
    assert line.startswith("lacks a shared libpython: an interpreter built with --enable-shared")


def test_headers_and_library_are_named_with_their_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: str(tmp_path) if name in ("LIBDIR", "LIBPL") else real(name)
    )
    short = f"{sys.version_info[0]}.{sys.version_info[1]}"
    lines = probed(capsys)
    assert f"lacks Python.h: python3-dev (python{short}-dev)" in lines
    assert any(line.endswith(f": libpython{short}-dev") for line in lines), lines


def test_a_version_that_is_not_supported_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    [line] = probed(capsys)
    assert line == "lacks a supported version (this is 3.9): Python 3.10 to 3.13"


def test_the_choice_falls_on_a_complete_interpreter(tmp_path: Path) -> None:
    """python3 where it is complete; where it lacks something, the next one that lacks nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "dirname"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)

    def chosen() -> str:
        done = subprocess.run(
            [TOOLS / "pick-python"], env={"PATH": str(folder)}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    script(folder / "python3", "echo complete /first")
    script(folder / "python3.12", "echo complete /second")
    assert chosen() == "/first"
    script(folder / "python3", "echo lacks venv: python3-venv")
    # The system's own is asked before versioned names.
    assert chosen() in ("/second", "/usr/bin/python3")
