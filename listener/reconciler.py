"""One prefix: look, ask, judge, reap.

This is the only place where a removal is decided, and it decides from the state at that moment:
first what the index holds, then what the database answers about the owners of just that, then what
the evidence makes of the answer. What led here, an event, a hint or a timer, has no say.

:meth:`Reconciler.screen` does the first three steps for many prefixes in one question, so that a
commit which may concern any of them costs a single query; what it finds orphaned is reconciled
prefix by prefix.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from listener.errors import NoAnswer
from listener.evidence import Memory, State, Verdict
from listener.index import PrefixIndex
from listener.judge import Answers, Judge
from listener.naming import Resource, prefix_of
from listener.reaper import Permit, Removal, Result

FRESH = 1.0
"""For how many seconds an answer may justify the start of a removal."""


class Reap(Protocol):
    """Removes resources, asking the permit before each attempt."""

    def __call__(self, doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:
        """Returns what became of each."""


@dataclass(frozen=True, slots=True)
class Screening:
    """Where many prefixes stand; a prefix with several resources can be in more than one place.

    Attributes:
        live: prefixes with a row.
        orphans: by prefix, what is to be removed.
        waiting: by prefix, the verdict with the longest time that it has to wait.
        held: by prefix, why it is held.
        elsewhere: which of these only other listeners hold.
        hearsay: something else is held that may be none of ours at all; a listing tells.
        reported: by prefix with a row that was reported deleted and is still there, in how many
            seconds to look again.
        token: releases exactly what is held.
        verdicts: by resource id.
    """

    live: frozenset[str]
    orphans: Mapping[str, Sequence[Resource]]
    waiting: Mapping[str, Verdict]
    held: Mapping[str, str]
    token: str
    elsewhere: frozenset[str] = frozenset()
    hearsay: bool = False
    reported: Mapping[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one prefix.

    Attributes:
        removals: what became of each resource that was to be removed.
        verdicts: by resource id, of everything that was looked at.
        there: the ids of what the index still holds of the prefix.
        wait: look again after so many seconds; None when there is no need.
        again: look again after so many seconds even if something of it fails, for a row that was
            reported deleted is still there; None when there is none.
        held: something of it is held.
    """

    removals: Sequence[Removal] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    there: Collection[str] = frozenset()
    wait: float | None = None
    again: float | None = None
    held: bool = False

    @property
    def unfinished(self) -> bool:
        """Something that was to go is still there, so the prefix has to be tried again."""
        return self.pending or bool(self.errors)

    @property
    def pending(self) -> bool:
        """Another look will do: a removal is under way, or an owner was corrected."""
        return any(r.result in (Result.PENDING, Result.MISTAKEN) for r in self.removals)

    @property
    def errors(self) -> list[str]:
        """Why what is still there is, one sentence each."""
        return [
            f"{removal.resource}: {removal.error}"
            for removal in self.removals
            if removal.result in (Result.PENDING, Result.FAILED)
        ]


class Reconciler:
    """Decides, from what the index holds and the database answers.

    Args:
        index: what is on this host.
        judge: asks the databases and weighs their answers.
        reap: removes.
        clock: seconds, monotonic; the same as the answers'.
        learned: called when there is :meth:`news` that should be kept before anything is removed.
        engine_now: for a single sweep, the engine's time; see :meth:`Evidence.weigh`.
    """

    def __init__(
        self,
        *,
        index: PrefixIndex,
        judge: Judge,
        reap: Reap,
        clock: Callable[[], float],
        learned: Callable[[], None] = lambda: None,
        engine_now: float | None = None,
    ) -> None:
        self._learned = learned
        self._index = index
        self._judge = judge
        self._reap = reap
        self._clock = clock
        self._engine_now = engine_now
        # The workers share the judge; a question is asked outside the lock.
        self._lock = threading.Lock()

    def screen(self, prefixes: Iterable[str] | None = None, *, listed: bool = False) -> Screening:
        """Where these prefixes stand, or all of this host's; removes nothing.

        Everything on the host is asked about: what is alive vouches for the database.

        Args:
            prefixes: tell of these only.
            listed: the index was filled from a full listing since the last screening.

        Raises:
            NoAnswer: the database gave no answer that can be trusted.
        """
        by_prefix = {prefix: self._index.resources(prefix) for prefix in self._index.prefixes()}
        resources = {r.id: r for members in by_prefix.values() for r in members}
        answers, verdicts = self._judge_by_new_answers(resources.values())
        with self._lock:
            here = self._index.owners()
            self._judge.settle(answers, resources.values(), here, listed=listed)
            reported = self._judge.still_there(answers)
        if prefixes is not None:
            by_prefix = {prefix: by_prefix.get(prefix, ()) for prefix in prefixes}
        orphans: dict[str, list[Resource]] = {}
        waiting: dict[str, Verdict] = {}
        held: dict[str, Verdict] = {}
        hearsay = False
        for prefix, members in by_prefix.items():
            for resource in members:
                verdict = verdicts[resource.id]
                if verdict.state is State.ORPHAN:
                    orphans.setdefault(prefix, []).append(resource)
                elif verdict.state is State.WAITING:
                    waiting[prefix] = max(
                        waiting.get(prefix, verdict), verdict, key=lambda v: v.wait
                    )
                elif verdict.state is State.HELD and self._index.is_hearsay(resource.id):
                    hearsay = True
                elif verdict.state is State.HELD:
                    # Of several reasons our own, and always the same one, however they are listed.
                    held[prefix] = min(
                        held.get(prefix, verdict), verdict, key=lambda v: (v.elsewhere, v.evidence)
                    )
        return Screening(
            live=frozenset(p for p, members in by_prefix.items() if members and answers.live(p)),
            orphans=orphans,
            waiting=waiting,
            held={prefix: verdict.evidence for prefix, verdict in held.items()},
            token=self._judge.token(held) if held else "",
            elsewhere=frozenset(prefix for prefix, v in held.items() if v.elsewhere),
            hearsay=hearsay,
            reported=reported,
            verdicts=verdicts,
        )

    def report(self, database: int, ids: Collection[str]) -> frozenset[str]:
        """Remember what a database reported deleted; returns which prefixes to look at."""
        with self._lock:
            self._judge.report(database, ids, self._clock())
        return self._index.prefixes() & {prefix_of(id_) for id_ in ids}

    def interrupted(self, database: int) -> None:
        """The feed of a database was lost."""
        with self._lock:
            self._judge.interrupted(database)

    @property
    def forgotten(self) -> int:
        """How many owners were forgotten too early; see :attr:`Judge.forgotten`."""
        return self._judge.forgotten

    def news(self, *, everything: bool = False) -> Mapping[int, Memory]:
        """What the next run should know, by database; see :meth:`Judge.news`."""
        with self._lock:
            return self._judge.news(everything=everything)

    def reported(self, prefix: str) -> bool:
        """Whether a deletion with this prefix was reported lately."""
        with self._lock:
            return self._judge.reported(prefix, self._clock())

    def reconcile(self, prefix: str) -> Outcome:
        """Remove what is orphaned of this prefix.

        Raises:
            NoAnswer: the database gave no answer that can be trusted; nothing was removed.
        """
        resources = self._index.resources(prefix)
        if not resources:
            return Outcome()
        answers, verdicts = self._judge_by_new_answers(resources)
        with self._lock:
            again = min(self._judge.still_there(answers).values(), default=None)
        doomed = [r for r in resources if verdicts[r.id].state is State.ORPHAN]
        removals = self._reap(doomed, self._permit(doomed, answers.at, verdicts)) if doomed else ()
        for removal in removals:
            if removal.result in (Result.REMOVED, Result.GONE):
                self._index.discard(removal.resource.id)
            elif removal.result is Result.MISTAKEN:
                self._index.discard(removal.resource.id)
                if removal.found is not None:
                    self._index.put(removal.found, read=True)
        return Outcome(
            removals=removals,
            verdicts=verdicts,
            there={resource.id for resource in self._index.resources(prefix)},
            wait=max((v.wait for v in verdicts.values() if v.state is State.WAITING), default=None),
            again=again,
            held=any(v.state is State.HELD for v in verdicts.values()),
        )

    def _judge_by_new_answers(
        self, resources: Collection[Resource]
    ) -> tuple[Answers, dict[str, Verdict]]:
        with self._lock:
            self._judge.appeared(self._index.take_appeared())
        answers = self._judge.ask({owner for r in resources for owner in r.owners})
        with self._lock:
            unproven = self._judge.observe(answers, resources)
            verdicts = {r.id: self._judge.weigh(r, answers, self._engine_now) for r in resources}
        if unproven:
            self._learned()  # before anything is done about it
        return answers, verdicts

    def _permit(
        self, doomed: Collection[Resource], asked_at: float, verdicts: dict[str, Verdict]
    ) -> Permit:
        """Judges by the answers of then while they are fresh, and by new ones from then on.

        Args:
            doomed: what it will be asked about.
            asked_at: when the answers were asked for.
            verdicts: what they led to; brought up to date.
        """
        asking = threading.Lock()

        def permit(resource: Resource, *, fresh: bool) -> bool:
            nonlocal asked_at
            with asking:
                if fresh or self._clock() - asked_at >= FRESH:
                    asked_at = -math.inf  # if there is no answer, the one before counts no more
                    answers, now = self._judge_by_new_answers(doomed)
                    asked_at = answers.at
                    if self._clock() - asked_at >= FRESH:
                        raise NoAnswer(
                            f"the answer took longer than the {FRESH:g} s for which it is true"
                        )
                    verdicts.update(now)
                if verdicts[resource.id].state is not State.ORPHAN:
                    return False
                with self._lock:
                    self._judge.removing(resource, self._clock())
                return True

        return permit
