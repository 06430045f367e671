"""Following the feed of one database: its hints go to the controller, its breaks as well."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol

from loguru import logger

from listener.runtime.build import Heard
from listener.runtime.health import Pulse
from listener.runtime.supervisor import Supervisor

SPREAD = 0.5
"""Seconds over which the listeners of all hosts come back to a database that cut them off."""


class Hinted(Protocol):
    """Takes the hints of feeds; :class:`~listener.control.controller.Controller` does."""

    def hinted(
        self,
        database: int,
        deleted: Collection[str] | None = None,
        *,
        torn_down: bool = False,
        polled: bool = False,
        lag: float | None = None,
    ) -> None:
        """Rows may have gone.

        Args:
            database: the number of the one that says so.
            deleted: the ids that it reported deleted; None: it may be any.
            torn_down: they are not deleted, but their status is said to be that.
            polled: nobody told it.
            lag: seconds since the commit that it is about, if they are known.
        """

    def feed_lost(self, database: int, *, broken: bool) -> None:
        """A feed is not there until it hints again.

        Args:
            database: its number.
            broken: it did not end by itself.
        """


class FeedLoop:
    """Hears of deletions in one database for as long as the listener runs.

    Args:
        number: of the database, for whoever takes the hints.
        database: with the feed.
        controller: takes the hints.
        supervisor: keeps the connection.
        pulse: beats for each attempt to connect, and for each hint.
    """

    def __init__(
        self,
        number: int,
        database: Heard,
        controller: Hinted,
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
