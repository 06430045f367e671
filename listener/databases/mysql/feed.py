"""The feed of MySQL and MariaDB: their binary log, read as a replica reads it.

The log tells of every row that a transaction deleted or gave another id, in the moment in which it
commits. Other connections may see that later (up to 400 ms with eight writers, measured on MariaDB
10.11), so whoever hears of a deletion has to be ready to ask again. Statements that name the table,
such as ``TRUNCATE``, may concern any row; so may what cannot be read, such as a transaction that a
session had compressed.

The server sends us all that it writes, and a sign of life when it writes nothing; a connection that
is silent for longer is given up. The next one starts from the server's current position: the first
hint of :meth:`BinlogFeed.follow` covers what came in between. It is repeated when the transactions
that were in the log by then, but not visible yet, are.

It tells as well of each row whose status became ``torn_down``, as early. The log does not spell out
the values of an ENUM or a SET: where the status is no text, every update may have made it that.

Columns have no names in the log unless the server is told to add them, so the key and the status
are found by their positions in the table.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import HeartbeatLogEvent, RotateEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent

from listener.core.ownership import ID
from listener.databases.base import TABLE, TORN_DOWN, Reading
from listener.databases.feed import Feed, Hint
from listener.databases.hangup import hang_up
from listener.databases.mysql import requirements
from listener.databases.mysql.connection import AnyRow, LogConnection, Turn
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer, PushUnavailable

HEARTBEAT = 3
"""Seconds of silence after which the server sends a sign of life; only by sending does it notice
that a reader is gone, whose connection counts until then."""
SILENCE = 15
"""Seconds of silence after which the connection is given up."""
VISIBLE = 2.0
"""Seconds in which what is in the log has long become visible."""

EVENTS = [DeleteRowsEvent, UpdateRowsEvent, RotateEvent, HeartbeatLogEvent]
"""What the reader returns; the last two only give us a turn."""

logging.getLogger("pymysqlreplication").addHandler(logging.NullHandler())  # else it prints


class BinlogFeed(Feed):
    """Hears of deletions from one table in MySQL or MariaDB.

    Args:
        database: the table.
        interval: seconds between two looks at whether the server still logs what we need.
    """

    name = "binlog"

    def __init__(self, database: ServerTopologies, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._places = requirements.Positions(0, None, opaque=False)
        self._connections: list[LogConnection] = []
        self._reader: BinLogStreamReader | None = None
        self._again: threading.Timer | None = None
        self._armed = 0.0

    def connect(self) -> None:
        """Begin to read at the end of the log.

        Raises:
            NoAnswer: the server cannot be reached, or lacks the table.
            PushUnavailable: it keeps no such log, or does not let us read it.
        """
        with self._database.reading() as reading:
            requirements.check_variables(self._database, reading)
            self._find_columns(reading)
            account = reading.connection.scalar(sa.text("SELECT CURRENT_USER()"))
            schema = reading.table.schema or ""
            self.identity = reading.identity
        with requirements.refusals(self._database, account):
            file, position = requirements.end_of_log(self._database, schema)
        self._reader = BinLogStreamReader(
            {**self._database.connect_parameters(), "read_timeout": SILENCE},
            server_id=random.randrange(2**31, 2**32),  # noqa: S311 - unlike any other reader's
            log_file=file,
            log_pos=position,
            resume_stream=True,
            blocking=True,
            slave_heartbeat=HEARTBEAT,
            only_events=EVENTS,
            only_schemas=[schema],
            only_tables=[TABLE],
            ignore_decode_errors=True,  # of other columns; an id is ASCII
            pymysql_wrapper=self._open,
            enable_logging=False,
        )
        try:
            with requirements.refusals(self._database, account):
                self._next_event()  # the name of the file: we are let in
            self._connections[0].reads_log = True
            self._connections[1].close()  # for the reader's own questions, which are over
        except BaseException:
            self._end()
            raise

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and whenever the log tells of a deletion, until ``stop`` is set.

        Raises:
            NoAnswer: the connection is lost, or the table is.
            PushUnavailable: the server no longer logs what we need, or something unreadable.
        """
        try:
            self._hint_twice(hint)
            due = time.monotonic() + self._interval
            while not stop.is_set():
                event = self._next_event()
                if time.monotonic() >= due:
                    with self._database.reading() as reading:
                        requirements.check_variables(self._database, reading)
                    due = time.monotonic() + self._interval
                if isinstance(event, DeleteRowsEvent | UpdateRowsEvent):
                    gone = [id_ for row in event.rows if (id_ := self._deleted(row))]
                    ids = list(filter(ID.fullmatch, gone))
                    if ids:
                        hint(ids)
                    became = [id_ for row in event.rows if (id_ := self._torn_down(row))]
                    if torn_down := list(filter(ID.fullmatch, became)):
                        hint(torn_down, torn_down=True)
                    is_update = isinstance(event, UpdateRowsEvent)
                    if len(ids) < len(gone) or (is_update and self._places.opaque):
                        self._hint_twice(hint)
                elif isinstance(event, AnyRow):
                    self._hint_twice(hint)
                    if event.names_table:  # it may have moved the columns
                        with self._database.reading() as reading:
                            self._find_columns(reading)
        except (NoAnswer, PushUnavailable):
            if not stop.is_set():
                self._database.close()  # what else is open there may be as silent
                raise
        finally:
            self._end()

    def close(self) -> None:
        """End :meth:`follow`, from any thread."""
        for connection in self._connections:
            if (end := connection._sock) is not None:
                hang_up(end.fileno())

    def _open(self, **parameters: Any) -> LogConnection:
        """A connection for the reader, which wants two and would replace a lost one unsaid."""
        if len(self._connections) == 2:
            raise self._database.no_answer("no longer sends its log")
        self._connections.append(LogConnection(**parameters))
        return self._connections[-1]

    def _next_event(self) -> object:
        assert self._reader is not None  # noqa: S101 - connect() comes first
        try:
            event = self._reader.fetchone()
            if isinstance(event, DeleteRowsEvent | UpdateRowsEvent):
                _ = event.rows  # they are read when they are first asked for
        except (AnyRow, Turn) as instead:
            return instead
        except pymysql.Error as error:
            raise self._database.no_answer(error) from error
        except NoAnswer:
            raise
        except Exception as error:  # whatever the reader raises where it does not know a column
            raise self._database.push_unavailable(
                "has a column in the table whose changes cannot be read"
                f" ({type(error).__name__}); change its type, or give --feed poll"
            ) from error
        if event is None:
            raise self._database.no_answer("ended its log")
        return event

    def _deleted(self, row: Mapping[str, Mapping[str, object]]) -> str | None:
        """The id that a row no longer has; None if it still has it."""
        if "values" in row:
            return self._key(row["values"]) or "?"
        after = self._key(row["after_values"])  # a minimal image holds only what changed
        before = self._key(row["before_values"])
        return (before or "?") if after and after != before else None

    def _torn_down(self, row: Mapping[str, Mapping[str, object]]) -> str | None:
        """The id of a row whose status has just become that; None of any other."""
        place = self._places.status
        if "values" in row or place is None:
            return None
        before, after = row["before_values"], row["after_values"]
        was, is_ = _at(before, place), _at(after, place)
        return self._key(before) if is_ == TORN_DOWN != was else None

    def _key(self, values: Mapping[str, object]) -> str:
        """The id among the values of a row; empty if it is not among them."""
        return _at(values, self._places.key).lower()

    def _find_columns(self, reading: Reading) -> None:
        self._places = requirements.positions(self._database, reading)

    def _hint_twice(self, hint: Hint) -> None:
        """Now, and once more when all that is in the log is visible."""
        hint()
        now = time.monotonic()
        if self._again is not None:
            if self._again.is_alive() and now - self._armed < VISIBLE / 2:
                return  # it comes late enough for this one as well
            self._again.cancel()
        self._armed = now
        self._again = threading.Timer(VISIBLE, hint)
        self._again.daemon = True
        self._again.start()

    def _end(self) -> None:
        if self._again is not None:
            self._again.cancel()
        connections, self._connections = self._connections, []
        for connection in connections:
            if connection.open:
                connection.close()


def _at(values: Mapping[str, object], position: int) -> str:
    """The value of a row in this place, as text; empty where it is NULL or not told."""
    in_order = [*values.values(), *[None] * (position + 1)]
    return str(in_order[position] or "")
