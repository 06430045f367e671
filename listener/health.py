"""Whether a side can be reached: said when it changes, and not in between."""

from __future__ import annotations

import threading

from loguru import logger

from listener.errors import presentable


class Link:
    """The state of one side, Docker or a database. Safe to use from several threads.

    Args:
        name: of the side, as the log calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._up = False
        self._reason: str | None = None

    @property
    def up(self) -> bool:
        """Whether the last attempt to reach it succeeded."""
        return self._up

    def succeeded(self) -> None:
        """It was reached."""
        with self._lock:
            if not self._up:
                self._up, self._reason = True, None
                logger.bind(event="up", side=self.name).info("{} is up", self.name)

    def failed(self, reason: object) -> None:
        """It was not; the same reason is said once."""
        text = presentable(reason)
        with self._lock:
            if text != self._reason:
                self._up, self._reason = False, text
                logger.bind(event="down", side=self.name, error=text).error(
                    "{} cannot be used; nothing is removed until it can: {}", self.name, text
                )
