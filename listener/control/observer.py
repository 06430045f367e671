"""The hook for whoever watches: what the decision path has done, told after it was done.

An observer decides nothing and holds nothing up; the log, the status, the metrics and the history
are observers. What goes wrong in one is logged and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from loguru import logger

from listener.core.outcome import Outcome, Removal, Screening
from listener.core.resources import Resource
from listener.errors import NoAnswer


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
        since_noticed: seconds since the hint, the event or the listing that first led to it.
    """

    prefix: str
    outcome: Outcome
    seconds: float
    since_noticed: float


class Observer:
    """Is told what happened, and does nothing about it; others override what they care for."""

    def listed(self, cause: str, resources: int) -> None:
        """A full listing came, with so many resources of topologies.

        Args:
            cause: see :class:`Sweep`.
            resources: how many.
        """

    def hinted(self, seconds: float) -> None:
        """A commit was heard of so many seconds after it was written."""

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Every prefix was asked about.

        Args:
            screening: where they stand.
            sweep: the sweep that this was part of, if it was.
        """

    def ready(self, screening: Screening) -> None:
        """The first sweep is done."""

    def reaping(self, doomed: Collection[Resource], prefix: str, evidence: str) -> None:
        """These are going to be removed: the first was looked at and may be, or is still there.

        Args:
            doomed: the resources, but for those that were seen to be somebody else's.
            prefix: of the topology.
            evidence: why, all of it.
        """

    def ended(self, removal: Removal, prefix: str, evidence: str) -> None:
        """The work on one resource has ended, well or not; :meth:`reconciled` has all of them.

        Args:
            removal: what became of it.
            prefix: of the topology.
            evidence: why it was to go.
        """

    def reaped(self, doomed: Collection[Resource]) -> None:
        """The work on these has ended, well or not."""

    def reconciled(self, done: Reconciled) -> None:
        """One prefix was looked at, and what is orphaned of it removed."""

    def failed(self, prefix: str, error: NoAnswer) -> None:
        """There was no answer about a prefix that was to be reconciled, or about all of them.

        Args:
            prefix: which; empty for all.
            error: why.
        """

    def missed(self, prefix: str, count: int) -> None:
        """Only a sweep found a deletion, of which a feed should have told.

        Args:
            prefix: of the topology.
            count: how many there were so far.
        """

    def stopping(self) -> None:
        """The listener is about to end."""

    def stopped(self) -> None:
        """It has ended: nothing more will be done."""


def _each(event: str) -> Any:
    """A method that tells each of several observers of this event."""

    def tell(self: Observers, *what: object) -> None:
        for observer in self.observers:
            try:  # Loguru's catch() makes a class each time: a quarter of what a reap took
                getattr(observer, event)(*what)
            except Exception:
                logger.bind(event="defect").exception("an observer failed")

    return tell


class Observers(Observer):
    """Several observers as one; a defect in one of them is logged.

    Args:
        observers: are told in this order.
    """

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    listed = _each("listed")
    hinted = _each("hinted")
    screened = _each("screened")
    ready = _each("ready")
    reaping = _each("reaping")
    ended = _each("ended")
    reaped = _each("reaped")
    reconciled = _each("reconciled")
    failed = _each("failed")
    missed = _each("missed")
    stopping = _each("stopping")
    stopped = _each("stopped")
