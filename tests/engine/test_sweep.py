"""Orphans from before: the start-up sweep, the one-shot sweep, and the sweeps in between."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from listener import Listener, Settings
from tests.engine.conftest import Run, connect
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import PATIENCE, call, eventually
from tests.support.proxy import Action, FaultProxy
from tests.support.rows import Rows

KEYS = {
    "live_prefixes",
    "orphan_prefixes",
    "containers_removed",
    "networks_removed",
    "errors",
    "held",
    "would_remove",
    "dry_run",
    "duration_ms",
}


@pytest.fixture
def live(api: docker.APIClient, rows: Rows) -> Topology:
    """A topology with a row, which vouches for the database."""
    topology_id = new_id()
    rows.insert(topology_id)
    return deploy(api, topology_id, decky_numbers=(1, 2))


@pytest.fixture
def orphan(api: docker.APIClient) -> Topology:
    """A topology without one."""
    return deploy(api, new_id(), decky_numbers=(3, 4))


def options(engine: PrivateEngine | FaultProxy, database: Path) -> list[str]:
    """The options that every one-shot sweep needs here."""
    return [
        *("--docker-host", engine.host, "--database-url", f"sqlite:///{database}"),
        *("--grace", "0", "--timeout", "5"),
    ]


def use_up(api: docker.APIClient) -> None:
    """Create orphaned networks until the engine has no address left."""
    for number in range(10):
        api.create_network(f"decnet_t_{new_id()[:8]}_lan{number}")


def everything(topology: Topology) -> tuple[list[str], list[str]]:
    """The names of its containers and of its networks, sorted."""
    return sorted([*topology.bases, *topology.services]), sorted(topology.networks)


def test_orphans_from_before_are_gone_after_the_start_up_sweep(
    api: docker.APIClient, live: Topology, orphan: Topology, run: Run
) -> None:
    run("--sweep-interval", "100000").start()
    eventually(lambda: not orphan.remaining(api), "the orphan is gone")
    live.assert_intact(api)


def test_a_sweep_reports_and_a_dry_run_only_says_what_it_would(
    api: docker.APIClient, engine: PrivateEngine, database: Path, live: Topology, orphan: Topology
) -> None:
    containers, networks = everything(orphan)

    dry = call("sweep", "--json", "--dry-run", *options(engine, database))
    assert dry.returncode == 0, dry.stderr
    report = json.loads(dry.stdout)
    assert set(report) >= KEYS
    assert report["dry_run"] is True
    assert report["live_prefixes"] == [live.prefix]
    assert report["orphan_prefixes"] == [orphan.prefix]
    assert report["containers_removed"] == report["networks_removed"] == report["errors"] == []
    said = [f"container {name!r}" for name in containers] + [f"network {n!r}" for n in networks]
    assert report["would_remove"] == said
    orphan.assert_intact(api)

    real = call("sweep", "--json", *options(engine, database))
    assert real.returncode == 0, real.stderr
    report = json.loads(real.stdout)
    assert report["dry_run"] is False
    assert report["containers_removed"] == containers
    assert report["networks_removed"] == networks
    assert report["would_remove"] == report["held"] == report["errors"] == []
    assert not orphan.remaining(api)
    live.assert_intact(api)

    again = json.loads(call("sweep", "--json", *options(engine, database)).stdout)
    assert again["orphan_prefixes"] == again["containers_removed"] == []


def test_a_sweep_of_one_prefix_leaves_the_others(
    api: docker.APIClient, engine: PrivateEngine, database: Path, live: Topology, orphan: Topology
) -> None:
    other = deploy(api, new_id(), decky_numbers=(5, 6))
    result = call("sweep", "--prefix", other.prefix, *options(engine, database))
    assert result.returncode == 0, result.stdout
    assert not other.remaining(api)
    orphan.assert_intact(api)
    live.assert_intact(api)


def test_what_no_row_vouches_for_is_held_until_its_token_confirms_it(
    api: docker.APIClient, engine: PrivateEngine, database: Path, rows: Rows, orphan: Topology
) -> None:
    rows.insert(new_id())
    held = call("sweep", "--json", *options(engine, database))
    assert held.returncode == 1
    (entry,) = json.loads(held.stdout)["held"]
    assert entry["prefix"] == orphan.prefix
    assert entry["reason"]
    orphan.assert_intact(api)

    wrong = call("sweep", "--confirm", "0123456789ab", *options(engine, database))
    assert wrong.returncode == 2
    assert "--confirm" in wrong.stderr
    orphan.assert_intact(api)

    second = deploy(api, new_id(), decky_numbers=(5, 6))
    stale = call("sweep", "--confirm", entry["token"], *options(engine, database))
    assert stale.returncode == 2, "the token is bound to the prefixes that were held"
    orphan.assert_intact(api)
    second.assert_intact(api)

    both = json.loads(call("sweep", "--json", *options(engine, database)).stdout)["held"]
    assert {e["prefix"] for e in both} == {orphan.prefix, second.prefix}
    (token,) = {e["token"] for e in both}
    released = call("sweep", "--json", "--confirm", token, *options(engine, database))
    assert released.returncode == 0, released.stderr
    assert not orphan.remaining(api) + second.remaining(api)


def test_a_younger_resource_than_the_grace_is_left_by_a_single_sweep(
    api: docker.APIClient, engine: PrivateEngine, database: Path, live: Topology, orphan: Topology
) -> None:
    result = call("sweep", "--json", *options(engine, database), "--grace", "1000")
    assert result.returncode == 1
    assert [entry["prefix"] for entry in json.loads(result.stdout)["held"]] == [orphan.prefix]
    orphan.assert_intact(api)
    live.assert_intact(api)


@pytest.mark.parametrize("interval", ["100000", "0.5"], ids=["signal", "timer"])
def test_a_sweep_finds_what_no_event_told(
    api: docker.APIClient, live: Topology, rows: Rows, run: Run, proxy: FaultProxy, interval: str
) -> None:
    mute = Action(reply=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    proxy.hook = lambda request: mute if request.is_stream else None
    listener = run("--sweep-interval", interval, host=proxy.host)
    listener.start()
    doomed = new_id()
    rows.insert(doomed)
    orphan = deploy(api, doomed, decky_numbers=(5, 6))
    rows.delete(doomed)
    if interval == "100000":
        orphan.assert_intact(api)
        listener.signal(signal.SIGUSR1)
    eventually(lambda: not orphan.remaining(api), "the sweep found it")
    live.assert_intact(api)


def test_a_new_network_is_to_be_had_again_where_orphans_took_the_addresses(
    rows: Rows, database: Path
) -> None:
    pool = "--default-address-pool=base=10.99.0.0/22,size=24"
    with PrivateEngine(dockerd_options=[pool]) as small:
        api = connect(small)
        live = new_id()
        rows.insert(live)
        api.create_network(f"decnet_t_{live[:8]}_lan1")
        with pytest.raises(docker.errors.APIError, match="address pool"):
            use_up(api)
        url = f"sqlite:///{database}"
        settings = Settings(
            database_url=url,
            docker_host=small.host,
            grace=0,
            state_dir=str(database.parent),
            http="off",
        )
        with Listener(settings) as listener:
            assert listener.wait_ready(PATIENCE)
            eventually(lambda: len(api.networks(names=["decnet_t_"])) == 1, "one live is left")
        api.create_network("mine")
        api.close()


def test_a_program_can_embed_it(
    api: docker.APIClient, engine: PrivateEngine, database: Path, live: Topology, rows: Rows
) -> None:
    settings = Settings(
        database_url=f"sqlite:///{database}",
        docker_host=engine.host,
        state_dir=str(database.parent / "state"),
        http="off",
    )
    with Listener(settings) as listener:
        assert listener.wait_ready(PATIENCE)
        rows.delete(live.id)
        eventually(lambda: not live.remaining(api), "the topology is gone")
        assert not listener.wait(0)
        assert listener.stop(PATIENCE)
    assert listener.wait(0)
