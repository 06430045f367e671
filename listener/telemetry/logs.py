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
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from loguru import logger

from listener.control.observer import Observer, Reconciled, Sweep
from listener.core.evidence import State
from listener.core.outcome import Removal, Result, Screening
from listener.core.resources import Resource
from listener.core.unproven import MOST_REMEMBERED

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


class ListenerLog(Observer):
    """Says where a listener stands, when that changes: that it is ready, what it holds and misses.

    Args:
        sweep_command: how an operator begins a sweep that releases what is held.
    """

    def __init__(self, sweep_command: str = "topology-reaper sweep") -> None:
        self._sweep_command = sweep_command
        self._ready = False
        self._held: tuple[Mapping[str, str], str] = {}, ""
        self._forgotten = 0

    def listed(self, cause: str, resources: int) -> None:
        """Say it to whoever debugs."""
        logger.bind(event="listed", cause=cause).debug(
            "listed: {} resources of topologies", resources
        )

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Say what has changed since the last time."""
        # The token too: of another table it is another one, though the same topologies are held.
        if (screening.held, screening.token) != self._held:
            before, self._held = self._held[0], (dict(screening.held), screening.token)
            self._say_no_longer_held(before.keys() - screening.held.keys(), screening)
            self._say_held(screening)
        if screening.forgotten > self._forgotten:
            self._forgotten = screening.forgotten
            logger.bind(event="forgotten", count=self._forgotten).warning(
                "more than {:,} topologies and prefixes had a row within a day; the oldest are"
                " forgotten, and count as never seen ({} so far)",
                MOST_REMEMBERED,
                self._forgotten,
            )
        if sweep is not None and not self._ready:
            self._ready = True
            logger.bind(event="ready").info(
                "ready: {} live topologies on this host, {} to remove",
                len(screening.live),
                len(screening.orphans),
            )

    def missed(self, prefix: str, count: int) -> None:
        """Warn that no feed told."""
        logger.bind(event="unheard", prefix=prefix, count=count).warning(
            "only a sweep found that topology {} is deleted; no feed told of it ({} so far)",
            prefix,
            count,
        )

    def _say_held(self, screening: Screening) -> None:
        if screening.held:  # one line, for one token releases them all
            logger.bind(
                event="held", prefix=" ".join(sorted(screening.held)), token=screening.token
            ).error(
                "held and not removed: {}; if all of these are to go, run {} --confirm {}",
                _by_reason(screening.held),
                self._sweep_command,
                screening.token,
            )

    def _say_no_longer_held(self, prefixes: Collection[str], screening: Screening) -> None:
        reasons = {}
        for prefix in prefixes:
            verdict = screening.weakest(prefix)
            if verdict is None or verdict.state is not State.HELD:  # else a listing will tell
                reasons[prefix] = verdict.evidence if verdict else "nothing of it is left here"
        if reasons:
            logger.bind(event="released", prefix=" ".join(sorted(reasons))).info(
                "no longer held: {}", _by_reason(reasons)
            )


def _by_reason(reasons: Mapping[str, str]) -> str:
    """Prefixes, each with its reason, those with the same reason together."""
    prefixes: dict[str, list[str]] = {}
    for prefix, reason in sorted(reasons.items()):
        prefixes.setdefault(reason, []).append(prefix)
    return "; ".join(f"{', '.join(those)}, because {reason}" for reason, those in prefixes.items())


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
