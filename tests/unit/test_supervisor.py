"""Connections that are kept: what is said of their ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import pytest

from listener.errors import NoAnswer
from listener.runtime import supervisor as module
from listener.runtime.health import Link
from listener.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from loguru import Record


def said(log: list[Record], ends: Iterator[str], refused: Collection[int] = ()) -> list[str]:
    """What is said of connections that end for these reasons.

    Args:
        log: what was logged.
        ends: why.
        refused: the attempts to connect that fail, by their number.
    """
    supervisor = Supervisor(lambda: None)
    attempts = iter(range(100))

    def connect() -> None:
        if next(attempts) in refused:
            raise NoAnswer("refused")

    def follow() -> None:
        if (reason := next(ends, None)) is not None:
            raise NoAnswer(reason)
        supervisor.stop.set()

    supervisor.keep(Link("the database"), connect, follow, supervisor.pulse("feed"))
    return [
        str(record["extra"]["error"])
        for record in log
        if record["extra"].get("event") == "lost" and record["level"].name == "INFO"
    ]


def test_a_connection_that_ends_for_the_same_reason_again_and_again_is_said_once(
    log: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STABLE", 0.0)
    assert said(log, iter(["idle", "idle", "idle", "killed", "idle"])) == ["idle", "killed", "idle"]


def test_after_an_outage_and_after_a_long_time_the_same_end_is_said_again(
    log: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STABLE", 0.0)
    assert said(log, iter(["idle", "idle"]), refused={1}) == ["idle", "idle"]
    log.clear()
    monkeypatch.setattr(module, "ROUTINE", 0.0)
    assert said(log, iter(["idle", "idle"])) == ["idle", "idle"]
