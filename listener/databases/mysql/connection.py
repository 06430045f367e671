"""The connection by which the binary log is read: the reader is given the changes it can read.

The server sends every listener all that it writes. What tells of no deletion from our table is
recognised by its first bytes and passed over, before the reader makes objects of it. After whatever
the reader cannot read, any row may be gone: changes that a session had compressed, or logged in
part, and kinds of events that are not known here.

Statements are looked at here as well, and by the lengths at their beginning alone. The reader wants
to know every status variable of a statement, and servers add some: MariaDB 10.8 with
``binlog_alter_two_phase``, and MySQL 9.7 where it logs a change of rows as a statement.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pymysql
from pymysqlreplication.constants import BINLOG

from listener.databases.base import TABLE

TURN = 1.0
"""Seconds between two turns while the server writes without a pause."""
_GTID_TAGGED, _QUERY_COMPRESSED = 42, 165
_WRITES_COMPRESSED, _CHANGES_COMPRESSED = (166, 169), (167, 168, 170, 171)
"""Kinds that the reader does not name: the first is MySQL's, the others are MariaDB's."""
_IRRELEVANT = frozenset(
    [
        *(BINLOG.GTID_LOG_EVENT, BINLOG.ANONYMOUS_GTID_LOG_EVENT, _GTID_TAGGED),
        *(BINLOG.MARIADB_GTID_EVENT, BINLOG.MARIADB_GTID_GTID_LIST_EVENT),
        *(BINLOG.MARIADB_BINLOG_CHECKPOINT_EVENT, BINLOG.MARIADB_START_ENCRYPTION_EVENT),
        *(BINLOG.WRITE_ROWS_EVENT_V1, BINLOG.WRITE_ROWS_EVENT_V2, *_WRITES_COMPRESSED),
        *(BINLOG.MARIADB_ANNOTATE_ROWS_EVENT, BINLOG.XID_EVENT, BINLOG.XA_PREPARE_EVENT),
        *(BINLOG.INTVAR_EVENT, BINLOG.RAND_EVENT, BINLOG.USER_VAR_EVENT),
        *(BINLOG.BEGIN_LOAD_QUERY_EVENT, BINLOG.APPEND_BLOCK_EVENT),
    ]
)
"""Events that tell of no deletion, whatever is in them."""
_READABLE_CHANGES = frozenset(
    [
        *(BINLOG.UPDATE_ROWS_EVENT_V1, BINLOG.UPDATE_ROWS_EVENT_V2),
        *(BINLOG.DELETE_ROWS_EVENT_V1, BINLOG.DELETE_ROWS_EVENT_V2),
    ]
)
_CHANGES = _READABLE_CHANGES | {BINLOG.PARTIAL_UPDATE_ROWS_EVENT, *_CHANGES_COMPRESSED}
_READABLE = _READABLE_CHANGES | {
    *(BINLOG.FORMAT_DESCRIPTION_EVENT, BINLOG.ROTATE_EVENT, BINLOG.HEARTBEAT_LOG_EVENT),
    BINLOG.TABLE_MAP_EVENT,
}
_STATEMENTS = (BINLOG.QUERY_EVENT, BINLOG.EXECUTE_LOAD_QUERY_EVENT, _QUERY_COMPRESSED)
_KIND_AT, _FLAGS_AT, _TABLE_AT = 5, 18, slice(20, 26)
"""Where an event has its kind and flags and, if it is about rows, its table's number in the log."""
_IGNORABLE = 0x80
"""The flag of what a server thinks that nobody needs to know."""
_SCHEMA_AT, _VARIABLES_AT, _TEXT_AT = 28, slice(31, 33), 33
"""Where a statement has the lengths of its schema and status variables, and where these begin."""
_MENTIONED = re.compile(rb"\b%b(\b|.{4}\Z)|\AXA COMMIT" % TABLE.encode(), re.IGNORECASE | re.DOTALL)
"""A statement that may concern any row; a checksum of four bytes may follow it. XA's changes are
logged long before they are committed."""


class Turn(Exception):
    """Raised now and then instead of what does not concern us: something else can be seen to."""


class AnyRow(Exception):
    """Raised instead of an event after which any row may be gone.

    Args:
        kind: of event.
        event: all of it.

    Attributes:
        names_table: it is a statement that may have changed the table itself.
    """

    def __init__(self, kind: int, event: bytes) -> None:
        super().__init__(kind)
        named = kind == _QUERY_COMPRESSED or TABLE.encode() in event.lower()
        self.names_table = kind in _STATEMENTS and named


class LogConnection(pymysql.connections.Connection):  # type: ignore[misc]  # no annotations
    """A connection that reads the log, and hands on what is about rows of our table.

    What else there is to say of the log is raised as :class:`Turn` or :class:`AnyRow`, through the
    reader; it can be read on afterwards.
    """

    reads_log = False
    """Whether what comes is the log, and no answer to a question."""

    def __init__(self, **parameters: Any) -> None:
        self._numbers: set[bytes] = set()  # of our table in the log
        self._turn_due = 0.0
        super().__init__(**parameters)

    def _read_packet(self, *arguments: Any) -> Any:
        while True:
            packet = super()._read_packet(*arguments)
            event = packet.get_all_data()
            if not self.reads_log or len(event) <= _KIND_AT or event[0] != 0:
                return packet  # an answer, or the end of the log
            kind = event[_KIND_AT]
            if self._is_irrelevant(kind, event):
                if (now := time.monotonic()) >= self._turn_due:
                    self._turn_due = now + TURN
                    raise Turn
            elif kind in _READABLE:
                return packet
            else:
                raise AnyRow(kind, event)

    def _is_irrelevant(self, kind: int, event: bytes) -> bool:
        number = event[_TABLE_AT]
        if kind == BINLOG.TABLE_MAP_EVENT:
            if TABLE.encode() in event:
                self._numbers.add(number)
                return False
            self._numbers.discard(number)
            return True
        if kind in _CHANGES:
            return number not in self._numbers
        if kind == BINLOG.QUERY_EVENT:
            variables = int.from_bytes(event[_VARIABLES_AT], "little")
            text = event[_TEXT_AT + variables + event[_SCHEMA_AT] + 1 :]  # a zero ends the schema
            return _MENTIONED.search(text) is None
        return kind in _IRRELEVANT or bool(event[_FLAGS_AT] & _IGNORABLE)
