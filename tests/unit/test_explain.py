"""What ``explain`` says of a container that is none of ours, but is on a topology's network."""

from __future__ import annotations

import pytest

from listener.cli.explain import _of
from listener.core.evidence import Evidence
from listener.core.judge import Judge
from listener.core.resources import Kind
from listener.engine.objects import Found
from tests.world.database import Database
from tests.world.engine import Clock
from tests.world.parts import TOPOLOGY, P, network

STAYS, GOES = "it stays on this network", "it would be taken off this network, so"
LAN = network("lan")


def said(thing: Found, *, is_there: bool) -> str:
    """What is said of it while the network's row is there, or when it is gone."""
    database = Database(Clock(), rows={TOPOLOGY})
    judge = Judge([(database.ask, Evidence(30.0))])
    judge.observe(judge.ask({P}), [LAN])
    if not is_there:
        database.rows.clear()
    answers = judge.ask({P})
    judge.observe(answers, [LAN])
    return "\n".join(
        _of(thing, [LAN] if thing.is_on(LAN) else [], (), answers, judge, 0.0, "sweep")
    )


def guest(name: str = LAN.name, id_: str = LAN.id, *, stays: bool = False) -> Found:
    return Found(Kind.CONTAINER, "a1b2", "tcpdump", (), None, {name: id_}, stays=stays)


@pytest.mark.parametrize(
    ("thing", "is_there", "fate"),
    [
        (guest(), True, STAYS),
        (guest(), False, GOES),
        (guest(id_=""), False, GOES),  # it was never started, and knows the network by its name
        (guest(stays=True), False, STAYS),
    ],
)
def test_a_guest_is_never_removed_and_leaves_the_network_only_when_that_goes(
    thing: Found, is_there: bool, fate: str
) -> None:
    told = said(thing, is_there=is_there)
    assert "it is never removed" in told
    assert LAN.name in told
    assert fate in told


@pytest.mark.parametrize("thing", [guest("bridge", "another"), guest(id_="another of this name")])
def test_what_is_on_no_topologys_network_is_never_touched(thing: Found) -> None:
    assert said(thing, is_there=False).endswith("it is never touched")
