"""Saying a thing once: again only when it has changed."""

from __future__ import annotations


class Once:
    """What was said last. To be guarded by its user where threads share it."""

    def __init__(self) -> None:
        self._last: object = None

    def is_new(self, what: object) -> bool:
        """Whether this differs from what was said last; it is taken for said from now on."""
        new, self._last = what != self._last, what
        return new

    def forget(self) -> None:
        """It is over: whatever comes next is new."""
        self._last = None
