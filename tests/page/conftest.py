"""One Chromium for all of these tests, and for each a stage of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.page.browser import Browser
from tests.page.stage import Stage


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with Browser() as browser:
        yield browser


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server for the page."""
    with Stage() as server:
        yield server


@pytest.fixture
def browser(chromium: Browser, stage: Stage) -> Iterator[Browser]:  # noqa: ARG001 - it ends first
    """The browser; a test fails if the console got anything that the test did not take."""
    yield chromium
    complaints = chromium.complaints()
    chromium.open("about:blank")
    assert complaints == []
