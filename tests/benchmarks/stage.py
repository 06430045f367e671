"""What everything is measured on: one private engine, one private server of each kind, and sizes.

All of it is made when it is first wanted and ends with the run. The host is empty but for what a
row puts on it, until a row asks for the crowd.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import docker
from private_engine import PrivateEngine

from listener.telemetry.healthcheck import read_status
from tests.benchmarks.observer import Observer
from tests.conftest import make_table
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import ListenerProcess, RelayProcess, eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivateNats, PrivatePostgres

Part = TypeVar("Part", bound=AbstractContextManager[object])

FEEDS = {"wal": "SQLite", "notify": "PostgreSQL", "binlog": "MariaDB"}
"""Every push feed, and whose it is."""
RELAYED = "relay"
"""The feed of a host behind a relay, whose database is PostgreSQL."""
FIRST = "wal"
"""The feed where one is enough."""
DECKIES = 4
"""In a topology of the crowd; with the services of `CROWDED`, 20 containers."""
CROWDED = ("ssh", "http", "smb", "rdp")
DEPLOYERS = 4


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: of what takes seconds.
        long_rounds: of what takes minutes.
        feeds: by which the topologies that are timed are heard of.
        crowd: other containers on the host.
        topologies: deleted at once.
        window: seconds for which the cost of unrelated commits is measured.
        idle: seconds for which the cost of idling is.
        events: to be decoded in a row.
        storm: events of a storm.
        resources: in the small index and in the large one.
        rows: in the small table and in the large one.
        listeners: on one server, step by step.
        hosts: behind a relay, step by step.
    """

    rounds: int = 10
    long_rounds: int = 3
    feeds: Sequence[str] = tuple(FEEDS)
    crowd: int = 1000
    topologies: int = 50
    window: float = 5.0
    idle: float = 120.0
    events: int = 20_000
    storm: int = 100_000
    resources: tuple[int, int] = (1_000, 100_000)
    rows: tuple[int, int] = (1_000, 1_000_000)
    listeners: tuple[int, ...] = (1, 100, 1_000)
    hosts: tuple[int, int] = (1_000, 10_000)


QUICK = Size(
    rounds=3,
    feeds=(FIRST,),
    crowd=60,
    window=1.0,
    events=5_000,
    storm=10_000,
    resources=(1_000, 20_000),
    rows=(1_000, 20_000),
    hosts=(100, 300),
)


@dataclass(frozen=True)
class Relay:
    """A relay that runs.

    Attributes:
        pid: of its process.
        state: its state directory.
        name: of the relays, and of the database that is asked.
    """

    pid: int
    state: Path
    name: str

    def status(self) -> dict[str, Any]:
        """What it tells of itself."""
        return read_status(self.state)


@dataclass(frozen=True)
class Source:
    """A database of topologies, able to push.

    Attributes:
        feed: what is heard of it by.
        url: the database.
        rows: its writer.
        relay: that is asked instead, if any.
    """

    feed: str
    url: str
    rows: Rows
    relay: Relay | None = None


@dataclass(frozen=True)
class Running:
    """A listener that runs.

    Attributes:
        process: its process.
        pid: the number of that.
        state: its state directory.
        ready_at: when it was, in seconds on the monotonic clock.
    """

    process: ListenerProcess
    pid: int
    state: Path
    ready_at: float

    def status(self) -> dict[str, Any]:
        """What it tells of itself."""
        return read_status(self.state)

    def await_alive(self, *topologies: Topology) -> None:
        """Wait until it knows everything of these and has seen their rows."""
        expected = {t.prefix: len(t.containers) + len(t.networks) for t in topologies}

        def knows() -> bool:
            told = {t["prefix"]: t for t in self.status()["topologies"] if t["prefix"] in expected}
            return all(
                prefix in told
                and len(told[prefix]["resources"]) == count
                and told[prefix]["state"] == "alive"
                for prefix, count in expected.items()
            )

        eventually(knows, "the listener knows all of it to be alive")


class Stage(AbstractContextManager["Stage"]):
    """The parts, each made when it is first wanted.

    Args:
        size: how much is measured.
        quick: what takes minutes is left out.
    """

    def __init__(self, size: Size, *, quick: bool = False) -> None:
        self.size = size
        self.quick = quick
        self.floors: list[float] = []
        """Seconds that the engine itself takes for one topology, as far as measured."""
        self._stack = ExitStack()
        self._serials = itertools.count(1)

    def __exit__(self, *_: object) -> None:
        """End all of it."""
        self._stack.close()

    def say(self, text: str) -> None:
        """Tell how far it is, on standard error."""
        print(text, file=sys.stderr, flush=True)

    @cached_property
    def directory(self) -> Path:
        """For files of this run."""
        return Path(self._enter(tempfile.TemporaryDirectory(prefix="benchmarks-")).name)

    @cached_property
    def engine(self) -> PrivateEngine:
        """The engine, with nothing on it."""
        return self._enter(PrivateEngine())

    @cached_property
    def api(self) -> docker.APIClient:
        """A client of it."""
        api = docker.APIClient(self.engine.host, version="auto", timeout=600)
        self._stack.callback(api.close)
        return api

    @cached_property
    def observer(self) -> Observer:
        """Notes what the engine destroys."""
        observer = Observer(self.api)
        self._stack.callback(observer.close)
        return observer

    @cached_property
    def postgres(self) -> PrivatePostgres:
        """The server that notifies."""
        return self._enter(PrivatePostgres())

    @cached_property
    def mariadb(self) -> PrivateMariaDB:
        """The server with the binary log."""
        return self._enter(PrivateMariaDB())

    @cached_property
    def crowd(self) -> list[str]:
        """The ids of other topologies, whose containers are on the host from now on."""
        size = DECKIES * (1 + len(CROWDED))
        count = self.size.crowd // size
        self.say(f"  {count * size} containers of {count} other topologies are put on the host")
        ids = [new_id() for _ in range(count)]
        self.deploy(ids, decky_count=DECKIES, services=CROWDED, start=False)
        return ids

    def deploy(
        self, ids: Sequence[str], *, decky_count: int = 2, at_once: int = DEPLOYERS, **more: Any
    ) -> list[Topology]:
        """Deploy topologies, several at once."""
        numbers = [[next(self._serials) for _ in range(decky_count)] for _ in ids]

        def one(id_: str, deckies: list[int]) -> Topology:
            return deploy(self.api, id_, decky_numbers=deckies, **more)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, ids, numbers))

    @cached_property
    def nats(self) -> PrivateNats:
        """The broker between relays and hosts."""
        return self._enter(PrivateNats())

    @contextmanager
    def source(self, feed: str) -> Iterator[Source]:
        """A fresh database that is heard of by this feed, with a row for each of the crowd."""
        name = ""
        with ExitStack() as stack:
            if feed == FIRST:
                url = f"sqlite:///{self.directory / f'{next(self._serials)}.db'}"
            else:
                server = self.mariadb if feed == "binlog" else self.postgres
                name = stack.enter_context(server.fresh_database())
                url = server.url(database=name)
            rows = stack.enter_context(Rows(url))
            make_table(rows, url)
            if "crowd" in vars(self):  # it is on the host already
                rows.insert(*self.crowd)
            relay = None
            if feed == RELAYED:
                relay = stack.enter_context(self._relay(url, name))
                url = self.nats.url(name, host="host")
            yield Source(feed, url, rows, relay)

    @contextmanager
    def _relay(self, url: str, name: str) -> Iterator[Relay]:
        state = self.directory / f"state-{next(self._serials)}"
        options = ("--log-level", "INFO", "--feed", "push", "--state-dir", str(state))
        nats = f"nats://{self.nats.address}"
        with RelayProcess(url, nats, name, *options, within=("env",)) as process:
            assert process.process is not None
            yield Relay(process.process.pid, state, name)

    @contextmanager
    def listener(self, source: Source, host: str | None = None) -> Iterator[Running]:
        """The installed command as a process of its own, ready and heard to."""
        state = self.directory / f"state-{next(self._serials)}"
        options = ("--log-level", "INFO", "--grace", "30", "--feed", "push")
        with ListenerProcess(
            *(host or self.engine.host, source.url, *options, "--state-dir", str(state)),
            within=("env",),  # a program of its own, which imports what it needs
        ) as process:
            ready_at = time.monotonic()
            process.await_log("feed")
            assert process.process is not None
            yield Running(process, process.process.pid, state, ready_at)

    def _enter(self, part: Part) -> Part:
        self._stack.enter_context(part)
        return part
