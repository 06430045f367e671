"""Every order of what can happen to one topology, as far as time allows.

:mod:`tests.world.moves` plays a large world by chance; this one is small, and all of it is seen: a
listener, a database that is the origin or a copy, or another database that no listener knows, a
topology that is alive and deployed, and one of a network and a container whose orders are played.
At each step the oracle watches, and at some of the ends everything is mended, and what must go has
to be gone.

States are equal when nothing that decides differs: what the listener's parts hold, what is on its
way, the databases, the host and what the oracle would say of them, with times told from now. Equal
states are gone on from once.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from types import FunctionType
from typing import Any, Final

from .database import Shows
from .listener import Pauses
from .moves import Adversary
from .oracle import owners_of
from .world import Config

Path = tuple[str, ...]

ALIVE, PLAYED, YOUNGER = (f"{n}{n * 7}-0000-4000-8000-00000000000{n}" for n in "123")
GRACE: Final = 4.0
BEGIN: Final = 100_000.25
"""The clock at the start: all times are later than all durations are long."""
LONG_AGO: Final = 60.0
"""Seconds after which it makes no difference how long ago something was."""

STEPS: Final[Mapping[str, int]] = {
    # What DECNET does, in its order.
    **dict.fromkeys(("commit", "network", "container", "delete", "younger"), 1),
    # What the listener takes in and does; an order has no more of it than there is to do.
    **dict.fromkeys(("connect", "event", "hint", "ask", "reconcile"), 99),
    # A copy takes over one commit; until then it is behind.
    "take over": 99,
    # The grace passes while it asks again and again.
    "grace": 2,
    # What happens to it.
    **dict.fromkeys(("list", "cut", "fail", "lose feed", "restart", "outage"), 1),
}
"""How often a step is in one order at most."""
FAULTS: Final = frozenset({"list", "cut", "fail", "lose feed", "restart", "outage"})
MOST_FAULTS: Final = 1
"""Of these so many at most are in one order."""

WORLDS: Final[Mapping[str, Config]] = {
    name: Config(grace=GRACE, request=0.0, begin=BEGIN, shows=shows, elsewhere=elsewhere)
    for name, shows, elsewhere in (
        ("the origin", Shows.ORIGIN, False),
        ("a copy that shows", Shows.COPY, False),
        ("a copy that does not", Shows.SECRET_COPY, False),
        ("another database", Shows.ORIGIN, True),
    )
}


class SmallWorld(Adversary):
    """The world whose orders are all played; its listener knows what is alive."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        (self.known,) = self.databases
        self.home = self.elsewhere if config.elsewhere else self.known
        self.left = dict(STEPS)
        self.faults_left = MOST_FAULTS
        self._deploy(ALIVE)
        self._started()
        self.clock_forward(1.0)
        self.do_settle(0, 0)
        if config.shows is not Shows.ORIGIN:
            self.known.stop()

    def step(self, name: str) -> bool:
        """Make a step; says whether it was possible."""
        if not self.left[name] or (name in FAULTS and not self.faults_left):
            return False
        if not getattr(self, f"step_{name.replace(' ', '_')}")():
            return False
        self.left[name] -= 1
        self.faults_left -= name in FAULTS
        self.committed()
        return True

    def _started(self) -> None:
        (self.one,) = self.listeners
        for lane in self.one.lanes:
            lane._queue._jitter = _no_chance

    def _deploy(self, id_: str) -> None:
        self.known.rows.add(id_)
        self.committed()
        self._create_network(id_)
        self._create_container(id_)
        self.known.deployed.add(id_)
        self.committed()

    def _create_network(self, id_: str) -> None:
        self.daemon.create_network(f"decnet_t_{id_[:8]}_lan", id_=f"{id_[0]}a" * 32)

    def _create_container(self, id_: str) -> None:
        labels = {"decnet.topology.id": id_, "decnet.topology.service": "true"}
        self.daemon.create_container(f"decky{id_[0]}-ssh", labels, id_=f"{id_[0]}b" * 32)

    # DECNET.

    def step_commit(self) -> bool:
        """The row is committed."""
        self.home.rows.add(PLAYED)
        return True

    def step_network(self) -> bool:
        """The deploy begins."""
        if self.left["commit"]:
            return False
        self._create_network(PLAYED)
        return True

    def step_container(self) -> bool:
        """The deploy goes on; its row may be gone by now."""
        if self.left["network"]:
            return False
        self._create_container(PLAYED)
        self.home.deployed.add(PLAYED)
        return True

    def step_delete(self) -> bool:
        """The row is deleted."""
        if PLAYED not in self.home.rows:
            return False
        self.home.rows.discard(PLAYED)
        self._hint(self.home, (PLAYED,))
        return True

    def step_younger(self) -> bool:
        """Another topology is deployed."""
        if self.known.shows is not Shows.COPY or self.left["network"]:
            return False
        self.clock_forward(2.0)
        self._deploy(YOUNGER)
        return True

    # The listener.

    def step_connect(self) -> bool:
        """It subscribes and lists."""
        return self.do_connect(0, 0)

    def step_list(self) -> bool:
        """It lists."""
        return self.do_relist(0, 0)

    def step_event(self) -> bool:
        """One event arrives."""
        stream = self.one.stream
        return stream is not None and stream.open and self.do_pump(0, 0)

    def step_cut(self) -> bool:
        """The stream ends, and what was on its way is lost."""
        return self.one.connected and self.do_cut(0, 0)

    def step_hint(self) -> bool:
        """A hint arrives."""
        return self.do_hint(0, 0)

    def step_lose_feed(self) -> bool:
        """The feed breaks, and what was on its way is lost; it is there again at once."""
        return self.do_feed_lost(1, 0) and self.do_feed_back(0, 0)

    def step_ask(self) -> bool:
        """It asks about everything."""
        return self.one.docker_up and self.one.work(self.one.controller.screen_lane) is not None

    def step_reconcile(self) -> bool:
        """It looks at one topology, and removes what is orphaned."""
        return self.one.work(self.one.controller.reconcile_lane) is not None

    def step_restart(self) -> bool:
        """It is killed and started."""
        done = self.do_kill(0, 1) and self.do_start(0, 0)
        self._started()
        return done

    # The database, and time.

    def step_fail(self) -> bool:
        """A question gets no answer."""
        self.known.failing = True
        done = self.do_work(0, 0)
        self.known.failing = False
        return done

    def step_take_over(self) -> bool:
        """The copy takes over what was committed next."""
        if not self.known.backlog:
            return False
        self.known.take_over()
        if self.known.copied is None:
            self.known.stop()
        return True

    def step_grace(self) -> bool:
        """The grace passes while it asks again and again."""
        for _ in range(3):
            self.clock_forward(GRACE / 2)
            self.step_ask()
        return True

    def step_outage(self) -> bool:
        """More time passes than may be between two answers."""
        self.clock_forward(GRACE + 2.0)
        return True

    @property
    def has_orphan(self) -> bool:
        """Whether something is here whose row is gone."""
        return not self.left["delete"] and any(
            PLAYED[:8] in {owner[:8] for owner in owners_of(thing)}
            for thing in self.daemon.things()
        )

    # What decides.

    def digest(self) -> bytes:
        """A digest of it, the same for equal states."""
        one, process, controller = self.one, self.one.run, self.one.controller
        stream = one.stream
        told = _Canonical(self.clock.now)
        judge = controller._reconciler._judge
        owners = sorted({owner for thing in self.daemon.things() for owner in owners_of(thing)})
        born = [self.oracle._born[owner] for owner in owners]
        decides = (
            *(judge, controller, one.state, one.hints, one.docker_up),
            [(r.id, r.created, r.owners) for r in one.index._by_id.values()],
            *(one.index._appeared, one.index._unconfirmed, one.index._watched_since),
            [lane._queue for lane in one.lanes],
            controller._lists == controller._lists_screened,
            [
                evidence.revision + judge._unproven.revision == known
                for evidence, known in zip(one.evidence, judge._saved, strict=True)
            ],
            stream and (stream.open, stream.pending, stream._in_place),
            [(thing.id, thing.created) for thing in self.daemon.things()],
            [(d.rows, d.copied, d.failing) for d in self.origins],
            [item if isinstance(item, tuple) else "hint" for item in self.known.backlog],
            (list(self.left.values()), self.faults_left),
            # What the oracle would say.
            owners,
            [self.oracle._watched(process, birth) for birth in born],
            [birth.tick in process.line.guarded for birth in born],
            [birth.tick in one.state.line.guarded for birth in born if one.state],
            [known.absent_for(o, self.clock.now) for known in process.known for o in owners],
            [(known.seen.keys(), known.vouched, known.reports) for known in process.known],
            (process.line.told, process.line.removed.keys(), process.line.watches),
        )
        return hashlib.blake2b(repr(told(decides)).encode(), digest_size=16).digest()


def _no_chance() -> float:
    return 0.5


PLAIN: Final = frozenset({bool, int, str, bytes, type(None)})


class _Canonical:
    """Plain values of anything, the same for what decides the same.

    Args:
        now: the time from which others are told.
    """

    PASSED_OVER: Final = frozenset(
        # Figures that only grow, what is told to others, and what the state has from elsewhere.
        {
            *(
                "revision",
                "_saved",
                "_told",
                "tick",
                "ticks",
                "_retries",
                "_lists",
                "_lists_screened",
            ),
            *("_heap", "_list", "_missed", "_noticed_at", "_hinted_at", "_observer", "forgotten"),
            *("_held", "screen_lane", "reconcile_lane", "_reconciler", "known", "line"),
        }
    )

    def __init__(self, now: float) -> None:
        self._now = now
        self._within: set[int] = set()

    def __call__(self, value: object) -> Any:
        """What stands for it."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if isinstance(value, float):
            return self._time(value)
        if kind is list or kind is tuple:
            return [self(item) for item in value]  # type: ignore[attr-defined]
        if isinstance(value, Mapping):
            return sorted([(self(k), self(v)) for k, v in value.items()], key=repr)
        if isinstance(value, Set):
            return sorted(map(repr, value))
        if isinstance(value, tuple):
            return [self(item) for item in value]
        if isinstance(value, Enum):
            return value
        if callable(value) or isinstance(value, threading.Event) or id(value) in self._within:
            return None
        self._within.add(id(value))
        try:
            return [
                (name, self(part)) for name, part in _parts(value) if name not in self.PASSED_OVER
            ]
        finally:
            self._within.discard(id(value))

    def _time(self, value: float) -> float:
        for zero in (1_700_000_000.0, 0.0):
            if zero + BEGIN - LONG_AGO < value < zero + 2 * BEGIN:
                return max(round(value - zero - self._now, 3), -LONG_AGO)
        return value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if hasattr(value, "__slots__"):
        for name in value.__slots__:
            yield name, getattr(value, name)
    elif type(value).__module__.startswith(("listener.", "tests.")):
        yield from vars(value).items()


# The walk.


@dataclass
class Walked:
    """How far a walk has come.

    Attributes:
        depth: to which all orders were played.
        states: different ones, of up to so many steps.
        orders: of so many steps, all of which were played.
        mended: of how many states the end was looked at.
    """

    depth: int = 0
    states: int = 1
    orders: int = 1
    mended: int = 0


class _Pickler(pickle.Pickler):
    """Also for what has no state worth a copy: locks, and functions without a closure."""

    def reducer_override(self, value: object) -> Any:
        kind = type(value)
        if kind in STATELESS:
            return STATELESS[kind], ()
        if isinstance(value, FunctionType) and "<" in value.__qualname__:
            assert not value.__closure__, f"{value.__qualname__} would act on another world"
            FUNCTIONS[id(value)] = value
            return _function, (id(value),)
        return NotImplemented


STATELESS: Final[Mapping[type, Callable[[], object]]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Condition: threading.Condition,
    SimpleQueue: SimpleQueue,
}
FUNCTIONS: Final[dict[int, FunctionType]] = {}


def _function(number: int) -> FunctionType:
    return FUNCTIONS[number]


def _kept(world: SmallWorld) -> bytes:
    to = io.BytesIO()
    _Pickler(to, pickle.HIGHEST_PROTOCOL).dump(world)
    return to.getvalue()


def _again(kept: bytes) -> SmallWorld:
    world: SmallWorld = pickle.loads(kept)
    Pauses.sleep = world.clock_forward
    return world


def walk(
    config: Config,
    *,
    seconds: float = 600.0,
    depth: int = 99,
    mend_every: int = 10,
    say: Callable[[Walked], None] = lambda _: None,
) -> Walked:
    """Play all orders, of ever more steps.

    Args:
        config: of the world.
        seconds: after which it ends.
        depth: the most steps.
        mend_every: of so many states with an orphan one is mended, to see what is left.
        say: is told of each depth.

    Raises:
        AssertionError: a promise is broken; the message names the steps.
    """
    until = time.monotonic() + seconds
    walked = Walked()
    # By state, a way to it, the world in it, and in how many orders it is reached.
    reached: dict[bytes, tuple[Path, bytes, int]] = {b"": ((), _kept(SmallWorld(config)), 1)}
    known: set[bytes] = set()
    orphaned = 0
    while reached and walked.depth < depth:
        following: dict[bytes, tuple[Path, bytes, int]] = {}
        orders = 0
        for path, kept, times in reached.values():
            world: SmallWorld | None = None
            for name in STEPS:
                world = world or _again(kept)
                try:
                    if not world.step(name):
                        continue
                    state = world.digest()
                    orders += times
                    if state in following:
                        way, there, before = following[state]
                        following[state] = way, there, before + times
                    elif state not in known:
                        following[state] = (*path, name), _kept(world), times
                        orphaned += world.has_orphan
                        if world.has_orphan and orphaned % mend_every == 0:
                            walked.mended += 1
                            world.finish()
                except AssertionError as broken:
                    raise AssertionError(f"{', '.join((*path, name))}: {broken}") from broken
                world = None
            if time.monotonic() > until:
                return walked
        reached = following
        known |= reached.keys()
        walked.depth += 1
        walked.states, walked.orders = len(known) + 1, orders
        say(walked)
    return walked
