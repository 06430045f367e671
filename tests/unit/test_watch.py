"""A replay that holds more than an engine can be made to send on cue."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from listener.control.inventory import PrefixIndex
from listener.core.resources import Kind, Resource, Stage
from listener.engine.client import Engine
from listener.engine.mirror import Mirror
from listener.engine.objects import Listing
from listener.engine.watch import Watch
from tests.support.process import PATIENCE

P = "1a2b3c4d"


NOW = 1_700_000_000
"""The second of the listing."""


def event(action: str, id_: str, time: int = NOW) -> bytes:
    actor = {"ID": id_, "Attributes": {"name": f"decnet_t_{P}_{id_}"}}
    told = {"Type": "container", "Action": action, "Actor": actor, "time": time}
    return json.dumps(told).encode() + b"\n"


class Past:
    """An engine that lists nothing, and only after it has sent the whole of its replay."""

    silent = is_podman = False

    def __init__(self, *told: bytes) -> None:
        self.told = told
        self.sent = threading.Event()

    def connect(self) -> None:
        pass

    def now(self) -> float:
        return float(NOW)

    def events(self, *_: float) -> Past:
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield from self.told
        self.sent.set()

    def listing(self) -> Listing:
        assert self.sent.wait(PATIENCE)
        return Listing()

    def close(self) -> None:
        pass


def watched(*told: bytes) -> tuple[list[str], list[str]]:
    """The ids that are there after this replay, and the prefixes that something appeared under."""
    index, appeared = PrefixIndex(), list[str]()
    engine = cast("Engine", Past(*told))
    watch = Watch(engine, index, appeared=appeared.append, listed=lambda *_: None)
    watch.connect()
    watch.follow()
    return [resource.id for resource in index.resources(P)], appeared


@pytest.mark.parametrize("goes", ["destroy", "remove"])  # as Docker calls it, and Podman
def test_what_came_and_went_within_the_replay_was_never_there(goes: str) -> None:
    told = event("create", "gone"), event("create", "here"), event(goes, "gone")
    assert watched(*told) == (["here"], [P])


def test_what_was_gone_before_the_listing_was_never_there() -> None:
    # Its destruction comes later than all that is there so far.
    assert watched(event("create", "gone", NOW - 1), event("create", "here")) == (["here"], [P])


def test_what_a_clock_that_is_set_back_tells_after_the_replay_is_taken_in() -> None:
    told = event("create", "first"), event("create", "second", NOW - 40)
    assert watched(*told) == (["first", "second"], [P, P])


def test_what_is_doubtful_stays_so_whatever_it_is_called() -> None:
    index = PrefixIndex()
    owner = f"{P}-0000-4000-8000-000000000001"
    index.put(Resource(Kind.CONTAINER, "1", "before", (owner,), Stage.BASE, doubtful=True))
    actor = {"ID": "1", "Attributes": {"name": "after", "decnet.topology.id": owner}}
    renamed = {"Type": "container", "Action": "rename", "Actor": actor, "time": NOW}
    Mirror(index, lambda _: None).apply(json.dumps(renamed).encode())
    found = index.get("1")
    assert found is not None
    assert (found.name, found.doubtful) == ("after", True)
