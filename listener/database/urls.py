"""From a database URL to the class that asks it; nothing of a URL is ever repeated in an error."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import sqlalchemy as sa

from listener.database.server import MysqlTopologies, PostgresTopologies, ServerTopologies
from listener.database.sqlite import SqliteTopologies
from listener.errors import ConfigurationError

_EXAMPLE = "write for example sqlite:////var/lib/decnet/decnet.db"
_SERVERS: dict[str, tuple[str, str, type[ServerTopologies]]] = {
    "postgresql": ("psycopg", "postgres", PostgresTopologies),
    "mysql": ("pymysql", "mysql", MysqlTopologies),
    "mariadb": ("pymysql", "mysql", MysqlTopologies),
}
"""By scheme: the driver, the extra that brings it, and the class."""


def open_topologies(url: str) -> SqliteTopologies | ServerTopologies:
    """The table of topologies behind this URL; nothing is reached yet.

    URLs that name an async driver, as DECNET's do, are taken as their synchronous likes.

    Raises:
        ConfigurationError: it is no URL, its database is not supported, or its driver is missing.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(f"--database-url: that is no URL; {_EXAMPLE}") from None
    scheme = parsed.drivername.partition("+")[0]
    if scheme == "sqlite":
        return _sqlite(parsed)
    if scheme not in _SERVERS:
        known = ", ".join(["sqlite", *_SERVERS])
        raise ConfigurationError(
            f"--database-url: the scheme {scheme!r} is none of {known}; {_EXAMPLE}"
        )
    driver, extra, topologies = _SERVERS[scheme]
    if importlib.util.find_spec(driver) is None:
        raise ConfigurationError(
            f"--database-url: the driver for {scheme} is not installed;"
            f" pip install 'topology-reaper[{extra}]'"
        )
    return topologies(parsed.set(drivername=f"{scheme}+{driver}"))


def _sqlite(url: sa.URL) -> SqliteTopologies:
    if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
        raise ConfigurationError(f"--database-url: a SQLite URL needs a path; {_EXAMPLE}")
    return SqliteTopologies(Path(url.database))
