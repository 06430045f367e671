"""docs/options.md, made from the options and commands themselves: `make docs`.

The settings come from :mod:`listener.settings`, the commands with what else they take from click's
own description of them, so nothing of it is written twice.

    python options_reference.py docs/options.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from listener.cli import commands, load
from listener.cli.options import Setting
from listener.settings import Settings
from listener.settings.option import default_of

HEAD = """\
<!-- Made by `make docs` from listener/settings/ and listener/cli/; do not edit it here. -->

# Options

Every command explains itself with `--help`. Most of what they take are settings, which several have
in common; the rest stands with [each command](#the-commands).

## Settings

A setting is an option of the command line, a variable, and a key of the TOML file that `--config`
names: `--sweep-interval` there is `sweep_interval`. The command line wins over the variable, that
over the file, and that over the default. An empty variable counts as none. A switch has no value
on the command line; as a variable or in the file it is `true` or `false`. Several URLs are
separated by white space in a variable, and are a list in the file. Times are in seconds and may
have a fraction.

```toml
# topology-reaper run --config reaper.toml
database_url = ["sqlite:////opt/decnet/decnet.db"]
sweep_interval = 60
dry_run = true
```
"""
VARIABLES = """
## Variables without an option

"""
DECNET = """
Without a database in any of these places, DECNET's own variables count, and for each that is
missing its file, `--decnet-config`, as long as the type is `mysql`: see
[contrib/decnet](../contrib/decnet/README.md). No database is ever guessed.

## The commands
"""

_VARIABLE = re.compile(r" \[(REAPER_\w+)\]$")


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(_groups()) + VARIABLES + _variables() + DECNET + "".join(_commands())


def _groups() -> Iterator[str]:
    settings = _settings_of(load("run"))
    for group in dict.fromkeys(option.group for option in settings):
        yield f"\n### {group}\n\n"
        yield _settings([option for option in settings if option.group == group])


def _settings(options: Iterable[Setting]) -> str:
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    rows = []
    for option in options:
        name = str(option.name)
        variables, default, meaning = [f"REAPER_{name.upper()}"], "", _meaning(option)
        if name in fields:  # all but --config
            variables += fields[name].metadata["variables"]
            default, meaning = default_of(fields[name]), fields[name].metadata["help"]
        rows.append([_flags(option), " ".join(map(_code, variables)), _code(default), meaning])
    return _table(["option", "variable", "default", "meaning"], rows)


def _variables() -> str:
    return _table(
        ["variable", "meaning"],
        (
            [_code(variable), field.metadata["help"]]
            for field in dataclasses.fields(Settings)
            for variable in field.metadata["variables"]
            if not field.metadata["flag"]
        ),
    )


def _commands() -> Iterator[str]:
    with click.Context(commands, info_name="topology-reaper", **commands.context_settings) as root:
        yield "\n`topology-reaper --version` shows the version.\n"
        yield from _below(commands, root)


def _below(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = load(name) if group is commands else group.commands[name]
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _below(command, inner)
        else:
            yield _command(command, inner)


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"\n### {context.command_path}\n", f"```text\n{usage}\n```\n", _prose(command)]
    settings = _settings_of(command)
    unused = [option for option in settings if option.hidden]
    if unused:
        parts.append(
            f"It takes every [setting](#settings), and does nothing with {_names(unused)}.\n"
        )
    elif settings:
        parts.append(f"Of the [settings](#settings) it takes {_names(settings)}.\n")
    own = [o for o in command.params if isinstance(o, click.Option) and o not in settings]
    if own:
        rows = [[_flags(option), _default(option), option.help or ""] for option in own]
        parts.append(_table(["option", "default", "meaning"], rows))
    return "\n".join(parts)


def _prose(command: click.Command) -> str:
    """The help: paragraphs of prose, and what stands behind click's mark as it is."""
    paragraphs = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            _, *body = paragraph.splitlines()
            examples = [line.strip() for line in body if line != "Examples:"]
            paragraphs.append("\n".join(["```sh", *examples, "```"]))
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs) + "\n"


def _settings_of(command: click.Command) -> list[Setting]:
    """Those of its options that are settings, or the file of them."""
    return [param for param in command.params if isinstance(param, Setting)]


def _names(options: Iterable[click.Option]) -> str:
    return ", ".join(_code(option.opts[0]) for option in options)


def _meaning(option: click.Option) -> str:
    return _VARIABLE.sub("", option.help or "")


def _flags(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    return _code("/".join(option.opts) + value)


def _default(option: click.Option) -> str:
    return _code(str(option.default)) if option.show_default else ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        escaped = [cell.replace("|", r"\|") for cell in cells]
        return f"| {' | '.join(escaped)} |\n"

    return line(head) + line(["---"] * len(head)) + "".join(map(line, rows))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
