"""What a commit to a SQLite file has changed, as far as the feed cares.

Two questions tell, both in the feed's own connection. The *fingerprint* is what an answer about
this host's topologies is made of; while it stays the same, nobody need be told. The ids of all rows
are compared with the earlier ones, and show which rows were deleted. Neither decides anything else.
"""

from __future__ import annotations

import functools
import math
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from listener.core.resources import prefix_of
from listener.databases.base import BATCH, TABLE, TORN_DOWN, upper_bound
from listener.databases.feed import Interest
from listener.databases.sqlite.file import DatabaseFile
from listener.errors import NoAnswer

MOST_COMPARED = 2000
"""Rows; in a larger table deletions are not told by their ids."""
REST, REST_FROM_ALL = 100.0, 300.0
"""How many times the processor time of a look the next one waits, if nothing else makes it wait
longer: a look at this host's rows, and one at all of them."""


class _Fingerprint(NamedTuple):
    """What an answer about these prefixes is made of."""

    prefixes: frozenset[str]
    rows: Mapping[object, object]
    """By id, whether it is torn down."""
    table: tuple[int, int]
    """Its incarnation."""
    changes: int
    """How far the database has come."""


def fingerprint(
    file: DatabaseFile, connection: sqlite3.Connection, interest: Interest | None
) -> object:
    """Equal to an earlier one if an answer about this host would be, at a fraction of its price.

    Args:
        file: is asked.
        connection: to it; nobody else uses it.
        interest: the prefixes; None: all, and it is equal to nothing.

    Raises:
        NoAnswer: the file was swapped just now.
    """
    if interest is None:
        return object()
    prefixes = frozenset(interest())
    rows: dict[object, object] = {}
    try:
        for ranges, bounds in _ranges(prefixes):
            rows.update(_rows(connection, ranges, bounds))
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        return object()
    return _Fingerprint(prefixes, rows, (schema, file.generation), file.header().changes)


def became_torn_down(before: object, after: object, deleted: Collection[str]) -> list[str] | None:
    """The ids that became torn down, if with the deleted ones they are all that there is to tell.

    Nobody need be told how far the database has come, or of a row whose prefix was not named
    before: who names that asks about it afterwards.

    Args:
        before: an earlier fingerprint.
        after: the one of now.
        deleted: the ids that were told since the former was taken.

    Returns:
        None: it may be more than that.
    """
    if not isinstance(before, _Fingerprint) or not isinstance(after, _Fingerprint):
        return None
    if before.table != after.table or after.changes < before.changes:
        return None  # another table, or an older state of it
    named = before.prefixes & after.prefixes
    gone = {id_ for id_ in before.rows if id_ not in after.rows and _prefix(id_) in named}
    if not {str(id_).lower() for id_ in gone} <= {*deleted}:
        return None
    if not after.prefixes - before.prefixes <= {_prefix(id_) for id_ in (*after.rows, *deleted)}:
        return None  # a row may have come and gone unseen
    changed = {
        id_: torn_down
        for id_, torn_down in after.rows.items()
        if _prefix(id_) in named and (id_ not in before.rows or before.rows[id_] != torn_down)
    }
    came = changed.keys() - before.rows.keys()
    return None if came or not all(changed.values()) else sorted(map(str, changed))


def _prefix(id_: object) -> str:
    return prefix_of(str(id_))


def _rows(
    connection: sqlite3.Connection, ranges: str, bounds: Sequence[str]
) -> list[tuple[object, object]]:
    """The ids in these ranges, each with whether its row is torn down, where there is a status."""
    select = f"SELECT id, {{}} FROM {TABLE} WHERE {ranges}"  # noqa: S608
    try:
        return connection.execute(select.format(f"status = '{TORN_DOWN}'"), bounds).fetchall()
    except sqlite3.OperationalError:
        return connection.execute(select.format("NULL"), bounds).fetchall()


@functools.lru_cache(maxsize=1)
def _ranges(prefixes: frozenset[str]) -> list[tuple[str, list[str]]]:
    """Conditions for the ids with these prefixes; kept, for they hardly ever change."""
    asked = sorted(prefixes)
    ranges = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        bounds = [bound for prefix in batch for bound in (prefix, upper_bound(prefix))]
        ranges.append((" OR ".join(["id >= ? AND id < ?"] * len(batch)), bounds))
    return ranges


class _AllIds(NamedTuple):
    """The ids of all rows at one moment."""

    rows: Sequence[tuple[object]]
    table: tuple[int, int]
    """Its incarnation."""
    earliest: int
    latest: int
    """How far the database had come, before they were read and after."""

    def gone_since(self, earlier: _AllIds) -> list[str]:
        """Those that were there earlier, in the same table, and have been deleted."""
        if self.rows == earlier.rows:
            return []
        if self.table != earlier.table or self.earliest < earlier.latest:
            return []  # an older state took its place
        gone = {id_ for (id_,) in earlier.rows} - {id_ for (id_,) in self.rows}
        return sorted(id_.lower() for id_ in gone if isinstance(id_, str))


def _all_ids(file: DatabaseFile, connection: sqlite3.Connection) -> _AllIds | None:
    """None where there are too many, or where nothing can be told from them."""
    try:
        before = file.header().changes
        connection.execute("BEGIN")
        try:
            question = f"SELECT id FROM {TABLE} LIMIT {MOST_COMPARED + 1}"  # noqa: S608
            ids = connection.execute(question).fetchall()
            (schema,) = connection.execute("PRAGMA schema_version").fetchone()
            after = file.header().changes
            doubtful = file.misses_commits()
        finally:
            connection.execute("ROLLBACK")
    except (sqlite3.Error, NoAnswer):
        return None
    if doubtful or len(ids) > MOST_COMPARED or after < before:
        return None
    return _AllIds(ids, (schema, file.generation), before, after)


class Deletions:
    """The ids that went between two looks at all of them.

    Args:
        file: is looked at.
        connection: to it; nobody else uses it.

    Attributes:
        due: when to look again; never, as long as nobody commits.
    """

    def __init__(self, file: DatabaseFile, connection: sqlite3.Connection) -> None:
        self._file, self._connection = file, connection
        self._known = _all_ids(file, connection)
        self._earliest = 0.0
        self.due = math.inf

    def committed(self) -> None:
        """There may be something to be seen."""
        self.due = self._earliest

    def look(self) -> Collection[str]:
        """The ids of rows that were deleted since the last time."""
        began = time.thread_time()
        earlier, self._known = self._known, _all_ids(self._file, self._connection)
        gone = self._known.gone_since(earlier) if earlier and self._known else ()
        rest = REST_FROM_ALL * (time.thread_time() - began)
        self._earliest, self.due = time.monotonic() + rest, math.inf
        return gone
