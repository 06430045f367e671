"""Every link and file name leads somewhere in the repository, and every page can be found."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from .pages import PAGES, TREE, Page

README = Page(TREE / "README.md")
SOURCE = re.compile(r"[a-z]\w*/(\w+/)*(\w+\.(py|sql))?")
"""A file or folder, named from the root or from the package."""


def within(page: Page) -> list[tuple[str, str]]:
    """Its links to files of the repository: path and anchor."""
    return [
        (unquote(path), anchor)
        for path, _, anchor in (link.partition("#") for link in page.links)
        if not path.startswith(("https://", "http://", "mailto:"))
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Page) -> None:
    broken = []
    for path, anchor in within(page):
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or not target.is_relative_to(TREE):
            broken.append(path)
        elif anchor and (target.suffix != ".md" or anchor not in Page(target).anchors):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_of_the_source_that_a_page_names_is_there(page: Page) -> None:
    named = {word for word in page.words if SOURCE.fullmatch(word)}
    assert {
        n for n in named if not any((at / n).exists() for at in (TREE, TREE / "listener"))
    } == set()


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ways = {README.path}, [README]
    while ways:
        page = ways.pop()
        for path, _ in within(page):
            target = (page.path.parent / path).resolve()
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                ways.append(Page(target))
    assert [str(page) for page in PAGES if page.path not in reached] == []
