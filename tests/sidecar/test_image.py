"""What the image does with the least that it needs.

It runs with a read-only root, without capabilities, and as the user that owns the database, in the
group that owns the socket. That what it does not need is refused to it is the engine's own work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.conftest import Measured
from tests.engine.conftest import gone
from tests.sidecar.conftest import GROUP, OWNER, MakeSidecar
from tests.sidecar.container import DATA, QUICK_HEALTH, mount, through
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import FaultProxy, cut
from tests.support.rows import Rows

MOMENTS = (0.0, 0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between a start and a stop."""


def beside(data: Path) -> tuple[str, ...]:
    """The options of one that reads SQLite as the owner of the file, and has no network."""
    url = f"--env=REAPER_DATABASE_URL=sqlite:///{DATA}/decnet.db"
    return (f"--user={OWNER}:{GROUP}", mount(data, DATA), url, "--network=none")


@pytest.fixture
def proxy(engine: PrivateEngine, tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy before the engine, whose socket lies in a directory of its own."""
    directory = tmp_path / "proxied"
    directory.mkdir()
    with FaultProxy(engine.host, listen=directory / "docker.sock") as between:
        (directory / "docker.sock").chmod(0o666)
        yield between


def test_it_does_its_work_beside_a_sqlite_file_whose_owner_can_still_write(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    data: Path,
    rows: Rows,
    record_property: Measured,
) -> None:
    doomed, live, later = new_id(), new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    listener = sidecar(*beside(data), *through(engine.socket))
    began = time.monotonic()
    listener.start()
    record_property("from docker start to ready", f"{time.monotonic() - began:.2f} s")

    rows.delete(doomed)

    gone(api, orphan)
    staying.assert_intact(api)
    (line,) = listener.logged("feed")
    assert line["feed"] == "wal"
    assert not listener.logged("failed")
    for command, told in (("status", live), ("history", doomed), ("sweep", "1 live, 0 orphaned")):
        status, said = listener.execute("topology-reaper", command)
        assert (status, told[:8] in said) == (0, True), said
    rows.insert(later)
    with Rows(data / "decnet.db", user=OWNER) as another:
        another.delete(later)
    assert listener.stop() == 0
    with Rows(data / "decnet.db", user=OWNER) as another:
        another.insert(later)
    assert {path.stat().st_uid for path in data.iterdir()} == {OWNER}


@pytest.mark.parametrize(
    ("server_url", "feed"),
    [("postgresql", "notify"), ("mariadb", "binlog")],
    indirect=["server_url"],
)
def test_it_does_its_work_with_a_server_over_tcp(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    remote_url: str,
    remote_rows: Rows,
    feed: str,
) -> None:
    doomed, live = new_id(), new_id()
    remote_rows.insert(doomed, live)
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    url = f"--env=REAPER_DATABASE_URL={remote_url}"
    listener = sidecar(f"--group-add={GROUP}", url, *through(engine.socket))
    listener.start()

    remote_rows.delete(doomed)

    gone(api, orphan)
    staying.assert_intact(api)
    (line,) = listener.logged("feed")
    assert line["feed"] == feed
    assert listener.stop() == 0


def test_its_own_container_stays_whatever_it_is_called_and_keeps_its_endpoint(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    data: Path,
    rows: Rows,
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    lan = next(iter(orphan.networks))
    marks = [f"--label=decnet.topology.id={doomed}"]
    marks += [f"--label=com.docker.compose.project=decnet-topo-{doomed[:8]}"]
    name = f"--name=decnet_t_{doomed[:8]}_decky-00"
    # Without the image's own label: it finds itself by looking round from inside.
    bare = "--label=topology-reaper.protect=false"
    options = [option for option in beside(data) if not option.startswith("--network")]
    itself = sidecar(
        *options, *through(engine.socket), *marks, f"{name}8", bare, f"--network={lan}"
    )
    # And one that only the image's label protects, beside it.
    idle = sidecar(*marks, f"{name}9", f"--network={lan}", "--entrypoint=sleep", command=("1d",))
    idle.start(wait=False)
    itself.start()

    rows.delete(doomed)

    eventually(lambda: orphan.remaining(api) == [lan], "all but their network is gone")
    itself.await_log("failed")
    assert itself.state["Running"]
    assert idle.state["Running"]
    for stays in (itself, idle):
        assert lan in api.inspect_container(stays.id)["NetworkSettings"]["Networks"]


def test_a_stop_in_its_very_first_moments_is_not_lost(
    sidecar: MakeSidecar, data: Path, record_property: Measured
) -> None:
    listener = sidecar(*beside(data))
    statuses = []
    for moment in MOMENTS:
        listener.start(wait=False)
        time.sleep(moment)
        statuses.append(listener.stop())
    record_property("exit statuses of early stops", statuses)
    assert set(statuses) <= {0, 143}


def test_its_health_follows_the_stream(
    api: sdk.APIClient, sidecar: MakeSidecar, proxy: FaultProxy, data: Path, rows: Rows
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    impatient = "--env=REAPER_UNHEALTHY_AFTER=1"
    socket = Path(proxy.host.removeprefix("unix://"))
    listener = sidecar(*beside(data), *through(socket), impatient, *QUICK_HEALTH)
    listener.start()
    eventually(lambda: listener.health == "healthy", "healthy")

    proxy.hook = lambda _: cut()
    proxy.cut_all()

    eventually(lambda: listener.health == "unhealthy", "unhealthy")
    assert "Docker is down" in listener.state["Health"]["Log"][-1]["Output"]
    rows.delete(doomed)
    proxy.hook = None
    eventually(lambda: listener.health == "healthy", "healthy again")
    gone(api, orphan)


@pytest.mark.usefixtures("rows")
def test_one_that_cannot_have_its_state_directory_is_healthy_and_tells_of_its_own_health(
    sidecar: MakeSidecar, engine: PrivateEngine, proxy: FaultProxy, data: Path, tmp_path: Path
) -> None:
    state = "/var/lib/topology-reaper"
    impatient = ("--env=REAPER_UNHEALTHY_AFTER=1", *QUICK_HEALTH)
    shared, others = tmp_path / "shared", tmp_path / "others"
    for folder, owner in ((shared, OWNER), (others, 0)):
        folder.mkdir()
        os.chown(folder, owner, owner)
    behind = through(Path(proxy.host.removeprefix("unix://")))
    first, second, third = (
        sidecar(*beside(data), *way, mount(folder, state), *impatient)
        for way, folder in ((through(engine.socket), shared), (behind, shared), (behind, others))
    )
    for listener in (first, second, third):
        listener.start()
    for listener in (first, second, third):
        eventually(lambda one=listener: one.health == "healthy", "healthy")  # type: ignore[misc]
    said = {listener: listener.logged("state") for listener in (first, second, third)}
    assert [len(lines) for lines in said.values()] == [0, 1, 1]
    assert "another listener uses it" in said[second][0]["message"]
    assert f"Permission denied; give one that uid {OWNER} can write to" in said[third][0]["message"]

    proxy.hook = lambda _: cut()
    proxy.cut_all()

    for listener in (second, third):
        eventually(lambda one=listener: one.health == "unhealthy", "unhealthy")  # type: ignore[misc]
        assert "Docker is down" in listener.state["Health"]["Log"][-1]["Output"]
    assert first.health == "healthy"


def test_it_comes_back_to_a_daemon_that_restarted_while_a_mounted_socket_file_is_stale(
    engine: PrivateEngine, api: sdk.APIClient, sidecar: MakeSidecar, data: Path, rows: Rows
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    listener = sidecar(*beside(data), *through(engine.socket))
    listener.start()
    file = mount(engine.socket, "/run/docker.sock")
    stale = sidecar(*beside(data), file, "--env=DOCKER_HOST=unix:///run/docker.sock")
    stale.start()
    began = listener.state["StartedAt"]
    look = ("topology-reaper", "sweep", "--dry-run", "--timeout=3")
    assert stale.execute(*look)[0] == 0

    engine.kill()
    engine.start()

    for container in (listener, stale):
        assert container.state["Running"]
    assert listener.state["StartedAt"] == began
    rows.delete(doomed)
    gone(api, orphan)
    listener.await_log("up", count=2)
    assert listener.execute(*look)[0] == 0
    status, said = stale.execute(*look)
    assert (status, "refuses connections" in said) == (3, True), said
    assert listener.stop() == 0
