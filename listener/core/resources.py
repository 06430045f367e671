"""The one model of what a topology is made of in Docker: containers, networks and who owns them.

An image that compose built for it is a resource as well, for its removal; the index holds none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

PREFIX_LENGTH, ID_LENGTH = 8, 36


class Kind(StrEnum):
    """The kinds of Docker object that a topology is made of."""

    CONTAINER = "container"
    NETWORK = "network"
    IMAGE = "image"


class Stage(IntEnum):
    """When a resource's turn comes as its topology is removed; the lowest goes first."""

    BASE = 0
    """A container that holds (or may hold) endpoints of the topology's networks."""
    NETWORK = 1
    """A network: it can go once no endpoint is left on it."""
    SERVICE = 2
    """A container that shares its base's network namespace: it holds nothing up."""
    IMAGE = 3
    """An image: its turn comes when nothing else is left."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One container, network or image of at least one topology, as far as it is known.

    Attributes:
        kind: container, network or image.
        id: the engine's id, unique and never used again.
        name: its name without a slash; empty while the engine lists none.
        owners: full ids and prefixes, sorted; never empty.
        stage: its turn in a removal.
        created: by then it was, by the engine's clock, in seconds since the epoch; None when
            unknown.
        verified: its owners rest on labels that were compared with its image's. What is known by
            its name alone, or from an event only, is not verified: it is read again by id right
            before it is removed.
        doubtful: nothing ties it to its owners but labels that may be inherited from an image that
            is gone: it is alive with them, and held without; and it says nothing about them, or
            about the database that has their rows.
        volumes: the names of those volumes that it mounts and that may be anonymous.
    """

    kind: Kind
    id: str
    name: str
    owners: tuple[str, ...]
    stage: Stage
    created: float | None = None
    verified: bool = False
    doubtful: bool = False
    volumes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def prefixes(self) -> frozenset[str]:
        """The prefixes of its owners."""
        return frozenset(prefix_of(owner) for owner in self.owners)

    @property
    def topology_id(self) -> str | None:
        """The full id that a label names; None where only a prefix is known."""
        return next((owner for owner in self.owners if len(owner) > PREFIX_LENGTH), None)

    def is_confirmed_by(self, found: Resource) -> bool:
        """Whether the engine knows it, read anew, as what it was taken for."""
        return found.owners == self.owners and found.doubtful <= self.doubtful

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.id[:12]!r}"


def prefix_of(owner: str) -> str:
    """The prefix of a full id (or of a prefix, which is its own)."""
    return owner[:PREFIX_LENGTH]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's place on a network.

    Attributes:
        container: what the engine finds it by: the id, or for a stale endpoint the name.
        name: the container's name.
        ours: it carries DECNET's marks or is protected, and is not ours to disconnect.
        stale: the endpoint outlived its container's part of it and has to be forced off.
    """

    container: str
    name: str
    ours: bool
    stale: bool = False


class Subnet(NamedTuple):
    """The part of the address pools that a network has."""

    network: str
    """The network's id."""
    name: str
    address: str
    """Such as ``172.17.0.0/16``."""
    prefix: str | None
    """Of the topology that the network belongs to; None for any other."""
