"""Whether the listener is well: a link for each side, and a pulse for each loop.

A link is said when it changes, and not in between. A loop may wait for work as long as it likes;
what shows that it is stuck is one piece of work without an end, or one defect after the other.
"""

from __future__ import annotations

import math
import threading
import time

from loguru import logger

from listener.core.status import Side
from listener.errors import presentable

ANEW = 300.0
"""Seconds without a defect after which a loop is well again. Work that fails is tried again after
up to a minute, by any of a few threads, so that each may have its turn only every few minutes."""


class Link:
    """The state of one side, Docker or a database. Safe to use from several threads.

    Args:
        name: of the side, as the log calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._down_since: float | None = time.monotonic()
        self._reason: str | None = None
        self._was_up = False
        self._changed_at = time.time()
        self._proved_at: float | None = None
        self._answered_at: float | None = None
        self.connections = 0
        """How often a connection to it was made."""

    @property
    def up(self) -> bool:
        """Whether the last attempt to reach it succeeded."""
        return self._down_since is None

    @property
    def down_for(self) -> float:
        """For how many seconds it could not be reached; 0 while it can."""
        since = self._down_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def proof_age(self) -> float | None:
        """Seconds since it last proved to be alive; None if it never has."""
        return _age(self._proved_at)

    @property
    def answer_age(self) -> float | None:
        """Seconds since its last answer; None if there never was one."""
        return _age(self._answered_at)

    def status(self) -> Side:
        """What there is to know about it, as JSON can hold it."""
        with self._lock:
            return {
                "name": self.name,
                "up": self.up,
                "since": self._changed_at,
                "reason": self._reason,
                "proof_age_s": self.proof_age,
                "connections": self.connections,
            }

    def proved(self) -> None:
        """It has shown that it is alive."""
        self._proved_at = time.monotonic()

    def answered(self) -> None:
        """It was asked, and its answer can be trusted."""
        self._answered_at = time.monotonic()
        self.succeeded()

    def succeeded(self) -> None:
        """It was reached."""
        self.proved()
        with self._lock:
            if not self.up:
                seconds = self.down_for
                again = " again" if self._was_up else ""
                length = f"{seconds:.1f}" if seconds < 10 else f"{seconds:,.0f}"
                after = f"{again} after {length} s" if self._reason is not None else ""
                self._was_up = True
                self._down_since = self._reason = None
                self._changed_at = time.time()
                logger.bind(event="up", side=self.name, seconds=round(seconds, 1)).info(
                    "{} is up{}", self.name, after
                )

    def failed(self, reason: object, *, asked_at: float = math.inf) -> None:
        """It was not; the same reason is said once.

        Args:
            reason: why.
            asked_at: when it was asked, in seconds on the monotonic clock. A question that is older
                than the last answer tells of what is over.
        """
        if self._answered_at is not None and asked_at < self._answered_at:
            return
        text = presentable(reason)
        with self._lock:
            if text != self._reason:
                self._reason = text
                if self._down_since is None:
                    self._down_since = time.monotonic()
                    self._changed_at = time.time()
                logger.bind(event="down", side=self.name, error=text).error(
                    "{} cannot be used; nothing is removed until it can: {}", self.name, text
                )


def _age(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment


class Pulse:
    """Whether a loop makes progress; ``with pulse:`` is one piece of its work.

    Args:
        name: of the loop.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._since: float | None = None
        self._defects: tuple[float, float] | None = None

    def __enter__(self) -> None:
        self.beat()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def beat(self) -> None:
        """The work goes on: what follows is another piece."""
        self._since = time.monotonic()

    def failed(self) -> None:
        """The loop has come upon a defect of ours, and is started again."""
        now = time.monotonic()
        first, last = self._defects or (now, now)
        self._defects = (first if now - last <= ANEW else now), now

    @property
    def failing_for(self) -> float:
        """Seconds from the first to the last of its defects; 0 once it is well again."""
        first, last = self._defects or (0.0, 0.0)
        return last - first if time.monotonic() - last <= ANEW else 0.0

    @property
    def busy_for(self) -> float:
        """For how many seconds it has been at the same piece of work; 0 while it waits for any."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since
