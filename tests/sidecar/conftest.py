"""A private engine, the image on it, and a way from its containers to this host."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import docker as sdk
import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import connect, empty
from tests.sidecar.container import Sidecar
from tests.sidecar.image import IMAGE, archive, docker
from tests.support.proxy import Proxy
from tests.support.rows import Rows

GROUP = 27_018
"""The gid of the engine's socket."""
OWNER = 27_017
"""The uid and gid that own the database; no user of either."""

MakeSidecar = Callable[..., Sidecar]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever needs the image first waits while it is made, from Debian's packages on."""
    for item in items:
        if "image_archive" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def image_archive() -> Path:
    """The image as a file; `load_image` loads it into an engine."""
    return archive()


@pytest.fixture(scope="session")
def sidecar_engine() -> Iterator[PrivateEngine]:
    """A private engine; the daemon has a second socket where one has it by default."""
    options = [f"--group={GROUP}", "--host=unix:///run/docker.sock"]
    with PrivateEngine(dockerd_options=options) as engine:
        yield engine


@pytest.fixture
def engine(sidecar_engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """The private engine, running and empty afterwards, but for images."""
    yield sidecar_engine
    empty(sidecar_engine)


@pytest.fixture
def image(engine: PrivateEngine, image_archive: Path) -> str:
    """The image's name on the private engine."""
    return load_image(engine, image_archive)


@pytest.fixture
def api(engine: PrivateEngine) -> Iterator[sdk.APIClient]:
    """A client of the private engine."""
    client = connect(engine)
    yield client
    client.close()


@pytest.fixture
def sidecar(engine: PrivateEngine, api: sdk.APIClient, image: str) -> MakeSidecar:
    """Makes containers of the image, with these options of ``docker create``."""

    def make(*options: str, command: tuple[str, ...] = ("run",)) -> Sidecar:
        return Sidecar(engine, api, image, *options, command=command)

    return make


@pytest.fixture
def data() -> Iterator[Path]:
    """A directory that is its owner's alone, on a path that anybody may walk."""
    directory = Path(tempfile.mkdtemp(prefix="decnet-"))
    os.chown(directory, OWNER, OWNER)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def rows(data: Path) -> Iterator[Rows]:
    """The table of topologies in SQLite, written by its owner."""
    with Rows(data / "decnet.db", user=OWNER) as writer:
        writer.create_table()
        yield writer


@pytest.fixture
def wire(engine: PrivateEngine) -> Iterator[Wire]:
    """A wire from this host to the private engine's."""
    with Wire.to(engine) as wire:
        yield wire


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database, of the kind that is the indirect parameter."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def remote_rows(server_url: str) -> Iterator[Rows]:
    """The empty table in it, written from this host."""
    with Rows(server_url) as rows:
        make_table(rows, server_url)
        yield rows


@pytest.fixture
def remote_url(server_url: str, remote_rows: Rows, wire: Wire) -> Iterator[str]:  # noqa: ARG001
    """The URL of it as the engine's containers reach it."""
    port = urlsplit(server_url).port
    assert port is not None
    with wire.reach(port) as reached:
        yield rewritten(server_url, wire.here, reached)


class Wire:
    """A wire between this host's network and that of a private engine.

    Attributes:
        here: the address of this host, as the engine's containers reach it.
        there: the address of the engine's host, as this one reaches it.
    """

    def __init__(self, subnet: str, first: int) -> None:
        self.here, self.there = f"{subnet}.{first + 1}", f"{subnet}.{first + 2}"

    @classmethod
    @contextmanager
    def to(cls, engine: PrivateEngine) -> Iterator[Wire]:
        """Join an engine's network to ours for a while."""
        ensure({"ip": "iproute2"}, "a network of its own")
        # Set apart for trials of networks; the other half of it is tests.engine.push.cable's.
        wire = cls(f"198.19.{secrets.randbelow(256)}", 4 * secrets.randbelow(64))
        ours, theirs = (f"{end}-{secrets.token_hex(4)}" for end in ("here", "there"))
        peer = ("type", "veth", "peer", "name", theirs, "netns", str(engine.pid))
        _run("ip", "link", "add", ours, *peer)
        try:
            _run("ip", "address", "add", f"{wire.here}/30", "dev", ours)
            _run("ip", "link", "set", ours, "up")
            engine.run_inside("ip", "address", "add", f"{wire.there}/30", "dev", theirs)
            engine.run_inside("ip", "link", "set", theirs, "up")
            yield wire
        finally:
            _run("ip", "link", "delete", ours)

    @contextmanager
    def reach(self, port: int) -> Iterator[int]:
        """Let containers reach a port of our loopback; by which port at `here`."""
        with Proxy(("127.0.0.1", port), listen=(self.here, 0)) as proxy:
            yield proxy.port


def load_image(engine: PrivateEngine, archive: Path) -> str:
    """Load the image into an engine, unless it is there; returns its name."""
    if not docker(engine, "images", "--quiet", IMAGE):
        docker(engine, "load", "--input", str(archive))
    return IMAGE


def rewritten(url: str, host: str, port: int) -> str:
    """The URL with another host and port."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@{host}:{port}").geturl()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
