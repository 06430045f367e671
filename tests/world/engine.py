"""A Docker Engine in memory: its objects, its event log, and the part of its API that we use.

It answers in the engine's own JSON, with the engine's own oddities: several ``Names`` or none at
all, stopped containers that an inspect of a network does not show, stale endpoints, networks of the
same name, removals that are refused, take their time, or happen after the request was given up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import docker.errors
import requests

EPOCH = 1_700_000_000.0
"""The engine's own time when the fake clock shows zero."""
REPLAY = 256
"""Events that the engine keeps for a subscriber that asks for the past."""

Labels = dict[str, str]


@dataclass
class Clock:
    """The time, which only moves when somebody moves it, and the order of what happens."""

    now: float = 1000.0
    ticks: int = 0

    def __call__(self) -> float:
        return self.now

    def tick(self) -> int:
        """The next moment; no two things happen in the same one."""
        self.ticks += 1
        return self.ticks


@dataclass(eq=False)
class Container:
    """A container as the engine knows it.

    Attributes:
        networks: by network name, the network's id; empty until the container was started once.
        links: names that other containers know it by.
        removing: a removal was begun and has not ended.
        removed_by: whose request that was; None: somebody else's.
        volumes: the names of those that it mounts.
    """

    id: str
    name: str
    labels: Labels
    image: str
    image_labels: Labels
    created: float
    tick: int
    state: str = "running"
    networks: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    removing: bool = False
    removed_by: object = None
    volumes: tuple[str, ...] = ()


@dataclass(eq=False)
class Network:
    """A network as the engine knows it.

    Attributes:
        stale: by key, the container's name of an endpoint that outlived its container.
    """

    id: str
    name: str
    driver: str
    scope: str
    created: float
    tick: int
    stale: dict[str, str] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)


Thing = Container | Network


class Watcher:
    """Is told of everything that a caller is about to change, and of what changed."""

    def changed(self, thing: Thing) -> None:
        """A thing is new, or has a new name."""

    def removing(self, caller: object, thing: Thing) -> None:
        """A caller asks for a removal."""

    def removed(self, caller: object, thing: Thing) -> None:
        """A removal happened; by ``caller``, None for somebody else."""

    def unanswered(self, caller: object, thing: Thing) -> None:
        """A caller gave up waiting for a removal that was not even begun."""

    def disconnecting(self, caller: object, network: Network, container: Container) -> None:
        """A caller asks for a container to be taken off a network."""

    def looked(self, caller: object, thing: Thing, how: str) -> None:
        """A caller is shown a thing."""


class Daemon:
    """The engine's state, and what anybody but a listener does to it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.watcher = Watcher()
        self.up = True
        self.containers: dict[str, Container] = {}
        self.networks: dict[str, Network] = {}
        self.images: dict[str, Labels] = {"plain": {}}
        self.faults: list[str] = []
        self.read_faults: list[str] = []
        self.streams: list[Stream] = []
        self._log: list[tuple[float, bytes]] = []
        self._ids = 0

    def create_container(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        image: str = "plain",
        network: Network | None = None,
        state: str = "running",
        id_: str = "",
    ) -> Container | None:
        """A new container; None where the name is taken."""
        if any(c.name == name for c in self.containers.values()):
            return None
        inherited = self.images[image]
        container = Container(
            id_ or self._id(),
            name,
            {**inherited, **labels},
            image,
            inherited,
            self.clock.now,
            self.clock.tick(),
            state,
        )
        if network is not None:
            container.networks[network.name] = network.id if state != "created" else ""
        self.containers[container.id] = container
        self.watcher.changed(container)
        self._tell("container", "create", container.id, {**container.labels, "name": name})
        return container

    def create_network(
        self, name: str, driver: str = "bridge", scope: str = "local", id_: str = ""
    ) -> Network:
        """A new network; its name may be taken."""
        id_ = id_ or self._id()
        network = Network(id_, name, driver, scope, self.clock.now, self.clock.tick())
        self.networks[network.id] = network
        self.watcher.changed(network)
        self._tell("network", "create", network.id, {"name": name, "type": driver}, scope)
        return network

    def find_container(self, what: str) -> Container | None:
        """The container with this id or name."""
        return next((c for c in self.containers.values() if what in (c.id, c.name)), None)

    def rename(self, container: Container, name: str) -> bool:
        """Another name, unless it is taken."""
        if any(c.name == name for c in self.containers.values()):
            return False
        old, container.name = container.name, name
        self.watcher.changed(container)
        attributes = {"oldName": "/" + old, **container.labels, "name": name}
        self._tell("container", "rename", container.id, attributes)
        return True

    def delete(self, thing: Thing, caller: object = None) -> None:
        """A removal happens; what the engine is at already is whose request that was."""
        if isinstance(thing, Container) and thing.removing and thing.removed_by is not None:
            caller = thing.removed_by
        kind = "container" if isinstance(thing, Container) else "network"
        attributes = {"name": thing.name}
        if isinstance(thing, Container):
            del self.containers[thing.id]
            attributes = {**thing.labels, **attributes}
        else:
            del self.networks[thing.id]
        self.watcher.removed(caller, thing)
        self._tell(kind, "destroy", thing.id, attributes)

    def things(self) -> Iterator[Thing]:
        """Everything on the host."""
        yield from self.containers.values()
        yield from self.networks.values()

    def on(self, network: Network) -> list[Container]:
        """Every container that refers to a network."""
        return [
            container
            for container in self.containers.values()
            for name, id_ in container.networks.items()
            if id_ == network.id or (not id_ and name == network.name)
        ]

    def finish_removals(self) -> bool:
        """What is being removed goes."""
        going = [container for container in self.containers.values() if container.removing]
        for container in going:
            self.delete(container)
        return bool(going)

    def cut_streams(self) -> bool:
        """Every subscription ends."""
        cut = [stream for stream in self.streams if stream.open]
        for stream in cut:
            stream.open = False
        self.streams.clear()
        return bool(cut)

    def past(self, since: float) -> list[bytes]:
        """What is still known of what happened from then on."""
        return [line for at, line in self._log[-REPLAY:] if at >= since]

    def _id(self) -> str:
        self._ids += 1
        return f"{self._ids:012x}" + "0" * 52

    def _tell(
        self, kind: str, action: str, id_: str, attributes: Labels, scope: str = "local"
    ) -> None:
        at = EPOCH + self.clock.now
        event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": id_, "Attributes": attributes},
            "scope": scope,
            "time": int(at),
        }
        line = json.dumps(event).encode() + b"\n"
        self._log.append((at, line))
        for stream in self.streams:
            stream.tell(line)


class Stream:
    """A subscription. It is in place a while after the answer to the request has come.

    Attributes:
        pending: events on their way.
        open: neither side has ended it.
        whole: every event that happened since the subscription is, or was, on its way.
        paused: the reader stops for now and must not end it.
        silent: it ended because nothing came for too long.
    """

    def __init__(self, daemon: Daemon, since: float) -> None:
        self.pending: list[bytes] = []
        self.open = True
        self.whole = True
        self.paused = False
        self.silent = False
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self._daemon = daemon
        self._since = since
        self._in_place = False
        self._late = daemon.clock.ticks % 7
        daemon.streams.append(self)

    def settle(self, *, now: bool = False) -> None:
        """The subscription is in place, sooner or later: the past is replayed."""
        self._late -= 1
        if not self._in_place and (now or self._late < 0):
            self._in_place = True
            self.pending += self._daemon.past(self._since)

    def tell(self, line: bytes) -> None:
        """An event happened."""
        if self._in_place:
            self.pending.append(line)

    def close(self) -> None:
        """The reader ends it."""
        if not self.paused:
            self.open = False
            if self in self._daemon.streams:
                self._daemon.streams.remove(self)


class InertThread:
    """Stands for the thread that reads a stream into an inbox; the world does its work."""

    def __init__(
        self, *, target: Callable[..., None], args: tuple[Stream, Any], name: str, daemon: bool
    ) -> None:
        stream, inbox = args
        stream.inbox = inbox
        assert callable(target)
        assert name
        assert daemon

    def start(self) -> None:
        """Nothing happens by itself here."""


class Api:
    """The low-level client of the SDK, as far as we use it.

    Args:
        daemon: the engine.
        caller: who calls.
        gate: is passed at the beginning and the end of each request; anything may happen there.
        sleep: lets time pass for the caller.
    """

    def __init__(
        self,
        daemon: Daemon,
        caller: object = None,
        gate: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.daemon = daemon
        self._caller = caller
        self._gate = gate
        self._sleep = sleep

    def ping(self) -> None:
        """Whether the engine is there."""
        self._begin("ping")

    def subscribe(self, since: float) -> Stream:
        """A new event stream."""
        self._begin("events")
        stream = Stream(self.daemon, since)
        self._gate("events")
        return stream

    def containers(
        self,
        all: bool = False,  # noqa: A002 - as the SDK has it
        filters: Mapping[str, list[str]] | None = None,
    ) -> list[dict[str, Any]]:
        """``GET /containers/json``."""
        assert all
        self._begin("list containers")
        wanted = filters["network"] if filters else None
        found = []
        for container in self.daemon.containers.values():
            connected = {*container.networks, *container.networks.values()}
            if wanted is None or connected & set(wanted):
                self.daemon.watcher.looked(self._caller, container, "list")
                found.append(_summary(container))
        for id_ in wanted or ():
            if network := self.daemon.networks.get(id_):
                self.daemon.watcher.looked(self._caller, network, "attached")
        self._gate("list containers")
        return found

    def networks(self) -> list[dict[str, Any]]:
        """``GET /networks``."""
        self._begin("list networks")
        found = []
        for network in self.daemon.networks.values():
            self.daemon.watcher.looked(self._caller, network, "list")
            found.append(_network(network))
        self._gate("list networks")
        return found

    def inspect_container(self, id_: str) -> dict[str, Any]:
        """``GET /containers/ID/json``."""
        self._begin("inspect")
        container = self.daemon.find_container(id_)
        if container is None:
            raise refusal(404)
        self.daemon.watcher.looked(self._caller, container, "inspect")
        return {
            "Id": container.id,
            "Name": "/" + container.name,
            "Image": container.image,
            "Created": _rfc3339(container.created),
            "Config": {"Labels": dict(container.labels)},
            "Mounts": _mounts(container),
        }

    def inspect_network(self, id_: str) -> dict[str, Any]:
        """``GET /networks/ID``."""
        self._begin("inspect")
        network = self.daemon.networks.get(id_)
        if network is None:
            raise refusal(404)
        self.daemon.watcher.looked(self._caller, network, "inspect")
        running = {
            container.id: {"Name": container.name}
            for container in self.daemon.on(network)
            if container.state == "running"
        }
        stale = {key: {"Name": name} for key, name in network.stale.items()}
        return {**_network(network), "Containers": {**running, **stale}}

    def inspect_image(self, image: str) -> dict[str, Any]:
        """``GET /images/ID/json``."""
        self._begin("inspect image")
        if image not in self.daemon.images:
            raise refusal(404)
        return {"Config": {"Labels": dict(self.daemon.images[image]) or None}}

    def remove_container(self, id_: str, *, v: bool, force: bool) -> None:
        """``DELETE /containers/ID``."""
        assert v
        assert force
        self._remove(self.daemon.containers.get(id_))

    def remove_network(self, id_: str) -> None:
        """``DELETE /networks/ID``."""
        self._remove(self.daemon.networks.get(id_))

    def disconnect_container_from_network(
        self, container: str, network_id: str, *, force: bool
    ) -> None:
        """``POST /networks/ID/disconnect``."""
        network = self.daemon.networks.get(network_id)
        found = self.daemon.find_container(container)
        if network is not None and found is not None:
            self.daemon.watcher.disconnecting(self._caller, network, found)
        self._begin("disconnect", self._fault)
        if network is None or network.id not in self.daemon.networks:
            raise refusal(404)
        stale = [key for key, name in network.stale.items() if name == container]
        if found is not None:
            if found not in self.daemon.on(network):
                raise refusal(500)
            del found.networks[network.name]
        elif force and stale:
            del network.stale[stale[0]]
        else:
            raise refusal(404)
        self._gate("disconnect")

    def _remove(self, thing: Thing | None) -> None:
        if thing is not None:
            self.daemon.watcher.removing(self._caller, thing)
        self._begin("remove")
        fault = self._fault()
        if fault == "404" and thing is not None and self._there(thing):
            self.daemon.delete(thing)  # somebody else was faster
        if thing is None or not self._there(thing):
            raise refusal(404)
        if fault == "500":
            raise refusal(500)
        if isinstance(thing, Container):
            if fault == "409":
                thing.removing = True
            if thing.removing:
                raise refusal(409)
            if fault in ("unfinished", "stopped"):
                thing.removing, thing.removed_by = True, self._caller
                self.daemon.watcher.unanswered(self._caller, thing)
                if fault == "stopped":
                    self._give_up()
                return
        elif thing.stale or any(c.state == "running" for c in self.daemon.on(thing)):
            raise refusal(403)
        if fault == "timeout":
            self.daemon.watcher.unanswered(self._caller, thing)
            self._give_up()
        self.daemon.delete(thing, self._caller)
        if fault == "late timeout":
            self._give_up()
        self._gate("remove")

    def _there(self, thing: Thing) -> bool:
        return thing.id in self.daemon.containers or thing.id in self.daemon.networks

    def _give_up(self) -> None:
        self._sleep(10.0)
        raise requests.exceptions.ReadTimeout("read timed out")

    def _fault(self) -> str:
        return self.daemon.faults.pop(0) if self.daemon.faults else ""

    def _begin(self, what: str, fault: Callable[[], str] | None = None) -> None:
        self._gate(what)
        if not self.daemon.up:
            raise requests.exceptions.ConnectionError("connection refused")
        if what == "remove":
            return
        if fault is None and self.daemon.read_faults:
            failure = self.daemon.read_faults.pop(0)
        else:
            failure = fault() if fault else ""
        if "timeout" in failure:
            self._give_up()
        if failure:
            raise refusal(500)


def refusal(status: int) -> docker.errors.APIError:
    """The error that the SDK makes of an answer."""
    answer = requests.Response()
    answer.status_code = status
    return docker.errors.APIError("refused", response=answer, explanation=f"because of {status}")


def _summary(container: Container) -> dict[str, Any]:
    names = [f"/{link}/alias" for link in container.links] + ["/" + container.name]
    return {
        "Id": container.id,
        "Names": None if container.removing else names,
        "ImageID": container.image,
        "Labels": dict(container.labels),
        "Created": int(EPOCH + container.created),
        "Mounts": _mounts(container),
        "NetworkSettings": {
            "Networks": {name: {"NetworkID": id_} for name, id_ in container.networks.items()}
        },
    }


def _mounts(container: Container) -> list[dict[str, str]]:
    return [{"Type": "volume", "Name": name} for name in container.volumes]


def _network(network: Network) -> dict[str, Any]:
    return {
        "Id": network.id,
        "Name": network.name,
        "Driver": network.driver,
        "Scope": network.scope,
        "Labels": dict(network.labels),
        "Created": _rfc3339(network.created),
    }


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + at, UTC).isoformat()
