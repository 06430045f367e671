"""Is a row that is not there a row that was deleted?

Absence alone is not: an empty database, a dump being restored or somebody else's server all answer
"no such row" too. So every answer is weighed against what this listener knows of the database.

*Witnessed*: the row was seen in this same database before. Its absence counts at once.
*Unwitnessed*: the absence counts when every answer showed it for the length of the grace, or the
feed reported the deletion, and the database is *vouched for*: something on this host is, or was,
owned by a row of it.
Everything else is *held*: it stays until an operator confirms it with a token that is bound to this
database and these prefixes.

What was witnessed is bound to the database's identity. When that changes, it is another table, and
whatever is absent from then on without having been seen in it is held.

There is no clock, thread or socket here; the time is passed in, in seconds on a monotonic clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from listener.naming import PREFIX_LENGTH, Resource, prefix_of
from listener.reports import Reports


@dataclass(frozen=True, slots=True)
class Answer:
    """What a database said about some prefixes, at one moment.

    Attributes:
        prefixes: what was asked about.
        ids: the ids of all rows that begin with one of them.
        at: when the question was asked, in seconds on a monotonic clock; it is never younger.
        identity: of the database and of the table's incarnation.
        generation: grows when something happened to the database that nobody could follow; it
            means nothing outside this process.
    """

    prefixes: frozenset[str]
    ids: frozenset[str]
    at: float
    identity: str
    generation: int = 0

    def live(self, owner: str) -> bool:
        """Whether the owner has a row.

        Raises:
            KeyError: nobody asked about this owner.
        """
        if prefix_of(owner) not in self.prefixes:
            raise KeyError(owner)
        if len(owner) > PREFIX_LENGTH:
            return owner in self.ids
        return any(prefix_of(id_) == owner for id_ in self.ids)

    def any_live(self, resource: Resource) -> bool:
        """Whether any of the resource's owners has a row."""
        return any(self.live(owner) for owner in resource.owners)


class State(StrEnum):
    """What is to be done with a resource."""

    ALIVE = "alive"
    ORPHAN = "orphan"
    WAITING = "waiting"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one resource.

    Attributes:
        state: what is to be done.
        evidence: why, in a few words for a person.
        wait: for how many seconds the absence has to last on, when it is WAITING.
    """

    state: State
    evidence: str
    wait: float = 0.0

    @classmethod
    def weakest(cls, verdicts: Iterable[Self]) -> Self:
        """Of the verdicts on a resource's owners, the one that allows the least."""
        order = (State.ALIVE, State.HELD, State.WAITING, State.ORPHAN)
        return min(verdicts, key=lambda verdict: (order.index(verdict.state), -verdict.wait))


class Evidence:
    """What is known about one database, and the judgement that follows from it.

    Args:
        grace: for how many seconds an unwitnessed row must be absent.

    Attributes:
        reports: the deletions that a feed reported.
    """

    def __init__(self, grace: float) -> None:
        self.reports = Reports()
        self._grace = grace
        self._identity: str | None = None
        self._generation = 0
        self._witnessed: set[str] = set()
        self._absent_since: dict[str, float] = {}
        self._released: frozenset[str] = frozenset()
        self._vouched = False
        self._replaced = False

    def observe(self, answer: Answer, resources: Iterable[Resource]) -> None:
        """Learn from an answer about the owners of some resources, which were known before it."""
        if (self._identity, self._generation) != (answer.identity, answer.generation):
            self._replaced = self._identity is not None
            self._identity, self._generation = answer.identity, answer.generation
            self._witnessed.clear()
            self._absent_since.clear()
            self._released = frozenset()
            self._vouched = False
        self._witnessed |= answer.ids | {prefix_of(id_) for id_ in answer.ids}
        for owner in {owner for resource in resources for owner in resource.owners}:
            if answer.live(owner):
                self._vouched = True
                self._absent_since.pop(owner, None)
            else:
                self._absent_since.setdefault(owner, answer.at)

    def weigh(self, resource: Resource, answer: Answer, engine_now: float | None = None) -> Verdict:
        """Judge one resource by an answer that was observed.

        Args:
            resource: known to exist before the question was asked.
            answer: covers every one of its owners.
            engine_now: for a single look, which cannot watch a row's absence last: the engine's
                time, in seconds since the epoch. The resource's age then stands for the absence.
        """
        if answer.any_live(resource):
            return Verdict(State.ALIVE, "its row exists")
        return Verdict.weakest(
            self._weigh_absent(owner, resource, answer, engine_now) for owner in resource.owners
        )

    def _weigh_absent(
        self, owner: str, resource: Resource, answer: Answer, engine_now: float | None
    ) -> Verdict:
        if owner in self._witnessed:
            return Verdict(State.ORPHAN, "witnessed: its row was seen before and is gone")
        if prefix_of(owner) in self._released:
            return Verdict(State.ORPHAN, "confirmed by an operator")
        if self._replaced:
            return Verdict(State.HELD, "the table is not the one that was there before")
        if not self._vouched:
            return Verdict(State.HELD, "no row of this database owns anything on this host")
        if self.reports.cover(owner, answer.at):
            return Verdict(State.ORPHAN, "its deletion was reported")
        if engine_now is None:
            lasted = answer.at - self._absent_since[owner]
        else:
            # The engine tells its time in whole seconds, so an age can come out negative.
            lasted = max(0.0, engine_now - (resource.created or engine_now))
        if lasted < self._grace:
            return Verdict(State.WAITING, "its row is absent, the grace runs", self._grace - lasted)
        return Verdict(State.ORPHAN, f"absent for more than the grace of {self._grace:g} s")

    def token(self, held: Iterable[str]) -> str:
        """The token that releases these prefixes of this database, and no others."""
        text = "\0".join([self._identity or "", *sorted(held)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def release(self, held: Iterable[str], token: str) -> bool:
        """Count these prefixes as confirmed if the token is theirs; says whether it was."""
        held = frozenset(held)
        if self.token(held) != token:
            return False
        self._released = held
        return True
