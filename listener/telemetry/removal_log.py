"""The log lines of removals: one when a topology's begins, one for each resource, one at the end.

A resource has its line as soon as it is gone, with its own time. A topology's removal is over once
nothing is left of what it began with, or what is left may stay; the time in its last line is from
the first one on, pauses between attempts included. Why something is still there is said once for
each reason.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from listener.control.observer import Observer, Reconciled
from listener.core.evidence import State
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Kind, Resource

if TYPE_CHECKING:
    from loguru import Logger


@dataclass(slots=True)
class _Work:
    """What has become of one topology since its removal began.

    Attributes:
        evidence: why it was to go, when that was said.
        began: when, in seconds on the monotonic clock.
        doomed: by id, what was to go.
        removals: by id, what became of it so far.
    """

    evidence: str
    began: float = field(default_factory=time.monotonic)
    doomed: dict[str, Resource] = field(default_factory=dict)
    removals: dict[str, Removal] = field(default_factory=dict)

    @property
    def waits_for_images(self) -> bool:
        """Whether images of it are tried again, in an entry of their own."""
        left = self.with_result(Result.PENDING, Result.FAILED).values()
        return any(resource.kind is Kind.IMAGE for resource in left)

    def with_result(self, *results: Result) -> dict[str, Resource]:
        """By id, those of which one of these has become."""
        return {id_: r.resource for id_, r in self.removals.items() if r.result in results}

    def without(self, *ids: Collection[str]) -> list[Resource]:
        """What was to go, but these."""
        return [r for id_, r in self.doomed.items() if not any(id_ in each for each in ids)]

    def why_it_stays(self, id_: str, outcome: Outcome) -> str:
        """Why this one does, a few words."""
        removal = self.removals.get(id_)
        if removal is not None and removal.result is Result.MISTAKEN:
            return "it belongs to another topology or to none"
        if removal is not None and removal.result is Result.SPARED and removal.error:
            return removal.error
        verdict = outcome.verdicts.get(id_)
        if verdict is None or verdict.state is State.ORPHAN:
            return "it may not be removed any more"
        return verdict.evidence


class RemovalLog(Observer):
    """Says what is removed, what became of each resource, and who was taken off a network.

    A removal that is under way at the first look is no news: with two listeners on a host, one
    comes too late every time.
    """

    def __init__(self) -> None:
        self._works: dict[str, _Work] = {}
        # By id what is still there: of which topology, and why as it was last said.
        self._staying: dict[str, tuple[str, Resource, str]] = {}
        self._stopping = False

    def stopping(self) -> None:
        """What is still there is not worth a line of its own from now on."""
        self._stopping = True

    def stopped(self) -> None:
        """Say which removals are not over."""
        for prefix, work in list(self._works.items()):
            left = _count(work.without(work.with_result(Result.REMOVED, Result.GONE)))
            why = f"the removal of topology {prefix} is not over ({left} left): the listener stops"
            logger.bind(event="left", prefix=prefix, error=why).warning(
                "{}, and goes on with it when it is started again", why
            )
        self._works.clear()

    def reaping(self, doomed: Collection[Resource], prefix: str, evidence: str) -> None:
        """Say what begins; not again when it is tried again."""
        work = self._works.setdefault(prefix, _Work(evidence))
        new = {r.id: r for r in doomed if r.id not in work.doomed}
        work.doomed |= new
        if new:
            logger.bind(event="removing", prefix=prefix, evidence=evidence).info(
                "removing topology {} ({}): {}", prefix, _count(new.values()), evidence
            )

    def ended(self, removal: Removal, prefix: str, evidence: str) -> None:
        """Say who was taken off a network, and what was removed."""
        if (work := self._works.get(prefix)) is not None:
            work.removals[removal.resource.id] = removal
        for endpoint in removal.disconnected:
            logger.bind(
                event="disconnected",
                prefix=prefix,
                topology_id=removal.resource.topology_id,
                kind="endpoint",
                id=endpoint.container,
                name=endpoint.name,
                network=removal.resource.name,
                evidence=evidence,
            ).info(
                "disconnected container {!r}, which stays, from {} of topology {}",
                endpoint.name,
                removal.resource,
                prefix,
            )
        if removal.result is Result.REMOVED:
            self._staying.pop(removal.resource.id, None)
            _about(removal.result, prefix, removal.resource).bind(
                evidence=evidence, duration_ms=removal.duration_ms
            ).info(
                "removed {} of topology {} in {:,.0f} ms",
                removal.resource,
                prefix,
                removal.duration_ms,
            )

    def reconciled(self, done: Reconciled) -> None:
        """Log what became of the rest, and the end of the whole."""
        prefix, outcome = done.prefix, done.outcome
        for removal in outcome.removals:
            evidence = outcome.verdicts[removal.resource.id].evidence
            for name in removal.volumes:
                logger.bind(
                    event="removed",
                    prefix=prefix,
                    topology_id=removal.resource.topology_id,
                    kind="volume",
                    id=name,
                    name=name,
                    evidence=evidence,
                ).info(
                    "removed anonymous volume {} of {} of topology {}",
                    name[:12],
                    removal.resource,
                    prefix,
                )
            if self._stopping or removal.result is Result.REMOVED:
                continue
            line = _about(removal.result, prefix, removal.resource).bind(
                evidence=evidence, duration_ms=removal.duration_ms
            )
            if removal.result in (Result.PENDING, Result.FAILED):
                self._stays(line.bind(error=removal.error), prefix, removal)
                continue
            if removal.result is not Result.GONE:
                self._staying.pop(removal.resource.id, None)
            line.debug("{}: {} of topology {}", removal.result, removal.resource, prefix)
        # A topology may be looked at once more when nothing but images is left of it.
        is_news = bool(outcome.removals) or not prefix
        if outcome.left and is_news and not self._stopping:
            logger.bind(event="left", prefix=prefix, error=outcome.left).warning("{}", outcome.left)
        for id_, (of, resource, said) in list(self._staying.items()):
            if of == prefix and id_ not in outcome.there:
                self._staying.pop(id_, None)  # of two prefixes, another may have been here first
                if said and resource.kind is not Kind.IMAGE:  # which may be somebody's by now
                    _about(Result.GONE, prefix, resource).info(
                        "{} of topology {} is gone by now", resource, prefix
                    )
        if (work := self._works.get(prefix)) is not None:
            # Also what ended just before the first line was said.
            work.removals |= {removal.resource.id: removal for removal in outcome.removals}
            if not outcome.unfinished and not work.waits_for_images:
                self._finish(prefix, work, outcome)

    def _finish(self, prefix: str, work: _Work, outcome: Outcome) -> None:
        removed = work.with_result(Result.REMOVED)
        staying = work.with_result(Result.SPARED, Result.MISTAKEN)
        staying |= {id_: r for id_, r in work.doomed.items() if id_ in outcome.there}
        if staying and self._stopping:
            return
        self._works.pop(prefix, None)
        gone = work.without(removed, staying)
        duration_ms = round((time.monotonic() - work.began) * 1000, 1)
        kinds = Counter(resource.kind for resource in removed.values())
        said = f"removed {_count(removed.values())}"
        said += f"; gone without us: {_count(gone)}" if gone else ""
        if staying:
            why = {work.why_it_stays(id_, outcome) for id_ in staying}
            said += f"; staying: {_count(staying.values())}, because {', and '.join(sorted(why))}"
        logger.bind(
            event="reaped",
            prefix=prefix,
            evidence=work.evidence,
            duration_ms=duration_ms,
            containers=kinds[Kind.CONTAINER],
            networks=kinds[Kind.NETWORK],
            images=kinds[Kind.IMAGE],
        ).info("done with topology {} in {:,.0f} ms: {}", prefix, duration_ms, said)

    def _stays(self, line: Logger, prefix: str, removal: Removal) -> None:
        _, _, said = self._staying.get(removal.resource.id, (prefix, removal.resource, None))
        under_way = removal.result is Result.PENDING
        if under_way and said is None:
            line.debug(
                "{} of topology {} is being removed: {}", removal.resource, prefix, removal.error
            )
            said = ""
        elif said != removal.error:
            said = removal.error
            say = line.warning if under_way else line.error
            say(
                "{} of topology {} is still there and is tried again: {}",
                removal.resource,
                prefix,
                said,
            )
        self._staying[removal.resource.id] = prefix, removal.resource, said or ""


def _about(result: Result, prefix: str, resource: Resource) -> Logger:
    return logger.bind(
        event=result.value,
        prefix=prefix,
        topology_id=resource.topology_id,
        kind=resource.kind.value,
        id=resource.id,
        name=resource.name,
    )


def _count(resources: Iterable[Resource]) -> str:
    """How many of each kind, for a person."""
    kinds = Counter(resource.kind for resource in resources)
    words = [f"{kinds[kind]} {kind}{'s' * (kinds[kind] > 1)}" for kind in Kind if kinds[kind]]
    return ", ".join(words) or "nothing"
