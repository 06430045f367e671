"""The questions that wait to be asked together, and whose turn it is.

A gathering takes one question of each host in turn until it is full, so that a host that asks too
much waits for itself and for nobody else. How often a host may ask, and how many of its questions
may wait, is bounded: what is more is refused before it is even read.

The time is passed in, in seconds on a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from listener.databases.nats.wire import Question

MOST_OF_A_HOST = 4
"""Questions of one host that wait: it has one thread that asks about everything, and a few that ask
about one topology, which share theirs."""
MOST_IN_ONE = 4_000
"""Prefixes that are asked about at once, unless one question alone has more."""
RATE, BURST = 50.0, 100.0
"""Messages a second of one host that are taken, and how many may come at once."""
PREFIXES = 100
"""So many count as one message more: a host that names 2,000 each time is taken twice a second, or
it alone could keep the database busy, which takes 20 ms for each thousand."""


class Rates:
    """How much each host may send: RATE messages a second, and BURST at once."""

    def __init__(self) -> None:
        self._owed: dict[str, tuple[float, float]] = {}
        """By host, what it had sent more than its rate allows, and when it sent the last of it."""
        self._most = 1_000

    def allow(self, host: str, now: float) -> bool:
        """Whether it may send one more message now; if so, it has."""
        owed = self._owes(host, now) + 1
        if owed > BURST:
            return False
        self._owed[host] = owed, now
        if len(self._owed) > self._most:  # who owes nothing is as good as new
            self._owed = {h: owed for h, owed in self._owed.items() if self._owes(h, now)}
            self._most = 2 * len(self._owed) + 1_000
        return True

    def charge(self, host: str, prefixes: Collection[str]) -> None:
        """The message that was allowed names these."""
        owed, at = self._owed[host]
        self._owed[host] = owed + len(prefixes) / PREFIXES, at

    def _owes(self, host: str, now: float) -> float:
        owed, at = self._owed.get(host, (0.0, now))
        return max(0.0, owed - (now - at) * RATE)


class Asked(NamedTuple):
    """A question that waits."""

    host: str
    reply: str
    """The subject that its answer goes to."""
    question: Question


class WaitingRoom:
    """The questions that wait. To be guarded by its user where threads share it."""

    def __init__(self) -> None:
        self._hosts: dict[str, deque[Asked]] = {}  # in the order of their turns

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._hosts)

    def enter(self, asked: Asked) -> bool:
        """Let a question wait; False: too many of this host do."""
        queue = self._hosts.setdefault(asked.host, deque())
        if len(queue) >= MOST_OF_A_HOST:
            return False
        queue.append(asked)
        return True

    def gather(self) -> tuple[list[Asked], frozenset[str]]:
        """The next ones to be asked together, which wait no longer, and all of their prefixes."""
        gathered: list[Asked] = []
        prefixes: set[str] = set()
        while self._hosts:
            host, queue = next(iter(self._hosts.items()))
            more = queue[0].question.prefixes - prefixes
            if gathered and len(prefixes) + len(more) > MOST_IN_ONE:
                break
            prefixes |= more
            gathered.append(queue.popleft())
            del self._hosts[host]
            if queue:
                self._hosts[host] = queue  # behind all others
        return gathered, frozenset(prefixes)
