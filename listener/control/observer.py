"""The hook for whoever watches: what the decision path has done, told after it was done.

An observer decides nothing and holds nothing up; the log, the status, the metrics and the history
are observers. What goes wrong in one is logged and changes nothing else.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from loguru import logger

from listener.core.outcome import Outcome, Screening


@dataclass(frozen=True, slots=True)
class Sweep:
    """A full sweep: a listing, and the question about everything in it.

    Attributes:
        cause: ``start-up``, ``reconnect``, ``silence`` (the event stream was opened anew to prove
            that it still speaks), ``timer`` or ``asked``.
        seconds: what the listing and the question took.
    """

    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One prefix was looked at.

    Attributes:
        prefix: which.
        outcome: what came of it.
        seconds: how long that took.
        since_told: seconds since the hint, the event or the listing that first led to it.
    """

    prefix: str
    outcome: Outcome
    seconds: float
    since_told: float


class Observer:
    """Is told what happened, and does nothing about it; others override what they care for."""

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Every prefix was asked about.

        Args:
            screening: where they stand.
            sweep: the sweep that this was part of, if it was.
        """

    def reconciled(self, done: Reconciled) -> None:
        """One prefix was looked at, and what is orphaned of it removed."""


class Observers(Observer):
    """Several observers as one; a defect in one of them is logged.

    Args:
        observers: are told in this order.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Tell each."""
        for observer in self._observers:
            with self._catching():
                observer.screened(screening, sweep)

    def reconciled(self, done: Reconciled) -> None:
        """Tell each."""
        for observer in self._observers:
            with self._catching():
                observer.reconciled(done)

    def _catching(self) -> AbstractContextManager[None]:
        return logger.bind(event="defect").catch(message="an observer failed")
