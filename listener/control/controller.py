"""What the listener does next, one step at a time.

Everything that happens, an event, a listing, a hint, becomes a key in one of two lanes, and the
work on a key is one call. A hint that any topology may have gone is a key too, :data:`EVERYTHING`,
in the screening lane: all prefixes are screened in one question that never waits for Docker, at
most ten times a second, and what turns out orphaned is queued by its prefix in the other lane,
where it is reconciled.

There is no thread, socket or clock in here: the listener brings its own, and a test plays any order
of steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from loguru import logger

from listener.control.inventory import PrefixIndex
from listener.control.missed import Unheard
from listener.control.observer import Observer, Reconciled, Sweep
from listener.control.reconciler import Reap, Reconciler
from listener.core.evidence import Memory, State, Verdict
from listener.core.judge import Judge
from listener.core.outcome import Outcome, Screening
from listener.core.resources import Resource
from listener.core.unproven import MOST_REMEMBERED
from listener.core.workqueue import WorkQueue
from listener.errors import NoAnswer

EVERYTHING: Final = "*"
"""The key for "any prefix may have gone"."""
SCREEN_SPACING = 0.1
"""Seconds between two screenings; the first of a series is not delayed."""
OBSERVE_EVERY = 2.0
"""Seconds between two screenings while an absence has to last: a longer silence is an outage."""


class Load(NamedTuple):
    """How busy a lane is."""

    waiting: int
    """Keys that wait, those included whose time has not come."""
    oldest: float
    """For how many seconds one could have been taken already."""
    longest: float
    """For how many seconds the longest work has been going on."""
    retries: int
    """How often work was not finished, so far."""


class Lane:
    """A queue that threads share, and what is done with its keys.

    Args:
        handle: does the work on a key; returns whether it is finished.
        clock: seconds, monotonic.
    """

    def __init__(self, handle: Callable[[str], bool], clock: Callable[[], float]) -> None:
        self._handle = handle
        self._clock = clock
        self._queue = WorkQueue()
        self._began: dict[str, float] = {}
        self._retries = 0
        self._changed = threading.Condition()

    def add(self, key: str, delay: float = 0.0, *, hasten: bool = False) -> None:
        """Look at a key in so many seconds; see :meth:`WorkQueue.add`."""
        with self._changed:
            self._queue.add(key, self._clock() + delay, hasten=hasten)
            self._changed.notify_all()

    def take(self) -> str | None:
        """A key whose time has come, to be worked on; None if there is none."""
        with self._changed:
            return self._queue.take(self._clock())

    def work(self, key: str) -> None:
        """Do the work on a key that was taken; what is not finished is tried again later."""
        finished = False
        with self._changed:
            self._began[key] = self._clock()
        try:
            finished = self._handle(key)
        finally:
            with self._changed:
                del self._began[key]
                if finished:
                    self._queue.done(key)
                else:
                    self._retries += 1
                    self._queue.retry(key, self._clock())
                self._changed.notify_all()

    def next_due(self) -> float | None:
        """When the next key can be taken; None when none waits."""
        with self._changed:
            return self._queue.next_due()

    def load(self) -> Load:
        """How busy it is."""
        with self._changed:
            now, due = self._clock(), self._queue.next_due()
            began = min(self._began.values(), default=None)
            return Load(
                self._queue.waiting,
                0.0 if due is None else max(0.0, now - due),
                0.0 if began is None else now - began,
                self._retries,
            )

    def await_key(self, stop: threading.Event) -> str | None:
        """Block until a key can be taken, and take it; None once ``stop`` is set."""
        with self._changed:
            while not stop.is_set():
                now = self._clock()
                if (key := self._queue.take(now)) is not None:
                    return key
                due = self._queue.next_due()
                self._changed.wait(None if due is None else due - now)
        return None

    def wake(self) -> None:
        """Let every :meth:`await_key` look at its ``stop``."""
        with self._changed:
            self._changed.notify_all()


class Controller:
    """Turns what happens into work, and does it.

    Args:
        index: what is on this host.
        judge: asks the databases and weighs their answers.
        reap: removes.
        read: looks a resource up in the engine.
        clock: seconds, monotonic.
        docker_up: whether anything could be removed.
        learned: called when there may be :meth:`news` to be kept.
        distrust: called when no feed has told of a deletion.
        relist: called when a listing is needed to tell what is ours.
        feeds: how many databases tell of deletions.
        observer: is told what was done.
        sweep_command: how an operator begins a sweep that releases what is held.
    """

    def __init__(
        self,
        *,
        index: PrefixIndex,
        judge: Judge,
        reap: Reap,
        read: Callable[[Resource], Resource | None],
        clock: Callable[[], float],
        docker_up: Callable[[], bool] = lambda: True,
        learned: Callable[[], None] = lambda: None,
        distrust: Callable[[], None] = lambda: None,
        relist: Callable[[], None] = lambda: None,
        feeds: int = 1,
        observer: Observer | None = None,
        sweep_command: str = "topology-reaper sweep",
    ) -> None:
        self.screening = Lane(self._screen, clock)
        self.reconciling = Lane(self._reconcile, clock)
        self.ready = threading.Event()
        """Set once the first sweep is done."""
        self._index = index
        self._clock = clock
        self._docker_up = docker_up
        self._learned = learned
        self._distrust = distrust
        self._relist = relist
        self._observer = observer or Observer()
        self._sweep_command = sweep_command
        self._reconciler = Reconciler(
            index=index, judge=judge, reap=reap, read=read, clock=clock, learned=learned
        )
        self._forgotten = 0
        self._unheard = [Unheard() for _ in range(feeds)]
        self._held: tuple[Mapping[str, str], str] = {}, ""
        self._lists = self._lists_screened = 0
        self._list = Sweep("", 0.0)
        self._screened_at = -SCREEN_SPACING
        # When it was first said that any may have gone; and, by prefix, that this one has.
        self._hinted_at: float | None = None
        self._told_at: dict[str, float] = {}

    # What happens. Nothing here decides anything.

    def appeared(self, prefix: str) -> None:
        """Something with this prefix is new on this host."""
        self._told_at.setdefault(prefix, self._clock())
        self.reconciling.add(prefix, hasten=True)

    def vanished(self, prefix: str) -> None:
        """Something with this prefix is gone from this host."""
        if prefix in self._reconciler.late:
            self.reconciling.add(prefix, hasten=True)
        if prefix in self._held[0]:
            self._look_at_everything()  # so that it is said when nothing of it is left

    def listed(self, cause: str, seconds: float) -> None:
        """The index was filled from a full listing: a sweep begins.

        Args:
            cause: why there was a listing.
            seconds: how long it took.
        """
        logger.bind(event="listed", cause=cause).debug(
            "listed: {} resources of topologies", len(self._index)
        )
        self._list = Sweep(cause, seconds)
        self._lists += 1
        self._look_at_everything()

    def hinted(
        self, database: int, deleted: Collection[str] | None = None, *, polled: bool = False
    ) -> None:
        """A feed says that rows may have gone.

        Args:
            database: its number.
            deleted: the ids that it reported deleted; None: it may be any.
            polled: nobody told it.
        """
        if deleted is None:
            if not polled:  # between two polls there is nothing to be heard
                self._unheard[database].heard(self._clock())
            self._look_at_everything()
        else:
            for prefix in self._reconciler.report(database, deleted):
                self._told_at.setdefault(prefix, self._clock())
                self.reconciling.add(prefix, hasten=True)

    def unheard(self, database: int) -> int:
        """How many deletions in this database only a sweep has found."""
        return self._unheard[database].count

    def feed_lost(self, database: int, *, broken: bool) -> None:
        """A feed is not there until it hints again.

        Args:
            database: its number.
            broken: it did not end by itself.
        """
        self._unheard[database].lost()
        if broken:
            self._reconciler.interrupted(database)

    def news(self, *, everything: bool = False) -> Mapping[int, Memory]:
        """What the next run should know, by database; see :meth:`Judge.news`."""
        return self._reconciler.news(everything=everything)

    def _observe(self, wait: float) -> None:
        """Ask about everything again while an absence has to last for so many seconds more."""
        self.screening.add(EVERYTHING, min(max(wait, SCREEN_SPACING), OBSERVE_EVERY))

    def _look_at_everything(self) -> None:
        if self._hinted_at is None:
            self._hinted_at = self._clock()
        spacing = self._screened_at + SCREEN_SPACING - self._clock()
        self.screening.add(EVERYTHING, max(0.0, spacing), hasten=True)

    # The work.

    def _screen(self, _everything: str) -> bool:
        self._screened_at = self._clock()
        hinted_at, self._hinted_at = self._hinted_at, None
        # A listing is the proof that Docker is there: what failed for want of it goes on at once.
        lists = self._lists
        fresh_list = lists != self._lists_screened
        for prefix in self._reconciler.unfinished:  # there may be nothing left of it to ask about
            self.reconciling.add(prefix, hasten=fresh_list)
        try:
            screening = self._reconciler.screen(listed=fresh_list)
        except NoAnswer:
            self._hinted_at = hinted_at
            self._learned()
            return False
        self._lists_screened = lists
        for unheard in self._unheard:
            unheard.screened(
                self._screened_at, screening.live, screening.orphans.keys(), swept=fresh_list
            )
        self._forget_told(screening)
        for prefix in screening.orphans:
            self._told_at.setdefault(prefix, hinted_at or self._screened_at)
            self.reconciling.add(prefix, hasten=fresh_list)
        if screening.waiting:
            self._observe(min(verdict.wait for verdict in screening.waiting.values()))
        if any(verdict.timed for verdict in screening.verdicts.values()):
            self._observe(OBSERVE_EVERY)  # a removal may take longer than an outage
        for prefix, wait in screening.reported.items():
            self.reconciling.add(prefix, wait, hasten=True)
        self._learned()  # may wait for the disk: after what is to be removed, before we say ready
        self._say_held(screening)
        self._say_forgotten()
        if screening.hearsay:
            self._relist()
        took = self._list.seconds + self._clock() - self._screened_at
        self._observer.screened(screening, Sweep(self._list.cause, took) if fresh_list else None)
        if fresh_list and not self.ready.is_set():
            self.ready.set()
            logger.bind(event="ready").info(
                "ready: {} live topologies on this host, {} to remove",
                len(screening.live),
                len(screening.orphans),
            )
        return True

    def _reconcile(self, prefix: str) -> bool:
        if not self._docker_up():
            return True  # nothing can be removed; the listing that ends this brings it back
        began = self._clock()
        try:
            outcome = self._reconciler.reconcile(prefix)
        except NoAnswer:
            self._learned()
            self._look_at_everything()  # once there is an answer again, this one is part of it
            return True
        self._learned()
        self._tell(prefix, outcome, began)
        if outcome.removals and not outcome.unfinished:
            self._say_unheard(prefix)
        if outcome.wait is not None:
            self._observe(outcome.wait)
        if outcome.again is not None:
            self.reconciling.add(prefix, outcome.again, hasten=True)
        if outcome.held:
            self._look_at_everything()
        return not outcome.unfinished

    def _forget_told(self, screening: Screening) -> None:
        """What was told before the question, and is not to go: a later deletion is another one."""
        to_go = screening.orphans.keys() | screening.reported.keys() | self._reconciler.unfinished
        for prefix, told_at in list(self._told_at.items()):
            if prefix not in to_go and told_at < self._screened_at:
                self._told_at.pop(prefix, None)

    def _tell(self, prefix: str, outcome: Outcome, began: float) -> None:
        now = self._clock()
        told_at = self._told_at.get(prefix, began)
        if not outcome.unfinished:
            self._told_at.pop(prefix, None)
        self._observer.reconciled(Reconciled(prefix, outcome, now - began, now - told_at))

    def _say_held(self, screening: Screening) -> None:
        # The token too: of another table it is another one, though the same topologies are held.
        if (screening.held, screening.token) == self._held:
            return
        before, self._held = self._held[0], (dict(screening.held), screening.token)
        self._say_no_longer_held(before.keys() - screening.held.keys(), screening)
        if screening.held:  # one line, for one token releases them all
            logger.bind(
                event="held", prefix=" ".join(sorted(screening.held)), token=screening.token
            ).error(
                "held and not removed: {}; if all of these are to go, run {} --confirm {}",
                _by_reason(screening.held),
                self._sweep_command,
                screening.token,
            )

    def _say_no_longer_held(self, prefixes: Collection[str], screening: Screening) -> None:
        reasons = {}
        for prefix in prefixes:
            verdicts = [
                screening.verdicts[resource.id]
                for resource in self._index.resources(prefix)
                if resource.id in screening.verdicts
            ]
            verdict = Verdict.weakest(verdicts) if verdicts else None
            if verdict is None or verdict.state is not State.HELD:  # else a listing will tell
                reasons[prefix] = verdict.evidence if verdict else "nothing of it is left here"
        if reasons:
            logger.bind(event="released", prefix=" ".join(sorted(reasons))).info(
                "no longer held: {}", _by_reason(reasons)
            )

    def _say_forgotten(self) -> None:
        if (forgotten := self._reconciler.forgotten) > self._forgotten:
            self._forgotten = forgotten
            logger.bind(event="forgotten", count=forgotten).warning(
                "more than {:,} topologies and prefixes had a row within a day; the oldest are"
                " forgotten, and count as never seen ({} so far)",
                MOST_REMEMBERED,
                forgotten,
            )

    def _say_unheard(self, prefix: str) -> None:
        reported = self._reconciler.reported(prefix)
        # Which of the databases it was in, nobody knows any more: all of them were deaf to it.
        deaf = [unheard.removed(prefix, reported=reported) for unheard in self._unheard]
        if all(deaf):
            count = self._unheard[0].count
            logger.bind(event="unheard", prefix=prefix, count=count).warning(
                "only a sweep found that topology {} is deleted; no feed told of it ({} so far)",
                prefix,
                count,
            )
            self._distrust()


def _by_reason(reasons: Mapping[str, str]) -> str:
    """Prefixes, each with its reason, those with the same reason together."""
    prefixes: dict[str, list[str]] = {}
    for prefix, reason in sorted(reasons.items()):
        prefixes.setdefault(reason, []).append(prefix)
    return "; ".join(f"{', '.join(those)}, because {reason}" for reason, those in prefixes.items())
