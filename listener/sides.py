"""From the settings to Docker and the database; nothing is reached here."""

from __future__ import annotations

from pathlib import Path

import docker.errors
import docker.tls

from listener.database.feeds import Feed
from listener.database.feeds.poll import PollFeed
from listener.database.feeds.sqlite import SqliteFeed
from listener.database.sqlite import SqliteTopologies
from listener.database.topologies import Topologies
from listener.database.urls import open_topologies
from listener.engine.client import Engine
from listener.errors import ConfigurationError
from listener.settings import Settings


def open_sides(settings: Settings) -> tuple[Engine, Topologies]:
    """Docker and the database, neither reached yet.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    first, *others = settings.databases
    if others:
        raise ConfigurationError("--database-url: only one database can be watched; give one")
    return open_engine(settings), open_topologies(first)


def open_engine(settings: Settings) -> Engine:
    """The Docker Engine, not reached yet.

    Raises:
        ConfigurationError: the certificates for TLS cannot be read.
    """
    tls = _tls(settings) if settings.docker_host.startswith("tcp://") else None
    return Engine(settings.docker_host, tls=tls, keep_volumes=settings.keep_volumes)


def _tls(settings: Settings) -> docker.tls.TLSConfig | None:
    if not (settings.docker_tls_verify or settings.docker_cert_path):
        return None
    folder = Path(settings.docker_cert_path or Path.home() / ".docker")
    try:
        return docker.tls.TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
            ca_cert=str(folder / "ca.pem"),
            verify=settings.docker_tls_verify,
        )
    except docker.errors.TLSParameterError:
        raise ConfigurationError(
            f"the variable DOCKER_CERT_PATH: {folder} lacks ca.pem, cert.pem or key.pem"
        ) from None


def choose_feed(settings: Settings, topologies: Topologies) -> Feed:
    """The feed that the settings ask for and the database allows.

    Raises:
        ConfigurationError: push was asked for where it is not to be had.
    """
    if settings.feed != "poll" and isinstance(topologies, SqliteTopologies):
        return SqliteFeed(topologies, settings.poll_interval)
    if settings.feed == "push":
        raise ConfigurationError("--feed: push is to be had from SQLite only; use auto or poll")
    return PollFeed(settings.poll_interval)
