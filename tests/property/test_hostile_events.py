"""Whatever the event stream brings, the index holds what is DECNET's, and nothing else is raised.

Each drawn event is taken in as it is and then maimed in every place: each field missing, twice, or
with something in it that does not belong there, the line cut, joined, spoiled, in another encoding.
Beside the index runs a model with an oracle of its own. An event in the engine's own form has to be
taken in; any other is either refused as no event, and then nothing has changed, or taken in as if
the fields that make no sense were absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from listener.control.inventory import PrefixIndex
from listener.engine.mirror import Mirror
from listener.errors import EngineError

from .hostile import (
    HOSTILE,
    PROFILE,
    Pairs,
    hostile,
    labels,
    maimed,
    names,
    owners,
    text,
    understood,
    written,
)

IDS = [f"{number:064x}" for number in range(4)]
TYPES = ["container", "container", "network", "image", "volume", "daemon"]
ACTIONS = ["create", "rename", "destroy", "remove", "exec_create: sh", "die", ""]
OF_THE_ENGINE = {"create", "rename", "destroy", "remove"}

Event = dict[str, Any]


class Model:
    """What the index has to hold after each line: by id, a name and the owners."""

    def __init__(self) -> None:
        self.index = PrefixIndex()
        self.appeared: list[str] = []
        self.known: dict[str, tuple[str, frozenset[str]]] = {}
        self._mirror = Mirror(self.index, self.appeared.append)

    def take(self, line: bytes, event: Any) -> None:
        """Let both take in a line, and compare."""
        expected, appeared = self._after(event if isinstance(event, dict) else {})
        self.appeared.clear()
        try:
            self._mirror.apply(line)
        except EngineError:
            assert not of_the_engines_form(event), f"refused: {line[:500]!r}"
            expected, appeared = self.known, frozenset()
        else:
            assert event is not ... or not line.strip(), f"taken for an event: {line[:500]!r}"
        assert set(self.appeared) == appeared, line[:500]
        held = {
            id_: (found.name, frozenset(found.owners))
            for id_ in {*self.known, *expected}
            if (found := self.index.get(id_)) is not None
        }
        assert held == expected, line[:500]
        assert len(self.index) == len(expected), line[:500]
        assert self.index.prefixes() == {o[:8] for _, os in expected.values() for o in os}
        self.known = expected

    def _after(self, event: Event) -> tuple[dict[str, tuple[str, frozenset[str]]], frozenset[str]]:
        """What is known after an event, and which prefixes something appeared under."""
        actor = event.get("Actor")
        actor = actor if isinstance(actor, dict) else {}
        id_, attributes = actor.get("ID"), actor.get("Attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        known = dict(self.known)
        if not isinstance(id_, str):
            return known, frozenset()
        kind = event.get("Type")
        if kind not in ("container", "network"):
            return known, frozenset()
        if event.get("Action") in ("destroy", "remove"):
            known.pop(id_, None)
            return known, frozenset()
        bridge = (attributes.get("type"), event.get("scope")) == ("bridge", "local")
        name = str(attributes.get("name", ""))
        # A network's event has no labels, and says what kind it is in an attribute.
        found = (
            owners("network" if bridge else "", name, {}, {})
            if kind == "network"
            else owners("container", attributes.get("name"), attributes, {})
        )
        if not found:
            known.pop(id_, None)
        elif id_ not in known or known[id_][0] != name:
            known[id_] = name, found
            return known, frozenset(owner[:8] for owner in found)
        return known, frozenset()


def of_the_engines_form(event: Any) -> bool:
    """Whether an engine could have said it: whatever the texts are, everything is where it is."""
    match event:
        case {
            "Type": "container" | "network",
            "Action": str(action),
            "Actor": {"ID": str(id_), "Attributes": dict(attributes)},
            "scope": str(),
            "time": int(),
        }:
            return (
                action in OF_THE_ENGINE
                and id_ in IDS
                and all(isinstance(value, str) for value in attributes.values())
            )
    return False


@st.composite
def events(draw: st.DrawFn) -> Pairs:
    """An event in the engine's form; labels may forge its attributes, which come first or last."""
    kind, action = draw(st.sampled_from(TYPES)), draw(st.sampled_from(ACTIONS))
    own: Pairs = [("name", text(draw(names)))]
    if kind == "network":
        own.append(("type", text(draw(st.sampled_from(["bridge", "bridge", "overlay"])))))
    else:
        own += [("image", b'"busybox"'), *draw(labels).items()]
    attributes = draw(st.permutations(own))
    return [
        ("status", text(action)),
        ("Type", text(kind)),
        ("Action", text(action)),
        ("Actor", [("ID", text(draw(st.sampled_from(IDS)))), ("Attributes", attributes)]),
        ("scope", text(draw(st.sampled_from(["local", "local", "local", "swarm"])))),
        ("time", b"%d" % draw(st.integers(0, 2**33))),
        ("timeNano", b"1700000000123456789"),
    ]


def lines(event: Pairs, wrong: Sequence[bytes], at: int) -> Iterator[bytes]:
    """An event, and everything that can be made of it."""
    line = written(event)
    at %= len(line)
    yield line
    for other in maimed(event, wrong):
        yield written(other)
    yield from (line[:at], line[at:], line[:at] + b"\xff" + line[at:], line[:at] + line[at + 1 :])
    yield from (
        line + line,
        line + b"\r",
        b" \t" + line,
        b"\xef\xbb\xbf" + line,
        b"[" + line + b"]",
    )
    yield from (line.decode().encode(other) for other in ("utf-16", "utf-16-le", "utf-32"))
    yield from wrong
    yield line


@settings(PROFILE, max_examples=25)
@given(
    stream=st.lists(events(), min_size=3, max_size=6),
    wrong=st.lists(hostile, min_size=3, max_size=3),
    at=st.integers(0, 1000),
)
def test_the_index_holds_what_is_decnets_whatever_the_stream_brings(
    stream: list[Pairs], wrong: list[str], at: int
) -> None:
    running = Model()
    for event in stream:
        for line in lines(event, [HOSTILE[name] for name in wrong], at):
            told = understood(line)
            running.take(line, told)
            Model().take(line, told)  # to which what is known by the same name is news
