"""Every option, once: its flag, variable, file key, default, check and help.

A value comes from the command line, else from a ``REAPER_…`` variable, else from the TOML file,
else from its default; whichever it is, the same check reads it, and an error names the place that
it came from. :class:`Settings` reads nothing by itself: only :meth:`Settings.from_environment`
looks at the environment.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from listener.errors import ConfigurationError
from listener.settings import decnet, parsers, sources
from listener.settings.option import flag_of, option, read

NO_CONTEXT = "default"
"""The name of the context that stands for none: for DOCKER_HOST, or for the usual socket."""


_database, _docker, _listener, _evidence, _removal, _relay, _general = (
    partial(option, group)
    for group in ("Database", "Docker", "Listener", "Evidence", "Removal", "Relay", "General")
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to listen and sweep. Times are in seconds; its repr leaves out what may hold a password.

    Raises:
        ConfigurationError: a value cannot be used; it names the option.
    """

    database_url: tuple[str, ...] | str = _database(
        (),
        "The database that holds the topologies, as an SQLAlchemy URL, for example"
        " sqlite:////opt/decnet/decnet.db, or the relay before it, for example"
        " tls://host-7:…@broker.example/decnet. May be given more than once.",
        parsers.urls,
        metavar="URL",
        secret=True,
    )
    database_url_file: str = _database(
        "",
        "A file with such URLs, one a line, so that no password stands in a command line or in a"
        " variable.",
        str,
        metavar="FILE",
    )
    nats_credentials: str = _database(
        "",
        "With a URL nats://… or tls://…: the file by which the broker knows this host, with an"
        " NKey's seed or a JWT, instead of a password in the URL.",
        str,
        metavar="FILE",
    )
    decnet_config: str = _database(
        "",
        "DECNET's own ini file, usually /etc/decnet/decnet.ini: without a URL, what its section"
        " [database] says of a MySQL server counts where no variable DECNET_DB_… does.",
        str,
        metavar="FILE",
    )
    decnet_variables: tuple[tuple[str, str], ...] = _database(
        (),
        "DECNET's own variables, each with its value.",
        lambda pairs: pairs,
        flag=False,
        secret=True,
    )
    docker_host: str = _docker(
        "",
        "The Docker Engine, unix:///path or tcp://host:port. Without it DOCKER_HOST counts, then"
        f" the context, then {parsers.DEFAULT_DOCKER_HOST}.",
        parsers.docker_host,
        metavar="HOST",
        variables=("DOCKER_HOST",),
    )
    docker_context: str = _docker(
        "",
        "The name of the Docker context whose engine it is. Without it DOCKER_CONTEXT counts unless"
        " DOCKER_HOST is there, then the current context.",
        str,
        metavar="NAME",
        variables=("DOCKER_CONTEXT",),
    )
    docker_config: str = _docker(
        "",
        "The folder with Docker's own configuration and contexts. Default: ~/.docker; none for a"
        " program that makes its own settings.",
        str,
        variables=("DOCKER_CONFIG",),
        flag=False,
    )
    docker_tls_verify: bool = _docker(
        False,
        "With tcp://: speak TLS, and verify the engine's certificate.",
        bool,
        variables=("DOCKER_TLS_VERIFY",),
        flag=False,
    )
    docker_cert_path: str = _docker(
        "",
        "With tcp://: speak TLS; the folder with ca.pem, cert.pem and key.pem. Default with TLS:"
        " ~/.docker.",
        str,
        variables=("DOCKER_CERT_PATH",),
        flag=False,
    )
    docker_timeout: float = _docker(
        10.0,
        "Seconds after which a request to Docker is given up. A list of all containers may take up"
        " to twelve times as long where the last one did.",
        parsers.seconds(parsers.SHORTEST),
        metavar="SECONDS",
    )
    feed: str = _listener(
        "auto",
        "How to hear of a deletion: push, poll, or auto for push where it can be had.",
        parsers.Choice("auto", "push", "poll"),
    )
    poll_interval: float = _listener(
        1.0,
        "Seconds between two questions while polling.",
        parsers.seconds(parsers.SHORTEST),
        metavar="SECONDS",
    )
    sweep_interval: float = _listener(
        300.0,
        "Seconds between two full sweeps.",
        parsers.seconds(parsers.SHORTEST),
        metavar="SECONDS",
    )
    grace: float = _evidence(
        30.0,
        "Seconds for which a row that was never seen must be absent before that counts.",
        parsers.seconds(0),
        metavar="SECONDS",
    )
    allow_replica: bool = _database(
        False,
        "Take the word of a database that is a replica, although it may lag behind.",
        parsers.switch,
    )
    policy: str = _evidence(
        "absent",
        "What may be reaped: witnessed only what was seen in a database before, absent also what"
        " is not in it.",
        parsers.Choice("absent", "witnessed"),
    )
    delay: float = _removal(
        0.0,
        "Seconds between a deletion and its reap; a row that returns meanwhile cancels it. A sweep"
        " cannot know when a row went, so with a delay it removes nothing.",
        parsers.seconds(0),
        metavar="SECONDS",
    )
    reap_torn_down: float = _removal(
        0.0,
        "Seconds, 10 and more, for which a row has to be seen with the status torn_down until what"
        " is left of its topology goes too; off: never. A sweep goes by what a listener with this"
        " --state-dir has seen of that time, and leaves what has not been seen so for long enough.",
        parsers.seconds(10, off=True),
        metavar="SECONDS|off",
    )
    dry_run: bool = _removal(
        False, "Remove nothing, and say what would be removed.", parsers.switch
    )
    state_dir: str = _general(
        "",
        "The folder for what outlives a restart. Default: /var/lib/topology-reaper, or"
        " ~/.local/state/topology-reaper for a user other than root.",
        str,
        metavar="FOLDER",
        variables=("STATE_DIRECTORY",),
    )
    keep_volumes: bool = _removal(
        False, "Leave the anonymous volumes of removed containers.", parsers.switch
    )
    images: bool = _removal(
        False,
        "Remove the images that compose built for a topology too, once nothing else of it is left.",
        parsers.switch,
    )
    workers: int = _removal(
        4,
        "How many removals of one topology are under way at once.",
        parsers.count,
        metavar="NUMBER",
    )
    timeout: float = _general(
        30.0,
        "Seconds for which a one-shot command tries to reach Docker and the database.",
        parsers.seconds(0),
        metavar="SECONDS",
    )
    unhealthy_after: float = _listener(
        120.0,
        "Seconds for which Docker or a database may be away before the listener is unhealthy.",
        parsers.seconds(0),
        metavar="SECONDS",
    )
    http: str = _listener(
        "127.0.0.1:9464",
        "Where to serve the status to read over HTTP; port 0 is any that is free. Whoever can"
        " connect can read it.",
        parsers.http,
        metavar="HOST:PORT|off",
    )
    nats: str = _relay(
        "",
        "The NATS broker by which a relay answers hosts, for example"
        " nats://user:password@broker.example.",
        str,
        metavar="URL",
        secret=True,
    )
    nats_announce: str = _relay(
        "",
        "The same broker as another user, by whom the relay announces deletions. Without it that is"
        " the user who answers.",
        str,
        metavar="URL",
        secret=True,
    )
    name: str = _relay(
        "decnet",
        "The name of a relay, which is the path of the URL that hosts have: nats://broker/NAME.",
        parsers.name,
        metavar="NAME",
    )
    log_level: str = _general(
        "INFO",
        "The least level that is logged.",
        parsers.Choice("TRACE", "DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = _general(
        "text",
        "Log for people or as one JSON object a line.",
        parsers.Choice("text", "json"),
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = read(field, getattr(self, field.name), flag_of(field.name))
            object.__setattr__(self, field.name, value)

    @property
    def databases(self) -> Sequence[tuple[str, str]]:
        """At least one URL, each after the words for where it was given.

        Raises:
            ConfigurationError: there is none, or the file cannot be used.
        """
        if self.database_url and self.database_url_file:
            raise ConfigurationError(
                "--database-url-file: --database-url is given as well; give one of them"
            )
        if self.database_url:
            return [("--database-url", url) for url in self.database_url]
        if self.database_url_file:
            return sources.read_urls(Path(self.database_url_file))
        if self.decnet_url:
            place = "--decnet-config" if self.decnet_config else "the variables DECNET_DB_…"
            return [(place, self.decnet_url)]
        raise decnet.no_path(self.decnet_config)

    @cached_property
    def decnet_url(self) -> str:
        """The URL of the server that DECNET's variables or its file name; empty without one.

        Raises:
            ConfigurationError: the file cannot be used, or there is no such port.
        """
        return decnet.url(dict(self.decnet_variables), self.decnet_config)

    @property
    def http_address(self) -> tuple[str, int] | None:
        """The host and the port to serve at; None: nowhere."""
        if self.http == "off":
            return None
        host, _, port = self.http.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def state_path(self) -> Path:
        """The folder for what outlives a restart."""
        if self.state_dir:
            return Path(self.state_dir)
        if os.geteuid() != 0:
            with suppress(KeyError):  # a user without an entry has no home
                home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
                return home / ".local/state/topology-reaper"
        return Path("/var/lib/topology-reaper")

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        flags: Mapping[str, object] | None = None,
        config: Path | None = None,
    ) -> Settings:
        """Settings from flags, then variables, then a TOML file, then the defaults.

        Args:
            environment: the variables; ``os.environ`` without it.
            flags: what was given on the command line, by the option's name.
            config: a TOML file.

        Raises:
            ConfigurationError: a value, or the file, cannot be used.
        """
        environment = os.environ if environment is None else environment
        names = [field.name for field in dataclasses.fields(cls) if field.metadata["flag"]]
        sources.refuse_misspelt(environment, names)
        flags = {} if flags is None else flags
        file = {} if config is None else sources.read_toml(config, names)
        if environment.get("DOCKER_HOST"):  # goes before the other, as for Docker's own tools
            environment = {**environment, "DOCKER_CONTEXT": ""}
        values: dict[str, Any] = {}
        places: dict[str, int] = {}
        for field in dataclasses.fields(cls):
            name = field.name
            variables = [f"REAPER_{name.upper()}"] if field.metadata["flag"] else []
            variables += field.metadata["variables"]
            given: list[tuple[int, str, object]] = [
                (rank, f"the variable {v}", environment[v])
                for rank, v in enumerate(variables, 1)
                if environment.get(v)
            ]
            if name in flags:
                given.insert(0, (0, flag_of(name), flags[name]))
            if name in file:
                given.append((3, f"{name} in {config}", file[name]))
            if given:
                places[name], source, value = given[0]
                values[name] = read(field, value, source)
        # Two options for one thing: what a flag says beats either variable, and so on.
        pairs = [("database_url", "database_url_file")]
        if values.get("docker_context") != NO_CONTEXT:
            pairs.append(("docker_host", "docker_context"))
        for pair in pairs:
            first, second = (places[name] if values.get(name) else 4 for name in pair)
            if first != second:
                values.pop(pair[first < second], None)
        values.setdefault("docker_config", sources.docker_config(environment))
        decnets = {v: text for v, text in environment.items() if v.startswith(decnet.PREFIX)}
        return cls(**values, decnet_variables=tuple(decnets.items()))
