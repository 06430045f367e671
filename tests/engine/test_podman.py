"""What Podman does in its own way, and what must come of it all the same."""

from __future__ import annotations

import docker
import pytest
from private_engine import PrivateEngine

from listener.core.resources import Kind, Resource, Stage
from listener.engine.client import Engine
from listener.errors import Refused
from tests.engine.conftest import Run, exists, gone, on_both, on_podman
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows


def sleeping(api: docker.APIClient, name: str, network: str = "default") -> str:
    """A running container that is none of DECNET's; its id."""
    mode = api.create_host_config(network_mode=network)
    id_ = str(api.create_container("busybox", ["sleep", "9999"], name=name, host_config=mode)["Id"])
    api.start(id_)
    return id_


@on_both
def test_a_network_is_not_taken_from_under_a_container_that_came_just_now(
    api: docker.APIClient, engine: PrivateEngine
) -> None:
    name = f"decnet_t_{new_id()[:8]}_lan"
    lan = Resource(Kind.NETWORK, api.create_network(name)["Id"], name, (name[9:17],), Stage.NETWORK)
    guest = sleeping(api, "guest", network=name)
    client = Engine(engine.host)
    client.connect()
    with pytest.raises(Refused):
        client.remove(lan)
    assert exists(api, guest, lan.id)


@on_podman
def test_who_shares_a_bases_network_stays_and_only_holds_up_that_base(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    rows.insert(doomed := new_id())
    orphan = deploy(api, doomed)
    base, other = orphan.bases.values()
    tcpdump = sleeping(api, "tcpdump", network=f"container:{base}")
    listener = run()
    listener.start()
    rows.delete(doomed)
    eventually(lambda: not any(exists(api, id_) for id_ in orphan.services.values()), "services")
    eventually(lambda: not exists(api, other), "the other base is gone")
    listener.await_log("failed")
    assert exists(api, tcpdump, base)
    assert api.inspect_container(tcpdump)["State"]["Running"]
    api.remove_container(tcpdump, force=True)
    gone(api, orphan)


@on_podman
def test_a_removal_does_not_wait_for_a_container_to_stop(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    # As 5.4 would, for 10 s; 4.3 kills at once.
    rows.insert(doomed := new_id())
    orphan = deploy(api, doomed)
    run(host=proxy.host).start()
    rows.delete(doomed)
    gone(api, orphan)
    removals = [r.path for r in proxy.requests if r.method == "DELETE" and "/containers/" in r.path]
    assert len(removals) >= len(orphan.containers)
    assert all("timeout=0" in path for path in removals)
