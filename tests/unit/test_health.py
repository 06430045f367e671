"""A side that is up or down says so when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from listener.health import Link

if TYPE_CHECKING:
    from loguru import Record


def said(log: list[Record]) -> list[tuple[str, str]]:
    return [(record["extra"]["event"], record["extra"].get("error", "")) for record in log]


def test_a_side_is_not_up_before_it_was_reached(log: list[Record]) -> None:
    assert not Link("Docker").up
    assert log == []


def test_every_change_is_said_once_and_nothing_in_between(log: list[Record]) -> None:
    link = Link("Docker")
    for reason in ("no", "no", "no", None, None, "no", "other", "other", "no", None, "no"):
        if reason is None:
            link.succeeded()
        else:
            link.failed(reason)
        assert link.up is (reason is None)
    assert said(log) == [
        *(("down", "no"), ("up", ""), ("down", "no"), ("down", "other"), ("down", "no")),
        *(("up", ""), ("down", "no")),
    ]
    assert {record["extra"]["side"] for record in log} == {"Docker"}
    assert {r["level"].name for r in log if r["extra"]["event"] == "down"} == {"ERROR"}


@pytest.mark.parametrize("reason", [OSError(2, "no such file"), ValueError("{braces} %s"), ""])
def test_whatever_the_reason_is_the_side_is_down_and_it_is_told(
    log: list[Record], reason: object
) -> None:
    link = Link("the database")
    link.succeeded()
    link.failed(reason)
    assert not link.up
    assert str(reason) in log[-1]["message"]
    assert said(log)[-1] == ("down", str(reason))
