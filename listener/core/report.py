"""What a sweep did, in the words of the interface."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from listener.core.evidence import LOOKS_APART, State, Verdict
from listener.core.outcome import Removal, Result, Screening
from listener.core.resources import Kind, Resource, prefix_of


class Waiting(TypedDict):
    """A topology that is left until its time has passed.

    Attributes:
        prefix: the first eight characters of its id.
        reason: what has to pass.
        seconds: how much longer it waits, at least.
    """

    prefix: str
    reason: str
    seconds: float


class WouldRemove(TypedDict):
    """Something that a dry run left.

    Attributes:
        kind: ``container``, ``network`` or ``image``.
        id: the engine's.
        name: the engine's.
        prefix: of its topology; several are separated by a space.
        evidence: on what a sweep would have removed it.
    """

    kind: str
    id: str
    name: str
    prefix: str
    evidence: str


class Held(TypedDict):
    """A topology that stays for now.

    Attributes:
        prefix: the first eight characters of its id.
        reason: why it stays.
        token: releases all that is held; empty where only time is needed.
    """

    prefix: str
    reason: str
    token: str


class TornDown(TypedDict):
    """A topology whose row is torn_down, and of which something is still here.

    Attributes:
        prefix: the first eight characters of its id.
        id: all of it.
        resources: how many of its containers and networks are here.
        stays: whether it does until somebody acts; false with ``--reap-torn-down``.
    """

    prefix: str
    id: str
    resources: int
    stays: bool


@dataclass(kw_only=True)
class Report:
    """The result of one full sweep; every list is sorted.

    Attributes:
        live_prefixes: prefixes on this host that have a row.
        orphan_prefixes: prefixes on this host with something to remove.
        containers_removed: names of the containers that this sweep removed.
        networks_removed: names of the networks that this sweep removed.
        volumes_removed: names of the anonymous volumes that containers had inherited, and that this
            sweep removed after them.
        images_removed: names of the images that compose had built, and that this sweep removed.
        disconnected: who was taken off a network, as ``CONTAINER from 'NETWORK'``.
        errors: what could not be removed and why, one sentence each.
        held: what stays until an operator confirms it: ``prefix``, ``reason`` and ``token``, which
            is empty where another listener has to answer first.
        waiting: what the grace, ``--delay`` or ``--reap-torn-down`` still covers. It is no fault.
        torn_down: the topologies whose row is torn_down, and of which something is still here:
            ``prefix``, ``id`` and ``resources``, their number. It is no fault.
        would_remove: in a dry run, what a real one would have removed.
        dry_run: whether nothing was to be removed.
        duration_ms: how long it took, in milliseconds.
    """

    live_prefixes: list[str] = field(default_factory=list)
    orphan_prefixes: list[str] = field(default_factory=list)
    containers_removed: list[str] = field(default_factory=list)
    networks_removed: list[str] = field(default_factory=list)
    volumes_removed: list[str] = field(default_factory=list)
    images_removed: list[str] = field(default_factory=list)
    disconnected: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    torn_down: list[TornDown] = field(default_factory=list)
    would_remove: list[WouldRemove] = field(default_factory=list)
    dry_run: bool = False
    duration_ms: float = 0.0

    @classmethod
    def of(
        cls, screening: Screening, *, dry_run: bool, gone: Collection[str] = frozenset()
    ) -> Report:
        """What a sweep found.

        Args:
            screening: the last one.
            dry_run: whether nothing was to be removed.
            gone: the ids of the resources that are gone since.
        """
        held = [
            Held(prefix=prefix, reason=reason, token=screening.token)
            for prefix, reason in screening.held.items()
        ]
        waiting: list[Waiting] = []
        for prefix, verdict in screening.waiting.items():
            if prefix in screening.held:
                continue
            if verdict.elsewhere:
                held.append(Held(prefix=prefix, reason=verdict.evidence, token=""))
            else:
                seconds = round(verdict.wait, 1)
                waiting.append({"prefix": prefix, "reason": verdict.evidence, "seconds": seconds})
        report = cls(
            live_prefixes=sorted(screening.live),
            orphan_prefixes=sorted(screening.orphans),
            held=sorted(held, key=lambda entry: entry["prefix"]),
            waiting=sorted(waiting, key=lambda entry: entry["prefix"]),
            torn_down=leftovers(
                {
                    r.id: screening.verdicts[r.id]
                    for resources in screening.resources.values()
                    for r in resources
                    if r.id not in gone
                }.values()
            ),
            dry_run=dry_run,
        )
        if dry_run:
            doomed = {r.id: r for resources in screening.orphans.values() for r in resources}
            report.would(doomed.values(), screening.verdicts)
        return report

    def would(self, doomed: Iterable[Resource], verdicts: Mapping[str, Verdict]) -> None:
        """Take in what a real sweep would have removed.

        Args:
            doomed: each once.
            verdicts: on each, by its id.
        """
        more: list[WouldRemove] = [
            {
                "kind": r.kind.value,
                "id": r.id,
                "name": r.name,
                "prefix": " ".join(sorted(r.prefixes)),
                "evidence": verdicts[r.id].evidence,
            }
            for r in doomed
        ]
        self.would_remove = sorted(
            [*self.would_remove, *more], key=lambda e: (e["prefix"], e["kind"], e["name"])
        )

    def add(self, removals: Iterable[Removal]) -> None:
        """Take in what was removed or disconnected, by us; :meth:`sort` comes at the end."""
        for removal in removals:
            network = removal.resource.name
            self.disconnected += [f"{e.name} from {network!r}" for e in removal.disconnected]
            self.volumes_removed += removal.volumes
            if removal.result is Result.REMOVED:
                names = {
                    Kind.CONTAINER: self.containers_removed,
                    Kind.NETWORK: self.networks_removed,
                    Kind.IMAGE: self.images_removed,
                }[removal.resource.kind]
                names.append(removal.resource.name or removal.resource.id[:12])

    def sort(self) -> None:
        """Sort what was added."""
        for names in (
            self.containers_removed,
            self.networks_removed,
            self.volumes_removed,
            self.images_removed,
            self.disconnected,
            self.errors,
        ):
            names.sort()

    @property
    def complete(self) -> bool:
        """Nothing is held, and nothing failed; what waits is as it should be."""
        return not self.errors and not self.held

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(dataclasses.asdict(self))

    def to_text(
        self, sweep_command: str = "topology-reaper sweep", *, prefixes: Collection[str] = ()
    ) -> str:
        """A few lines for a person.

        Args:
            sweep_command: how the sweep is begun that releases what is held.
            prefixes: those that were looked at; none: all of this host were.
        """
        lines = ["dry run: nothing is removed"] if self.dry_run else []
        if not prefixes:
            lines.append(
                f"{len(self.live_prefixes)} live, {len(self.orphan_prefixes)} orphaned,"
                f" {len(self.waiting)} waiting and {len(self.held)} held topologies on this host"
            )
        told_of = {*self.orphan_prefixes}
        told_of.update(e["prefix"] for e in (*self.held, *self.waiting, *self.torn_down))
        told_of.update(p for p in prefixes for name in self.images_removed if p in name)
        told_of.update(p for entry in self.would_remove for p in entry["prefix"].split())
        for prefix in sorted({*prefixes} - told_of):
            is_live = prefix in self.live_prefixes
            row = f"topology {prefix} has a row"
            lines.append(row if is_live else f"nothing of topology {prefix} to remove")
        lines += [f"would remove {would(entry)}" for entry in self.would_remove]
        lines += [f"removed container {name!r}" for name in self.containers_removed]
        lines += [f"removed network {name!r}" for name in self.networks_removed]
        lines += [f"removed volume {name}" for name in self.volumes_removed]
        lines += [f"removed image {name!r}" for name in self.images_removed]
        lines += [f"disconnected {what}" for what in self.disconnected]
        lines += [f"waiting {entry['prefix']}: {waits(entry)}" for entry in self.waiting]
        lines += [f"held {entry['prefix']}: {entry['reason']}" for entry in self.held]
        tokens = {entry["token"] for entry in self.held} - {""}
        them = "it" if len(self.held) == 1 else "them"
        lines += [f"  to remove {them}: {sweep_command} --confirm {token}" for token in tokens]
        lines += [f"torn down {entry['prefix']}: {told(entry)}" for entry in self.torn_down]
        lines += [f"error: {error}" for error in self.errors]
        lines.append(f"done in {self.duration_ms:.0f} ms")
        return "\n".join(lines)


def leftovers(verdicts: Iterable[Verdict]) -> list[TornDown]:
    """The topologies whose row is torn_down, with how many of these resources are left of each."""
    of_each = [(id_, verdict.state) for verdict in verdicts for id_ in verdict.torn_down]
    left = Counter(id_ for id_, _ in of_each)
    stay = {id_ for id_, state in of_each if state is State.ALIVE}
    return [
        {"prefix": prefix_of(id_), "id": id_, "resources": count, "stays": id_ in stay}
        for id_, count in sorted(left.items())
    ]


def told(leftover: TornDown) -> str:
    """One of them, as a sentence; with its remedy where nobody has chosen that."""
    count, id_ = leftover["resources"], leftover["id"]
    what = "1 resource is" if count == 1 else f"{count} resources are"
    remedy = f"; decnet topology delete {id_}, or --reap-torn-down" if leftover["stays"] else ""
    return f"its row is torn_down and {what} still here{remedy}"


def waits(entry: Waiting) -> str:
    """Why a topology waits, and where that is known for how long."""
    long = entry["seconds"] > LOOKS_APART
    return f"{entry['reason']}, {entry['seconds']:.0f} s more" if long else entry["reason"]


def would(entry: WouldRemove) -> str:
    """What a dry run left, whose it is, and on what evidence it would go."""
    what = f"{entry['kind']} {entry['name'] or entry['id'][:12]!r}"
    return f"{what} of topology {entry['prefix']}: {entry['evidence']}"
