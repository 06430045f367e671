"""What came of the work: of one resource, of one prefix, and where all of them stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from listener.core.evidence import Verdict
from listener.core.resources import Endpoint, Resource
from listener.core.workqueue import Next


class Result(StrEnum):
    """What became of a resource."""

    REMOVED = "removed"
    GONE = "gone"
    """Somebody else removed it."""
    SPARED = "spared"
    """It may not be removed any more: its row came back, or something uses the image."""
    MISTAKEN = "mistaken"
    """Its owners are not those that it was known by."""
    PENDING = "pending"
    """Its removal is under way, and has to be looked at again."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Removal:
    """One resource's end, or why it is still there.

    Attributes:
        resource: as it was known.
        result: what became of it.
        error: one sentence, when it is pending or failed.
        found: when it was mistaken, what it really is; None if it is none of ours.
        requested: True: the engine accepted our request, or has not answered it, and has not
            refused another one since; False: it refused the last one; None: neither, as where
            somebody else's removal is under way.
        disconnected: what the engine took off the network for us.
        volumes: the anonymous volumes that were removed after it, which it had inherited.
        attempts: how many there were.
        seconds: how long it took.
    """

    resource: Resource
    result: Result
    error: str = ""
    found: Resource | None = None
    requested: bool | None = field(default=None, compare=False)
    disconnected: Sequence[Endpoint] = field(default=(), compare=False)
    volumes: Sequence[str] = field(default=(), compare=False)
    attempts: int = field(default=1, compare=False)
    seconds: float = field(default=0.0, compare=False)

    @property
    def duration_ms(self) -> float:
        """How long it took, in milliseconds, as logs and files have it."""
        return round(self.seconds * 1000, 1)


@dataclass(frozen=True, slots=True)
class Screening:
    """Where many prefixes stand; a prefix with several resources can be in more than one place.

    Attributes:
        live: prefixes with a row.
        orphans: by prefix, what is to be removed.
        waiting: by prefix, the verdict with the longest time that it has to wait.
        held: by prefix, why it is held.
        binding: by prefix, why others may not remove it either: what they do not hold themselves,
            and do not see for themselves.
        unconfirmed: something else is held that may be none of ours at all; a listing tells.
        reported: by prefix with a row that was reported deleted and is still there, or torn down
            and is not yet, in how many seconds to look again.
        token: releases exactly what is held.
        resources: by prefix, all that was looked at.
        verdicts: by resource id.
        forgotten: how many owners were forgotten within a day so far, for there were too many.
        unread: why statuses could not be read that were to be, and the remedy; one a database.
    """

    live: frozenset[str]
    orphans: Mapping[str, Sequence[Resource]]
    waiting: Mapping[str, Verdict]
    held: Mapping[str, str]
    token: str
    binding: Mapping[str, str] = field(default_factory=dict)
    unconfirmed: bool = False
    reported: Mapping[str, float] = field(default_factory=dict)
    resources: Mapping[str, Sequence[Resource]] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    forgotten: int = 0
    unread: Sequence[str] = ()

    def weakest(self, prefix: str) -> Verdict | None:
        """The verdict on this prefix that allows the least; None where nothing of it is left."""
        verdicts = [self.verdicts[resource.id] for resource in self.resources.get(prefix, ())]
        return Verdict.weakest(verdicts) if verdicts else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one prefix.

    Attributes:
        removals: what became of each resource that was to be removed.
        verdicts: by resource id, of everything that was looked at; of what has ended since it was
            requested, and of what something was disconnected from, the verdict of then.
        there: the ids of what the index still holds of the prefix, and of what was requested or
            could not be removed and is not known to be gone.
        wait: look again after so many seconds; None when there is no need.
        requeue_after: look again after so many seconds even if something of it fails, for a row
            that was reported deleted is still there; None when there is none.
        held: something of it is held.
        left: which volumes or images may be left and why, as a sentence; empty when none.
        ended: earlier work on it was unfinished, and nothing of that is left.
    """

    removals: Sequence[Removal] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    there: Collection[str] = frozenset()
    wait: float | None = None
    requeue_after: float | None = None
    held: bool = False
    left: str = ""
    ended: bool = False

    @property
    def worked(self) -> bool:
        """Something was removed, or could not be."""
        worked = (Result.REMOVED, Result.PENDING, Result.FAILED)
        return any(removal.result in worked for removal in self.removals)

    @property
    def unfinished(self) -> bool:
        """Something that was to go is still there, so the prefix has to be tried again."""
        return self.pending or bool(self.errors)

    @property
    def next(self) -> Next:
        """What is to be done about the prefix."""
        return Next(after=self.requeue_after, failed=self.unfinished)

    @property
    def pending(self) -> bool:
        """Another look will do: a removal is under way, or an owner was corrected."""
        return any(
            r.result in (Result.PENDING, Result.MISTAKEN)
            or (r.result is Result.FAILED and r.requested)
            for r in self.removals
        )

    @property
    def errors(self) -> list[str]:
        """Why what is still there is, one sentence each."""
        return [
            f"{removal.resource}: {removal.error}"
            for removal in self.removals
            if removal.result in (Result.PENDING, Result.FAILED)
        ]
