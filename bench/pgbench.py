# SPDX-License-Identifier: PostgreSQL
"""pgbench of the measured server: clients that cost less than what they measure."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measuring import Context


def _command(context: Context, script: Path, options: Sequence[str]) -> list[str]:
    program = str(context.cluster.installation.program("pgbench"))
    return [program, "-n", "-M", "prepared", "-f", str(script), *options, context.dsn]


def _environment(settings: dict[str, object]) -> dict[str, str]:
    return {**os.environ, "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in settings.items())}


@contextmanager
def _script(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ruvector-bench-") as folder:
        path = Path(folder) / "script.sql"
        path.write_text(text)
        yield path


def throughput(
    context: Context, text: str, clients: int, seconds: int, settings: dict[str, object]
) -> tuple[float, float]:
    """Transactions a second and the mean latency in milliseconds of a script."""
    options = ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds)]
    with _script(text) as path:
        done = subprocess.run(
            _command(context, path, options), env=_environment(settings), capture_output=True, text=True, check=False
        )
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    latency = re.search(r"^latency average = ([\d.]+) ms", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and tps and latency, done.stdout + done.stderr
    return float(tps[1]), float(latency[1])


@contextmanager
def load(context: Context, text: str, rate: int) -> Iterator[None]:
    """One client that runs a script `rate` times a second while the body runs."""
    with _script(text) as path:
        command = _command(context, path, ["-c", "1", "-R", str(rate), "-T", "100000"])
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
            assert process.poll() is None, "the load ended before what it is a load for"
        finally:
            process.terminate()
            process.wait()
