"""Who removes a topology, each called at the commit, with all that it needs made beforehand.

- The *floor* knows every id beforehand: bare API calls in the best order and parallelism that we
  found by trying. Nobody can be faster by much.
- The *reference* is our own rendering of the published method, an on-demand sweep: the SDK's lists
  of everything, names only, one removal after another.
- The *Docker CLI* is what an operator would type who knows the topology.
- The *listener* is the installed command, which nobody calls.

Each takes the topologies whose rows were deleted just now and returns when it is done.
"""

from __future__ import annotations

import heapq
import os
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import docker

from tests.benchmarks.observer import Observer
from tests.support.decnet import Topology

Contender = Callable[[Sequence[Topology]], None]

WORKERS = 4
DOCKER = "/usr/bin/docker"
"""Debian's, of the same package as the engine."""
_NAME = re.compile(r"decnet_t_([0-9a-f]{8})_.+")


def floor(api: docker.APIClient, *, workers: int = WORKERS) -> Contender:
    """Bases first, a topology's networks as soon as its bases are gone, services beside them."""

    def remove(topologies: Sequence[Topology]) -> None:
        with ThreadPoolExecutor(workers) as pool:
            todo = _Plan(api, topologies)
            for worker in [pool.submit(todo.work) for _ in range(workers)]:
                worker.result()

    return remove


class _Plan:
    """What is left to be removed, the most urgent first; shared by the workers."""

    def __init__(self, api: docker.APIClient, topologies: Sequence[Topology]) -> None:
        self._api = api
        self._topologies = topologies
        self._bases_left = [len(topology.bases) for topology in topologies]
        self._changed = threading.Condition()
        # Networks first, wherever they can go; then topology by topology, bases before services.
        self._ready: list[tuple[int, int, int, str]] = []
        self._waiting = 0
        for number, topology in enumerate(topologies):
            self._waiting += len(topology.networks)
            for stage, ids in ((0, topology.bases), (1, topology.services)):
                for id_ in ids.values():
                    heapq.heappush(self._ready, (1, number, stage, id_))

    def work(self) -> None:
        """Remove until nothing is left."""
        while (job := self._take()) is not None:
            is_container, number, stage, id_ = job
            if is_container:
                self._api.remove_container(id_, v=True, force=True)
            else:
                self._api.remove_network(id_)
            if is_container and stage == 0:
                self._base_gone(number)

    def _take(self) -> tuple[int, int, int, str] | None:
        with self._changed:
            while not self._ready and self._waiting:
                self._changed.wait()
            return heapq.heappop(self._ready) if self._ready else None

    def _base_gone(self, number: int) -> None:
        with self._changed:
            self._bases_left[number] -= 1
            if not self._bases_left[number]:
                for id_ in self._topologies[number].networks.values():
                    heapq.heappush(self._ready, (0, number, 0, id_))
                    self._waiting -= 1
            self._changed.notify_all()


def reference(client: docker.DockerClient, database: Path) -> Contender:
    """List everything, compare the names with the table, remove the rest one by one."""

    def sweep(_: Sequence[Topology]) -> None:
        with closing(sqlite3.connect(database)) as rows:
            live = {id_[:8] for (id_,) in rows.execute("SELECT id FROM topologies")}
        for container in client.containers.list(all=True):
            if _is_orphan(container.name, live):
                container.remove(force=True)
        for network in client.networks.list():
            if _is_orphan(network.name, live):
                network.remove()

    return sweep


def _is_orphan(name: str | None, live: set[str]) -> bool:
    found = _NAME.fullmatch(name or "")
    return found is not None and found[1] not in live


def docker_cli(host: str) -> Contender:
    """`docker rm` and `docker network rm`, each on what a filter finds."""
    script = (
        "set -e\n"
        'docker rm -fv $(docker ps -aq --no-trunc --filter "label=decnet.topology.id=$1")\n'
        'docker network rm $(docker network ls -q --no-trunc --filter "name=^decnet_t_$2_")\n'
    ).replace("docker ", f"{DOCKER} ")

    def remove(topologies: Sequence[Topology]) -> None:
        for topology in topologies:
            subprocess.run(
                ["/bin/sh", "-c", script, "sh", topology.id, topology.prefix],
                env={"PATH": os.defpath, "DOCKER_HOST": host},
                stdout=subprocess.DEVNULL,
                check=True,
            )

    return remove


def listener(observer: Observer) -> Contender:
    """Nobody calls it; it is done when everything is gone."""

    def wait(topologies: Sequence[Topology]) -> None:
        for topology in topologies:
            observer.last(topology.ids)

    return wait
