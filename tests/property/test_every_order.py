"""All orders of a few steps in a small world; ``tests.property.walk`` goes on from there."""

from __future__ import annotations

import pytest

from tests.world.listener import without_threads_and_clocks
from tests.world.walk import WORLDS, SmallWorld, walk


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_alive_is_removed_in_any_order(name: str) -> None:
    with without_threads_and_clocks():
        assert walk(WORLDS[name], depth=4).depth == 4


@pytest.mark.parametrize(
    "steps",
    [
        # Its network is found unproven; its container comes while nobody listens.
        "commit, network, container, event, reconcile, restart, connect, grace, reconcile",
        "commit, network, event, reconcile, restart, connect, grace, reconcile",
        "commit, network, list, grace, reconcile",
        "commit, network, event, grace, container, grace",
    ],
)
def test_what_came_under_watch_from_another_database_stays(steps: str) -> None:
    with without_threads_and_clocks():
        world = SmallWorld(WORLDS["another database"])
        for name in steps.split(", "):
            world.step(name)
        assert len(list(world.daemon.things())) == (4 if "container" in steps else 3)
