"""The log: one event, one line, with fields of stable names.

``event``, ``prefix``, ``topology_id``, ``kind``, ``id``, ``name``, ``network``, ``evidence``,
``duration_ms``, ``side`` and ``error`` are bound to the line, and become keys of the object with
``--log-format json``. A line that cannot be written at once waits (:mod:`.lines`), and whoever logs
does not. Only the command line sets up a sink; a program that embeds the listener keeps its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from loguru import logger

from listener.telemetry.lines import standard_error

if TYPE_CHECKING:
    from loguru import Message

_TEXT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level:<7}</level> {message}"


def set_up(level: str, form: str) -> None:
    """Log to standard error, and nowhere else.

    Args:
        level: the least level that is logged.
        form: ``text`` for people, ``json`` for one object a line.
    """
    logger.remove()
    standard_error.dropped = _say_dropped
    if form == "json":
        logger.add(_write_json, level=level)
    else:
        logger.add(
            lambda message: standard_error.put(str(message)),  # without the record behind it
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
    standard_error.put(json.dumps(line, default=str) + "\n")


def _say_dropped(count: int) -> None:
    logger.bind(event="dropped", count=count).error(
        "{} lines of this log were dropped, for standard error was not read in time", count
    )
