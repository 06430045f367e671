"""What ``explain`` has found, as one object for programs and as lines for a person.

There are two views of a topology: what a sweep would do with it now, by what it sees and by what
is known from earlier runs, and what the listener that runs makes of it, which has heard more, and
has watched for longer. Both are told, in one line, and the listener's reason where it is another.

What is the same of several things is said once. A thing whose fate is its topology's has none of
its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from listener.core.evidence import State
from listener.core.ownership import Signal


@dataclass(frozen=True, slots=True)
class View:
    """What a sweep or a listener makes of a thing or a topology.

    Attributes:
        state: ``alive``, ``orphan``, ``waiting`` or ``held``; a listener's may also be ``reaping``
            or ``unknown``.
        reason: why.
        fate: what follows from that, as a clause.
        seconds: how much longer it waits; None where it does not, or where nobody says.
    """

    state: str
    reason: str
    fate: str
    seconds: float | None = None

    def is_like(self, other: View | None) -> bool:
        """Whether they differ in nothing but a time."""
        return other is not None and (self.state, self.reason) == (other.state, other.reason)


@dataclass(frozen=True, slots=True)
class Thing:
    """A container or a network.

    Attributes:
        kind: container or network.
        id: the engine's.
        name: its own.
        signals: what could tie it to a topology, and whether it does.
        owners: full ids and prefixes that count; none: it belongs to no topology.
        sweep: what a sweep makes of it; None where it belongs to none.
        networks: of a container that belongs to none, the topologies' networks that it is on, a
            sentence each.
    """

    kind: str
    id: str
    name: str
    signals: Sequence[Signal]
    owners: Sequence[str]
    sweep: View | None
    networks: Sequence[str]


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology, or all that share its prefix.

    Attributes:
        prefix: theirs.
        rows: what each database answers, a sentence each.
        resources: how many things on this host are theirs.
        alike: of so many a sweep makes the same.
        sweep: what; of several the one that the status shows too. None where nothing is here.
        listener: what the listener makes of it; None where none answers, or it knows nothing of it.
        unheard: why there is no view of a listener, as a clause; empty where there is one.
    """

    prefix: str
    rows: Sequence[str]
    resources: int
    alike: int
    sweep: View | None
    listener: View | None
    unheard: str

    def verdict(self) -> str:
        """Both views, in a line."""
        if (sweep := self.sweep) is None:
            said = [f"nothing on this host belongs to {self.prefix}"]
            return "; ".join([*said, *([self.listener.fate] if self.listener else [])])
        share = "" if self.alike == self.resources else f", {self.alike} of {self.resources} things"
        listener = self.unheard
        if self.listener is not None:
            listener = self.listener.fate
            if self.listener.reason != sweep.reason:
                listener += f": {self.listener.reason}"
        # The command that releases what is held ends the line, so that it can be copied.
        views = [listener, sweep.fate] if sweep.state == State.HELD else [sweep.fate, listener]
        return "; ".join([f"topology {self.prefix}{share}: {sweep.state}: {sweep.reason}", *views])


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that was found.

    Attributes:
        things: what was asked about, or what is there of the topology that was.
        topologies: theirs.
    """

    things: Sequence[Thing]
    topologies: Sequence[Topology]

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(dataclasses.asdict(self))

    def to_text(self) -> str:
        """Lines for a person; the last one is the verdict."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for thing in self.things:
            head = f"{thing.kind} {thing.name!r} ({thing.id[:12]})"
            alike.setdefault(tuple(self._about(thing)), []).append(head)
        lines = [line for about, heads in alike.items() for line in (*heads, *about)]
        for topology in self.topologies:
            lines += [*topology.rows, topology.verdict()]
        return "\n".join(lines)

    def _about(self, thing: Thing) -> Sequence[str]:
        # The name stands in the head already.
        signals = [replace(s, value=None) if s.what == "name" else s for s in thing.signals]
        lines = [f"  {signal}" for signal in signals]
        if thing.sweep is None:
            touched = "removed" if thing.networks else "touched"
            lines.append(f"  belongs to no topology: it is never {touched}")
            return [*lines, *(f"  {network}" for network in thing.networks)]
        lines.append(f"  belongs to {' and '.join(thing.owners)}")
        if not all(thing.sweep.is_like(topology.sweep) for topology in self.topologies):
            lines.append(f"  {thing.sweep.state}: {thing.sweep.reason}; {thing.sweep.fate}")
        return lines


def listeners_view(told: Mapping[str, Any], prefix: str) -> View | None:
    """What a listener makes of a topology; None if it knows of nothing of it.

    Args:
        told: its status; it may be another version's.
        prefix: the topology's.
    """
    here = (topology for topology in told["topologies"] if topology["prefix"] == prefix)
    if (topology := next(here, None)) is None:
        return None
    seconds = topology.get("wait_s")
    down = [side["name"] for side in (told["docker"], *told["databases"]) if not side["up"]]
    match topology["state"]:
        case "orphan" if told["dry_run"]:
            fate = "the listener is in a dry run and removes nothing"
        case "orphan" if down:
            fate = f"the listener removes nothing while {' and '.join(down)} is down"
        case "waiting" if seconds is not None:
            fate = f"the listener waits {seconds:.0f} s more"
        case state:
            fate = _FATES.get(state, f"to the listener it is {state}")
    return View(topology["state"], topology["reason"], fate, seconds)


_FATES = {
    "alive": "the listener keeps it",
    "orphan": "the listener is to remove it",
    "reaping": "the listener is removing it",
    "waiting": "the listener waits",
    "held": "the listener holds it",
    "unknown": "the listener has not judged it yet",
}
