"""The command ``doctor``: whether everything is as a listener needs it, and no more than that.

It looks at what it finds with the means of the listener itself, and changes nothing. What an error
says elsewhere, with its remedy, is said here in the same words. What a thing has to be found for is
not looked at without it: without Docker there is nothing to say of its calls, and without a table
nothing of what tells of its rows.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from listener.cli.doctor import database, decnet, engine, host
from listener.cli.options import Command, read_settings, with_settings
from listener.cli.relay import see_that_nats_is_there
from listener.core.evidence import UNSEEN, Evidence
from listener.core.findings import Finding, Status, failed, ok, warning
from listener.core.judge import Judge
from listener.core.report import leftovers, told
from listener.databases.base import Topologies
from listener.errors import ConfigurationError, EngineError, NoAnswer, presentable
from listener.runtime.build import open_engine, open_tables
from listener.settings import Settings
from listener.telemetry import logs

UNREACHED = {
    *("docker.reachable", "database.reachable", "database.table"),
    *("relay.answers", "relay.announces"),
}
"""Where one of these fails there was nothing to look at."""
OPTIONS = "options."
"""How the ids begin of what is wrong with the options."""
UNUSED = ("grace", "delay", "dry_run", "workers", "unhealthy_after", "http")
"""The options of ``run`` whose value it does not look at: any that is one will do."""
_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAULT: "red"}

Section = tuple[str, Sequence[Finding]]
"""A subject and what was found of it."""


@click.command("doctor", cls=Command)
@with_settings(unused=UNUSED)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one JSON object.")
def command(config: Path | None, as_json: bool, **options: object) -> int:
    """Say what is wrong with the set-up, and what to do.

    It checks Docker, the databases, the feed and all rights, takes the options of run, and changes
    nothing. A DELETE is tried with a random id that the engine does not know; whether it would
    remove what exists is not. With --nats it checks what a relay needs instead: the database, and
    the users of the broker. Exit status: 0 nothing is at fault; 1 something is; 3 one side could
    not be reached, so that it could not look.

    \b
    Examples:
      topology-reaper doctor --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper doctor --json --config /etc/topology-reaper.toml
      topology-reaper doctor --database-url postgresql://localhost/decnet --nats nats://broker
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    diagnosis = doctor(settings)
    colour = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    click.echo(diagnosis.to_json() if as_json else diagnosis.to_text(), color=colour)
    return diagnosis.exit_status


@dataclass(frozen=True)
class Diagnosis:
    """What was found, by subject."""

    sections: Sequence[Section]

    @property
    def findings(self) -> Sequence[Finding]:
        """All of them."""
        return [finding for _, findings in self.sections for finding in findings]

    @property
    def exit_status(self) -> int:
        """Of the command: as everywhere, and 1 for a fault that was looked at."""
        faults = [finding.id for finding in self.findings if finding.status is Status.FAULT]
        if any(id_.startswith(OPTIONS) for id_ in faults):
            return 2
        if not UNREACHED.isdisjoint(faults):
            return 3
        return 1 if faults else 0

    def to_json(self) -> str:
        """One JSON object."""
        checks = [
            {"subject": subject, **dataclasses.asdict(finding)}
            for subject, findings in self.sections
            for finding in findings
        ]
        return json.dumps({"checks": checks})

    def to_text(self) -> str:
        """A line each for a person, in colour, and one more for what to do."""
        width = max((len(finding.id) for finding in self.findings), default=0)
        lines = []
        for subject, findings in self.sections:
            lines.append(click.style(subject, bold=True))
            for found in findings:
                status = click.style(f"{found.status:<7}", fg=_COLOURS[found.status])
                lines.append(f"  {status}  {found.id:<{width}}  {found.message}")
                if found.remedy:
                    lines.append(f"{'':11}{'':{width}}  -> {found.remedy}")
        count = Counter(finding.status for finding in self.findings)
        lines.append(", ".join(f"{status}: {count[status]}" for status in Status))
        return "\n".join(lines)


def doctor(settings: Settings) -> Diagnosis:
    """Look at everything, which takes up to ``settings.timeout`` for each side that is away."""
    with ExitStack() as stack:
        try:
            tables, wrong = open_tables(settings, traceless=True), None
        except ConfigurationError as error:
            tables, wrong = [], error
        for table in tables:
            stack.callback(table.close)
        if settings.nats:
            return Diagnosis([*_databases(settings, tables, wrong), _broker(settings)])
        sections: list[Section] = [
            ("this process", list(host.process({table.owner for table in tables}))),
            _engine(settings),
        ]
        sections.append(("the evidence", [_policy(settings)]))
        sections += _databases(settings, tables, wrong)
        sections.append(("the state directory", list(host.state(settings.state_path))))
        if Diagnosis(sections).exit_status < 2:  # else there is nothing to ask, or nobody
            sections.append(("what teardowns have left", list(_leftovers(settings, tables))))
    return Diagnosis(sections)


def _databases(
    settings: Settings, tables: Sequence[Topologies], wrong: ConfigurationError | None
) -> Iterator[Section]:
    if wrong is not None:
        yield "the databases", [_misgiven("databases", wrong)]
    else:
        yield "DECNET", list(decnet.examine(settings))
    for table in tables:
        yield table.name, list(database.examine(table, settings))


def _broker(settings: Settings) -> Section:
    try:
        see_that_nats_is_there()
        from listener.cli.doctor import relay

        return "the broker", list(relay.examine(settings))
    except ConfigurationError as error:
        return "the broker", [_misgiven("broker", error)]


def _engine(settings: Settings) -> Section:
    try:
        opened = open_engine(settings)
    except ConfigurationError as error:
        return "Docker", [_misgiven("docker", error)]
    return presentable(f"Docker at {opened.address}"), list(engine.examine(opened, settings))


def _leftovers(settings: Settings, tables: Sequence[Topologies]) -> Iterator[Finding]:
    """What is here of topologies whose row is torn_down, as a listener would see it."""
    asked = [(table.ask, Evidence(grace=0.0)) for table in tables]
    judge = Judge(asked, torn_down_after=settings.reap_torn_down)
    try:
        resources = open_engine(settings).listing().resources
        answers = judge.ask({owner for resource in resources for owner in resource.owners})
    except (EngineError, NoAnswer):
        return  # what is at fault was said
    judge.observe(answers, resources)
    found = leftovers(judge.weigh(resource, answers) for resource in resources)
    if not found:
        yield ok("evidence.torn_down", "nothing is here whose row is torn_down")
    for leftover in found:
        what, _, remedy = told(leftover).partition("; ")
        what = f"of topology {leftover['prefix']}, {what}"
        if remedy:
            yield warning("evidence.torn_down", what, remedy)
        else:
            yield ok("evidence.torn_down", f"{what}, for as long as --reap-torn-down says")


def _policy(settings: Settings) -> Finding:
    if settings.policy == "witnessed":
        return ok("evidence.policy", "only what was seen alive before is removed")
    return ok("evidence.policy", UNSEEN)


def _misgiven(what: str, error: ConfigurationError) -> Finding:
    return failed(f"{OPTIONS}{what}", error, "give another value")
