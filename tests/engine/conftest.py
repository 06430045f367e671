"""One private engine for all of these tests; each leaves it as it found it.

It is Docker's. A test of what has to hold on Podman as well is marked ``on_both``, and one of
Podman's own ways ``on_podman``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import docker
import pytest
from private_engine import PrivateEngine
from private_podman import PrivatePodman

from tests.conftest import Says
from tests.support.decnet import Topology
from tests.support.process import ListenerProcess, RelayProcess, eventually
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows
from tests.support.servers import PrivateNats

Run = Callable[..., ListenerProcess]
on_podman = pytest.mark.parametrize("engine", ["podman"], indirect=True)
on_both = pytest.mark.parametrize("engine", ["docker", "podman"], indirect=True)


@pytest.fixture(scope="session")
def shared_engine(
    request: pytest.FixtureRequest, record_testsuite_property: Says
) -> Iterator[PrivateEngine]:
    """A private engine."""
    with PrivateEngine(**chosen(request.config, "docker")) as engine:
        record_testsuite_property("Docker Engine", version_of(engine))
        yield engine


@pytest.fixture(scope="session")
def shared_podman(
    request: pytest.FixtureRequest, record_testsuite_property: Says
) -> Iterator[PrivateEngine]:
    """A private Podman."""
    with PrivatePodman(**chosen(request.config, "podman")) as engine:
        record_testsuite_property("Podman", version_of(engine))
        yield engine


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """The private engine, running and empty afterwards."""
    on_podman = getattr(request, "param", "docker") == "podman"
    engine = request.getfixturevalue("shared_podman" if on_podman else "shared_engine")
    yield engine
    empty(engine)


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
def asked(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, fleet: str
) -> Iterator[str]:
    """The URL that a listener is given: the database's own, or that of a relay before it."""
    if getattr(request, "param", "directly") == "directly":
        yield database_url
        return
    request.getfixturevalue("table")
    nats: PrivateNats = request.getfixturevalue("nats")
    folder = str(tmp_path / "relay")
    with RelayProcess(database_url, f"nats://{nats.address}", fleet, "--state-dir", folder):
        yield nats.url(fleet)


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
    """Makes listeners (not started yet) that end with the test; none may log its password."""
    made: list[tuple[ListenerProcess, str]] = []

    def make(
        *options: str, host: str = engine.host, url: str = url, within: Sequence[str] = ()
    ) -> ListenerProcess:
        made.append((ListenerProcess(host, url, *options, within=within), url))
        return made[-1][0]

    yield make
    for listener, _ in made:
        listener.kill()
    for listener, its_url in made:
        assert_no_password(listener, its_url)


def connect(engine: PrivateEngine) -> docker.APIClient:
    """A client of an engine."""
    return docker.APIClient(engine.host, version="auto")


def chosen(config: pytest.Config, engine: str) -> dict[str, Any]:
    """What the run has chosen of an engine: the system that it comes from, and its options."""
    root, options = (config.getoption(f"{engine}_{what}") for what in ("root", "option"))
    return {"root": root, "dockerd_options": options}


def version_of(engine: PrivateEngine) -> str:
    """The version, as the engine says it."""
    with closing(connect(engine)) as api:
        return str(api.version()["Version"])


def empty(engine: PrivateEngine) -> None:
    """Have it running, with nothing on it but images."""
    engine.start()
    with closing(connect(engine)) as api:

        def is_empty() -> bool:
            for container in api.containers(all=True):
                with suppress(docker.errors.APIError):  # what a listener began may be under way
                    api.remove_container(container["Id"], v=True, force=True)
            return not api.containers(all=True)

        eventually(is_empty, "no container is left")
        api.prune_networks()  # type: ignore[no-untyped-call]
        api.prune_volumes()


def gone(api: docker.APIClient, *topologies: Topology) -> None:
    """Wait until nothing of these topologies is left."""
    for topology in topologies:
        eventually(
            lambda t=topology: not t.remaining(api),  # type: ignore[misc]
            f"all of {topology.prefix} is gone",
        )


def exists(api: docker.APIClient, *ids: str) -> bool:
    """Whether all of these containers and networks exist."""
    listed = [*api.containers(all=True), *api.networks()]
    return set(ids) <= {entry["Id"] for entry in listed}


def witnessed(state: Path) -> set[str]:
    """The owners whose rows a listener has seen, by what it keeps."""
    found: set[str] = set()
    for ledger in state.glob("ledger-*.json"):
        _, _, content = ledger.read_text().partition("\n")
        found.update(json.loads(content)["witnessed"])
    return found


def assert_no_password(listener: ListenerProcess, url: str) -> None:
    """Fail if the password in the URL stands in any line of the log, as it is or quoted."""
    written = urlsplit(url).password or ""
    for secret in filter(None, (written, unquote(written))):
        told = [line for line in listener.lines if any(secret in str(v) for v in line.values())]
        assert not told, told
