"""The command ``feed``: what a database needs in order to tell of deletions by itself.

PostgreSQL needs triggers on the table, which its owner installs; MySQL and MariaDB need settings
and rights that only an administrator can give; SQLite needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from listener.runtime.build import open_tables
from listener.runtime.sweep import reach
from listener.settings import Settings


def sql(settings: Settings) -> str:
    """The SQL that lets these databases push, to be reviewed; none is reached.

    Raises:
        ConfigurationError: an option cannot be used, or a database takes no SQL.
    """
    return "\n".join(table.push_sql() for table in open_tables(settings))


def change(settings: Settings, action: str) -> Iterator[str]:
    """Change the triggers in each database, which is one transaction; yields the name of each.

    Args:
        settings: the databases, by URLs of the table's owners.
        action: ``install`` or ``uninstall``; either may be done again.

    Raises:
        ConfigurationError: an option cannot be used, or the user may not do that.
        NoAnswer: a database could not be reached within ``settings.timeout``.
    """
    for table in open_tables(settings):
        with closing(table):
            reach(partial(table.change_triggers, action), settings.timeout)
            yield table.name
