"""One prefix: look, ask, judge, reap.

This is the only place where a removal is decided, and it decides from the state at that moment:
first what the index holds, then what the database answers about the owners of just that, then what
the evidence makes of the answer. What led here, an event, a hint or a timer, has no say.

:meth:`Reconciler.screen` does the first three steps for many prefixes in one question, so that a
commit which may concern any of them costs a single query; what it finds orphaned is reconciled
prefix by prefix.

What was requested and did not end while we waited for it is kept, and told with the removals of its
prefix once it is gone. That the index has lost it is no proof of that: the engine is asked.

Images come last, in a call of their own: :mod:`listener.control.images`.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from listener.control.images import Images, ListImages
from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer
from listener.control.reaper import Permit, Reap
from listener.control.screening import sort
from listener.control.volumes import remove_inherited_volumes
from listener.core.evidence import Memory, State, Verdict
from listener.core.judge import Answers, Judge
from listener.core.numbers import plain
from listener.core.outcome import Outcome, Removal, Result, Screening
from listener.core.resources import Kind, Resource, prefix_of
from listener.errors import EngineError, Gone, NoAnswer, presentable

REQUEST_LASTS = 600.0
"""Seconds after which an engine that was asked to remove what stays is not expected to any more."""
FRESH = 1.0
"""For how many seconds an answer may justify the start of a removal."""
MOST_CREDITED = 1000
"""Of what has several prefixes: how many of the last removals are remembered as credited."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A removal that the engine has accepted or not answered, and that was not seen to end.

    Attributes:
        resource: as it was known.
        verdict: by which it was permitted.
        since: when its removal began.
    """

    resource: Resource
    verdict: Verdict
    since: float


class Reconciler:
    """Decides, from what the index holds and the database answers.

    Args:
        index: what is on this host.
        judge: asks the databases and weighs their answers.
        reap: removes.
        read: looks a resource up in the engine; see :meth:`EnginePort.read`.
        remove_volume: removes a volume by its name if it is anonymous and no container uses it;
            returns whether it did.
        list_images: see :class:`Images`.
        dry_run: nothing is removed, so images are told of beside the rest, and no removal is told.
        clock: seconds, monotonic; the same as the answers'.
        learned: called when something :meth:`unsaved` should be kept before anything is removed.
        observer: is told of each removal while a prefix is worked on.
        engine_now: for a single sweep, the engine's time; see :meth:`Evidence.weigh`.
    """

    def __init__(
        self,
        *,
        index: PrefixIndex,
        judge: Judge,
        reap: Reap,
        read: Callable[[Resource], Resource | None],
        remove_volume: Callable[[str], bool] = lambda _: False,
        list_images: ListImages | None = None,
        dry_run: bool = False,
        clock: Callable[[], float],
        learned: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
        engine_now: float | None = None,
    ) -> None:
        self._learned = learned
        self._observer = Observer() if dry_run or observer is None else observer
        self.index = index
        self._judge = judge
        self._reap = reap
        self._read = read
        self._remove_volume = remove_volume
        self.images = Images(
            index,
            list_images,
            self._judge_by_new_answers,
            self._reap_all,
            self.late,
            dry_run=dry_run,
        )
        self._clock = clock
        self._engine_now = engine_now
        # The workers share the judge and what follows; a question is asked outside the lock.
        self._lock = threading.Lock()
        self._requests: dict[str, _Request] = {}
        self._credited: deque[str] = deque(maxlen=MOST_CREDITED)
        # By prefix, what was worked on and is not seen to have gone.
        self._unfinished: dict[str, set[str]] = {}

    def screen(self, prefixes: Iterable[str] | None = None, *, listed: bool = False) -> Screening:
        """Where these prefixes stand, or all of this host's; removes nothing.

        Everything on the host is asked about: what is alive vouches for the database.

        Args:
            prefixes: tell of these only.
            listed: the index was filled from a full listing since the last screening.

        Raises:
            NoAnswer: the database gave no answer that can be trusted.
        """
        by_prefix = {prefix: self.index.resources(prefix) for prefix in self.index.prefixes()}
        resources = {r.id: r for members in by_prefix.values() for r in members}
        answers, verdicts = self._judge_by_new_answers(resources.values())
        with self._lock:
            here = self.index.owners() | self.images.owners
            self._judge.prune(answers, resources.values(), here, listed=listed)
            reported = self._judge.still_there(answers)
            old = self._clock() - REQUEST_LASTS
            for id_ in self._requests.keys() & verdicts.keys() if listed else ():
                if verdicts[id_].state is not State.ORPHAN and self._requests[id_].since < old:
                    del self._requests[id_]  # it stays, so whoever removes it later is not us
        live = frozenset(p for p, members in by_prefix.items() if members and answers.live(p))
        self.images.forget(live)
        if prefixes is not None:
            by_prefix = {prefix: by_prefix.get(prefix, ()) for prefix in prefixes}
        sorted_ = sort(by_prefix, verdicts, self.index.is_unconfirmed)
        return replace(
            sorted_,
            live=live.intersection(by_prefix),
            token=self._judge.token(sorted_.held) if sorted_.held else "",
            reported=reported,
            unread=self._judge.unread(answers),
            forgotten=self._judge.forgotten,
        )

    def note_deletions(self, database: int, ids: Collection[str]) -> frozenset[str]:
        """Remember what a database reported deleted; returns which prefixes to look at."""
        with self._lock:
            self._judge.note_deletions(database, ids, self._clock())
        return self.index.prefixes() & {prefix_of(id_) for id_ in ids}

    def note_teardowns(self, database: int, ids: Collection[str]) -> frozenset[str]:
        """Remember what a database reported torn down; returns which prefixes to look at."""
        with self._lock:
            self._judge.note_teardowns(database, ids, self._clock())
        return self.index.prefixes() & {prefix_of(id_) for id_ in ids}

    def interrupted(self, database: int) -> None:
        """The feed of a database was lost."""
        with self._lock:
            self._judge.interrupted(database)

    def unsaved(self, *, everything: bool = False) -> Mapping[int, Memory]:
        """What the next run should know, by database; see :meth:`Judge.unsaved`."""
        with self._lock:
            return self._judge.unsaved(everything=everything)

    def reported(self, prefix: str) -> bool:
        """Whether a deletion with this prefix was reported lately."""
        with self._lock:
            return self._judge.reported(prefix, self._clock())

    def reconcile(self, prefix: str) -> Outcome:
        """Remove what is orphaned of this prefix, and tell what has ended since it was requested.

        Raises:
            NoAnswer: the database gave no answer that can be trusted; nothing was removed.
        """
        outcome = self._reap_orphans(prefix)
        removals = {removal.resource.id: removal for removal in outcome.removals}
        verdicts = dict(outcome.verdicts)
        for late in self._look_up_late(prefix, verdicts):
            before = removals.get(late.resource.id, late)
            removals[late.resource.id] = replace(
                self._told(prefix, late, verdicts),
                disconnected=before.disconnected,
                attempts=before.attempts,
            )
        left = remove_inherited_volumes(prefix, removals, self._remove_volume)
        there = {resource.id for resource in self.index.resources(prefix)}
        there.update(
            id_ for id_, r in removals.items() if r.result in (Result.PENDING, Result.FAILED)
        )
        with self._lock:
            there.update(request.resource.id for request in self._late(prefix))
        outcome = replace(
            outcome,
            removals=tuple(removals.values()),
            verdicts=verdicts,
            there=there,
            left=left,
        )
        with self._lock:
            if outcome.unfinished:
                if outcome.worked:
                    ids = {removal.resource.id for removal in outcome.removals}
                    self._unfinished.setdefault(prefix, set()).update(ids)
                return outcome
            ids = self._unfinished.pop(prefix, set())
        return replace(outcome, ended=bool(ids) and ids.isdisjoint(there))

    def late(self) -> frozenset[str]:
        """The prefixes with something that was requested and has left the index since."""
        with self._lock:
            return frozenset(p for request in self._late() for p in request.resource.prefixes)

    @property
    def unfinished(self) -> frozenset[str]:
        """The prefixes with work that was not seen to end, and those that are late."""
        late = self.late()
        with self._lock:
            return late | self._unfinished.keys()

    def _reap_orphans(self, prefix: str) -> Outcome:
        resources = self.index.resources(prefix)
        if not resources:
            return Outcome()
        answers, verdicts = self._judge_by_new_answers(resources)
        with self._lock:
            again = min(self._judge.still_there(answers).values(), default=None)
        doomed = [r for r in resources if verdicts[r.id].state is State.ORPHAN]
        return Outcome(
            removals=self._reap_all(prefix, doomed, answers.at, verdicts),
            verdicts=verdicts,
            wait=max((v.wait for v in verdicts.values() if v.state is State.WAITING), default=None),
            requeue_after=again,
            held=any(v.state is State.HELD for v in verdicts.values()),
        )

    def _reap_all(
        self,
        prefix: str,
        doomed: Collection[Resource],
        asked_at: float,
        verdicts: dict[str, Verdict],
    ) -> list[Removal]:
        """Remove these, by verdicts of answers that were asked for at that time."""
        if not doomed:
            return []
        now = {resource.id: verdicts[resource.id] for resource in doomed}
        permitted: dict[str, Verdict] = {}
        mistaken: set[str] = set()
        begun: list[Collection[Resource]] = []

        def begin() -> None:
            begun.append([resource for resource in doomed if resource.id not in mistaken])
            evidence = "; ".join(sorted({now[resource.id].evidence for resource in begun[0]}))
            self._observer.reaping(begun[0], prefix, evidence)

        permit = self._permit(doomed, asked_at, now, permitted, begin)
        removals = []
        try:
            for removal in self._reap(doomed, permit):
                id_ = removal.resource.id
                if removal.result is Result.MISTAKEN:
                    mistaken.add(id_)
                verdicts[id_] = now[id_]  # what later questions say of it changes nothing any more
                removals.append(self._told(prefix, removal, verdicts, permitted))
            if not begun and any(r.result in (Result.PENDING, Result.FAILED) for r in removals):
                begin()  # it is said to be still there, as by what is on a network
        finally:
            for resources in begun:
                self._observer.reaped(resources)
        return removals

    def _late(self, prefix: str | None = None) -> list[_Request]:
        """What was requested, of one prefix or of any, and has left the index since."""
        return [
            request
            for request in self._requests.values()
            if (prefix is None or prefix in request.resource.prefixes)
            and self.index.get(request.resource.id) is None
        ]

    def _look_up_late(self, prefix: str, verdicts: dict[str, Verdict]) -> Iterator[Removal]:
        """What the engine says of what is late; the verdicts are put to the others."""
        with self._lock:
            late = self._late(prefix)
        for request in late:
            verdicts.setdefault(request.resource.id, request.verdict)
            try:
                found = self._read(request.resource)
            except Gone:
                yield Removal(request.resource, Result.GONE)
            except EngineError as error:
                yield Removal(request.resource, Result.PENDING, presentable(error))
                return  # it would take as long over the others
            else:
                # An image that is still there is listed, judged and asked for anew.
                found = None if request.resource.kind is Kind.IMAGE else found
                yield Removal(request.resource, Result.MISTAKEN, found=found)

    def _told(
        self,
        prefix: str,
        removal: Removal,
        verdicts: dict[str, Verdict],
        permitted: Mapping[str, Verdict] = MappingProxyType({}),
    ) -> Removal:
        """Take it in, and tell of it."""
        removal = self._taken_in(removal, verdicts, permitted)
        self._observer.ended(removal, prefix, verdicts[removal.resource.id].evidence)
        return removal

    def _taken_in(
        self,
        removal: Removal,
        verdicts: dict[str, Verdict],
        permitted: Mapping[str, Verdict],
    ) -> Removal:
        """The removal as it is told, once the index and the requests are brought up to date.

        Args:
            removal: as the engine has it.
            verdicts: what is told with it; brought back to those by which something was done.
            permitted: by resource id, the verdict by which it was requested just now.
        """
        resource, result = removal.resource, removal.result
        if result in (Result.REMOVED, Result.GONE, Result.MISTAKEN):
            self.index.discard(resource.id)
            if removal.found is not None:
                self.index.put(removal.found, read=True)
        if removal.disconnected or result is Result.REMOVED:
            verdicts[resource.id] = permitted.get(resource.id, verdicts[resource.id])
        now = self._clock()
        with self._lock:
            request = self._requests.pop(resource.id, None)
            if resource.id in self._credited:  # the look at another of its prefixes was first
                return replace(removal, result=Result.GONE) if result is Result.REMOVED else removal
            if removal.requested is False:
                request = None
            elif removal.requested and request is None:
                request = _Request(resource, permitted[resource.id], now - removal.seconds)
            is_foreign = result is Result.MISTAKEN and removal.found is None
            if request is not None and result is Result.GONE:
                verdicts[resource.id] = request.verdict
                removal = replace(removal, result=Result.REMOVED, seconds=now - request.since)
            elif request is not None and result is not Result.REMOVED and not is_foreign:
                self._requests[resource.id] = request
            if removal.result is Result.REMOVED and len(resource.prefixes) > 1:
                self._credited.append(resource.id)
        return removal

    def _judge_by_new_answers(
        self, resources: Collection[Resource]
    ) -> tuple[Answers, dict[str, Verdict]]:
        with self._lock:
            self._judge.appeared(self.index.take_appeared())
        answers = self._judge.ask({owner for r in resources for owner in r.owners})
        with self._lock:
            unproven = self._judge.observe(answers, resources)
            verdicts = {r.id: self._judge.weigh(r, answers, self._engine_now) for r in resources}
        if unproven:
            self._learned()  # before anything is done about it
        return answers, verdicts

    def _permit(
        self,
        doomed: Collection[Resource],
        asked_at: float,
        verdicts: dict[str, Verdict],
        permitted: dict[str, Verdict],
        begin: Callable[[], None],
    ) -> Permit:
        """Judges by the answers of then while they are fresh, and by new ones from then on.

        Args:
            doomed: what it will be asked about.
            asked_at: when the answers were asked for.
            verdicts: what they led to; brought up to date.
            permitted: gets the verdict by which each was permitted last.
            begin: called before the first is permitted.
        """
        asking = threading.Lock()

        def permit(resource: Resource, *, fresh: bool) -> bool:
            nonlocal asked_at
            wanted_at = self._clock()
            with asking:
                # What another worker asked meanwhile is as new as an answer can be.
                is_new = asked_at > wanted_at or not fresh
                if not is_new or self._clock() - asked_at >= FRESH:
                    asked_at = -math.inf  # if there is no answer, the one before counts no more
                    answers, now = self._judge_by_new_answers(doomed)
                    asked_at = answers.at
                    if self._clock() - asked_at >= FRESH:
                        raise NoAnswer(
                            f"the answer took longer than the {plain(FRESH)} s for which it is true"
                        )
                    verdicts.update(now)
                if verdicts[resource.id].state is not State.ORPHAN:
                    return False
                if not permitted:
                    begin()
                permitted[resource.id] = verdicts[resource.id]
                with self._lock:
                    self._judge.removing(resource, self._clock())
                return True

        return permit
