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
FOREIGN = {"--live-restore", "--mode", "--user", "--group-add", "--volume", "--env"}
"""Options of other programs that a text mentions."""
OF_COMPOSE = {"REAPER_IMAGE", "REAPER_USER"}


def shown_by_help(name: str) -> set[str]:
    """The options in what ``--help`` prints, without itself."""
    context = click.Context(COMMANDS[name], info_name=name, **commands.context_settings)
    found = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", context.get_help(), re.MULTILINE)
    return set(found) - {"--help"}


ALL = sorted({option for name in COMMANDS for option in shown_by_help(name)})


def section(title: str) -> str:
    """What stands on the page under this heading."""
    _, _, rest = PAGE.read_text().partition(f"# {title}\n")
    assert rest, f"there is no heading {title}"
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_page_is_as_make_docs_would_make_it() -> None:
    assert PAGE.read_text() == options_reference.reference(), "run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_what_help_shows(name: str) -> None:
    settings = set(re.findall(r"^\| `(--[a-z-]+)", section("Settings"), re.MULTILINE))
    said = section(f"topology-reaper {name}")
    taken = set(re.findall(r"`(--[a-z-]+)[ `]", said))
    if "It takes every [setting](#settings)" in said:
        taken |= settings
    assert taken == shown_by_help(name)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_options_and_variables_that_a_page_mentions_exist(page: Page) -> None:
    mentioned = {re.split(r"[ =:]", word)[0] for word in page.words if word.startswith("--")}
    assert mentioned - {*ALL, "--help", "--version"} - FOREIGN == set()
    variables = set(re.findall(r"(?<![A-Z_])REAPER_[A-Z_]+", page.path.read_text()))
    known = {f"REAPER_{option[2:].replace('-', '_').upper()}" for option in ALL}
    assert variables - known - OF_COMPOSE <= {"REAPER_"}  # as in REAPER_…
