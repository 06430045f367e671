"""What the command ``doctor`` finds: one line each, whoever finds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from listener.core.numbers import plain
from listener.errors import ReaperError, presentable

SKEW = 5.0
"""Seconds by which two clocks may differ."""


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: which thing; never changes.
        status: how bad it is.
        message: what is the case.
        remedy: what to do about it; None where all is well.
    """

    id: str
    status: Status
    message: str
    remedy: str | None = None


def ok(id_: str, message: str) -> Finding:
    """All is well."""
    return Finding(id_, Status.OK, presentable(message))


def warning(id_: str, message: str, remedy: str) -> Finding:
    """It works, but not as it should, or with more rights than it should have."""
    return Finding(id_, Status.WARNING, presentable(message), presentable(remedy))


def fault(id_: str, message: str, remedy: str) -> Finding:
    """It does not work, or will do harm."""
    return Finding(id_, Status.FAULT, presentable(message), presentable(remedy))


def failed(id_: str, error: ReaperError, remedy: str) -> Finding:
    """What an error says.

    Args:
        id_: which thing.
        error: with its own remedy, or without one.
        remedy: in the latter case.
    """
    return fault(id_, error.problem, error.remedy or remedy)


def clock(id_: str, ahead: float) -> Finding:
    """Whether another clock agrees with this host's.

    Args:
        id_: which thing.
        ahead: by how many seconds it is ahead of ours.
    """
    if abs(ahead) <= SKEW:
        return ok(id_, f"its clock is within {plain(SKEW)} s of this host's")
    side = "ahead of" if ahead > 0 else "behind"
    return warning(
        id_,
        f"its clock is {abs(ahead):.0f} s {side} this host's, so their logs do not fit together",
        "set both by NTP",
    )
