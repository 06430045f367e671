"""How long a list may take."""

from __future__ import annotations

from itertools import pairwise

import pytest
import requests

from listener.engine.client import LONGEST_LIST, REQUEST_TIMEOUT
from listener.errors import TimedOut
from tests.world.client import SimulatedEngine


def test_the_limit_of_a_list_follows_what_the_last_one_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, now, takes = SimulatedEngine(), [0.0], [0.0]
    monkeypatch.setattr("listener.engine.client.time.monotonic", lambda: now[0])
    lists = engine.api.containers

    def containers(**how: object) -> object:
        now[0] += min(takes[0], engine.list_timeout)
        if takes[0] > engine.list_timeout:
            raise requests.ReadTimeout
        return lists(**how)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.api, "containers", containers)
    takes[0] = 12.0
    with pytest.raises(TimedOut):
        engine.listing()
    for _ in range(3):
        engine.listing()
        assert engine.list_timeout == 36.0
    takes[0] = 1e6
    limits = [engine.list_timeout]
    for _ in range(4):
        with pytest.raises(TimedOut):
            engine.listing()
        limits.append(engine.list_timeout)
    most = REQUEST_TIMEOUT * LONGEST_LIST
    assert all(after == min(2 * before, most) for before, after in pairwise(limits))
    assert limits[-1] == most
    takes[0] = 0.07
    engine.listing()
    assert engine.list_timeout == REQUEST_TIMEOUT
