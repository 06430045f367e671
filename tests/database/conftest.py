"""Files that another process writes, and a feed that is followed on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from listener.databases.feed import Feed
from listener.databases.sqlite.table import SqliteTopologies
from tests.support.follower import PATIENCE, Follower
from tests.support.rows import Rows


@pytest.fixture(autouse=True)
def _disposed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever connections are pooled are closed at the end."""
    engines: list[sa.Engine] = []
    create_engine = sa.create_engine

    def create(*args: Any, **kwargs: Any) -> sa.Engine:
        engines.append(create_engine(*args, **kwargs))
        return engines[-1]

    monkeypatch.setattr(sa, "create_engine", create)
    yield
    for engine in engines:
        engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is, or would be."""
    return tmp_path / "decnet.db"


@pytest.fixture
def open_rows() -> Iterator[Callable[[Path], Rows]]:
    """Starts writers, each a process; they end with the test."""
    writers: list[Rows] = []

    def start(path: Path) -> Rows:
        writers.append(Rows(path))
        return writers[-1]

    yield start
    for writer in writers:
        writer.close()


@pytest.fixture
def rows(open_rows: Callable[[Path], Rows], path: Path) -> Rows:
    """A writer of a database with the tables made, in WAL mode."""
    writer = open_rows(path)
    writer.create_table()
    return writer


class Looked(SqliteTopologies):
    """Counts how often the file was looked at."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.looks = 0
        self.looked = threading.Condition()
        self._check = self.file.check
        self.file.check = self._count_and_check  # type: ignore[method-assign]

    def _count_and_check(self) -> None:
        with self.looked:
            self.looks += 1
            self.looked.notify_all()
        self._check()

    def await_looks(self, more: int) -> None:
        """Return after the file was looked at so many times more."""
        with self.looked:
            target = self.looks + more
            assert self.looked.wait_for(lambda: self.looks >= target, PATIENCE)


@pytest.fixture
def database(path: Path) -> Looked:
    """The file as the listener sees it."""
    return Looked(path)


@pytest.fixture
def follow() -> Iterator[Callable[[Feed], Follower]]:
    """Follows feeds until the end of the test."""
    followers: list[Follower] = []

    def start(feed: Feed) -> Follower:
        followers.append(Follower(feed))
        followers[-1].await_hints(1)
        return followers[-1]

    yield start
    for follower in followers:
        follower.end()
