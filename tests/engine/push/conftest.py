"""A database on each server in turn, and containers that cost little.

A container that was created and never started is all of a topology that these tests need.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import docker
import pytest

from tests.engine.conftest import Run, exists
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

PUSH = {"postgresql": "notify", "mariadb": "binlog"}
"""By the kind of server: the feed that it pushes by."""
ONLY_PUSH = ("--sweep-interval", "100000", "--grace", "100000")
"""Options with which nothing but push can lead to a removal."""
HEARD = 30.0
"""Seconds within which push leads to a removal. An engine that is silent for a minute is listed
anew, and that is a sweep too."""

Start = Callable[..., ListenerProcess]


@pytest.fixture
def postgres(own_postgres: PrivatePostgres) -> PrivatePostgres:
    """One that nobody else uses."""
    return own_postgres


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


@pytest.fixture(params=["postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of server."""
    return str(request.param)


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> PrivateServer:
    """A private server of this kind."""
    name = {"postgresql": "postgres", "mariadb": "mariadb"}[kind]
    found: PrivateServer = request.getfixturevalue(name)
    return found


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest) -> str:
    """The administrator's URL of a fresh database on it."""
    return str(request.getfixturevalue(f"{kind}_url"))


@pytest.fixture
def url(database_url: str) -> str:
    """What the listeners are given."""
    return database_url


@pytest.fixture
def database_name(database_url: str) -> str:
    """The name of the database."""
    return database_url.rpartition("/")[2]


@pytest.fixture
def rows(table: Rows) -> Rows:
    """The table of topologies, able to push, written by another process."""
    return table


@pytest.fixture
def live(api: docker.APIClient, rows: Rows) -> Iterator[str]:
    """The id of a topology with a row, which vouches for the database and loses nothing."""
    topology_id = new_id()
    rows.insert(topology_id)
    container = plant(api, topology_id)
    yield topology_id
    assert exists(api, container), "what is alive stays"


@pytest.fixture
def start(run: Run, kind: str, server: PrivateServer, database_name: str) -> Start:
    """Starts listeners, and returns when push alone can tell them of anything."""

    def start(*options: str) -> ListenerProcess:
        listener = run(*ONLY_PUSH, *options)
        listener.start()
        (line,) = listener.await_log("feed")
        assert line["feed"] == PUSH[kind]
        await_quiet(server, database_name)
        return listener

    return start


def plant(api: docker.APIClient, topology_id: str) -> str:
    """A container of this topology; returns its id."""
    labels = {"decnet.topology.id": topology_id}
    name = f"decnet_t_{topology_id[:8]}_decky"
    return str(api.create_container("busybox", ["true"], name=name, labels=labels)["Id"])


def removed(api: docker.APIClient, *containers: str, patience: float = HEARD) -> None:
    """Wait until none of these containers exists."""
    for container in containers:
        eventually(
            lambda c=container: not exists(api, c),  # type: ignore[misc]
            f"{container[:12]} is gone",
            patience,
        )


def sweep(listener: ListenerProcess) -> None:
    """Have it sweep, and wait until it has listed what is there."""
    listed = len(listener.logged("listed"))
    listener.signal(signal.SIGUSR1)
    listener.await_log("listed", count=listed + 1)


def await_quiet(server: PrivateServer, database: str) -> None:
    """Wait until a listener has put all the questions to the database that its start leads to."""
    if isinstance(server, PrivatePostgres):
        sql = (
            "SELECT min(extract(epoch FROM clock_timestamp() - state_change)) > 0.5"
            " FROM pg_stat_activity WHERE application_name = 'topology-reaper' AND datname = %s"
        )
    else:  # which repeats the first question after two seconds
        assert isinstance(server, PrivateMariaDB)
        sql = (
            f"SELECT min(IF(command = 'Sleep', {server.idle}, 0)) > 2200"
            " FROM information_schema.processlist"
            " WHERE command <> 'Binlog Dump' AND db = %s"
        )
    eventually(lambda: bool(server.execute(sql, database)[0][0]), "no more questions")


def planted(api: docker.APIClient, rows: Rows, count: int) -> dict[str, str]:
    """So many topologies with a row and a container each: their ids with the containers'."""
    ids = [new_id() for _ in range(count)]
    rows.insert(*ids)
    return {id_: plant(api, id_) for id_ in ids}
