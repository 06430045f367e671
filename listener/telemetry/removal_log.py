"""The log lines of what became of each resource, of its volumes, and of who left a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from listener.control.observer import Observer, Reconciled
from listener.core.outcome import Removal, Result
from listener.core.resources import Kind, Resource

if TYPE_CHECKING:
    from loguru import Logger


class RemovalLog(Observer):
    """Says what became of each resource, and who was taken off a network.

    Why one is still there is said once for each reason.

    A removal that is under way at the first look is no news: with two listeners on a host, one
    comes too late every time.
    """

    def __init__(self) -> None:
        # By id what is still there: of which topology, and why as it was last said.
        self._staying: dict[str, tuple[str, Resource, str]] = {}
        self._stopping = False

    def stopping(self) -> None:
        """What is still there is not worth a line from now on."""
        self._stopping = True

    def reconciled(self, done: Reconciled) -> None:
        """Log what became of a topology."""
        prefix, outcome = done.prefix, done.outcome
        for removal in outcome.removals:
            evidence = outcome.verdicts[removal.resource.id].evidence
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
                    "disconnected container {!r} from {} of topology {}",
                    endpoint.name,
                    removal.resource,
                    prefix,
                )
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
            if self._stopping and removal.result is not Result.REMOVED:
                continue
            line = _about(removal.result, prefix, removal.resource).bind(
                evidence=evidence,
                duration_ms=removal.duration_ms,
            )
            if removal.result in (Result.PENDING, Result.FAILED):
                self._stays(line.bind(error=removal.error), prefix, removal)
                continue
            if removal.result is not Result.GONE:
                self._staying.pop(removal.resource.id, None)
            if removal.result is Result.REMOVED:
                line.info("removed {} of topology {}", removal.resource, prefix)
            else:
                line.debug("{}: {} of topology {}", removal.result, removal.resource, prefix)
        if outcome.left and not self._stopping:
            logger.bind(event="left", prefix=prefix, error=outcome.left).warning("{}", outcome.left)
        for id_, (of, resource, said) in list(self._staying.items()):
            if of == prefix and id_ not in outcome.there:
                self._staying.pop(id_, None)  # of two prefixes, another may have been here first
                if said and resource.kind is not Kind.IMAGE:  # which may be somebody's by now
                    _about(Result.GONE, prefix, resource).info("{} is gone by now", resource)

    def _stays(self, line: Logger, prefix: str, removal: Removal) -> None:
        _, _, said = self._staying.get(removal.resource.id, (prefix, removal.resource, None))
        under_way = removal.result is Result.PENDING
        if under_way and said is None:
            line.debug("{} is being removed: {}", removal.resource, removal.error)
            said = ""
        elif said != removal.error:
            said = removal.error
            say = line.warning if under_way else line.error
            say("{} is still there and is tried again: {}", removal.resource, said)
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
