"""A row is deleted by another process, and its topology is gone; everything else stays."""

from __future__ import annotations

from typing import Any

import docker
import pytest

from tests.engine.conftest import Run, exists, gone, on_both
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import Topology, deploy, new_id, steps
from tests.support.process import eventually
from tests.support.rows import Rows


def container(api: docker.APIClient, name: str, image: str = "busybox", **how: Any) -> str:
    """Create a container that sleeps."""
    return str(api.create_container(image, ["sleep", "1000000"], name=name, **how)["Id"])


@pytest.mark.parametrize(
    ("engine", "database_url", "asked"),
    [
        ("docker", "sqlite", "directly"),
        ("docker", "postgresql", "directly"),
        ("docker", "mariadb", "directly"),
        ("docker", "postgresql", "by a relay"),
        ("podman", "sqlite", "directly"),
    ],
    indirect=True,
)
def test_everything_of_a_deleted_topology_goes_and_nothing_else(
    api: docker.APIClient, table: Rows, asked: str, run: Run
) -> None:
    """Over SQLite, PostgreSQL, MariaDB and a relay, by the push that each of them has."""
    doomed, live, torn_down = new_id("ab" + new_id()[:6]), new_id(), new_id()
    table.insert(doomed, live)
    table.insert(torn_down, status="torn_down")
    listener = run(url=asked)
    listener.start()
    orphan = deploy(api, doomed, decky_numbers=(1, 2))
    staying = [
        deploy(api, live, decky_numbers=(3, 4)),
        deploy(api, torn_down, decky_numbers=(5, 6)),
    ]
    lan = orphan.networks[f"decnet_t_{orphan.prefix}_lan1"]

    api.commit(next(iter(orphan.services.values())), "evidence")
    own = {"Labels": {"com.docker.compose.project": f"decnet-topo-{orphan.prefix}"}}
    api.commit(container(api, "plain"), "built", conf=own)
    bystanders = [
        container(api, "analyst-commit", image="evidence"),
        container(api, "analyst-build", image="built"),
        api.create_network(f"decnet_t_{orphan.prefix}x_lan")["Id"],
        api.create_network(f"decnet_t_{orphan.prefix.upper()}_lan")["Id"],
    ]
    tcpdump = container(api, "tcpdump")
    stopped = container(api, "stopped")
    never_started = container(api, "never-started")
    for foreign in (tcpdump, stopped, never_started):
        api.connect_container_to_network(foreign, lan)
        bystanders.append(foreign)
    api.start(tcpdump)
    api.start(stopped)
    api.kill(stopped)
    renamed, id_ = next(iter(orphan.services.items()))
    api.rename(id_, f"0123456789ab_{renamed}")  # as compose does while it recreates it

    table.delete(doomed)
    gone(api, orphan)

    (line,) = listener.await_log("feed")
    assert line["feed"] in ("wal", "notify", "binlog", "relay")
    for topology in staying:
        topology.assert_intact(api)
    assert exists(api, *bystanders)
    assert api.inspect_container(tcpdump)["State"]["Running"]
    for foreign in (stopped, never_started):
        api.start(foreign)
        assert api.inspect_container(foreign)["State"]["Running"]
    told = {line["id"] for line in listener.await_log("removed", count=8)}
    assert told == {*orphan.ids}
    assert not listener.logged("failed")
    assert listener.stop() == 0


def test_of_two_topologies_with_one_prefix_only_what_the_dead_one_surely_owns_goes(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    live = new_id()
    dead = new_id(live[:8])
    rows.insert(live, dead)
    staying = deploy(api, live, decky_numbers=(1, 2))
    labels = {
        "decnet.topology.id": dead,
        "com.docker.compose.project": f"decnet-topo-{dead[:8]}",
    }
    labelled = [
        container(api, f"decnet_t_{dead[:8]}_decky-003", labels=labels),
        container(api, "decky-003-ssh", labels=labels),
    ]
    unlabelled = container(api, f"decnet_t_{dead[:8]}_decky-004")
    run().start()

    rows.delete(dead)

    for id_ in labelled:
        eventually(lambda id_=id_: not exists(api, id_), f"{id_} is gone")  # type: ignore[misc]
    staying.assert_intact(api)
    assert exists(api, unlabelled)


@on_both
def test_what_a_deploy_creates_after_the_deletion_goes_too(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    plant(api, live)  # vouches for the database: Podman tells of nothing before the first base
    listener = run("--sweep-interval", "100000")
    listener.start()
    orphan = Topology(doomed)
    # DECNET makes the networks first; from the first base on the deletion races with its deploy.
    deploying = steps(api, doomed, into=orphan, start=False)
    first = [next(deploying) for _ in range(3)][-1]
    rows.delete(doomed)
    eventually(lambda: not exists(api, orphan.bases[first]), "the first base is gone")
    late = {
        "decnet.topology.id": doomed,
        "com.docker.compose.project": f"decnet-topo-{doomed[:8]}",
    }
    for number in range(5):
        late_one = container(api, f"decky-00{number}-late", labels=late)
        eventually(lambda id_=late_one: not exists(api, id_), "the late one is gone")  # type: ignore[misc]
    gone(api, orphan)


def test_a_row_that_is_deleted_and_inserted_again_loses_nothing(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    doomed, returning = new_id(), new_id()
    rows.insert(doomed, returning)
    orphan, staying = plant(api, doomed), plant(api, returning)
    run().start()
    for _ in range(20):
        rows.renew(returning)
    rows.delete(doomed)
    removed(api, orphan)
    assert exists(api, staying)


def test_polling_hears_of_a_deletion_too(api: docker.APIClient, rows: Rows, run: Run) -> None:
    rows.insert(doomed := new_id())
    orphan = plant(api, doomed)
    listener = run("--feed", "poll", "--poll-interval", "0.1", "--sweep-interval", "100000")
    listener.start()
    rows.delete(doomed)
    removed(api, orphan)
    assert [line["feed"] for line in listener.await_log("feed")] == ["poll"]
