"""The commands as click knows them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from listener.cli import commands, load


def leaves(group: click.Group = commands, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its name with those above it."""
    for name, listed in group.commands.items():
        command = load(name) if group is commands else listed
        if isinstance(command, click.Group):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command
