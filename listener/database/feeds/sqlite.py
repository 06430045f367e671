"""The feed of a SQLite file: woken by inotify, told by ``PRAGMA data_version``.

A commit of another process is first a write to the ``-wal`` file (or the database itself, without
WAL), which inotify reports, and then an update of shared memory, which it does not. So a wake-up
means that a commit is *coming*: ``data_version``, which changes on our own open connection once the
commit is visible, is looked at again after growing pauses until it has changed or the write has
long been nothing of interest. A look costs 3 µs, and nothing wakes us while nobody writes except
one look an interval, which covers file systems whose changes inotify does not see.

While others commit all day, wake-ups are gathered: after one that brought a change the next look
waits a moment, so that the cost follows the clock and not the number of commits.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing

import inotify_simple
from loguru import logger

from listener.database.sqlite import SqliteTopologies

GATHER = 0.01
"""Seconds that a look waits after one that brought a change."""
FIRST_PAUSE = 0.001
"""Seconds from a wake-up without a change to the next look; doubled each time."""
LAST_PAUSE = 0.5
"""When the pause has grown to so many seconds, the write was no commit after all, or one that takes
so long to reach the disk that the regular look will find it."""
LONGEST_SLEEP = 1.0
"""Seconds after which ``stop`` is looked at in any case."""

_WRITTEN = (
    inotify_simple.flags.MODIFY
    | inotify_simple.flags.CREATE
    | inotify_simple.flags.DELETE
    | inotify_simple.flags.MOVED_FROM
    | inotify_simple.flags.MOVED_TO
)


class SqliteFeed:
    """Hears of every commit to one SQLite file.

    Args:
        database: the file.
        interval: seconds between two looks while nothing wakes us.
    """

    name = "wal"

    def __init__(self, database: SqliteTopologies, interval: float) -> None:
        self._database = database
        self._interval = min(interval, LONGEST_SLEEP)
        self._connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        """Open the connection that is told of commits.

        Raises:
            NoAnswer: there is no such file, or SQLite cannot open it.
        """
        try:
            self._connection = self._database.connect()
        except sqlite3.Error as error:
            raise self._database.no_answer(f"gave no answer: {error}") from error

    def follow(self, hint: Callable[[], None], stop: threading.Event) -> None:
        """Hint after every commit until ``stop`` is set.

        Raises:
            NoAnswer: the file is not the one that it was.
        """
        assert self._connection is not None  # noqa: S101 - connect() comes first
        with closing(self._connection) as connection, inotify_simple.INotify() as notifier:
            self._watch(notifier)
            seen = self._version(connection)
            hint()
            pause: float | None = None
            while not stop.is_set():
                woken = self._woken(notifier, pause or self._interval)
                version = self._version(connection)
                if version != seen:
                    seen, pause = version, None
                    hint()
                    stop.wait(GATHER)
                elif woken:
                    pause = FIRST_PAUSE
                elif pause is not None:
                    pause = pause * 2 if pause < LAST_PAUSE else None

    def _watch(self, notifier: inotify_simple.INotify) -> None:
        # The directory and not the file: -wal comes and goes, and the file may be replaced.
        try:
            notifier.add_watch(self._database.path.parent, _WRITTEN)
        except OSError as error:
            logger.warning(
                "inotify is not to be had for {}: {}; commits are noticed every {:g} s",
                self._database.path.parent,
                error.strerror,
                self._interval,
            )

    def _woken(self, notifier: inotify_simple.INotify, sleep: float) -> bool:
        events = notifier.read(timeout=round(sleep * 1000))
        return any(event.name.startswith(self._database.path.name) for event in events)

    def _version(self, connection: sqlite3.Connection) -> int:
        self._database.check_file()
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise self._database.no_answer(f"gave no answer: {error}") from error
        return int(version)
