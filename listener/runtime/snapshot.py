"""The one snapshot of a listener that the socket, the page, the metrics and the terminal show."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Final, cast

from listener.control.controller import Controller
from listener.control.inventory import PrefixIndex
from listener.core.resources import Subnet
from listener.core.status import EngineAbout, Status
from listener.engine.client import Engine
from listener.runtime.build import HeardDatabase
from listener.runtime.health import Link
from listener.settings import Settings
from listener.telemetry.status import READY, Overall, StatusStore, state_of

VERSION: Final = version("topology-reaper")


class Snapshots:
    """Takes snapshots of one listener.

    Args:
        settings: it runs with.
        engine: the Docker Engine.
        docker: the link to it.
        databases: as they were opened.
        controller: with its queues.
        index: what is on this host.
        store: what was observed.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        docker: Link,
        databases: Sequence[HeardDatabase],
        controller: Controller,
        index: PrefixIndex,
        store: StatusStore,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._docker = docker
        self._databases = databases
        self._controller = controller
        self._index = index
        self._store = store
        self._started = time.time()

    def take(self, subnets: Sequence[Subnet], problems: Sequence[str], *, stopping: bool) -> Status:
        """What there is to know about it now, as JSON can hold it: docs/status.md.

        Args:
            subnets: of all networks on this host.
            problems: why it is not healthy.
            stopping: whether it was told to end.
        """
        settings, engine = self._settings, self._engine
        about = None if engine.about is None else cast("EngineAbout", asdict(engine.about))
        controller, observed = self._controller, self._store.status()
        loads = controller.screen_lane.load(), controller.reconcile_lane.load()
        # What a topology had may be gone by now.
        present = [s for s in subnets if s.prefix is None or self._index.get(s.network) is not None]
        told: Status = {
            "state": Overall.STARTING,
            "state_reason": "",
            "version": VERSION,
            "host": socket.gethostname(),
            "time": time.time(),
            "started": self._started,
            "ready": False,
            "dry_run": settings.dry_run,
            "problems": list(problems),
            "docker": {
                **self._docker.status(),
                "address": engine.host,
                "context": engine.context or None,
                "engine": about,
            },
            "databases": [
                database.status(missed=controller.missed(number))
                for number, database in enumerate(self._databases)
            ],
            "topologies": self._store.topologies(self._index, present),
            "held": self._store.held(self._index),
            "torn_down": self._store.torn_down(self._index),
            "queue": {
                "depth": sum(load.waiting for load in loads),
                "working": sum(load.working for load in loads),
                "oldest_s": max(load.oldest for load in loads),
                "longest_work_s": max(load.longest for load in loads),
                "retries": sum(load.retries for load in loads),
            },
            "subnets": [
                {"network": s.name, "subnet": s.address, "prefix": s.prefix} for s in present
            ],
            "reaps": observed["reaps"],
            "sweeps": {**observed["sweeps"], "interval_s": settings.sweep_interval},
        }
        state, reason = state_of(told, swept=controller.ready.is_set(), stopping=stopping)
        told["state"], told["state_reason"], told["ready"] = state.value, reason, state in READY
        return told
