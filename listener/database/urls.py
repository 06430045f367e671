"""From a database URL to the class that asks it; nothing of a URL is ever repeated in an error."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from listener.database.sqlite import SqliteTopologies
from listener.errors import ConfigurationError

_EXAMPLE = "write for example sqlite:////var/lib/decnet/decnet.db"


def open_topologies(url: str) -> SqliteTopologies:
    """The table of topologies behind this URL; nothing is reached yet.

    URLs that name an async driver, as DECNET's do, are taken as their synchronous likes.

    Raises:
        ConfigurationError: it is no URL, or one of a database that is not supported.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(f"--database-url: that is no URL; {_EXAMPLE}") from None
    if backend != "sqlite":
        raise ConfigurationError(
            f"--database-url: the scheme {backend!r} is not supported; {_EXAMPLE}"
        )
    if parsed.database in (None, "", ":memory:") or parsed.database.startswith("file:"):
        raise ConfigurationError(f"--database-url: a SQLite URL needs a path; {_EXAMPLE}")
    return SqliteTopologies(Path(parsed.database))
