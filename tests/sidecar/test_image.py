"""What the image does with the least that it needs.

It runs with a read-only root, without capabilities, and as the user that owns the database, in the
group that owns the socket. That what it does not need is refused to it is the engine's own work.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import connect, exists, gone
from tests.engine.push.conftest import plant
from tests.engine.test_holds import command_in, paste
from tests.sidecar.conftest import GROUP, OWNER, MakeSidecar, load_image
from tests.sidecar.container import DATA, QUICK_HEALTH, Sidecar, mount, through
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import FaultProxy, cut
from tests.support.rows import Rows


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
) -> None:
    doomed, live, later = new_id(), new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    listener = sidecar(*beside(data), *through(engine.socket))
    listener.start()

    rows.delete(doomed)

    gone(api, orphan)
    staying.assert_intact(api)
    listener.await_log("removed")  # so that it stands in the history
    (line,) = listener.await_log("feed")
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


def release(engine: PrivateEngine, listener: Sidecar) -> None:
    """Start it, and paste the command that it logs for what it holds."""
    listener.start()
    (line,) = listener.await_log("held")
    paste(command_in(line["message"]), f"DOCKER_HOST={engine.host}")


def test_the_logged_command_releases_what_is_held_from_outside_the_container(
    engine: PrivateEngine, api: sdk.APIClient, sidecar: MakeSidecar, data: Path, rows: Rows
) -> None:
    assert rows  # and none in them, so nothing vouches for the database
    held = plant(api, new_id())
    listener = sidecar(*beside(data), *through(engine.socket))
    release(engine, listener)
    assert not exists(api, held)


@pytest.mark.parametrize("server_url", ["postgresql"], indirect=True)
def test_the_logged_command_needs_no_password_where_the_container_has_it(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    remote_url: str,
    remote_rows: Rows,
) -> None:
    assert remote_rows
    held = plant(api, new_id())
    url = f"--env=REAPER_DATABASE_URL={remote_url}"
    listener = sidecar(f"--group-add={GROUP}", url, *through(engine.socket))
    release(engine, listener)
    assert not exists(api, held)


@pytest.mark.parametrize("server_url", ["mariadb"], indirect=True)
def test_it_does_its_work_with_a_server_over_tcp(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    remote_url: str,
    remote_rows: Rows,
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
    (line,) = listener.await_log("feed")
    assert line["feed"] == "binlog"
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


def test_a_stop_in_its_very_first_moments_is_not_lost(sidecar: MakeSidecar, data: Path) -> None:
    listener = sidecar(*beside(data))
    for _ in range(3):
        listener.start(wait=False)
        assert listener.stop() in (0, 143)


def test_its_health_is_its_own_though_another_has_its_state_directory(
    engine: PrivateEngine,
    api: sdk.APIClient,
    sidecar: MakeSidecar,
    proxy: FaultProxy,
    data: Path,
    rows: Rows,
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed, decky_numbers=(1,))
    shared = (
        *("--volume=state:/var/lib/topology-reaper", "--env=REAPER_UNHEALTHY_AFTER=5"),
        *QUICK_HEALTH,
    )
    first = sidecar(*beside(data), *through(engine.socket), *shared)
    socket = Path(proxy.host.removeprefix("unix://"))
    second = sidecar(*beside(data), *through(socket), *shared)
    for listener in (first, second):
        listener.start()
        await_health(listener, "healthy")
    (warning,) = second.await_log("state")
    assert "another listener uses it" in warning["message"]

    proxy.hook = lambda _: cut()
    proxy.cut_all()

    await_health(second, "unhealthy")
    assert "Docker is down" in second.state["Health"]["Log"][-1]["Output"]
    await_health(first, "healthy")
    proxy.hook = None
    await_health(second, "healthy")
    rows.delete(doomed)
    gone(api, orphan)


def await_health(listener: Sidecar, health: str) -> None:
    eventually(lambda: listener.health == health, f"it is {health}")


def test_the_database_mounted_without_its_folder_is_none_and_what_is_alive_stays(
    engine: PrivateEngine, api: sdk.APIClient, sidecar: MakeSidecar, data: Path, rows: Rows
) -> None:
    """What was written last stands beside the file, so that a live topology would have no row."""
    known, live = new_id(), new_id()
    rows.insert(known)
    staying = [deploy(api, known, decky_numbers=(1,), start=False)]
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.insert(live)
    staying.append(deploy(api, live, decky_numbers=(2,), start=False))
    file = mount(data / "decnet.db", f"{DATA}/decnet.db")
    # The folder that Docker makes for it can be written, as without a read-only root file system.
    writable = (f"--tmpfs={DATA}:mode=1777", file)
    options = [option for option in beside(data) if not option.startswith("--mount")]
    at_once = ("sweep", "--timeout=0", "--grace=0")
    sweep = sidecar(*options, *writable, *through(engine.socket), command=at_once)
    sweep.start(wait=False)

    assert api.wait(sweep.id)["StatusCode"] == 3, sweep.log
    (sentence,) = sweep.sentences
    assert "mount the folder" in sentence
    for topology in staying:
        topology.assert_intact(api)


@pytest.mark.deep
def test_it_comes_back_to_a_daemon_that_restarted_while_a_mounted_socket_file_is_stale(
    image_archive: Path, data: Path, rows: Rows
) -> None:
    """Where containers outlive their daemon, a file is the old one for ever."""
    options = ["--live-restore", f"--group={GROUP}"]
    with PrivateEngine(dockerd_options=options) as engine, connect(engine) as api:
        image = load_image(engine, image_archive)
        doomed = new_id()
        rows.insert(doomed)
        orphan = deploy(api, doomed)
        listener = Sidecar(engine, api, image, *beside(data), *through(engine.socket))
        file = mount(engine.socket, "/run/docker.sock")
        host = "--env=DOCKER_HOST=unix:///run/docker.sock"
        stale = Sidecar(engine, api, image, *beside(data), file, host)
        for container in (listener, stale):
            container.start()
        began = listener.state["StartedAt"]
        look = ("topology-reaper", "sweep", "--dry-run", "--timeout=3")
        assert stale.execute(*look)[0] == 0

        engine.kill()
        engine.start()

        rows.delete(doomed)
        gone(api, orphan)
        assert listener.state["StartedAt"] == began
        assert listener.execute(*look)[0] == 0
        status, said = stale.execute(*look)
        assert (status, "refuses connections" in said) == (3, True), said
