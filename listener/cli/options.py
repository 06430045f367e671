"""The options that commands have in common: those of the settings, and ``--config``.

Click sees them as plain text, so that one check reads a value wherever it was given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from listener.core.ownership import PREFIX
from listener.errors import ConfigurationError
from listener.settings import Settings, default_of, flag_of


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options of the settings, or all of them, and ``--config``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([o for o in dataclasses.fields(Settings) if o.metadata["flag"]]):
            if option.name in names or not names:
                command = _click_option(option)(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A TOML file with any of these options, for example sweep_interval = 60."
            " [REAPER_CONFIG]",
            envvar="REAPER_CONFIG",
        )(command)

    return decorate


def _click_option(option: dataclasses.Field[Any]) -> Callable[[Callable[..., Any]], Any]:
    metadata = option.metadata
    default = f" Default: {default_of(option)}." if default_of(option) else ""
    return click.option(
        flag_of(option.name),
        option.name,
        is_flag=isinstance(option.default, bool),
        multiple=isinstance(option.default, tuple),
        default=None,
        metavar=metadata["metavar"],
        help=f"{metadata['help']}{default} [REAPER_{option.name.upper()}]",
        shell_complete=partial(_complete, metadata),
    )


def _complete(
    metadata: Mapping[str, Any], _context: click.Context, _option: click.Parameter, begun: str
) -> list[CompletionItem]:
    """What a shell offers for the value of an option of the settings."""
    if path := {"FILE": "file", "FOLDER": "dir"}.get(metadata["metavar"]):
        return [CompletionItem(begun, type=path)]
    return [CompletionItem(w) for w in metadata["words"] if w.lower().startswith(begun.lower())]


def check_prefix(prefix: str) -> None:
    """Refuse what is given with --prefix and is none.

    Raises:
        ConfigurationError: it is none.
    """
    if not PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"--prefix: {prefix!r} is not a prefix; give the first 8 digits of an id, 0-9 a-f"
        )


def read_settings(config: Path | None, options: dict[str, object]) -> Settings:
    """The settings, from what a command was given.

    Raises:
        ConfigurationError: a value, or the file, cannot be used.
    """
    flags = {name: value for name, value in options.items() if value not in (None, (), False, "")}
    return Settings.from_environment(flags=flags, config=config)
