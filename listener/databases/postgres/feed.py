"""The feed of PostgreSQL: ``LISTEN`` to what triggers on the table notify.

The triggers (``install.sql``) send the ids that a statement deleted, or ``*`` where
these are too many or unknown, at the commit and not before. Another one sends the id of a row whose
status has become ``torn_down``, on a channel that is named so; where that trigger is missing,
deletions are heard of all the same. The channel is named after the table's
oid, so a listener never hears of another table of that name, and one that a restore put in this
one's place is noticed.

A connection can be deaf without an error: a restore may drop a trigger, a pooler may hand the
connection that listens to somebody else, something in between may pass nothing on. So the triggers
are looked at before, and again every so often with the one query that an idle listener costs; and
through a pooler a notification of our own has to come through first.
"""

from __future__ import annotations

import secrets
import selectors
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from loguru import logger
from psycopg import sql

from listener.core.once import Once
from listener.core.ownership import ID
from listener.databases.base import TABLE, TORN_DOWN
from listener.databases.feed import Feed, Hint
from listener.databases.hangup import hang_up
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer, PushUnavailable

TRIGGERS = {f"topology_reaper_{name}" for name in ("delete", "truncate", "update")}
"""As ``install.sql`` names them."""
TEARDOWNS = "topology_reaper_torn_down"
"""The one of a status, which tables without that column do not have."""
LONGEST_SILENCE = 60.0
"""Seconds between two looks at the triggers, at most."""
TEST_CHANNEL = "topology_reaper_test"
HEARD_WITHIN = 2.0
"""Seconds in which our own notification has to come through a pooler."""

_CHECK = """
    SELECT c.oid, c.relkind::text, pg_is_in_recovery(), pg_backend_pid(),
           ARRAY(SELECT t.tgname::text FROM pg_trigger t
                 WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')),
           ARRAY(SELECT pg_listening_channels()),
           EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attname = 'status' AND NOT a.attisdropped)
    FROM pg_class c
    WHERE c.oid = to_regclass(%s)
"""


class NotifyFeed(Feed):
    """Hears of deletions from one table in PostgreSQL.

    Args:
        database: the table.
        interval: seconds between two looks at the triggers; a minute at most.
    """

    name = "notify"

    def __init__(self, database: ServerTopologies, interval: float) -> None:
        self._database = database
        self._interval = min(interval, LONGEST_SILENCE)
        self._connection: psycopg.Connection[Any] | None = None
        self._table = self._channel = self._last_words = ""
        self._lacks = Once()

    def connect(self) -> None:
        """Listen.

        Raises:
            NoAnswer: the server cannot be reached, or lacks the table.
            PushUnavailable: there are no triggers, or nothing would come through.
        """
        with self._database.reading() as reading:
            self._table, self.identity = reading.name, reading.identity
        try:
            self._connection = self._connected()
        except psycopg.Error as error:  # it has just answered a question, so it is there
            raise self._database.push_unavailable(error) from error

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and whenever a deletion is notified, until ``stop`` is set.

        Raises:
            NoAnswer: the connection is lost, or the table is another one.
            PushUnavailable: the triggers are gone, or the connection no longer listens.
        """
        connection = self._connection
        assert connection is not None  # noqa: S101 - connect() comes first
        try:
            # psycopg's own wait would wake ten times a second.
            with self._errors(connection), selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_READ)
                hint()
                due = time.monotonic() + self._interval
                while not stop.is_set():
                    for notification in connection.notifies(timeout=0):
                        ids = _ids(notification.payload)
                        if notification.channel == self._channel:
                            hint(ids)
                        elif ids:
                            hint(ids, torn_down=True)
                    selector.select(due - time.monotonic())
                    if time.monotonic() >= due:
                        self._check(connection)
                        due = time.monotonic() + self._interval
        except (NoAnswer, PushUnavailable):
            if not stop.is_set():
                self._database.close()  # what else is open there may be as silent
                raise
        finally:
            self._connection = None
            connection.close()

    def close(self) -> None:
        """End :meth:`follow`, from any thread."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):  # it ended by itself
                hang_up(connection.fileno())

    def _connected(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = self._database.connect()
        try:
            connection.autocommit = True
            connection.add_notice_handler(self._keep_last_words)
            oid, replica, backend, *_ = self._inspect(connection)
            if replica:
                raise self._database.push_unavailable("is a replica, which notifies nobody")
            if backend != connection.info.backend_pid:
                self._hear_ourselves(connection)
            # Who listens is idle; cut off again and again, it would observe no absence for long.
            connection.execute("SET idle_session_timeout = 0")
            self._channel = f"topology_reaper_{oid}"
            self._listen(connection, self._channel)
            self._listen(connection, f"{self._channel}_{TORN_DOWN}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        oid, _, _, channels = self._inspect(connection)
        if self._channel != f"topology_reaper_{oid}":
            raise self._database.no_answer("put another table in place")
        if self._channel not in channels:
            raise self._database.push_unavailable(
                "no longer listens on this connection; give the server's own address and not a"
                " pooler's"
            )

    def _inspect(self, connection: psycopg.Connection[Any]) -> tuple[int, bool, int, list[str]]:
        """The table's oid, whether this is a replica, who serves us, and to what it listens."""
        row = connection.execute(_CHECK, [self._table]).fetchone()
        if row is None:
            raise self._database.no_table()
        oid, kind, replica, backend, triggers, channels, has_status = row
        if kind != "r":
            raise self._database.push_unavailable(
                f"has no plain table {TABLE}, and others do not tell of everything"
            )
        if not replica and not set(triggers) >= TRIGGERS:
            raise self._database.push_unavailable(
                "lacks the triggers that tell of deletions; run topology-reaper feed install with a"
                " URL of the table's owner"
            )
        lacks = has_status and not replica and TEARDOWNS not in triggers
        if self._lacks.is_new(lacks) and lacks:
            logger.bind(event="feed", feed=self.name).info(
                "{} tells of deletions via {}, but not of a status that becomes torn_down; run"
                " topology-reaper feed install again with a URL of the table's owner",
                self._database.name,
                self.name,
            )
        return oid, replica, backend, channels

    def _listen(self, connection: psycopg.Connection[Any], channel: str) -> None:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    def _hear_ourselves(self, connection: psycopg.Connection[Any]) -> None:
        """Send a notification by another connection and wait for it.

        Not done without a pooler, for every listener of the database is woken by it.
        """
        nonce = secrets.token_hex(8)
        self._listen(connection, TEST_CHANNEL)
        try:
            with self._database.connect() as other:
                other.execute("SELECT pg_notify(%s, %s)", [TEST_CHANNEL, nonce])
            with closing(connection.notifies(timeout=HEARD_WITHIN)) as heard:
                if not any(notification.payload == nonce for notification in heard):
                    raise self._database.push_unavailable(
                        "is behind a pooler that loses notifications; give the server's own address"
                    )
        finally:
            # As far as a pooler lets us reach the session that listens.
            connection.execute("UNLISTEN *")

    def _keep_last_words(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "FATAL":
            self._last_words = notice.message_primary or ""

    @contextmanager
    def _errors(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Whatever goes wrong comes out as NoAnswer, in the words of the server that ended it.

        They come together with the end, of which libpq tells first and alone.
        """
        self._last_words = ""
        try:
            yield
        except psycopg.Error as error:
            with suppress(psycopg.Error):
                connection.pgconn.notifies()  # reads what has come
            words = self._last_words
            said = f"ended the connection that hears deletions: {words}" if words else error
            raise self._database.no_answer(said) from error


def _ids(payload: str) -> Collection[str] | None:
    """The ids in a notification; None where it may be any."""
    ids = payload.lower().split()
    return ids if ids and all(map(ID.fullmatch, ids)) else None
