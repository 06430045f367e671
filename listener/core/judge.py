"""One verdict on a resource, from everything that all databases say.

With several databases a row in any of them is life, and all must answer. Of an id that has no row
anywhere, the database that once had it is the witness, and what the others do not know of it is no
matter; but where another one knew it as well and has been replaced since, that may be why it is
missing, and it is held. A prefix is less than an id: a resource that nothing but its name ties to a
topology takes the weakest evidence of all databases, and so does an id that nobody witnessed.

A removal can be put off by a delay, for who wants to look at the evidence first: the owner then has
to be absent everywhere for so long.

A row that is torn down is life like any other, unless the operator has given a time: then what is
left of it goes once each database that has the row was observed to show it torn down for so long;
what a bare prefix owns, once all rows with that prefix are. Such a row needs no other evidence, for
it is seen, and no delay is added. But where the table has taken the place of one with other rows of
the prefix, and they were not seen since, it is held.

What appeared under watch while none of them had its row is held, whatever they say of it later but
that there is one: :mod:`listener.core.unproven`.

A container whose labels may be another's is held as well, and says nothing of its owners' rows.

What somebody else has seen alive is alive, and vouches for no database.

What another listener on the same engine holds is held here too, but where it never saw a row and we
have seen one go: so two listeners of two databases can work side by side.

There is no clock, thread or socket here.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from listener.core.evidence import (
    LOOKS_APART,
    REPLACED,
    Answer,
    Evidence,
    Memory,
    State,
    Verdict,
)
from listener.core.numbers import plain
from listener.core.resources import PREFIX_LENGTH, Kind, Resource, prefix_of
from listener.core.unproven import Unproven

UNPROVEN = Verdict(
    State.HELD,
    "it appeared here while no database had its row, so the database is behind, or another one owns"
    " this topology",
)
DOUBTFUL = Verdict(
    State.HELD,
    "the image of a container is gone, so nobody can tell whether its labels are its own or"
    " inherited; topology-reaper explain shows which container",
)
CONFIRMED = Verdict(State.ORPHAN, "confirmed by an operator")
TORN_DOWN = Verdict(State.ALIVE, "its row exists, and is torn_down")

Ask = Callable[[Iterable[str]], Answer]


@dataclass(frozen=True, slots=True)
class Hold:
    """A prefix that another listener on this engine holds.

    Attributes:
        reason: who holds it, and why.
        never_seen: only because it never saw a row of it.
    """

    reason: str
    never_seen: bool


@dataclass(frozen=True, slots=True)
class Peers:
    """What the other listeners on this engine hold.

    Attributes:
        holds: by prefix.
        silent: who does not say, as words for a person; empty if all do.
    """

    holds: Mapping[str, Hold] = field(default_factory=dict)
    silent: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What every database said about the same owners.

    Attributes:
        each: one answer a database.
        peers: what other listeners hold, asked for if any owner has no row.
    """

    each: Sequence[Answer]
    peers: Peers = field(default_factory=Peers)

    @property
    def at(self) -> float:
        """When the first question was asked, in seconds on a monotonic clock."""
        return min(answer.at for answer in self.each)

    def live(self, owner: str) -> bool:
        """Whether the owner has a row anywhere."""
        return any(answer.live(owner) for answer in self.each)

    def stands(self, owner: str) -> bool:
        """Whether the owner has a row anywhere that is not torn down."""
        return any(answer.stands(owner) for answer in self.each)

    def torn_down(self, owner: str) -> Set[str]:
        """The ids of those rows of an owner that are torn down."""
        return {id_ for answer in self.each for id_ in answer.torn_down if id_.startswith(owner)}


class Judge:
    """Asks the databases, and judges by what they answer and have answered before.

    Args:
        databases: how to ask each, and what is known about it.
        memories: what an earlier run knew, of which this takes the part that concerns all.
        delay: seconds between a deletion and its reap.
        torn_down_after: seconds for which a row has to be torn down until it counts no more; 0: it
            always does.
        now: when the memories were read.
        peers: what other listeners hold.
        alive: the ids of rows that somebody else has just seen.
    """

    def __init__(
        self,
        databases: Sequence[tuple[Ask, Evidence]],
        *,
        memories: Iterable[Memory | None] = (),
        delay: float = 0.0,
        torn_down_after: float = 0.0,
        now: float = 0.0,
        peers: Callable[[], Peers] = Peers,
        alive: Iterable[str] = (),
    ) -> None:
        self._peers = peers
        self._alive = {owner for id_ in alive for owner in (id_, prefix_of(id_))}
        self._asks = [ask for ask, _ in databases]
        self._evidence = [evidence for _, evidence in databases]
        known = [memory for memory in memories if memory is not None]
        self._unproven = Unproven(
            marked={owner for memory in known for owner in memory.unproven},
            pending={owner for memory in known for owner in memory.pending},
            excused={owner for memory in known for owner in memory.excused},
            now=now,
        )
        self._saved = [0] * len(databases)
        self._delay = delay
        self._torn_down_after = torn_down_after
        # By owner, when its first resource that is known was made; the engine's time.
        self._begun: dict[str, float] = {}
        self._released: frozenset[str] = frozenset()
        self._released_for = ""

    def ask(self, owners: Collection[str]) -> Answers:
        """Which of these owners have rows.

        Raises:
            NoAnswer: one of the databases gave none that can be trusted.
        """
        prefixes = {prefix_of(owner) for owner in owners}
        answers = Answers([ask(prefixes) for ask in self._asks])
        if all(map(answers.stands if self._torn_down_after else answers.live, owners)):
            return answers
        return replace(answers, peers=self._peers())

    def appeared(self, owners: Mapping[str, bool]) -> None:
        """These owners appeared under watch; see :meth:`Unproven.appeared`."""
        self._unproven.appeared(owners)

    def observe(self, answers: Answers, resources: Collection[Resource]) -> bool:
        """Learn from answers about the owners of some resources, which were known before them.

        Returns:
            Whether any owner turned out unproven, which should be kept before anything is removed.
        """
        # An image tells as little: it may have come from another host, or have been made of one.
        certain = [r for r in resources if not (r.doubtful or r.kind is Kind.IMAGE)]
        owners, doubtful = _owners(certain), _owners(resources)
        self._note_births(certain)
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            # A row that may be another host's vouches for nothing.
            absent = {owner for owner in doubtful if not answer.live(owner)}
            evidence.observe(answer, owners | absent)
            if answer.deployed:
                evidence.has_come_past(_youngest(answer, certain))
        return self._unproven.answered(
            owners, answers.live, lambda owner: self._explained(owner, answers.at)
        )

    def prune(
        self, answers: Answers, resources: Collection[Resource], here: Set[str], *, listed: bool
    ) -> None:
        """Forget what no longer matters, by answers about everything on this host.

        Args:
            answers: were observed.
            resources: all that was known of when they were asked for.
            here: every owner that has something on this host by now.
            listed: they come from a new listing, so nothing is missing.
        """
        owners = _owners(resources)
        certain = _owners(resource for resource in resources if not resource.doubtful)
        gone = {owner for owner in certain if not answers.live(owner)}
        may_go = owners if self._torn_down_after else frozenset()  # although there are rows
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            left = {o for o in may_go if answer.live(o) and not answer.stands(o)}
            evidence.prune(answer, owners, gone, left=left, kept=here, listed=listed)
        if listed:
            self._unproven.forget(here, answers.at)
            self._begun = {owner: at for owner, at in self._begun.items() if owner in here}

    def unsaved(self, *, everything: bool = False) -> dict[int, Memory]:
        """What the next run should know, by database, where it has changed since the last call.

        Args:
            everything: also where nothing but figures have.
        """
        unsaved = {}
        for database, evidence in enumerate(self._evidence):
            revision = evidence.revision + self._unproven.revision
            if everything or revision != self._saved[database]:
                self._saved[database] = revision
                unsaved[database] = replace(
                    evidence.memory,
                    unproven=self._unproven.marked,
                    pending=self._unproven.pending,
                    excused=self._unproven.excused,
                )
        return unsaved

    @property
    def forgotten(self) -> int:
        """How many owners were forgotten within a day, for there were too many."""
        return sum(evidence.forgotten for evidence in self._evidence)

    def note_deletions(self, database: int, ids: Collection[str], now: float) -> None:
        """The feed of a database, by its number, reported that these rows were deleted."""
        evidence = self._evidence[database]
        evidence.deletions.add(ids, now)
        evidence.revision += 1
        self._unproven.note_deletions(ids)

    def note_teardowns(self, database: int, ids: Collection[str], now: float) -> None:
        """The feed of a database reported that these rows are torn down: they are no deletions."""
        self._evidence[database].note_teardowns(ids, now)

    def interrupted(self, database: int) -> None:
        """The feed of a database was lost: nobody knows what happened meanwhile."""
        self._evidence[database].interrupted()

    def removing(self, resource: Resource, now: float) -> None:
        """An orphan is being removed: the rest of its topology may appear without a row."""
        for owner in resource.owners:
            self._unproven.excuse(owner, now)

    def reported(self, prefix: str, now: float) -> bool:
        """Whether any feed reported a deletion with this prefix lately."""
        return any(evidence.deletions.cover(prefix, now) for evidence in self._evidence)

    def still_there(self, answers: Answers) -> dict[str, float]:
        """By prefix of rows that do not show what was reported: in what time to ask again."""
        waits: dict[str, float] = {}
        for evidence, answer in zip(self._evidence, answers.each, strict=True):
            for reports, ids in (
                (evidence.deletions, answer.ids),
                (evidence.teardowns, answer.ids - answer.torn_down),
            ):
                for prefix, wait in reports.still_there(ids, answer.at).items():
                    waits[prefix] = min(wait, waits.get(prefix, wait))
        return waits

    def unread(self, answers: Answers) -> Sequence[str]:
        """Why statuses that matter could not be read, and the remedy; one for each database."""
        each = answers.each if self._torn_down_after else ()
        return [answer.no_status for answer in each if answer.no_status]

    def weigh(
        self, resource: Resource, answers: Answers, engine_now: float | None = None
    ) -> Verdict:
        """Judge one resource by answers that were observed.

        Args:
            resource: known to exist before the question was asked.
            answers: cover every one of its owners.
            engine_now: see :meth:`Evidence.weigh`.
        """
        # Of an image the label tells no more than the prefix, whoever ran it.
        whose = {*resource.owners, *(resource.prefixes if resource.kind is Kind.IMAGE else ())}
        if any(answers.stands(owner) or owner in self._alive for owner in whose):
            return Verdict(State.ALIVE, "its row exists")
        torn_down = {o: rows for o in whose if (rows := answers.torn_down(o))}
        if any(
            evidence.overtaken(owner, answer)
            for evidence, answer in zip(self._evidence, answers.each, strict=True)
            for owner in whose
        ):
            return Verdict(State.ALIVE, "a later answer has shown its row")
        verdict = TORN_DOWN
        if not torn_down or self._torn_down_after:
            verdict = self._weigh_gone(resource, answers, engine_now, torn_down)
        ids = {id_ for rows in torn_down.values() for id_ in rows}
        return replace(verdict, torn_down=tuple(sorted(ids)))

    def _weigh_gone(
        self,
        resource: Resource,
        answers: Answers,
        engine_now: float | None,
        torn_down: Mapping[str, Set[str]],
    ) -> Verdict:
        """Judge a resource whose owners have no rows, or such as do not keep it.

        Args:
            resource: as of :meth:`weigh`.
            answers: likewise.
            engine_now: likewise.
            torn_down: by owner that has rows, their ids.
        """
        absent = [owner for owner in resource.owners if owner not in torn_down]
        verdict = Verdict.weakest(
            [
                *(self._weigh_absent(owner, resource, answers, engine_now) for owner in absent),
                *(self._weigh_torn_down(o, ids, answers) for o, ids in torn_down.items()),
            ]
        )
        if verdict == CONFIRMED:
            return verdict
        if resource.doubtful and verdict.state is not State.WAITING:
            return DOUBTFUL
        if (elsewhere := self._held_elsewhere(verdict, resource, answers)) is not None:
            return elsewhere
        lasted = min(
            (evidence.absent_for(owner) for evidence in self._evidence for owner in absent),
            default=math.inf,
        )
        if verdict.state is State.ORPHAN and lasted < self._delay:
            return Verdict(State.WAITING, "its row is gone, the delay runs", self._delay - lasted)
        return verdict

    def _held_elsewhere(
        self, verdict: Verdict, resource: Resource, answers: Answers
    ) -> Verdict | None:
        """The verdict of the other listeners; None where they have none, or it is held anyway."""
        if verdict.state is State.HELD:
            return None
        explained = all(self._explained(owner, answers.at) for owner in resource.owners)
        for prefix in resource.prefixes:
            hold = answers.peers.holds.get(prefix)
            if hold is not None and not (hold.never_seen and explained):
                return Verdict(State.HELD, hold.reason, elsewhere=True)
        if answers.peers.silent and not explained and verdict.state is State.ORPHAN:
            why = f"{answers.peers.silent} does not say what it holds"
            return Verdict(State.WAITING, why, wait=LOOKS_APART, elsewhere=True)
        return None

    def _weigh_absent(
        self, owner: str, resource: Resource, answers: Answers, engine_now: float | None
    ) -> Verdict:
        if self._is_released(owner):
            return CONFIRMED
        if owner in self._unproven:
            return UNPROVEN
        verdicts = [
            evidence.weigh(
                owner,
                answer,
                created=resource.created,
                begun=self._begun.get(owner),
                engine_now=engine_now,
            )
            for evidence, answer in zip(self._evidence, answers.each, strict=True)
        ]
        if len(owner) > PREFIX_LENGTH and not self._doubted(owner):
            for evidence, verdict in zip(self._evidence, verdicts, strict=True):
                if evidence.witnessed(owner):
                    return verdict
        return Verdict.weakest(verdicts)

    def _weigh_torn_down(self, owner: str, ids: Set[str], answers: Answers) -> Verdict:
        released = self._is_released(owner)
        if self._doubted(owner) and not released:
            return Verdict(State.HELD, REPLACED)
        lasted = min(
            evidence.torn_down_for(id_)
            for evidence, answer in zip(self._evidence, answers.each, strict=True)
            for id_ in ids & answer.torn_down
        )
        if (left := self._torn_down_after - lasted) > 0:
            return Verdict(State.WAITING, "its row is torn_down, --reap-torn-down runs", left)
        evidence = f"torn down for more than {plain(self._torn_down_after)} s"
        return CONFIRMED if released else Verdict(State.ORPHAN, evidence)

    def _doubted(self, owner: str) -> bool:
        return any(evidence.doubted(owner) for evidence in self._evidence)

    def _is_released(self, owner: str) -> bool:
        return prefix_of(owner) in self._released and self._released_for == self._identity

    @property
    def _identity(self) -> str:
        return "\0".join(sorted(evidence.identity for evidence in self._evidence))

    def token(self, held: Iterable[str]) -> str:
        """The token that releases these prefixes of these databases, and no others."""
        text = "\0".join([self._identity, *sorted(held)])
        # The path of a file, which is part of its identity, need not be UTF-8.
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]

    def release(self, held: Iterable[str], token: str, now: float) -> bool:
        """Count these prefixes as confirmed if the token is theirs; says whether it was."""
        held = frozenset(held)
        if self.token(held) != token:
            return False
        self._released, self._released_for = held, self._identity
        self._unproven.release(held, now)
        for evidence in self._evidence:
            evidence.vouch()
        return True

    def _explained(self, owner: str, now: float) -> bool:
        """Whether a database had its row, or its deletion was reported, within a day."""
        return any(
            evidence.witnessed(owner) or evidence.deletions.explain(owner, now)
            for evidence in self._evidence
        )

    def _note_births(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            if resource.created is not None:
                for owner in resource.owners:
                    begun = self._begun.get(owner, resource.created)
                    self._begun[owner] = min(begun, resource.created)


def _youngest(answer: Answer, resources: Iterable[Resource]) -> float:
    """When the youngest of the topologies was begun that an answer shows as deployed.

    Only those with a network count: compose makes containers anew long after a deploy, and networks
    never. Where two rows share a prefix nobody can tell whose network it is.

    Returns:
        Seconds since the epoch; less than any where there is none.
    """
    shared = Counter(map(prefix_of, answer.ids))
    deployed = {
        owner: id_
        for id_ in answer.deployed
        if shared[prefix_of(id_)] == 1
        for owner in (id_, prefix_of(id_))
    }
    begun: dict[str, float] = {}
    with_network: set[str] = set()
    for resource in resources:
        for id_ in {deployed[owner] for owner in resource.owners if owner in deployed}:
            begun[id_] = min(begun.get(id_, math.inf), resource.created or -math.inf)
            if resource.kind is Kind.NETWORK:
                with_network.add(id_)
    return max((begun[id_] for id_ in with_network), default=-math.inf)


def _owners(resources: Iterable[Resource]) -> frozenset[str]:
    return frozenset(owner for resource in resources for owner in resource.owners)
