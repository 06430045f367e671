"""Every command line of ours that somebody is shown can be typed: its words and options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from listener.cli import commands

from .leaves import leaves
from .pages import PAGES, TREE, Page

NAME = "topology-reaper"
FILES = [
    path
    for path in sorted((TREE / "contrib").rglob("*"))
    if path.suffix in {".service", ".yaml", ".sql", ".environment", ".sysusers", ".tmpfiles"}
]
_ENDS = re.compile(r"[|;&]+|\d?>>?|<")


def lines(text: str) -> Iterator[str]:
    """The lines that are typed: without prompts, and those that go on in the next one joined."""
    for line in text.replace("\\\n", " ").splitlines():
        yield re.sub(r"^\s*[$#>] ", "", line.strip())


def arguments(line: str) -> Sequence[str] | None:
    """What follows our command in a line of a shell; None if the line does not run it.

    In a synopsis, what stands in brackets may be left out, and so may the brackets.
    """
    try:
        words = shlex.split(re.sub(r"\[OPTIONS\]|[\[\]]", "", line), comments=True)
    except ValueError:  # an apostrophe: it is no command
        return None
    ends = [number for number, word in enumerate(words) if _ENDS.fullmatch(word)]
    words = words[: min(ends, default=None)]
    while words and (re.match(r"\w+=", words[0]) or words[0] == "sudo"):
        words.pop(0)
    if not words:
        return None
    if words[0].startswith("docker"):  # in a container, or by its image
        image = [n for n, word in enumerate(words) if re.fullmatch(rf"{NAME}(:\w+)?", word)]
        runs = {"exec", "run"} & set(words) and image
        return words[image[-1] + 1 :] or None if runs else None
    return words[1:] if words[0].rpartition("/")[2] == NAME else None


def check(words: Sequence[str]) -> None:
    """Parse the words as the command would; the bare name of one may be mentioned.

    Raises:
        click.UsageError: it would refuse them.
    """
    command: click.Command = commands
    context, rest = (
        click.Context(commands, info_name=NAME, **commands.context_settings),
        list(words),
    )
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    mentioned = not rest
    try:
        command.make_context(context.info_name, rest, parent=context.parent)
    except click.exceptions.Exit:  # --help and --version
        return
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        if not mentioned:
            raise


def refused(shown: Sequence[Sequence[str]]) -> list[str]:
    """Those that the command would refuse, each with what it would say."""
    found = []
    for words in shown:
        try:
            check(words)
        except click.ClickException as error:
            found.append(f"{' '.join(words)}: {error.format_message()}")
    return found


def shown_on(page: Page) -> list[Sequence[str]]:
    """The arguments of all command lines on a page."""
    typed = [line for _, text in page.blocks for line in lines(text)]
    typed += [word for word in page.words if word.startswith(f"{NAME} ")]
    return [words for line in typed if (words := arguments(line)) is not None]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_on_a_page(page: Page) -> None:
    assert refused(shown_on(page)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TREE)))
def test_in_a_file_of_contrib(path: Path) -> None:
    typed = re.findall(rf"^ExecStart=(.+)|`({NAME} [^`]+)`", path.read_text(), re.MULTILINE)
    assert refused([arguments(one or other) or () for one, other in typed]) == []


@pytest.mark.parametrize("name", dict(leaves()))
def test_each_command_shows_in_its_help_how_it_is_typed(name: str) -> None:
    text = dict(leaves())[name].help or ""
    shown = [words for line in lines(text) if (words := arguments(line)) is not None]
    assert [words for words in shown if " ".join(words).startswith(name)]
    assert refused(shown) == []


def test_in_what_the_program_says() -> None:
    known = dict(leaves())
    said = {
        (path.name, words, flag)
        for path in (TREE / "listener").rglob("*.py")
        for words, flag in re.findall(
            rf"(?<!/){NAME} ((?:feed )?[a-z][a-z-]*)(?: (--[a-z-]+))?", path.read_text()
        )
    }
    wrong = {
        (file, words, flag)
        for file, words, flag in said
        if words not in {*known, "feed"}
        or (flag and not any(flag in param.opts for param in known[words].params))
    }
    assert len(said) > len(known)
    assert wrong == set()
