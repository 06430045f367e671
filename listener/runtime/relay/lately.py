"""The deletions that a feed reported lately, by prefix.

They go with the answers: a host whose interest was taken a moment too late for the announcement is
told all the same. What a report is worth is the host's to judge
(:mod:`listener.core.deletions`). The time is passed in, in seconds on a monotonic clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from listener.core.deletions import MOST_REMEMBERED, REMEMBERED
from listener.core.resources import prefix_of


class LatelyDeleted:
    """The ids that were reported deleted. To be guarded by its user where threads share it."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # the oldest first
        self._ids: dict[str, set[str]] = defaultdict(set)

    def add(self, ids: Iterable[str], now: float) -> None:
        """These were reported deleted."""
        for id_ in ids:
            self._since.pop(id_, None)
            self._since[id_] = now
            self._ids[prefix_of(id_)].add(id_)
        while self._since:
            oldest = next(iter(self._since))
            if len(self._since) <= MOST_REMEMBERED and now - self._since[oldest] <= REMEMBERED:
                break
            del self._since[oldest]
            prefix = prefix_of(oldest)
            self._ids[prefix].remove(oldest)
            if not self._ids[prefix]:
                del self._ids[prefix]

    def among(self, prefixes: Iterable[str], now: float) -> frozenset[str]:
        """Those with any of these prefixes."""
        found = (id_ for prefix in prefixes for id_ in self._ids.get(prefix, ()))
        return frozenset(id_ for id_ in found if now - self._since[id_] <= REMEMBERED)

    def clear(self) -> None:
        """Forget all of them: they were about another table."""
        self._since.clear()
        self._ids.clear()
