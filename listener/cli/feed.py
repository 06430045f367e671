"""The command ``feed``: what a database needs in order to tell of deletions by itself.

PostgreSQL needs triggers on the table, which its owner installs; MySQL and MariaDB need settings
and rights that only an administrator can give; SQLite needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import click

from listener.cli.options import Command, read_settings, with_settings
from listener.runtime.build import open_tables
from listener.runtime.sweep import reach
from listener.settings import Settings
from listener.telemetry import logs


@click.group("feed")
def command() -> None:
    """Let a database tell of deletions.

    PostgreSQL takes triggers, which these commands install and uninstall with a URL of the table's
    owner. MySQL and MariaDB take settings and rights, which "feed sql" prints for their
    administrator. SQLite takes nothing.
    """


@command.command(cls=Command)
@with_settings("database_url", "database_url_file", "timeout")
def install(config: Path | None, **options: object) -> None:
    """Install the triggers in PostgreSQL.

    Doing it again changes nothing.

    \b
    Examples:
      topology-reaper feed install --database-url postgresql://owner:…@db.example/decnet
    """  # noqa: D301
    for name in _change(config, options, "install"):
        click.echo(f"installed the triggers in {name}")


@command.command(cls=Command)
@with_settings("database_url", "database_url_file", "timeout")
def uninstall(config: Path | None, **options: object) -> None:
    """Take the triggers out again.

    Listeners then poll.

    \b
    Examples:
      topology-reaper feed uninstall --database-url postgresql://owner:…@db.example/decnet
    """  # noqa: D301
    for name in _change(config, options, "uninstall"):
        click.echo(f"took the triggers out of {name}")


@command.command(cls=Command)
@with_settings("database_url", "database_url_file")
def sql(config: Path | None, **options: object) -> None:
    """Print the SQL for review.

    It is the one for the kind of database that the URL names; no database is reached.

    \b
    Examples:
      topology-reaper feed sql --database-url mysql://db.example/decnet
    """  # noqa: D301
    tables = open_tables(_settings(config, options))
    click.echo("\n".join(table.push_sql() for table in tables), nl=False)


def _change(config: Path | None, options: dict[str, object], action: str) -> Iterator[str]:
    """Install or uninstall in each database, which is one transaction; yields the name of each."""
    settings = _settings(config, options)
    for table in open_tables(settings):
        with closing(table):
            reach(partial(table.change_triggers, action), settings.timeout)
            yield table.name


def _settings(config: Path | None, options: dict[str, object]) -> Settings:
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    return settings
