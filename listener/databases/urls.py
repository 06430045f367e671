"""From a database URL to the class that asks it; nothing of a URL is ever repeated in an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from listener.databases.base import Topologies
from listener.databases.nats import address
from listener.databases.server import READ_TIMEOUT, ServerTopologies
from listener.databases.sqlite.table import SqliteTopologies
from listener.errors import ConfigurationError

_EXAMPLE = "write for example sqlite:////opt/decnet/decnet.db"
_SQLITE = {"", "pysqlite", "aiosqlite"}
_POSTGRES = {"", "psycopg", "psycopg2", "asyncpg", "psycopg_async"}
_MYSQL = {"", "pymysql", "mysqldb", "asyncmy", "aiomysql"}


@dataclass(frozen=True)
class _Server:
    """What stands behind a scheme."""

    known: set[str]  # the drivers that a URL may name
    driver: str  # the one that is used
    extra: str  # what installs it, and what hears
    load: Callable[[], type[ServerTopologies]]  # imports them


def _postgres() -> type[ServerTopologies]:
    from listener.databases.postgres.table import PostgresTopologies

    return PostgresTopologies


def _mysql() -> type[ServerTopologies]:
    from listener.databases.mysql.table import MysqlTopologies

    return MysqlTopologies


_SERVERS = {
    "postgresql": _Server(_POSTGRES, "psycopg", "postgres", _postgres),
    "mysql": _Server(_MYSQL, "pymysql", "mysql", _mysql),
    "mariadb": _Server(_MYSQL, "pymysql", "mysql", _mysql),
}


def open_topologies(
    url: str,
    *,
    allow_replica: bool = False,
    traceless: bool = False,
    patience: int = READ_TIMEOUT,
    nats_credentials: str = "",
) -> Topologies:
    """The table of topologies behind this URL; nothing is reached yet.

    URLs that name an async driver, as DECNET's do, are taken as their synchronous likes.

    Args:
        url: an SQLAlchemy URL, or one that leads to a relay.
        allow_replica: take the word of a replica.
        traceless: make no file beside a SQLite file that is not there, for who only looks.
        patience: whole seconds after which a server that is silent is given up, if that is sooner.
        nats_credentials: a file by which a relay's broker knows us.

    Raises:
        ConfigurationError: it is no URL, its database is not supported, or its driver is missing.
    """
    if address.is_address(url):
        return _relay(address.parse(url, nats_credentials), allow_replica, patience)
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise _error(f"that is no URL; {_EXAMPLE}") from None
    scheme, _, driver = parsed.drivername.partition("+")
    server = _SERVERS.get(scheme)
    known = server.known if server else _SQLITE if scheme == "sqlite" else set()
    if driver not in known:
        schemes = ", ".join(["sqlite", *_SERVERS, *address.SCHEMES])
        raise _error(
            f"the scheme {parsed.drivername!r} is none of {schemes}, alone or with a usual driver;"
            f" {_EXAMPLE}"
        )
    if server is None:
        return SqliteTopologies(_path(parsed), allow_replica=allow_replica, traceless=traceless)
    if "@" in (parsed.host or ""):
        raise _error("the host has an @ in it; write an @ in a password as %40")
    if not parsed.database:
        raise _error(f"the URL names no database; write {scheme}://host/decnet")
    if not 0 < (parsed.port or 1) < 65536:
        raise _error(f"there is no port {parsed.port}")
    try:
        topologies = server.load()
    except ImportError as error:
        raise _error(
            f"the driver for {scheme} is not installed; pip install"
            f" 'topology-reaper[{server.extra}]'"
        ) from error
    if "ssl" in parsed.query:
        # What the async drivers call it; theirs and ours have no value in common but by chance.
        instead = "sslmode=require" if scheme == "postgresql" else "ssl_ca=/path/to/ca.pem"
        raise _error(f"the parameter ssl is another driver's; write {instead} instead")
    driven = parsed.set(drivername=f"{scheme}+{server.driver}")
    return topologies(driven, allow_replica=allow_replica, patience=patience)


def _relay(found: address.Address, allow_replica: bool, patience: int) -> Topologies:
    try:
        from listener.databases.nats.bus import BusError, login
        from listener.databases.nats.table import NatsTopologies
    except ImportError as error:
        raise _error(
            "the client for NATS is not installed; pip install 'topology-reaper[fleet]'"
        ) from error
    try:
        login(found.broker)
    except BusError as error:
        raise _error(f"the broker {error}") from error
    return NatsTopologies(found, allow_replica=allow_replica, patience=patience)


def _path(url: sa.URL) -> Path:
    if url.host or url.username:
        raise _error(f"a SQLite URL has no host, and three slashes before the path; {_EXAMPLE}")
    if path := sqlite_path(url):
        return Path(path)
    raise _error(f"a SQLite URL needs the path of a file; {_EXAMPLE}")


def sqlite_path(url: sa.URL) -> str:
    """The path in a SQLite URL; empty where it names no file.

    SQLite has URLs of its own, such as ``file:/opt/decnet/decnet.db?mode=rw``, which SQLAlchemy
    takes for a path, and hands on where the parameter ``uri`` stands beside them.
    """
    path = url.database or ""
    if path.startswith("file:"):
        own = urlsplit(path)
        is_file = own.netloc in ("", "localhost") and url.query.get("mode") != "memory"
        is_uri = url.query.get("uri") in ("true", "yes", "on", "y", "t", "1")
        path = unquote(own.path) if is_file and is_uri else ""
    return "" if path == ":memory:" else path


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    try:
        return sa.URL.create("sqlite", database=str(path)).render_as_string()
    except UnicodeEncodeError:  # a path that is not UTF-8 can be read in a URL, and not quoted
        return f"sqlite:///{path}"


def _error(text: str) -> ConfigurationError:
    return ConfigurationError(text)
