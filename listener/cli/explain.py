"""The command ``explain``: why something is alive, orphaned, held, or none of ours.

It looks and asks as a sweep does, with what is known from earlier runs, and changes nothing. What a
listener that runs has heard since it started, it alone knows: so it is asked as well.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from listener.cli.explanation import Explanation, Thing, Topology, View, listeners_view
from listener.cli.options import Command, read_settings, with_settings
from listener.core.evidence import LOOKS_APART, State, Verdict
from listener.core.judge import Judge
from listener.core.ownership import PREFIX
from listener.core.resources import Resource, prefix_of
from listener.engine.objects import Found
from listener.errors import ConfigurationError
from listener.runtime.build import open_databases, open_engine, open_judge, open_tables
from listener.runtime.command import sweep_command
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.state.directory import StateDirectory
from listener.runtime.sweep import reach
from listener.settings import Settings
from listener.telemetry import logs
from listener.telemetry.healthcheck import read_status
from listener.telemetry.status import ORDER


@click.command("explain", cls=Command)
@with_settings(
    "database_url",
    "database_url_file",
    "nats_credentials",
    "decnet_config",
    "docker_host",
    "docker_context",
    "docker_timeout",
    "grace",
    "policy",
    "delay",
    "reap_torn_down",
    "allow_replica",
    "state_dir",
    "timeout",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.argument("what", metavar="NAME|ID|PREFIX")
def command(config: Path | None, what: str, as_json: bool, **options: object) -> None:
    """Say why something stays or goes.

    Give a container's or a network's name or id, or the first 8 digits of a topology's id. It shows
    which labels and names count, what each database answers, what a sweep would do, and what the
    listener with the same state folder makes of it; it changes nothing.

    \b
    Examples:
      topology-reaper explain decky-001-ssh --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper explain 3c68d34a --config /etc/topology-reaper/reaper.toml
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    release = sweep_command(settings, config=config, environment=os.environ)
    told = explain(settings, what, release=release)
    click.echo(told.to_json() if as_json else told.to_text())


def explain(settings: Settings, what: str, *, release: str | None = None) -> Explanation:
    """Every signal, the owners, the answers, the evidence, and what would happen.

    Args:
        settings: where Docker and the databases are.
        what: a container or a network, by name or id, or a prefix.
        release: how an operator begins a sweep that releases what is held, where it is not simply
            one with these settings.

    Raises:
        ConfigurationError: an option cannot be used, or there is nothing of that name.
        EngineError: Docker could not be reached within ``settings.timeout``.
        NoAnswer: a database could not.
    """
    engine = open_engine(settings)
    with ExitStack() as stack:
        # Not locked: what is known is only read.
        state = StateDirectory(settings.state_path)
        databases = open_databases(settings, open_tables(settings), state)
        for database in databases:
            stack.callback(database.topologies.close)
        now = reach(engine.now, settings.timeout)
        listing = reach(engine.listing, settings.timeout)
        here = listing.resources
        is_prefix = PREFIX.fullmatch(what) is not None
        wanted = [r.id for r in here if what in r.prefixes] if is_prefix else [what]
        found = reach(partial(engine.find, wanted), settings.timeout)
        if not found and not is_prefix:
            raise ConfigurationError(
                f"explain: there is no container or network {what!r} on this host; give a name,"
                " an id, or the first 8 digits of a topology's id"
            )
        others = OtherListeners(lambda: listing.mark)
        stack.callback(others.close)
        judge = open_judge(settings, databases, peers=others.ask)
        ours = [thing.resource for thing in found if thing.resource]
        resources = list({resource.id: resource for resource in (*ours, *here)}.values())
        prefixes = {what} if is_prefix else {p for resource in ours for p in resource.prefixes}
        owners = {owner for resource in resources for owner in resource.owners} | prefixes
        names = [database.topologies.name for database in databases]
        views = _Views(resources, names, judge, now, release or sweep_command(settings))
        views.look(owners, settings.timeout)
        if wait := views.short_wait(prefixes):
            time.sleep(wait)
            views.look(owners, settings.timeout)
        told, unheard = _asked(settings.state_path)
        return Explanation(
            [views.thing(thing) for thing in sorted(found, key=lambda t: (t.kind, t.name, t.id))],
            [views.topology(prefix, told, unheard) for prefix in sorted(prefixes)],
        )


def _asked(folder: Path) -> tuple[Mapping[str, Any] | None, str]:
    """The status of the listener with this state folder; without one, why."""
    try:
        told = read_status(folder)
        if "relay" not in told:
            return told, ""
        why: object = "a relay does"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
    return None, f"no listener answers in {folder} ({why})"


class _Views:
    """What a sweep would make of things and topologies.

    Args:
        here: everything on this host that belongs to a topology.
        databases: their names.
        judge: asks them.
        now: the engine's time.
        release: how a sweep is begun that releases what is held.
    """

    def __init__(
        self,
        here: Sequence[Resource],
        databases: Sequence[str],
        judge: Judge,
        now: float,
        release: str,
    ) -> None:
        self._here = here
        self._databases = databases
        self._judge = judge
        self._now = now
        self._release = release

    def look(self, owners: Collection[str], timeout: float) -> None:
        """Ask which owners have rows, and learn from it.

        Raises:
            NoAnswer: a database gave no answer within ``timeout`` seconds.
        """
        self._answers = reach(partial(self._judge.ask, owners), timeout)
        self._judge.observe(self._answers, self._here)

    def short_wait(self, prefixes: Set[str]) -> float:
        """Seconds until a sweep would look a second time at these; 0.0 where it would not."""
        looked_at = [r for r in self._here if not prefixes.isdisjoint(r.prefixes)]
        waits = [v.wait for v in map(self._weigh, looked_at) if v.state is State.WAITING]
        return max((wait for wait in waits if wait <= LOOKS_APART), default=0.0)

    def thing(self, thing: Found) -> Thing:
        """What it makes of a container or a network, and why."""
        resource, verdict = thing.resource, None
        networks = [network for network in self._here if thing.is_on(network)]
        if resource is not None:
            verdict, networks = self._weigh(resource), []
        return Thing(
            thing.kind.value,
            thing.id,
            thing.name,
            thing.signals,
            resource.owners if resource is not None else (),
            self._view(verdict, resource.prefixes) if resource and verdict else None,
            [_place(thing, network, self._weigh(network)) for network in networks],
        )

    def topology(self, prefix: str, told: Mapping[str, Any] | None, unheard: str) -> Topology:
        """What it makes of a topology, and what a listener does.

        Args:
            prefix: the topology's.
            told: the listener's status; None: none answers.
            unheard: why.
        """
        resources = [resource for resource in self._here if prefix in resource.prefixes]
        verdicts = [self._weigh(resource) for resource in resources]
        first = min(verdicts, key=lambda v: (ORDER.index(v.state), -v.wait), default=None)
        listener = listeners_view(told, prefix) if told is not None else None
        sweep, alike = None, 0
        if first is not None:
            same = [r for r, v in zip(resources, verdicts, strict=True) if v.state is first.state]
            alike = len(same)
            torn_down = {id_ for verdict in verdicts for id_ in verdict.torn_down}
            first = replace(first, torn_down=tuple(sorted(torn_down)) if first.torn_down else ())
            sweep = self._view(first, frozenset(p for r in same for p in r.prefixes))
        if told is not None and listener is None:
            unheard = "the listener knows of nothing of it"
        owners = {
            owner for resource in resources for owner in resource.owners if owner.startswith(prefix)
        }
        return Topology(
            prefix,
            [*dict.fromkeys(self._rows({prefix, *owners}))],
            len(resources),
            alike,
            sweep,
            listener,
            unheard,
        )

    def _weigh(self, resource: Resource) -> Verdict:
        return self._judge.weigh(resource, self._answers, self._now)

    def _rows(self, owners: Iterable[str]) -> Iterator[str]:
        """What each database answers about these; that it has no row of a prefix says it of ids."""
        for name, answer in zip(self._databases, self._answers.each, strict=True):
            for owner in sorted(owners):
                rows = [
                    f"{id_} (torn_down)" if id_ in answer.torn_down else id_
                    for id_ in sorted(answer.ids)
                    if id_.startswith(owner)
                ]
                if rows or owner == prefix_of(owner) or answer.live(prefix_of(owner)):
                    said = f"has {', '.join(rows)}" if rows else f"has no row for {owner}"
                    yield f"{name} {said}"
                if rows and answer.no_status:
                    yield answer.no_status

    def _view(self, verdict: Verdict, prefixes: frozenset[str]) -> View:
        """What is to happen by a verdict.

        Args:
            verdict: on things with these prefixes.
            prefixes: theirs.
        """
        seconds = None
        match verdict.state:
            case State.ALIVE if verdict.torn_down:
                delete = " and ".join(f"decnet topology delete {id_}" for id_ in verdict.torn_down)
                fate = f"it stays until {delete}, or with --reap-torn-down"
            case State.ALIVE:
                fate = "it stays"
            case State.ORPHAN:
                fate = "a sweep would remove it now"
            case State.WAITING:
                seconds = round(verdict.wait, 1)
                fate = f"a sweep would remove it in {math.ceil(seconds)} s if that lasts"
                if verdict.elsewhere:
                    fate = "it stays until that listener answers, or is gone for a minute"
            case State.HELD:
                only = " ".join(f"--prefix {prefix}" for prefix in sorted(prefixes))
                fate = (
                    f"it stays until {self._release} {only} --confirm {self._judge.token(prefixes)}"
                )
        return View(verdict.state.value, verdict.evidence, fate, seconds)


def _place(thing: Found, network: Resource, verdict: Verdict) -> str:
    said = f"is on {network}, {verdict.state}: {verdict.evidence}"
    if thing.stays or verdict.state is State.ALIVE:
        return f"{said}; it stays on this network"
    if verdict.state is State.ORPHAN:
        return f"{said}; it would be disconnected from this network, so that the network can go"
    return f"{said}; it would be disconnected from this network if the network went"
