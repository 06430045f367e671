"""One option of the settings: the field of a dataclass that knows all that is said of it.

Its name is the key in a file; its flag, its variable and its help follow from it. The group is the
heading under which people find it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from listener.core.numbers import plain
from listener.errors import ConfigurationError
from listener.settings import parsers


def option(
    group: str,
    default: object,
    help_: str,
    read: Callable[[object], object],
    *,
    metavar: str | None = None,
    variables: tuple[str, ...] = (),
    flag: bool = True,
    secret: bool = False,
) -> Any:
    """The field.

    Args:
        group: with what it stands together.
        default: as ``read`` returns it.
        help_: sentences for the user.
        read: makes a value of what was given, or raises ValueError with what it should be.
        metavar: stands for the value in the help.
        variables: others that name it, beside its own.
        flag: whether it can be given on the command line, and in a file.
        secret: whether the repr of the settings leaves it out.
    """
    words = read.words if isinstance(read, parsers.Choice) else ()
    metadata = {
        "group": group,
        "help": help_,
        "read": read,
        "words": words,
        "metavar": metavar or "|".join(words) or None,
        "variables": variables,
        "flag": flag,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default of an option as it is shown; empty where there is none to show."""
    default = field.default
    if isinstance(default, bool) or default in ("", ()):
        return ""
    return plain(default) if isinstance(default, float) else str(default)


def flag_of(name: str) -> str:
    """The flag of the option with this name."""
    return "--" + name.replace("_", "-")


def read(field: dataclasses.Field[Any], value: object, source: str) -> object:
    """The value of an option, from what was given.

    Raises:
        ConfigurationError: it cannot be used; it names the source.
    """
    try:
        return field.metadata["read"](value)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None
