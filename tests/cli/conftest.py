"""A folder, the command in it, and an engine on which nothing runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.fake import EMPTY_ENGINE, FakeServer


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pycache")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the path of a socket."""
    with tempfile.TemporaryDirectory(prefix="cli-") as path:
        yield Path(path)


@pytest.fixture
def command(folder: Path, cache: Path) -> Command:
    return Command(folder, cache)


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """The address of an engine on which nothing runs."""
    with tempfile.TemporaryDirectory(prefix="cli-") as path:
        socket = Path(path, "engine.sock")
        with FakeServer(socket, EMPTY_ENGINE):
            yield f"unix://{socket}"


@pytest.fixture
def database(command: Command) -> str:
    """The URL of a database in the folder."""
    assert command("init-db", "decnet.db").status == 0
    return f"sqlite:///{command.folder}/decnet.db"
