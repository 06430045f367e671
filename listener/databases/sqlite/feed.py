"""The feed of a SQLite file: woken by inotify, told by ``PRAGMA data_version``.

A commit of another process is first a write to the ``-wal`` file (or the database itself, without
WAL), which inotify reports, and then an update of shared memory, which it does not. So a wake-up
means that a commit is *coming*: ``data_version``, which changes on our own open connection once the
commit is visible, is looked at again after growing pauses until it has changed or the write has
long been nothing of interest. A look costs 3 µs, and nothing wakes us while nobody writes except
one look an interval, which covers file systems whose changes inotify does not see.

While others commit all day, wake-ups are gathered: after one that brought a change the next look
waits a moment, so that the cost follows the clock and not the number of commits. And what is known
to concern none of this host's topologies is no hint: the rows of those few are read on the spot,
which takes a fraction of what the question does that a hint leads to. Which rows went, of whatever
host, shows in the ids of all rows, as long as there are no more than some thousands: they are
compared with the earlier ones, as often as that costs little, and at once when this host is
concerned. Whether the file is still the one that it was, which takes longer than the rest of a
look, is seen to when something came, went or was moved, and with the regular look at the latest;
whoever asks sees to it anyway.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import inotify_simple
from loguru import logger

from listener.core.numbers import plain
from listener.databases.feed import Feed, Hint, Interest
from listener.databases.sqlite.changes import REST, Deletions, became_torn_down, fingerprint
from listener.databases.sqlite.file import DatabaseFile

GATHER = 0.01
"""Seconds that a look waits after one that brought a change."""
FIRST_PAUSE = 0.001
"""Seconds from a wake-up without a change to the next look; doubled each time."""
LAST_PAUSE = 0.5
"""When the pause has grown to so many seconds, the write was no commit after all, or one that takes
so long to reach the disk that the regular look will find it."""
LONGEST_SLEEP = 0.5
"""Seconds after which ``stop`` is looked at in any case."""

_WRITTEN = (
    inotify_simple.flags.MODIFY
    | inotify_simple.flags.CREATE
    | inotify_simple.flags.DELETE
    | inotify_simple.flags.MOVED_FROM
    | inotify_simple.flags.MOVED_TO
)


class SqliteFeed(Feed):
    """Hears of every commit to one SQLite file, and which rows it deleted.

    Args:
        file: is heard.
        interval: seconds between two looks while nothing wakes us.
        interest: the prefixes whose rows matter; None: every commit is a hint.
        precise: hint "any" only where it cannot be told which rows went or became torn down.
    """

    name = "wal"

    def __init__(
        self,
        file: DatabaseFile,
        interval: float,
        interest: Interest | None = None,
        *,
        precise: bool = False,
    ) -> None:
        self._file = file
        self._interval = min(interval, LONGEST_SLEEP)
        self._interest = interest
        self._precise = precise
        self._connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        """Open the connection that is told of commits.

        Raises:
            NoAnswer: there is no such file, or SQLite cannot open it.
        """
        try:
            connection = self._file.connect()
        except sqlite3.Error as error:
            raise self._file.no_answer(error) from error
        try:
            self._version(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and after every commit until ``stop`` is set.

        Raises:
            NoAnswer: the file is not the one that it was.
        """
        assert self._connection is not None  # noqa: S101 - connect() comes first
        real = self._file.path.resolve()
        with closing(self._connection) as connection, self._notifier(real.parent) as notifier:
            seen = self._version(connection)
            checked = time.monotonic()
            known = fingerprint(self._file, connection, self._interest)
            deletions = Deletions(self._file, connection)
            told: list[str] = []
            hint()
            pause: float | None = None
            due = time.monotonic() + self._interval
            while not stop.is_set():
                began = time.thread_time()
                sleep = min(due, deletions.due) - time.monotonic()
                woken, moved = self._woken(notifier, real.name, sleep)
                now = time.monotonic()
                if now >= deletions.due and (gone := deletions.look()):
                    hint(gone)
                    told += gone
                if not woken and now < due:
                    continue  # something else was written in that folder
                if moved or now - checked >= self._interval:
                    self._file.check()
                    checked = now
                version = self._version(connection)
                if version != seen:
                    # Another commit may be on its way already, its wake-up spent on this one.
                    seen, pause = version, FIRST_PAUSE
                    found = fingerprint(self._file, connection, self._interest)
                    deletions.committed()
                    if found != known:
                        if gone := deletions.look():
                            hint(gone)  # first, for the look that follows is about these as well
                            told += gone
                        torn_down = None
                        if self._precise:
                            torn_down = became_torn_down(known, found, told)
                        if torn_down is None:
                            hint()
                        else:
                            hint(torn_down, torn_down=True)
                        known = found
                    told.clear()
                    rest = REST * (time.thread_time() - began)
                    time.sleep(min(max(GATHER, rest), LONGEST_SLEEP))
                elif woken:
                    pause = FIRST_PAUSE
                elif pause is not None:
                    pause = pause * 2 if pause < LAST_PAUSE else None
                due = time.monotonic() + (pause or self._interval)

    def close(self) -> None:
        """Nothing to close: ``stop`` is looked at often enough."""

    @contextmanager
    def _notifier(self, folder: Path) -> Iterator[inotify_simple.INotify | None]:
        """Watches the folder, and not the file: -wal comes and goes, and the file may be replaced.

        Nothing, and a warning, where the system grants no such watch.
        """
        with ExitStack() as stack:
            notifier = None
            try:
                notifier = stack.enter_context(inotify_simple.INotify())
                notifier.add_watch(folder, _WRITTEN)
            except OSError as error:
                notifier = None
                logger.bind(event="feed", feed=self.name, error=error.strerror).warning(
                    "commits are noticed every {} s only, for inotify cannot watch {}: {}",
                    plain(self._interval),
                    folder,
                    error.strerror,
                )
            yield notifier

    def _woken(
        self, notifier: inotify_simple.INotify | None, name: str, sleep: float
    ) -> tuple[bool, bool]:
        """Sleep until something is written in the folder.

        Returns:
            Whether it was to the file or -wal, and whether one of these came, went or was moved.
        """
        if notifier is None:
            time.sleep(max(0.0, sleep))
            return False, False
        events = notifier.read(timeout=max(0, round(sleep * 1000)))
        masks = [event.mask for event in events if event.name.startswith(name)]
        return bool(masks), any(mask != inotify_simple.flags.MODIFY for mask in masks)

    def _version(self, connection: sqlite3.Connection) -> int:
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise self._file.no_answer(error) from error
        return int(version)
