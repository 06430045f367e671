"""A full sweep inside a running listener, against the reference's listing, on a crowded host.

The listener's own figure is taken, a listing and the question about everything in it, for a sweep
that a signal asked for. What the reference adds to its listing is not counted.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

import docker

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.samples import ratios
from tests.benchmarks.stage import FIRST, Running, Stage
from tests.support.process import eventually

PAUSE = 0.3
"""Seconds that a sweep is given before it is asked about, so that the question is no load on it."""


def sweeping(stage: Stage) -> Mapping[str, Measured]:
    """By turns: the reference lists everything, the listener sweeps."""
    count = len(stage.crowd)
    client = docker.DockerClient(stage.engine.host, version="auto", timeout=600)
    listed: list[float] = []
    swept: list[float] = []
    with stage.source(FIRST) as source, stage.listener(source) as running:
        for _ in range(stage.size.rounds):
            began = time.monotonic()
            client.containers.list(all=True)
            client.networks.list()
            listed.append(time.monotonic() - began)
            swept.append(_sweep(running))
        assert len(running.status()["topologies"]) == count, "it swept everything"
    client.close()
    return {
        "sweep.faster": Measured.of(ratios(listed, swept)),
        "sweep.seconds": Measured.of(swept),
        "sweep.reference": Measured.of(listed),
    }


def _sweep(running: Running) -> float:
    """Seconds that one sweep takes."""
    before = running.status()["sweeps"]["count"]
    running.process.signal(signal.SIGUSR1)
    time.sleep(PAUSE)
    eventually(lambda: running.status()["sweeps"]["count"] > before, "it has swept")
    return float(running.status()["sweeps"]["last"]["duration_ms"]) / 1000


ROW = Row(
    "sweeping",
    [
        Figure("sweep.faster", "full sweep in a crowd", 15, "× faster", at_least=True),
        Figure("sweep.seconds", "full sweep in a crowd: seconds", unit="s"),
        Figure("sweep.reference", "the reference's listing: seconds", unit="s"),
    ],
    sweeping,
)
