"""The feed that works on any database: a hint every so often."""

from __future__ import annotations

import math
import threading
import time

from listener.databases.feed import Feed, Hint


class PollFeed(Feed):
    """Hints at fixed intervals.

    Args:
        interval: seconds between two hints.
        lasting: seconds after which it ends.
    """

    name = "poll"

    def __init__(self, interval: float, lasting: float = math.inf) -> None:
        self.interval = interval
        self._lasting = lasting

    def connect(self) -> None:
        """Nothing to reach: each question reaches the database for itself."""

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and every interval until ``stop`` is set."""
        until = time.monotonic() + self._lasting
        while not stop.is_set() and time.monotonic() < until:
            hint()
            stop.wait(self.interval)

    def close(self) -> None:
        """Nothing to close: ``stop`` ends the wait."""
