"""One listener in a world that is quiet, worked step by step."""

from __future__ import annotations

from listener.control.observer import Observer
from listener.core.resources import Resource

from .world import Config, World


class Host:
    """A listener beside one database; a request takes no time."""

    def __init__(
        self,
        *,
        delay: float = 0.0,
        torn_down_after: float = 0.0,
        observer: Observer | None = None,
        dry_run: bool = False,
    ) -> None:
        config = Config(delay=delay, torn_down_after=torn_down_after, dry_run=dry_run, request=0.0)
        self.world = World(config, observer)
        (self.listener,) = self.world.listeners
        (self.database,) = self.world.databases
        self.clock = self.world.clock
        self.engine = self.listener.engine
        self.index = self.listener.index
        self.controller = self.listener.controller
        self.listener.docker_up = True

    def appear(self, *resources: Resource, unconfirmed: bool = False) -> None:
        """They are created, and their events arrive."""
        for resource in self.engine.put(*resources):
            self.index.put(resource, unconfirmed=unconfirmed)
            for prefix in resource.prefixes:
                self.controller.appeared(prefix)

    def sweep(self, cause: str = "asked", seconds: float = 0.0) -> None:
        """A listing comes."""
        self.index.replace(self.engine.listing().resources)
        self.controller.listed(cause, seconds)

    def step(self) -> list[str]:
        """Work on everything that is due; returns the keys."""
        keys = []
        for lane in self.listener.lanes:
            while (key := self.listener.work(lane)) is not None:
                keys.append(key)
        return keys

    def settle(self, seconds: float) -> None:
        """Let so much time pass, working on everything as it becomes due."""
        until = self.clock.now + seconds
        while True:
            self.step()
            due = [at for lane in self.listener.lanes if (at := lane.next_due()) is not None]
            if min(due, default=until) >= until:
                break
            self.clock.now = max(self.clock.now + 2**-10, min(due))
        self.clock.now = until
        self.step()
