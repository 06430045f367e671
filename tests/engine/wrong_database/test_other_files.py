"""Another SQLite file comes in the place of the one that the listener knows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.engine.wrong_database.conftest import (
    ANOTHER,
    OneShot,
    everything,
    goes_on,
    holds,
    hosted,
    looked,
    lost,
    released_by_its_token_alone,
)
from tests.support.process import ListenerProcess
from tests.support.rows import Rows


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """A SQLite file; there is nothing to swap on a server but the server."""
    return sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where it is."""
    return tmp_path / "decnet.db"


def parts(file: Path) -> list[Path]:
    """The files that there are of a database."""
    return list(file.parent.glob(f"{file.name}*"))


def removed_and_made_again(file: Path) -> None:
    """The new file has the number of the old one, which is free again and often the next."""
    number = file.stat().st_ino
    for part in parts(file):
        part.unlink()
    for attempt in range(1000):
        new = file.with_name(f"new-{attempt}")
        new.touch()
        if new.stat().st_ino == number:
            new.rename(file)
            break
    with Rows(file) as rows:
        rows.create_table()


def moved_over(file: Path) -> None:
    """As a restore does that is careful never to show half a file."""
    new = file.with_name("new.db")
    with Rows(new) as rows:
        rows.create_table()
    for part in parts(file):
        part.unlink()
    new.rename(file)


@pytest.mark.parametrize("swap", [removed_and_made_again, moved_over])
def test_another_file_between_two_runs_deletes_nothing(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    oneshot: OneShot,
    file: Path,
    tmp_path: Path,
    swap: Callable[[Path], None],
) -> None:
    here = hosted(api, rows, 2)
    process.start()
    assert process.stop() == 0
    rows.close()
    swap(file)
    process.start()
    released_by_its_token_alone(api, process, oneshot, here, ANOTHER, tmp_path)
    with Rows(file) as theirs:
        goes_on(api, process, theirs, tmp_path)


def test_a_file_that_is_put_in_place_while_listening_is_told_and_held_from_the_next_start_on(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    oneshot: OneShot,
    file: Path,
    tmp_path: Path,
) -> None:
    here = hosted(api, rows, 2)
    process.start()
    rows.close()
    moved_over(file)
    (line,) = process.await_log("down")
    assert "is not the file that it was" in line["error"]
    looked(process)
    assert not lost(api, here)
    assert process.stop() == 0
    process.start()
    released_by_its_token_alone(api, process, oneshot, here, ANOTHER, tmp_path)
    with Rows(file) as theirs:
        goes_on(api, process, theirs, tmp_path)


def test_an_older_copy_written_over_the_file_is_held(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    file: Path,
    tmp_path: Path,
) -> None:
    """The way of a plain cp, with what belonged to the old one cleared away as it has to be."""
    in_it = hosted(api, rows, 1)
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, tmp_path / "copy.db")
    younger = hosted(api, rows, 2)
    process.start()
    rows.close()
    for part in parts(file):
        if part != file:
            part.unlink()
    shutil.copy(tmp_path / "copy.db", file)
    line = holds(process, younger)
    assert ANOTHER in line["message"]
    looked(process)
    assert not lost(api, in_it | younger)
    with Rows(file) as restored:
        goes_on(api, process, restored, tmp_path, *everything(in_it, younger))
