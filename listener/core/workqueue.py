"""A queue of keys to look at: each at most once, never twice at the same time, after a delay.

Modelled on the work queue of Kubernetes' client-go. A key is *which prefix to look at* and nothing
else, so any number of reasons to look at it are one entry, due at the earliest of their times;
adding a key that is in work runs it once more afterwards. A key that failed waits longer each time,
with jitter, and adding it does not cut that short: a removal that is refused for ever is retried
ever more rarely, however busy the database is. Only news about the key itself, such as a container
that has just appeared, hastens it.

The queue has no clock, lock or thread of its own. The caller passes the time in (seconds on any
clock that never goes back) and guards it where threads share it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Next:
    """What is next for a key once the work on it has ended: nothing, by default.

    Attributes:
        after: look at it again after so many seconds.
        failed: try it again after a pause that grows, or earlier by :attr:`after`.
    """

    after: float | None = None
    failed: bool = False


DONE: Final = Next()
FAILED: Final = Next(failed=True)


class WorkQueue:
    """Keys, each with the time from which it may be taken.

    Args:
        backoff_min: the delay after a first failure, in seconds, before jitter.
        backoff_max: the longest delay, in seconds.
        jitter: returns a number in [0, 1); a delay is shortened by up to half of itself.
        attempts: after so many failures in a row a key is given up; None: never.
    """

    def __init__(
        self,
        *,
        backoff_min: float = 0.2,
        backoff_max: float = 60.0,
        jitter: Callable[[], float] = random.random,
        attempts: int | None = None,
    ) -> None:
        self._backoff_min = backoff_min
        self._backoff_max = backoff_max
        self._jitter = jitter
        self._attempts = attempts
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._in_work: dict[str, float | None] = {}
        self._hastened: set[str] = set()
        self._failures: dict[str, int] = {}

    def add(self, key: str, due: float, *, hasten: bool = False) -> None:
        """Look at ``key`` from ``due`` on; once more after its work if it is in work.

        A key that waits for longer is brought forward, unless it failed.

        Args:
            key: what to look at.
            due: from when on.
            hasten: bring it forward even though it failed.
        """
        if key in self._in_work:
            again = self._in_work[key]
            self._in_work[key] = due if again is None else min(again, due)
            if hasten:
                self._hastened.add(key)
        elif key not in self._due or (
            due < self._due[key] and (hasten or key not in self._failures)
        ):
            self._schedule(key, due)

    def take(self, now: float) -> str | None:
        """The next key whose time has come, now in work until :meth:`finish`."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, key = heapq.heappop(self._heap)
        del self._due[key]
        self._in_work[key] = None
        return key

    def finish(self, key: str, then: Next, now: float) -> float | None:
        """The work on ``key`` has ended.

        What failed is tried again later, or at once if news came meanwhile; otherwise its failures
        are forgotten.

        Returns:
            In how many seconds it is due again; None if it is not.
        """
        again = self._in_work.pop(key)
        if then.failed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            if failures + 1 == self._attempts:
                return None
            delay = min(self._backoff_max, self._backoff_min * 2.0 ** min(failures, 30))
            due: float | None = now + delay * (1.0 - self._jitter() / 2)
            if key not in self._hastened:
                again = None
        else:
            self._failures.pop(key, None)
            due = None
        self._hastened.discard(key)
        after = None if then.after is None else now + then.after
        times = [time for time in (due, again, after) if time is not None]
        if not times:
            return None
        self._schedule(key, min(times))
        return min(times) - now

    def next_due(self) -> float | None:
        """When the next key can be taken; None when none waits."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # brought forward since: this is its old place
        return self._heap[0][0] if self._heap else None

    @property
    def waiting(self) -> int:
        """How many keys wait, those included whose time has not come."""
        return len(self._due)

    def __len__(self) -> int:
        return len(self._due) + len(self._in_work)

    def _schedule(self, key: str, due: float) -> None:
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
