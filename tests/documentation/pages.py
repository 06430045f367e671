"""The Markdown files of the repository, read as their readers' programs read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

TREE = Path(__file__).parents[2]
_FOREIGN = {"build", "dist", "node_modules"}
_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(TREE))

    @cached_property
    def _tokens(self) -> Sequence[Token]:
        return _PARSER.parse(self.path.read_text())

    @property
    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    @property
    def links(self) -> list[str]:
        """Where its links and images lead."""
        targets = [token.attrGet("href") or token.attrGet("src") for token in self._inline]
        return [str(target) for target in targets if target is not None]

    @property
    def anchors(self) -> set[str]:
        """The names of its headings, as GitHub makes them."""
        found: set[str] = set()
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                text = "".join(part.content for part in token.children or ())
                name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
                found.add(next(n for n in _numbered(name) if n not in found))
        return found

    @property
    def words(self) -> list[str]:
        """Its pieces of inline code."""
        return [token.content for token in self._inline if token.type == "code_inline"]

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """Its blocks of code, each after its language."""
        return [(t.info.strip(), t.content) for t in self._tokens if t.type == "fence"]

    @property
    def rows(self) -> list[list[str]]:
        """The rows of its tables, without their heads; each cell as its text."""
        rows: list[list[str]] = []
        in_body = False
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            in_body = (in_body or before.type == "tbody_open") and before.type != "tbody_close"
            if in_body and before.type == "tr_open":
                rows.append([])
            if in_body and before.type == "td_open":
                rows[-1].append("".join(part.content for part in token.children or ()))
        return rows


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        yield f"{name}-{number}"
        number += 1


def pages() -> list[Page]:
    """Every Markdown file."""
    found = []
    for path in TREE.rglob("*.md"):
        folders = path.relative_to(TREE).parts
        if not any(part.startswith(".") or part in _FOREIGN for part in folders):
            found.append(Page(path))
    return sorted(found, key=str)


PAGES = pages()
