"""A queue that threads share, and what is done with its keys: one kind of work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from listener.core.workqueue import FAILED, Next, WorkQueue


class Load(NamedTuple):
    """How busy a lane is."""

    waiting: int
    """Keys that wait, those included whose time has not come."""
    working: int
    """Keys that are worked on just now."""
    oldest: float
    """For how many seconds one could have been taken already."""
    longest: float
    """For how many seconds the longest work has been going on."""
    retries: int
    """How often work was not finished, so far."""


class Lane:
    """A queue that threads share, and what is done with its keys.

    Args:
        handle: does the work on a key, and tells what is next for it.
        clock: seconds, monotonic.
        attempts: see :class:`WorkQueue`.
    """

    def __init__(
        self,
        handle: Callable[[str], Next],
        clock: Callable[[], float],
        attempts: int | None = None,
    ) -> None:
        self._handle = handle
        self._clock = clock
        self._queue = WorkQueue(attempts=attempts)
        self._began: dict[str, float] = {}
        self._retries = 0
        self._changed = threading.Condition()

    def add(self, key: str, delay: float = 0.0, *, hasten: bool = False) -> None:
        """Look at a key in so many seconds; see :meth:`WorkQueue.add`."""
        with self._changed:
            self._queue.add(key, self._clock() + delay, hasten=hasten)
            self._changed.notify_all()

    def take(self) -> str | None:
        """A key whose time has come, to be worked on; None if there is none."""
        with self._changed:
            return self._queue.take(self._clock())

    def work(self, key: str) -> None:
        """Do the work on a key that was taken; a defect in it is a failure."""
        then = FAILED
        with self._changed:
            self._began[key] = self._clock()
        try:
            then = self._handle(key)
        finally:
            with self._changed:
                del self._began[key]
                self._retries += then.failed
                self._queue.finish(key, then, self._clock())
                self._changed.notify_all()

    def next_due(self) -> float | None:
        """When the next key can be taken; None when none waits."""
        with self._changed:
            return self._queue.next_due()

    def __len__(self) -> int:
        """How many keys wait or are in work."""
        with self._changed:
            return len(self._queue)

    def load(self) -> Load:
        """How busy it is."""
        with self._changed:
            now, due = self._clock(), self._queue.next_due()
            began = min(self._began.values(), default=None)
            return Load(
                self._queue.waiting,
                len(self._began),
                0.0 if due is None else max(0.0, now - due),
                0.0 if began is None else now - began,
                self._retries,
            )

    def await_key(self, stop: threading.Event) -> str | None:
        """Block until a key can be taken, and take it; None once ``stop`` is set."""
        with self._changed:
            while not stop.is_set():
                now = self._clock()
                if (key := self._queue.take(now)) is not None:
                    return key
                due = self._queue.next_due()
                self._changed.wait(None if due is None else due - now)
        return None

    def wake(self) -> None:
        """Let every :meth:`await_key` look at its ``stop``."""
        with self._changed:
            self._changed.notify_all()
