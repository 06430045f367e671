"""From the settings to Docker and the database; nothing is reached here."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import docker.tls

from listener.database.feeds import Feed
from listener.database.feeds.choice import PushOrPoll
from listener.database.feeds.poll import PollFeed
from listener.database.sqlite import SqliteTopologies
from listener.database.topologies import Topologies
from listener.database.urls import open_topologies
from listener.engine.client import REQUEST_TIMEOUT, Engine
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
    return open_engine(settings), open_topologies(first, allow_replica=settings.allow_replica)


def open_engine(settings: Settings) -> Engine:
    """The Docker Engine, not reached yet.

    Raises:
        ConfigurationError: the certificates for TLS cannot be read.
    """
    return Engine(
        settings.docker_host,
        tls=_tls(settings) if settings.docker_host.startswith("tcp://") else None,
        keep_volumes=settings.keep_volumes,
        connect_timeout=min(REQUEST_TIMEOUT, max(1, round(settings.timeout))),
    )


def _tls(settings: Settings) -> docker.tls.TLSConfig | None:
    if not (settings.docker_tls_verify or settings.docker_cert_path):
        return None
    # Not Path.home(): a user without a home is no reason to fail in any other way than below.
    folder = Path(settings.docker_cert_path or os.path.expanduser("~/.docker"))  # noqa: PTH111
    authority, certificate, key = (str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigurationError(
            f"the variable DOCKER_CERT_PATH: {folder} has no usable ca.pem, cert.pem and key.pem"
            f" for TLS: {error.strerror or error}"
        ) from error
    return docker.tls.TLSConfig(
        client_cert=(certificate, key), ca_cert=authority, verify=settings.docker_tls_verify
    )


def choose_feed(settings: Settings, topologies: Topologies) -> Feed:
    """The feed that the settings ask for; which one it is in the end the database decides."""
    if settings.feed == "poll":
        return PollFeed(settings.poll_interval)
    push = topologies.push(look_every=settings.poll_interval, check_every=settings.sweep_interval)
    if isinstance(topologies, SqliteTopologies):
        return push  # there is nobody who could forbid it
    poll = PollFeed(settings.poll_interval, lasting=settings.sweep_interval)
    return PushOrPoll(push, poll, required=settings.feed == "push")
