"""The log: one event, one line, with fields of stable names.

``event``, ``prefix``, ``kind``, ``id``, ``name``, ``evidence``, ``side`` and ``error`` are bound to
the line, and become keys of the object with ``--log-format json``. Only the command line sets up a
sink; a program that embeds the listener keeps its own.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from loguru import logger

from listener.reaper import Removal, Result
from listener.reconciler import Outcome

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
        logger.add(sys.stderr, level=level, format=_TEXT, backtrace=False, diagnose=False)


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


class RemovalLog:
    """Says what became of each resource; why one is still there is said once for each reason."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def write(self, prefix: str, outcome: Outcome, *, stopping: bool = False) -> None:
        """Log the outcome of one prefix; while stopping, what is still there is no news."""
        for removal in outcome.removals:
            if stopping and removal.result is not Result.REMOVED:
                continue
            line = logger.bind(
                event=removal.result.value,
                prefix=prefix,
                kind=removal.resource.kind.value,
                id=removal.resource.id,
                name=removal.resource.name,
                evidence=outcome.evidence[removal.resource.id],
            )
            if removal.result in (Result.PENDING, Result.FAILED):
                self._stuck(line.bind(error=removal.error), removal)
                continue
            self._said.pop(removal.resource.id, None)
            if removal.result is Result.REMOVED:
                line.info("removed {} of topology {}", removal.resource, prefix)
            else:
                line.debug("{}: {} of topology {}", removal.result, removal.resource, prefix)

    def _stuck(self, line: Logger, removal: Removal) -> None:
        if self._said.get(removal.resource.id) != removal.error:
            self._said[removal.resource.id] = removal.error
            say = line.warning if removal.result is Result.PENDING else line.error
            say("{} is still there and is tried again: {}", removal.resource, removal.error)
