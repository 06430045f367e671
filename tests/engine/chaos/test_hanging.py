"""Removals that hang: given up after a time, told, tried again, and nobody else waits for them.

The proxy holds requests as an engine does whose storage or runtime is stuck.
"""

from __future__ import annotations

import threading
from typing import Any

import docker

from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import plant, planted, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import Action, FaultProxy, Request, stall
from tests.support.rows import Rows

NO_SWEEP = ("--sweep-interval", "100000")
WORKERS = 3
AT_ONCE = 2 * WORKERS
"""How many topologies are worked on."""


def removals(proxy: FaultProxy, *ids: str) -> list[Request]:
    """The requests to remove one of these, in order."""
    return [r for r in proxy.requests if r.method == "DELETE" and any(i in r.path for i in ids)]


def test_a_removal_that_hangs_is_given_up_told_and_asked_for_again_until_it_works(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    rows.insert(doomed := new_id())
    orphan = deploy(api, doomed)
    name, stuck = next(iter(orphan.services.items()))
    silent_name, silent = next(iter(orphan.bases.items()))
    release = threading.Event()

    def hang(request: Request) -> Action | None:
        if request.method == "DELETE" and stuck in request.path:
            return stall(release)
        if request.method == "DELETE" and silent in request.path:
            return stall(release, response=True)
        return None

    listener = run(*NO_SWEEP, host=proxy.host)
    listener.start()
    proxy.hook = hang
    rows.delete(doomed)

    eventually(
        lambda: set(orphan.remaining(api)) <= {name, *orphan.volumes},
        "all else of the same topology is gone",
    )
    eventually(lambda: len(removals(proxy, stuck)) >= 2, "it is asked for again")

    def told() -> list[Any]:
        said = [*listener.logged("pending"), *listener.logged("failed")]
        return [line for line in said if line["name"] == name and line["level"] != "DEBUG"]

    eventually(lambda: bool(told()), "it is told")
    assert "does not answer in time" in told()[0]["error"]
    assert exists(api, stuck)
    release.set()
    gone(api, orphan)
    assert len(told()) == 1, "said once"
    assert len(removals(proxy, silent)) == 1, f"{silent_name} went, though nobody said so"
    assert listener.stop() == 0


def test_others_and_the_end_do_not_wait_though_as_many_hang_as_there_are_workers(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    stuck = planted(api, rows, AT_ONCE + 1)
    rows.insert(another := new_id())
    container = plant(api, another)
    never = threading.Event()

    def hang(request: Request) -> Action | None:
        ours = any(id_ in request.path for id_ in stuck.values())
        return stall(never) if request.method == "DELETE" and ours else None

    listener = run(*NO_SWEEP, "--workers", str(WORKERS), host=proxy.host)
    listener.start()
    proxy.hook = hang
    rows.delete(*stuck)
    eventually(lambda: len(removals(proxy, *stuck.values())) >= AT_ONCE, "every worker hangs")
    rows.delete(another)
    removed(api, container)
    assert listener.stop() == 0
    assert exists(api, *stuck.values()), "what hung still did"
