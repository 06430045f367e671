"""The command ``relay``: a relay until a signal ends it, or it gives up."""

from __future__ import annotations

from pathlib import Path

import click

from listener.cli.options import Command, read_settings, with_settings
from listener.cli.serving import serve
from listener.errors import ConfigurationError
from listener.telemetry import logs


@click.command("relay", cls=Command)
@with_settings(
    *("database_url", "database_url_file", "decnet_config", "allow_replica"),
    *("feed", "poll_interval", "sweep_interval", "unhealthy_after", "http", "state_dir"),
    *("nats", "nats_announce", "name", "log_level", "log_format"),
)
def command(config: Path | None, **options: object) -> int:
    """Ask a database for many hosts, which need no account on it.

    Hosts whose listeners have a URL such as nats://broker.example/decnet ask their questions by a
    NATS broker. The relay asks the database, once for all that wait, and tells each host of the
    deletions that concern it. Start it beside the database, and twice if it is to be there always.
    It needs no Docker, and goes on until SIGTERM or SIGINT.

    \b
    Examples:
      topology-reaper relay --database-url postgresql://reaper@localhost/decnet --nats nats://broker
      topology-reaper relay --config /etc/topology-reaper/relay.toml --name lab
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    see_that_nats_is_there()
    from listener.runtime.relay.relay import Relay

    serve(Relay(settings))


def see_that_nats_is_there() -> None:
    """See that the client of NATS is installed.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        import nats  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "--nats: the client of NATS is not installed; pip install 'topology-reaper[fleet]'"
        ) from error
