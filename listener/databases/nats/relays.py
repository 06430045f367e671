"""The relays that are heard under one name, by their heartbeats.

They have to serve one database: of two that differ at least one is wrong, and nobody can tell
which. In MySQL and MariaDB they differ by the time of the table's creation: machines made of one
image number their tables alike. A copy of a server has the same table, but does not run where the
original does, or not since the same moment.

The time is passed in, in seconds on a monotonic clock. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from listener.databases.identity import same_table
from listener.databases.nats import wire

MOST = 64
"""Relays that are kept; the one that was silent for longest is forgotten first."""


class Relays:
    """Those of one name.

    Args:
        name: of all of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[float, wire.Heartbeat]] = {}

    def heard(self, heartbeat: wire.Heartbeat, now: float) -> None:
        """One has said that it is there."""
        with self._lock:
            self._heard.pop(heartbeat.relay, None)
            self._heard[heartbeat.relay] = now, heartbeat
            if len(self._heard) > MOST:
                del self._heard[next(iter(self._heard))]

    def there(self, now: float) -> dict[str, wire.Heartbeat]:
        """The last word of each that is there, by its name."""
        with self._lock:
            return {r: said for r, (at, said) in self._heard.items() if now - at <= wire.SILENCE}

    def conflict(self, now: float, replies: Iterable[wire.Reply] = ()) -> str:
        """Which two serve different databases, and the remedy, as a sentence; or nothing.

        Args:
            now: is when they are.
            replies: what some have said since their last heartbeat.
        """
        lately: dict[str, wire.Heartbeat | wire.Reply] = {**self.there(now)}
        lately |= {reply.relay: reply for reply in replies}
        known = [said for said in lately.values() if said.identity]
        for other in known[1:]:
            first = known[0]
            same = same_table(first.kind, first.identity, other.identity, watched=False)
            if not same or (first.kind, first.runs) != (other.kind, other.runs):
                a, b = sorted((first.relay, other.relay))
                return (
                    f"the relays {a} and {b} named {self._name!r} serve two different databases;"
                    " stop one"
                )
        return ""

    def deaf(self, now: float) -> str:
        """Why none of those that are there hears of deletions; empty if one does, or none is."""
        there = self.there(now).values()
        return next(iter(there)).reading if there and all(said.reading for said in there) else ""
