"""The listener: it wires the parts, keeps them alive, and stops them.

It is five kinds of thread round the controller, each named and kept alive: the watch (with its
reader) keeps the index, a feed for each database hints, a timer asks for sweeps, one thread screens
and some reconcile, and a pool does their requests to the engine.
"""

from __future__ import annotations

import math
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any, Final, Self

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

from listener.control.controller import Controller, Lane
from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer, Observers
from listener.control.reaper import Permit, Reaper
from listener.core.evidence import UNSEEN, Answer
from listener.core.judge import Ask
from listener.core.outcome import Removal
from listener.core.resources import Resource
from listener.databases.fallback import PushOrPoll
from listener.engine.client import REQUEST_TIMEOUT, Engine
from listener.engine.watch import Watch
from listener.errors import (
    ConfigurationError,
    EngineError,
    NoAnswer,
    ReaperError,
    may_pass,
    presentable,
)
from listener.runtime import command
from listener.runtime.build import (
    Database,
    open_databases,
    open_engine,
    open_judge,
    open_state,
    open_tables,
)
from listener.runtime.health import Link, Pulse
from listener.runtime.peers import HoldsSocket, OtherListeners
from listener.runtime.state.history import History
from listener.settings import Settings
from listener.telemetry.http.pages import routes
from listener.telemetry.http.server import Endpoint
from listener.telemetry.logs import RemovalLog
from listener.telemetry.metrics import Metrics
from listener.telemetry.socket import StatusSocket
from listener.telemetry.status import Board

VERSION: Final = version("topology-reaper")
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
        sweep_command: how an operator begins a sweep that releases what is held, where it is not
            simply one with these settings.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        prefixes: Collection[str] | None = None,
        sweep_command: str | None = None,
    ) -> None:
        self._settings = settings
        sweep_command = sweep_command or command.sweep_command(settings)
        self._engine = open_engine(settings)
        tables = open_tables(settings)
        self._state = open_state(settings)
        self._databases = open_databases(settings, tables, self._state)
        self._stop = threading.Event()
        self._failure: ReaperError | None = None
        self._threads: list[threading.Thread] = []
        self._pulses: dict[str, Pulse] = {}
        self._working = threading.local()
        # Twice as many as one topology may take: one that hangs must not stop the others.
        self._removals = ThreadPoolExecutor(2 * settings.workers, "remove")
        self._reaper = Reaper(self._engine, self._removals, settings.workers)
        self._docker = Link("Docker")
        self._saving = threading.Lock()
        self._started = time.time()
        self._index = index = PrefixIndex(only=prefixes)
        for database in self._databases:
            database.topologies.interest = index.prefixes
        self._board = Board(sweep_command)
        self._holds_socket = HoldsSocket(self._state.path, self._board.own_holds)
        self._others = OtherListeners(lambda: self._engine.mark, self._holds_socket.is_ours)
        self._dry_run = DryRun(self._engine)
        self._metrics = Metrics(self.status)
        self._log = RemovalLog()
        observers: list[Observer] = [self._log, self._board, self._metrics]
        if self._state.locked:  # what is told stands in the record already
            observers.insert(0, History(self._state.path))
        self._controller = Controller(
            index=index,
            judge=open_judge(settings, self._databases, self._asking, peers=self._others.ask),
            reap=self._dry_run.reap if settings.dry_run else self._reap,
            read=self._engine.read,
            clock=time.monotonic,
            docker_up=lambda: self._docker.up,
            learned=self._remember,
            distrust=self._distrust,
            relist=self.sweep_now,
            feeds=len(self._databases),
            observer=Observers(*observers),
            sweep_command=sweep_command,
        )
        self._watching = self._pulse("watch")
        self._watch = Watch(
            self._engine,
            index,
            appeared=self._controller.appeared,
            vanished=self._controller.vanished,
            listed=self._listed,
            alive=self._docker.proved,
            busy=self._watching,
        )
        self._status_socket = StatusSocket(self._state.path, self.status)
        address = settings.http_address
        self._endpoint = (
            Endpoint(*address, routes(self.status, self._metrics.render)) if address else None
        )

    def start(self) -> None:
        """Start listening and return at once; what cannot be reached is waited for."""
        controller, workers = self._controller, range(self._settings.workers)
        keep_watch = partial(
            self._keep, self._docker, self._connect_watch, self._watch.follow, self._watching
        )
        loops: list[tuple[str, Callable[[], None]]] = [
            ("watch", keep_watch),
            ("timer", self._keep_time),
            ("screen", self._worker("screen", controller.screening)),
            *(
                (f"reconcile-{n}", self._worker(f"reconcile-{n}", controller.reconciling))
                for n in workers
            ),
            *(
                (f"feed-{n}", partial(self._keep_feed, n, database, self._pulse(f"feed-{n}")))
                for n, database in enumerate(self._databases)
            ),
        ]
        logger.bind(event="started").info(
            "listening to {} and {}{}, with the policy {}{}",
            self._settings.docker_host,
            " and ".join(database.topologies.name for database in self._databases),
            ", removing nothing" if self._settings.dry_run else "",
            self._settings.policy,
            f": {UNSEEN}" if self._settings.policy == "absent" else "",
        )
        for name, loop in loops:
            supervised = partial(self._supervise, loop, self._pulse(name))
            thread = threading.Thread(target=supervised, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._status_socket.open(ours=self._state.locked)
        if self._endpoint is not None:
            self._endpoint.open()

    def sweep_now(self) -> None:
        """Ask for a full sweep: a new listing, then a question about everything in it."""
        self._watch.relist()

    def stop(self, timeout: float = 2.0) -> bool:
        """Stop listening; a removal that the engine has begun is left to it.

        Returns:
            Whether every thread ended within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._status_socket.close()
        if self._endpoint is not None:
            self._endpoint.close()
        self._end()
        self._watch.close()
        for database in self._databases:
            database.feed.close()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._removals.shutdown(wait=False)
        self._holds_socket.close()
        self._others.close()
        for database in self._databases:
            database.topologies.close()
        self._remember(everything=True)
        self._state.close()
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
        return self._controller.ready.wait(timeout)

    def stuck(self, limit: float) -> list[str]:
        """The loops that ended, or were at one piece of work, or failing, for over ``limit`` s."""
        ended = {t.name for t in self._threads if not t.is_alive()}
        failing = {p.name for p in self._pulses.values() if max(p.busy_for, p.failing_for) > limit}
        return sorted(ended | failing)

    def problems(self) -> list[str]:
        """Why it is not healthy, a few words each; nothing while it is."""
        limit = self._settings.unhealthy_after
        links = [self._docker, *(database.link for database in self._databases)]
        problems = [f"{link.name} is down" for link in links if link.down_for > limit]
        return problems + [f"{n} is stuck" for n in self.stuck(max(limit, 2 * REQUEST_TIMEOUT))]

    def status(self) -> dict[str, Any]:
        """What there is to know about it, as JSON can hold it: docs/status.md."""
        settings, controller, board = self._settings, self._controller, self._board.status()
        loads = controller.screening.load(), controller.reconciling.load()
        # What a topology had may be gone by now.
        subnets = [
            subnet
            for subnet in self._engine.subnets
            if subnet.prefix is None or self._index.get(subnet.network) is not None
        ]
        return {
            "version": VERSION,
            "host": socket.gethostname(),
            "time": time.time(),
            "started": self._started,
            "ready": controller.ready.is_set(),
            "dry_run": settings.dry_run,
            "problems": self.problems(),
            "docker": {**self._docker.status(), "address": settings.docker_host},
            "databases": [
                {**database.status(), "unheard": controller.unheard(number)}
                for number, database in enumerate(self._databases)
            ],
            "topologies": self._board.topologies(self._index, subnets),
            "held": self._board.held(self._index),
            "queue": {
                "depth": sum(load.waiting for load in loads),
                "oldest_s": max(load.oldest for load in loads),
                "longest_work_s": max(load.longest for load in loads),
                "retries": sum(load.retries for load in loads),
            },
            "subnets": [
                {"network": s.name, "subnet": s.address, "prefix": s.prefix} for s in subnets
            ],
            "reaps": board["reaps"],
            "sweeps": {**board["sweeps"], "interval_s": settings.sweep_interval},
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What wakes it.

    def _listed(self, cause: str, seconds: float) -> None:
        self._docker.succeeded()
        self._holds_socket.open(self._engine.mark)
        self._controller.listed(cause, seconds)

    def _connect_watch(self) -> None:
        self._watch.connect()
        self._docker.connections += 1
        if self._stop.is_set():
            self._watch.close()  # stop() may have looked before there was anything to close

    def _keep_feed(self, number: int, database: Database, pulse: Pulse) -> None:
        feed, heard_by, caught_up = database.feed, "", False
        hinted = partial(self._controller.hinted, number)

        def hint(deleted: Collection[str] | None = None) -> None:
            nonlocal caught_up
            with pulse:
                database.link.proved()
                hinted(deleted, polled=feed.name == "poll")
                # The first hint of a connection follows no commit.
                if caught_up and (at := database.topologies.committed_at()) is not None:
                    self._metrics.hinted(max(0.0, time.time() - at))
                caught_up = True

        def connect() -> None:
            nonlocal heard_by, caught_up
            feed.connect()
            database.link.connections += 1
            caught_up = False
            if self._stop.is_set():
                feed.close()
            if feed.name != heard_by:
                heard_by = feed.name
                logger.bind(event="feed", feed=heard_by).info(
                    "deletions are heard of by {}", heard_by
                )

        def follow() -> None:
            broken = True
            try:
                feed.follow(hint, self._stop)
                broken = False
            finally:
                self._controller.feed_lost(number, broken=broken)

        self._keep(database.link, connect, follow, pulse, SPREAD)

    def _distrust(self) -> None:
        for database in self._databases:
            if isinstance(database.feed, PushOrPoll):
                database.feed.distrust()

    def _keep_time(self) -> None:
        pulse = self._pulse("timer")
        while not self._stop.wait(self._settings.sweep_interval):
            with pulse:
                self._watch.relist("timer")
                self._remember(everything=True)

    # Keeping a connection, and keeping a thread.

    def _keep(
        self,
        link: Link,
        connect: Callable[[], None],
        follow: Callable[[], None],
        pulse: Pulse,
        spread: float = 0.0,
    ) -> None:
        """Connect with growing pauses, follow until the connection ends, and so on.

        Args:
            link: is told.
            connect: may be retried.
            follow: blocks.
            pulse: beats for each attempt.
            spread: seconds over which the listeners of many hosts come back.
        """

        def say(state: RetryCallState) -> None:
            if state.outcome is not None:
                link.failed(state.outcome.exception())

        def attempt() -> None:
            with pulse:
                connect()

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
                retrying(attempt)
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
        self._end()

    def _end(self) -> None:
        """Tell every loop to end."""
        self._log.stopping = True
        self._stop.set()
        self._controller.screening.wake()
        self._controller.reconciling.wake()

    def _supervise(self, loop: Callable[[], None], pulse: Pulse) -> None:
        """Run a loop until the end; a defect in it is logged, and the loop started again."""
        while not self._stop.is_set():
            try:
                loop()
            except Exception:
                if not self._stop.is_set():
                    pulse.failed()
                    logger.bind(event="defect", loop=pulse.name).exception(
                        "a loop failed and is started again: {}", pulse.name
                    )
                    self._stop.wait(1.0)

    # The work.

    def _pulse(self, name: str) -> Pulse:
        """The pulse of the loop with this name."""
        return self._pulses.setdefault(name, Pulse(name))

    def _worker(self, name: str, lane: Lane) -> Callable[[], None]:
        pulse = self._pulse(name)

        def work() -> None:
            self._working.pulse = pulse
            while (key := lane.await_key(self._stop)) is not None:
                with pulse:
                    lane.work(key)

        return work

    def _remember(self, *, everything: bool = False) -> None:
        with self._saving:  # an older state must not overwrite a newer one
            for number, memory in self._controller.news(everything=everything).items():
                self._databases[number].ledger.save(memory)

    def _asking(self, database: Database) -> Ask:
        def ask(prefixes: Iterable[str]) -> Answer:
            if self._stop.is_set():
                raise NoAnswer("the listener is stopping")
            began = time.monotonic()
            try:
                answer = database.topologies.ask(prefixes)
            except NoAnswer as error:
                database.link.failed(error, asked_at=began)
                raise
            database.link.answered()
            return answer

        return ask

    def _reap(self, doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:
        pulse: Pulse = self._working.pulse

        def unless_stopping(resource: Resource, *, fresh: bool) -> bool:
            pulse.beat()  # a topology with hundreds of removals takes long, and is not stuck
            return not self._stop.is_set() and permit(resource, fresh=fresh)

        with self._board.reaping(doomed):
            return self._reaper.reap(doomed, unless_stopping)


class DryRun:
    """Removes nothing, and says once what would have been removed.

    Args:
        engine: is asked about what has to be read again before it is removed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def reap(self, doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:  # noqa: ARG002
        """Say what is new among these."""
        with self._lock:
            new = [resource for resource in doomed if resource.id not in self._said]
        ours = []
        for resource in new:
            try:
                is_ours = self._is_what_it_seems(resource)
            except EngineError:
                continue  # it is told of another time
            with self._lock:
                if resource.id not in self._said and is_ours:
                    ours.append(resource)
                self._said.add(resource.id)
        if ours:
            prefixes = " ".join(sorted({prefix for r in ours for prefix in r.prefixes}))
            logger.bind(event="would_remove", prefix=prefixes, ids=[r.id for r in ours]).info(
                "would remove of topology {}: {}", prefixes, ", ".join(map(str, ours))
            )
        return ()

    def _is_what_it_seems(self, resource: Resource) -> bool:
        if resource.settled:
            return True
        found = self._engine.read(resource)
        return found is not None and found.owners == resource.owners
