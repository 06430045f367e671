"""The command ``history``: what was removed, as the state folder has it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from listener.cli.options import Command, check_prefix, read_settings, with_settings
from listener.errors import ConfigurationError
from listener.runtime.state import history
from listener.telemetry import logs


@click.command("history", cls=Command)
@with_settings("state_dir")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--prefix", default=None, metavar="PREFIX", help="Of this topology only.")
def command(config: Path | None, as_json: bool, prefix: str | None, **options: object) -> None:
    """Show what was removed, and on what evidence.

    It is read from the state folder, whether a listener runs or not; the oldest comes first.

    \b
    Examples:
      topology-reaper history --prefix 3c68d34a
      topology-reaper history --json --state-dir /var/lib/topology-reaper
    """  # noqa: D301
    if prefix is not None:
        check_prefix(prefix)
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    folder = settings.state_path
    try:
        entries = [e for e in history.read(folder) if prefix in (None, e["prefix"])]
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise ConfigurationError(
                f"--state-dir: there is no folder {folder}; name the one that the listener has"
            ) from error
        entries = []
    except PermissionError as error:
        raise ConfigurationError(
            f"--state-dir: uid {os.geteuid()} may not read {folder}/{history.NAME}; ask as the"
            " listener's user, or as root"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"--state-dir: {folder}/{history.NAME} cannot be read: {error.strerror}"
        ) from error
    for entry in entries:
        click.echo(json.dumps(entry) if as_json else history.line(entry))
    if not (entries or as_json):
        what = f"nothing of topology {prefix}" if prefix else "nothing"
        click.echo(f"{what} was removed yet, as far as {folder} knows")
