# SPDX-License-Identifier: PostgreSQL
"""A progress bar on stderr for what takes long in a store, told by `(phase, done, total)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown(enabled: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Gives the function to tell: a bar for each phase, in the order they come; nothing when not enabled.

    A phase that begins ends the one before: what is told of that is a sample, and seldom its last number.
    """
    if not enabled:
        yield lambda phase, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def tell(phase: str, done: int, total: int) -> None:
            if total == 0:
                return
            if phase not in bars:
                for earlier in progress.tasks:
                    progress.update(earlier.id, completed=earlier.total)
                bars[phase] = progress.add_task(phase, total=total)
            progress.update(bars[phase], completed=done, total=total)

        yield tell
