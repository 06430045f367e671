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
