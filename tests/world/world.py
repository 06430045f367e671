"""The host with everything on it, where time passes only when somebody lets it.

A move is a name and two numbers, which the world reads as what is possible just now; what is not
possible does nothing. Moves are made between the listeners' steps, and, by :meth:`World.play`,
inside of them: at each request to the engine and each question to a database, before it takes
effect and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from listener.control.controller import OBSERVE_EVERY
from listener.control.observer import Observer
from listener.core.evidence import Answer

from .database import Database, Shows
from .engine import Clock, Daemon, Network, Thing
from .listener import Hint, Killed, Listener, Pauses, State, TornDown
from .oracle import Oracle, Process, Question, Violation, owners_of, stays_connected

Move = tuple[str, int, int]
Plan = Sequence[tuple[int, Move]]
"""Moves inside a step, each after so many occasions since the one before it."""

PAUSES: Final = (2**-7, 2**-4, 0.25, 0.625, 1.125, 2.5, 5.0, 12.0, 31.0, 120.0, 700.0)
AT_REST: Final = 200.0
"""Seconds: longer than the longest grace, the delay and two of the longest back-offs together."""
DEEPEST: Final = 3
"""Pieces of work inside each other, as of several threads."""


@dataclass(frozen=True)
class Config:
    """What does not change in one run.

    Attributes:
        databases: how many the listeners know.
        shows: what each of them is to the origin of its rows.
        elsewhere: topologies come from one that no listener knows, too.
        request: seconds that a request or a question takes, there and back each.
        begin: the clock at the start.
    """

    databases: int = 1
    shows: Shows = Shows.ORIGIN
    elsewhere: bool = False
    grace: float = 30.0
    delay: float = 0.0
    torn_down_after: float = 0.0
    witnessed_only: bool = False
    dry_run: bool = False
    request: float = 2**-11
    begin: float = 1000.0


class World:
    """The engine, the databases, the listeners, and the oracle that watches them.

    Args:
        config: what does not change.
        observer: is told what the first listener does.
    """

    def __init__(self, config: Config, observer: Observer | None = None) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self.clock = Clock(config.begin)
        self.daemon = Daemon(self.clock)
        self.databases = [
            Database(self.clock, f"db{n}", identity=f"db{n}#1", shows=config.shows)
            for n in range(config.databases)
        ]
        self.elsewhere = Database(self.clock, "elsewhere", shows=Shows.SECRET_COPY)
        """A database that no listener knows: to them, one that shows nothing."""
        self.oracle = Oracle(
            self.daemon,
            self.origins,
            grace=config.grace,
            delay=config.delay,
            torn_down_after=config.torn_down_after,
            witnessed_only=config.witnessed_only,
        )
        self.daemon.watcher = self.oracle
        self.state = State(config.databases)
        self.asked: list[frozenset[str]] = []
        """The prefixes of the questions that are on their way."""
        self.doubtful: set[str] = set()
        """Things of which nobody can tell any more what they inherited."""
        self._plan: list[tuple[int, Move]] = []
        Pauses.sleep = self.pause
        self.listeners = [Listener(self, "one", self.state, observer)]

    # Steps, and what happens inside of them.

    def play(self, move: Move, plan: Plan = ()) -> None:
        """One step of the adversary, or of a listener with moves inside of it."""
        self.counts["steps"] += 1
        self._plan = list(plan)
        self.perform(move)
        self._plan = []
        if self.oracle.violations:  # should the code under test have swallowed it
            raise Violation(self.oracle.violations[0])

    def perform(self, move: Move) -> bool:
        """Make a move; says whether it was possible."""
        name, a, b = move
        done: bool = getattr(self, f"do_{name}")(a, b)
        self.committed()
        if done:
            self.counts[f"move {name}"] += 1
        return done

    @property
    def origins(self) -> list[Database]:
        """Every database on this host."""
        return [*self.databases, *([self.elsewhere] if self.config.elsewhere else [])]

    def committed(self) -> None:
        """The rows of the databases may have changed."""
        for database in self.origins:
            database.committed()
        self.oracle.committed()

    def interleave(self, _what: str) -> None:
        """Somebody waits for an answer: what else happens?"""
        self.clock.now += self.config.request
        for stream in self.daemon.streams:
            stream.settle()
        while self._plan and self._plan[0][0] <= 0:
            _, move = self._plan.pop(0)
            self.perform(move)
        if self._plan:
            skip, move = self._plan[0]
            self._plan[0] = skip - 1, move

    def clock_forward(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    def pause(self, seconds: float) -> None:
        """A thread that reaps waits; those that screen go on meanwhile."""
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0.0:
            self.clock_forward(min(left, OBSERVE_EVERY))
            for one in list(self.listeners):
                if len(self.oracle.frames) < DEEPEST:
                    self._guarded(one, partial(_screens, one))

    def answer(
        self,
        process: Process,
        number: int,
        prefixes: Iterable[str],
        gate: Callable[[str], None],
        generations: Sequence[int],
    ) -> Answer:
        """A question to a database, as it is at the moment of reading."""
        database, asked = self.databases[number], frozenset(prefixes)
        at, tick = self.clock.now, self.clock.tick()
        self.asked.append(asked)
        try:
            gate("ask")
            answer = replace(database.ask(asked, since=generations[number]), at=at)
            question = Question(
                at,
                tick,
                database.visible(),
                asked,
                answer.behind,
                database.said_deployed(),
                database.said_torn_down(),
            )
            gate("answer")
        finally:
            self.asked.pop()
        tables = {n: d.visible() for n, d in enumerate(self.databases)}
        table = answer.identity, answer.generation
        self.oracle.answered(process, number, question, table, tables)
        return answer

    # Events.

    def do_pump(self, a: int, b: int) -> bool:
        """Some events arrive."""
        if (one := self._listener(a)) is None or one.stream is None or one.watched:
            return False
        one.stream.settle(now=True)
        count = 1 + b % 4 if b < 90 else len(one.stream.pending)
        lines, one.stream.pending = one.stream.pending[:count], one.stream.pending[count:]
        return self._guarded(one, lambda: one.follow(lines)) and bool(lines)

    def do_connect(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A listener connects to the engine, and lists."""
        one = self._listener(a)
        return one is not None and self._guarded(one, one.connect)

    def do_relist(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The timer asks for a listing."""
        one = self._listener(a)
        if one is None or not one.connected or one.watched:
            return False
        one.watch.relist()
        return self._guarded(one, one.follow)

    # Hints.

    def do_hint(self, a: int, b: int, which: int = 0) -> bool:
        """A hint arrives."""
        if (one := self._listener(a)) is None or not (hints := one.hints[b % len(one.hints)]):
            return False
        self._give(one, b % len(one.hints), hints.pop(which))
        return True

    def _hint(self, database: Database, hint: Hint, *, heard: bool | None = True) -> None:
        """Every feed of a database gets a hint; or misses one, where it is not heard."""
        self.committed()
        if database is not self.elsewhere:
            number = self.databases.index(database)
            database.tell(partial(self._tell, number, hint, heard=heard))

    def _tell(self, number: int, hint: Hint, *, heard: bool | None) -> None:
        for one in self.listeners:
            if heard is False or (heard and not one.feed_up[number]):
                one.deaf[number] = True
            elif one.feed_up[number]:
                one.hints[number].append(hint)

    def _give(self, one: Listener, number: int, hint: Hint) -> None:
        torn_down, unseen = isinstance(hint, TornDown), self.databases[number].unseen
        if hint is not None:
            if not torn_down:
                self.oracle.reported(one.run, number, hint)
            heard = one.docker_up and unseen <= one.index.prefixes() and one.knows(number)
            if unseen and not heard:
                one.deaf[number] = True  # a sweep has to find it
        elif not unseen:
            one.deaf[number] = False
        one.controller.hinted(number, hint, torn_down=torn_down)

    # Work, and time.

    def do_work(self, a: int, b: int) -> bool:
        """A listener does one piece of work."""
        if (one := self._listener(a)) is None or len(self.oracle.frames) >= DEEPEST:
            return False
        first, second = one.lanes[b % 2], one.lanes[1 - b % 2]
        return self._guarded(one, lambda: (one.work(first) or one.work(second)) is not None)

    def do_settle(self, a: int, b: int) -> bool:
        """A listener hears of everything, and does what there is to do now."""
        if (one := self._listener(a)) is None or len(self.oracle.frames) >= DEEPEST - 1:
            return False
        if not one.connected:
            self.do_connect(a, b)
        for number in range(len(self.databases)):
            while self._listener(a) is one and self.do_hint(a, number):
                pass
        self.do_pump(a, 99)
        for _ in range(30):
            if one.dead or not self.do_work(a, b):
                break
        return True

    def do_pass_time(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Time passes."""
        self.clock_forward(PAUSES[a % len(PAUSES)])
        return True

    # Processes.

    def do_kill(self, a: int, b: int) -> bool:
        """A listener is killed, whatever it is doing; or ends in good order."""
        if (one := self._listener(a)) is None:
            return False
        if b % 3 == 0 and not self.oracle.frames:
            one.stop()
        one.dead = True
        self.oracle.ended(one.run)
        self.listeners.remove(one)
        self.daemon.streams = [s for s in self.daemon.streams if s is not one.stream]
        return True

    def do_start(self, a: int, b: int, *, afresh: bool = False) -> bool:  # noqa: ARG002
        """A listener is started: the first with what its last run knew, the second with nothing."""
        names = {one.name for one in self.listeners}
        if "one" not in names:
            if afresh:
                self.state = State(self.config.databases)
            self.listeners.insert(0, Listener(self, "one", self.state))
        elif "two" not in names and a % 2:
            self.listeners.append(Listener(self, "two"))
        else:
            return False
        return True

    def _guarded(self, one: Listener, step: Callable[[], bool]) -> bool:
        """A step of a listener, which may be its last."""
        try:
            return step()
        except Killed:
            if not one.dead:
                raise  # it is another's end
            return True

    # Rest.

    def settle_all(self) -> None:
        """Everything is delivered, and all work is done, whenever it is due."""
        for number, one in enumerate(self.listeners):
            for feed in range(len(self.databases)):
                while self.do_hint(number, feed):
                    pass
                if one.deaf[feed]:
                    self._give(one, feed, None)
            self.do_pump(number, 99)
        until = self.clock.now + AT_REST
        for _ in range(2000):
            if any(self.do_work(n, 0) for n in range(len(self.listeners))):
                continue
            if any(self.do_pump(n, 99) for n in range(len(self.listeners))):
                continue
            due = [
                at
                for one in self.listeners
                for lane in one.lanes
                if (at := lane.next_due()) is not None
            ]
            if not due or min(due) > until:
                return  # what is tried ever again then, has a reason to be still there
            self.clock.now = max(self.clock.now, min(due))
        stuck = [thing.name for thing in self.daemon.things() if owners_of(thing)]
        raise Violation(f"the listeners do not come to rest over {stuck}")

    def _nothing_left(
        self,
        one: Listener,
        when: str,
        *,
        only: Callable[[Thing], bool] = lambda _: True,
        witnessed_only: bool = False,
    ) -> None:
        tables = [database.visible() for database in self.databases]
        for thing in filter(only, self.daemon.things()):
            if thing.id in self.doubtful:
                continue  # what it inherited, nobody can tell any more
            if isinstance(thing, Network) and any(map(stays_connected, self.daemon.on(thing))):
                continue  # something is on it that nobody may take off
            if owners_of(thing) and one.index.get(thing.id) is None:
                raise Violation(f"{one.name} does not know of {thing.name!r} {when}")
            if self.oracle.must_go(one.run, thing, tables, witnessed_only=witnessed_only):
                raise Violation(f"{thing.name!r} is orphaned and still there {when}")

    # Picking.

    def _origin(self, number: int) -> Database:
        return self.origins[number % len(self.origins)]

    def _database(self, number: int) -> Database:
        return self.databases[number % len(self.databases)]

    def _listener(self, number: int) -> Listener | None:
        return self.listeners[number % len(self.listeners)] if self.listeners else None

    def _has_row(self, id_: str) -> bool:
        return any(id_ in database.rows for database in self.origins)


def _screens(one: Listener) -> bool:
    return one.work(one.controller.screen_lane) is not None
