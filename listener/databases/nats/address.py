"""From a URL to the brokers, the name of the relays, and who this host is to them.

``nats://host-7:password@broker-a,broker-b:4223/decnet`` has all of them: the user is the host, and
the path is the name. A host without a user, who logs in by a certificate or by a file, is named by
the parameter ``host``, else as the machine is. ``tls://`` says nothing before the connection is
encrypted; what the certificates are is told by the parameters that PostgreSQL's URLs have.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from listener.databases.nats.wire import TOKEN
from listener.errors import ConfigurationError

SCHEMES = ("nats", "tls")
NAME = "decnet"
"""Of the relays, where a URL has no path."""
PORT = 4222
_EXAMPLE = "write for example tls://broker.example/decnet?host=host-7"
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_FILES = {"sslrootcert": "authority", "sslcert": "certificate", "sslkey": "key"}


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where the brokers of one cluster are, and how to log in.

    Attributes:
        servers: each a host and a port; any of them will do.
        user: empty where a certificate or a file says who we are.
        password: of that user.
        credentials: a file with an NKey's seed, or with a JWT and one.
        tls: nothing is said, the password least of all, before the connection is encrypted.
        authority: a file with the certificates that are trusted; empty for those of the system.
        certificate: a file with our own; empty without one.
        key: a file with its key; empty where that is in the former.
    """

    servers: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    credentials: str = ""
    tls: bool = False
    authority: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Address:
    """What a URL says.

    Attributes:
        broker: how it is reached.
        name: of the relays.
        host: we are to them.
    """

    broker: Broker
    name: str
    host: str


def is_address(url: str) -> bool:
    """Whether a URL leads to a relay and not to a database."""
    return url.partition("://")[0] in SCHEMES


def parse(url: str, credentials: str = "") -> Address:
    """What a URL says; nothing of it is repeated in an error.

    Args:
        url: its scheme is one of SCHEMES.
        credentials: a file by which we log in, instead of a password.

    Raises:
        ConfigurationError: it says nothing that can be used.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), max_num_fields=9))
    except ValueError:
        raise ConfigurationError(f"that is no URL; {_EXAMPLE}") from None
    login, _, servers = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in login.partition(":"))
    name = parts.path.removeprefix("/") or NAME
    if not TOKEN.fullmatch(name) or parts.fragment:
        raise ConfigurationError(
            f"the path is no name of relays: letters, digits, _ and -, at most 64; {_EXAMPLE}"
        )
    if unknown := given.keys() - {"host", *_FILES}:
        known = ", ".join(["host", *_FILES])
        raise ConfigurationError(
            f"there is no parameter {min(unknown)!r}; there are {known}"
            if all(map(TOKEN.fullmatch, unknown))
            else f"there is an unknown parameter; there are {known}"
        )
    files = {ours: given[theirs] for theirs, ours in _FILES.items() if theirs in given}
    if "key" in files and "certificate" not in files:
        raise ConfigurationError("there is an sslkey without its sslcert; give that as well")
    broker = Broker(
        servers=tuple(map(_server, servers.split(","))),
        user=user,
        password=password,
        credentials=credentials,
        tls=parts.scheme == "tls" or bool(files),
        **files,
    )
    return Address(broker, name, _host(user, given.get("host", "")))


def presentable(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", url)


def _server(text: str) -> str:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[2] or PORT) < 65536:
        raise ConfigurationError(
            f"a broker is neither a host nor host:port; write an @ in a password as %40; {_EXAMPLE}"
        )
    return f"{found[1]}:{found[2] or PORT}"


def _host(user: str, given: str) -> str:
    if user and given not in ("", user):
        raise ConfigurationError("the parameter host is another than the user; give one of them")
    host = user or given or re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64]
    if not TOKEN.fullmatch(host):
        raise ConfigurationError(
            "a host is letters, digits, _ and -, at most 64, and the user of the URL is that, or"
            f" its parameter host; {_EXAMPLE}"
        )
    return host
