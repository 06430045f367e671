"""docs/options.md has every option, as it is."""

from __future__ import annotations

import re

import click
import options_reference
import pytest

from listener.cli import commands

from .leaves import leaves
from .pages import PAGES, TREE, Page

PAGE = TREE / "docs" / "options.md"
COMMANDS = dict(leaves())
FOREIGN = {
    "--live-restore",
    "--userns-remap",
    "--mode",
    "--user",
    "--group-add",
    "--volume",
    "--env",
}
"""Options of other programs that a text mentions."""
OF_COMPOSE = {"REAPER_IMAGE", "REAPER_USER"}
OWN = "Options"
"""The heading in the help over what is a command's own."""


def by_heading(text: str) -> dict[str, set[str]]:
    """The options that a text shows, but ``--help``, by the headings over them."""
    _, *parts = re.split(r"^(?:### )?(\w+):?$", text, flags=re.MULTILINE)
    return {
        heading: set(re.findall(r"^(?:\| `|  (?:-\w, )?)(--[a-z-]+)", below, re.MULTILINE))
        - {"--help"}
        for heading, below in zip(parts[::2], parts[1::2], strict=True)
    }


def shown_by_help(name: str) -> dict[str, set[str]]:
    """The options in what ``--help`` prints, by heading."""
    context = click.Context(COMMANDS[name], info_name=name, **commands.context_settings)
    return by_heading(context.get_help())


def flat(groups: dict[str, set[str]]) -> set[str]:
    """The options under any heading."""
    return set().union(*groups.values())


ALL = sorted(set().union(*(flat(shown_by_help(name)) for name in COMMANDS)))


def section(title: str) -> str:
    """What stands on the page under this heading, and under lesser ones below it."""
    _, level, rest = re.split(rf"^(#+) {title}\n", PAGE.read_text(), flags=re.MULTILINE)
    return re.split(rf"^#{{2,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_page_is_as_make_docs_would_make_it() -> None:
    assert PAGE.read_text() == options_reference.reference(), "run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_what_help_shows(name: str) -> None:
    said = section(f"topology-reaper {name}")
    taken = set(re.findall(r"`(--[a-z-]+)[ `]", said))
    if "It takes every [setting](#settings), and does nothing with" in said:
        taken ^= flat(by_heading(section("Settings")))
    assert taken == flat(shown_by_help(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_its_own_options_first_and_each_setting_under_its_heading(name: str) -> None:
    groups, shown = by_heading(section("Settings")), shown_by_help(name)
    assert [OWN, *(group for group in groups if group in shown)] == [
        heading for heading in shown if heading not in {"Examples", "Commands"}
    ]
    for group, options in groups.items():
        assert shown.get(group, set()) <= options
        assert shown[OWN].isdisjoint(options)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_options_and_variables_that_a_page_mentions_exist(page: Page) -> None:
    mentioned = {re.split(r"[ =:]", word)[0] for word in page.words if word.startswith("--")}
    assert mentioned - {*ALL, "--help", "--version"} - FOREIGN == set()
    variables = set(re.findall(r"(?<![A-Z_])REAPER_[A-Z_]+", page.path.read_text()))
    known = {f"REAPER_{option[2:].replace('-', '_').upper()}" for option in ALL}
    assert variables - known - OF_COMPOSE <= {"REAPER_"}  # as in REAPER_…
