"""A small world without Docker and SQL: a clock, rows, an engine, and an executor in one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from listener.errors import Gone, NoAnswer
from listener.evidence import Answer
from listener.naming import Kind, Resource, Stage
from listener.reaper import Endpoint

P, Q = "aaaaaaaa", "bbbbbbbb"


def topology(prefix: str = P, tail: int = 1) -> str:
    """A full topology id."""
    return f"{prefix}-0000-4000-8000-{tail:012x}"


TOPOLOGY = topology()


def base(id_: str = "base", *owners: str, settled: bool = True, **more: Any) -> Resource:
    owners = tuple(sorted(owners or (TOPOLOGY,)))
    return Resource(Kind.CONTAINER, id_, f"{id_}-name", owners, Stage.BASE, settled=settled, **more)


def service(id_: str = "service", *owners: str, **more: Any) -> Resource:
    owners = tuple(sorted(owners or (TOPOLOGY,)))
    return Resource(Kind.CONTAINER, id_, f"{id_}-name", owners, Stage.SERVICE, settled=True, **more)


def network(id_: str = "network", prefix: str = P, **more: Any) -> Resource:
    return Resource(Kind.NETWORK, id_, f"decnet_t_{prefix}_{id_}", (prefix,), Stage.NETWORK, **more)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Database:
    """Answers from ``rows``; every question is written down with its time."""

    clock: Clock = field(default_factory=Clock)
    rows: set[str] = field(default_factory=set)
    identity: str = "one"
    failing: bool = False
    asked: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def ask(self, prefixes: Iterable[str]) -> Answer:
        self.before()
        prefixes = frozenset(prefixes)
        self.asked.append((self.clock.now, prefixes))
        if self.failing:
            raise NoAnswer("the database is down")
        ids = frozenset(row for row in self.rows if row[:8] in prefixes)
        return Answer(prefixes, ids, self.clock.now, self.identity)


Call = tuple[str, str]


@dataclass
class SimulatedEngine:
    """Removes from ``present``; ``faults`` are raised in turn, ``on`` is called before a call."""

    present: dict[str, Resource] = field(default_factory=dict)
    on_network: dict[str, list[Endpoint]] = field(default_factory=dict)
    listed: dict[str, list[Endpoint]] = field(default_factory=dict)
    faults: dict[Call, list[Exception]] = field(default_factory=dict)
    on: dict[Call, Callable[[], object]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, *resources: Resource) -> Sequence[Resource]:
        self.present |= {resource.id: resource for resource in resources}
        return resources

    def verbs(self, *verbs: str) -> list[Call]:
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
        if resource.id not in self.present:
            raise Gone("no such object (404)")
        found = self.present[resource.id]
        return found if found.owners else None

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        self._called("attached", " ".join(sorted(network.id for network in networks)))
        return {n.id: list(self.on_network.get(n.id, ())) for n in networks}

    def endpoints(self, network: Resource) -> Sequence[Endpoint]:
        self._called("endpoints", network.id)
        return list(self.listed.get(network.id, ()))

    def disconnect(self, network: Resource, endpoint: Endpoint) -> None:
        self._called("disconnect", f"{network.id} {endpoint.container}")

    def remove(self, resource: Resource) -> None:
        self._called("remove", resource.id)
        if self.present.pop(resource.id, None) is None:
            raise Gone("no such object (404)")


class Inline(Executor):
    """Does the work in ``submit``, so that a run has one order only."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
