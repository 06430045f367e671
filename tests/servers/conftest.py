"""Fresh databases on real servers, opened by their URLs as an operator's would be, and their feeds.

Each has an empty table of topologies and a writer, which is another process.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from loguru import logger

from listener.databases.feed import Feed
from listener.databases.mysql import feed as mysql_feed
from listener.databases.mysql import table as mysql_database
from listener.databases.server import ServerTopologies
from listener.databases.sqlite.table import SqliteTopologies
from listener.databases.urls import open_topologies
from listener.errors import NoAnswer, PushUnavailable, ReaperError
from tests.support import rows
from tests.support.decnet import new_id
from tests.support.follower import Followed, Follower
from tests.support.rows import Rows
from tests.support.servers import (
    PrivateMariaDB,
    PrivateMySQL,
    PrivatePostgres,
    PrivateServer,
)
from tests.support.shared import ready_database

SECRET = "s3cret/w:th@s1gns%?#ü"
READING = {
    PrivatePostgres: (
        "GRANT CONNECT ON DATABASE {database} TO {}",
        "GRANT USAGE ON SCHEMA public TO {}",
        "GRANT SELECT ON topologies TO {}",
    ),
    PrivateMariaDB: ("GRANT SELECT ON {database}.topologies TO {}",),
    PrivateMySQL: (
        "GRANT REPLICATION CLIENT ON *.* TO {}",
        "GRANT SELECT ON {database}.topologies TO {}",
    ),
}
"""What a reader needs, and all that it needs; the table's grant comes last."""
HEARING = {
    PrivatePostgres: READING[PrivatePostgres],
    PrivateMariaDB: (
        *READING[PrivateMariaDB],
        "GRANT SLAVE MONITOR ON *.* TO {}",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {}",
    ),
    PrivateMySQL: (
        READING[PrivateMySQL][-1],
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {}",
    ),
}
"""What a listener needs to be told of deletions on any server, and all that it needs."""
mariadb_alone = pytest.mark.mariadb_alone
"""Of a test that needs what MySQL has not."""
NEVER = 600
"""Seconds after which no test still waits."""

Opened = SqliteTopologies | ServerTopologies
Open = Callable[..., Opened]


@dataclass(frozen=True)
class Side:
    """A server and the fresh database on it.

    Attributes:
        server: the server.
        name: the database.
        url: the administrator's URL of it.
        rows: a writer.
    """

    server: PrivateServer
    name: str
    url: str
    rows: Rows

    @property
    def on_postgres(self) -> bool:
        """Whether the server is PostgreSQL."""
        return isinstance(self.server, PrivatePostgres)

    def execute(self, sql: str) -> list[Any]:
        """Execute one statement in the database; when it returns the table may be asked."""
        found = self.server.execute(sql, database=self.name)
        if not self.on_postgres and sql.startswith(("ALTER", "CREATE", "RENAME")):
            self.server.execute(rows.OLD_ENOUGH, database=self.name)
        return found

    def reader(self, *grants: str) -> str:
        """The URL of a new role with these grants and no other right; ``{}`` is its name."""
        role = f"reader_of_{self.name}"
        if self.on_postgres:
            self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
            self.execute(f"REVOKE ALL ON DATABASE {self.name} FROM PUBLIC")
            self.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        else:
            self.execute(f"CREATE USER {role} IDENTIFIED BY '{SECRET}'")
        for grant in grants:
            self.execute(grant.format(role, database=self.name))
        return self.server.url(user=role, password=SECRET, database=self.name)

    def listener(self) -> str:
        """The URL of a new role that may be told of deletions and nothing else."""
        kinds = type(self.server).__mro__  # a test may have one of its own
        return self.reader(*next(HEARING[kind] for kind in kinds if kind in HEARING))

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """An administrator's connection with a transaction of its own."""
        scheme, driver = self.server.scheme, self.server.driver
        url = sa.make_url(self.url).set(drivername=f"{scheme}+{driver}")
        engine = sa.create_engine(url, connect_args={**self.server.connect_args})
        with engine.connect() as connection:
            yield connection
        engine.dispose()


@contextmanager
def fresh_side(
    request: pytest.FixtureRequest, kind: str, options: str = "", id_type: str = "VARCHAR(36)"
) -> Iterator[Side]:
    """A fresh database with an empty table on the server that this fixture gives."""
    server: PrivateServer = request.getfixturevalue(kind)
    usual = not options and id_type == "VARCHAR(36)"
    ready = usual and server.is_shared and isinstance(server, PrivateMariaDB)
    with ready_database(server) if ready else server.fresh_database(options) as name:
        url = server.url(database=name)
        with Rows(url) as writer:
            writer.create_table(id_type)
            yield Side(server, name, url, writer)


@pytest.fixture(params=["postgres", "mariadb"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database with an empty table, on each server in turn."""
    with fresh_side(request, request.param) as side:
        yield side


@pytest.fixture
def postgres_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database with an empty table in PostgreSQL."""
    with fresh_side(request, "postgres") as side:
        yield side


@pytest.fixture
def mariadb_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database with an empty table in MariaDB."""
    with fresh_side(request, "mariadb") as side:
        yield side


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens databases by their URLs."""
    made: list[Opened] = []

    def open_(url: str, **options: Any) -> Opened:
        topologies = open_topologies(url, **options)
        assert isinstance(topologies, Opened)
        made.append(topologies)
        return topologies

    yield open_
    for topologies in made:
        topologies._pool.dispose()


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """The warnings that were logged."""
    with _logged("WARNING") as lines:
        yield lines


@pytest.fixture
def told() -> Iterator[list[str]]:
    """All that was logged, but for whoever debugs."""
    with _logged("INFO") as lines:
        yield lines


@contextmanager
def _logged(level: str) -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level=level, format="{message}")
    yield lines
    logger.remove(sink)


def refusal(topologies: Opened) -> str:
    """What is said instead of an answer: one line, and never a password."""
    with pytest.raises(NoAnswer) as caught:
        topologies.ask(["aaaaaaaa"])
    everything = "".join(traceback.format_exception(caught.value))
    assert SECRET not in everything
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def tables_of_any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB's tables are asked at once; for who does not ask which table it is."""
    monkeypatch.setattr(mysql_database, "YOUNG", -1)
    monkeypatch.setattr(rows, "OLD_ENOUGH", "DO 0")


class Ear:
    """Makes databases tell, and listens."""

    def __init__(self, opened: Open) -> None:
        self._open = opened
        self._followers: list[Follower] = []

    def feed(self, url: str, *, check_every: float = NEVER, **options: Any) -> Feed:
        """A feed that is not connected yet."""
        return self._open(url, **options).push(look_every=1.0, check_every=check_every)

    def follow(self, feed: Followed) -> Follower:
        """Connect a feed and follow it until the end of the test; it has hinted at once."""
        self._followers.append(Follower(feed))
        self._followers[-1].await_hints(1)
        assert self._followers[-1].heard[0].ids is None
        return self._followers[-1]

    def install(self, side: Side) -> None:
        """The triggers, where they are needed."""
        if side.on_postgres:
            topologies = self._open(side.url)
            topologies.change_triggers("install")

    def listen(self, side: Side, url: str = "", **options: Any) -> Follower:
        """Follow a table with no more rights than that takes."""
        self.install(side)
        return self.follow(self.feed(url or side.listener(), **options))

    def end(self) -> None:
        """End what still goes on."""
        for follower in self._followers:
            follower.end()


@pytest.fixture
def ear(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    """Listens; nothing is hinted but what a change brings about."""
    monkeypatch.setattr(mysql_feed, "VISIBLE", NEVER)
    ear = Ear(opened)
    yield ear
    ear.end()


def heard_of(follower: Follower, writer: Rows, act: Callable[[], object]) -> list[list[str] | None]:
    """What is said of an act; that there is no more is known once a later deletion is reported."""
    before, marker = follower.hints, new_id("ffffffff")
    act()
    writer.insert(marker)
    writer.delete(marker)
    follower.await_deleted(marker)
    hints = [heard.ids for heard in follower.heard[before:]]
    return hints[: hints.index([marker])]


def one_line(error: ReaperError) -> str:
    """What it says."""
    text = str(error)
    assert "\n" not in text
    assert SECRET not in text
    return text


def hears(follower: Follower, writer: Rows) -> None:
    """See that it hears; what others do on a server that is shared may be heard of as well."""
    heard_of(follower, writer, lambda: None)


def unavailable(feed: Followed) -> str:
    """Why push is not to be had: one line, and never a password."""
    with pytest.raises(PushUnavailable) as caught:
        feed.connect()
    return one_line(caught.value)
