"""One verdict on a resource, from everything that all databases say.

With several databases a row in any of them is life, and all must answer. Of an id that has no row
anywhere, the database that once had it is the witness, and what the others do not know of it is no
matter; but where another one knew it as well and has been replaced since, that may be why it is
missing, and it is held. A prefix is less than an id: a resource that nothing but its name ties to a
topology takes the weakest evidence of all databases, and so does an id that nobody witnessed.

A removal can be put off by a delay, for who wants to look at the evidence first: the owner then has
to be absent everywhere for so long.

There is no clock, thread or socket here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from listener.evidence import Answer, Evidence, Memory, State, Verdict
from listener.naming import PREFIX_LENGTH, Resource, prefix_of

CONFIRMED = Verdict(State.ORPHAN, "confirmed by an operator")

Ask = Callable[[Iterable[str]], Answer]


@dataclass(frozen=True, slots=True)
class Answers:
    """What every database said about the same prefixes.

    Attributes:
        each: one answer a database.
    """

    each: Sequence[Answer]

    @property
    def at(self) -> float:
        """When the first question was asked, in seconds on a monotonic clock."""
        return min(answer.at for answer in self.each)

    def live(self, owner: str) -> bool:
        """Whether the owner has a row anywhere."""
        return any(answer.live(owner) for answer in self.each)


class Judge:
    """Asks the databases, and judges by what they answer and have answered before.

    Args:
        databases: how to ask each, and what is known about it.
        delay: seconds between a deletion and its reap.
    """

    def __init__(self, databases: Sequence[tuple[Ask, Evidence]], *, delay: float = 0.0) -> None:
        self._asks = [ask for ask, _ in databases]
        self._evidence = [evidence for _, evidence in databases]
        self._told = [evidence.memory for evidence in self._evidence]
        self._delay = delay
        self._released: frozenset[str] = frozenset()
        self._released_for = ""

    def ask(self, prefixes: Collection[str]) -> Answers:
        """Which rows begin with any of these prefixes.

        Raises:
            NoAnswer: one of the databases gave none that can be trusted.
        """
        return Answers([ask(prefixes) for ask in self._asks])

    def observe(self, answers: Answers, resources: Iterable[Resource]) -> None:
        """Learn from answers about the owners of some resources, which were known before them."""
        owners = _owners(resources)
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            evidence.observe(answer, owners)

    def settle(self, answers: Answers, resources: Iterable[Resource], *, listed: bool) -> None:
        """Forget what no longer matters, by answers about everything on this host.

        Args:
            answers: were observed.
            resources: all that is known of.
            listed: they come from a new listing, so nothing is missing.
        """
        owners = _owners(resources)
        gone = {owner for owner in owners if not answers.live(owner)}
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            evidence.settle(answer, owners, gone, listed=listed)

    def news(self, *, everything: bool = False) -> dict[int, Memory]:
        """What the next run should know, by database, where it has changed since the last call.

        Args:
            everything: also where nothing but the position has.
        """
        news = {}
        for database, evidence in enumerate(self._evidence):
            memory = evidence.memory
            if everything or memory != self._told[database]:
                self._told[database] = news[database] = memory
        return news

    def report(self, database: int, ids: Iterable[str], now: float) -> None:
        """The feed of a database, by its number, reported that these rows were deleted."""
        self._evidence[database].reports.add(ids, now)

    def reported(self, prefix: str, now: float) -> bool:
        """Whether any feed reported a deletion with this prefix lately."""
        return any(evidence.reports.cover(prefix, now) for evidence in self._evidence)

    def still_there(self, answers: Answers) -> dict[str, float]:
        """By prefix of rows that were reported deleted: in how many seconds to ask again."""
        waits: dict[str, float] = {}
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            for prefix, wait in evidence.reports.still_there(answer.ids, answer.at).items():
                waits[prefix] = min(wait, waits.get(prefix, wait))
        return waits

    def weigh(
        self, resource: Resource, answers: Answers, engine_now: float | None = None
    ) -> Verdict:
        """Judge one resource by answers that were observed.

        Args:
            resource: known to exist before the question was asked.
            answers: cover every one of its owners.
            engine_now: see :meth:`Evidence.weigh`.
        """
        if any(answers.live(owner) for owner in resource.owners):
            return Verdict(State.ALIVE, "its row exists")
        verdict = Verdict.weakest(
            self._weigh_absent(owner, resource, answers, engine_now) for owner in resource.owners
        )
        if verdict == CONFIRMED:
            return verdict
        lasted = min(
            evidence.absent_for(owner, answer)
            for evidence, answer in zip(self._evidence, answers.each, strict=True)
            for owner in resource.owners
        )
        if verdict.state is State.ORPHAN and lasted < self._delay:
            return Verdict(State.WAITING, "its row is gone, the delay runs", self._delay - lasted)
        return verdict

    def _weigh_absent(
        self, owner: str, resource: Resource, answers: Answers, engine_now: float | None
    ) -> Verdict:
        if prefix_of(owner) in self._released and self._released_for == self._identity:
            return CONFIRMED
        verdicts = [
            evidence.weigh(owner, answer, created=resource.created, engine_now=engine_now)
            for evidence, answer in zip(self._evidence, answers.each, strict=True)
        ]
        doubted = any(evidence.doubted(owner) for evidence in self._evidence)
        if len(owner) > PREFIX_LENGTH and not doubted:
            for evidence, verdict in zip(self._evidence, verdicts, strict=True):
                if evidence.witnessed(owner):
                    return verdict
        return Verdict.weakest(verdicts)

    @property
    def _identity(self) -> str:
        return "\0".join(sorted(evidence.identity for evidence in self._evidence))

    def token(self, held: Iterable[str]) -> str:
        """The token that releases these prefixes of these databases, and no others."""
        text = "\0".join([self._identity, *sorted(held)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def release(self, held: Iterable[str], token: str) -> bool:
        """Count these prefixes as confirmed if the token is theirs; says whether it was."""
        held = frozenset(held)
        if self.token(held) != token:
            return False
        self._released, self._released_for = held, self._identity
        return True


def _owners(resources: Iterable[Resource]) -> frozenset[str]:
    return frozenset(owner for resource in resources for owner in resource.owners)
