"""The command ``run``: a listener until a signal ends it, or it gives up."""

from __future__ import annotations

import os
from pathlib import Path

import click

from listener.cli.options import Command, read_settings, with_settings
from listener.cli.serving import serve
from listener.runtime.command import FOR_A_RELAY, sweep_command
from listener.runtime.daemon import Listener
from listener.telemetry import logs


@click.command("run", cls=Command)
@with_settings(unused=["timeout", *FOR_A_RELAY])
def command(config: Path | None, **options: object) -> int:
    """Listen, and remove what loses its row.

    A topology's containers and networks go as soon as its row in the database is gone. That goes on
    until SIGTERM or SIGINT; SIGUSR1 asks for a full sweep now. Docker or a database that cannot be
    reached is waited for. A dry run does everything but remove.

    \b
    Examples:
      topology-reaper run --dry-run --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper run --database-url-file /run/secrets/database-url --log-format json
      REAPER_DATABASE_URL=postgresql://reaper:…@db.example/decnet topology-reaper run
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    release = sweep_command(settings, config=config, environment=os.environ)
    listener = Listener(settings, sweep_command=release)
    serve(listener, on_usr1=listener.sweep_now)
