"""The command ``status``: what the listener with the same state folder tells, once or for ever."""

from __future__ import annotations

import json
import os
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from listener.cli.options import Command, read_settings, with_settings
from listener.errors import ConfigurationError, NoListener
from listener.telemetry.healthcheck import completed, read_status

UNFOLDED = 100_000
"""Columns of what is no terminal: there a topology is a line."""
WATCH_EVERY = 1.0
"""Seconds between two looks with ``--watch``."""


@click.command("status", cls=Command)
@with_settings("state_dir")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.option("--watch", is_flag=True, help="Go on, once a second, until you press Ctrl-C.")
def command(config: Path | None, as_json: bool, watch: bool, **options: object) -> int:
    """Show what a running listener knows.

    It asks the listener with the same state folder, on this host, and shows what it did lately too;
    or the relay that has that folder. Exit status: 0 it is ready; 1 it is not, or holds something;
    3 none answers.

    \b
    Examples:
      topology-reaper status --watch
      topology-reaper status --json --state-dir /var/lib/topology-reaper
    """  # noqa: D301
    folder = read_settings(config, options).state_path
    told = _told(folder)
    if as_json:
        click.echo(json.dumps(told))
        while watch:
            time.sleep(WATCH_EVERY)
            click.echo(json.dumps(_told(folder)))
    else:
        # Only where it is needed: Rich takes as long to import as all the rest of the command.
        from rich.console import Console
        from rich.live import Live

        from listener.cli import terminal

        console = Console()
        if not console.is_terminal:
            console.width = UNFOLDED
        if watch:
            if not console.is_terminal:
                raise ConfigurationError(
                    "--watch: standard output is no terminal; add --json for a line each second"
                )
            show = partial(terminal.status, fold=True)
            with Live(show(told), console=console, screen=True) as live:
                while True:
                    time.sleep(WATCH_EVERY)
                    try:
                        live.update(show(_told(folder)))
                    except NoListener as error:
                        live.update(str(error))
        with console.capture() as screen:
            console.print(terminal.status(told), crop=False)
        # Rich fills each line of a table up to the width of the longest.
        click.echo(re.sub(" +$", "", screen.get(), flags=re.MULTILINE), nl=False)
    return 0 if told["state"] == "ready" else 1


def _told(folder: Path) -> dict[str, Any]:
    try:
        return completed(read_status(folder))
    except PermissionError as error:
        raise NoListener(
            f"status: uid {os.geteuid()} may not ask the listener in {folder}; ask as its user, or"
            " as root"
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise NoListener(
            f"status: no listener answers in {folder} ({why}); start one with topology-reaper run,"
            " or name its folder with --state-dir"
        ) from error
