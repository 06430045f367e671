"""The command ``explain``: why something is alive, orphaned, held, or none of ours.

It looks and asks as a sweep does, with what is known from earlier runs, and changes nothing. What a
listener that runs has heard since it started, it alone knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from listener.cli.options import read_settings, with_settings
from listener.core.evidence import LOOKS_APART, State, Verdict
from listener.core.judge import Answers, Judge
from listener.core.ownership import PREFIX
from listener.core.resources import Resource
from listener.engine.objects import Found
from listener.errors import ConfigurationError
from listener.runtime.build import Database, open_databases, open_engine, open_judge, open_tables
from listener.runtime.command import sweep_command
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.state.directory import StateDirectory
from listener.runtime.sweep import reach
from listener.settings import Settings
from listener.telemetry import logs


@click.command("explain")
@with_settings(
    "database_url",
    "database_url_file",
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
@click.argument("what", metavar="NAME|ID|PREFIX")
def command(config: Path | None, what: str, **options: object) -> None:
    """Say why something stays or goes.

    Give a container's or a network's name or id, or the first 8 digits of a topology's id. It shows
    which labels and names count, what each database answers, and what a sweep would do; it changes
    nothing.

    \b
    Examples:
      topology-reaper explain decky-001-ssh --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper explain 3c68d34a --config /etc/topology-reaper/reaper.toml
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    release = sweep_command(settings, config=config, environment=os.environ)
    click.echo(explain(settings, what, release=release))


def explain(settings: Settings, what: str, *, release: str | None = None) -> str:
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
    engine = open_engine(settings, list_timeout=settings.timeout)
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
        resources = [*here, *(thing.resource for thing in found if thing.resource)]
        owners = {owner for resource in resources for owner in resource.owners}
        if is_prefix:
            owners.add(what)
        answers = reach(partial(judge.ask, owners), settings.timeout)
        judge.observe(answers, resources)
        release = release or sweep_command(settings)
        lines: list[str] = []
        for thing in found:
            on = [resource for resource in here if thing.is_on(resource)]
            lines += _of(thing, on, databases, answers, judge, now, release)
        if is_prefix:
            lines += [] if found else [f"nothing on this host belongs to {what}"]
            lines += _rows(what, databases, answers)
    return "\n".join(lines)


def _of(
    thing: Found,
    on: Sequence[Resource],
    databases: Sequence[Database],
    answers: Answers,
    judge: Judge,
    now: float,
    release: str,
) -> Iterator[str]:
    yield f"{thing.kind} {thing.name!r} ({thing.id[:12]})"
    yield from (f"  {signal}" for signal in thing.signals)
    resource = thing.resource
    if resource is None:
        yield f"  belongs to no topology: it is never {'removed' if on else 'touched'}"
        for network in on:
            yield f"  {_place(thing, network, judge.weigh(network, answers, now))}"
        return
    yield f"  belongs to {' and '.join(resource.owners)}"
    for owner in resource.owners:
        yield from (f"  {line}" for line in _rows(owner, databases, answers))
    yield f"  {_fate(judge.weigh(resource, answers, now), resource, judge, release)}"


def _place(thing: Found, network: Resource, verdict: Verdict) -> str:
    said = f"is on {network}, {verdict.state}: {verdict.evidence}"
    if thing.stays or verdict.state is State.ALIVE:
        return f"{said}; it stays on this network"
    if verdict.state is State.ORPHAN:
        return f"{said}; it would be taken off this network, so that the network can go"
    return f"{said}; it would be taken off this network if the network went"


def _rows(owner: str, databases: Sequence[Database], answers: Answers) -> Iterator[str]:
    for database, answer in zip(databases, answers.each, strict=True):
        rows = [
            f"{id_} (torn_down)" if id_ in answer.torn_down else id_
            for id_ in sorted(answer.ids)
            if id_.startswith(owner)
        ]
        said = f"has {', '.join(rows)}" if rows else f"has no row for {owner}"
        yield f"{database.topologies.name} {said}"
        if rows and answer.no_status:
            yield answer.no_status


def _fate(verdict: Verdict, resource: Resource, judge: Judge, release: str) -> str:
    said = f"{verdict.state}: {verdict.evidence}"
    match verdict.state:
        case State.ALIVE if verdict.torn_down:
            delete = " and ".join(f"decnet topology delete {id_}" for id_ in verdict.torn_down)
            return f"{said}; it stays until {delete}, or with --reap-torn-down"
        case State.ALIVE:
            return f"{said}; it stays"
        case State.ORPHAN:
            return f"{said}; a sweep removes it now"
        case State.WAITING if verdict.wait <= LOOKS_APART:
            return f"{said}; a sweep removes it if a second answer a moment later says the same"
        case State.WAITING:
            return f"{said}; it is removed in {verdict.wait:.0f} s if that lasts"
        case State.HELD:
            only = " ".join(f"--prefix {prefix}" for prefix in sorted(resource.prefixes))
            token = judge.token(resource.prefixes)
            return f"{said}; it stays until {release} {only} --confirm {token}"
