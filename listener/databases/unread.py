"""The column ``status``, where a server has none or does not let this account read it.

Questions are then asked without it, so that they take no more round trips than others. After a
minute one tries again, for a grant or a new column tells nobody, and where a question without it
fails as well, for then more is amiss, and something else may be when that is over.
"""

from __future__ import annotations

from collections.abc import Callable

UNREAD_LASTS = 60.0
"""Seconds."""


class Unread:
    """Why the status cannot be read.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._why, self._until = "", 0.0

    @property
    def why(self) -> str:
        """The reason and the remedy, as a predicate; empty when it can, or has to be tried."""
        return self._why if self._clock() < self._until else ""

    def forget(self) -> None:
        """Try it at the next question."""
        self._until = 0.0

    def note(self, lacks: str, table: str, account: str) -> None:
        """Do without it for a minute, or until a question fails all the same.

        Args:
            lacks: what is missing, ``column`` or ``right``.
            table: its name, as SQL takes it.
            account: ours, as a GRANT takes it.
        """
        self._why = {
            "column": f"has no column status; as the table's owner, run ALTER TABLE {table}"
            " ADD COLUMN status VARCHAR(16)",
            "right": "does not let this account read the column status; run"
            f" GRANT SELECT (id, status) ON {table} TO {account}",
        }[lacks]
        self._until = self._clock() + UNREAD_LASTS
