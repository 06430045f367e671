"""What this host wants to hear of, and which relays have taken that.

A relay announces a deletion to the hosts that it concerns, so it has to know what is on a host
before that host relies on it: what went before an interest was acknowledged was announced to
nobody, and is to be asked about once it was. The interest is said again when it changes, when a
relay is heard that has not taken it, and every few minutes, for relays forget who is silent.

Ten thousand hosts hear one heartbeat at the same time. What it makes them do they put off, each by
a random part of the time that the relay names.

The time is passed in, in seconds on a monotonic clock; there is no thread here.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Collection

from listener.databases.nats.wire import Acknowledged, Heartbeat, Interest, in_messages

REPEATED_AFTER = 180.0
"""Seconds; relays forget a host after ten minutes."""
LONGEST_SPREAD = 30.0
"""Seconds, whatever a relay names."""


def part_of(seconds: float) -> float:
    """A random part of a time."""
    return random.uniform(0.0, seconds)  # noqa: S311 - it only keeps hosts apart


class Interests:
    """The interests of one connection.

    Args:
        adds: to what the relays have of this host, whose listener may be another process.
        part_of: a part of so many seconds.
    """

    def __init__(self, *, adds: bool = False, part_of: Callable[[float], float] = part_of) -> None:
        self._adds = adds
        self._part_of = part_of
        self._wanted: frozenset[str] = frozenset()
        self._nonces: frozenset[str] = frozenset()
        self._taking: dict[str, frozenset[str]] = {}
        self._taken: dict[str, frozenset[str]] = {}
        self._any: dict[str, int] = {}
        self._say_at, self._ask_at = -math.inf, math.inf

    @property
    def taken(self) -> bool:
        """Whether any relay has taken all that is wanted."""
        return self._wanted in self._taken.values()

    def due(self) -> float:
        """When there is something to be done next, if nothing happens before."""
        return min(self._say_at, self._ask_at)

    def to_say(self, wanted: Collection[str], now: float) -> list[Interest]:
        """The messages that are due, if any.

        Args:
            wanted: the prefixes that matter.
            now: is when they are sent.
        """
        wanted = frozenset(wanted)
        if self._wanted == wanted and now < self._say_at:
            return []
        self._wanted = wanted
        self._say_at = now + REPEATED_AFTER
        self._taking = {}
        messages = [
            Interest(secrets.token_hex(8), part, adds=self._adds or number > 0)
            for number, part in enumerate(in_messages(self._wanted))
        ]
        self._nonces = frozenset(message.nonce for message in messages)
        return messages

    def acknowledged(self, ack: Acknowledged) -> bool:
        """A relay has taken a message; returns whether all have to be asked about now."""
        if ack.nonce not in self._nonces:
            return False
        taking = self._taking[ack.relay] = self._taking.get(ack.relay, frozenset()) | {ack.nonce}
        if taking != self._nonces:
            return False
        before = self._taken.get(ack.relay)
        self._taken[ack.relay] = self._wanted
        missed = self._any.get(ack.relay, ack.any) != ack.any
        self._any[ack.relay] = ack.any
        return missed or before is None or not self._wanted <= before

    def heard(self, heartbeat: Heartbeat, now: float) -> None:
        """A relay has said that it is there."""
        if self._taken.get(heartbeat.relay) != self._wanted:
            put_off = self._part_of(min(heartbeat.within, LONGEST_SPREAD))
            self._say_at = min(self._say_at, now + put_off)
        elif self._any[heartbeat.relay] != heartbeat.any:
            self._any[heartbeat.relay] = heartbeat.any
            self.ask_within(heartbeat.within, now)

    def ask_within(self, seconds: float, now: float) -> None:
        """All have to be asked about, at some time in so many seconds."""
        put_off = self._part_of(min(seconds, LONGEST_SPREAD))
        self._ask_at = min(self._ask_at, now + put_off)

    def to_ask(self, now: float) -> bool:
        """Whether all have to be asked about now, as a heartbeat said."""
        if now < self._ask_at:
            return False
        self._ask_at = math.inf
        return True

    def forget(self, there: Collection[str]) -> None:
        """Only these relays are there; another that comes back may have missed anything."""
        self._taken = {relay: taken for relay, taken in self._taken.items() if relay in there}
        self._any = {relay: any_ for relay, any_ in self._any.items() if relay in there}
