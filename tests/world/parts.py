"""Resources as tests name them, and an executor in one thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from listener.core.resources import Kind, Resource, Stage

P, Q = "aaaaaaaa", "bbbbbbbb"


def topology(prefix: str = P, tail: int = 1) -> str:
    """A full topology id."""
    return f"{prefix}-0000-4000-8000-{tail:012x}"


TOPOLOGY = topology()


def base(id_: str = "base", *owners: str, verified: bool = True, **more: Any) -> Resource:
    owners = tuple(sorted(owners or (TOPOLOGY,)))
    return Resource(
        Kind.CONTAINER, id_, f"{id_}-name", owners, Stage.BASE, verified=verified, **more
    )


def service(id_: str = "service", *owners: str, **more: Any) -> Resource:
    owners = tuple(sorted(owners or (TOPOLOGY,)))
    return Resource(
        Kind.CONTAINER, id_, f"{id_}-name", owners, Stage.SERVICE, verified=True, **more
    )


def network(id_: str = "network", prefix: str = P, **more: Any) -> Resource:
    return Resource(Kind.NETWORK, id_, f"decnet_t_{prefix}_{id_}", (prefix,), Stage.NETWORK, **more)


class Inline(Executor):
    """Does the work in ``submit``, so that a run has one order only."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
