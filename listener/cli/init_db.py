"""The command ``init-db``: an empty SQLite database, to try things with."""

from __future__ import annotations

from pathlib import Path

import click

from listener.databases.sqlite import table
from listener.errors import ConfigurationError


@click.command("init-db")
@click.argument("path", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Create an empty SQLite database.

    It has a table of topologies without a row, to try things with; DECNET makes its own. PATH must
    not exist yet.

    \b
    Examples:
      topology-reaper init-db /tmp/decnet.db
    """  # noqa: D301
    if "?" in str(path):
        raise ConfigurationError("init-db: a URL cannot name a path with a ? in it; choose another")
    table.create(path)
    click.echo(f"created {path}; use it with --database-url sqlite:///{path.absolute()}")
