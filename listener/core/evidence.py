"""Is a row that is not there a row that was deleted?

Absence alone is not: an empty database, a dump being restored or somebody else's server all answer
"no such row" too. So every answer is weighed against what this listener knows of the database.

*Witnessed*: the row was seen in this same database within a day. Its absence counts at once.
*Unwitnessed*: the absence counts when it was *observed* for the length of the grace, or the feed
reported the deletion; when the database is *vouched for*, because something on this host is, or
was, owned by a row of it; and when it is *current*, for a database that is behind its origin
answers "no such row" of what is alive. It is current where it is seen to be the origin, or a copy
that gets all changes in their order and has come past the birth of the topology, for it shows a
younger one of this host as deployed already.
Everything else is *held*: it stays until an operator confirms it with a token that is bound to the
databases and these prefixes. :mod:`listener.core.unproven` has one more reason to hold.

Time is observed while good answers come: a gap of more than five seconds between two of them, or a
feed that broke, is an outage. The grace begins anew after it; a delay goes on where it was.

A row that is *torn down* is there, and its status is ``torn_down``. For how long it was observed to
be so is counted as a delay is, while answers are about that row; any other status, or no row, ends
it, and a report that it became so begins it anew, for it was otherwise before. In DECNET that
status is final, so a database that is behind its origin shows what was true once and still is: it
counts as a row does that was seen and is gone. After a change of the table it is counted anew, by
what the new one shows.

What is known is bound to the database's identity. When that changes, it is another table, and
whatever is absent from then on without having been seen in it is held, until nothing is left that
the change put in doubt.

There is no clock, thread or socket here; the time is passed in, in seconds on a monotonic clock.
What outlives a restart is :class:`Memory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from listener.core.deletions import ReportedDeletions
from listener.core.numbers import plain
from listener.core.resources import ID_LENGTH, PREFIX_LENGTH, prefix_of
from listener.core.unproven import DAY, MOST_REMEMBERED

UNSEEN = (
    "a topology of another database that was deployed while no listener watched cannot be told from"
    " an orphan; --policy witnessed protects it"
)
"""What no rule here can see, as a sentence for whoever has the policy *absent*."""
OUTAGE = 5.0
"""Seconds without a good answer that are an outage."""
WATCHED = 60.0
"""Seconds between two good answers in which a server may start anew, and nobody can put an older
copy of it in place that has gone on past the state of before."""
LOOKS_APART = 1.0
"""Seconds between the two answers that a single look takes."""


REPLACED = "the table is not the one that was there before"
"""Why what this table never had is held; of all reasons the only one that is about more than a row
that was never seen."""


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
        position: how far the database has come; it goes back only when an older state of it is
            restored underneath. 0 where there is no such figure.
        behind: why it may be behind the origin of its rows, and the remedy, as a predicate; empty
            when it is known to be the origin.
        deployed: where it may be behind, which of the ids had a status that DECNET writes after a
            deploy, read before the rows were.
        torn_down: which of the ids have the status ``torn_down``.
        no_status: why the statuses could not be read, and the remedy, as a predicate; empty when
            they were.
    """

    prefixes: frozenset[str]
    ids: frozenset[str]
    at: float
    identity: str
    generation: int = 0
    position: int = 0
    behind: str = ""
    deployed: frozenset[str] = frozenset()
    torn_down: frozenset[str] = frozenset()
    no_status: str = ""
    _live_prefixes: frozenset[str] = field(init=False, repr=False, compare=False)
    _vague: frozenset[str] = field(init=False, repr=False, compare=False)
    _standing_prefixes: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, for a host asks about each of its networks by a prefix.
        live = frozenset(map(prefix_of, self.ids))
        standing = frozenset(map(prefix_of, self.ids - self.torn_down)) if self.torn_down else live
        # Written otherwise than in a label, an id may be that of any owner with its prefix.
        vague = frozenset(prefix_of(id_) for id_ in self.ids if len(id_) != ID_LENGTH)
        object.__setattr__(self, "_live_prefixes", live)
        object.__setattr__(self, "_vague", vague)
        object.__setattr__(self, "_standing_prefixes", standing)

    def live(self, owner: str) -> bool:
        """Whether the owner has a row.

        Raises:
            KeyError: nobody asked about this owner.
        """
        prefix = prefix_of(owner)
        if prefix not in self.prefixes:
            raise KeyError(owner)
        if len(owner) == PREFIX_LENGTH:
            return owner in self._live_prefixes
        return owner in self.ids or prefix in self._vague

    def stands(self, owner: str) -> bool:
        """Whether the owner has a row that is not torn down.

        A row whose id is written otherwise keeps whatever has an id with its prefix.

        Raises:
            KeyError: nobody asked about this owner.
        """
        if len(owner) > PREFIX_LENGTH or owner not in self.prefixes:
            vague = prefix_of(owner) in self._vague
            return self.live(owner) and (vague or owner not in self.torn_down)
        return owner in self._standing_prefixes

    def about(self, prefixes: frozenset[str]) -> Answer:
        """What it says of these prefixes, all of which were asked about."""
        if prefixes == self.prefixes:
            return self
        ids = frozenset(id_ for id_ in self.ids if prefix_of(id_) in prefixes)
        deployed, torn_down = self.deployed & ids, self.torn_down & ids
        return replace(self, prefixes=prefixes, ids=ids, deployed=deployed, torn_down=torn_down)


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
        timed: it rests on an absence that was observed, and has to be while the removal goes on.
        elsewhere: it is another listener that holds it, or may.
        torn_down: the ids of the rows that it is left of, where all of its rows are torn down.
    """

    state: State
    evidence: str
    wait: float = 0.0
    timed: bool = False
    elsewhere: bool = False
    torn_down: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def weakest(cls, verdicts: Iterable[Self]) -> Self:
        """Of several verdicts, the one that allows the least."""
        order = (State.ALIVE, State.HELD, State.WAITING, State.ORPHAN)
        return min(verdicts, key=lambda v: (order.index(v.state), -v.wait, not v.timed))


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known about one database, as far as it outlives a restart.

    Attributes:
        identity: the database and the table's incarnation that this was learned from.
        witnessed: the ids and prefixes that had a row in it within a day.
        vouched: a row of it owned something on this host, or an operator confirmed what it says.
        replaced: it took another one's place, and what that one knew is still on this host.
        former: the ids and prefixes that had a row in what it took the place of, and none since.
        position: how far the database had come; alone it is no news.
        unproven: see :class:`~listener.core.unproven.Unproven`; the same for every database.
        pending: likewise.
        excused: likewise.
        reported: the ids whose deletion was reported within a day.
        absent: by owner, for how many seconds its absence was observed; alone it is no news.
        torn_down: by id, for how many seconds its row was observed to be torn down; likewise.
    """

    identity: str
    witnessed: frozenset[str] = frozenset()
    vouched: bool = False
    replaced: bool = False
    former: frozenset[str] = frozenset()
    position: int = field(default=0, compare=False)
    unproven: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()
    excused: frozenset[str] = frozenset()
    reported: frozenset[str] = frozenset()
    absent: Mapping[str, float] = field(default_factory=dict, compare=False)
    torn_down: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Absence:
    """How long an owner has had no row, or a row has been torn down, in seconds.

    Attributes:
        at: when it was last seen to be so.
        outages: how many there had been by then.
        lasted: observed since the last outage.
        total: observed altogether.
        before: what of that an earlier run observed.
    """

    at: float
    outages: int
    lasted: float = 0.0
    total: float = 0.0
    before: float = 0.0

    def observe(self, at: float, outages: int) -> None:
        """It was seen to be so again.

        Args:
            at: by an answer that was asked for then.
            outages: how many there had been by then.
        """
        if self.outages < outages:
            self.outages, self.lasted = outages, 0.0
        elif at > self.at:
            self.lasted += at - self.at
            self.total += at - self.at
        self.at = max(self.at, at)


class Evidence:
    """What is known about one database, and the judgement that follows from it.

    Args:
        grace: for how many seconds an unwitnessed row must be absent.
        witnessed_only: nothing else is ever believed.
        memory: of an earlier run.
        now: when it was read.
        same: whether an identity that was known and another are of the same table; and whether
            no more than a minute lies between the answers is given as well.

    Attributes:
        deletions: those that a feed reported.
        teardowns: the rows that a feed reported to be torn down; they are only looked at again.
        forgotten: how many owners were forgotten within a day, for there were too many.
        revision: grows with every change of what the next run should know, but for figures.
    """

    def __init__(
        self,
        grace: float,
        *,
        witnessed_only: bool = False,
        memory: Memory | None = None,
        now: float = 0.0,
        same: Callable[[str, str, bool], bool] = lambda before, now, _: before == now,
    ) -> None:
        self.forgotten = 0
        self.revision = 0
        self._grace = grace
        self._witnessed_only = witnessed_only
        self._same = same
        self._identity = (memory.identity if memory else None) or None
        self._generation = 0
        memory = memory or Memory("")
        self.deletions = ReportedDeletions(memory.reported, now)
        self.teardowns = ReportedDeletions()
        # By owner, when it was last known to be alive or on this host; when it was seen alive; and
        # when with a row that was not torn down.
        self._witnessed = dict.fromkeys(memory.witnessed, now)
        self._alive: dict[str, float] = {}
        self._standing: dict[str, float] = {}
        # Whatever happened between two runs was an outage.
        self._outages = 0
        self._answered_at = -math.inf
        self._absent, self._torn_down = (
            {owner: Absence(now, -1, total=total, before=total) for owner, total in known.items()}
            for known in (memory.absent, memory.torn_down)
        )
        self._vouched = memory.vouched
        self._replaced = memory.replaced
        self._former = set(memory.former)
        # Every answer from now on comes after this.
        self._least_position = self._position = memory.position
        # Up to which birth, in seconds since the epoch, a copy has shown that it has come.
        self._past = -math.inf
        # Whether there was a listing since the table was replaced: when an earlier run learned of
        # that, any is.
        self._listed_since = self._replaced

    @property
    def identity(self) -> str:
        """Of the database that this is about; empty as long as none has answered."""
        return self._identity or ""

    @property
    def memory(self) -> Memory:
        """What the next run should know."""
        return Memory(
            self.identity,
            frozenset(self._witnessed),
            self._vouched,
            self._replaced,
            frozenset(self._former),
            self._position,
            reported=self.deletions.ids,
            absent={owner: absence.total for owner, absence in self._absent.items()},
            torn_down={id_: torn_down.total for id_, torn_down in self._torn_down.items()},
        )

    def observe(self, answer: Answer, owners: Iterable[str]) -> None:
        """Learn from an answer about the owners of resources that were known before it."""
        if self._is_another(answer):
            self._replace(answer)
        elif answer.at - self._answered_at > OUTAGE:
            self.interrupted()
        self.revision += self._identity != answer.identity
        self._identity = answer.identity
        self._answered_at = max(self._answered_at, answer.at)
        self._position = max(self._position, answer.position)
        for id_ in answer.ids:
            for owner in (id_, prefix_of(id_)):
                self.revision += owner not in self._witnessed or owner in self._former
                self._witnessed[owner] = answer.at
                self._alive[owner] = max(answer.at, self._alive.get(owner, answer.at))
                if id_ not in answer.torn_down:
                    self._standing[owner] = max(answer.at, self._standing.get(owner, answer.at))
                self._absent.pop(owner, None)
                self._former.discard(owner)
        self._observe_torn_down(answer)
        for owner in owners:
            if answer.live(owner):
                self.vouch()
            elif not self.overtaken(owner, answer):
                absence = self._absent.setdefault(owner, Absence(answer.at, self._outages))
                absence.observe(answer.at, self._outages)
                if owner in self._witnessed:
                    self._witnessed[owner] = answer.at

    def _is_another(self, answer: Answer) -> bool:
        """Whether the answer is not from the table that was known, as far as that is known."""
        watched = answer.at - self._answered_at <= WATCHED
        return (
            self._identity is None
            or not self._same(self._identity, answer.identity, watched)
            or self._generation != answer.generation
            or 0 < answer.position < self._least_position
        )

    def _replace(self, answer: Answer) -> None:
        """Another table has taken the place of the one that was known."""
        self.revision += 1
        self._replaced = self._identity is not None
        self._listed_since = False
        self._identity, self._generation = answer.identity, answer.generation
        self._least_position = self._position = 0
        if self._replaced:
            self._former |= self._witnessed.keys()
            self.deletions.clear()
            self.teardowns.clear()
        self._witnessed.clear()
        self._alive.clear()
        self._standing.clear()
        self._absent.clear()
        self._torn_down.clear()
        self._vouched = False
        self._past = -math.inf

    def note_teardowns(self, ids: Collection[str], now: float) -> None:
        """The feed reported that these rows have become torn down: their time begins anew."""
        self.teardowns.add(ids, now)
        for id_ in ids:
            if id_ in self._torn_down:  # what was not is seen to be from the next answer on
                self._torn_down[id_] = Absence(now, self._outages)

    def _observe_torn_down(self, answer: Answer) -> None:
        unread = answer.ids if answer.no_status else frozenset()
        for id_ in self._torn_down.keys() - answer.torn_down - unread:
            if prefix_of(id_) in answer.prefixes:
                del self._torn_down[id_]
        if answer.at < self._answered_at:
            return  # a later one may have shown another status
        for id_ in answer.torn_down:
            torn_down = self._torn_down.setdefault(id_, Absence(answer.at, self._outages))
            if answer.at - torn_down.at > OUTAGE:
                torn_down.at = answer.at  # nobody has asked about it since
            torn_down.observe(answer.at, self._outages)

    def interrupted(self) -> None:
        """There was an outage, or the feed was lost: nobody knows what happened meanwhile."""
        self._outages += 1

    def vouch(self) -> None:
        """A row of this database owns something on this host, or an operator confirmed it."""
        self.revision += not self._vouched
        self._vouched = True

    def has_come_past(self, born: float) -> None:
        """The last answer showed that all changes of before this moment have arrived.

        Args:
            born: when a topology that it showed as deployed was begun, in seconds since the epoch.
        """
        self._past = max(self._past, born)

    def prune(
        self,
        answer: Answer,
        owners: Set[str],
        gone: Set[str],
        *,
        left: Set[str],
        kept: Set[str],
        listed: bool,
    ) -> None:
        """Forget what no longer matters.

        Args:
            answer: was observed.
            owners: of everything on this host.
            gone: those of them that have no row in any database.
            left: those that may go although they have rows, for all of these are torn down.
            kept: others whose absence matters.
            listed: nothing is missing among them, for they come from a new listing.
        """
        if not listed:
            return  # nobody knows what is on this host
        owners_kept = owners | kept
        self._absent = {o: absence for o, absence in self._absent.items() if o in owners_kept}
        here = frozenset(map(prefix_of, owners_kept))
        self._torn_down = {id_: t for id_, t in self._torn_down.items() if prefix_of(id_) in here}
        # A deploy may go on after its row is deleted and what there was of it is removed.
        oldest = answer.at - DAY
        lately = {o: at for o, at in self._witnessed.items() if at >= oldest}
        if (surplus := len(lately) - MOST_REMEMBERED) > 0:
            self.forgotten += surplus
            for owner in sorted(lately, key=lately.__getitem__)[:surplus]:
                del lately[owner]
        self.revision += len(lately) < len(self._witnessed)
        self._witnessed = lately
        self._alive = {o: at for o, at in self._alive.items() if o in lately}
        self._standing = {o: at for o, at in self._standing.items() if o in lately}
        # The change of the table is past once it leaves nothing on this host in doubt. The listing
        # that shows it has to be later than the one at hand when the change was learned.
        if self._replaced:
            doubts = not gone <= self._witnessed.keys() or any(map(self.doubted, left))
            self._replaced = doubts or not self._listed_since
            self._listed_since = True
            if not self._replaced:
                self.revision += 1
                self._former.clear()

    def witnessed(self, owner: str) -> bool:
        """Whether the owner had a row in this same database."""
        return owner in self._witnessed

    def overtaken(self, owner: str, answer: Answer) -> bool:
        """Whether an answer that was asked for later has shown a row that keeps the owner.

        That is any where this one shows none, and one that was not torn down where it does.
        """
        shown = self._standing if answer.live(owner) else self._alive
        return shown.get(owner, answer.at) > answer.at

    def doubted(self, owner: str) -> bool:
        """Whether the owner had a row in what this database took the place of, and not since.

        Of a bare prefix it is any id with it, whatever other rows with it there are by now.
        """
        return self._replaced and (
            owner in self._former
            or (len(owner) == PREFIX_LENGTH and any(o.startswith(owner) for o in self._former))
        )

    def absent_for(self, owner: str) -> float:
        """For how many seconds it was observed that the owner has no row."""
        return self._absent[owner].total

    def torn_down_for(self, id_: str) -> float:
        """For how many seconds it was observed that a row is torn down."""
        return self._torn_down[id_].total if id_ in self._torn_down else 0.0

    def weigh(
        self,
        owner: str,
        answer: Answer,
        *,
        created: float | None,
        begun: float | None,
        engine_now: float | None,
    ) -> Verdict:
        """Judge the absence of an owner by an answer that was observed.

        Args:
            owner: has no row.
            answer: covers it.
            created: when the engine made the resource, in seconds since the epoch, if it is known.
            begun: the same of the first resource of the owner.
            engine_now: for a single look, which cannot watch an absence last: the engine's time, in
                seconds since the epoch. The resource's age then stands for most of the absence.
        """
        if owner in self._witnessed:
            return Verdict(State.ORPHAN, "witnessed: its row was seen before and is gone")
        if self._replaced:
            return Verdict(State.HELD, REPLACED)
        if answer.behind and (begun is None or begun >= self._past):
            return Verdict(State.HELD, f"its row was never seen, and {answer.behind}")
        if not self._vouched:
            return Verdict(State.HELD, "no row of this database owns anything on this host")
        if self.deletions.cover(owner, answer.at):
            return Verdict(State.ORPHAN, "its deletion was reported")
        if self._witnessed_only:
            return Verdict(State.HELD, "its row was never seen, and the policy is witnessed")
        absence = self._absent[owner]
        left = self._grace - absence.lasted
        if engine_now is not None:
            # The engine tells its time in whole seconds, so an age can come out negative.
            age = max(0.0, engine_now - (created or engine_now))
            left = max(self._grace - age, LOOKS_APART - (absence.total - absence.before))
        if left > 0:
            return Verdict(State.WAITING, "its row is absent, the grace runs", left)
        evidence = f"absent for more than the grace of {plain(self._grace)} s"
        return Verdict(State.ORPHAN, evidence, timed=True)
