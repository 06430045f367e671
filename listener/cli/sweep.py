"""The command ``sweep``: one full sweep, and its report."""

from __future__ import annotations

import os
from pathlib import Path

import click

from listener.cli.options import Command, check_prefix, read_settings, with_settings
from listener.cli.progress import sweep_progress
from listener.runtime.command import FOR_A_LISTENER, FOR_A_RELAY, sweep_command
from listener.runtime.sweep import sweep
from listener.telemetry import logs
from listener.telemetry.lines import standard_error


@click.command("sweep", cls=Command)
@with_settings(unused=[*FOR_A_LISTENER, *FOR_A_RELAY])
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--prefix", "prefixes", multiple=True, metavar="PREFIX", help="Look at this topology only."
)
@click.option(
    "--confirm", default=None, metavar="TOKEN", help="Remove what is held under this token."
)
def command(
    config: Path | None,
    as_json: bool,
    prefixes: tuple[str, ...],
    confirm: str | None,
    **options: object,
) -> int:
    """Remove what has no row, once, and report.

    A sweep looks at every container and network on this host. A dry run only says what it would
    remove; start with one. Exit status: 0 done, also where something waits for its time; 1 done,
    but something is held or could not be removed; 2 a wrong option; 3 Docker or a database could
    not be reached.

    \b
    Examples:
      topology-reaper sweep --dry-run --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper sweep --json --prefix 3c68d34a --database-url-file /run/secrets/database-url
      topology-reaper sweep --confirm 1f2e3d4c5b6a --config /etc/topology-reaper/reaper.toml
    """  # noqa: D301
    for prefix in prefixes:
        check_prefix(prefix)
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    # Before it: a context may be another one afterwards.
    again = sweep_command(settings, config=config, environment=os.environ)
    with sweep_progress(settings.log_format) as progress:
        report = sweep(settings, prefixes=prefixes or None, confirm=confirm, observer=progress)
    again = " ".join([again, *(f"--prefix {prefix}" for prefix in prefixes)])
    standard_error.flush()  # what was logged was before
    click.echo(report.to_json() if as_json else report.to_text(again, prefixes=prefixes))
    return 0 if report.complete else 1
