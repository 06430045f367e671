"""The connection by which the binary log is read: it passes over what is not about our table.

The server sends every listener all that it writes. What tells of no deletion from our table is
recognised by its first bytes, before the reader makes objects of it.
"""

from __future__ import annotations

import time
from typing import Any

import pymysql
from pymysqlreplication.constants import BINLOG

from listener.databases.base import TABLE

TURN = 1.0
"""Seconds between two turns while the server writes without a pause."""
_IRRELEVANT = frozenset(
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


class LogConnection(pymysql.connections.Connection):  # type: ignore[misc]  # no annotations
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
            if not self.reads_log or not self._is_irrelevant(packet.get_all_data()):
                return packet

    def _is_irrelevant(self, event: bytes) -> bool:
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
        return kind in _IRRELEVANT or (kind in _CHANGED_ROWS and number not in self._numbers)
