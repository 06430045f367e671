"""The options that commands have in common: those of the settings, and ``--config``.

Click sees them as plain text, so that one check reads a value wherever it was given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from listener.core.ownership import PREFIX
from listener.errors import ConfigurationError
from listener.settings import Settings
from listener.settings.option import default_of, flag_of


class Setting(click.Option):
    """An option that several commands have in common.

    Args:
        group: its heading in the help.
    """

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class Command(click.Command):
    """One whose help has its own options first, and the settings after that, by their groups.

    Click has no headings for options. Cloup has, and takes the place of click's commands, options
    and formatter for it.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                group = param.group if isinstance(param, Setting) else "Options"
                groups.setdefault(group, []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def with_settings(
    *names: str, unused: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options of the settings, or all of them, and ``--config``.

    Args:
        names: of the options.
        unused: what makes no difference to it: taken, so that the words of ``run`` can be given to
            it, and not shown.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--config",
            cls=Setting,
            group="General",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A TOML file with any of these options, for example sweep_interval = 60."
            " [REAPER_CONFIG]",
            envvar="REAPER_CONFIG",
        )(command)
        for field in reversed([f for f in dataclasses.fields(Settings) if f.metadata["flag"]]):
            if field.name in names or not names:
                command = _click_option(field, hidden=field.name in unused)(command)
        return command

    return decorate


def _click_option(
    field: dataclasses.Field[Any], *, hidden: bool
) -> Callable[[Callable[..., Any]], Any]:
    metadata = field.metadata
    default = f" Default: {default_of(field)}." if default_of(field) else ""
    return click.option(
        flag_of(field.name),
        field.name,
        cls=Setting,
        group=metadata["group"],
        hidden=hidden,
        is_flag=isinstance(field.default, bool),
        multiple=isinstance(field.default, tuple),
        default=None,
        metavar=metadata["metavar"],
        help=f"{metadata['help']}{default} [REAPER_{field.name.upper()}]",
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
