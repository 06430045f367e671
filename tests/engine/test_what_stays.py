"""What is attached to a topology or looks like a part of it, and stays when that goes."""

from __future__ import annotations

from typing import Any

import docker

from tests.engine.conftest import Run, gone
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
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
