"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from loguru import logger
from tenacity import wait_none

from listener.control import reaper

if TYPE_CHECKING:
    from loguru import Message, Record

settings.register_profile("unit", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("unit")


@pytest.fixture
def log() -> Iterator[list[Record]]:
    """What was logged, from DEBUG on."""
    records: list[Record] = []

    def keep(message: Message) -> None:
        records.append(message.record)

    sink = logger.add(keep, level="DEBUG")
    yield records
    logger.remove(sink)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other without a pause."""
    monkeypatch.setattr(reaper, "RETRY_WAIT", wait_none())
