"""The command ``init-db``: an empty SQLite database, to try things with."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

import click

from listener.databases.base import TABLE
from listener.databases.sqlite import table
from listener.databases.urls import sqlite_url
from listener.errors import ConfigurationError


@click.command("init-db")
@click.argument("path", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Create an empty SQLite database.

    It has a table of topologies without a row, to try things with, and the command that gives it
    one is printed; DECNET makes its own. PATH must not exist yet.

    \b
    Examples:
      topology-reaper init-db /tmp/decnet.db
    """  # noqa: D301
    if "?" in str(path):
        raise ConfigurationError("init-db: a URL cannot name a path with a ? in it; choose another")
    table.create(path)
    path = path.absolute()
    click.echo(f"created {path}; use it with --database-url {shlex.quote(sqlite_url(path))}")
    row = f"INSERT INTO {TABLE} (id, name, status) VALUES ('{uuid.uuid4()}', 'a try', 'active')"  # noqa: S608
    click.echo(f'to give it a topology: sqlite3 {shlex.quote(str(path))} "{row}"')
