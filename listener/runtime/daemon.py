"""The listener: the parts, wired, on threads that a supervisor keeps alive.

The watch (with its reader) keeps the inventory, one thread looks up the subnets of new networks, a
feed for each database hints, a timer asks for sweeps, one thread screens and some reconcile, and a
pool does their requests to the engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from loguru import logger

from listener.control.controller import Controller
from listener.control.dry_run import DryRun
from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer, Observers
from listener.control.reaper import Permit, Reaper
from listener.control.reconciler import Reconciler
from listener.control.subnets import SubnetIndex
from listener.core.evidence import UNSEEN
from listener.core.outcome import Removal
from listener.core.resources import Resource
from listener.core.status import Status
from listener.engine.watch import Watch
from listener.errors import EngineError, presentable
from listener.runtime import command
from listener.runtime.build import (
    hear,
    open_databases,
    open_engine,
    open_judge,
    open_state,
    open_tables,
)
from listener.runtime.feeds import FeedLoop
from listener.runtime.health import Link
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.peers.serving import HoldsSocket
from listener.runtime.snapshot import VERSION, Snapshots
from listener.runtime.state.history import History
from listener.runtime.supervisor import Supervisor
from listener.settings import Settings
from listener.telemetry.http.pages import routes
from listener.telemetry.http.server import Endpoint
from listener.telemetry.listener_log import ListenerLog
from listener.telemetry.metrics import Metrics
from listener.telemetry.removal_log import RemovalLog
from listener.telemetry.socket import StatusSocket
from listener.telemetry.status import StatusStore

TOPOLOGIES = 2
"""By what `--workers` is multiplied for the topologies that are worked on at once. Each waits twice
for the database, half of its time where that is 300 ms away: with 1, twenty took a sixth longer."""


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
        self._engine = open_engine(settings, once=False)
        tables = open_tables(settings, once=False)
        self._state = open_state(settings)
        index = PrefixIndex(only=prefixes)
        databases = open_databases(settings, tables, self._state)
        self._databases = hear(settings, databases, index.prefixes)
        self._docker = Link("Docker")
        self._saving = threading.Lock()
        self._said_stopped = False
        store = StatusStore(sweep_command)
        metrics = Metrics(self.status)
        observers: list[Observer] = [store, metrics, RemovalLog(), ListenerLog(sweep_command)]
        if self._state.locked:  # what is logged stands in the record already
            observers.insert(0, History(self._state.path))
        self._observer = Observers(*observers)
        self._supervisor = Supervisor(stopping=self._observer.stopping)
        self._holds_socket = HoldsSocket(self._state.path, store.own_holds)
        self._others = OtherListeners(lambda: self._watch.listing.mark, self._holds_socket.is_ours)
        self._at_once = TOPOLOGIES * settings.workers
        # One topology that hangs takes a quarter of them, so the others go on.
        self._removals = ThreadPoolExecutor(2 * self._at_once, "remove")
        self._reaper = Reaper(self._engine, self._removals, settings.workers, time.monotonic)
        reconciler = Reconciler(
            index=index,
            judge=open_judge(
                settings,
                self._databases,
                asks=[database.asking(self._supervisor.stop) for database in self._databases],
                peers=self._others.ask,
            ),
            reap=DryRun(self._engine.read).reap if settings.dry_run else self._reap,
            read=self._engine.read,
            remove_volume=self._engine.remove_volume,
            list_images=self._engine.images if settings.images else None,
            dry_run=settings.dry_run,
            clock=time.monotonic,
            learned=self._remember,
            observer=self._observer,
        )
        self._controller = Controller(
            reconciler,
            only=prefixes,
            clock=time.monotonic,
            docker_up=lambda: self._docker.up,
            learned=self._remember,
            distrust=self._distrust,
            relist=self.sweep_now,
            feeds=len(self._databases),
            observer=self._observer,
        )
        self._subnets = SubnetIndex(self._engine.subnets, time.monotonic)
        self._watch = Watch(
            self._engine,
            index,
            subnets=self._subnets,
            appeared=self._controller.appeared,
            vanished=self._controller.vanished,
            listed=self._listed,
            alive=self._docker.proved,
            busy=self._supervisor.pulse("watch"),
        )
        self._snapshots = Snapshots(
            settings, self._engine, self._docker, self._databases, self._controller, index, store
        )
        self._status_socket = StatusSocket(self._state.path, self.status)
        address = settings.http_address
        self._endpoint = (
            Endpoint(*address, routes(self.status, metrics.render)) if address else None
        )

    def start(self) -> None:
        """Start listening and return at once; what cannot be reached is waited for."""
        self._say_started()
        supervisor, controller = self._supervisor, self._controller
        supervisor.start("watch", self._keep_watch)
        supervisor.start("timer", self._keep_time)
        supervisor.work("subnets", self._subnets.lane)
        supervisor.work("screen", controller.screen_lane)
        for number in range(self._at_once):
            supervisor.work(f"reconcile-{number}", controller.reconcile_lane)
        for number, database in enumerate(self._databases):
            pulse = supervisor.pulse(f"feed-{number}")
            feed = FeedLoop(number, database, controller, supervisor, pulse)
            supervisor.start(pulse.name, feed.run)
        self._status_socket.open(ours=self._state.locked)
        if self._endpoint is not None:
            self._endpoint.open()

    def sweep_now(self) -> None:
        """Ask for a full sweep: a new listing, then a question about everything in it."""
        self._watch.relist()

    def stop(self, timeout: float = 2.0, *, reason: str = "stop() was called") -> bool:
        """Stop listening; a removal that the engine has begun is left to it.

        Args:
            timeout: seconds after which what hangs is not waited for.
            reason: for the log, unless it has stopped by itself.

        Returns:
            Whether every thread ended within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._supervisor.end()
        self._watch.close()
        for database in self._databases:
            database.feed.close()
        ended = self._supervisor.join(deadline)
        self._status_socket.close()  # until now it was told that we are stopping
        if self._endpoint is not None:
            self._endpoint.close()
        self._removals.shutdown(wait=False)
        self._holds_socket.close()
        self._others.close()
        for database in self._databases:
            database.topologies.close()
        self._remember(everything=True)
        self._state.close()
        self._observer.stopped()
        if not self._said_stopped:
            self._said_stopped = True
            why = presentable(self._supervisor.failure or reason)
            logger.bind(event="stopped", reason=why).info("stopped: {}", why)
        return ended

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is stopped; returns False if ``timeout`` seconds passed first.

        Raises:
            ConfigurationError: it stopped by itself, for the database does not allow what was
                asked for.
        """
        stopped = self._supervisor.stop.wait(timeout)
        if self._supervisor.failure is not None:
            raise self._supervisor.failure
        return stopped

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Block until the first sweep is done; False if ``timeout`` seconds passed first."""
        return self._controller.ready.wait(timeout)

    def stuck(self, limit: float) -> list[str]:
        """The loops that ended, or were at one piece of work, or failing, for over ``limit`` s.

        One that waits for a list to end, or for two, is not stuck.
        """
        return self._supervisor.stuck(max(limit, 2 * self._engine.list_timeout))

    def problems(self) -> list[str]:
        """Why it is not healthy, a few words each; nothing while it is."""
        limit = self._settings.unhealthy_after
        links = [self._docker, *(database.link for database in self._databases)]
        problems = [f"{link.name} is down" for link in links if link.down_for > limit]
        return problems + [f"{name} is stuck" for name in self.stuck(limit)]

    def status(self) -> Status:
        """What there is to know about it, as JSON can hold it: docs/status.md."""
        stopping = self._supervisor.stop.is_set()
        # Then loops that have ended are as they should be.
        problems = [] if stopping else self.problems()
        return self._snapshots.take(self._subnets.all(), problems, stopping=stopping)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What the parts need of each other.

    def _say_started(self) -> None:
        settings = self._settings
        databases = [database.topologies.name for database in self._databases]
        state = str(self._state.path) if self._state.locked else None
        logger.bind(
            event="started",
            version=VERSION,
            engine=self._engine.address,
            databases=databases,
            feed=settings.feed,
            state_dir=state,
            policy=settings.policy,
            dry_run=settings.dry_run,
        ).info(
            "topology-reaper {} is listening to {} and {}; feed {}; state folder {};{} policy {}{}",
            VERSION,
            self._engine.address,
            " and ".join(databases),
            settings.feed,
            state or "none, so what was seen is forgotten when it stops",
            " dry run: nothing is removed;" if settings.dry_run else "",
            settings.policy,
            f": {UNSEEN}" if settings.policy == "absent" else "",
        )

    def _keep_watch(self) -> None:
        pulse = self._supervisor.pulse("watch")
        self._supervisor.keep(self._docker, self._connect_watch, self._watch.follow, pulse)

    def _connect_watch(self) -> None:
        self._watch.connect()
        self._docker.connections += 1
        if self._supervisor.stop.is_set():
            self._watch.close()  # stop() may have looked before there was anything to close
        else:
            self._describe()

    def _describe(self) -> None:
        before = self._engine.about
        with suppress(EngineError):
            if (about := self._engine.describe()) != before:
                logger.bind(event="engine", side="Docker").info("connected to {}", about)

    def _keep_time(self) -> None:
        while not self._supervisor.stop.wait(self._settings.sweep_interval):
            with self._supervisor.pulse("timer"):
                self._watch.relist("timer")
                self._remember(everything=True)

    def _listed(self, cause: str, seconds: float) -> None:
        self._docker.succeeded()
        self._holds_socket.open(self._watch.listing.mark)
        self._controller.listed(cause, seconds)

    def _distrust(self) -> None:
        for database in self._databases:
            database.feed.distrust()

    def _remember(self, *, everything: bool = False) -> None:
        with self._saving:  # an older state must not overwrite a newer one
            for number, memory in self._controller.unsaved(everything=everything).items():
                self._databases[number].ledger.save(memory)

    def _reap(self, doomed: Collection[Resource], permit: Permit) -> Iterator[Removal]:
        beat, stop = self._supervisor.beat(), self._supervisor.stop

        def unless_stopping(resource: Resource, *, fresh: bool) -> bool:
            beat()  # a topology with hundreds of removals takes long, and is not stuck
            return not stop.is_set() and permit(resource, fresh=fresh)

        return self._reaper.reap(doomed, unless_stopping)
