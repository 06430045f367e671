"""Topologies on a database server: what PostgreSQL, MySQL and MariaDB have in common.

Each question is a new READ COMMITTED transaction: a pooled connection in an older snapshot would go
on answering "no such row". In the same statement the server says who it is and whether its answer
is the truth. A replica may lag behind, and row-level security hides rows; both would look like
deletions. The statement has locked the table by then, so that no other one can take its place in
between, and nothing between the server and us can put together what two servers say. A number that
is new each time has to come back with the rows, so that no cache can answer. The table is named
with the schema that it was first found in, for another table of that name may come first on the
search path tomorrow.

All that is sent as one text, and so takes one round trip; one more finds out beforehand whether the
connection was lost, where it has not answered for a second. Who asks meanwhile shares the next
question (:mod:`~listener.databases.shared`): one connection will do, which counts where making one
takes seconds. On one machine a question about 100 prefixes takes 1.9 ms on PostgreSQL and 1.2 ms on
MariaDB.
"""

from __future__ import annotations

import math
import secrets
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, ClassVar

import sqlalchemy as sa

from listener.core.evidence import Answer
from listener.core.findings import Finding, clock, ok, warning
from listener.databases.base import (
    CURRENT,
    TABLE,
    Behind,
    Reading,
    Row,
    SqlTopologies,
    bounds,
    table,
    words_of,
)
from listener.databases.feed import Feed, Interest
from listener.databases.order import orders_ids
from listener.databases.shared import Shared
from listener.databases.unread import Unread
from listener.errors import NoAnswer, PushUnavailable, ReaperError

CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer is given up."""
READ_TIMEOUT = 30
"""Seconds until an answer that does not come is given up."""
LEADING = (
    *("service", "read_default_file", "read_default_group"),
    *("host", "hostaddr", "unix_socket"),
)
"""What leads to a server, beside the port: the host of a URL, and parameters of the drivers."""
CHECKED = 1.0
"""Seconds for which a connection that has answered counts as checked."""
NO_ROWS = "SELECT NULL AS id, NULL AS status"
"""What is asked of the table where nothing is asked of it."""

Result = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""The names of the columns that a statement selects, and the rows."""


@dataclass(frozen=True, slots=True)
class TableIdentity:
    """What a server says of itself and the table; equal as long as it is the same table.

    Attributes:
        schema: where the table was found.
        incarnation: who server and table are.
        position: how far the server has come; 0 where there is no such figure.
        too_new: the table cannot be told yet from another that may take its place.
        replica: the server is one.
        uuid: the column is of the server's own type for ids, and not text.
        behind: whether it may be behind the origin of its rows.
        runs: which run of the server this is; empty if it does not tell.
    """

    schema: str
    incarnation: str
    position: int = field(default=0, compare=False)
    too_new: bool = field(default=False, compare=False)
    replica: bool = field(default=False, compare=False)
    uuid: bool = False
    behind: Behind = field(default=CURRENT, compare=False)
    runs: str = field(default="", compare=False)

    @property
    def table(self) -> sa.TableClause:
        """What is asked."""
        return table(self.schema)


class ServerTopologies(SqlTopologies):
    """The table on one server; there is a class for each kind of server.

    Args:
        url: with a synchronous driver.
        allow_replica: take the word of a replica, which may lag behind.
        patience: whole seconds after which a server that is silent is given up, if that is sooner.
        clock: seconds, monotonic.
    """

    needs: ClassVar[str]
    """The rights that a listener's account needs, as a predicate."""
    connect_arguments: ClassVar[Mapping[str, Any]]
    """What the driver is told beside what the URL says."""
    proves: ClassVar[Mapping[str, str]] = {
        **SqlTopologies.proves,
        "row-security": "hides no row from this user",
        "replica": "is no replica",
        "order": "orders ids as they are asked for",
    }
    _FEED: ClassVar[type[Any]]
    """The feed by which it tells: of itself, with seconds between two checks."""
    _NOW: ClassVar[sa.TextClause]
    """Asks for the seconds since the epoch."""
    _IS_TEXT: ClassVar[sa.TextClause]
    """Asks whether the column holds text; nothing where there is none."""
    _HEX: ClassVar[str]
    """The function that writes a number in hex digits."""
    _QUOTE: ClassVar[str]
    """What a name is quoted by."""

    def __init__(
        self,
        url: sa.URL,
        *,
        allow_replica: bool = False,
        patience: int = READ_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        kind = url.get_backend_name()
        before = _place(url, {})
        place = _place(url, url.query)
        database = str(url.query.get("dbname") or url.query.get("database") or url.database or "")
        name = _name(kind, database or url.username, place)
        super().__init__(name, f"{kind}/{database}", place, clock)
        self.former_name = _name(kind, url.database or url.username, before)
        self._allow_replica = allow_replica
        self._patience = patience
        self._where = f"{kind} {place}/{database}"
        self._former_where = f"{kind} {before}/{url.database or ''}"
        self._known: TableIdentity | None = None
        self._ordered: str | None = None
        self._unread = Unread(clock)
        self._pool = sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,  # any other is closed after use, for servers count those of a fleet
            pool_reset_on_return=None,  # there is no transaction to be ended
            creator=self.connect,
        )
        self._driver = self._pool.dialect.loaded_dbapi
        sa.event.listen(self._pool, "checkout", self._check)
        self._shared = Shared(super().ask)

    def upgraded(self, identity: str) -> str:
        """With all that leads to the server, of which the release before left parameters out."""
        if identity.startswith(f"{self._former_where} "):
            return self._where + identity.removeprefix(self._former_where)
        return identity

    @abstractmethod
    def connect(self) -> Any:
        """A new connection of the driver's own, as the URL says.

        Raises:
            Exception: the driver's.
        """

    def connect_parameters(self) -> dict[str, Any]:
        """What the driver is told for a new connection."""
        _, given = self._pool.dialect.create_connect_args(self._pool.url)
        limits = {
            name: min(seconds, self._patience)
            for name, seconds in self.connect_arguments.items()
            if name in ("connect_timeout", "read_timeout")
        }
        return {**self.connect_arguments, **limits, **given}

    def script(self, name: str) -> str:
        """The text of a file with SQL."""
        return files(self.__module__.rpartition(".")[0]).joinpath(name).read_text()

    def push(
        self,
        *,
        look_every: float,  # noqa: ARG002
        check_every: float,
        interest: Interest | None = None,  # noqa: ARG002
        precise: bool = False,  # noqa: ARG002
    ) -> Feed:
        """The feed by which the server tells of changes by itself."""
        feed: Feed = self._FEED(self, check_every)
        return feed

    def push_unavailable(self, why: str | Exception) -> PushUnavailable:
        """The error that says so of this database.

        Args:
            why: a predicate with its remedy, or what the driver raised.
        """
        text = why if isinstance(why, str) else f"does not let us hear: {words_of(why)}"
        return PushUnavailable(f"push is not to be had, because {self.name} {text}")

    def inside(self, reading: Reading) -> Iterator[Finding]:
        """The server's clock, and what this user may do that a listener need not."""
        yield clock("database.clock", float(reading.connection.scalar(self._NOW)) - time.time())
        account, rights = self._beyond_need(reading)
        if rights:
            yield warning(
                "database.rights",
                f"the account {account} {rights}, which a listener need not",
                f"give one that {self.needs} and nothing else",
            )
        else:
            yield ok("database.rights", f"the account {account} has no right that it does not need")

    @abstractmethod
    def _beyond_need(self, reading: Reading) -> tuple[str, str]:
        """The account that asks, and what it may do that it need not, as a predicate or empty."""

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A connection that was checked, and what it reads, each statement as of then."""
        with self._connected() as connection:
            at = self._clock()
            identity = self._identify(connection)
            self._check_order(connection, identity)
            yield self._reading(connection, identity, at)

    def ask(self, prefixes: Iterable[str]) -> Answer:
        """Which rows begin with any of these prefixes; several who ask at once share a statement.

        Raises:
            NoAnswer: there is none that can be trusted; it says why and what to do.
        """
        return self._shared.ask(prefixes)

    def _look(self, batches: Sequence[Sequence[str]]) -> tuple[Reading, Sequence[Row]]:
        with self._connected() as connection:
            for again in (False, True):  # as another table, or without what we may not read
                expected = (None if again else self._known) or self._identify(connection)
                self._check_order(connection, expected)
                no_status = self._unread.why
                rows = self._rows(expected, batches, "NULL" if no_status else "status")
                checked = not self._has_just_answered(connection.info)
                at = self._clock()
                try:
                    identity, found = self._ask(connection, expected.schema, rows)
                except self._driver.Error as error:
                    was_lost = not checked and self._clock() - at < CHECKED  # before it was asked
                    if again or no_status:
                        self._unread.forget()  # that was not it, or not all
                    elif not connection.invalidated and (lacks := self._lacks_status(error)):
                        name = connection.dialect.identifier_preparer.format_table(expected.table)
                        self._unread.note(lacks, name, self._account(connection))
                    if again or (connection.invalidated and not was_lost):
                        raise
                    connection.rollback()  # SQLAlchemy's idea of a transaction
                    continue
                self._known = self._trusted(identity)
                if identity == expected:
                    reading = self._reading(connection, identity, at)
                    return replace(reading, no_status=no_status), found
        raise self.no_answer("put another table in place while it was asked")

    def _identify(self, connection: sa.Connection) -> TableIdentity:
        schema = self._known.schema if self._known else None
        identity, _ = self._ask(connection, schema)
        self._known = self._trusted(identity)
        return identity

    def _trusted(self, identity: TableIdentity) -> TableIdentity:
        if identity.replica and not self._allow_replica:
            raise self.no_answer(
                "is a replica, which may lag behind; give the primary's URL, or --allow-replica",
                "replica",
            )
        self.runs = identity.runs or self._where
        return identity

    def _reading(self, connection: sa.Connection, identity: TableIdentity, at: float) -> Reading:
        return Reading(
            connection,
            f"{self._where} {identity.schema} {identity.incarnation}",
            identity.table,
            position=identity.position,
            too_new=identity.too_new,
            replica=identity.replica,
            behind=identity.behind,
            at=at,
        )

    def _rows(self, identity: TableIdentity, batches: Sequence[Sequence[str]], status: str) -> str:
        """Asks for the rows whose ids begin with any of these prefixes, by ranges of the key."""
        quoted = identity.schema.replace(self._QUOTE, 2 * self._QUOTE)
        select = f"SELECT id, {status} AS status FROM {self._QUOTE}{quoted}{self._QUOTE}.{TABLE}"  # noqa: S608
        return " UNION ALL ".join(
            f"{select} WHERE FALSE"
            + "".join(f" OR id >= '{low}' AND id {to} '{high}'" for low, to, high in batch)
            for batch in ([bounds(prefix, uuid=identity.uuid) for prefix in b] for b in batches)
        )

    def _select(
        self,
        connection: sa.Connection,
        identity: str,
        rows: str | None,
        *,
        before: Sequence[str] = (),
        after: Sequence[str] = (),
    ) -> tuple[Sequence[Any], Sequence[Row], Sequence[Result]]:
        """Ask who server and table are and for the rows, in one statement.

        Args:
            connection: was checked.
            identity: selects the former.
            rows: selects the id and the status of each; None to ask for no row.
            before: statements that are sent with it, and answered first.
            after: likewise, last.

        Returns:
            What the identity is, the rows, and what was answered before.

        Raises:
            NoAnswer: there is no such table, or something else gave the answer.
        """
        nonce = secrets.token_hex(8)
        statement = (
            f"SELECT '{nonce}', asked.*, identity.* FROM ({identity}) AS identity"  # noqa: S608
            f" LEFT JOIN ({rows or NO_ROWS}) AS asked ON TRUE"
        )
        *others, (_, found) = self._results(connection, "; ".join([*before, statement, *after]))
        if not found:
            raise self.no_table()
        if any(row[0] != nonce for row in found):
            raise self.no_answer("is behind a cache, which gave an old answer; give its own URL")
        (row,) = {row[3:] for row in found}
        found_rows = [Row(id_, status) for _, id_, status, *_ in found if id_ is not None]
        return row, found_rows, others

    def _results(self, connection: sa.Connection, statements: str) -> list[Result]:
        """What came of statements that are sent as one text, in one round trip."""
        driven = connection.connection.dbapi_connection
        assert driven is not None  # noqa: S101 - it is open
        cursor = driven.cursor()
        results: list[Result] = []
        try:
            cursor.execute(statements)
            while True:
                if cursor.description:
                    columns = [column[0] for column in cursor.description]
                    results.append((columns, cursor.fetchall()))
                if not cursor.nextset():
                    break
            connection.info["answered_at"] = self._clock()
            return results
        except BaseException as error:
            lost: Callable[..., bool] = self._pool.dialect.is_disconnect
            if isinstance(error, self._driver.Error) and not lost(error, driven, cursor):
                with suppress(self._driver.Error):
                    driven.rollback()
            else:
                connection.invalidate()
            raise
        finally:
            cursor.close()

    def _has_just_answered(self, known: Mapping[str, Any]) -> bool:
        return bool(self._clock() - known.get("answered_at", -math.inf) < CHECKED)

    def _check(self, driven: Any, record: sa.pool.ConnectionPoolEntry, _: object) -> None:
        """See that a connection is not lost, before anything is asked on it."""
        if not self._has_just_answered(record.info):
            try:
                self._pool.dialect.do_ping(driven)
            except self._driver.Error as error:
                raise sa.exc.DisconnectionError from error

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A connection that was checked; every error inside comes out as NoAnswer."""
        try:
            with self._connect() as connection:
                yield connection
        except ReaperError:
            raise
        except Exception as error:  # any, where a parameter of the URL makes a driver odd
            raise self.no_answer(error, "table") from error

    def _check_order(self, connection: sa.Connection, identity: TableIdentity) -> None:
        """See once for each incarnation that ranges find all ids; PostgreSQL's uuid is in order."""
        if identity.uuid or identity.incarnation == self._ordered:
            return
        if not orders_ids(connection, identity.table, self._IS_TEXT, self._HEX):
            raise self.no_answer(
                "holds or orders the ids in a way that hides rows; give the column id a text type"
                " with a collation such as C or utf8mb4_bin",
                "order",
            )
        self._ordered = identity.incarnation

    def _connect(self) -> sa.Connection:
        try:
            return self._pool.connect()
        except Exception as error:  # drivers raise anything for what they do not know in a URL
            raise self.no_answer(error) from error

    @abstractmethod
    def _lacks_status(self, error: Exception) -> str:
        """What an error of the driver may say that the status lacks: ``column``, ``right`` or "".

        The same errors may be about something else.
        """

    @abstractmethod
    def _account(self, connection: sa.Connection) -> str:
        """Ours, in the form that a GRANT takes."""

    @abstractmethod
    def _ask(
        self, connection: sa.Connection, schema: str | None, rows: str | None = None
    ) -> tuple[TableIdentity, Sequence[Row]]:
        """Who server and table are, and the rows, as of one moment.

        All of it in one round trip, by :meth:`_select`, in READ COMMITTED.

        Args:
            connection: was checked.
            schema: where the table was found before; None to find it.
            rows: selects the id and the status of each; None to ask for no row.

        Raises:
            NoAnswer: what the server answers may not be the truth.
            Exception: the driver's.
        """

    def no_table(self) -> NoAnswer:
        """The error that says that there is none."""
        return self.no_answer(f"has no table {TABLE!r}; give DECNET's database", "table")

    def _view(self) -> NoAnswer:
        """Beneath a view any table may take another's place."""
        return self.no_answer(f"has a view {TABLE!r} and no table; name the table itself", "table")


def _name(kind: str, database: str | None, place: str) -> str:
    return f"the {kind} database {database or ''!r} on {place}"


def _place(url: sa.URL, parameters: Mapping[str, str | Sequence[str]]) -> str:
    """The server that the driver is led to; drivers let a parameter of the URL win over its host.

    Two sockets in two directories are two servers, whatever else the URLs have in common.
    """
    given = {"host": url.host or "", "port": str(url.port or "")}
    for name, value in parameters.items():
        given[name] = value if isinstance(value, str) else ",".join(value)
    hosts = " ".join(given[name] for name in LEADING if given.get(name))
    return f"{hosts or 'the local socket'}{given['port'] and ':'}{given['port']}"
