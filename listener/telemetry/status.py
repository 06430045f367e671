"""What the listener knows of this host's topologies, and what it did lately.

It observes: the verdicts on every resource as the last question left them, the last reaps, the
last sweep. :meth:`StatusStore.topologies` lays the verdicts over the index, which is always newer,
so that what is gone is gone from it at once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping
from typing import TypedDict

from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer, Reconciled, Sweep
from listener.core.evidence import REPLACED, State, Verdict
from listener.core.judge import Hold
from listener.core.outcome import Result, Screening
from listener.core.report import TornDown, leftovers
from listener.core.resources import PREFIX_LENGTH, Kind, Resource, Subnet
from listener.core.status import Holds, LastSweep, Reap, SweepCount, Topology

REAPS = 50
"""How many of the last reaps are told of."""
ORDER = (State.ORPHAN, State.HELD, State.WAITING, State.ALIVE)
"""Which state a topology is in whose resources are in several: the first of these."""


class Lately(TypedDict):
    """What a listener did lately; the names are those of the status."""

    reaps: list[Reap]
    sweeps: SweepCount


class StatusStore(Observer):
    """Keeps what is worth showing. Safe to use from several threads.

    Args:
        sweep_command: how an operator begins a sweep that releases what is held.
    """

    def __init__(self, sweep_command: str = "topology-reaper sweep") -> None:
        self._sweep_command = sweep_command
        self._lock = threading.Lock()
        self._verdicts: dict[str, Verdict] = {}
        self._held: Collection[str] = ()
        self._own: Mapping[str, Hold] | None = None
        self._token = ""
        self._reaping: Counter[str] = Counter()
        self._reaps: deque[Reap] = deque(maxlen=REAPS)
        self._sweeps = 0
        self._last_sweep: LastSweep | None = None

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:
        """Take in where everything stands."""
        with self._lock:
            self._verdicts = dict(screening.verdicts)
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
            self._verdicts.update(outcome.verdicts)
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

    def reaping(self, doomed: Collection[Resource]) -> None:
        """These are being removed from now on."""
        with self._lock:
            self._reaping += _prefixes(doomed)

    def reaped(self, doomed: Collection[Resource]) -> None:
        """They are not any more."""
        with self._lock:
            self._reaping -= _prefixes(doomed)

    def topologies(self, index: PrefixIndex, subnets: Collection[Subnet]) -> list[Topology]:
        """Where each topology on this host stands, as JSON can hold it."""
        addresses: dict[str, list[str]] = {}
        for subnet in subnets:
            addresses.setdefault(subnet.network, []).append(subnet.address)
        with self._lock:
            verdicts, reaping = self._verdicts.copy(), frozenset(self._reaping)
        told: list[Topology] = []
        for prefix in sorted(index.prefixes()):
            resources = index.resources(prefix)
            known = [verdicts[r.id] for r in resources if r.id in verdicts]
            verdict = min(known, key=lambda v: ORDER.index(v.state), default=None)
            state, reason = ("unknown", "nobody was asked yet")
            if verdict is not None:
                state, reason = verdict.state.value, verdict.evidence
            if prefix in reaping:
                state = "reaping"
            owners = {owner for r in resources for owner in r.owners if owner.startswith(prefix)}
            told.append(
                {
                    "prefix": prefix,
                    "state": state,
                    "reason": reason,
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


def _prefixes(resources: Collection[Resource]) -> Counter[str]:
    return Counter({prefix for resource in resources for prefix in resource.prefixes})


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
