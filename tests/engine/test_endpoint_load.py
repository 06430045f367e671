"""A flood at the endpoint slows no reap, takes no memory and ends nothing.

Topologies are reaped in turns with and without a thousand bad clients, within one run. A reap is
timed from the commit to the engine's own time of the last removal. What is measured is what the
listener adds: the clients are as nice as can be and bounded in what they do, for the engine has to
share two processors with them. Times of single reaps vary with whatever else the machine does, so
medians are compared, and more reaps are made while these are too few to tell.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import Run
from tests.support.decnet import Topology, deploy, new_id
from tests.support.flood import CLIENTS, EAGER, KINDS, Flood
from tests.support.process import PATIENCE, ListenerProcess, eventually
from tests.support.rows import Rows

PAIRS = range(5, 21)
"""How many reaps of either sort are made, at the least and at the most."""
SLOWER = 1.2
"""Times as long as without a flood: the most that a reap may take."""
GROWTH = 4096
"""Kilobytes by which the listener may grow."""


def ask(port: int, path: str) -> tuple[int, bytes]:
    """What is served there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


class Reaps:
    """Topologies that are deployed and reaped, one after the other.

    Args:
        api: a client of the engine.
        rows: the table.
        listener: reaps.
    """

    def __init__(self, api: docker.APIClient, rows: Rows, listener: ListenerProcess) -> None:
        self._api = api
        self._rows = rows
        self._listener = listener
        self._decky = itertools.count(1)
        self._removed = 0

    def deploy(self) -> Topology:
        """Deploy one."""
        self._rows.insert(id_ := new_id())
        decky = next(self._decky)
        return deploy(self._api, id_, decky_numbers=[decky], services=["ssh"], start=False)

    def time(self, topology: Topology) -> float:
        """Delete its row; after how many milliseconds the engine had removed everything."""
        ids = {*topology.containers, *topology.networks.values()}
        self._removed += len(ids)
        committed = self._rows.delete(topology.id) + time.time_ns() - time.monotonic_ns()
        removals = self._listener.await_log("removed", self._removed)[-len(ids) :]
        assert {removal["id"] for removal in removals} == ids
        assert all(removal["evidence"].startswith("witnessed") for removal in removals)
        events = self._api.events(  # type: ignore[call-overload]
            since=committed // 10**9,
            until=time.time(),
            filters={"event": "destroy"},
            decode=True,
        )
        destroyed: dict[str, int] = {event["Actor"]["ID"]: event["timeNano"] for event in events}
        return max(destroyed[id_] - committed for id_ in ids) / 1e6


def kilobytes(listener: ListenerProcess) -> int:
    """The memory that the listener has."""
    assert listener.process is not None
    status = Path(f"/proc/{listener.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def connections(port: int) -> int:
    """How many connections to this port are open in the process that listens there."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        local.endswith(f":{port:04X}") and state != "0A" and inode != "0"
        for _, local, _, state, *_, inode in (fields[:10] for fields in sockets)
    )


@pytest.mark.parametrize("kinds", [KINDS, EAGER], ids=["of all kinds", "eager"])
def test_a_flood_slows_no_reap_and_takes_no_memory(
    api: docker.APIClient, rows: Rows, run: Run, kinds: Iterable[str]
) -> None:
    listener = run("--http", "127.0.0.1:0", "--sweep-interval", "100000")
    listener.start()
    (line,) = listener.logged("http")
    port = int(line["address"].rpartition(":")[2])
    eventually(lambda: ask(port, "/readyz") == (200, b"ok\n"), "it is ready")
    reaps = Reaps(api, rows, listener)
    survivor = reaps.deploy()
    flooded: list[float] = []
    quiet: list[float] = []
    before, most = kilobytes(listener), 0

    def slower() -> float:
        return statistics.median(flooded) / statistics.median(quiet)

    with Flood(port, kinds) as flood:
        while len(quiet) < PAIRS.start or (len(quiet) < PAIRS.stop and slower() > SLOWER):
            one, other = reaps.deploy(), reaps.deploy()
            with flood.on():
                flooded.append(reaps.time(one))
                most = max(most, kilobytes(listener))
            assert ask(port, "/livez") == (200, b"ok\n"), "all who came before are served or gone"
            quiet.append(reaps.time(other))
        counts = flood.end()
    print(f"reaps in ms, flooded {flooded}, quiet {quiet}: {slower():.2f} times")
    print(f"memory in kB: {before} before, {most} at most; clients: {counts}")

    assert slower() <= SLOWER
    assert most - before <= GROWTH
    assert sum(counts[kind] for kind in kinds) >= len(quiet) * CLIENTS
    assert counts["HTTP/1.1 200"], "the flood has met the endpoint"
    for path in ("/livez", "/healthz", "/readyz"):
        assert ask(port, path) == (200, b"ok\n")
    assert json.loads(ask(port, "/status.json")[1])["problems"] == []
    eventually(lambda: connections(port) == 0, "every connection is closed")
    survivor.assert_intact(api)
    assert not [line for line in listener.lines if line.get("level") in ("WARNING", "ERROR")]
    assert listener.stop() == 0
