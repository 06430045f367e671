"""The real client of the engine, on the simulated API, with a script of what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from listener.core.resources import Endpoint, Kind, Resource, Stage
from listener.engine.client import Engine
from listener.engine.events import QUIET, EventStream

from .engine import EPOCH, Api, Clock, Daemon, Thing

Call = tuple[str, str]


class SimulatedEngine(Engine):
    """Only what the client does below the SDK is replaced.

    Attributes:
        calls: the methods that were called, each with an id.
        faults: are raised in turn by a call.
        on: is called before a call.
        changed: is notified of each call.
    """

    def __init__(self, api: Api | None = None) -> None:
        super().__init__("unix:///simulated")
        self._simulated = api or Api(Daemon(Clock()))
        self._connected = self._simulated  # type: ignore[assignment]
        self.daemon = self._simulated.daemon
        self.calls: list[Call] = []
        self.faults: dict[Call, list[Exception]] = {}
        self.on: dict[Call, Callable[[], object]] = {}
        self.changed = threading.Condition()

    def put(self, *resources: Resource) -> Sequence[Resource]:
        """Have them there, with labels that say whose they are."""
        for resource in resources:
            if resource.id in self.present:
                self.daemon.delete(self.present[resource.id])
            if resource.kind is Kind.NETWORK:
                self.daemon.create_network(resource.name, id_=resource.id)
                continue
            labels = {}
            for owner in resource.owners:
                if len(owner) > 8:
                    labels["decnet.topology.id"] = owner
                else:
                    labels["com.docker.compose.project"] = f"decnet-topo-{owner}"
            if resource.stage is Stage.SERVICE:
                labels["decnet.topology.service"] = "true"
            self.daemon.images["lost"] = {}
            image = "lost" if resource.doubtful else "plain"
            made = self.daemon.create_container(resource.name, labels, image=image, id_=resource.id)
            assert made is not None
            made.volumes = resource.volumes
            del self.daemon.images["lost"]
        return resources

    @property
    def present(self) -> dict[str, Thing]:
        """What there is, by its id."""
        return {thing.id: thing for thing in self.daemon.things()}

    def verbs(self, *verbs: str) -> list[Call]:
        """The calls of these methods."""
        return [call for call in self.calls if call[0] in verbs]

    def removed(self) -> list[str]:
        """The ids that removals were asked for, in order."""
        return [id_ for _, id_ in self.verbs("remove")]

    def _called(self, verb: str, id_: str) -> None:
        with self.changed:
            self.calls.append((verb, id_))
            self.changed.notify_all()
        self.on.get((verb, id_), lambda: None)()
        if faults := self.faults.get((verb, id_)):
            raise faults.pop(0)

    def read(self, resource: Resource) -> Resource | None:
        self._called("read", resource.id)
        return super().read(resource)

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        self._called("attached", " ".join(sorted(network.id for network in networks)))
        return super().attached(networks)

    def endpoints(self, network: Resource) -> Sequence[Endpoint]:
        self._called("endpoints", network.id)
        return super().endpoints(network)

    def disconnect(self, network: Resource, endpoint: Endpoint) -> bool:
        self._called("disconnect", f"{network.id} {endpoint.container}")
        return super().disconnect(network, endpoint)

    def remove(self, resource: Resource) -> None:
        self._called("remove", resource.id)
        super().remove(resource)

    def connect(self) -> None:
        with self._errors():
            self._simulated.ping()

    def now(self) -> float:
        with self._errors():
            self._simulated.ping()
        return float(int(EPOCH + self.daemon.clock.now))

    def events(self, since: float, quiet: float = QUIET) -> EventStream:  # noqa: ARG002
        with self._errors():
            return self._simulated.subscribe(since)  # type: ignore[return-value]
