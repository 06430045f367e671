"""A replay that holds more than an engine can be made to send on cue."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import cast

from listener.engine.client import Engine
from listener.engine.watch import Watch
from listener.index import PrefixIndex
from listener.naming import Resource
from tests.support.process import PATIENCE

P = "1a2b3c4d"


def event(action: str, id_: str) -> bytes:
    actor = {"ID": id_, "Attributes": {"name": f"decnet_t_{P}_{id_}"}}
    return json.dumps({"Type": "container", "Action": action, "Actor": actor}).encode() + b"\n"


class Past:
    """An engine that lists nothing, and only after it has sent the whole of its replay."""

    silent = False

    def __init__(self, *told: bytes) -> None:
        self.told = told
        self.sent = threading.Event()

    def connect(self) -> None:
        pass

    def now(self) -> float:
        return 1_700_000_000.0

    def events(self, *_: float) -> Past:
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield from self.told
        self.sent.set()

    def resources(self) -> list[Resource]:
        assert self.sent.wait(PATIENCE)
        return []

    def close(self) -> None:
        pass


def test_what_came_and_went_before_the_replay_was_never_there() -> None:
    index, appeared = PrefixIndex(), list[str]()
    engine = Past(event("create", "gone"), event("create", "here"), event("destroy", "gone"))
    watch = Watch(cast("Engine", engine), index, appeared=appeared.append, listed=lambda *_: None)
    watch.connect()
    watch.follow()
    assert appeared == [P]
    assert [resource.id for resource in index.resources(P)] == ["here"]
