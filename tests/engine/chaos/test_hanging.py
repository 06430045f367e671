"""Removals that hang: given up after a time, told, tried again, and nobody else waits for them.

The proxy holds requests as an engine does whose storage or runtime is stuck. Times are compared
with the listener's own limit, never with a wall.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from listener.engine.client import REQUEST_TIMEOUT
from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import plant, planted
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import Action, FaultProxy, Request, stall
from tests.support.rows import Rows

NO_SWEEP = ("--sweep-interval", "100000")
WORKERS = 3


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends what hangs; at the latest with the test."""
    event = threading.Event()
    yield event
    event.set()


def removals(proxy: FaultProxy, *ids: str) -> list[Request]:
    """The requests to remove one of these, in order."""
    return [r for r in proxy.requests if r.method == "DELETE" and any(i in r.path for i in ids)]


def hang(*ids: str, until: threading.Event, response: bool = False) -> Callable[..., Action | None]:
    """A hook that holds the removals of these."""

    def hook(request: Request) -> Action | None:
        held = request.method == "DELETE" and any(id_ in request.path for id_ in ids)
        return stall(until, response=response) if held else None

    return hook


def deployed(api: docker.APIClient, rows: Rows) -> Topology:
    """A topology with a row."""
    id_ = new_id()
    rows.insert(id_)
    return deploy(api, id_)


def test_a_removal_that_hangs_is_given_up_told_and_asked_for_again_until_it_works(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    release: threading.Event,
) -> None:
    orphan = deployed(api, rows)
    name, stuck = next(iter(orphan.services.items()))
    listener = run(*NO_SWEEP, host=proxy.host)
    listener.start()
    proxy.hook = hang(stuck, until=release)
    rows.delete(orphan.id)

    eventually(
        lambda: set(orphan.remaining(api)) <= {name, *orphan.volumes},
        "all else of the same topology is gone",
    )
    assert len(removals(proxy, stuck)) == 1, "and nothing of it was given up yet"
    eventually(lambda: len(removals(proxy, stuck)) >= 3, "it is asked for again, and again")
    for before, after in itertools.pairwise(removals(proxy, stuck)):
        assert after.at - before.at >= REQUEST_TIMEOUT, "only once it was given up"

    def told() -> list[Any]:
        said = [*listener.logged("pending"), *listener.logged("failed")]
        return [line for line in said if line["level"] != "DEBUG"]  # the first is no news yet

    eventually(lambda: bool(told()), "it is told")
    assert {line["name"] for line in told()} == {name}
    assert "does not answer in time" in told()[0]["error"]
    assert len(told()) == 1, "said once"
    assert exists(api, stuck)

    release.set()
    gone(api, orphan)


def test_what_was_removed_though_the_answer_hangs_is_not_asked_for_again(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    release: threading.Event,
) -> None:
    orphan = deployed(api, rows)
    name, stuck = next(iter(orphan.bases.items()))
    listener = run(*NO_SWEEP, host=proxy.host)
    listener.start()
    proxy.hook = hang(stuck, until=release, response=True)
    rows.delete(orphan.id)

    (told,) = listener.await_log("pending")
    assert told["name"] == name
    gone(api, orphan)
    another_goes(api, rows)
    assert listener.stop() == 0
    assert len(removals(proxy, stuck)) == 1
    assert not listener.logged("failed")


def test_others_go_though_as_many_hang_as_there_are_workers(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    release: threading.Event,
) -> None:
    stuck = planted(api, rows, WORKERS + 1)
    listener = run(*NO_SWEEP, "--workers", str(WORKERS), host=proxy.host)
    listener.start()
    proxy.hook = hang(*stuck.values(), until=release)
    rows.delete(*stuck)
    eventually(lambda: len(removals(proxy, *stuck.values())) == WORKERS, "every worker hangs")
    another_goes(api, rows)
    assert exists(api, *stuck.values()), "what hangs still does"

    release.set()
    eventually(lambda: not any(exists(api, id_) for id_ in stuck.values()), "all are gone")
    assert listener.stop() == 0


def another_goes(api: docker.APIClient, rows: Rows) -> None:
    """See that a topology goes that does not hang."""
    id_ = new_id()
    rows.insert(id_)
    container = plant(api, id_)
    rows.delete(id_)
    eventually(lambda: not exists(api, container), "another topology is gone")
