"""One run of the listener: its real parts, wired as the service wires them, driven step by step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from loguru import logger
from tenacity import Retrying

from listener.control import reaper
from listener.control.controller import Controller
from listener.control.inventory import PrefixIndex
from listener.control.lane import Lane
from listener.control.observer import Observer, Observers, Reconciled
from listener.control.reaper import Permit, Reaper
from listener.control.reconciler import Reconciler
from listener.core.evidence import Answer, Evidence, Memory
from listener.core.judge import Judge
from listener.core.outcome import Removal, Result
from listener.core.report import Report
from listener.core.resources import Resource
from listener.engine import watch as watching
from listener.engine.watch import END, Watch
from listener.errors import EngineError, ReaperError
from listener.runtime import sweep as oneshot
from listener.telemetry.listener_log import ListenerLog
from listener.telemetry.removal_log import RemovalLog

from . import oracle
from .client import SimulatedEngine
from .engine import EPOCH, Api, InertThread, Stream
from .parts import Inline

if TYPE_CHECKING:
    from .world import World


class Killed(BaseException):
    """The process is gone: nothing of it goes on."""


class TornDown(tuple[str, ...]):
    """Ids of rows whose status was reported to be that."""

    __slots__ = ()


Hint = tuple[str, ...] | None
"""Ids that were reported deleted, or torn down; None: any may be."""


class Listener:
    """A running listener.

    Args:
        world: where it runs.
        name: the same over restarts.
        state: what an earlier run left, by database; None: nothing.
        observer: is told what it does.
    """

    def __init__(
        self,
        world: World,
        name: str,
        state: State | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.state = state
        self.dead = False
        self.docker_up = False
        self.relists = 0
        self.stream: Stream | None = None
        self.watched = 0
        """How deep in the thread of the watch we are."""
        self.hints: list[list[Hint]] = [[None] for _ in world.databases]
        self.feed_up = [True for _ in world.databases]
        self.deaf = [bool(database.unseen) for database in world.databases]
        """Something was deleted or torn down, by database, of which no hint tells."""
        self._generations = [database.generation for database in world.databases]
        known = [oracle.Known() for _ in world.databases]
        if state is not None:
            known = [one.for_the_next_run() for one in state.known]
        self.run = oracle.Process(name, known, state.line.saved() if state else oracle.Line())
        memories = state.memories if state is not None else [None] * len(world.databases)
        self.evidence = [_evidence(world, memory) for memory in memories]
        self.index = PrefixIndex()
        self.engine = SimulatedEngine(Api(world.daemon, self.run, self.gate, self._hang))
        reaper_ = Reaper(self.engine, Inline(), 4, world.clock)
        observer = Observers(
            Checked(self.run, world.oracle), RemovalLog(), ListenerLog(), observer or Observer()
        )
        reconciler = Reconciler(
            index=self.index,
            judge=Judge(
                [(partial(self.ask, n), evidence) for n, evidence in enumerate(self.evidence)],
                memories=memories,
                delay=world.config.delay,
                torn_down_after=world.config.torn_down_after,
                now=world.clock(),
            ),
            reap=partial(self._reap, reaper_),
            read=self.engine.read,
            dry_run=world.config.dry_run,
            clock=world.clock,
            learned=self._remember,
            observer=observer,
        )
        self.controller = Controller(
            reconciler,
            clock=world.clock,
            docker_up=self._docker_is_up,
            learned=self._remember,
            relist=self._relist,
            feeds=len(world.databases),
            observer=observer,
        )
        self.watch = Watch(
            self.engine,
            self.index,
            appeared=self.controller.appeared,
            vanished=self.controller.vanished,
            listed=self._listed,
        )

    # What it is given.

    def gate(self, what: str) -> None:
        """It waits for somebody else: anything may happen now, its own end as well."""
        if self.dead:
            raise Killed
        self.world.interleave(what)
        if self.dead:
            raise Killed

    def _hang(self, seconds: float) -> None:
        """A request gets no answer for so long."""
        self.world.pause(seconds)
        if self.dead:
            raise Killed

    def ask(self, database: int, prefixes: Iterable[str]) -> Answer:
        """A question to a database."""
        return self.world.answer(self.run, database, prefixes, self.gate, self._generations)

    def knows(self, number: int) -> bool:
        """Whether its last answer was from the table that is there: else it believes no report."""
        table, evidence = self.world.databases[number], self.evidence[number]
        generation = table.generation - self._generations[number]
        return (evidence.identity, evidence._generation) == (table.identity, generation)

    def _listed(self, cause: str, seconds: float) -> None:
        self.docker_up = True
        self.world.oracle.listed(self.run)
        self.controller.listed(cause, seconds)

    def _docker_is_up(self) -> bool:
        return self.docker_up

    def _relist(self) -> None:
        self.relists += 1
        self.watch.relist()

    def _reap(
        self, reaper_: Reaper, doomed: Iterable[Resource], permit: Permit
    ) -> Iterable[Removal]:
        if self.world.config.dry_run:
            return ()
        return reaper_.reap(doomed, permit)

    # What it does.

    @property
    def connected(self) -> bool:
        """Its subscription has not ended."""
        return self.stream is not None and self.stream.open

    def connect(self) -> bool:
        """Connect to the engine, as its watch does after an end."""
        if self.connected or self.watched:
            return False
        with self._watching():
            try:
                self.watch.connect()
            except EngineError:
                self.docker_up = False
            # The watch's own word for it; typed as what the real engine gives.
            stream: Any = self.watch._stream
            self.stream = stream if isinstance(stream, Stream) and stream.open else None
        return True

    def follow(self, lines: Sequence[bytes] = ()) -> bool:
        """Let the watch take in what has come."""
        stream = self.stream
        if stream is None or not stream.open or self.watched:
            return False
        with self._watching():
            if lines:
                stream.inbox.put(b"".join(lines))
            stream.inbox.put(END)
            stream.paused = True
            try:
                self.watch.follow()
            except EngineError:
                stream.paused = False
                stream.close()
            finally:
                stream.paused = False
        return True

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self.watched += 1
        try:
            with self.world.oracle.frame(self.run):
                yield
        finally:
            self.watched -= 1

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        """Its two kinds of work."""
        return self.controller.screen_lane, self.controller.reconcile_lane

    def work(self, lane: Lane) -> str | None:
        """One piece of work, if there is any; on which key."""
        if (key := lane.take()) is None:
            return None
        with self.world.oracle.frame(self.run):
            lane.work(key)
        if self.world.oracle.violations:  # observers are not heard
            raise oracle.Violation(self.world.oracle.violations[0])
        return key

    def stop(self) -> None:
        """Keep what only an orderly end keeps."""
        self._remember(everything=True)

    def _remember(self, *, everything: bool = False) -> None:
        unsaved = self.controller.unsaved(everything=everything)
        if self.state is not None:
            for number, memory in unsaved.items():
                if memory.identity:
                    self.state.memories[number] = memory
            self.state.known = [known.for_the_next_run() for known in self.run.known]
            self.state.line = self.run.line.saved()


class State:
    """What outlives a process: a folder, as far as the listener knows."""

    def __init__(self, databases: int) -> None:
        self.memories: list[Memory | None] = [None] * databases
        self.known = [oracle.Known() for _ in range(databases)]
        self.line = oracle.Line()


def _evidence(world: World, memory: Memory | None) -> Evidence:
    return Evidence(
        world.config.grace,
        witnessed_only=world.config.witnessed_only,
        memory=memory,
        now=world.clock(),
    )


def sweep_once(
    world: World, state: State | None, *, dry_run: bool, confirm: str, held: frozenset[str]
) -> Report | None:
    """A one-shot sweep by an operator.

    Args:
        world: where.
        state: of the listener; read only.
        dry_run: only look.
        confirm: a token.
        held: the prefixes that the token was given for.
    """
    state = state or State(len(world.databases))
    run = oracle.Process(
        "sweep",
        [one.for_the_next_run() for one in state.known],
        state.line.saved(),
        engine_now=float(int(EPOCH + world.clock.now)),
    )
    run.confirmed = held if confirm else frozenset()
    gate = world.interleave
    engine = SimulatedEngine(Api(world.daemon, run, gate, world.clock_forward))
    generations = [database.generation for database in world.databases]
    databases = [
        SimpleNamespace(
            topologies=SimpleNamespace(
                ask=lambda prefixes, n=number: world.answer(run, n, prefixes, gate, generations)
            ),
            evidence=_evidence(world, memory),
            memory=memory,
        )
        for number, memory in enumerate(state.memories)
    ]
    settings = SimpleNamespace(
        delay=world.config.delay,
        reap_torn_down=world.config.torn_down_after,
        workers=4,
        timeout=0,
        dry_run=dry_run,
        images=False,
    )
    clock = patch.object(
        oneshot, "time", SimpleNamespace(monotonic=world.clock, sleep=world.clock_forward)
    )
    with clock, world.oracle.frame(run):
        try:
            _sweep: Any = oneshot._sweep  # with a world's own parts
            found: tuple[Report, object] = _sweep(
                engine, databases, settings, None, confirm or None, Checked(run, world.oracle)
            )
            return found[0]
        except ReaperError:
            return None


class Checked(Observer):
    """What a process tells of its removals is true."""

    def __init__(self, run: oracle.Process, judge: oracle.Oracle) -> None:
        self._run = run
        self._judge = judge

    def reconciled(self, done: Reconciled) -> None:
        """Compare it with what happened."""
        for removal in done.outcome.removals:
            if removal.result is Result.REMOVED:
                self._judge.told_removed(self._run, removal.resource.id)
            elif removal.result is Result.GONE:
                self._judge.found_gone(self._run, removal.resource.owners)


class _Pool(Inline):
    """An inline executor that is made as a pool of threads is."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __enter__(self) -> Self:
        return self


class Pauses:
    """Where the pauses between retries go: to the clock of the world that is played."""

    sleep: Callable[[float], None] = staticmethod(lambda seconds: None)  # noqa: ARG005


@contextmanager
def without_threads_and_clocks() -> Iterator[None]:
    """What the parts take from the system for themselves is the world's, or nothing."""

    def retrying(**options: Any) -> Retrying:
        return Retrying(sleep=lambda seconds: Pauses.sleep(seconds), **options)

    with ExitStack() as stack:
        logger.disable("listener")
        stack.callback(logger.enable, "listener")
        stack.enter_context(patch.object(reaper, "Retrying", retrying))
        stack.enter_context(
            patch.object(watching, "threading", SimpleNamespace(Thread=InertThread))
        )
        stack.enter_context(patch.object(oneshot, "ThreadPoolExecutor", _Pool))
        stack.enter_context(patch.object(oneshot, "reach", lambda call, _timeout: call()))
        state = random.getstate()
        stack.callback(random.setstate, state)
        yield
