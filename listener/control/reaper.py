"""Removing one topology's resources: in the fast order, side by side, each judged once more.

Bases go first, because they hold the networks' endpoints; each network goes as soon as no base is
left, beside the service containers, which hold nothing up. (Podman wants those to go first.) Images
come in a call of their own, when nothing else is left. One loop serves all kinds, a resource that
is stuck delays no other, and Tenacity retries each request that may heal. Before every attempt the
caller's *permit* is asked: it knows whether the database's answer is still fresh, and asks again
where it is not.

What the engine no longer knows was removed by somebody else, which is as good; but only what it
removed at our request, and then no longer knew when it was looked up, is reported as removed. A
request that it accepted or left without an answer may end after our patience: the removal says so,
and the reconciler waits for that end. A container that was to leave a network, without an answer,
has left by the time that the network is looked at again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from loguru import logger
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from listener.core.outcome import Removal, Result
from listener.core.resources import Endpoint, Kind, Resource, Stage
from listener.errors import (
    Blocked,
    EngineError,
    Gone,
    InProgress,
    InUse,
    NoAnswer,
    Refused,
    TimedOut,
    Unanswered,
    presentable,
)

ATTEMPTS = 3
"""How often one removal is tried before its whole prefix backs off."""
RETRY_WAIT = wait_random_exponential(multiplier=0.1, max=2.0)
BASES_FIRST: Final = {
    Stage.BASE: (),
    Stage.NETWORK: (Stage.BASE,),
    Stage.SERVICE: (),
    Stage.IMAGE: (),
}
"""The order in which the stages begin, each with those that have to be over by then."""
DEPENDENTS_FIRST: Final = {
    Stage.SERVICE: (),
    Stage.BASE: (Stage.SERVICE,),
    Stage.NETWORK: (Stage.SERVICE, Stage.BASE),
    Stage.IMAGE: (),
}
"""The order for an engine that refuses to remove a base before its services."""
MOST_UNANSWERED = 1000
"""How many endpoints are remembered that were to leave, without an answer; the oldest go first."""


class EnginePort(Protocol):
    """What removing needs of the Docker Engine; each method raises :class:`EngineError`."""

    @property
    def dependents_first(self) -> bool:
        """Whether services have to go before their base."""

    def read(self, resource: Resource) -> Resource | None:
        """The resource as the engine knows it now; None if it is none of ours. Raises Gone."""

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        """By network id, for each: every container on it, stopped ones too, in one list request."""

    def endpoints(self, network: Resource) -> Sequence[Endpoint]:
        """The endpoints that the network itself lists: of running containers, and stale ones."""

    def disconnect(self, network: Resource, endpoint: Endpoint) -> bool:
        """Take a container off a network; returns whether it was on it. Raises Blocked."""

    def remove(self, resource: Resource) -> None:
        """Remove by id.

        Raises:
            Gone: it was gone already.
            InProgress: it is being removed, perhaps by an earlier request of ours.
            Refused: it stays.
            Blocked: it is an image that something uses, so it stays.
            Unanswered: it may still go.
        """


class Permit(Protocol):
    """Whether a resource may be removed now."""

    def __call__(self, resource: Resource, *, fresh: bool) -> bool:
        """Judge by an answer under a second old, or with ``fresh`` by a new one.

        Raises:
            NoAnswer: the database did not answer, so nothing may be removed.
        """


class Reap(Protocol):
    """Removes resources, asking the permit before each attempt."""

    def __call__(self, doomed: Collection[Resource], permit: Permit) -> Iterable[Removal]:
        """Yields what became of each, as soon as that is known."""


@dataclass(slots=True)
class _Done:
    """What was done about one resource so far, over all attempts.

    Attributes:
        attempts: how many there were.
        requested: as :class:`Removal` has it.
        disconnected: likewise.
        read: as it was read last, with what it mounts.
    """

    read: Resource
    attempts: int = 0
    requested: bool | None = None
    disconnected: list[Endpoint] = field(default_factory=list)


class Reaper:
    """Removes resources through a bounded pool of workers.

    Args:
        engine: the Docker Engine.
        pool: does the requests; may be shared.
        width: how many of one topology's requests are under way at once.
        clock: seconds, monotonic.
    """

    def __init__(
        self, engine: EnginePort, pool: Executor, width: int, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._width = width
        self._clock = clock
        # By the network's id and the container's: asked to leave, and without an answer.
        self._unanswered: dict[tuple[str, str], Endpoint] = {}

    def reap(self, doomed: Iterable[Resource], permit: Permit) -> Iterator[Removal]:
        """Remove all of it, as far as it can be, and tell of each as soon as its work has ended.

        Never raises for a single resource.
        """
        stages: dict[Stage, list[Resource]] = {stage: [] for stage in Stage}
        for one in doomed:
            stages[one.stage].append(one)
        networks = list(stages[Stage.NETWORK])
        order = DEPENDENTS_FIRST if self._engine.dependents_first else BASES_FIRST
        attached: Mapping[str, Sequence[Endpoint]] | None = None
        running: dict[Future[Removal], Resource] = {}

        def next_resource() -> Resource | None:
            under_way = {resource.stage for resource in running.values()}
            for stage, after in order.items():
                if stages[stage] and under_way.isdisjoint(after):
                    return stages[stage].pop(0)
            return None

        while True:
            while len(running) < self._width and (resource := next_resource()):
                if resource.kind is Kind.NETWORK and attached is None:
                    attached = self._attached(networks)
                endpoints = attached.get(resource.id) if attached is not None else None
                job = self._pool.submit(self._attempt, resource, permit, endpoints)
                running[job] = resource
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for job in finished:
                del running[job]
                yield job.result()

    def _attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        """What is on each of these networks, by one request; nothing known if that failed."""
        try:
            return self._engine.attached(networks)
        except EngineError:
            return {}  # each network looks for itself then, and retries

    def _attempt(
        self, resource: Resource, permit: Permit, attached: Sequence[Endpoint] | None
    ) -> Removal:
        retrying = Retrying(
            retry=retry_if_exception(_may_heal),
            stop=stop_after_attempt(ATTEMPTS),
            wait=RETRY_WAIT,
            reraise=True,
        )
        done, began = _Done(resource), self._clock()
        try:
            removal = retrying(self._remove, resource, permit, attached, done)
        except Gone:
            removal = Removal(resource, Result.REMOVED if done.requested else Result.GONE)
        except (InProgress, TimedOut) as error:
            removal = Removal(resource, Result.PENDING, presentable(error))
        except (EngineError, NoAnswer) as error:
            stays = resource.kind is Kind.IMAGE and isinstance(error, Blocked)
            result = Result.SPARED if stays else Result.FAILED
            removal = Removal(resource, result, presentable(error))
        except Exception as error:  # a defect of ours: the others go on, and what went counts
            logger.bind(event="defect").exception("a removal failed")
            removal = Removal(resource, Result.FAILED, presentable(error))
        if removal.result in (Result.REMOVED, Result.GONE):
            done.disconnected += self._left(resource, there=())
        return replace(
            removal,
            resource=replace(resource, volumes=done.read.volumes),
            requested=done.requested,
            disconnected=tuple(done.disconnected),
            attempts=done.attempts,
            seconds=self._clock() - began,
        )

    def _remove(
        self,
        resource: Resource,
        permit: Permit,
        attached: Sequence[Endpoint] | None,
        done: _Done,
    ) -> Removal:
        """One attempt: look first, for looking takes time; then the permit; then act at once.

        Before another attempt everything is looked up: it may have gone meanwhile, and what the
        engine does not find by its id it would remove by its name.
        """
        done.attempts += 1
        again = done.attempts > 1
        if again or not resource.verified:
            read = self._engine.read(resource)
            if read is None or not resource.is_confirmed_by(read):
                return Removal(resource, Result.MISTAKEN, found=read)
            done.read = read
        is_network = resource.kind is Kind.NETWORK
        endpoints: Iterable[Endpoint] = ()
        if is_network:
            endpoints = self._endpoints(resource, None if again else attached, done)
        if not permit(resource, fresh=again or is_network):
            return Removal(resource, Result.SPARED)
        for endpoint in endpoints:
            self._disconnect(resource, endpoint, done)
            if not permit(resource, fresh=False):
                return Removal(resource, Result.SPARED)
        try:
            self._engine.remove(resource)
            done.requested = True
        except Unanswered:
            done.requested = True
            raise
        except Refused:
            done.requested = False
            raise
        try:
            self._engine.read(resource)
        except Gone:
            return Removal(resource, Result.REMOVED)  # the engine itself says that it is gone
        raise InProgress("the engine still knows it after it was removed")

    def _disconnect(self, network: Resource, endpoint: Endpoint, done: _Done) -> None:
        key = network.id, endpoint.container
        try:
            was_on_it = self._engine.disconnect(network, endpoint)
        except Unanswered:
            while len(self._unanswered) >= MOST_UNANSWERED:
                del self._unanswered[next(iter(self._unanswered))]
            self._unanswered[key] = endpoint
            raise
        if self._unanswered.pop(key, None) is not None or was_on_it:
            done.disconnected.append(endpoint)

    def _left(self, network: Resource, there: Container[str]) -> list[Endpoint]:
        """What was to leave this network, without an answer, and is not there any more."""
        left = [
            (id_, container)
            for id_, container in tuple(self._unanswered)
            if id_ == network.id and container not in there
        ]
        return [self._unanswered.pop(key) for key in left]

    def _endpoints(
        self, network: Resource, attached: Sequence[Endpoint] | None, done: _Done
    ) -> Iterable[Endpoint]:
        """Everything that is on a network.

        Raises:
            InUse: something of it has to stay.
        """
        if attached is None:
            attached = self._engine.attached([network])[network.id]
        endpoints = {endpoint.container: endpoint for endpoint in attached}
        for endpoint in self._engine.endpoints(network):
            endpoints.setdefault(endpoint.container, endpoint)
        done.disconnected += self._left(network, there=endpoints)
        for endpoint in endpoints.values():
            if endpoint.ours:
                raise InUse(
                    f"container {endpoint.name!r}, which is DECNET's or protected, is on it;"
                    " the network goes once that is gone or is disconnected by hand"
                )
        return endpoints.values()


def _may_heal(error: BaseException) -> bool:
    """Whether another attempt makes sense now; after a time-out the engine still works at it."""
    return isinstance(error, EngineError) and not isinstance(error, Gone | TimedOut | Blocked)
