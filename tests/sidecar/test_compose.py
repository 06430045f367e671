"""The files in contrib/compose, brought up as their README says, by Debian's docker-compose."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import docker as sdk
import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import gone
from tests.fleet.raw import RawHost
from tests.sidecar import stand_ins
from tests.sidecar.conftest import GROUP, OWNER, Wire
from tests.sidecar.haproxy import COMPOSE
from tests.sidecar.image import docker
from tests.sidecar.test_decnet import move
from tests.support.decnet import deploy, new_id
from tests.support.process import environment, eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateNats

PROGRAM = "/usr/bin/docker-compose"
PATIENCE = 120.0

Up = Callable[..., "Project"]


class Project:
    """A project of these files, brought up; whoever owns the engine takes it away again.

    Args:
        engine: where it runs.
        api: a client of that engine.
        files: of contrib/compose.
        variables: what the files want to know.
    """

    def __init__(
        self, engine: PrivateEngine, api: sdk.APIClient, *files: str, **variables: str
    ) -> None:
        self._api = api
        self._name = f"reaper{secrets.token_hex(4)}"
        self._options = [option for file in files for option in ("-f", str(COMPOSE / file))]
        self._environment = {**environment(), **variables, "DOCKER_HOST": engine.host}
        self._compose("up", "--detach", "--no-build")

    def state(self, service: str = "topology-reaper") -> dict[str, object]:
        """What the engine tells of a service's container."""
        return dict(self._api.inspect_container(self.container(service))["State"])

    def container(self, service: str = "topology-reaper") -> str:
        """The id of a service's container."""
        labels = [f"com.docker.compose.{key}" for key in ("project", "service")]
        filters = {"label": [f"{labels[0]}={self._name}", f"{labels[1]}={service}"]}
        (found,) = self._api.containers(all=True, filters=filters)
        return str(found["Id"])

    def log(self, service: str = "topology-reaper") -> str:
        """What a service has said."""
        return bytes(self._api.logs(self.container(service))).decode()

    def await_ready(self) -> None:
        """Wait until the listener is."""
        self.await_words("ready: ")

    def await_words(self, words: str, service: str = "topology-reaper") -> None:
        """Wait until a service has said this."""
        eventually(lambda: words in self.log(service), f"{service} says {words!r}")

    def stop(self) -> object:
        """Stop it; the listener's exit status."""
        self._compose("stop", "--timeout", "30", "topology-reaper")
        return self.state()["ExitCode"]

    def _compose(self, *arguments: str) -> None:
        command = [PROGRAM, "--project-name", self._name, *self._options, *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def up(engine: PrivateEngine, api: sdk.APIClient, image: str) -> Up:
    """Brings projects up, with the image and the group of the engine's sockets."""
    ensure({PROGRAM: "docker-compose"}, "a compose project")

    def make(*files: str, **variables: str) -> Project:
        known = {"REAPER_IMAGE": image, "DOCKER_GID": str(GROUP)}
        return Project(engine, api, "compose.yaml", *files, **known | variables)

    return make


def test_behind_the_proxy_in_a_network_that_leads_nowhere_else(
    engine: PrivateEngine, api: sdk.APIClient, up: Up, data: Path, rows: Rows, tmp_path: Path
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    project = up(
        *("proxy.yaml", "sqlite.yaml"),
        REAPER_USER=f"{OWNER}:{OWNER}",
        DECNET_DATA=str(data),
        HAPROXY_IMAGE=stand_ins.make(engine, "haproxy", tmp_path),
        DOCKER_SOCKET_DIR=str(engine.socket.parent),
    )
    project.await_ready()

    rows.delete(doomed)

    gone(api, orphan)
    staying.assert_intact(api)
    listener, proxy = (
        api.inspect_container(project.container(service))
        for service in ("topology-reaper", "docker-proxy")
    )
    assert proxy["Config"]["Labels"]["topology-reaper.protect"] == "true"
    (network,) = proxy["NetworkSettings"]["Networks"].values()
    assert api.inspect_network(network["NetworkID"])["Internal"]
    assert not [m for m in listener["Mounts"] if "docker-host" in m["Destination"]]
    assert project.stop() == 0


@pytest.mark.parametrize(
    ("server", "says", "url"),
    [
        ("postgres", "ready to accept connections", "postgresql://{}:5432/decnet"),
        pytest.param(
            *("mariadb", "ready for connections", "mysql://{}:3306/decnet"),
            marks=pytest.mark.deep,
        ),
    ],
)
def test_with_a_database_beside_it_that_is_safe_even_in_a_topologys_network(
    engine: PrivateEngine,
    api: sdk.APIClient,
    up: Up,
    wire: Wire,
    tmp_path: Path,
    server: str,
    says: str,
    url: str,
) -> None:
    password = secrets.token_hex(8)
    image = stand_ins.make(engine, server, tmp_path)
    secret = tmp_path / "database-url"
    secret.write_text(url.format(f"decnet:{password}@{server}") + "\n")
    secret.chmod(0o400)
    os.chown(secret, OWNER, OWNER)
    project = up(
        *("socket.yaml", f"{server}.yaml", "secret.yaml"),
        REAPER_USER=f"{OWNER}:{OWNER}",
        REAPER_LOG_LEVEL="DEBUG",
        DATABASE_URL_FILE=str(secret),
        DOCKER_SOCKET_DIR=str(engine.socket.parent),
        DATABASE_PASSWORD=password,
        DATABASE_ADDRESS="0.0.0.0",
        **{f"{server.upper()}_IMAGE": image},
    )
    database = project.container(server)
    project.await_words(says, server)
    doomed, live = new_id(), new_id()
    owner = url.format(f"decnet:{password}@{wire.there}")
    with Rows(owner) as rows:
        make_table(rows, owner)
        rows.insert(doomed, live)
    orphan = deploy(api, doomed, decky_numbers=(1,), start=False)
    staying = deploy(api, live, decky_numbers=(2,), start=False)
    lan = next(iter(orphan.networks))
    api.connect_container_to_network(database, lan)  # which ends its connections
    with Rows(owner) as rows:
        project.await_ready()

        rows.delete(doomed)

        eventually(lambda: orphan.remaining(api) == [lan], "all but the network is gone")
        assert lan in api.inspect_container(database)["NetworkSettings"]["Networks"]
        staying.assert_intact(api)
    assert password not in docker(engine, "inspect", project.container())
    assert password not in project.log()
    assert project.stop() == 0


def test_a_relay_that_a_host_asks(
    up: Up, data: Path, rows: Rows, nats: PrivateNats, wire: Wire, fleet: str, tmp_path: Path
) -> None:
    live = new_id()
    rows.insert(live)
    variables = tmp_path / "relay"
    with wire.reach(nats.port) as port, closing(RawHost(nats, fleet, "decoy")) as host:
        variables.write_text(f"REAPER_NAME={fleet}\nREAPER_NATS=nats://{wire.here}:{port}\n")
        project = up(
            *("relay.yaml", "sqlite.yaml"),
            REAPER_USER=f"{OWNER}:{OWNER}",
            DECNET_DATA=str(data),
            RELAY_VARIABLES=str(variables),
            FLEET_CA=str(variables),
        )
        project.await_ready()
        assert [row[0] for row in host.ask(live[:8])["ids"]] == [live]
        assert project.stop() == 0


def test_decnets_file_in_a_folder_of_its_own_while_decnet_runs_and_while_it_is_stopped(
    engine: PrivateEngine, api: sdk.APIClient, up: Up, data: Path, rows: Rows
) -> None:
    doomed, later, live = new_id(), new_id(), new_id()
    rows.insert(doomed, later, live)
    rows.close()
    (data / ".env.local").touch()
    move(data)
    orphans = [deploy(api, id_, decky_numbers=(n,)) for n, id_ in enumerate((doomed, later))]
    staying = deploy(api, live, decky_numbers=(3,))
    with Rows(data / "decnet.db", user=OWNER) as decnet:  # by its usual path
        decnet.noise(1)
        project = up(
            *("socket.yaml", "sqlite.yaml"),
            REAPER_USER=f"{OWNER}:{OWNER}",
            REAPER_POLICY="witnessed",
            DECNET_DATA=str(data / "database"),
            DOCKER_SOCKET_DIR=str(engine.socket.parent),
        )
        project.await_ready()
        decnet.delete(doomed)
        gone(api, orphans[0])
    container = project.container()
    seen = docker(engine, "exec", container, "ls", "-A", "/opt/decnet").split()
    assert [name for name in seen if not name.startswith("decnet.db")] == []
    api.restart(container)  # DECNET is stopped
    eventually(lambda: project.log().count("ready: ") == 2, "it is ready again")
    with Rows(data / "decnet.db", user=OWNER) as decnet:  # and starts
        decnet.delete(later)
        gone(api, orphans[1])
    assert {path.stat().st_uid for path in (data / "database").iterdir()} == {OWNER}
    staying.assert_intact(api)
