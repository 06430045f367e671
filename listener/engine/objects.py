"""What the engine's JSON says about containers and networks.

A list and an inspect of the same object differ in form: a list tells a container's time in whole
seconds and all of its names, an inspect in nanoseconds and its own name.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from listener.core import ownership
from listener.core.ownership import Signal
from listener.core.resources import Kind, Resource, Subnet

_GENERATED = re.compile(r"[0-9a-f]{64}")
"""The form of the names that an engine makes up for volumes."""


class Listing(NamedTuple):
    """What was on this host at one moment; empty before the first one."""

    resources: Sequence[Resource] = ()
    """Everything that belongs to a topology."""
    subnets: Sequence[Subnet] = ()
    """Of every network."""
    mark: str = ""
    """Tells this engine from others: the id of a network that it made for itself when it was new.
    Its own id stands in ``/info``, which socket proxies refuse."""


@dataclass(frozen=True, slots=True)
class Found:
    """A container or network, and what could tie it to a topology.

    Attributes:
        kind: container or network.
        id: the engine's id.
        name: its own name.
        signals: each of them, whether it counts or not.
        resource: what it is to us; None if it is none of ours.
        networks: those that a container is on, by name; the id is empty before its first start.
        stays: whether a container is never taken off them.
    """

    kind: Kind
    id: str
    name: str
    signals: Sequence[Signal]
    resource: Resource | None
    networks: Mapping[str, str] = field(default_factory=dict)
    stays: bool = False

    def is_on(self, network: Resource) -> bool:
        """Whether it is a container on this network."""
        return is_on(self.networks, network)


def id_of(attributes: Mapping[str, Any]) -> str:
    """The id that the engine gave an object.

    Raises:
        TypeError: it is none.
    """
    id_ = attributes["Id"]
    if not isinstance(id_, str) or not id_:
        raise TypeError(f"an id that is none: {id_!r}")
    return id_


def own_name(names: object) -> str:
    """A container's own name among the ``Names`` of a listing.

    With links there are several, and only its own has a single slash. The list may be empty or
    null while a container is being removed.
    """
    if isinstance(names, Iterable):
        for name in names:
            if isinstance(name, str) and name.rfind("/") == 0:
                return name[1:]
    return ""


def created_before(second: object) -> float | None:
    """The end of the second that a list or an event names, None if it names none.

    Both cut a time to whole seconds, and nothing must pass for older than it is.
    """
    return second + 1.0 if isinstance(second, int | float) and 0 < second < 2**40 else None


def epoch(text: object) -> float | None:
    """Seconds since the epoch of a time in the engine's RFC 3339 form, None if it is none."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(str(text)).timestamp()
    return None


def places(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The networks that a container is on: their ids by their names."""
    networks = attributes["NetworkSettings"]["Networks"] or {}
    return {name: endpoint.get("NetworkID") or "" for name, endpoint in networks.items()}


def volumes(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The volumes that a container mounts and that may be anonymous, by the form of their names."""
    mounts = attributes.get("Mounts") or ()
    names = (str(mount.get("Name")) for mount in mounts if mount.get("Type") == "volume")
    return tuple(filter(_GENERATED.fullmatch, names))


def is_on(places: Mapping[str, str], network: Resource) -> bool:
    """Whether one of these is this network; names repeat.

    It is known by its name before a container's first start, where it has no id, and in Podman 4.3,
    which gives the name for an id.
    """
    return network.id in places.values() or places.get(network.name) in ("", network.name)


def network(attributes: Mapping[str, Any]) -> Resource | None:
    """A network as a topology's resource, or None if it is none of ours."""
    return ownership.network(
        id_of(attributes),
        attributes["Name"],
        driver=attributes.get("Driver"),
        scope=attributes.get("Scope"),
        labels=attributes.get("Labels"),
        created=epoch(attributes.get("Created")),
    )


def subnets(attributes: Mapping[str, Any]) -> Iterator[Subnet]:
    """The parts of the address pools that a network has."""
    resource = network(attributes)
    prefix = min(resource.prefixes) if resource is not None else None
    for pool in (attributes.get("IPAM") or {}).get("Config") or ():
        yield Subnet(attributes["Id"], attributes["Name"], str(pool.get("Subnet", "")), prefix)


def mark(networks: Sequence[Mapping[str, Any]]) -> str:
    """The id of the first network that is there for good: Docker's ``none``, or Podman's own.

    Podman 4.3 lists its own as ``bridge``. The id is made of the name: every Podman has the same.
    """
    ids = {attributes["Name"]: str(attributes["Id"]) for attributes in networks}
    return next((ids[name] for name in ("none", "host", "podman", "bridge") if name in ids), "")
