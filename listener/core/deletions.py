"""Deletions that a feed reported: what they are worth, and for how long.

A report is no answer. It says which prefix to look at, now and once more while the row is still
there: MariaDB's binary log tells of a deletion up to 400 ms before other connections see it
(measured with eight writers). And it makes the grace needless, for the absence that follows is no
accident. It does not vouch for a database, since any role of a PostgreSQL server may send a
notification: what would be held without a report is held with one.

A report is remembered also of what is not on this host: a deploy that goes on creates containers of
a topology whose row is gone already. For ten minutes it makes the grace needless, and for a day it
explains why something appears without a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Set

from listener.core.ownership import ID
from listener.core.resources import PREFIX_LENGTH, prefix_of
from listener.core.unproven import DAY

REMEMBERED = 600.0
"""Seconds for which a report makes the grace needless."""
MOST_REMEMBERED = 50_000
"""Owners; the oldest are forgotten first."""
LOOK_AGAIN = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0)
"""Seconds after a report at which a row that is still there is looked for again; the last two are
for a server that waits for its replicas before it lets a deletion be seen (10 s by default)."""


class ReportedDeletions:
    """What a feed reported lately. The time is passed in, in seconds on a monotonic clock.

    Args:
        ids: reported to an earlier run; they explain, and do no more.
        now: when that was read.
    """

    def __init__(self, ids: Iterable[str] = (), now: float = 0.0) -> None:
        self._since: dict[str, float] = {}  # by owner, an id or a prefix; the oldest first
        self.add(ids, now - REMEMBERED - 1.0)

    @property
    def ids(self) -> frozenset[str]:
        """The ids that were reported within a day."""
        return frozenset(owner for owner in self._since if len(owner) > PREFIX_LENGTH)

    def add(self, ids: Iterable[str], now: float) -> None:
        """These rows were reported deleted; what is no topology's id is passed over."""
        for id_ in filter(ID.fullmatch, ids):
            for owner in (id_, prefix_of(id_)):
                self._since.pop(owner, None)
                self._since[owner] = now
        while self._since:
            oldest = next(iter(self._since))
            if len(self._since) <= MOST_REMEMBERED and now - self._since[oldest] <= DAY:
                break
            del self._since[oldest]

    def cover(self, owner: str, now: float) -> bool:
        """Whether the deletion of this id, or of an id with this prefix, was reported."""
        since = self._since.get(owner)
        return since is not None and now - since <= REMEMBERED

    def explain(self, owner: str, now: float) -> bool:
        """Whether the deletion of this id, or of an id with this prefix, was reported in a day."""
        return now - self._since.get(owner, -math.inf) <= DAY

    def clear(self) -> None:
        """Forget all of them: they were about another table."""
        self._since.clear()

    def still_there(self, live: Set[str], now: float) -> dict[str, float]:
        """By prefix of rows that were reported deleted: in how many seconds to ask again."""
        waits: dict[str, float] = {}
        for id_ in live & self._since.keys():
            if (wait := self.look_again({id_}, now)) is not None:
                prefix = prefix_of(id_)
                waits[prefix] = min(wait, waits.get(prefix, wait))
        return waits

    def look_again(self, live: Set[str], now: float) -> float | None:
        """When a row that was reported deleted is to be asked about again.

        Args:
            live: the ids of rows that are still there.
            now: the time.

        Returns:
            In how many seconds; None when no report is about them, or the row has come back.
        """
        waits = [
            self._since[id_] + after - now
            for id_ in live & self._since.keys()
            for after in LOOK_AGAIN
        ]
        return min((wait for wait in waits if wait > 0), default=None)
