"""Which hosts are to be told of which deletions, as they have said themselves.

A host's interest is all that it has named: by a message that replaces what it named before, or by a
question, whose prefixes are added until the next such message. It lasts for as long as the host
says something every so often, and is bounded, for a host that was taken over may name anything.

All who use one lock it: messages come on one thread, deletions on another. The time is passed in,
in seconds on a monotonic clock.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from listener.core.resources import prefix_of

FORGOTTEN = 600.0
"""Seconds after which a host that says nothing is forgotten; it repeats its interest every 180."""
MOST_OF_A_HOST = 5_000
"""Prefixes that one host may name; one with a hundred topologies is large."""
MOST = 500_000
"""Prefixes that all of them may name together: 180 MB where no two are the same."""


class Interests:
    """Who has named which prefixes. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: dict[str, frozenset[str]] = {}
        self._heard: dict[str, float] = {}
        self._hosts: dict[str, set[str]] = {}
        self._count = 0

    @property
    def hosts(self) -> int:
        """How many hosts are known."""
        return len(self._heard)

    def __len__(self) -> int:
        """How many prefixes they have named, each for itself."""
        return self._count

    def prefixes(self) -> Collection[str]:
        """All that somebody has named."""
        with self._lock:
            return frozenset(self._hosts)

    def replace(self, host: str, prefixes: frozenset[str], now: float) -> bool:
        """Take what a host names instead of what it named before; False: it is too much."""
        with self._lock:
            self._heard[host] = now
            return self._set(host, prefixes)

    def add(self, host: str, prefixes: frozenset[str], now: float) -> bool:
        """Take what a host names beside what it named before; False: it is too much."""
        with self._lock:
            self._heard[host] = now
            return self._set(host, self._named.get(host, frozenset()) | prefixes)

    def concerned(self, ids: Iterable[str]) -> Mapping[str, Sequence[str]]:
        """By host, which of these ids it has named the prefix of."""
        with self._lock:
            told: dict[str, list[str]] = defaultdict(list)
            for id_ in ids:
                for host in self._hosts.get(prefix_of(id_), ()):
                    told[host].append(id_)
            return told

    def forget(self, now: float) -> None:
        """Forget the hosts that have been silent for too long."""
        with self._lock:
            for host in [h for h, heard in self._heard.items() if now - heard > FORGOTTEN]:
                del self._heard[host]
                self._set(host, frozenset())

    def _set(self, host: str, prefixes: frozenset[str]) -> bool:
        before = self._named.get(host, frozenset())
        growth = len(prefixes) - len(before)
        if growth > 0 and (len(prefixes) > MOST_OF_A_HOST or self._count + growth > MOST):
            return False
        for prefix in before - prefixes:
            self._hosts[prefix].remove(host)
            if not self._hosts[prefix]:
                del self._hosts[prefix]
        for prefix in prefixes - before:
            self._hosts.setdefault(prefix, set()).add(host)
        self._named[host] = prefixes
        if not prefixes:
            del self._named[host]
        self._count += growth
        return True
