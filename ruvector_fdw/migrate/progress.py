# SPDX-License-Identifier: PostgreSQL
"""A progress bar with rate and time left on stderr; silent where stderr is no terminal, so that logs and --json stay
clean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


class Progress:
    """``task`` gives a function that is told how many more are done."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet or not sys.stderr.isatty()

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        if self.quiet:
            yield lambda rows: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True)) as bars:
            bar = bars.add_task(name, total=max(total, done), completed=done)
            yield lambda rows: bars.advance(bar, rows)
