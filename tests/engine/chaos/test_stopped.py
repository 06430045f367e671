"""A dockerd that is stopped in the midst of a reap: what goes at our request is in the record once.

The engine goes on with what it was asked as soon as it can, long after the listener has given up.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine
from prometheus_client.parser import text_string_to_metric_families

from listener.telemetry.healthcheck import read_status
from tests.engine.conftest import Run, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import call, eventually
from tests.support.proxy import Action, FaultProxy, Request
from tests.support.rows import Rows
from tests.support.servers import free_port

SEED = 16


class Stop:
    """Stops the engine at the n-th change that it is asked for, or a moment later."""

    def __init__(self, pid: int, number: int, after: float) -> None:
        self._pid, self._left, self._after = pid, number, after
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self.done = threading.Event()

    def __call__(self, request: Request) -> Action | None:
        if request.method == "DELETE" or request.path.endswith("/disconnect"):
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    self._timer = threading.Timer(self._after, self._stop)
                    self._timer.start()
        return None

    def _stop(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        self.done.set()

    def end(self) -> None:
        """Let the engine go on, for good."""
        if self._timer is not None:
            self._timer.join()
        os.kill(self._pid, signal.SIGCONT)


def history() -> list[dict[str, Any]]:
    """What stands in the history."""
    return [json.loads(line) for line in call("history", "--json").stdout.splitlines()]


def metrics(address: str) -> dict[str, float]:
    """The counters, by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        " ".join((sample.name.removeprefix("topology_reaper_"), *sample.labels.values())): (
            sample.value
        )
        for family in families
        for sample in family.samples
        if sample.value
    }


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.deep)])
def test_what_goes_after_the_engine_was_stopped_is_in_every_record_once(
    api: docker.APIClient,
    engine: PrivateEngine,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    tmp_path: Path,
    rounds: int,
) -> None:
    chance = random.Random(SEED)
    address = f"127.0.0.1:{free_port()}"
    options = ("--sweep-interval", "100000", "--docker-timeout", "2", "--http", address)
    listener = run(*options, host=proxy.host)
    listener.start()
    topologies: list[Topology] = []
    guests: list[tuple[str, str]] = []
    for _ in range(rounds):
        rows.insert(doomed := new_id())
        topology = deploy(api, doomed)
        lan = chance.choice(list(topology.networks))
        guest = api.create_container("busybox", ["sleep", "1000000"], name=f"guest-{doomed}")["Id"]
        api.start(guest)
        api.connect_container_to_network(guest, topology.networks[lan])
        topologies.append(topology)
        guests.append((guest, lan))

        def is_seen(prefix: str = topology.prefix) -> bool:
            told = {t["prefix"]: t for t in read_status(tmp_path / "state")["topologies"]}
            return prefix in told and told[prefix]["state"] == "alive"

        eventually(is_seen, "its row is seen")
        stop = Stop(engine.pid, chance.randint(1, 9), chance.uniform(0.0, 0.1))
        proxy.hook = stop
        rows.delete(doomed)

        def is_given_up(prefix: str = topology.prefix) -> bool:
            told = [*listener.logged("pending"), *listener.logged("failed")]
            removed = [line for line in listener.logged("removed") if line["prefix"] == prefix]
            return len(removed) == 8 or any(line["prefix"] == prefix for line in told)

        try:
            eventually(stop.done.is_set, "the engine is stopped")
            eventually(is_given_up, "it is given up, or had ended already")
        finally:
            proxy.hook = None
            stop.end()
        gone(api, topology)

    ids = [id_ for topology in topologies for id_ in topology.ids]
    listener.await_log("removed", count=len(ids))

    def is_told() -> bool:
        latest: dict[str, Any] = {}
        for reap in read_status(tmp_path / "state")["reaps"]:
            latest.setdefault(reap["prefix"], reap)
        return all(reap["hint_to_gone_ms"] is not None for reap in latest.values())

    eventually(is_told, "the last word on each topology is that all is gone")
    complete = "reaps_total complete"
    eventually(lambda: metrics(address).get(complete, 0) >= rounds, "and is counted")
    counted = metrics(address)
    assert counted["removals_total container removed"] == 6 * rounds
    assert counted["removals_total network removed"] == 2 * rounds
    assert counted["reaps_total complete"] == counted["hint_to_gone_seconds_count"] == rounds
    assert not {name for name in counted if name.startswith("removals_total") and "gone" in name}
    assert listener.stop() == 0
    removed = Counter(line["id"] for line in listener.logged("removed"))
    assert removed == Counter(ids)
    entries = history()
    assert Counter(e["id"] for e in entries if e["kind"] != "endpoint") == Counter(ids)
    left = [(e["id"], e["network"]) for e in entries if e["kind"] == "endpoint"]
    assert sorted(left) == sorted(guests)
    assert len(listener.logged("disconnected")) == rounds
    assert {id_ for id_, _ in guests} <= {container["Id"] for container in api.containers()}
