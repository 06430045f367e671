"""Every option, once: its flag, variable, file key, default, check and help.

A value comes from the command line, else from a ``REAPER_…`` variable, else from the TOML file,
else from its default; whichever it is, the same check reads it, and an error names the place that
it came from. :class:`Settings` reads nothing by itself: only :meth:`Settings.from_environment`
looks at the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
import os
import pwd
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import docker.errors
import docker.utils

from listener.errors import ConfigurationError

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"


LONGEST = 31_536_000.0
"""The longest time that can be given, in seconds: a year."""
SHORTEST = 0.01
"""The shortest interval, in seconds."""


def _is_number(value: object) -> TypeGuard[str | int | float]:
    """A number, or a text that may be one; true and false are none."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _seconds(least: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        try:
            seconds = float(value) if _is_number(value) else math.nan
        except ValueError:
            seconds = math.nan
        if not (least <= seconds <= LONGEST):
            raise ValueError(f"{value!r} is not a number of seconds from {least:g} to {LONGEST:g}")
        return seconds

    return read


def _count(value: object) -> int:
    try:
        count = int(value) if _is_number(value) and not isinstance(value, float) else 0
    except ValueError:
        count = 0
    if not 1 <= count <= 64:
        raise ValueError(f"{value!r} is not a whole number from 1 to 64")
    return count


class _Choice:
    """Reads one of these words, in any case."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, value: object) -> str:
        for word in self.words:
            if str(value).lower() == word.lower():
                return word
        raise ValueError(f"{value!r} is none of {', '.join(self.words)}")


def _switch(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False, "": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false") from None


def _urls(value: object) -> tuple[str, ...]:
    urls = value.split() if isinstance(value, str) else value
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        # The value is not repeated: whatever it is, it may hold a password.
        raise ValueError("this is neither a URL nor a list of URLs")
    return tuple(urls)


def _docker_host(value: object) -> str:
    host = str(value) or DEFAULT_DOCKER_HOST
    try:
        docker.utils.parse_host(host)
    except (docker.errors.DockerException, ValueError):
        host = ""
    if not host.startswith(("unix://", "tcp://")):
        raise ValueError(
            f"{value!r} is no address of a Docker Engine; write unix:///path or tcp://host:port"
        )
    return host


_ADDRESS = re.compile(r"(?:\[(.+)\]|[\w.-]+):(\d{1,5})", re.ASCII)


def _http(value: object) -> str:
    address = str(value)
    if address.lower() == "off":
        return "off"
    found = _ADDRESS.fullmatch(address)
    try:
        if found is None or int(found[2]) > 65535:
            raise ValueError
        if found[1]:
            ipaddress.IPv6Address(found[1])
    except ValueError:
        raise ValueError(
            f"{value!r} is no address to serve at; write HOST:PORT, such as 127.0.0.1:9464 or"
            " [::1]:9464, or off"
        ) from None
    return address


def _option(
    default: object,
    help_: str,
    read: Callable[[object], object],
    *,
    metavar: str | None = None,
    variables: tuple[str, ...] = (),
    flag: bool = True,
    secret: bool = False,
) -> Any:
    words = read.words if isinstance(read, _Choice) else ()
    metadata = {
        "help": help_,
        "read": read,
        "words": words,
        "metavar": metavar or "|".join(words) or None,
        "variables": variables,
        "flag": flag,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to listen and sweep. Times are in seconds; its repr leaves out what may hold a password.

    Raises:
        ConfigurationError: a value cannot be used; it names the option.
    """

    database_url: tuple[str, ...] | str = _option(
        (),
        "The database that holds the topologies, as an SQLAlchemy URL, for example"
        " sqlite:////var/lib/decnet/decnet.db. May be given more than once.",
        _urls,
        metavar="URL",
        secret=True,
    )
    database_url_file: str = _option(
        "",
        "A file with such URLs, one a line, so that no password stands in a command line or in a"
        " variable.",
        str,
        metavar="FILE",
    )
    decnet_url: str = _option(
        "", "The URL in DECNET's own variables.", str, flag=False, secret=True
    )
    docker_host: str = _option(
        DEFAULT_DOCKER_HOST,
        "The Docker Engine, unix:///path or tcp://host:port. Without it DOCKER_HOST counts.",
        _docker_host,
        metavar="HOST",
        variables=("DOCKER_HOST",),
    )
    docker_tls_verify: bool = _option(
        False,
        "With tcp://: speak TLS, and verify the engine's certificate.",
        bool,
        variables=("DOCKER_TLS_VERIFY",),
        flag=False,
    )
    docker_cert_path: str = _option(
        "",
        "With tcp://: speak TLS; the folder with ca.pem, cert.pem and key.pem. Default with TLS:"
        " ~/.docker.",
        str,
        variables=("DOCKER_CERT_PATH",),
        flag=False,
    )
    feed: str = _option(
        "auto",
        "How to hear of a deletion: push, poll, or auto for push where it can be had.",
        _Choice("auto", "push", "poll"),
    )
    poll_interval: float = _option(
        1.0, "Seconds between two questions while polling.", _seconds(SHORTEST), metavar="SECONDS"
    )
    sweep_interval: float = _option(
        300.0, "Seconds between two full sweeps.", _seconds(SHORTEST), metavar="SECONDS"
    )
    grace: float = _option(
        30.0,
        "Seconds for which a row that was never seen must be absent before that counts.",
        _seconds(0),
        metavar="SECONDS",
    )
    allow_replica: bool = _option(
        False, "Take the word of a database that is a replica, although it may lag behind.", _switch
    )
    policy: str = _option(
        "absent",
        "What may be reaped: witnessed only what was seen in a database before, absent also what"
        " is not in it.",
        _Choice("absent", "witnessed"),
    )
    delay: float = _option(
        0.0,
        "Seconds between a deletion and its reap; a row that returns meanwhile cancels it. A sweep"
        " cannot know when a row went, so with a delay it removes nothing.",
        _seconds(0),
        metavar="SECONDS",
    )
    dry_run: bool = _option(False, "Remove nothing, and say what would be removed.", _switch)
    state_dir: str = _option(
        "",
        "The folder for what outlives a restart. Default: /var/lib/topology-reaper, or"
        " ~/.local/state/topology-reaper for a user other than root.",
        str,
        metavar="FOLDER",
        variables=("STATE_DIRECTORY",),
    )
    keep_volumes: bool = _option(
        False, "Leave the anonymous volumes of removed containers.", _switch
    )
    workers: int = _option(
        4, "How many removals of one topology are under way at once.", _count, metavar="NUMBER"
    )
    timeout: float = _option(
        30.0,
        "Seconds for which a one-shot command tries to reach Docker and the database.",
        _seconds(0),
        metavar="SECONDS",
    )
    unhealthy_after: float = _option(
        120.0,
        "Seconds for which Docker or a database may be away before the listener is unhealthy.",
        _seconds(0),
        metavar="SECONDS",
    )
    http: str = _option(
        "127.0.0.1:9464",
        "Where to serve the status to read over HTTP; port 0 is any that is free. Whoever can"
        " connect can read it.",
        _http,
        metavar="HOST:PORT|off",
    )
    log_level: str = _option(
        "INFO",
        "The least level that is logged.",
        _Choice("TRACE", "DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = _option(
        "text",
        "Log for people or as one JSON object a line.",
        _Choice("text", "json"),
    )

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = _read(option, getattr(self, option.name), flag_of(option.name))
            object.__setattr__(self, option.name, value)

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
            return _urls_in(Path(self.database_url_file))
        if self.decnet_url:
            return [("the variables DECNET_DB_…", self.decnet_url)]
        raise ConfigurationError(
            "--database-url: no database was given; name the one that holds the topologies,"
            " for example sqlite:////var/lib/decnet/decnet.db"
        )

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
        _refuse_misspelt(environment)
        flags = {} if flags is None else flags
        file = {} if config is None else _load(config)
        values: dict[str, Any] = {}
        places: dict[str, int] = {}
        for option in dataclasses.fields(cls):
            name = option.name
            variables = [f"REAPER_{name.upper()}"] if option.metadata["flag"] else []
            variables += option.metadata["variables"]
            given: list[tuple[int, str, object]] = [
                (1, f"the variable {v}", environment[v]) for v in variables if environment.get(v)
            ]
            if name in flags:
                given.insert(0, (0, flag_of(name), flags[name]))
            if name in file:
                given.append((2, f"{name} in {config}", file[name]))
            if given:
                places[name], source, value = given[0]
                values[name] = _read(option, value, source)
        # Two options for one thing: what a flag says beats either variable, and so on.
        url, url_file = (places.get(name, 3) for name in ("database_url", "database_url_file"))
        if url != url_file:
            values.pop("database_url" if url > url_file else "database_url_file", None)
        return cls(**values, decnet_url=_decnet_url(environment))


def _urls_in(file: Path) -> list[tuple[str, str]]:
    """The URLs in a file; lines that are empty or begin with # are none."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"--database-url-file: {file} cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--database-url-file: {file} is not UTF-8 text") from error
    urls = [
        (f"--database-url-file: line {number} of {file}", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not urls:
        raise ConfigurationError(f"--database-url-file: {file} is empty; write a URL on each line")
    return urls


def _decnet_url(environment: Mapping[str, str]) -> str:
    """What DECNET's own variables name; only where they choose MySQL, as DECNET itself reads them.

    Its SQLite file lies beside its package unless told otherwise, so it is never guessed.
    """
    if environment.get("DECNET_DB_TYPE", "").lower() != "mysql":
        return ""
    if url := environment.get("DECNET_DB_URL"):
        return url
    password = environment.get("DECNET_DB_PASSWORD")
    user = quote(environment.get("DECNET_DB_USER") or "decnet", safe="")
    login = user + (f":{quote(password, safe='')}" if password else "")
    host = environment.get("DECNET_DB_HOST") or "localhost"
    port = environment.get("DECNET_DB_PORT") or "3306"
    name = quote(environment.get("DECNET_DB_NAME") or "decnet", safe="")
    return f"mysql://{login}@{f'[{host}]' if ':' in host else host}:{port}/{name}"


def default_of(option: dataclasses.Field[Any]) -> str:
    """The default of an option as it is shown; empty where there is none to show."""
    default = option.default
    if isinstance(default, bool) or default in ("", ()):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Refuse a variable that was meant to be one of ours: a misspelt dry run would remove things.

    What is unlike all of ours may be for another program: an orchestrator has variables that begin
    with the name of a service, for example REAPER_SERVICE_HOST.
    """
    names = ["config", *(o.name for o in dataclasses.fields(Settings) if o.metadata["flag"])]
    for variable in environment:
        name = variable.removeprefix("REAPER_").lower()
        if variable.startswith("REAPER_") and name not in names:
            for near in difflib.get_close_matches(name, names, n=1, cutoff=0.8):
                raise ConfigurationError(
                    f"the variable {variable} is none of ours; did you mean REAPER_{near.upper()}?"
                )


def flag_of(name: str) -> str:
    """The flag of the option with this name."""
    return "--" + name.replace("_", "-")


def _read(option: dataclasses.Field[Any], value: object, source: str) -> object:
    try:
        return option.metadata["read"](value)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None


def _load(config: Path) -> dict[str, object]:
    try:
        with config.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"--config: {config} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--config: {config} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"--config: {config} is not TOML: {error}") from error
    names = [option.name for option in dataclasses.fields(Settings) if option.metadata["flag"]]
    for key, value in values.items():
        if isinstance(value, dict):
            raise ConfigurationError(
                f"--config: {config} has a table [{key}]; options stand at the top level"
            )
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            raise ConfigurationError(f"--config: {config} has an unknown key {key}{hint}")
    return values
