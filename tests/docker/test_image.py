# SPDX-License-Identifier: PostgreSQL
"""The image: linted; each script of it run without Docker; built and started where a Docker engine answers.

The scripts that a RUN line, an entry point or a health check calls do the same here, in directories and on throwaway servers of
the test's own. apt's part (deps.sh) only checks its arguments: it would change the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, needs_extension

TOP = Path(__file__).resolve().parents[2]
DOCKER = TOP / "docker"
SCRIPTS = sorted([*DOCKER.glob("*.sh"), *DOCKER.glob("*/*.sh")])


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


def test_the_dockerfile_is_clean() -> None:
    run(tool("hadolint"), DOCKER / "Dockerfile")


def test_the_scripts_are_clean() -> None:
    assert len(SCRIPTS) >= 5
    run(tool("shellcheck"), *SCRIPTS)
    assert all(os.access(script, os.X_OK) for script in SCRIPTS)


def test_the_compose_file_names_what_is_there() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"ruvector", "pgvector", "migrate"}
    build = services["ruvector"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).exists()
    mounted = services["pgvector"]["volumes"][0].split(":")[0]
    assert (DOCKER / mounted).exists()
    entry = services["migrate"]["entrypoint"][0]
    assert (DOCKER / "demo" / Path(entry).name).exists()
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert f"COPY docker/demo/ {Path(entry).parent}/" in dockerfile
    assert set(services["migrate"]["depends_on"]) <= set(services)


def test_everything_the_image_copies_gets_past_the_ignore_file() -> None:
    allowed = {
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert {"docker", "kernels", "sql", "tools", "ruvector_fdw", "setup.py", "pyproject.toml"} <= allowed


@pytest.mark.timeout(2400)
def test_the_source_archive_builds_the_server_and_the_package(server: Server, tmp_path: Path) -> None:
    """make dist's archive, unpacked, by build.sh into directories of its own: the package installed from it carries the
    extension's sources, and `ruvector install` stages what this server needs of them."""
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", tmp_path, TOP, cwd=TOP)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        strays = [name for name in packed.getnames() if name.endswith((".so", ".o", ".pyc"))]
        assert strays == []
    run("tar", "-xzf", archive, "-C", tmp_path)
    [source] = tmp_path.glob("ruvector_fdw-*/")
    venv, stage = tmp_path / "venv", tmp_path / "stage"
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env.pop("RUVECTOR_SKIP_INSTALL", None)
    run(source / "docker/build.sh", server.installation.pg_config, venv, stage, env=env, cwd=tmp_path)
    found = server.installation
    for name in ("ruvector", "ruvector_fdw"):
        assert Path(f"{stage}{found.pkglibdir}/{name}.so").exists()
        assert Path(f"{stage}{found.sharedir}/extension/{name}.control").exists()
        assert list(Path(f"{stage}{found.sharedir}/extension").glob(f"{name}--*.sql"))
    control = (TOP / "sql/ruvector.control").read_text()
    assert f"'{run(venv / 'bin/ruvector', '--version').stdout.split()[-1]}'" in control
    # What was built on the way is not part of what the image takes over.
    assert not (venv / "var").exists()


def test_deps_wants_to_know_the_stage() -> None:
    done = subprocess.run([DOCKER / "deps.sh", "neither", "18"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "deps.sh build|run PG_MAJOR" in done.stderr


def image_environment(server: Server, database: str) -> dict[str, str]:
    """What the image's entry point gives its scripts, on this server."""
    return {**server.environment(database), "POSTGRES_USER": "postgres", "POSTGRES_DB": database}


def test_initdb_scripts_and_health_check(server: Server, new_cluster: Callable[..., Server]) -> None:
    fresh = new_cluster(None)
    database = fresh.create(())
    env = image_environment(fresh, database)
    sick = subprocess.run([DOCKER / "healthcheck.sh"], env=env, capture_output=True, check=False)
    assert sick.returncode != 0
    for script in sorted((DOCKER / "initdb").iterdir()):
        run(script, env={**env, "RUVECTOR_FDW": "1"})
    run(DOCKER / "healthcheck.sh", env=env)
    with fresh.connect(extensions=()) as conn:  # made from template1
        rows = conn.execute("SELECT extname FROM pg_extension WHERE extname LIKE 'ruvector%' ORDER BY 1").fetchall()
    assert rows == [("ruvector",), ("ruvector_fdw",)]
    fresh.stop("immediate")
    stopped = subprocess.run([DOCKER / "healthcheck.sh"], env=env, capture_output=True, check=False)
    assert stopped.returncode != 0


def test_the_demonstration_runs(new_cluster: Callable[..., Server], tmp_path: Path) -> None:
    blue = new_cluster({"wal_level": "logical"})
    needs_extension(blue, "vector")
    green = new_cluster(None)
    source, target = blue.create(()), green.create(())
    run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", DOCKER / "demo/seed.sql", env=blue.environment(source))
    command = tmp_path / "ruvector"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from ruvector_fdw.cli import main; main()' \"$@\"\n")
    command.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{blue.installation.bindir}:{os.environ['PATH']}",
        "RUVECTOR_DSN": blue.dsn(source),
        "RUVECTOR_TARGET_DSN": green.dsn(target),
    }
    shown = run(DOCKER / "demo/run.sh", env=env).stdout
    before, after = shown.split("== the search, by ruvector")
    assert "article 42" in before
    assert "article 42" in after
    assert "written meanwhile" in after
    assert "Verdict: passed." in before


@pytest.fixture
def engine() -> Iterator[Any]:
    docker = pytest.importorskip("docker", reason="the Python package docker is not installed")
    try:
        client = docker.from_env(timeout=1800)
        client.ping()
    except Exception as ex:
        pytest.skip(f"no Docker engine answers: {ex}")
    yield client
    client.close()


@pytest.mark.parametrize("major", ["17", "18"])
def test_the_image_builds_and_runs(engine: Any, major: str) -> None:
    import time

    image, _ = engine.images.build(
        path=str(TOP), dockerfile="docker/Dockerfile", buildargs={"PG_MAJOR": major}, tag=f"ruvector-test:{major}"
    )
    box = engine.containers.run(image, detach=True, environment={"POSTGRES_PASSWORD": "test"})
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            box.reload()
            if box.attrs["State"]["Health"]["Status"] == "healthy":
                break
            time.sleep(1)
        query = "SELECT '[1,2,3]'::ruvector <-> '[1,2,4]'"
        code, out = box.exec_run(["psql", "-U", "postgres", "-XAtc", query])
        assert (code, out.decode().strip()) == (0, "1")
        code, out = box.exec_run(["ruvector", "--version"])
        assert code == 0
    finally:
        box.remove(force=True)
