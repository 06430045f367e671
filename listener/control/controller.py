"""What the listener does next, one step at a time.

Everything that happens, an event, a listing, a hint, becomes a key in one of two lanes, and the
work on a key is one call. A hint that any topology may have gone is a key too, :data:`EVERYTHING`,
in the screening lane: all prefixes are screened in one question that never waits for Docker, at
most ten times a second, and what turns out orphaned is queued by its prefix in the other lane,
where it is reconciled. :data:`IMAGES`, in that other lane, follows a removal and a listing
where images are to go as well: they are one key, so one worker at most waits for their list, and
nothing waits for it.

There is no thread, socket or clock in here: the listener brings its own, and a test plays any order
of steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final

from listener.control.lane import Lane
from listener.control.missed import MissedDeletions
from listener.control.observer import Observer, Reconciled, Sweep
from listener.control.reconciler import Reconciler
from listener.core.evidence import Memory
from listener.core.once import Once
from listener.core.outcome import Outcome, Screening
from listener.core.workqueue import DONE, FAILED, Next
from listener.errors import EngineError, NoAnswer, presentable

EVERYTHING: Final = "*"
"""The key for "any prefix may have gone"."""
IMAGES: Final = "images"
"""The key for "of some topologies there may be nothing left but images"."""
SCREEN_SPACING = 0.1
"""Seconds between two screenings; the first of a series is not delayed."""
OBSERVE_EVERY = 2.0
"""Seconds between two screenings while an absence has to last: a longer silence is an outage."""


class Controller:
    """Turns what happens into work, and does it.

    Args:
        reconciler: does the work on a prefix.
        clock: seconds, monotonic; the same as the reconciler's.
        docker_up: whether anything could be removed.
        learned: called when there may be :meth:`unsaved` to be kept.
        distrust: called when no feed has told of a deletion.
        relist: called when a listing is needed to tell what is ours.
        feeds: how many databases tell of deletions.
        observer: is told what was done.
        only: look at these prefixes only; None: at all.
        attempts: for a single sweep, how often a prefix is tried while a removal of it is pending;
            what failed otherwise is not tried again then. None: for ever.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        *,
        clock: Callable[[], float],
        docker_up: Callable[[], bool] = lambda: True,
        learned: Callable[[], None] = lambda: None,
        distrust: Callable[[], None] = lambda: None,
        relist: Callable[[], None] = lambda: None,
        feeds: int = 1,
        observer: Observer | None = None,
        only: Collection[str] | None = None,
        attempts: int | None = None,
    ) -> None:
        self.screen_lane = Lane(self._screen, clock)
        self.reconcile_lane = Lane(self._reconcile, clock, attempts)
        self.ready = threading.Event()
        """Set once the first sweep is done."""
        self._reconciler = reconciler
        self._clock = clock
        self._docker_up = docker_up
        self._learned = learned
        self._distrust = distrust
        self._relist = relist
        self._observer = observer or Observer()
        self._only = only
        self._no_images = Once()
        self._retries_failures = attempts is None
        self._missed = [MissedDeletions() for _ in range(feeds)]
        self._held: Collection[str] = ()
        self._lists = self._lists_screened = 0
        self._list = Sweep("", 0.0)
        self._screened_at = -SCREEN_SPACING
        # When it was first said that any may have gone; and, by prefix, that this one has.
        self._hinted_at: float | None = None
        self._noticed_at: dict[str, float] = {}

    # What happens. Nothing here decides anything.

    def appeared(self, prefix: str) -> None:
        """Something with this prefix is new on this host."""
        self._noticed_at.setdefault(prefix, self._clock())
        self.reconcile_lane.add(prefix, hasten=True)

    def vanished(self, prefix: str) -> None:
        """Something with this prefix is gone from this host."""
        if prefix in self._reconciler.late():
            self.reconcile_lane.add(prefix, hasten=True)
        if prefix in self._held:
            self._look_at_everything()  # so that it is said when nothing of it is left

    def listed(self, cause: str, seconds: float) -> None:
        """The index was filled from a full listing: a sweep begins.

        Args:
            cause: why there was a listing.
            seconds: how long it took.
        """
        self._observer.listed(cause, len(self._reconciler.index))
        self._list = Sweep(cause, seconds)
        self._lists += 1
        self._look_at_everything()
        if self._reconciler.images.wanted:
            self.reconcile_lane.add(IMAGES, hasten=True)

    def hinted(
        self,
        database: int,
        deleted: Collection[str] | None = None,
        *,
        torn_down: bool = False,
        polled: bool = False,
        lag: float | None = None,
    ) -> None:
        """A feed says that rows may have gone.

        Args:
            database: its number.
            deleted: the ids that it reported deleted; None: it may be any.
            torn_down: they are not deleted, but their status is said to be that.
            polled: nobody told it.
            lag: seconds since the commit that it is about, if they are known.
        """
        if lag is not None:
            self._observer.hinted(lag)
        if deleted is None:
            if not polled:  # between two polls there is nothing to be heard
                self._missed[database].heard(self._clock())
            self._look_at_everything()
        elif torn_down:
            for prefix in self._reconciler.note_teardowns(database, deleted):
                self.reconcile_lane.add(prefix, hasten=True)
        else:
            for prefix in self._reconciler.note_deletions(database, deleted):
                self._noticed_at.setdefault(prefix, self._clock())
                self.reconcile_lane.add(prefix, hasten=True)

    def missed(self, database: int) -> int:
        """How many deletions in this database only a sweep has found."""
        return self._missed[database].count

    def feed_lost(self, database: int, *, broken: bool) -> None:
        """A feed is not there until it hints again.

        Args:
            database: its number.
            broken: it did not end by itself.
        """
        self._missed[database].lost()
        if broken:
            self._reconciler.interrupted(database)

    def unsaved(self, *, everything: bool = False) -> Mapping[int, Memory]:
        """What the next run should know, by database; see :meth:`Judge.unsaved`."""
        return self._reconciler.unsaved(everything=everything)

    def _observe(self, wait: float) -> None:
        """Ask about everything again while an absence has to last for so many seconds more."""
        self.screen_lane.add(EVERYTHING, min(max(wait, SCREEN_SPACING), OBSERVE_EVERY))

    def _look_at_everything(self) -> None:
        if self._hinted_at is None:
            self._hinted_at = self._clock()
        spacing = self._screened_at + SCREEN_SPACING - self._clock()
        self.screen_lane.add(EVERYTHING, max(0.0, spacing), hasten=True)

    # The work.

    def _screen(self, _everything: str) -> Next:
        self._screened_at = self._clock()
        hinted_at, self._hinted_at = self._hinted_at, None
        # A listing is the proof that Docker is there: what failed for want of it goes on at once.
        lists = self._lists
        fresh_list = lists != self._lists_screened
        for prefix in self._reconciler.unfinished:  # there may be nothing left of it to ask about
            self.reconcile_lane.add(prefix, hasten=fresh_list)
        try:
            screening = self._reconciler.screen(self._only, listed=fresh_list)
        except NoAnswer as error:
            self._hinted_at = hinted_at
            self._learned()
            self._observer.failed("", error)
            return FAILED
        self._lists_screened = lists
        gone = screening.orphans.keys() - screening.live  # of a row that is there none is to tell
        for missed in self._missed:
            missed.screened(self._screened_at, screening.live, gone, swept=fresh_list)
        self._forget_noticed(screening)
        for prefix in screening.orphans:
            self._noticed_at.setdefault(prefix, hinted_at or self._screened_at)
            self.reconcile_lane.add(prefix, hasten=fresh_list)
        if screening.waiting:
            self._observe(min(verdict.wait for verdict in screening.waiting.values()))
        if any(verdict.timed for verdict in screening.verdicts.values()):
            self._observe(OBSERVE_EVERY)  # a removal may take longer than an outage
        for prefix, wait in screening.reported.items():
            self.reconcile_lane.add(prefix, wait, hasten=True)
        self._learned()  # may wait for the disk: after what is to be removed, before we say ready
        self._held = frozenset(screening.held)
        if screening.unconfirmed:
            self._relist()
        took = self._list.seconds + self._clock() - self._screened_at
        self._observer.screened(screening, Sweep(self._list.cause, took) if fresh_list else None)
        if fresh_list and not self.ready.is_set():
            self.ready.set()
            self._observer.ready(screening)
        return DONE

    def _reconcile(self, prefix: str) -> Next:
        if not self._docker_up():
            return DONE  # nothing can be removed; the listing that ends this brings it back
        if prefix == IMAGES:
            return self._reap_images()
        began = self._clock()
        try:
            outcome = self._reconciler.reconcile(prefix)
        except NoAnswer as error:
            self._learned()
            self._look_at_everything()  # once there is an answer again, this one is part of it
            self._observer.failed(prefix, error)
            return DONE
        self._learned()
        now = self._clock()
        noticed_at = self._noticed_at.get(prefix, began)
        if not outcome.unfinished:
            self._noticed_at.pop(prefix, None)
        self._observer.reconciled(Reconciled(prefix, outcome, now - began, now - noticed_at))
        images = self._reconciler.images
        if images.wanted and images.note(prefix, outcome):
            self.reconcile_lane.add(IMAGES)
        if outcome.removals and not outcome.unfinished:
            self._look_for_missed(prefix)
        if outcome.wait is not None:
            self._observe(outcome.wait)
        if outcome.held:
            self._look_at_everything()
        return outcome.next if outcome.pending or self._retries_failures else DONE

    def _reap_images(self) -> Next:
        began, left = self._clock(), ""
        outcomes: Mapping[str, Outcome] = {}
        try:
            outcomes = self._reconciler.images.reap(self._only)
        except (EngineError, NoAnswer) as error:
            left = f"images may be left: {presentable(error)}"
        self._learned()
        if self._no_images.is_new(left) and left:
            self._observer.reconciled(Reconciled("", Outcome(left=left), 0.0, 0.0))
        took = self._clock() - began
        for prefix, outcome in outcomes.items():
            self._observer.reconciled(Reconciled(prefix, outcome, took, took))
        again = any(
            o.unfinished if self._retries_failures else o.pending for o in outcomes.values()
        )
        return FAILED if again else DONE  # the next sweep looks again as well

    def _forget_noticed(self, screening: Screening) -> None:
        """What was noticed before the question, and is not to go: a later deletion is another."""
        to_go = screening.orphans.keys() | screening.reported.keys() | self._reconciler.unfinished
        for prefix, noticed_at in list(self._noticed_at.items()):
            if prefix not in to_go and noticed_at < self._screened_at:
                self._noticed_at.pop(prefix, None)

    def _look_for_missed(self, prefix: str) -> None:
        reported = self._reconciler.reported(prefix)
        # Which of the databases it was in, nobody knows any more: all of them were deaf to it.
        deaf = [missed.removed(prefix, reported=reported) for missed in self._missed]
        if all(deaf):
            self._observer.missed(prefix, self._missed[0].count)
            self._distrust()
