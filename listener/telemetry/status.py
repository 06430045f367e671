"""What the listener knows of this host's topologies, and what it did lately.

It observes: the verdicts on every resource as the last question left them, the last reaps, the
last sweep. :meth:`StatusStore.topologies` lays the verdicts over the index, which is always newer,
so that what is gone is gone from it at once.

:func:`state_of` puts the whole into one word, with the reason. Every screen shows that word and
makes none of its own: ``/readyz``, the page, ``status`` and ``doctor``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import TypedDict

from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer, Reconciled, Sweep
from listener.core.evidence import OUTAGE, REPLACED, State, Verdict
from listener.core.judge import Hold
from listener.core.outcome import Result, Screening
from listener.core.report import TornDown, leftovers
from listener.core.resources import PREFIX_LENGTH, Kind, Resource, Subnet
from listener.core.status import Holds, LastSweep, Reap, Removing, Status, SweepCount, Topology

REAPS = 50
"""How many of the last reaps are told of."""
ORDER = (State.ORPHAN, State.HELD, State.WAITING, State.ALIVE)
"""Which state a topology is in whose resources are in several: the first of these."""


class Lately(TypedDict):
    """What a listener did lately; the names are those of the status."""

    reaps: list[Reap]
    sweeps: SweepCount


class Overall(StrEnum):
    """What a listener as a whole is."""

    READY = "ready"
    HOLDING = "holding"
    """As ready as it can be, but something waits for an operator."""
    STARTING = "starting"
    DEGRADED = "degraded"
    STOPPING = "stopping"


READY = (Overall.READY, Overall.HOLDING)
"""In which of them it does its work: what ``/readyz`` asks for."""


def state_of(status: Status, *, swept: bool, stopping: bool) -> tuple[Overall, str]:
    """What a listener as a whole is, and why, in a few words for a person; empty while it is ready.

    Args:
        status: of it, with its sides, its problems and what is held.
        swept: the first sweep is done.
        stopping: it was told to end.
    """
    down = [side for side in (status["docker"], *status["databases"]) if not side["up"]]
    failed = [side for side in down if side["reason"]]  # else it was not tried yet
    if stopping:
        return Overall.STOPPING, "no removal is begun any more"
    if failed:
        lengths = [
            f"{s['name']} is down for {duration(status['time'] - s['since'])}" for s in failed
        ]
        return Overall.DEGRADED, f"{' and '.join(lengths)}, nothing is removed"
    if status["problems"]:
        return Overall.DEGRADED, ", ".join(status["problems"])
    if down or not swept:
        return Overall.STARTING, "the first sweep is not done"
    if held := len(status["held"]["prefixes"]):
        what = "1 topology is" if held == 1 else f"{held} topologies are"
        return Overall.HOLDING, f"{what} held until an operator confirms"
    return Overall.READY, ""


def duration(seconds: float) -> str:
    """A time that has passed, roughly, for a person: 90 s, 3 h."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


class StatusStore(Observer):
    """Keeps what is worth showing. Safe to use from several threads.

    Args:
        sweep_command: how an operator begins a sweep that releases what is held.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        sweep_command: str = "topology-reaper sweep",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep_command = sweep_command
        self._clock = clock
        self._lock = threading.Lock()
        self._verdicts: dict[str, Verdict] = {}
        # By the id of a resource that waits, when that was said, and until when.
        self._waits: dict[str, tuple[float, float]] = {}
        self._held: Collection[str] = ()
        self._own: Mapping[str, Hold] | None = None
        self._token = ""
        self._reaping: list[Collection[Resource]] = []
        self._reaps: deque[Reap] = deque(maxlen=REAPS)
        self._sweeps = 0
        self._last_sweep: LastSweep | None = None

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Take in where everything stands."""
        with self._lock:
            self._verdicts, self._waits = {}, {}
            self._learn(screening.verdicts)
            self._held, self._token = sorted(screening.held), screening.token
            if sweep is not None or self._own is not None:  # before, there was no listing
                own = {
                    prefix: Hold(reason, never_seen=reason != REPLACED)
                    for prefix, reason in screening.binding.items()
                }
                self._own = own if own != self._own else self._own
            if sweep is not None:
                self._sweeps += 1
                self._last_sweep = {
                    "time": time.time(),
                    "cause": sweep.cause,
                    "duration_ms": _milliseconds(sweep.seconds),
                }

    def reconciled(self, done: Reconciled) -> None:
        """Take in what became of a topology."""
        prefix, outcome = done.prefix, done.outcome
        removed = Counter(r.resource.kind for r in outcome.removals if r.result is Result.REMOVED)
        with self._lock:
            self._learn(outcome.verdicts)
            for removal in outcome.removals:
                # What could not be removed is what it was.
                if removal.result not in (Result.PENDING, Result.FAILED):
                    self._verdicts.pop(removal.resource.id, None)
            if outcome.worked or outcome.ended:
                evidence = {outcome.verdicts[r.resource.id].evidence for r in outcome.removals}
                if not evidence:  # somebody else had the last of it
                    evidence = {r["evidence"] for r in self._reaps if r["prefix"] == prefix}
                self._reaps.appendleft(
                    {
                        "time": time.time(),
                        "prefix": prefix,
                        "duration_ms": _milliseconds(done.seconds),
                        "hint_to_gone_ms": None
                        if outcome.unfinished
                        else _milliseconds(done.since_noticed),
                        "containers": removed[Kind.CONTAINER],
                        "networks": removed[Kind.NETWORK],
                        "images": removed[Kind.IMAGE],
                        "evidence": "; ".join(sorted(evidence)),
                        "errors": outcome.errors,
                    }
                )

    def _learn(self, verdicts: Mapping[str, Verdict]) -> None:
        now = self._clock()
        self._verdicts.update(verdicts)
        for id_, verdict in verdicts.items():
            if verdict.state is State.WAITING:
                self._waits[id_] = now, now + verdict.wait

    def reaping(self, doomed: Collection[Resource], prefix: str, evidence: str) -> None:  # noqa: ARG002
        """These are being removed from now on."""
        with self._lock:
            self._reaping.append(doomed)
            # The look before may be of when the row was there, and the next one takes a while.
            self._verdicts |= {r.id: Verdict(State.ORPHAN, evidence) for r in doomed}

    def reaped(self, doomed: Collection[Resource]) -> None:
        """They are not any more."""
        with self._lock:
            self._reaping.remove(doomed)

    def topologies(self, index: PrefixIndex, subnets: Collection[Subnet]) -> list[Topology]:
        """Where each topology on this host stands, as JSON can hold it."""
        addresses: dict[str, list[str]] = {}
        for subnet in subnets:
            addresses.setdefault(subnet.network, []).append(subnet.address)
        with self._lock:
            verdicts, waits = self._verdicts.copy(), self._waits.copy()
            reaping = [resource for doomed in self._reaping for resource in doomed]
        now = self._clock()
        going: dict[str, set[str]] = {}
        for resource in reaping:
            for prefix in resource.prefixes:
                going.setdefault(prefix, set()).add(resource.id)
        told: list[Topology] = []
        for prefix in sorted(index.prefixes()):
            resources = index.resources(prefix)
            known = [verdicts[r.id] for r in resources if r.id in verdicts]
            verdict = min(known, key=lambda v: ORDER.index(v.state), default=None)
            state, reason = ("unknown", "nobody was asked yet")
            if verdict is not None:
                state, reason = verdict.state.value, verdict.evidence
            wait: float | None = None
            removing: Removing | None = None
            if state == State.WAITING:
                said = [waits[r.id] for r in resources if r.id in waits]
                # While no answer comes, its time is not counted.
                ends = [until for at, until in said if now - at <= OUTAGE]
                wait = max(0.0, round(max(ends) - now, 1)) if ends else None
            if doomed := going.get(prefix):
                state, wait = "reaping", None
                left = sum(r.id in doomed for r in resources)
                removing = {"begun": len(doomed), "left": left}
            owners = {owner for r in resources for owner in r.owners if owner.startswith(prefix)}
            told.append(
                {
                    "prefix": prefix,
                    "state": state,
                    "reason": reason,
                    "wait_s": wait,
                    "removing": removing,
                    "ids": sorted(o for o in owners if len(o) > PREFIX_LENGTH),
                    "resources": [
                        {
                            "kind": r.kind.value,
                            "id": r.id,
                            "name": r.name,
                            "subnets": addresses.get(r.id, []),
                        }
                        for r in sorted(resources, key=lambda r: (r.stage, r.name))
                    ],
                }
            )
        return told

    def held(self, index: PrefixIndex) -> Holds:
        """What is held on this host, less what is gone by now, as JSON can hold it."""
        there = index.prefixes()
        with self._lock:
            prefixes = [prefix for prefix in self._held if prefix in there]
            token = self._token if prefixes else ""
            command = f"{self._sweep_command} --confirm {token}" if token else ""
            return {"prefixes": prefixes, "token": token, "command": command}

    def torn_down(self, index: PrefixIndex) -> list[TornDown]:
        """What is left of topologies whose row is torn_down, as JSON can hold it."""
        with self._lock:
            verdicts = self._verdicts.copy()
        return leftovers(v for id_, v in verdicts.items() if index.get(id_) is not None)

    def own_holds(self) -> Mapping[str, Hold] | None:
        """What is held by our own judgement, by prefix; None before the first sweep."""
        with self._lock:
            return self._own

    def status(self) -> Lately:
        """The rest, as JSON can hold it."""
        with self._lock:
            return {
                "reaps": list(self._reaps),
                "sweeps": {"count": self._sweeps, "last": self._last_sweep},
            }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
