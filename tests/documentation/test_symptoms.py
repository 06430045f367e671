"""What docs/troubleshooting.md quotes is what the listener says."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator

import pytest

from .pages import TREE, Page

PAGE = Page(TREE / "docs" / "troubleshooting.md")
NOT_OURS = re.compile(r"(topology-reaper|docker|journalctl|systemctl|chown|--[a-z-]+) |\"|\w+ = ")
"""How something begins that is typed, or is a setting of another program."""


def said() -> Iterator[str]:
    """The literal parts of everything that the source can say, and of what the system does."""
    for path in (TREE / "listener").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield " ".join(node.value.split())
    yield from map(os.strerror, errno.errorcode)


SAID = "\n".join(said())
QUOTES = [
    word for word in dict.fromkeys(PAGE.words) if len(word.split()) > 1 and not NOT_OURS.match(word)
]


def parts(quote: str) -> list[str]:
    """The pieces of a quote between the values in it, which stand there as …, in full words."""
    pieces = re.split(r"…|\d+|: |'|; ", quote)
    return [piece.strip(" ,") for piece in pieces if len(piece.split()) > 1]


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quote_is_in_the_source(quote: str) -> None:
    assert [piece for piece in parts(quote) if piece not in SAID] == []


def test_there_are_quotes() -> None:
    assert len([quote for quote in QUOTES if parts(quote)]) > 30
    assert "it was never said" not in SAID
