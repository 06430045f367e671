"""Topologies in DECNET's exact shape on a real engine, written out literally.

Names and labels stand here a second time on purpose: the tests must not learn them from the code
they test. A topology has two networks and, per decky, one base container that holds the network
endpoints (the first decky sits on both networks) and one container per service that lives in the
base's network namespace. Every container restarts `unless-stopped`; every service has an anonymous
volume, so that a volume left behind is noticed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from docker import APIClient


@dataclass
class Topology:
    """What was created for a topology so far: names with their ids."""

    id: str
    started: bool = True
    networks: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """The part of the id that the names carry."""
        return self.id[:8]

    @property
    def containers(self) -> list[str]:
        """The ids of all containers."""
        return [*self.bases.values(), *self.services.values()]

    @property
    def named(self) -> dict[str, str]:
        """The ids of all containers and networks, by name."""
        return self.bases | self.services | self.networks

    @property
    def ids(self) -> list[str]:
        """The ids of all containers and networks."""
        return [*self.named.values()]

    @property
    def names(self) -> list[str]:
        """The names of everything."""
        return [*self.bases, *self.services, *self.networks, *self.volumes]

    def remaining(self, api: APIClient) -> list[str]:
        """The names of what still exists; three lists, matched by id."""
        containers = {entry["Id"] for entry in api.containers(all=True)}
        networks = {entry["Id"] for entry in api.networks()}
        volumes = {entry["Name"] for entry in api.volumes()["Volumes"] or []}
        named = self.bases | self.services
        return [
            *(name for name, key in named.items() if key in containers),
            *(name for name, key in self.networks.items() if key in networks),
            *(name for name in self.volumes if name in volumes),
        ]

    def is_intact(self, api: APIClient) -> bool:
        """Whether everything exists and, if it was started, runs."""
        return not self._faults(api)

    def assert_intact(self, api: APIClient) -> None:
        """Fail, saying what is gone or does not run."""
        faults = self._faults(api)
        assert not faults, f"topology {self.prefix} is damaged: {', '.join(faults)}"

    def _faults(self, api: APIClient) -> list[str]:
        running = {entry["Id"] for entry in api.containers()} if self.started else set()
        named = self.bases | self.services
        missing = set(self.names) - set(self.remaining(api))
        idle = {name for name, key in named.items() if self.started and key not in running}
        return [
            *(f"{name} is gone" for name in sorted(missing)),
            *(f"{name} does not run" for name in sorted(idle - missing)),
        ]


def new_id(prefix: str | None = None) -> str:
    """A new topology id, optionally with a given prefix of eight hex digits."""
    text = str(uuid.uuid4())
    return text if prefix is None else prefix + text[8:]


def deploy(
    api: APIClient,
    topology_id: str,
    *,
    decky_numbers: Sequence[int] = (1, 2),
    image: str = "busybox",
    services: Sequence[str] = ("ssh", "http"),
    start: bool = True,
) -> Topology:
    """Deploy a topology.

    Service containers carry no prefix in their names, so two topologies on one engine need
    different `decky_numbers`.
    """
    topology = Topology(topology_id)
    for _ in steps(
        api,
        topology_id,
        decky_numbers=decky_numbers,
        image=image,
        services=services,
        start=start,
        into=topology,
    ):
        pass
    return topology


def steps(
    api: APIClient,
    topology_id: str,
    *,
    decky_numbers: Sequence[int] = (1, 2),
    image: str = "busybox",
    services: Sequence[str] = ("ssh", "http"),
    start: bool = True,
    into: Topology | None = None,
) -> Iterator[str]:
    """Deploy one resource per step and yield its name; what there is so far is kept in `into`."""
    topology = Topology(topology_id) if into is None else into
    topology.started = start
    stem = f"decnet_t_{topology.prefix}_"

    lans = [f"{stem}lan1", f"{stem}lan2"]
    for lan in lans:
        topology.networks[lan] = api.create_network(lan, driver="bridge")["Id"]
        yield lan

    for position, number in enumerate(decky_numbers):
        decky = f"decky-{number:03d}"
        lan = lans[position % 2]
        base = _create(
            api,
            topology,
            topology.bases,
            f"{stem}{decky}",
            image,
            {"decnet.topology.decky": decky, "decnet.topology.role": "base"},
            network=lan,
        )
        if position == 0:
            api.connect_container_to_network(base, lans[1])
        if start:
            api.start(base)
        yield f"{stem}{decky}"

        for service in services:
            name = f"{decky}-{service}"
            container = _create(
                api,
                topology,
                topology.services,
                name,
                image,
                {
                    "decnet.topology.decky": decky,
                    "decnet.topology.service_name": service,
                    "decnet.topology.service": "true",
                },
                network=f"container:{base}",
                volume="/var/lib/decoy",
            )
            mounts = api.inspect_container(container)["Mounts"]
            topology.volumes += [mount["Name"] for mount in mounts]
            if start:
                api.start(container)
            yield name


def _create(
    api: APIClient,
    topology: Topology,
    into: dict[str, str],
    name: str,
    image: str,
    labels: dict[str, str],
    *,
    network: str,
    volume: str | None = None,
) -> str:
    host_config = api.create_host_config(
        network_mode=network,
        restart_policy={"Name": "unless-stopped"},
    )
    container = api.create_container(
        image,
        # As pid 1 without a handler, sleep would ignore SIGTERM: so stop it by SIGKILL.
        ["sleep", "1000000"],
        stop_signal="SIGKILL",
        name=name,
        labels={
            "decnet.topology.id": topology.id,
            "com.docker.compose.project": f"decnet-topo-{topology.prefix}",
            **labels,
        },
        volumes=[volume] if volume else None,
        host_config=host_config,
    )
    into[name] = container["Id"]
    return into[name]
