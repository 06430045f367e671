"""Push feeds that break off, which is one sentence; they are connected anew, and hint at once."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from listener.databases.mysql import feed as mysql_feed
from listener.databases.postgres import feed as postgres_feed
from listener.databases.postgres import table as postgres_database
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer
from tests.servers.conftest import (
    HEARING,
    NEVER,
    READING,
    Ear,
    Side,
    hears,
    one_line,
    unavailable,
)
from tests.support.decnet import new_id
from tests.support.follower import PATIENCE
from tests.support.process import eventually
from tests.support.proxy import Proxy
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres

pytestmark = pytest.mark.usefixtures("tables_of_any_age")

OFTEN = 0.2
"""Seconds between two checks."""


@pytest.fixture
def postgres(own_postgres: PrivatePostgres) -> PrivatePostgres:
    """One that nobody else uses."""
    return own_postgres


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


def restart(side: Side) -> None:
    """As a package's update does."""
    side.server.restart()


def end_connection(side: Side) -> None:
    """As an administrator does."""
    if side.on_postgres:
        ended = side.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = 'topology-reaper' AND datname = '{side.name}'"
        )
        assert (True,) in ended
        return
    ((newest,),) = side.execute(
        "SELECT MAX(id) FROM information_schema.processlist"
        f" WHERE command = 'Binlog Dump' AND user = 'reader_of_{side.name}'"
    )
    side.execute(f"KILL {newest}")


@pytest.mark.parametrize("fault", [restart, end_connection])
def test_what_breaks_off_is_said_and_connected_anew(
    side: Side, ear: Ear, fault: Callable[[Side], None]
) -> None:
    follower = ear.listen(side)
    side.rows.insert(row := new_id())
    fault(side)
    said = one_line(follower.await_end(NoAnswer))
    if side.on_postgres:  # MariaDB says nothing
        assert "terminating connection due to administrator command" in said
    with Rows(side.url) as rows:
        rows.delete(row)
        hears(ear.follow(follower.feed), rows)


def test_a_server_that_ends_idle_connections_lets_the_feed_be(
    postgres_side: Side, ear: Ear
) -> None:
    postgres_side.execute(f"ALTER DATABASE {postgres_side.name} SET idle_session_timeout = 500")
    follower = ear.listen(postgres_side)
    with psycopg.connect(postgres_side.url, autocommit=True) as other:
        other.execute("LISTEN something")
        with pytest.raises(psycopg.OperationalError):
            next(other.notifies(timeout=PATIENCE))
    hears(follower, postgres_side.rows)


def test_a_server_that_is_down_is_said(side: Side, ear: Ear) -> None:
    follower = ear.listen(side)
    side.server.kill()
    one_line(follower.await_end(NoAnswer))
    with pytest.raises(NoAnswer) as caught:
        follower.feed.connect()
    assert str(side.server.port) in one_line(caught.value)
    side.server.start()
    with Rows(side.url) as rows:
        hears(ear.follow(follower.feed), rows)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is given up sooner."""
    silence = 5.0
    monkeypatch.setattr(mysql_feed, "SILENCE", silence)
    monkeypatch.setattr(postgres_database, "READ_TIMEOUT", silence)
    monkeypatch.setattr(postgres_database, "CANCEL_TIMEOUT", 1)
    for kind in ServerTopologies.__subclasses__():
        given = {**kind.connect_arguments, "connect_timeout": int(silence)}
        if "read_timeout" in given:
            given["read_timeout"] = silence
        monkeypatch.setattr(kind, "connect_arguments", given)


@pytest.fixture
def proxy(side: Side) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(("127.0.0.1", side.server.port)) as between:
        yield between


def through(proxy: Proxy, side: Side) -> str:
    """The listener's URL through the proxy."""
    url = sa.make_url(side.listener()).set(port=proxy.port)
    return url.render_as_string(hide_password=False)


@pytest.mark.usefixtures("hasty")
def test_a_connection_that_passes_nothing_is_given_up(side: Side, ear: Ear, proxy: Proxy) -> None:
    follower = ear.listen(side, through(proxy, side), check_every=OFTEN)
    hears(follower, side.rows)
    side.rows.insert(row := new_id())
    proxy.freeze()
    side.rows.delete(row)
    one_line(follower.await_end(NoAnswer))
    with pytest.raises(NoAnswer) as caught:
        follower.feed.connect()
    one_line(caught.value)
    proxy.thaw()
    hears(ear.follow(follower.feed), side.rows)


# Its end.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sign of life from the server ends anything."""
    monkeypatch.setattr(mysql_feed, "HEARTBEAT", NEVER)
    monkeypatch.setattr(mysql_feed, "SILENCE", 3 * NEVER)
    monkeypatch.setattr(postgres_feed, "LONGEST_SILENCE", NEVER)


@pytest.mark.usefixtures("patient")
def test_a_feed_can_be_closed_at_any_time(side: Side, ear: Ear) -> None:
    ear.install(side)
    feed = ear.feed(side.listener())
    feed.close()
    for _ in range(2):
        feed.close()
        follower = ear.follow(feed)
        hears(follower, side.rows)
        follower.stop.set()
        feed.close()
        feed.close()
        follower.end()
        assert follower.error is None
        feed.close()


@pytest.mark.usefixtures("patient")
def test_what_was_closed_before_it_was_followed_ends_at_once(side: Side, ear: Ear) -> None:
    ear.install(side)
    feed = ear.feed(side.listener())
    feed.connect()
    feed.close()
    ended: list[NoAnswer | None] = []

    def follow() -> None:
        try:
            feed.follow(lambda _deleted=None, **_more: None, threading.Event())
            ended.append(None)
        except NoAnswer as error:
            ended.append(error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    eventually(lambda: bool(ended), "its end")


def sockets() -> int:
    """How many this process has."""
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(fd.readlink()))
        except OSError:  # the one that lists them
            continue
    return sum(link.startswith("socket:") for link in links)


def test_no_connection_or_thread_is_left_behind(side: Side, ear: Ear) -> None:
    ear.install(side)
    url = side.reader(*READING[type(side.server)])
    feed = ear.feed(url)
    if side.on_postgres:
        side.execute("ALTER TABLE topologies DISABLE TRIGGER topology_reaper_delete")
    unavailable(feed)
    gc.collect()
    threads, open_ones = threading.active_count(), sockets()
    unavailable(feed)
    assert (threading.active_count(), sockets()) == (threads, open_ones)
    if side.on_postgres:
        side.execute("ALTER TABLE topologies ENABLE TRIGGER topology_reaper_delete")
    else:
        side.execute(HEARING[PrivateMariaDB][-1].format(f"reader_of_{side.name}"))
        feed = ear.feed(url)
        open_ones += 1  # another pool
    ear.follow(feed).end()
    follower = ear.follow(feed)
    end_connection(side)
    follower.await_end(NoAnswer)
    eventually(
        lambda: threading.active_count() <= threads and sockets() <= open_ones,
        "no thread or socket more than before",
    )
