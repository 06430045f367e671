"""The command by which an operator releases what is held, complete, to be pasted into a shell.

The shell is root's, with nothing in its environment, and the command does what this process would:
the options that differ from what it would have by itself are in it. In a container it is run there,
where the environment is the container's. A password is never in it: ``***`` stands in its place.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from listener.core.numbers import plain
from listener.databases.nats import address
from listener.databases.urls import sqlite_path, sqlite_url
from listener.engine.own import own_containers
from listener.errors import ConfigurationError
from listener.runtime.contexts import configuration, engine_place
from listener.settings import Settings
from listener.settings.option import flag_of

FOR_A_LISTENER = ("feed", "poll_interval", "sweep_interval", "unhealthy_after", "http")
"""The options that make no difference to a sweep."""
FILES = ("database_url_file", "nats_credentials")
"""The options that name a file, as it is found from any folder."""
ENGINE = ("docker_host", "docker_context")
"""The options that name the engine."""
FOR_A_RELAY = ("nats", "nats_announce", "name")
"""The options that make no difference to anything else."""
LEFT_OUT = {
    *(*FOR_A_LISTENER, *FOR_A_RELAY, *ENGINE),
    *("decnet_config", "dry_run", "log_level", "log_format"),
}
"""The options that a release is not to have, or is given in another way."""
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where root's shell looks for a command."""
STATE = "/var/lib/topology-reaper"
"""Root's own state folder."""


def sweep_command(
    settings: Settings, *, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """How a sweep with these settings is begun; its own options follow.

    Args:
        settings: of this process.
        config: the file that some of them are from.
        environment: of this process, if it had any part in them.

    Raises:
        ConfigurationError: no one engine is named.
    """
    containers = sorted(own_containers())
    inside = environment if containers else None
    try:
        bare = Settings.from_environment(inside or {}, config=config)
    except ConfigurationError:  # what is wrong in the file was put right by other means
        bare, config = Settings.from_environment(inside or {}), None
    if containers:
        # One that shares another's network sees the files of both.
        which = containers[0][:12] if len(containers) == 1 else "CONTAINER"
        words = ["docker", "exec", which, "topology-reaper", "sweep"]
    else:
        variables = [*_variables(settings, bare)]
        words = [*(["env"] if variables else []), *variables, *_program(), "sweep"]
    if config is not None:
        words += ["--config", str(config.absolute())]
    return shlex.join([*words, *_flags(settings, bare, inside is not None)])


def _engine(settings: Settings, bare: Settings, inside: bool) -> Sequence[str]:
    """Which engine: always, but where the file or the container says it; who pastes has a context.

    Raises:
        ConfigurationError: no one engine is named.
    """
    ours, theirs = ([getattr(each, name) for name in ENGINE] for each in (settings, bare))
    if ours == theirs and (inside or any(theirs)):
        return ()
    place = engine_place(settings)
    if place.context:
        return "--docker-context", place.context
    return "--docker-host", place.host


def _flags(settings: Settings, bare: Settings, inside: bool) -> Iterator[str]:
    given = settings.database_url or settings.database_url_file
    if not given and settings.decnet_url != bare.decnet_url:
        yield from ("--database-url", _presentable(settings.decnet_url))
    for option in dataclasses.fields(settings):
        name, value = option.name, getattr(settings, option.name)
        if name == "docker_host":
            yield from _engine(settings, bare, inside)
        if not option.metadata["flag"] or name in LEFT_OUT:
            continue
        if name == "state_dir":
            value = str(settings.state_path.absolute())
            default = str(bare.state_path) if inside else bare.state_dir or STATE
        else:
            default = getattr(bare, name)
        if value == default or (name in FILES and not value):
            continue  # without the file there are URLs, which go before it
        if isinstance(value, bool):
            yield flag_of(name)
        elif isinstance(value, tuple):
            for url in value:
                yield from (flag_of(name), _presentable(url))
        elif name in FILES:
            yield from (flag_of(name), str(Path(value).absolute()))
        else:
            shown = plain(value) if isinstance(value, float) else str(value)
            yield from (flag_of(name), shown)


def _variables(settings: Settings, bare: Settings) -> Iterator[str]:
    """What has no flag."""
    place, folder = engine_place(settings), configuration(settings)
    if (place.context or place.certificates == folder) and folder != Path("/root/.docker"):
        yield f"DOCKER_CONFIG={folder.absolute()}"
    if settings.docker_tls_verify != bare.docker_tls_verify:
        yield "DOCKER_TLS_VERIFY=1"
    if settings.docker_cert_path != bare.docker_cert_path:
        yield f"DOCKER_CERT_PATH={Path(settings.docker_cert_path).absolute()}"


def _program() -> list[str]:
    beside = Path(sys.executable).with_name("topology-reaper")
    if str(beside.parent) in PLACES.split(":"):
        return ["topology-reaper"]
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "listener"]


def _presentable(url: str) -> str:
    """The URL from any folder, and without a password."""
    if address.is_address(url):
        return address.presentable(url)
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return "***"
    if parsed.get_backend_name() == "sqlite":
        return sqlite_url(Path(sqlite_path(parsed)).absolute())
    secret = [name for name in parsed.query if name.lower() in ("password", "passwd")]
    shown = parsed.update_query_dict(dict.fromkeys(secret, "***")) if secret else parsed
    return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
