"""Removing one topology's resources: in the fast order, side by side, each judged once more.

Bases go first, because they hold the networks' endpoints; each network goes as soon as no base is
left, beside the service containers, which hold nothing up. One loop serves all kinds, a resource
that is stuck delays no other, and Tenacity retries each request that may heal. Before every attempt
the caller's *permit* is asked: it knows whether the database's answer is still fresh, and asks
again where it is not.

What the engine no longer knows was removed by somebody else, which is as good; but only what it
removed at our request, and then no longer knew when it was looked up, is reported as removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from listener.errors import EngineError, Gone, InProgress, InUse, NoAnswer
from listener.naming import Kind, Resource, Stage

ATTEMPTS = 3
"""How often one removal is tried before its whole prefix backs off."""
RETRY_WAIT = wait_random_exponential(multiplier=0.1, max=2.0)


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


class EnginePort(Protocol):
    """What removing needs of the Docker Engine; each raises :class:`EngineError`."""

    def read(self, resource: Resource) -> Resource | None:
        """The resource as the engine knows it now; None if it is none of ours. Raises Gone."""

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        """By network id: every container on it, stopped ones included, in one list request."""

    def endpoints(self, network: Resource) -> Sequence[Endpoint]:
        """The endpoints that the network itself lists: of running containers, and stale ones."""

    def disconnect(self, network: Resource, endpoint: Endpoint) -> None:
        """Take a container off a network."""

    def remove(self, resource: Resource) -> None:
        """Remove by id. Raises Gone, InProgress or InUse."""


class Permit(Protocol):
    """Whether a resource may be removed now."""

    def __call__(self, resource: Resource, *, fresh: bool) -> bool:
        """Judge by an answer under a second old, or with ``fresh`` by a new one.

        Raises:
            NoAnswer: the database did not answer, so nothing may be removed.
        """


class Result(StrEnum):
    """What became of a resource."""

    REMOVED = "removed"
    GONE = "gone"
    """Somebody else removed it."""
    SPARED = "spared"
    """It may not be removed any more, for example because its row came back."""
    MISTAKEN = "mistaken"
    """Its owners are not those that it was known by."""
    PENDING = "pending"
    """Its removal is under way, and has to be looked at again."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Removal:
    """One resource's end, or why it is still there.

    Attributes:
        resource: as it was known.
        result: what became of it.
        error: one sentence, when it is pending or failed.
        found: when it was mistaken, what it really is; None if it is none of ours.
    """

    resource: Resource
    result: Result
    error: str = ""
    found: Resource | None = None


class Reaper:
    """Removes resources through a bounded pool of workers.

    Args:
        engine: the Docker Engine.
        pool: does the requests; may be shared.
        width: how many of one topology's requests are under way at once.
    """

    def __init__(self, engine: EnginePort, pool: Executor, width: int) -> None:
        self._engine = engine
        self._pool = pool
        self._width = width

    def reap(self, doomed: Iterable[Resource], permit: Permit) -> list[Removal]:
        """Remove all of it, as far as it can be; never raises for a single resource."""
        stages: dict[Stage, list[Resource]] = {stage: [] for stage in Stage}
        for resource in doomed:
            stages[resource.stage].append(resource)
        networks = list(stages[Stage.NETWORK])
        attached: Mapping[str, Sequence[Endpoint]] | EngineError | None = None
        running: dict[Future[Removal], Resource] = {}
        removals: list[Removal] = []

        def start(stage: Stage, remove: Callable[[Resource, bool], Result]) -> bool:
            if stages[stage]:
                resource = stages[stage].pop(0)
                running[self._pool.submit(self._attempt, resource, permit, remove)] = resource
                return True
            return False

        def remove_network(network: Resource, again: bool) -> Result:
            known = attached
            if again or isinstance(known, EngineError) or known is None:
                known = self._engine.attached([network])
            return self._remove_network(network, known.get(network.id, ()))

        def start_next() -> bool:
            nonlocal attached
            if start(Stage.BASE, self._remove_container):
                return True
            if stages[Stage.NETWORK] and not any(r.stage is Stage.BASE for r in running.values()):
                if attached is None:
                    try:
                        attached = self._engine.attached(networks)
                    except EngineError as error:
                        attached = error  # each network looks for itself, and retries
                return start(Stage.NETWORK, remove_network)
            return start(Stage.SERVICE, self._remove_container)

        while True:
            while len(running) < self._width and start_next():
                pass
            if not running:
                return removals
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                del running[future]
                removals.append(future.result())

    def _attempt(
        self, resource: Resource, permit: Permit, remove: Callable[[Resource, bool], Result]
    ) -> Removal:
        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, EngineError) and type(e) is not Gone),
            stop=stop_after_attempt(ATTEMPTS),
            wait=RETRY_WAIT,
            reraise=True,
        )
        try:
            for attempt in retrying:
                again = attempt.retry_state.attempt_number > 1
                with attempt:
                    if not permit(resource, fresh=again or resource.kind is Kind.NETWORK):
                        return Removal(resource, Result.SPARED)
                    if not resource.settled:
                        read = self._engine.read(resource)
                        if read is None or read.owners != resource.owners:
                            return Removal(resource, Result.MISTAKEN, found=read)
                    return Removal(resource, remove(resource, again))
        except Gone:
            return Removal(resource, Result.GONE)
        except InProgress as error:
            return Removal(resource, Result.PENDING, str(error))
        except (EngineError, NoAnswer) as error:
            return Removal(resource, Result.FAILED, str(error))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _remove_container(self, container: Resource, again: bool) -> Result:  # noqa: ARG002
        return self._remove(container)

    def _remove_network(self, network: Resource, attached: Sequence[Endpoint]) -> Result:
        endpoints = {endpoint.container: endpoint for endpoint in attached}
        for endpoint in self._engine.endpoints(network):
            endpoints.setdefault(endpoint.container, endpoint)
        for endpoint in endpoints.values():
            if endpoint.ours:
                raise InUse(f"{network} is in use by container {endpoint.name!r}, which stays")
        for endpoint in endpoints.values():
            self._engine.disconnect(network, endpoint)
        return self._remove(network)

    def _remove(self, resource: Resource) -> Result:
        self._engine.remove(resource)
        try:
            self._engine.read(resource)
        except Gone:
            return Result.REMOVED  # by us, and the engine itself says that it is gone
        raise InProgress("the engine still knows it after it was removed")
