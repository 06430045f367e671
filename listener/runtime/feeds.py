"""Following the feed of one database: its hints go to the controller, its breaks as well."""

from __future__ import annotations

import time
from collections.abc import Collection

from loguru import logger

from listener.control.controller import Controller
from listener.runtime.build import HeardDatabase
from listener.runtime.health import Pulse
from listener.runtime.supervisor import Supervisor

SPREAD = 0.5
"""Seconds over which the listeners of all hosts come back to a database that cut them off."""


class FeedLoop:
    """Hears of deletions in one database for as long as the listener runs.

    Args:
        number: of the database, among the controller's.
        database: with the feed.
        controller: takes the hints.
        supervisor: keeps the connection.
        pulse: beats for each attempt to connect, and for each hint.
    """

    def __init__(
        self,
        number: int,
        database: HeardDatabase,
        controller: Controller,
        supervisor: Supervisor,
        pulse: Pulse,
    ) -> None:
        self._number = number
        self._database = database
        self._controller = controller
        self._supervisor = supervisor
        self._pulse = pulse
        self._heard_by = ""
        self._caught_up = False
        """Whether the first hint of this connection has come, which follows no commit."""

    def run(self) -> None:
        """Connect, follow, and so on; blocks until the end."""
        self._supervisor.keep(
            self._database.link, self._connect, self._follow, self._pulse, spread=SPREAD
        )

    def _connect(self) -> None:
        feed = self._database.feed
        feed.connect()
        self._database.link.connections += 1
        self._caught_up = False
        if self._supervisor.stop.is_set():
            feed.close()  # the end may have come before there was anything to close
        if feed.name != self._heard_by:
            self._heard_by = feed.name
            logger.bind(event="feed", feed=feed.name).info(
                "receiving deletions from {} via {}", self._database.topologies.name, feed.name
            )

    def _follow(self) -> None:
        broken = True
        try:
            self._database.feed.follow(self._hint, self._supervisor.stop)
            broken = False
        finally:
            self._controller.feed_lost(self._number, broken=broken)

    def _hint(self, deleted: Collection[str] | None = None, *, torn_down: bool = False) -> None:
        with self._pulse:
            self._database.link.proved()
            committed = self._database.topologies.committed_at() if self._caught_up else None
            lag = None if committed is None else max(0.0, time.time() - committed)
            polled = self._database.feed.name == "poll"
            self._controller.hinted(
                self._number, deleted, torn_down=torn_down, polled=polled, lag=lag
            )
            self._caught_up = True
