"""A controller over a simulated engine and database, worked step by step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from listener.controller import Controller
from listener.evidence import Evidence
from listener.index import PrefixIndex
from listener.judge import Judge
from listener.naming import Resource
from listener.observer import Observer, Observers
from listener.reaper import Permit, Reaper, Removal
from listener.telemetry.logs import RemovalLog

from .world import Clock, Database, Inline, SimulatedEngine


class Host:
    """A controller over a simulated engine and database."""

    def __init__(
        self, *, delay: float = 0.0, observer: Observer | None = None, dry_run: bool = False
    ) -> None:
        self.clock = Clock()
        self.database = Database(self.clock)
        self.engine = SimulatedEngine()
        self.index = PrefixIndex()
        self.docker_up = True
        self.relists = 0
        self.controller = Controller(
            index=self.index,
            judge=Judge([(self.database.ask, Evidence(30.0))], delay=delay),
            reap=_reap_nothing if dry_run else Reaper(self.engine, Inline(), 1).reap,
            clock=self.clock,
            docker_up=lambda: self.docker_up,
            relist=self._count_relist,
            observer=Observers(RemovalLog(), observer or Observer()),
        )

    def _count_relist(self) -> None:
        self.relists += 1

    def appear(self, *resources: Resource, hearsay: bool = False) -> None:
        """They are created, and their events arrive."""
        for resource in self.engine.put(*resources):
            self.index.put(resource, hearsay=hearsay)
            for prefix in resource.prefixes:
                self.controller.appeared(prefix)

    def sweep(self, cause: str = "asked", seconds: float = 0.0) -> None:
        """A listing comes."""
        self.index.replace(self.engine.present.values())
        self.controller.listed(cause, seconds)

    def step(self) -> list[str]:
        """Work on everything that is due; returns the keys."""
        keys = []
        for lane in (self.controller.screening, self.controller.reconciling):
            while (key := lane.take()) is not None:
                keys.append(key)
                lane.work(key)
        return keys

    def settle(self, seconds: float) -> None:
        """Let so much time pass, working on everything as it becomes due."""
        until = self.clock.now + seconds
        while True:
            self.step()
            lanes = (self.controller.screening, self.controller.reconciling)
            due = min((d for lane in lanes if (d := lane.next_due()) is not None), default=until)
            if due >= until:
                break
            self.clock.now = max(due, self.clock.now + 0.001)
        self.clock.now = until
        self.step()


def _reap_nothing(doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:  # noqa: ARG001
    return ()
