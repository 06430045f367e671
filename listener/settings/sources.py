"""Where values come from besides the command line: variables, a TOML file, a file of URLs.

What was meant to be an option and is none is refused with what was probably meant, for whoever
relies on it believes that it counts.
"""

from __future__ import annotations

import difflib
import os
import pwd
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from listener.errors import ConfigurationError


def refuse_misspelt(environment: Mapping[str, str], names: Collection[str]) -> None:
    """Refuse a variable that was meant to be one of ours: a misspelt dry run would remove things.

    What is unlike all of ours may be for another program: an orchestrator has variables that begin
    with the name of a service, for example REAPER_SERVICE_HOST.

    Args:
        environment: the variables.
        names: of the options.

    Raises:
        ConfigurationError: there is one.
    """
    known = ["config", *names]
    for variable in environment:
        name = variable.removeprefix("REAPER_").lower()
        if variable.startswith("REAPER_") and name not in known:
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                raise ConfigurationError(
                    f"the variable {variable} is none of ours; did you mean REAPER_{near.upper()}?"
                )


def read_toml(config: Path, names: Collection[str]) -> dict[str, object]:
    """The values in a TOML file, by the names of the options.

    Raises:
        ConfigurationError: it cannot be read, or has something else in it.
    """
    try:
        with config.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"--config: {config} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--config: {config} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"--config: {config} is not TOML: {error}") from error
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


def read_urls(file: Path) -> list[tuple[str, str]]:
    """The URLs in a file, each after the words for its line; empty ones and comments are none.

    Raises:
        ConfigurationError: it cannot be read, or has none.
    """
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


def docker_config(environment: Mapping[str, str]) -> str:
    """The folder of Docker's configuration in the user's home; empty for a user without one."""
    home = environment.get("HOME")
    if not home:
        with suppress(KeyError):
            home = pwd.getpwuid(os.geteuid()).pw_dir
    return f"{home}/.docker" if home else ""
