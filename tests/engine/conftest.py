"""One private engine for all of these tests; each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.support.process import ListenerProcess
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows

Run = Callable[..., ListenerProcess]


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[PrivateEngine]:
    """A private engine."""
    with PrivateEngine() as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """The private engine, running and empty afterwards."""
    yield shared_engine
    shared_engine.start()
    api = connect(shared_engine)
    for container in api.containers(all=True):
        api.remove_container(container["Id"], v=True, force=True)
    api.prune_networks()  # type: ignore[no-untyped-call]
    api.prune_volumes()
    api.close()


@pytest.fixture
def api(engine: PrivateEngine) -> Iterator[docker.APIClient]:
    """A client of the private engine."""
    client = connect(engine)
    yield client
    client.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "decnet.db"


@pytest.fixture
def url(database: Path) -> str:
    """Its URL."""
    return f"sqlite:///{database}"


@pytest.fixture
def rows(database: Path) -> Iterator[Rows]:
    """The table of topologies, written by another process."""
    with Rows(database) as writer:
        writer.create_table()
        yield writer


@pytest.fixture
def proxy(engine: PrivateEngine, tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy before the private engine."""
    with FaultProxy(engine.host, listen=tmp_path / "proxy.sock") as between:
        yield between


@pytest.fixture
def run(engine: PrivateEngine, url: str) -> Iterator[Run]:
    """Makes listeners (not started yet) that end with the test."""
    made: list[ListenerProcess] = []

    def make(*options: str, host: str = engine.host) -> ListenerProcess:
        made.append(ListenerProcess(host, url, *options))
        return made[-1]

    yield make
    for listener in made:
        listener.kill()


def connect(engine: PrivateEngine) -> docker.APIClient:
    """A client of an engine."""
    return docker.APIClient(engine.host, version="auto")
