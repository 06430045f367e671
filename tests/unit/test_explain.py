"""What ``explain`` says of things that are one topology's, and of a guest on its network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from listener.cli.explain import _Views
from listener.cli.explanation import Explanation, Topology, View, listeners_view
from listener.core import ownership
from listener.core.evidence import Evidence
from listener.core.judge import Judge
from listener.core.resources import Kind, Resource
from listener.engine.objects import Found
from tests.world.database import Database
from tests.world.engine import Clock
from tests.world.parts import TOPOLOGY, P, base, network, service

from .status import STATUS

STAYS, GOES = "it stays on this network", "it would be disconnected from this network, so"
LAN = network("lan")


def said(thing: Found, *, is_there: bool) -> str:
    """What is said of it while the network's row is there, or when it is gone."""
    return Explanation([views(LAN, is_there=is_there).thing(thing)], []).to_text()


def views(*here: Resource, is_there: bool) -> _Views:
    """What a sweep makes of these while their row is there, or when it is gone."""
    database = Database(Clock(), rows={TOPOLOGY})
    judge = Judge([(database.ask, Evidence(30.0))])
    looking = _Views(here, ["the database"], judge, 0.0, "sweep")
    looking.look({P}, 1.0)
    if not is_there:
        database.rows.clear()
        looking.look({P}, 1.0)
    return looking


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


# A topology.


def found(resource: Resource) -> Found:
    """A container of the topology, as the engine shows it."""
    labels = {"decnet.topology.id": TOPOLOGY}
    signals = ownership.container_signals(resource.name, labels, {})
    return Found(Kind.CONTAINER, resource.id, resource.name, signals, resource)


def explained(
    *here: Resource, is_there: bool = False, doubtful: Resource | None = None
) -> Explanation:
    looking = views(*here, *([doubtful] if doubtful else ()), is_there=is_there)
    things = [looking.thing(found(r)) for r in (*here, *([doubtful] if doubtful else ()))]
    return Explanation(things, [looking.topology(P, None, "no listener answers")])


def test_what_is_equal_is_said_once_and_the_verdict_is_the_last_line() -> None:
    said = explained(base("one"), base("two"), service("three")).to_text().splitlines()
    heads = [f"container '{name}-name' ({name})" for name in ("one", "two", "three")]
    assert said[:3] == heads
    assert len(said) == len(set(said))
    assert said[-1] == (
        f"topology {P}: orphan: witnessed: its row was seen before and is gone;"
        " a sweep would remove it now; no listener answers"
    )


def test_a_thing_whose_fate_is_another_than_its_topologys_is_told_with_it() -> None:
    told = explained(base("one"), doubtful=service("stray", doubtful=True))
    said = told.to_text().splitlines()
    assert said[-1].startswith(f"topology {P}, 1 of 2 things: orphan: ")
    (fate,) = [line for line in said if line.startswith("  held: ")]
    assert fate.endswith(f"it stays until sweep --prefix {P} --confirm {token(fate)}")
    assert said.index(fate) > said.index("container 'stray-name' (stray)")


def token(line: str) -> str:
    """The token in a command."""
    return line.rpartition(" ")[2]


def test_the_object_has_both_views_and_every_signal() -> None:
    told = json.loads(explained(base("one"), is_there=True).to_json())
    (thing,), (topology,) = told["things"], told["topologies"]
    assert {s["what"]: s["effect"] for s in thing["signals"]}[
        "label decnet.topology.id"
    ] == "counts"
    assert thing["owners"] == [TOPOLOGY]
    assert thing["sweep"] == topology["sweep"]
    assert topology["sweep"]["state"] == "alive"
    assert (topology["listener"], topology["unheard"]) == (None, "no listener answers")


# Both views.


def told_by(state: str, reason: str = "why", **more: Any) -> Mapping[str, Any]:
    """The status of a listener that makes this of the topology."""
    topology = {"prefix": P, "state": state, "reason": reason, "ids": [], "resources": []}
    return {**STATUS, "topologies": [{**topology, "wait_s": None, **more}]}


DOWN = {**STATUS["docker"], "up": False}


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (told_by("alive"), "the listener keeps it"),
        (told_by("held"), "the listener holds it"),
        (told_by("waiting"), "the listener waits"),
        (told_by("waiting", wait_s=29.2), "the listener waits 29 s more"),
        (told_by("orphan"), "the listener is to remove it"),
        (
            {**told_by("orphan"), "dry_run": True},
            "the listener is in a dry run and removes nothing",
        ),
        (
            {**told_by("orphan"), "docker": DOWN},
            "the listener removes nothing while Docker is down",
        ),
        (told_by("reaping"), "the listener is removing it"),
        (told_by("a state of another version"), "to the listener it is a state of another version"),
    ],
)
def test_the_listeners_view(status: Mapping[str, Any], fate: str) -> None:
    view = listeners_view(status, P)
    assert view is not None
    assert view.fate == fate
    assert listeners_view(status, "ffffffff") is None


def test_both_views_are_said_and_the_listeners_reason_where_it_is_another() -> None:
    now = View("orphan", "absent for long", "a sweep would remove it now")
    later = View("waiting", "the grace runs", "the listener waits 29 s more", 29.2)
    topology = Topology(P, ["no row"], 1, 1, now, later, "")
    said = f"topology {P}: orphan: absent for long; a sweep would remove it now"
    assert topology.verdict() == f"{said}; the listener waits 29 s more: the grace runs"


def test_the_command_that_releases_what_is_held_ends_the_line() -> None:
    held = View("held", "nobody vouches", "it stays until sweep --confirm 1f2e")
    theirs = View("held", "nobody vouches", "the listener holds it")
    verdict = Topology(P, [], 1, 1, held, theirs, "").verdict()
    assert verdict.endswith(
        "nobody vouches; the listener holds it; it stays until sweep --confirm 1f2e"
    )


def test_of_nothing_it_is_said_that_nothing_is_here() -> None:
    said = Explanation(
        [], [Topology(P, ["x has no row"], 0, 0, None, None, "none answers")]
    ).to_text()
    assert said == f"x has no row\nnothing on this host belongs to {P}"
