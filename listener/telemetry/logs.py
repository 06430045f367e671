"""The log: one event, one line, with fields of stable names.

``event``, ``prefix``, ``topology_id``, ``kind``, ``id``, ``name``, ``network``, ``evidence``,
``duration_ms``, ``side`` and ``error`` are bound to the line, and become keys of the object with
``--log-format json``. Only the command line sets up a sink; a program that embeds the listener
keeps its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from loguru import logger

from listener.control.observer import Observer, Reconciled
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Resource

if TYPE_CHECKING:
    from loguru import Logger, Message

_TEXT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level:<7}</level> {message}"


def set_up(level: str, form: str) -> None:
    """Log to standard error, and nowhere else.

    Args:
        level: the least level that is logged.
        form: ``text`` for people, ``json`` for one object a line.
    """
    logger.remove()
    if form == "json":
        logger.add(_write_json, level=level)
    else:
        # Whatever standard error is by then: a progress bar puts itself in front of it.
        logger.add(
            lambda message: print(message, end="", file=sys.stderr, flush=True),
            level=level,
            format=_TEXT,
            colorize=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            backtrace=False,
            diagnose=False,
        )


def _write_json(message: Message) -> None:
    record = message.record
    line = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["error"] = repr(record["exception"].value)
    print(json.dumps(line, default=str), file=sys.stderr, flush=True)


class RemovalLog(Observer):
    """Says what became of each resource, and who was taken off a network.

    Why one is still there is said once for each reason.

    A removal that is under way at the first look is no news: with two listeners on a host, one
    comes too late every time.
    """

    def __init__(self) -> None:
        # By id what is still there: of which topology, and why as it was last said.
        self._staying: dict[str, tuple[str, Resource, str]] = {}
        self.stopping = False
        """Whether what is still there is no news any more."""

    def reconciled(self, done: Reconciled) -> None:
        """Log what became of a topology."""
        self.write(done.prefix, done.outcome, stopping=self.stopping)

    def write(self, prefix: str, outcome: Outcome, *, stopping: bool = False) -> None:
        """Log the outcome of one prefix; while stopping, what is still there is no news."""
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
            if stopping and removal.result is not Result.REMOVED:
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
        for id_, (of, resource, said) in list(self._staying.items()):
            if of == prefix and id_ not in outcome.there:
                self._staying.pop(id_, None)  # of two prefixes, another may have been here first
                if said:
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
