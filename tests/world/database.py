"""A table of topologies, with what can become of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from listener.core.evidence import Answer
from listener.errors import NoAnswer

from .engine import Clock

BEHIND = "this database may be behind its origin"


class Shows(Enum):
    """What the database that a listener asks is to the origin of its rows."""

    ORIGIN = "the origin itself"
    COPY = "a copy, which a listener can see"
    SECRET_COPY = "a copy, which nobody can see"


class Commit(NamedTuple):
    """One state of the table.

    Attributes:
        rows: the ids.
        deployed: those whose status says that they are.
        torn_down: those whose status says that.
    """

    rows: frozenset[str]
    deployed: frozenset[str]
    torn_down: frozenset[str]


@dataclass(eq=False)
class Database:
    """Answers from ``rows``, or from an earlier state of them; every question is kept.

    A copy takes over the origin's commits in their order, and what the feed tells comes after the
    commit that it tells of.

    Attributes:
        rows: committed, at the origin.
        deployed: those of them with the status of after the deploy.
        torn_down: those with the status that DECNET writes when a teardown ends.
        fading: rows that are deleted and can still be seen, until when.
        tearing: rows that are torn down and are not seen to be yet, until when.
        identity: of the table.
        generation: grows with what nobody can follow.
        asked: when, and about which prefixes.
        before: is called before each question is answered.
        no_status: why the status cannot be read; empty when it can.
        backup: what a restore will bring back; None while there is none under way.
        aside: a table that was swapped for another: rows, identity.
        shows: what it is to the origin of its rows.
        copied: the state that a copy shows, while it has stopped; None: the present one.
        backlog: what came after that: commits, and what the feed is to tell.
    """

    clock: Clock = field(default_factory=Clock)
    name: str = "db"
    rows: set[str] = field(default_factory=set)
    deployed: set[str] = field(default_factory=set)
    torn_down: set[str] = field(default_factory=set)
    fading: dict[str, float] = field(default_factory=dict)
    tearing: dict[str, float] = field(default_factory=dict)
    identity: str = "one"
    generation: int = 0
    failing: bool = False
    no_status: str = ""
    asked: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    backup: set[str] | None = None
    aside: tuple[set[str], str] | None = None
    shows: Shows = Shows.ORIGIN
    copied: Commit | None = None
    backlog: deque[Commit | Callable[[], None]] = field(default_factory=deque)
    _made: int = 1

    def ask(self, prefixes: Iterable[str], since: int = 0) -> Answer:
        """Which of these have rows, to one that started in this generation."""
        at, asked = self.clock.now, frozenset(prefixes)
        self.asked.append((at, asked))
        self.before()
        if self.failing:
            raise NoAnswer(f"the database {self.name} is down")
        answer = Answer(
            asked,
            self._of(asked, self.visible()),
            at,
            self.identity,
            self.generation - since,
            torn_down=self._of(asked, () if self.no_status else self.said_torn_down()),
            no_status=self.no_status,
        )
        if self.shows is not Shows.COPY:
            return answer
        return Answer(
            asked,
            answer.ids,
            at,
            self.identity,
            answer.generation,
            behind=BEHIND,
            deployed=self._of(asked, self.said_deployed()),
            torn_down=answer.torn_down,
        )

    def visible(self) -> frozenset[str]:
        """Every row that a question finds."""
        now = self.clock.now
        self.fading = {row: until for row, until in self.fading.items() if until > now}
        if self.copied is not None:
            return self.copied.rows
        return frozenset(self.rows | self.fading.keys())

    def said_deployed(self) -> frozenset[str]:
        """Every row that a question finds deployed."""
        return self._commit.deployed if self.copied is None else self.copied.deployed

    def said_torn_down(self) -> frozenset[str]:
        """Every row that a question finds torn down."""
        now = self.clock.now
        self.tearing = {row: until for row, until in self.tearing.items() if until > now}
        if self.copied is not None:
            return self.copied.torn_down
        return (self.visible() & self.torn_down) - self.tearing.keys()

    @property
    def unseen(self) -> frozenset[str]:
        """The prefixes of rows of which something is told before it can be seen."""
        return frozenset(row[:8] for row in (*self.fading, *self.tearing))

    @property
    def _commit(self) -> Commit:
        rows = frozenset(self.rows)
        return Commit(rows, rows & self.deployed, rows & self.torn_down)

    @staticmethod
    def _of(asked: frozenset[str], rows: Iterable[str]) -> frozenset[str]:
        return frozenset(row for row in rows if row[:8] in asked)

    # A copy.

    def stop(self) -> None:
        """It takes nothing over from now on."""
        self.copied = self._commit

    def committed(self) -> None:
        """The origin's rows may have changed."""
        if self.copied is None:
            return
        known = [self.copied, *(c for c in self.backlog if isinstance(c, Commit))]
        if self._commit != known[-1]:
            self.backlog.append(self._commit)

    def tell(self, hint: Callable[[], None]) -> None:
        """The feed tells of what is committed: at once, or once the copy has come so far."""
        if self.copied is None:
            hint()
        else:
            self.backlog.append(hint)

    def take_over(self) -> bool:
        """A copy that had stopped takes over the next commit, or is no longer behind."""
        if self.copied is None:
            return False
        while self.backlog:
            if isinstance(item := self.backlog.popleft(), Commit):
                self.copied = item
                return True
            item()
        self.copied = None
        return True

    def replace(self, rows: set[str]) -> None:
        """Another table is there now."""
        self._made += 1
        self.rows, self.identity = rows, f"{self.name}#{self._made}"
        self.fading.clear()
        self.tearing.clear()
