"""What is attached to a topology or looks like a part of it, and stays when that goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from listener.cli.explain import explain
from listener.settings import Settings
from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import call, eventually
from tests.support.proxy import FaultProxy, answer
from tests.support.rows import Rows


def container(api: docker.APIClient, name: str, image: str = "busybox", **how: Any) -> str:
    """Create a container that sleeps."""
    return str(api.create_container(image, ["sleep", "1000000"], name=name, **how)["Id"])


def test_named_volumes_stay_and_anonymous_ones_with_keep_volumes(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    volumes, orphan.volumes = orphan.volumes, []
    mounted = api.create_host_config(binds=["evidence:/evidence"])
    labels = {"decnet.topology.id": doomed}
    container(api, "decky-009-ssh", labels=labels, host_config=mounted)
    run("--keep-volumes").start()
    rows.delete(doomed)
    gone(api, orphan)
    assert {"evidence", *volumes} <= {volume["Name"] for volume in api.volumes()["Volumes"]}


def recreate(api: docker.APIClient, labels: dict[str, str], *, by: str) -> tuple[str, str]:
    """As compose does it: a container that mounts the anonymous volume of the one before by name.

    Args:
        labels: of the container.
        by: where a mount of a volume stands in the request, which tells whether it has a label.

    Returns:
        Its id, and the volume's name.
    """
    before = api.create_container("busybox", ["true"], volumes=["/data"])["Id"]
    (mount,) = api.inspect_container(before)["Mounts"]
    name = mount["Name"]
    how: dict[str, Any] = {"binds": [f"{name}:/data"]}
    if by == "mounts":
        how = {"mounts": [docker.types.Mount("/data", name)]}
    after = container(
        api, f"again-{name[:8]}", labels=labels, host_config=api.create_host_config(**how)
    )
    api.remove_container(before)
    return after, name


@pytest.mark.parametrize("options", [(), ("--keep-volumes",)])
def test_an_anonymous_volume_that_was_inherited_goes_with_the_last_container_that_mounts_it(
    api: docker.APIClient, rows: Rows, run: Run, options: tuple[str, ...]
) -> None:
    rows.insert(doomed := new_id())
    marks = {"decnet.topology.id": doomed}
    mine, inherited = recreate(api, marks, by="binds")
    lent_by, lent = recreate(api, marks, by="mounts")
    binds = api.create_host_config(binds=[f"{lent}:/data", "evidence:/evidence"])
    container(api, "analysis", host_config=binds)
    unmounted = api.create_volume("ab" * 32)["Name"]
    labelled = api.create_volume("cd" * 32, labels={"com.docker.compose.volume": "data"})["Name"]
    binds["Binds"].append(f"{labelled}:/labelled")
    named = container(api, "decky-009-ssh", labels=marks, host_config=binds)
    listener = run(*options)
    listener.start()
    late_one, late = recreate(api, marks, by="mounts")  # an event tells of it
    rows.delete(doomed)
    removed(api, mine, lent_by, named, late_one)
    listener.await_log("removed", count=4 if options else 6)
    there = {volume["Name"] for volume in api.volumes()["Volumes"]}
    assert there >= {lent, "evidence", unmounted, labelled}
    assert there & {inherited, late} == ({inherited, late} if options else set())
    gone_ = [line for line in listener.logged("removed") if line["kind"] == "volume"]
    entries = [json.loads(text) for text in call("history", "--json").stdout.splitlines()]
    for told in (gone_, [entry for entry in entries if entry["kind"] == "volume"]):
        assert {line["name"] for line in told} == (set() if options else {inherited, late})
        assert all("witnessed" in line["evidence"] for line in told)
    assert not listener.logged("left")


def test_an_anonymous_volume_that_cannot_be_removed_is_said_and_reported(
    api: docker.APIClient, rows: Rows, url: str, run: Run, proxy: FaultProxy
) -> None:
    rows.insert(doomed := new_id())
    mine, inherited = recreate(api, {"decnet.topology.id": doomed}, by="binds")
    proxy.hook = lambda r: answer(403, '{"message": "denied"}') if "/volumes/" in r.path else None
    listener = run(host=proxy.host)
    listener.start()
    rows.delete(doomed)
    removed(api, mine)
    (line,) = listener.await_log("left")
    assert line["prefix"] == doomed[:8]
    assert "403: denied" in line["error"]
    second, another = recreate(api, {"decnet.topology.id": doomed}, by="binds")
    removed(api, second)
    listener.await_log("left", count=2)
    assert listener.stop() == 0
    third, _ = recreate(api, {"decnet.topology.id": doomed}, by="binds")
    done = call("sweep", "--json", "--docker-host", proxy.host, "--database-url", url)
    (error,) = json.loads(done.stdout)["errors"]
    assert "403: denied" in error
    assert done.returncode == 1
    assert not exists(api, third)
    assert {inherited, another} <= {volume["Name"] for volume in api.volumes()["Volumes"]}


def test_two_networks_of_one_name_both_go_and_leave_their_guests(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    name = f"decnet_t_{doomed[:8]}_lan1"
    lans = [api.create_network(name)["Id"] for _ in range(2)]
    guests = [container(api, f"guest-{number}") for number in range(2)]
    for guest, lan in zip(guests, lans, strict=True):
        api.start(guest)
        api.connect_container_to_network(guest, lan)
        api.kill(guest)
    run().start()
    rows.delete(doomed)
    eventually(lambda: not api.networks(names=[name]), "both are gone")
    for guest in guests:
        api.start(guest)
        assert api.inspect_container(guest)["State"]["Running"]


def test_a_guest_is_told_of_before_it_is_taken_off_a_network_and_after(
    api: docker.APIClient, engine: PrivateEngine, rows: Rows, url: str, run: Run, tmp_path: Path
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    name, lan = next(iter(orphan.networks.items()))
    guest = container(api, "tcpdump")
    api.start(guest)
    api.connect_container_to_network(guest, lan)
    settings = Settings(
        database_url=url, docker_host=engine.host, state_dir=str(tmp_path / "state")
    )
    witness = run("--dry-run")
    witness.start()
    assert witness.stop() == 0
    assert f"is on network {name!r}, alive" in explain(settings, "tcpdump").to_text()
    rows.delete(doomed)
    said = explain(settings, "tcpdump").to_text()
    assert "it is never removed" in said
    assert f"is on network {name!r}, orphan" in said
    assert "it would be disconnected from this network" in said

    listener = run()
    listener.start()
    gone(api, orphan)
    assert api.inspect_container(guest)["State"]["Running"]
    listener.await_log("removed", count=8)
    (line,) = listener.await_log("disconnected")
    assert (line["name"], line["id"], line["network"]) == ("tcpdump", guest, name)
    assert "witnessed" in line["evidence"]
    entries = [json.loads(text) for text in call("history", "--json").stdout.splitlines()]
    (entry,) = (entry for entry in entries if entry["kind"] == "endpoint")
    assert (entry["name"], entry["id"], entry["network"]) == ("tcpdump", guest, name)
    assert f"disconnected container 'tcpdump' from network {name!r}" in call("history").stdout


def test_a_protected_container_stays_and_keeps_its_endpoint(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed)
    name, lan = next(iter(orphan.networks.items()))
    protected = container(api, "guard", labels={"topology-reaper.protect": "true"})
    api.connect_container_to_network(protected, lan)
    api.start(protected)
    listener = run()
    listener.start()
    rows.delete(doomed)
    eventually(lambda: orphan.remaining(api) == [name], "all but the guard's network is gone")
    listener.await_log("failed")
    assert name in api.inspect_container(protected)["NetworkSettings"]["Networks"]
    api.remove_container(protected, force=True)
    gone(api, orphan)


def outlived(api: docker.APIClient, engine: PrivateEngine, name: str, network: str) -> None:
    """Leave an endpoint of this name on a network, as a disk does that fails for a moment."""
    api.start(
        doomed := container(api, name, host_config=api.create_host_config(network_mode=network))
    )
    kept = engine.directory / "data/network/files/local-kv.db"  # opened anew for each change
    away = kept.rename(kept.with_name("away.db"))
    kept.mkdir()
    try:
        api.remove_container(doomed, force=True)
    finally:
        kept.rmdir()
        away.rename(kept)
    (key,) = api.inspect_network(network)["Containers"]
    assert key.startswith("ep-")


@pytest.mark.parametrize("running", [True, False])
def test_an_endpoint_that_outlived_its_container_stays_while_another_has_its_name(
    api: docker.APIClient,
    engine: PrivateEngine,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    running: bool,
) -> None:
    rows.insert(doomed := new_id())
    lan = api.create_network(f"decnet_t_{doomed[:8]}_lan1")["Id"]
    outlived(api, engine, "web", lan)
    other = container(api, "web")
    if running:
        api.start(other)
    before = api.inspect_container(other)["NetworkSettings"]["Networks"]
    listener = run(*("--sweep-interval", "0.2"), host=proxy.host)
    listener.start()
    rows.delete(doomed)
    (failed,) = listener.await_log("failed")
    assert failed["id"] == lan
    assert f"'web', which container {other[:12]} has now" in failed["error"]
    assert "; rename that container" in failed["error"]
    swept = len(listener.logged("listed"))
    listener.await_log("listed", count=swept + 3)
    assert len(listener.logged("failed")) == 1, "it is said once"
    assert not [request for request in proxy.requests if request.method == "POST"]
    assert api.inspect_container(other)["NetworkSettings"]["Networks"] == before

    api.rename(other, "web-2")
    eventually(lambda: not exists(api, lan), "the name is free, and the network gone")
    assert api.inspect_container(other)["NetworkSettings"]["Networks"] == before
    (left,) = listener.await_log("disconnected")
    assert left["id"] == left["name"] == "web"


def test_an_overlay_network_of_a_matching_name_stays(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    api.init_swarm(advertise_addr="127.0.0.1")
    try:
        rows.insert(doomed := new_id())
        overlay = f"decnet_t_{doomed[:8]}_wide"
        api.create_network(overlay, driver="overlay", attachable=True)
        orphan = plant(api, doomed)
        run().start()
        rows.delete(doomed)
        removed(api, orphan)
        assert [network["Name"] for network in api.networks(names=[overlay])] == [overlay]
    finally:
        api.leave_swarm(force=True)
