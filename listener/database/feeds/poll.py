"""The feed that works on any database: a hint every so often."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PollFeed:
    """Hints at fixed intervals.

    Args:
        interval: seconds between two hints.
    """

    name = "poll"

    def __init__(self, interval: float) -> None:
        self._interval = interval

    def connect(self) -> None:
        """Nothing to reach: each question reaches the database for itself."""

    def follow(self, hint: Callable[[], None], stop: threading.Event) -> None:
        """Hint at once and every interval until ``stop`` is set."""
        while not stop.is_set():
            hint()
            stop.wait(self._interval)
