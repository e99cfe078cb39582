# SPDX-License-Identifier: PostgreSQL
"""A progress bar of a running CREATE INDEX, read from pg_stat_progress_create_index through a second connection.

The poller is a thread with a connection of its own; it ends, and its connection closes, when the build does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_POLL_S = 0.1
_QUERY = """
SELECT phase, greatest(tuples_total, blocks_total), CASE WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END
FROM pg_stat_progress_create_index WHERE pid = %s
"""


def bar() -> Progress:
    """A progress bar on stderr; where that is no terminal, only its final state is printed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


class Watched:
    """What the poller saw: the phases in their order, and how often it found the build in the view."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.samples = 0


@contextmanager
def watch(dsn: str, pid: int, title: str) -> Iterator[Watched]:
    """Show the bar while the body runs. pid: of the backend that builds."""
    seen = Watched()
    done = threading.Event()
    thread = threading.Thread(target=_poll, args=(dsn, pid, title, done, seen), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _poll(dsn: str, pid: int, title: str, done: threading.Event, seen: Watched) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn, bar() as shown:
        task = shown.add_task(title, total=None)
        while not done.wait(_POLL_S):
            row = conn.execute(_QUERY, (pid,)).fetchone()
            if row is None:
                continue
            phase, total, current = row
            seen.samples += 1
            if phase not in seen.phases:
                seen.phases.append(phase)
            shown.update(task, description=f"{title}: {phase}", total=total or None, completed=current or 0)
        total = shown.tasks[0].total
        shown.update(task, description=title, completed=total or 0)
