"""Orphans from before: the start-up sweep, the one-shot sweep, and the sweeps in between."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from listener import Listener, Settings
from tests.engine.conftest import Run, exists, gone, on_both
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import PATIENCE, call
from tests.support.proxy import Action, FaultProxy
from tests.support.rows import Rows
from tests.support.schema import check


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


def everything(topology: Topology) -> tuple[list[str], list[str]]:
    """The names of its containers and of its networks, sorted."""
    return sorted([*topology.bases, *topology.services]), sorted(topology.networks)


def test_orphans_from_before_are_gone_after_the_start_up_sweep(
    api: docker.APIClient, live: Topology, orphan: Topology, run: Run
) -> None:
    run("--sweep-interval", "100000").start()
    gone(api, orphan)
    live.assert_intact(api)


@on_both
def test_a_sweep_reports_and_a_dry_run_only_says_what_it_would(
    api: docker.APIClient, engine: PrivateEngine, database: Path, live: Topology, orphan: Topology
) -> None:
    containers, networks = everything(orphan)

    dry = call("sweep", "--json", "--dry-run", *options(engine, database))
    assert dry.returncode == 0, dry.stderr
    report = json.loads(dry.stdout)
    check("report", report)
    assert report["dry_run"] is True
    assert report["live_prefixes"] == [live.prefix]
    assert report["orphan_prefixes"] == [orphan.prefix]
    assert report["containers_removed"] == report["networks_removed"] == report["errors"] == []
    would = report["would_remove"]
    assert [entry["name"] for entry in would] == [*containers, *networks]
    assert sorted(entry["id"] for entry in would) == sorted(orphan.ids)
    assert {entry["prefix"] for entry in would} == {orphan.prefix}
    assert all(entry["evidence"].startswith("absent for more than") for entry in would)
    orphan.assert_intact(api)

    real = call("sweep", "--json", *options(engine, database))
    assert real.returncode == 0, real.stderr
    report = json.loads(real.stdout)
    check("report", report)
    assert report["dry_run"] is False
    assert report["containers_removed"] == containers
    assert report["networks_removed"] == networks
    assert report["would_remove"] == report["held"] == report["errors"] == []
    assert not orphan.remaining(api)
    live.assert_intact(api)


def test_a_sweep_of_one_prefix_leaves_the_others(
    api: docker.APIClient, engine: PrivateEngine, database: Path, rows: Rows
) -> None:
    rows.insert(live := new_id())
    one = new_id()
    staying, orphan, other = (plant(api, id_) for id_ in (live, one, new_id()))
    result = call("sweep", "--prefix", one[:8], *options(engine, database))
    assert result.returncode == 0, result.stdout
    removed(api, orphan)
    assert exists(api, staying, other)


def test_what_no_row_vouches_for_is_held_until_its_token_confirms_it(
    api: docker.APIClient, engine: PrivateEngine, database: Path, rows: Rows
) -> None:
    def sweep(*more: str) -> tuple[int, dict[str, Any]]:
        done = call("sweep", "--json", *options(engine, database), *more)
        return done.returncode, json.loads(done.stdout or "{}")

    rows.insert(new_id())
    first = new_id()
    containers = [plant(api, first)]
    status, report = sweep()
    assert status == 1
    (entry,) = report["held"]
    assert entry["prefix"] == first[:8]
    assert entry["reason"]

    containers.append(plant(api, second := new_id()))
    status, _ = sweep("--confirm", entry["token"])
    assert status == 2, "the token is bound to the prefixes that were held"
    assert exists(api, *containers)
    (token,) = {entry["token"] for entry in sweep()[1]["held"]}
    done = call("sweep", *options(engine, database), "--confirm", token)
    assert done.returncode == 0, done.stdout
    removed(api, *containers)
    before, went, _ = done.stderr.partition("removed container")
    assert went
    assert all(f"container 'decnet_t_{id_[:8]}_decky'" in before for id_ in (first, second))


def test_a_younger_resource_than_the_grace_waits_and_that_is_no_failure(
    api: docker.APIClient, engine: PrivateEngine, database: Path, rows: Rows
) -> None:
    rows.insert(live := new_id())
    container, young = plant(api, live), plant(api, absent := new_id())
    swept = call("sweep", "--json", *options(engine, database), "--grace", "1000")
    assert swept.returncode == 0, swept.stdout
    report = json.loads(swept.stdout)
    (entry,) = report["waiting"]
    assert (entry["prefix"], report["held"]) == (absent[:8], [])
    assert entry["seconds"] > 0
    assert exists(api, container, young)


@pytest.mark.parametrize("interval", ["100000", "0.5"], ids=["signal", "timer"])
def test_a_sweep_finds_what_no_event_told(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy, interval: str
) -> None:
    mute = Action(reply=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    proxy.hook = lambda request: mute if request.is_stream else None
    listener = run("--sweep-interval", interval, host=proxy.host)
    rows.insert(live := new_id(), doomed := new_id())
    staying = plant(api, live)
    api.create_network(f"decnet_t_{doomed[:8]}_lan1")  # by which the row is seen
    listener.start()
    orphan = plant(api, doomed)
    rows.delete(doomed)
    if interval == "100000":
        assert exists(api, orphan)
        listener.signal(signal.SIGUSR1)
    removed(api, orphan)
    assert exists(api, staying)


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
        gone(api, live)
        assert not listener.wait(0)
        assert listener.stop(PATIENCE)
    assert listener.wait(0)
