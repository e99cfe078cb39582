# SPDX-License-Identifier: PostgreSQL
"""How far a long step is, with rate and time left, on stderr: a bar on a terminal, a line every ten seconds in a log,
nothing with --json.

Rows copied are told by whoever copies them; an index build is watched from a second connection, in the server's own
view of it (pg_stat_progress_create_index).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

LOG_EVERY_S = 10.0
_WATCH_EVERY_S = 0.5
Told = Callable[[int], None]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


class _Lines:
    """Progress where there is no terminal."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.done = name, total, done
        self.begun, self.first, self.told = time.monotonic(), done, time.monotonic()

    def __call__(self, rows: int) -> None:
        self.done += rows
        now = time.monotonic()
        if now - self.told < LOG_EVERY_S:
            return
        self.told = now
        rate = (self.done - self.first) / (now - self.begun)
        left = f", {max(self.total - self.done, 0) / rate:,.0f} s left" if rate and self.total else ""
        whole = f" of {max(self.total, self.done):,}" if self.total else ""
        print(f"{self.name}: {self.done:,}{whole}, {rate:,.0f} rows/s{left}", file=sys.stderr, flush=True)


class Progress:
    """``task`` gives a function that is told how many more are done; ``index`` watches a build while its block runs."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Told]:
        if self.quiet:
            yield lambda rows: None
            return
        if not sys.stderr.isatty():
            yield _Lines(name, total, done)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True)) as bars:
            bar = bars.add_task(name, total=max(total, done), completed=done)
            yield lambda rows: bars.advance(bar, rows)

    @contextmanager
    def index(self, name: str, conn: psycopg.Connection[Any], dsn: str) -> Iterator[None]:
        """While the block builds an index on ``conn``. A watcher that cannot connect is done without."""
        if self.quiet:
            yield
            return
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(name, conn.info.backend_pid, dsn, stop), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, name: str, pid: int, dsn: str, stop: threading.Event) -> None:
        if stop.wait(2 * _WATCH_EVERY_S):  # most builds are over by then
            return
        with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as other:
            total, seen = 0, 0
            while not total:
                total, seen = _built(other, pid)
                if stop.wait(_WATCH_EVERY_S):
                    return
            with self.task(name, total, seen) as told:
                while not stop.wait(_WATCH_EVERY_S):
                    _, now = _built(other, pid)
                    told(max(now - seen, 0))
                    seen = max(now, seen)


def _built(conn: psycopg.Connection[Any], pid: int) -> tuple[int, int]:
    """Rows in all and rows done of the build in backend ``pid``; zeros while it has not said."""
    row = conn.execute(
        "SELECT tuples_total, tuples_done FROM pg_stat_progress_create_index WHERE pid = %s", (pid,)
    ).fetchone()
    return (0, 0) if row is None else (int(row[0] or 0), int(row[1] or 0))
