"""One full sweep: list, ask, remove what is orphaned, report.

The decision path is the listener's own; only what surrounds it differs. There is no time to watch a
row's absence last, so the age of a resource stands for it; for a delay nothing can, so with one
nothing is removed. Instead of a queue each prefix is looked at a few times while a removal is
pending.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import TypeVar

from loguru import logger
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer, Observers, Reconciled
from listener.control.reaper import Reaper
from listener.control.reconciler import Reconciler
from listener.core.evidence import LOOKS_APART, Memory
from listener.core.judge import Judge
from listener.core.outcome import Outcome, Screening
from listener.core.report import Report
from listener.engine.client import Engine
from listener.errors import ConfigurationError, NoAnswer, may_pass, presentable
from listener.runtime.build import Database, open_databases, open_engine, open_judge, open_tables
from listener.runtime.peers import OtherListeners
from listener.runtime.state.history import History
from listener.runtime.state.ledger import StateDirectory
from listener.settings import Settings
from listener.telemetry.logs import RemovalLog

LOOKS = 5
"""How often a prefix is looked at while a removal of it is pending."""
WAIT = wait_random_exponential(multiplier=0.1, max=5.0)

Value = TypeVar("Value")


def sweep(
    settings: Settings,
    *,
    prefixes: Collection[str] | None = None,
    confirm: str | None = None,
    observer: Observer | None = None,
) -> Report:
    """One full sweep: list, ask, remove what is orphaned.

    Args:
        settings: where Docker and the databases are; with ``dry_run`` nothing is removed.
        prefixes: look at these only.
        confirm: the token that releases what is held.
        observer: is told what was found and removed.

    Raises:
        ConfigurationError: an option cannot be used, or the token is not the one of what is held.
        EngineError: Docker could not be reached within ``settings.timeout``.
        NoAnswer: a database could not.
    """
    started = time.monotonic()
    engine = open_engine(settings)
    tables = open_tables(settings)
    with closing(StateDirectory(settings.state_path)) as state, ExitStack() as stack:
        databases = open_databases(settings, tables, state)
        for database in databases:
            stack.callback(database.topologies.close)
        observers = Observers(History(state.path), RemovalLog(), observer or Observer())
        report, news = _sweep(engine, databases, settings, prefixes, confirm, observers)
        # Only now, so that a listener that is started meanwhile can have the folder. What one has
        # written since is newer than what was read here.
        if not settings.dry_run and state.lock() is None:
            for number, memory in news.items():
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
) -> tuple[Report, Mapping[int, Memory]]:
    index = PrefixIndex()
    others = OtherListeners(lambda: engine.mark)
    judge = open_judge(settings, databases, peers=others.ask)
    with closing(others), ThreadPoolExecutor(settings.workers, "remove") as pool:
        reconciler = Reconciler(
            index=index,
            judge=judge,
            reap=Reaper(engine, pool, settings.workers).reap,
            read=engine.read,
            clock=time.monotonic,
            engine_now=reach(engine.now, settings.timeout),
        )
        for database in databases:
            reach(partial(database.topologies.ask, ()), settings.timeout)
        index.replace(reach(engine.resources, settings.timeout))
        screening = reach(lambda: reconciler.screen(prefixes, listed=True), settings.timeout)
        if confirm is not None:
            _release(judge, screening, confirm)
            screening = reconciler.screen(prefixes)
        short = [v.wait for v in screening.waiting.values() if v.wait <= LOOKS_APART]
        if short:
            time.sleep(max(short))
            screening = reach(lambda: reconciler.screen(prefixes), settings.timeout)
        report = Report.of(screening, dry_run=settings.dry_run)
        observer.screened(screening, None)
        if not settings.dry_run:
            _remove(screening.orphans, reconciler, report, settings, observer)
        return report, reconciler.news(everything=True)


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


def _remove(
    orphans: Collection[str],
    reconciler: Reconciler,
    report: Report,
    settings: Settings,
    observer: Observer,
) -> None:
    """Reconcile these prefixes side by side; what is pending is looked at a few times more."""
    told_at = time.monotonic()

    def look(prefix: str) -> Outcome:
        began = time.monotonic()
        outcome = reconciler.reconcile(prefix)
        now = time.monotonic()
        report.add(outcome.removals)
        observer.reconciled(Reconciled(prefix, outcome, now - began, now - told_at))
        return outcome

    def reconcile(prefix: str) -> list[str]:
        retrying = Retrying(
            retry=retry_if_result(lambda outcome: outcome.pending),
            wait=WAIT,
            stop=stop_after_attempt(LOOKS),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            return retrying(look, prefix).errors
        except NoAnswer as error:
            return [f"topology {prefix}: {error}"]

    with ThreadPoolExecutor(settings.workers, "reconcile") as pool:
        for errors in pool.map(reconcile, orphans):
            report.errors += errors
    for names in (
        report.containers_removed,
        report.networks_removed,
        report.disconnected,
        report.errors,
    ):
        names.sort()


def reach(call: Callable[[], Value], timeout: float) -> Value:
    """Try until it answers; what cannot pass is raised at once, else the last error in the end.

    Args:
        call: may be repeated.
        timeout: seconds after which no further attempt is made.
    """

    def say(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            error = presentable(state.outcome.exception())
            logger.bind(event="waiting", error=error).warning(
                "waiting up to {:g} s: {}", timeout, error
            )

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        wait=WAIT,
        stop=stop_before_delay(timeout),
        before_sleep=say,
        reraise=True,
    )
    return retrying(call)
