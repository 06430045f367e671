"""The feed of MySQL and MariaDB: their binary log, read as a replica reads it.

The log tells of every row that a transaction deleted or gave another id, in the moment in which it
commits. Other connections may see that later (up to 400 ms with eight writers, measured on MariaDB
10.11), so whoever hears of a deletion has to be ready to ask again. Statements that name the table,
such as ``TRUNCATE``, may concern any row.

The server sends us all that it writes, and a sign of life when it writes nothing; a connection that
is silent for longer is given up. The next one starts from the server's current position: the first
hint of :meth:`BinlogFeed.follow` covers what came in between. It is repeated when the transactions
that were in the log by then, but not visible yet, are.

Columns have no names in the log unless the server is told to add them, so the key is found by its
position in the table.

The server sends every listener all that it writes, so what is not about this table is passed over
by its first bytes, before the reader makes objects of it.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import BINLOG
from pymysqlreplication.event import HeartbeatLogEvent, QueryEvent, RotateEvent, XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent

from listener.core.ownership import ID
from listener.databases.base import TABLE, Reading
from listener.databases.feed import Feed, Hint
from listener.databases.hangup import hang_up
from listener.databases.mysql.origin import quoted
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer, PushUnavailable

HEARTBEAT = 3
"""Seconds of silence after which the server sends a sign of life; only by sending does it notice
that a reader is gone, whose connection counts until then."""
SILENCE = 15
"""Seconds of silence after which the connection is given up."""
VISIBLE = 2.0
"""Seconds in which what is in the log has long become visible."""
GRANT = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {}"
"""What a reader of the log needs; MariaDB calls the second one BINLOG MONITOR."""
COST = "note that the server then sends every listener all that it writes"

_MENTIONED = re.compile(rf"\b{TABLE}\b|^XA COMMIT", re.IGNORECASE)
"""A statement that may concern any row; XA's changes are logged long before they are committed."""
_ACCESS_DENIED = 1227
"""ER_SPECIFIC_ACCESS_DENIED_ERROR: a right is missing, not the password."""
_NEEDED = {
    "log_bin": ("ON", "keeps no binary log; start it with --log-bin"),
    "binlog_format": ("ROW", "does not log rows; set binlog_format = ROW"),
    "log_bin_compress": ("OFF", "compresses its log; set log_bin_compress = OFF"),
    "binlog_transaction_compression": (
        "OFF",
        "compresses its log; set binlog_transaction_compression = OFF",
    ),
    "binlog_row_value_options": ("", "logs parts of values; set binlog_row_value_options = ''"),
    "read_only": ("OFF", "is a replica, whose log need not have everything"),
}
"""By variable, where the server has it: the value it takes, and what another one means."""
_KIND = sa.text(
    "SELECT table_type FROM information_schema.tables"
    " WHERE table_schema = :schema AND table_name = :name"
)
_POSITION = sa.text(
    "SELECT ordinal_position FROM information_schema.columns"
    " WHERE table_schema = :schema AND table_name = :name AND column_name = 'id'"
)
EVENTS = [DeleteRowsEvent, UpdateRowsEvent, QueryEvent, RotateEvent, XidEvent, HeartbeatLogEvent]
"""What the reader returns; the last three only give us a turn."""
TURN = 1.0
"""Seconds between two turns while the server writes without a pause."""
_NO_NEWS = frozenset(
    [
        BINLOG.GTID_LOG_EVENT,
        BINLOG.ANONYMOUS_GTID_LOG_EVENT,
        BINLOG.MARIADB_GTID_EVENT,
        BINLOG.MARIADB_ANNOTATE_ROWS_EVENT,
        BINLOG.WRITE_ROWS_EVENT_V1,
        BINLOG.WRITE_ROWS_EVENT_V2,
    ]
)
"""Events that tell of no deletion, whatever is in them."""
_CHANGED_ROWS = frozenset(
    [
        BINLOG.UPDATE_ROWS_EVENT_V1,
        BINLOG.UPDATE_ROWS_EVENT_V2,
        BINLOG.DELETE_ROWS_EVENT_V1,
        BINLOG.DELETE_ROWS_EVENT_V2,
    ]
)
_KIND_AT, _TABLE_AT = 5, slice(20, 26)
"""Where an event has its kind and, if it is about rows, its table's number in the log."""

logging.getLogger("pymysqlreplication").addHandler(logging.NullHandler())  # else it prints


class _LogConnection(pymysql.connections.Connection):  # type: ignore[misc]  # no annotations
    """A connection that reads the log, and passes over what is not about our table."""

    reads_log = False
    """Whether what comes is the log, and no answer to a question."""

    def __init__(self, **parameters: Any) -> None:
        self._numbers: set[bytes] = set()  # of our table in the log
        self._turn_due = 0.0
        super().__init__(**parameters)

    def _read_packet(self, *arguments: Any) -> Any:
        while True:
            packet = super()._read_packet(*arguments)
            if not self.reads_log or not self._is_no_news(packet.get_all_data()):
                return packet

    def _is_no_news(self, event: bytes) -> bool:
        if len(event) <= _KIND_AT or event[0] != 0:
            return False  # the end of the log
        kind, number = event[_KIND_AT], event[_TABLE_AT]
        if kind == BINLOG.TABLE_MAP_EVENT:
            if TABLE.encode() in event:
                self._numbers.add(number)
                return False
            self._numbers.discard(number)
            return True
        if kind == BINLOG.XID_EVENT:
            if (now := time.monotonic()) < self._turn_due:
                return True
            self._turn_due = now + TURN
            return False
        return kind in _NO_NEWS or (kind in _CHANGED_ROWS and number not in self._numbers)


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
        self._key_position = 0
        self._connections: list[_LogConnection] = []
        self._reader: BinLogStreamReader | None = None
        self._again: threading.Timer | None = None

    def connect(self) -> None:
        """Begin to read at the end of the log.

        Raises:
            NoAnswer: the server cannot be reached, or lacks the table.
            PushUnavailable: it keeps no such log, or does not let us read it.
        """
        with self._database.reading() as reading:
            self._check_variables(reading)
            self._look_at_table(reading)
            account = reading.connection.scalar(sa.text("SELECT CURRENT_USER()"))
            schema = reading.table.schema or ""
        with self._refusal(account):
            file, position = self._end_of_log(schema)
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
            with self._refusal(account):
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
                        self._check_variables(reading)
                    due = time.monotonic() + self._interval
                if isinstance(event, DeleteRowsEvent | UpdateRowsEvent):
                    gone = [id_ for row in event.rows if (id_ := self._deleted(row))]
                    ids = list(filter(ID.fullmatch, gone))
                    if ids:
                        hint(ids)
                    if len(ids) < len(gone):
                        self._hint_twice(hint)
                elif isinstance(event, QueryEvent) and _MENTIONED.search(event.query):
                    self._hint_twice(hint)
                    with self._database.reading() as reading:  # it may have moved the key
                        self._look_at_table(reading)
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

    def _check_variables(self, reading: Reading) -> None:
        names = ", ".join(f"'{name}'" for name in _NEEDED)
        found = reading.connection.execute(
            sa.text(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        )
        for name, value in found:
            needed, otherwise = _NEEDED[name.lower()]
            if value.upper() != needed:
                raise self._unavailable(otherwise)

    def _end_of_log(self, schema: str) -> tuple[str, int]:
        """The file and the position in it to which the server has written."""
        # Not a pooled connection: for MariaDB, a grant concerns new ones only.
        with closing(self._database.connect()) as connection, connection.cursor() as cursor:
            try:
                cursor.execute("SHOW MASTER STATUS")
            except pymysql.err.ProgrammingError:  # what MySQL calls it from 8.4 on
                cursor.execute("SHOW BINARY LOG STATUS")
            row = cursor.fetchone()
        if row is None:
            raise self._unavailable("keeps no binary log; start it with --log-bin")
        file, position, only, ignored, *_ = row
        if (only and schema not in only.split(",")) or schema in ignored.split(","):
            raise self._unavailable(
                f"leaves {schema} out of its log; change its binlog_do_db and binlog_ignore_db"
            )
        return str(file), int(position)

    def _look_at_table(self, reading: Reading) -> None:
        """Find the key's place among the columns, and see that its rows come as they are."""
        schema = {"schema": reading.table.schema, "name": TABLE}
        kind = reading.connection.scalar(_KIND, schema)
        if kind != "BASE TABLE":
            raise self._unavailable(f"has a {str(kind).lower()} named {TABLE}, which is no table")
        self._key_position = int(reading.connection.scalar(_POSITION, schema) or 1) - 1

    @contextmanager
    def _refusal(self, account: str) -> Iterator[None]:
        """Whatever the server answers to a request for its log comes out as PushUnavailable.

        It has just answered a question, so it is there.
        """
        try:
            yield
        except (NoAnswer, pymysql.Error) as error:
            cause = error.__cause__ if isinstance(error, NoAnswer) else error
            if not isinstance(cause, pymysql.Error):
                raise self._unavailable("does not send its log") from error
            if cause.args[:1] != (_ACCESS_DENIED,):
                raise self._database.push_unavailable(cause) from error
            grant = GRANT.format(quoted(account))
            raise self._unavailable(
                f"does not let this account read its binary log; run {grant}"
            ) from error

    def _unavailable(self, why: str) -> PushUnavailable:
        return self._database.push_unavailable(f"{why} ({COST})")

    def _open(self, **parameters: Any) -> _LogConnection:
        """A connection for the reader, which wants two and would replace a lost one unsaid."""
        if len(self._connections) == 2:
            raise self._database.no_answer("no longer sends its log")
        self._connections.append(_LogConnection(**parameters))
        return self._connections[-1]

    def _next_event(self) -> object:
        assert self._reader is not None  # noqa: S101 - connect() comes first
        try:
            event = self._reader.fetchone()
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

    def _key(self, values: Mapping[str, object]) -> str:
        """The id among the values of a row; empty if it is not among them."""
        in_order = [*values.values(), *[None] * self._key_position]
        return str(in_order[self._key_position] or "").lower()

    def _hint_twice(self, hint: Hint) -> None:
        """Now, and once more when all that is in the log is visible."""
        hint()
        if self._again is not None:
            self._again.cancel()
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
