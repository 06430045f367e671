"""Everything that can go wrong and is worth a sentence.

Each class knows the exit status that the command line gives it, so that the mapping from cause to
status stands in one place. The text of an error is one sentence for a person: what is wrong, named
by the option it came from, and after a semicolon what to do about it.
"""

from __future__ import annotations

import re
from typing import ClassVar

_CREDENTIALS = re.compile(r"(?<=:/)\S*@")


class ReaperError(Exception):
    """The root of this package's errors."""

    exit_status: ClassVar[int] = 1

    @property
    def problem(self) -> str:
        """What is wrong."""
        return presentable(self).partition("; ")[0]

    @property
    def remedy(self) -> str:
        """What to do about it; empty where the text does not say."""
        return presentable(self).partition("; ")[2]


class ConfigurationError(ReaperError):
    """An option, variable or file holds something that cannot be used; retrying is useless."""

    exit_status = 2


class PushUnavailable(ReaperError):
    """The database cannot tell us of deletions as things are; it can still be polled."""


class NoAnswer(ReaperError):
    """The database gave no answer that may be trusted: an error, a missing table, a wrong file.

    It is never to be read as "no such row": the reconciler removes nothing on it.

    Args:
        text: the sentence.
        aspect: what of the database does not hold, one of those in ``Topologies.proves``.
    """

    exit_status = 3

    def __init__(self, text: str, aspect: str = "reachable") -> None:
        super().__init__(text)
        self.aspect = aspect


class NoListener(ReaperError):
    """No listener on this host answers."""

    exit_status = 3


class EngineError(ReaperError):
    """The Docker Engine could not be reached, or refused a request."""

    exit_status = 3


class Gone(EngineError):
    """The engine knows no such object (404): somebody removed it already."""


class Unanswered(EngineError):
    """The engine got a request and gave no answer; it may still do what it was asked."""


class TimedOut(Unanswered):
    """The engine did not answer in time."""


class Refused(EngineError):
    """The engine answered that it does not do what it was asked."""


class InUse(Refused):
    """Something that must stay is attached to the network."""


class Blocked(EngineError):
    """Something is in the way that only its owner may change: another attempt now is of no use."""


class InProgress(EngineError):
    """Somebody, perhaps an earlier request of ours, is removing the object just now (409)."""


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed where this error came."""
    return isinstance(error, ReaperError) and not isinstance(error, ConfigurationError)


def presentable(text: object) -> str:
    """A text as one line that a terminal may be sent: nothing in it is a control character.

    What stands where a URL has its user and password is left out.
    """
    line = _CREDENTIALS.sub("/…@", " ".join(str(text).split()))
    return "".join(character if character.isprintable() else "\ufffd" for character in line)
