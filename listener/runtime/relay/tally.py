"""What a relay has done so far, in figures."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

REASONS = ("malformed", "often", "waiting", "interests", "no-answer")
"""Why a message of a host, or of a relay, was refused: it is not as described, or names a subject
that is not the host's; the host sends too many a second; too many of its questions wait; it names
too many prefixes. Or the database gave no answer."""


@dataclass
class Tally:
    """Figures; all but those of what was refused are changed by one thread each.

    Attributes:
        asked: the questions that were taken.
        gathered: how often the database was asked.
        announced: the messages about deletions that hosts were sent.
        refused: the messages that were not taken, or not answered, by reason.
    """

    asked: int = 0
    gathered: int = 0
    announced: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refuse(self, reason: str) -> None:
        """Count what was refused; from any thread.

        Args:
            reason: one of REASONS.
        """
        with self._lock:
            self.refused[reason] += 1
