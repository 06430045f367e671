"""The stack on a swarm of one host: an orchestrator that puts a listener there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import gone
from tests.sidecar.conftest import GROUP
from tests.sidecar.image import CLIENT, ROOT, call, docker
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.rows import Rows

STACK = ROOT / "contrib" / "swarm" / "stack.yaml"
SERVICE = "reaper_topology-reaper"


@pytest.fixture
def swarm(engine: PrivateEngine, image: str) -> Iterator[PrivateEngine]:  # noqa: ARG001
    """The engine with the image, for a while a swarm of its own."""
    docker(engine, "swarm", "init", "--advertise-addr", "127.0.0.1")
    yield engine
    docker(engine, "swarm", "leave", "--force")


def listeners(api: sdk.APIClient, **filters: str) -> list[str]:
    """The ids of the listeners that run."""
    labels = {"label": f"com.docker.swarm.service.name={SERVICE}"}
    return [container["Id"] for container in api.containers(filters={**labels, **filters})]


@pytest.mark.parametrize("server_url", ["postgresql"], indirect=True)
def test_a_stack_starts_a_listener_that_reads_its_url_from_a_secret_and_reaps(
    swarm: PrivateEngine,
    api: sdk.APIClient,
    remote_url: str,
    remote_rows: Rows,
    tmp_path: Path,
) -> None:
    doomed, live = new_id(), new_id()
    remote_rows.insert(doomed, live)
    orphan = deploy(api, doomed, decky_numbers=(1,))
    staying = deploy(api, live, decky_numbers=(2,))
    (tmp_path / "url").write_text(f"{remote_url}\n")
    docker(swarm, "secret", "create", "database-url", str(tmp_path / "url"))

    where = (f"DOCKER_GID={GROUP}", f"DOCKER_SOCKET_DIR={swarm.socket.parent}")
    done = call(swarm, "env", *where, CLIENT, "stack", "deploy", "-c", str(STACK), "reaper")
    assert done.returncode == 0, done.stderr
    assert "Ignoring" not in done.stderr
    eventually(lambda: len(listeners(api, health="healthy")) == 1, "the listener is well")
    (listener,) = listeners(api)
    eventually(lambda: b"2 alive" in api.logs(listener), "it is ready")
    remote_rows.delete(doomed)
    gone(api, orphan)
    staying.assert_intact(api)

    inspected = api.inspect_container(listener)
    assert inspected["HostConfig"]["ReadonlyRootfs"]
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    assert inspected["Config"]["User"] == f"65534:{GROUP}"
    password = remote_url.rpartition("@")[0].rpartition(":")[2]
    service = api.inspect_service(SERVICE)  # type: ignore[no-untyped-call]
    log = bytes(api.logs(listener)).decode()
    for place in (inspected, service, log):
        assert password not in str(place)
    assert "--state-dir" not in log, "which it could use"

    api.kill(listener)
    eventually(lambda: listeners(api) not in ([], [listener]), "there is another")
    docker(swarm, "node", "update", "--availability=drain", docker(swarm, "node", "ls", "--quiet"))
    eventually(lambda: not listeners(api), "a host that is drained has none")
