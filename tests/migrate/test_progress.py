# SPDX-License-Identifier: PostgreSQL
"""Progress in a log: a line now and then, with rate and time left; nothing with --json."""

from __future__ import annotations

import pytest

from ruvector_fdw.migrate import progress
from ruvector_fdw.migrate.progress import Progress


def test_lines_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(quiet=False).task("public.items", 10_000, 1000) as moved:
        for _ in range(4):
            now[0] += 5
            moved(500)
    # 1,000 rows in 10 s, 2,000 in 20 s: 100 rows a second, of what this run did itself.
    assert capsys.readouterr().err.splitlines() == [
        "public.items: 2,000 of 10,000, 100 rows/s, 80 s left",
        "public.items: 3,000 of 10,000, 100 rows/s, 70 s left",
    ]


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(quiet=True).task("public.items", 10) as moved:
        now[0] = 60
        moved(5)
    assert capsys.readouterr().err == ""
