"""The stack on a swarm of one host: an orchestrator that puts a listener there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import connect, gone
from tests.sidecar.conftest import GROUP, load_image
from tests.sidecar.image import CLIENT, ROOT, call, docker
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.rows import Rows

STACK = ROOT / "contrib" / "swarm" / "stack.yaml"
SERVICE = "reaper_topology-reaper"


@pytest.fixture(scope="module")
def swarm(image_archive: Path) -> Iterator[PrivateEngine]:
    """An engine that is a swarm of its own, with the image; --live-restore allows no swarm."""
    with PrivateEngine(dockerd_options=[f"--group={GROUP}"]) as engine:
        load_image(engine, image_archive)
        docker(engine, "swarm", "init", "--advertise-addr", "127.0.0.1")
        yield engine


@pytest.fixture
def engine(swarm: PrivateEngine) -> PrivateEngine:
    """The one that the wire leads to."""
    return swarm


@pytest.fixture
def api(swarm: PrivateEngine) -> Iterator[sdk.APIClient]:
    """A client of it."""
    client = connect(swarm)
    yield client
    client.close()


def deployed(swarm: PrivateEngine, stack: Path, name: str) -> tuple[int, str]:
    """Deploy a stack; the exit status, and what was said."""
    where = (f"DOCKER_GID={GROUP}", f"DOCKER_SOCKET_DIR={swarm.socket.parent}")
    done = call(swarm, "env", *where, CLIENT, "stack", "deploy", "-c", str(stack), name)
    return done.returncode, done.stdout + done.stderr


def listeners(api: sdk.APIClient, **filters: str) -> list[str]:
    """The ids of the listeners that run."""
    labels = {"label": f"com.docker.swarm.service.name={SERVICE}"}
    return [container["Id"] for container in api.containers(filters={**labels, **filters})]


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

    status, said = deployed(swarm, STACK, "reaper")
    assert status == 0, said
    assert "Ignoring" not in said
    eventually(lambda: len(listeners(api, health="healthy")) == 1, "the listener is well")
    (listener,) = listeners(api)
    eventually(lambda: b"ready: 2 live" in api.logs(listener), "it is ready")
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


def test_a_stack_cannot_ask_for_what_the_readme_says_it_cannot(
    swarm: PrivateEngine, tmp_path: Path
) -> None:
    copy = tmp_path / "stack.yaml"

    def with_option(option: str) -> tuple[int, str]:
        line = "    read_only: true\n"
        text = STACK.read_text()
        assert text.count(line) == 1
        copy.write_text(text.replace(line, f"{line}    {option}\n"))
        return deployed(swarm, copy, "other")

    status, said = with_option('group_add: ["27018"]')
    assert status != 0
    assert "group_add is not allowed" in said
    status, said = with_option('security_opt: ["no-new-privileges:true"]')
    assert "Ignoring unsupported options: security_opt" in said
