"""Owners that appeared under watch while no database had their row.

DECNET commits a topology's row before it makes the first resource. So when an owner appears on this
host while we watch, and the first answer that is asked for after that knows no row of it, then the
database is behind its origin, or the topology belongs to another database: the absence of its row
proves nothing, however long it lasts. Such an owner is *unproven*, and held.

It is not when its absence has an explanation within a day: its row was seen here before, its
deletion was reported, an operator confirmed it, or this listener removed something of it as an
orphan, for a deploy may go on long after its row is gone. Neither is an id that joins a row-less
prefix which had something here before we watched: it is the rest of an old orphan.

A mark is cleared by a row, by a report of that id, or by an operator's token, and it outlives a
restart. There is no clock, lock or thread here; times are seconds on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from listener.core.resources import PREFIX_LENGTH, prefix_of

DAY = 86_400.0
"""Seconds for which what explains an absence is remembered."""
MOST_REMEMBERED = 100_000
"""Owners; the oldest are forgotten first."""


class Unproven:
    """Which owners are unproven, and which will be judged by the next answer.

    Args:
        marked: unproven in an earlier run.
        pending: appeared in an earlier run, which had no answer about them.
        excused: confirmed or removed in an earlier run.
        now: when that was read.

    Attributes:
        revision: grows with every change of what the next run should know.
    """

    def __init__(
        self,
        *,
        marked: Iterable[str] = (),
        pending: Iterable[str] = (),
        excused: Iterable[str] = (),
        now: float = 0.0,
    ) -> None:
        self.revision = 0
        self._marked = set(marked)
        # Whether the bare prefix was on this host when the id appeared.
        self._pending = dict.fromkeys(pending, False)
        self._excused = dict.fromkeys(excused, now)
        self._under_watch = {*self._marked, *self._pending}
        self._met: set[str] = set()  # what answers were about before

    @property
    def marked(self) -> frozenset[str]:
        """The owners that are unproven."""
        return frozenset(self._marked)

    @property
    def pending(self) -> frozenset[str]:
        """The owners that appeared and about which there was no answer yet."""
        return frozenset(self._pending)

    @property
    def excused(self) -> frozenset[str]:
        """What was confirmed or removed here within a day."""
        return frozenset(self._excused)

    def __contains__(self, owner: str) -> bool:
        """Whether an owner is unproven."""
        return owner in self._marked

    def appeared(self, owners: Mapping[str, bool]) -> None:
        """These owners have just appeared on this host.

        Args:
            owners: with each, whether it may be the rest of what was here before.
        """
        self.revision += bool(owners)
        self._pending.update(owners)
        self._under_watch.update(owners)

    def answered(
        self, owners: Iterable[str], live: Callable[[str], bool], explained: Callable[[str], bool]
    ) -> bool:
        """Judge what appeared by an answer that was asked for after that.

        Args:
            owners: that the answer is about.
            live: whether any database has a row of an owner, or of a prefix.
            explained: whether its row was seen, or its deletion reported, within a day.

        Returns:
            Whether any owner is unproven that was not before.
        """
        added = False
        # The prefixes first, for an id takes over the mark of its own.
        for owner in sorted(owners, key=len):
            if live(owner):
                self.revision += owner in self._pending or owner in self._marked
                self._pending.pop(owner, None)
                self._marked.discard(owner)
            elif owner in self._pending:
                self.revision += 1
                beside = self._pending.pop(owner)
                prefix = prefix_of(owner)
                rest = beside and not live(prefix) and not self._watched_others(owner, prefix)
                if rest:
                    self._under_watch.discard(owner)
                elif not (explained(owner) or self._is_excused(owner)):
                    self._marked.add(owner)
                    added = True
            elif (
                # It came between two runs, to what the earlier one found unproven.
                owner not in self._met
                and owner not in self._marked
                and prefix_of(owner) in self._marked
                and not (explained(owner) or self._is_excused(owner))
            ):
                self.revision += 1
                self._marked.add(owner)
                added = True
            self._met.add(owner)
        return added

    def excuse(self, owner: str, now: float) -> None:
        """What explains the absence of this owner's row: it was confirmed, or removed here."""
        self.revision += self._excused.pop(owner, None) is None
        self._excused[owner] = now

    def note_deletions(self, ids: Iterable[str]) -> None:
        """The deletion of these rows was reported: an id is cleared, and its bare prefix."""
        self._clear({owner for id_ in ids for owner in (id_, prefix_of(id_))})

    def release(self, prefixes: Set[str], now: float) -> None:
        """An operator confirmed all that begins with these prefixes."""
        for prefix in prefixes:
            self.excuse(prefix, now)
        self._clear({owner for owner in self._marked if prefix_of(owner) in prefixes})

    def _clear(self, owners: Set[str]) -> None:
        self.revision += not self._marked.isdisjoint(owners)
        self._marked -= owners

    def forget(self, here: Set[str], now: float) -> None:
        """Forget what no longer matters.

        Args:
            here: every owner that has something on this host now.
            now: the time.
        """
        self.revision += not here >= self._marked | self._pending.keys()
        self._marked &= here
        self._under_watch &= here
        self._met &= here
        self._pending = {o: beside for o, beside in self._pending.items() if o in here}
        for owner, since in list(self._excused.items()):
            if now - since <= DAY and len(self._excused) <= MOST_REMEMBERED:
                break
            self.revision += 1
            del self._excused[owner]

    def _watched_others(self, owner: str, prefix: str) -> bool:
        """Whether anything else of this prefix has appeared under watch."""
        return any(o != owner and prefix_of(o) == prefix for o in self._under_watch)

    def _is_excused(self, owner: str) -> bool:
        if len(owner) > PREFIX_LENGTH:
            return owner in self._excused or prefix_of(owner) in self._excused
        return any(prefix_of(excused) == owner for excused in self._excused)
