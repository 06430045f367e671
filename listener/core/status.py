"""What a listener tells of itself, as types: the object of docs/status.md.

One dictionary, made by :meth:`listener.Listener.status`, which is what the socket, the endpoint and
``topology-reaper status --json`` send. docs/status.schema.json is made of these types by ``make
docs``. Times are in seconds since the epoch, as fractions; a duration has its unit in its name.
"""

from __future__ import annotations

from typing import TypedDict

from listener.core.report import TornDown


class Side(TypedDict):
    """Docker or a database.

    Attributes:
        name: as the log calls it.
        up: whether it could be reached.
        since: when that began.
        reason: why it is down; null while it is up.
        proof_age_s: since it last proved to be alive; null if it never has.
        connections: how often its stream was opened.
    """

    name: str
    up: bool
    since: float
    reason: str | None
    proof_age_s: float | None
    connections: int


class EngineAbout(TypedDict):
    """What an engine says of itself; null is what it did not tell.

    Attributes:
        product: ``Docker Engine`` or ``Podman``.
        version: of that.
        name: of its host.
        rootless: whether it runs as an ordinary user.
        image_store: ``containerd`` or ``classic``; Podman has neither.
    """

    product: str
    version: str
    name: str | None
    rootless: bool | None
    image_store: str | None


class DockerSide(Side):
    """The Docker Engine.

    Attributes:
        address: its URL.
        context: the Docker context that the address is from; null: it is from none.
        engine: what answers there; null before anything has.
    """

    address: str
    context: str | None
    engine: EngineAbout | None


class DatabaseSide(Side):
    """A database of topologies.

    Attributes:
        label: its short name in the metrics, such as ``sqlite/decnet.db``.
        feed: ``wal``, ``notify``, ``binlog``, ``relay`` or ``poll``; null: not connected yet.
        answer_age_s: since the last answer that could be trusted; null: there was none yet.
        unheard: missed deletions, which push should have told of and only a sweep found.
        refused: messages of a relay that were none to be believed.
    """

    label: str
    feed: str | None
    answer_age_s: float | None
    unheard: int
    refused: int


class RelayStatus(TypedDict):
    """What a relay tells of itself.

    Attributes:
        state: ``ready``, ``starting``, ``degraded`` or ``stopping``.
        state_reason: why, in a few words; empty while it is ready.
        version: of topology-reaper.
        host: the name of the host, or of the container.
        time: now.
        started: when the relay began.
        ready: what ``/readyz`` says: the database and the broker are up, and no other relay of its
            name serves another database.
        problems: why the health check fails, one sentence each; empty: healthy.
        name: what ``--name`` says.
        relay: the name of this process, at random.
        databases: the one that it asks.
        broker: the NATS broker, or several of a cluster: host and port.
        answers: the connection that answers.
        announces: the connection that announces.
        hosts: how many have said something in the last ten minutes.
        interests: how many prefixes they have named, each for itself.
        asked: questions of hosts that were taken.
        gathered: how often the database was asked because of them, or to see that it is there.
        announced: messages about deletions that hosts were sent.
        refused: what was refused, by reason.
    """

    state: str
    state_reason: str
    version: str
    host: str
    time: float
    started: float
    ready: bool
    problems: list[str]
    name: str
    relay: str
    databases: list[DatabaseSide]
    broker: str
    answers: Side
    announces: Side
    hosts: int
    interests: int
    asked: int
    gathered: int
    announced: int
    refused: dict[str, int]


class TopologyResource(TypedDict):
    """A container or network of a topology.

    Attributes:
        kind: ``container`` or ``network``.
        id: the engine's.
        name: the engine's.
        subnets: of a network, such as ``10.4.7.0/24``.
    """

    kind: str
    id: str
    name: str
    subnets: list[str]


class Removing(TypedDict):
    """How a topology is going.

    Attributes:
        begun: how many of its resources are to go in this reap.
        left: how many of them are still there.
    """

    begun: int
    left: int


class Topology(TypedDict):
    """A topology that has something on this host.

    Attributes:
        prefix: the first eight characters of its id.
        state: ``alive``, ``orphan``, ``reaping``, ``waiting``, ``held`` or ``unknown``.
        reason: why it is in that state.
        wait_s: for how long it waits yet; null: it does not, or no answer comes, so that its time
            is not counted.
        removing: how its resources go one by one; null: none is being removed.
        ids: full ids that labels name; there may be none.
        resources: in the order of their removal.
    """

    prefix: str
    state: str
    reason: str
    wait_s: float | None
    removing: Removing | None
    ids: list[str]
    resources: list[TopologyResource]


class Holds(TypedDict):
    """What waits for an operator's decision.

    Attributes:
        prefixes: of the topologies.
        token: releases exactly these; empty when nothing is held.
        command: the complete command that does; empty when nothing is held.
    """

    prefixes: list[str]
    token: str
    command: str


class Queue(TypedDict):
    """The topologies to be looked at.

    Attributes:
        depth: how many, also those whose time has not come.
        working: how many are being worked on.
        oldest_s: for how long the first could have been taken.
        longest_work_s: how long the longest work has been going on.
        retries: how often one had to be looked at again.
    """

    depth: int
    working: int
    oldest_s: float
    longest_work_s: float
    retries: int


class HostSubnet(TypedDict):
    """An address range in use.

    Attributes:
        network: the name of the network that has it.
        subnet: such as ``10.4.7.0/24``.
        prefix: of the topology; null: it is none's.
    """

    network: str
    subnet: str
    prefix: str | None


class Reap(TypedDict):
    """One piece of work on a topology that had lost its row.

    Attributes:
        time: when it ended.
        prefix: of the topology.
        duration_ms: how long it took.
        hint_to_gone_ms: from the first hint until all was gone; null: something is still there.
        containers: how many were removed.
        networks: how many were removed.
        images: how many were removed.
        evidence: why they could be.
        errors: why something is still there, one sentence each.
    """

    time: float
    prefix: str
    duration_ms: float
    hint_to_gone_ms: float | None
    containers: int
    networks: int
    images: int
    evidence: str
    errors: list[str]


class LastSweep(TypedDict):
    """The last full sweep.

    Attributes:
        time: when it ended.
        cause: ``start-up``, ``reconnect``, ``silence``, ``timer`` or ``asked``.
        duration_ms: how long it took.
    """

    time: float
    cause: str
    duration_ms: float


class SweepCount(TypedDict):
    """The full sweeps so far.

    Attributes:
        count: how many.
        last: null before the first.
    """

    count: int
    last: LastSweep | None


class Sweeps(SweepCount):
    """The full sweeps.

    Attributes:
        interval_s: from one to the next.
    """

    interval_s: float


class Status(TypedDict):
    """What a listener tells of itself.

    Attributes:
        state: ``ready``, ``holding``, ``starting``, ``degraded`` or ``stopping``.
        state_reason: why, in a few words; empty while it is ready.
        version: of topology-reaper.
        host: the name of the host, or of the container.
        time: now.
        started: when the listener began.
        ready: what ``/readyz`` says: whether the state is ``ready`` or ``holding``.
        dry_run: whether nothing is removed.
        problems: why the health check fails, one sentence each; empty: healthy.
        docker: the Docker Engine.
        databases: all of them.
        topologies: those that have something on this host.
        held: what waits for an operator's decision.
        torn_down: what is left of topologies whose row has the status ``torn_down``.
        queue: the topologies to be looked at.
        subnets: of every network on this host.
        reaps: the last 50, newest first.
        sweeps: the full sweeps.
    """

    state: str
    state_reason: str
    version: str
    host: str
    time: float
    started: float
    ready: bool
    dry_run: bool
    problems: list[str]
    docker: DockerSide
    databases: list[DatabaseSide]
    topologies: list[Topology]
    held: Holds
    torn_down: list[TornDown]
    queue: Queue
    subnets: list[HostSubnet]
    reaps: list[Reap]
    sweeps: Sweeps
