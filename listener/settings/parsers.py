"""What a value is read as, whether it was given as text, in a TOML file or by a program.

A parser takes whatever was given and returns the value, or raises :class:`ValueError` with a text
that says what it should be; who calls it knows where the value came from.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import TypeGuard
from urllib.parse import urlsplit

from listener.core.numbers import plain

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"
"""Where the engine is if nothing says otherwise."""
LONGEST = 31_536_000.0
"""The longest time that can be given, in seconds: a year."""
SHORTEST = 0.01
"""The shortest interval, in seconds."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS = re.compile(r"(?:\[(.+)\]|[\w.-]+):(\d{1,5})", re.ASCII)


def _is_number(value: object) -> TypeGuard[str | int | float]:
    """A number, or a text that may be one; true and false are none."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def seconds(least: float, *, off: bool = False) -> Callable[[object], float]:
    """A time of at least so many seconds; 0 where it may be off, and is."""

    def parse(value: object) -> float:
        if off and str(value).lower() in ("off", "0", "0.0"):
            return 0.0
        try:
            time = float(value) if _is_number(value) else math.nan
        except ValueError:
            time = math.nan
        if not (least <= time <= LONGEST):
            words = f"{value!r} is not a number of seconds from {plain(least)} to {plain(LONGEST)}"
            raise ValueError(f"{words}, nor off" if off else words)
        return time

    return parse


def count(value: object) -> int:
    """How many workers."""
    try:
        number = int(value) if _is_number(value) and not isinstance(value, float) else 0
    except ValueError:
        number = 0
    if not 1 <= number <= 64:
        raise ValueError(f"{value!r} is not a whole number from 1 to 64")
    return number


class Choice:
    """One of these words, in any case."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, value: object) -> str:
        """The word, as it is written here."""
        for word in self.words:
            if str(value).lower() == word.lower():
                return word
        raise ValueError(f"{value!r} is none of {', '.join(self.words)}")


def switch(value: object) -> bool:
    """On or off, in the words that people use for it; empty is off."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False, "": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false") from None


def urls(value: object) -> tuple[str, ...]:
    """URLs of databases, which are looked at when they are opened."""
    given = value.split() if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(url, str) for url in given):
        # The value is not repeated: whatever it is, it may hold a password.
        raise ValueError("this is neither a URL nor a list of URLs")
    return tuple(given)


def docker_host(value: object) -> str:
    """The address of a Docker Engine that the Docker SDK takes as well; empty: none is given."""
    host = str(value)
    if not host:
        return ""
    try:
        url = urlsplit(host.strip())
        is_address = host.startswith("unix://") or (host.startswith("tcp://") and url.port)
        if not is_address or url.query or url.fragment or url.password:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{value!r} is no address of a Docker Engine; write unix:///path or tcp://host:port"
        ) from None
    return host


def name(value: object) -> str:
    """A part of a subject of NATS."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name of up to 64 letters, digits, - and _")
    return value


def http(value: object) -> str:
    """An address to serve at, or off."""
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
