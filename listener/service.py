"""The listener: it wires the parts, keeps them alive, and stops them.

It is five kinds of thread round the decision path, each named and kept alive: the watch
(with its reader) keeps the index, the feed hints, a timer asks for sweeps, workers take prefixes
from the queue and reconcile them, and a pool does their requests to the engine. A hint
that any topology may have gone is a key too, :data:`EVERYTHING`, in a queue of its own: a thread
that never waits for Docker screens all prefixes in one question, at most ten times a second, and
what turns out orphaned is queued by its prefix.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from loguru import logger
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from listener.database.feeds.choice import PushOrPoll
from listener.engine.watch import Watch
from listener.errors import ConfigurationError, NoAnswer, ReaperError, may_pass, presentable
from listener.evidence import Answer, Evidence
from listener.health import Link
from listener.index import PrefixIndex
from listener.naming import Resource
from listener.reaper import Permit, Reaper, Removal
from listener.reconciler import Reconciler, Screening
from listener.settings import Settings
from listener.sides import choose_feed, open_sides
from listener.telemetry.logs import RemovalLog
from listener.unheard import Unheard
from listener.workqueue import WorkQueue

EVERYTHING: Final = "*"
"""The queue's key for "any prefix may have gone"."""
SCREEN_SPACING = 0.1
"""Seconds between two screenings; the first of a series is not delayed."""
RECONNECT_WAIT = wait_random_exponential(multiplier=0.1, max=5.0)
RECONNECT_PAUSE = 0.05
"""Seconds before a connection that ended is made again; doubled while it does not last."""
SPREAD = 0.5
"""Seconds over which the listeners of all hosts come back to a database that cut them off."""
STABLE = 1.0
"""A connection that lasted for so many seconds is made again without delay; also the longest
pause."""


class Listener:
    """Removes what belongs to a topology as soon as its row disappears, until it is stopped.

    Args:
        settings: where Docker and the database are.
        prefixes: look at these only.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, settings: Settings, *, prefixes: Collection[str] | None = None) -> None:
        self._settings = settings
        self._engine, self._topologies = open_sides(settings)
        self._index = PrefixIndex(only=prefixes)
        self._prefixes = WorkQueue()
        self._screenings = WorkQueue()
        self._wake = threading.Condition()  # guards both queues
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._threads: list[threading.Thread] = []
        # Twice as many as one topology may take: one that hangs must not stop the others.
        self._removals = ThreadPoolExecutor(2 * settings.workers, "remove")
        self._docker = Link("Docker")
        self._database = Link("the database")
        self._log = RemovalLog()
        self._held: dict[str, str] = {}
        self._unheard = Unheard()
        self._heard_by = ""
        self._failure: ReaperError | None = None
        self._lists = self._lists_screened = 0
        self._screened_at = 0.0
        self._watch = Watch(self._engine, self._index, appeared=self._appeared, listed=self._listed)
        self._feed = choose_feed(settings, self._topologies)
        self._reaper = Reaper(self._engine, self._removals, settings.workers)
        self._reconciler = Reconciler(
            index=self._index,
            ask=self._ask,
            evidence=Evidence(settings.grace),
            reap=self._reap,
            clock=time.monotonic,
        )

    def start(self) -> None:
        """Start listening and return at once; what cannot be reached is waited for."""
        loops = [
            ("watch", lambda: self._keep(self._docker, self._connect_watch, self._watch.follow)),
            ("feed", self._keep_feed),
            ("timer", self._keep_time),
            ("screen", lambda: self._work(self._screenings, self._screen)),
        ]
        loops += [
            (f"reconcile-{n}", lambda: self._work(self._prefixes, self._reconcile))
            for n in range(self._settings.workers)
        ]
        for name, loop in loops:
            thread = threading.Thread(target=self._supervise, args=(loop,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        logger.bind(event="started").info(
            "listening to {} and {}", self._settings.docker_host, self._topologies.name
        )

    def sweep_now(self) -> None:
        """Ask for a full sweep: a new listing, then a question about everything in it."""
        self._watch.relist()

    def stop(self, timeout: float = 2.0) -> bool:
        """Stop listening; a removal that the engine has begun is left to it.

        Returns:
            Whether every thread ended within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._stop.set()
        self._watch.close()
        self._feed.close()
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._removals.shutdown(wait=False)
        self._topologies.close()
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is stopped; returns False if ``timeout`` seconds passed first.

        Raises:
            ConfigurationError: it stopped by itself, for the database does not allow what was
                asked for.
        """
        stopped = self._stop.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return stopped

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Block until the first sweep is done; False if ``timeout`` seconds passed first."""
        return self._ready.wait(timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What wakes it. Nothing here decides anything.

    def _appeared(self, prefix: str) -> None:
        self._add(self._prefixes, prefix, hasten=True)

    def _listed(self) -> None:
        self._docker.succeeded()
        logger.bind(event="listed").debug("listed: {} resources of topologies", len(self._index))
        self._lists += 1
        self._look_at_everything()

    def _connect_watch(self) -> None:
        self._watch.connect()
        if self._stop.is_set():
            self._watch.close()  # stop() may have looked before there was anything to close

    def _keep_feed(self) -> None:
        self._keep(self._database, self._connect_feed, self._follow_feed, SPREAD)

    def _connect_feed(self) -> None:
        self._feed.connect()
        if self._stop.is_set():
            self._feed.close()
        if self._feed.name != self._heard_by:
            self._heard_by = self._feed.name
            logger.bind(event="feed", feed=self._heard_by).info(
                "deletions are heard of by {}", self._heard_by
            )

    def _follow_feed(self) -> None:
        try:
            self._feed.follow(self._hint, self._stop)
        finally:
            self._unheard.lost()

    def _hint(self, deleted: Collection[str] | None = None) -> None:
        if deleted is None:
            self._unheard.heard(time.monotonic())
            self._look_at_everything()
        else:
            for prefix in self._reconciler.report(deleted):
                self._add(self._prefixes, prefix, hasten=True)

    def _look_at_everything(self) -> None:
        spacing = self._screened_at + SCREEN_SPACING - time.monotonic()
        self._add(self._screenings, EVERYTHING, max(0.0, spacing), hasten=True)

    def _keep_time(self) -> None:
        while not self._stop.wait(self._settings.sweep_interval):
            self.sweep_now()

    def _add(self, queue: WorkQueue, key: str, delay: float = 0.0, *, hasten: bool = False) -> None:
        with self._wake:
            queue.add(key, time.monotonic() + delay, hasten=hasten)
            self._wake.notify_all()

    # Keeping a connection, and keeping a thread.

    def _keep(
        self,
        link: Link,
        connect: Callable[[], None],
        follow: Callable[[], None],
        spread: float = 0.0,
    ) -> None:
        """Connect with growing pauses, follow until the connection ends, and so on.

        Args:
            link: is told.
            connect: may be retried.
            follow: blocks.
            spread: seconds over which the listeners of many hosts come back.
        """

        def say(state: RetryCallState) -> None:
            if state.outcome is not None:
                link.failed(state.outcome.exception())

        retrying = Retrying(
            retry=retry_if_exception(may_pass),
            wait=RECONNECT_WAIT,
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=say,
        )
        pause = 0.0
        while not self._stop.wait(pause):
            connected, lost = math.inf, None
            try:
                retrying(connect)
                connected = time.monotonic()
                follow()
            except RetryError:
                return
            except ConfigurationError as error:
                self._give_up(error)
                return
            except ReaperError as error:
                lost = error
            stable = time.monotonic() - connected >= STABLE
            if lost is not None:
                logger.bind(event="lost", side=link.name, error=presentable(lost)).log(
                    "INFO" if stable else "DEBUG",
                    "{} broke off and is connected anew: {}",
                    link.name,
                    presentable(lost),
                )
            if stable:
                pause = random.uniform(0, spread)  # noqa: S311 - not all listeners at once
            else:
                pause = min(max(2 * pause, RECONNECT_PAUSE), STABLE)

    def _give_up(self, error: ReaperError) -> None:
        """Stop by itself; :meth:`wait` says why."""
        self._failure = error
        self._stop.set()
        with self._wake:
            self._wake.notify_all()

    def _supervise(self, loop: Callable[[], None]) -> None:
        """Run a loop until the end; a defect in it is logged, and the loop started again."""
        while not self._stop.is_set():
            try:
                loop()
            except Exception:
                if not self._stop.is_set():
                    logger.exception("a loop failed and is started again")
                    self._stop.wait(1.0)

    # The work.

    def _work(self, queue: WorkQueue, handle: Callable[[str], bool]) -> None:
        """Take keys and handle them; what is not finished is tried again later."""
        while (key := self._take(queue)) is not None:
            finished = False
            try:
                finished = handle(key)
            finally:
                with self._wake:
                    if finished:
                        queue.done(key)
                    else:
                        queue.retry(key, time.monotonic())
                    self._wake.notify_all()

    def _take(self, queue: WorkQueue) -> str | None:
        with self._wake:
            while not self._stop.is_set():
                now = time.monotonic()
                if (key := queue.take(now)) is not None:
                    return key
                due = queue.next_due()
                self._wake.wait(None if due is None else due - now)
        return None

    def _ask(self, prefixes: Iterable[str]) -> Answer:
        if self._stop.is_set():
            raise NoAnswer("the listener is stopping")
        try:
            answer = self._topologies.ask(prefixes)
        except NoAnswer as error:
            self._database.failed(error)
            raise
        self._database.succeeded()
        return answer

    def _screen(self, _everything: str) -> bool:
        self._screened_at = time.monotonic()
        # A listing is the proof that Docker is there: what failed for want of it goes on at once.
        lists = self._lists
        fresh_list = lists != self._lists_screened
        try:
            screening = self._reconciler.screen()
        except NoAnswer:
            return False
        self._lists_screened = lists
        self._unheard.screened(
            self._screened_at,
            screening.live,
            screening.orphans.keys(),
            # Polling tells of nothing between two hints.
            swept=fresh_list and self._heard_by != "poll",
        )
        for prefix in screening.orphans:
            self._add(self._prefixes, prefix, hasten=fresh_list)
        for prefix, wait in screening.waiting.items():
            self._add(self._prefixes, prefix, wait)
        for prefix in screening.reported:
            self._add(self._prefixes, prefix, hasten=True)
        self._say_held(screening)
        if fresh_list and not self._ready.is_set():
            self._ready.set()
            logger.bind(event="ready").info(
                "ready: {} live topologies on this host, {} to remove",
                len(screening.live),
                len(screening.orphans),
            )
        return True

    def _say_held(self, screening: Screening) -> None:
        if screening.held == self._held:
            return
        self._held = dict(screening.held)
        for reason in sorted(set(self._held.values())):
            prefixes = sorted(prefix for prefix, why in self._held.items() if why == reason)
            logger.bind(event="held", prefix=" ".join(prefixes), token=screening.token).error(
                "held and not removed, because {}: {}; if these topologies are to go, run"
                " topology-reaper sweep --confirm {}",
                reason,
                ", ".join(prefixes),
                screening.token,
            )

    def _say_unheard(self, prefix: str) -> None:
        if self._unheard.removed(prefix, reported=self._reconciler.reported(prefix)):
            count = self._unheard.count
            logger.bind(event="unheard", prefix=prefix, count=count).warning(
                "only a sweep found that topology {} is deleted; {} did not tell ({} so far)",
                prefix,
                self._heard_by,
                count,
            )
            if isinstance(self._feed, PushOrPoll):
                self._feed.distrust()

    def _reap(self, doomed: Iterable[Resource], permit: Permit) -> Sequence[Removal]:
        def unless_stopping(resource: Resource, *, fresh: bool) -> bool:
            return not self._stop.is_set() and permit(resource, fresh=fresh)

        return self._reaper.reap(doomed, unless_stopping)

    def _reconcile(self, prefix: str) -> bool:
        if not self._docker.up:
            return True  # nothing can be removed; the listing that ends this brings it back
        try:
            outcome = self._reconciler.reconcile(prefix)
        except NoAnswer:
            self._look_at_everything()  # once there is an answer again, this one is part of it
            return True
        self._log.write(prefix, outcome, stopping=self._stop.is_set())
        if outcome.removals and not outcome.unfinished:
            self._say_unheard(prefix)
        if outcome.wait is not None:
            self._add(self._prefixes, prefix, outcome.wait)
        if outcome.again is not None:
            self._add(self._prefixes, prefix, outcome.again, hasten=True)
        if outcome.held:
            self._look_at_everything()
        return not outcome.unfinished
