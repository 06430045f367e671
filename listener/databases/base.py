"""Asking which topologies have a row.

One question covers any number of prefixes, and only those: each is a range of the primary key, so
its cost follows what is on this host and not the size of the table. A range's upper bound is the
prefix *as a number* plus one. A last character plus one would not do: linguistic collations put the
``:`` that follows ``9`` before the digits, and every prefix that ends in 9 would look deleted.

Whatever is not an answer that can be trusted, an error, a missing table, a file that was swapped,
is raised as :class:`~listener.errors.NoAnswer`.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import sqlalchemy as sa

from listener.core.evidence import Answer
from listener.core.findings import Finding
from listener.core.resources import PREFIX_LENGTH, prefix_of
from listener.databases.feed import Feed, Interest
from listener.databases.identity import same_table
from listener.errors import ConfigurationError, NoAnswer

TABLE = "topologies"
BATCH = 100
"""Ranges in one statement: far below every database's limit of parameters or depth."""

TORN_DOWN = "torn_down"
"""The status of a topology whose teardown has ended, in DECNET for good."""
DEPLOYED = ("active", "degraded", "tearing_down", TORN_DOWN)
"""The statuses that DECNET writes only after a deploy; a failed one may still go on."""

_LEAST, _GREATEST = "-0000-0000-0000-000000000000", "-ffff-ffff-ffff-ffffffffffff"


@functools.cache
def table(schema: str | None = None) -> sa.TableClause:
    """The table of topologies, with the columns that are asked for."""
    columns = (sa.column(name, sa.String()) for name in ("id", "status"))
    return sa.table(TABLE, *columns, schema=schema)


class Row(NamedTuple):
    """One row, as the driver gives it; the status is None where it is that, or cannot be read."""

    id: object
    status: object


class Behind(NamedTuple):
    """Why a database may be behind the origin of its rows; nothing where it is known to be that.

    Attributes:
        why: the reason and the remedy, as a predicate.
        in_order: all changes come from one origin and in their order, as far as anybody can tell.
    """

    why: str = ""
    in_order: bool = False

    def __bool__(self) -> bool:
        """Whether it may be behind."""
        return bool(self.why)


CURRENT = Behind()


@dataclass(frozen=True, slots=True)
class Reading:
    """A connection on which the table may be asked.

    Attributes:
        connection: to the database; to a file, in a transaction.
        identity: of the database and of the table's incarnation.
        table: what to ask.
        generation: grows when something happened to the database that nobody could follow.
        position: how far the database has come; 0 where there is no such figure.
        too_new: the table cannot be told yet from another that may take its place.
        replica: the server is one, and its word is taken all the same.
        behind: whether it may be behind the origin of its rows.
        at: just before it was asked, in seconds on the clock of whoever asks.
        no_status: why the column status cannot be read, and the remedy, as a predicate; empty when
            it can, or nobody has tried.
    """

    connection: sa.Connection
    identity: str
    table: sa.TableClause
    generation: int = 0
    position: int = 0
    too_new: bool = False
    replica: bool = False
    behind: Behind = CURRENT
    at: float = 0.0
    no_status: str = ""

    @property
    def name(self) -> str:
        """The table's name as SQL wants it, with its schema."""
        return self.connection.dialect.identifier_preparer.format_table(self.table)


class Inspected(NamedTuple):
    """What there is to say of a table that can be asked.

    Attributes:
        identity: of the database and of the table's incarnation.
        behind: why it may be behind the origin of its rows, as a predicate; empty when it is not.
        replica: the server is one, and its word is taken all the same.
        findings: what else was found.
    """

    identity: str
    behind: str
    replica: bool = False
    findings: tuple[Finding, ...] = ()


class Topologies(ABC):
    """The table of topologies in one database.

    Args:
        name: how to speak of the database to a person; without a password.
        label: its kind and its own name, such as ``mysql/decnet``.
        place: the server or folder that it is on.
        clock: seconds, monotonic.

    Attributes:
        former_name: how the release before spoke of it.
    """

    kind: ClassVar[str]
    """Those of one kind tell their tables apart in one way; see :func:`same_table`."""
    may_refuse_push: ClassVar[bool] = True
    """Whether the database may allow no push, so that polling has to stand in for it."""
    push_takes: ClassVar[str] = "tells of commits with nothing installed"
    """What it takes to be told, instead of triggers, as a predicate."""
    proves: ClassVar[Mapping[str, str]] = {
        "reachable": "answers",
        "table": f"has the table {TABLE}",
    }
    """What an answer proves, as predicates, in the order in which they are found out; a NoAnswer
    names the first that does not hold."""
    _allow_replica = False
    """Whether the word of one that may be behind is taken all the same."""

    def __init__(
        self, name: str, label: str, place: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = self.former_name = name
        self.label, self.place = label, place
        self._clock = clock
        self._reaching = threading.Lock()
        self._reached, self._reached_at, self._setbacks = 0, 0.0, 0

    @property
    def refused(self) -> int:
        """How much of what it was heard to say was refused, where others may have said it."""
        return 0

    def upgraded(self, identity: str) -> str:
        """An identity that the release before wrote down, in the form of this one."""
        return identity

    def same_table(self, before: str, now: str, watched: bool) -> bool:
        """Whether two identities are of one incarnation of the table.

        Args:
            before: of an earlier answer.
            now: of this one.
            watched: no more than a minute lies between them.
        """
        return same_table(self.kind, before, now, watched=watched)

    @abstractmethod
    def close(self) -> None:
        """Close the connections that wait for the next question."""

    @abstractmethod
    def ask(self, prefixes: Iterable[str]) -> Answer:
        """Which rows begin with any of these prefixes.

        Without a prefix it tells whether the table can be asked at all.

        Raises:
            NoAnswer: there is none that can be trusted; it says why and what to do.
        """

    @abstractmethod
    def inspect(self) -> Inspected:
        """Ask for nothing but what is to be said of the table and of our rights.

        Raises:
            NoAnswer: there is no answer that can be trusted.
        """

    def _note_position(self, position: int, asked_at: float) -> int:
        """How often the database went back so far: an older state was restored underneath us."""
        with self._reaching:
            if not position:
                return self._setbacks
            if position >= self._reached:
                self._reached, self._reached_at = position, self._clock()
            elif asked_at >= self._reached_at:
                self._reached = position
                self._setbacks += 1
            return self._setbacks

    @abstractmethod
    def push(
        self,
        *,
        look_every: float,
        check_every: float,
        interest: Interest | None = None,
        precise: bool = False,
    ) -> Feed:
        """The feed by which the database tells of changes by itself.

        Args:
            look_every: seconds between two looks for what nobody told.
            check_every: seconds between two checks of whether it would still tell.
            interest: the prefixes that matter, for who would be told of every commit; None: all.
            precise: say which rows wherever that can be told, for who has many hosts ask otherwise.
        """

    def committed_at(self) -> float | None:
        """When the last commit was written, in seconds since the epoch; None if nobody can tell."""
        return None

    def push_sql(self) -> str:
        """The SQL that lets the database tell, for a person to review.

        Raises:
            ConfigurationError: it takes none.
        """
        raise ConfigurationError(f"feed sql: {self.name} {self.push_takes}")

    def change_triggers(self, action: str) -> None:
        """Change what makes the database tell.

        Args:
            action: ``install`` or ``uninstall``; either may be done again.

        Raises:
            ConfigurationError: it takes no triggers, or this user may not change them.
            NoAnswer: the database cannot be reached, or is busy.
        """
        raise ConfigurationError(f"feed {action}: {self.name} {self.push_takes}")

    @property
    def owner(self) -> int | None:
        """The uid that whoever asks should have; None where any will do."""
        return None

    def outside(self) -> Iterator[Finding]:
        """What there is to say of it without asking it."""
        yield from ()

    def no_answer(self, why: str | Exception, aspect: str = "reachable") -> NoAnswer:
        """The error that says so of this database.

        Args:
            why: a predicate with its remedy, or what the driver raised.
            aspect: what does not hold, a key of :attr:`proves`.
        """
        text = why if isinstance(why, str) else self.remedy(words_of(why))
        return NoAnswer(f"--database-url: {self.name} {text}", aspect)

    def remedy(self, said: str) -> str:
        """What a driver's words mean, as a predicate."""
        return f"gave no answer: {said}"


class SqlTopologies(Topologies):
    """A table that is asked by SQL, over connections of our own."""

    _pool: sa.Engine
    _where: str
    """What leads to the database from here; an identity begins with it."""
    runs = ""
    """Which run of the server, or of the machine of the file, gave the last answer: a copy has the
    same identity. What leads to a server that does not tell; empty for a machine that does not."""

    def from_anywhere(self, identity: str) -> str:
        """An identity without what leads to the database from here."""
        return identity.removeprefix(f"{self._where} ")

    def close(self) -> None:
        """Close the connections that wait for the next question."""
        self._pool.dispose()

    def ask(self, prefixes: Iterable[str]) -> Answer:
        """Which rows begin with any of these prefixes, in one new transaction.

        Raises:
            NoAnswer: there is none that can be trusted; it says why and what to do.
        """
        wanted = frozenset(prefixes)
        asked = sorted(wanted)
        batches = [asked[start : start + BATCH] for start in range(0, len(asked) or 1, BATCH)]
        reading, rows = self._look(batches)
        if reading.too_new:
            raise self.no_answer("has just made its table, which is asked in a second")
        # Several rows may read as one id, as in capitals, with blanks, or in inherited tables.
        found: dict[str, set[str]] = {}
        for written, status in rows:
            id_ = str(written).rstrip().lower()
            # A collation that orders otherwise than we think can add rows, never hide one.
            if prefix_of(id_) in wanted:
                found.setdefault(id_, set()).add(_text(status))
        return Answer(
            prefixes=wanted,
            ids=frozenset(found),
            at=reading.at,
            identity=reading.identity,
            generation=reading.generation + self._note_position(reading.position, reading.at),
            position=reading.position,
            behind=self._behind(reading),
            deployed=frozenset(
                id_
                for id_, statuses in found.items()
                if reading.behind.in_order and statuses.issubset(DEPLOYED)
            ),
            torn_down=frozenset(i for i, statuses in found.items() if statuses == {TORN_DOWN}),
            no_status=f"{self.name} {reading.no_status}" if reading.no_status else "",
        )

    def _behind(self, reading: Reading) -> str:
        believed = self._allow_replica or not reading.behind
        return "" if believed else f"{self.name} {reading.behind.why}"

    def _look(self, batches: Sequence[Sequence[str]]) -> tuple[Reading, Sequence[Row]]:
        """What was read, and the rows whose ids begin with any of these.

        Args:
            batches: of prefixes.

        Raises:
            NoAnswer: there is none that can be trusted.
        """
        at = self._clock()
        with self.reading() as reading:
            status = not reading.no_status
            questions = [rows_with(batch, reading.table, status=status) for batch in batches]
            rows = [
                Row(*row) for question in questions for row in reading.connection.execute(*question)
            ]
        return replace(reading, at=at), rows

    def inspect(self) -> Inspected:
        """What shows in one transaction.

        Raises:
            NoAnswer: there is no answer that can be trusted.
        """
        with self.reading() as reading:
            reading.connection.execute(*rows_with((), reading.table))
            findings = tuple(self.inside(reading))
        return Inspected(reading.identity, reading.behind.why, reading.replica, findings)

    @abstractmethod
    def reading(self) -> AbstractContextManager[Reading]:
        """A connection, and what it reads; every error inside comes out as NoAnswer."""

    def inside(self, reading: Reading) -> Iterator[Finding]:  # noqa: ARG002
        """What else it says of itself and of our rights, where it can be asked.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: it does not; :meth:`reading` makes it a NoAnswer.
        """
        yield from ()


def _text(status: object) -> str:
    """A status as the server's own types give it: bytes, or filled up to the column's length."""
    text = status.decode(errors="replace") if isinstance(status, bytes) else str(status)
    return text.rstrip(" \0")


def words_of(error: Exception) -> str:
    """What the database or its driver said, in one line."""
    original = getattr(error, "orig", None) or error
    text = original.args[-1] if original.args else original
    first_line = str(text).strip().partition("\n")[0]
    return re.sub(r" \(\[Errno \d+\] (.*)\)", r": \1", first_line)


def rows_with(
    prefixes: Sequence[str], topologies: sa.FromClause, *, status: bool = False
) -> tuple[sa.Select[str, str | None], dict[str, str]]:
    """The statement for the rows whose ids begin with any of these prefixes, and its parameters.

    Args:
        prefixes: one batch.
        topologies: the table.
        status: select the status beside the id, which else is None.
    """
    parameters: dict[str, str] = {}
    for number, prefix in enumerate(prefixes):
        parameters[f"from_{number}"], _, parameters[f"to_{number}"] = bounds(prefix, uuid=False)
    return _in_any_of(len(prefixes), topologies, status), parameters


def bounds(prefix: str, *, uuid: bool) -> tuple[str, str, str]:
    """The lower bound of the ids with a prefix, how the upper one compares, and that one.

    Raises:
        ValueError: it is no prefix; a bound is nothing but hex digits and dashes.
    """
    low = f"{int(prefix, 16):0{PREFIX_LENGTH}x}"
    return (low + _LEAST, "<=", low + _GREATEST) if uuid else (low, "<", upper_bound(low))


@functools.lru_cache(maxsize=8)
def _in_any_of(count: int, topologies: sa.FromClause, status: bool) -> sa.Select[str, str | None]:
    """The statement for so many ranges; kept, for making one takes ten times as long as its use."""
    id_ = topologies.c.id
    ranges = [
        sa.and_(id_ >= sa.bindparam(f"from_{number}"), id_ < sa.bindparam(f"to_{number}"))
        for number in range(count)
    ]
    column = topologies.c.status if status else sa.null()
    return sa.select(id_, column).where(sa.or_(sa.false(), *ranges))


def upper_bound(prefix: str) -> str:
    """The least text that sorts behind every id with this prefix, in any collation of ASCII."""
    following = f"{int(prefix, 16) + 1:0{PREFIX_LENGTH}x}"
    return following if len(following) == PREFIX_LENGTH else "g"
