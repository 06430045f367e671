"""Every link within the repository leads somewhere, and every page can be found."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from .pages import PAGES, TREE, Page

README = Page(TREE / "README.md")


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
