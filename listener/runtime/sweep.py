"""One full sweep: list, ask, remove what is orphaned, report.

It is the listener's own controller, run until nothing is due. There is no time to watch a row's
absence last, so the age of a resource stands for it; for a delay nothing can, so with one nothing
is removed. For how long a row has been torn down, the ledger of a listener knows; these looks add a
second. What is pending is looked at a few times more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from functools import partial
from typing import TypeVar

from loguru import logger
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_before_delay,
    wait_random_exponential,
)

from listener.control.controller import Controller
from listener.control.inventory import PrefixIndex
from listener.control.lane import Lane
from listener.control.observer import Observer, Observers, Reconciled, Sweep
from listener.control.reaper import Permit, Reaper
from listener.control.reconciler import Reconciler
from listener.core.evidence import LOOKS_APART, Memory, Verdict
from listener.core.judge import Judge
from listener.core.numbers import plain
from listener.core.outcome import Outcome, Removal, Result, Screening
from listener.core.report import Report
from listener.core.resources import Kind, Resource
from listener.engine.client import Engine
from listener.errors import ConfigurationError, NoAnswer, may_pass, presentable
from listener.runtime.build import Database, open_databases, open_engine, open_judge, open_tables
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.state.directory import StateDirectory
from listener.runtime.state.history import History
from listener.settings import Settings
from listener.telemetry.removal_log import RemovalLog

LOOKS = 5
"""How often a prefix is looked at while a removal of it is pending."""
BETWEEN = 0.02
"""Seconds between two looks for something that is due."""
WAIT = wait_random_exponential(multiplier=0.1, max=5.0)

Value = TypeVar("Value")


def sweep(
    settings: Settings,
    *,
    prefixes: Collection[str] | None = None,
    confirm: str | None = None,
    observer: Observer | None = None,
    engine: Engine | None = None,
    alive: Collection[str] = (),
) -> Report:
    """One full sweep: list, ask, remove what is orphaned.

    Args:
        settings: where Docker and the databases are; with ``dry_run`` nothing is removed.
        prefixes: look at these only.
        confirm: the token that releases what is held.
        observer: is told what was found and removed.
        engine: the Docker Engine, if it is not the one that the settings name.
        alive: the ids of rows that the caller has just seen: what is theirs stays, whatever the
            databases answer.

    Raises:
        ConfigurationError: an option cannot be used, or the token is not the one of what is held.
        EngineError: Docker could not be reached within ``settings.timeout``.
        NoAnswer: a database could not.
    """
    started = time.monotonic()
    engine = engine or open_engine(settings)
    tables = open_tables(settings)
    with closing(StateDirectory(settings.state_path)) as state, ExitStack() as stack:
        stack.callback(engine.close)
        databases = open_databases(settings, tables, state)
        for database in databases:
            stack.callback(database.topologies.close)
        observers = Observers(History(state.path), RemovalLog(), observer or Observer())
        report, unsaved = _sweep(engine, databases, settings, prefixes, confirm, observers, alive)
        # Only now, so that a listener that is started meanwhile can have the folder. What one has
        # written since is newer than what was read here.
        if not settings.dry_run and state.lock() is None:
            for number, memory in unsaved.items():
                if databases[number].ledger.is_as_loaded():
                    databases[number].ledger.save(memory)
    report.duration_ms = round((time.monotonic() - started) * 1000, 1)
    return report


def _sweep(
    engine: Engine,
    databases: Sequence[Database],
    settings: Settings,
    prefixes: Collection[str] | None,
    confirm: str | None,
    observer: Observer,
    alive: Collection[str] = (),
) -> tuple[Report, Mapping[int, Memory]]:
    index, found = PrefixIndex(), Findings()
    engine_now = reach(engine.now, settings.timeout)
    for database in databases:
        reach(partial(database.topologies.ask, ()), settings.timeout)
    listing = reach(engine.listing, settings.timeout)
    index.replace(listing.resources)
    others = OtherListeners(lambda: listing.mark)
    judge = open_judge(settings, databases, peers=others.ask, alive=alive)
    observer = Observers(found, observer)
    with closing(others), ThreadPoolExecutor(settings.workers, "remove") as pool:
        reconciler = Reconciler(
            index=index,
            judge=judge,
            reap=found.would_reap
            if settings.dry_run
            else Reaper(engine, pool, settings.workers, time.monotonic).reap,
            read=engine.read,
            remove_volume=engine.remove_volume,
            list_images=engine.images if settings.images else None,
            dry_run=settings.dry_run,
            clock=time.monotonic,
            observer=observer,
            engine_now=engine_now,
        )
        controller = Controller(
            reconciler,
            clock=time.monotonic,
            observer=observer,
            only=prefixes,
            attempts=LOOKS,
        )
        controller.listed("asked", 0.0)
        screening = _screen(controller, found, settings.timeout)
        if confirm is not None:
            _release(judge, screening, confirm)
            controller.listed("asked", 0.0)
            screening = _screen(controller, found, settings.timeout)
        if short := [v.wait for v in screening.waiting.values() if v.wait <= LOOKS_APART]:
            time.sleep(max(short))
            screening = _screen(controller, found, settings.timeout)
        if confirm is not None and not settings.dry_run:
            _say_what_goes(screening)
        if settings.images or not settings.dry_run:
            _reconcile(controller, settings.workers)
        report = found.report(screening, dry_run=settings.dry_run)
        return report, controller.unsaved(everything=True)


class Findings(Observer):
    """What a sweep was told of its work. Safe to use from several threads."""

    def __init__(self) -> None:
        self.screening: Screening | None = None
        """The last one; None if there was no answer since."""
        self.errors: dict[str, NoAnswer] = {}
        """By prefix, why it could not be reconciled; the empty one stands for all."""
        self._lock = threading.Lock()
        self._removals: list[Removal] = []
        self._outcomes: dict[str, Outcome] = {}
        self._left: list[str] = []
        self._images: set[Resource] = set()
        self._verdicts: dict[str, Verdict] = {}

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:  # noqa: ARG002
        """Keep it."""
        self.screening = screening

    def reconciled(self, done: Reconciled) -> None:
        """Keep what was removed so far, and how the prefix stands."""
        with self._lock:
            self._removals += done.outcome.removals
            self._outcomes[done.prefix] = done.outcome
            self._verdicts.update(done.outcome.verdicts)
            if left := done.outcome.left:
                self._left.append(left)

    def would_reap(self, doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:  # noqa: ARG002
        """Take the place of a reaper in a dry run: keep what no screening tells of."""
        with self._lock:
            self._images.update(r for r in doomed if r.kind is Kind.IMAGE)
        return ()

    def failed(self, prefix: str, error: NoAnswer) -> None:
        """Keep why."""
        with self._lock:
            self.errors[prefix] = error
            self._outcomes.pop(prefix, None)  # what failed before has not been looked at again

    def report(self, screening: Screening, *, dry_run: bool) -> Report:
        """All of it, by what the last question found."""
        ended = (Result.REMOVED, Result.GONE)
        gone = {removal.resource.id for removal in self._removals if removal.result in ended}
        report = Report.of(screening, dry_run=dry_run, gone=gone)
        report.add(self._removals)
        report.would(self._images, self._verdicts)
        for outcome in self._outcomes.values():
            report.errors += outcome.errors
        report.errors += self._left
        report.errors += [f"--reap-torn-down: {why}" for why in screening.unread]
        report.errors += [f"topology {prefix}: {error}" for prefix, error in self.errors.items()]
        report.sort()
        return report


def _screen(controller: Controller, found: Findings, timeout: float) -> Screening:
    """Work in the screening lane until there is an answer.

    Raises:
        NoAnswer: there was none within ``timeout`` seconds.
    """
    lane, until = controller.screen_lane, time.monotonic() + timeout
    found.screening, waits = None, False
    while True:
        due = lane.next_due()
        time.sleep(max(0.0, (due or 0.0) - time.monotonic()))
        _work(lane)
        if found.screening is not None:
            return found.screening
        error, due = found.errors.pop(""), lane.next_due()
        if due is None or due >= until:
            raise error
        if not waits:
            waits = True
            _say_waiting(error, timeout)


def _reconcile(controller: Controller, workers: int) -> None:
    """Work in the reconciling lane until nothing is due any more.

    When it is interrupted, what has begun is ended, and nothing else begun.
    """
    lane, stop = controller.reconcile_lane, threading.Event()

    def work() -> None:
        _work(lane, stop)
        while len(lane) and not stop.is_set():
            time.sleep(BETWEEN)  # others are at work, or a pause has to pass
            _work(lane, stop)

    with ThreadPoolExecutor(workers, "reconcile") as pool:
        try:
            ended, _ = wait([pool.submit(work) for _ in range(workers)], None, FIRST_EXCEPTION)
            for worker in ended:
                worker.result()
        finally:
            stop.set()


def _work(lane: Lane, stop: threading.Event | None = None) -> None:
    """Work on everything that is due, one key after the other."""
    while (stop is None or not stop.is_set()) and (key := lane.take()) is not None:
        lane.work(key)


def _release(judge: Judge, screening: Screening, token: str) -> None:
    # A listener may hold what a sweep, which has seen no other table before, would not.
    absent = {*screening.held, *screening.waiting, *screening.orphans}
    if not absent:
        raise ConfigurationError("--confirm: nothing is held, so there is nothing to confirm")
    if not any(
        judge.release(prefixes, token, time.monotonic()) for prefixes in (screening.held, absent)
    ):
        raise ConfigurationError(
            f"--confirm: {token} does not fit what is held; look again with --dry-run"
        )


def _say_what_goes(screening: Screening) -> None:
    for prefix, doomed in sorted(screening.orphans.items()):
        logger.bind(event="confirmed", prefix=prefix, ids=[r.id for r in doomed]).info(
            "confirmed; about to remove of topology {}: {}", prefix, ", ".join(map(str, doomed))
        )


def reach(call: Callable[[], Value], timeout: float) -> Value:
    """Try until it answers; what cannot pass is raised at once, else the last error in the end.

    Args:
        call: may be repeated.
        timeout: seconds after which no further attempt is made.
    """

    def say(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            _say_waiting(state.outcome.exception(), timeout)

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        wait=WAIT,
        stop=stop_before_delay(timeout),
        before_sleep=say,
        reraise=True,
    )
    return retrying(call)


def _say_waiting(error: object, timeout: float) -> None:
    why = presentable(error)
    logger.bind(event="waiting", error=why).warning("waiting up to {} s: {}", plain(timeout), why)
