"""How far a sweep has come, for a person at a terminal.

Rich, which draws it, is imported only where there is one: a sweep by a timer needs none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from listener.control.observer import Observer, Reconciled, Sweep
from listener.core.outcome import Screening

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class SweepProgress(Observer):
    """Shows how many of the orphaned topologies are done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._done: set[str] = set()

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:  # noqa: ARG002
        """Learn how many there are."""
        total = len(screening.orphans)
        if self._task is None:
            self._task = self._progress.add_task("removing topologies", total=total)
        self._progress.update(self._task, total=total)

    def reconciled(self, done: Reconciled) -> None:
        """One more is done, or has at least been tried."""
        self._done.add(done.prefix)
        if self._task is not None:
            self._progress.update(self._task, completed=len(self._done))


@contextmanager
def sweep_progress(form: str) -> Iterator[Observer]:
    """Progress on standard error for as long as this lasts; nothing where that is no terminal.

    Args:
        form: of the log; beside JSON nothing is shown.
    """
    if form != "text" or not sys.stderr.isatty():  # Rich would take FORCE_COLOR for a terminal
        yield Observer()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield SweepProgress(progress)
