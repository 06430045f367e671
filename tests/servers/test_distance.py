"""A server far away: few round trips, and answers that are not old when they arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from listener.core.resources import prefix_of
from listener.databases import server
from listener.databases.base import BATCH
from listener.databases.server import ServerTopologies
from tests.servers.conftest import HEARING, READING, Open, Side, refusal
from tests.support.decnet import new_id
from tests.support.distance import Distance
from tests.support.process import eventually

MOST = 3
"""Round trips that a question takes."""
RIGHTS = {"that sees sources": HEARING, "that does not": READING}


@pytest.fixture
def distance(side: Side) -> Iterator[Distance]:
    """A relay before the server; it counts."""
    with Distance(("127.0.0.1", side.server.port)) as relay:
        yield relay


@pytest.mark.parametrize("rights", RIGHTS.values(), ids=list(RIGHTS))
def test_a_question_takes_three_round_trips_at_most(
    side: Side,
    opened: Open,
    distance: Distance,
    rights: dict[type, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "CHECKED", 0.0)
    ids = [new_id() for _ in range(3 * BATCH)]
    side.rows.insert(*ids)
    url = sa.make_url(side.reader(*rights[type(side.server)])).set(port=distance.port)
    topologies = opened(url.render_as_string(hide_password=False))
    topologies.ask([])
    for asked in ([], ids[:1], ids):
        before = distance.round_trips
        answer = topologies.ask(map(prefix_of, asked))
        assert answer.ids >= set(asked)
        assert distance.round_trips - before <= MOST


def test_who_asks_while_a_question_is_under_way_shares_the_next_one(
    side: Side, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    topologies = opened(side.url)
    assert isinstance(topologies, ServerTopologies)
    look = ServerTopologies._look
    looks: list[list[str]] = []
    on_its_way, arrives = threading.Event(), threading.Event()

    def far(self: ServerTopologies, batches: list[list[str]]) -> Any:
        looks.append([prefix for batch in batches for prefix in batch])
        answer = look(self, batches)
        on_its_way.set()
        assert arrives.wait(60)
        return answer

    monkeypatch.setattr(ServerTopologies, "_look", far)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(topologies.ask, ["aaaaaaaa"])
        assert on_its_way.wait(60)
        side.rows.insert(a := new_id("aaaaaaaa"), b := new_id("bbbbbbbb"))
        others = {p: pool.submit(topologies.ask, [p]) for p in ("aaaaaaaa", "bbbbbbbb", "cccccccc")}
        eventually(lambda: len(topologies._shared._next.prefixes) == len(others), "they ask")
        arrives.set()
        assert first.result().ids == set()
        found = {prefix: answer.result().ids for prefix, answer in others.items()}
    assert found == {"aaaaaaaa": {a}, "bbbbbbbb": {b}, "cccccccc": set()}
    assert looks == [["aaaaaaaa"], sorted(others)]
    assert {prefix: answer.result().prefixes for prefix, answer in others.items()} == {
        prefix: {prefix} for prefix in others
    }


def test_a_server_that_falls_silent_is_given_up(
    side: Side, opened: Open, distance: Distance
) -> None:
    url = sa.make_url(side.url).set(port=distance.port).render_as_string(hide_password=False)
    topologies = opened(url, patience=1)
    topologies.ask([])
    distance.freeze()
    assert ("silent for 1 s" if side.on_postgres else "timed out") in refusal(topologies)
