"""An older state of a SQLite file, copied over it where nobody would notice."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from listener.core.evidence import Evidence
from listener.databases.feed import Feed
from listener.databases.sqlite.table import SqliteTopologies, create
from tests.support.decnet import new_id
from tests.support.follower import Follower


def write(path: Path, sql: str, *parameters: str) -> None:
    """As another process would, one after the other."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql, parameters)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database without a write-ahead log."""
    create(tmp_path / "decnet.db")
    write(tmp_path / "decnet.db", "PRAGMA journal_mode = DELETE")
    return tmp_path / "decnet.db"


def test_a_file_that_goes_back_while_it_is_read_is_another_one(path: Path) -> None:
    database, row = SqliteTopologies(path), new_id()
    backup = shutil.copy(path, path.with_name("backup.db"))
    write(path, "INSERT INTO topologies (id) VALUES (?)", row)
    before = database.ask([row[:8]])
    assert before.ids == {row}
    shutil.copy(backup, path)
    after = database.ask([row[:8]])
    assert (after.ids, after.identity) == (frozenset(), before.identity)
    assert after.generation != before.generation
    write(path, "INSERT INTO topologies (id) VALUES (?)", row)
    assert database.ask([row[:8]]).generation == after.generation
    database.close()


def test_a_file_that_went_back_between_two_runs_is_another_one(path: Path) -> None:
    database, row = SqliteTopologies(path), new_id()
    backup = shutil.copy(path, path.with_name("backup.db"))
    write(path, "INSERT INTO topologies (id) VALUES (?)", row)
    evidence = Evidence(30.0)
    evidence.observe(database.ask([row[:8]]), [row])
    database.close()
    shutil.copy(backup, path)
    again, later = SqliteTopologies(path), Evidence(30.0, memory=evidence.memory)
    later.observe(again.ask([row[:8]]), [row])
    assert later.memory.replaced
    assert not later.witnessed(row)
    again.close()


def test_the_rows_that_a_file_loses_as_it_goes_back_are_no_deletions(
    path: Path, follow: Callable[[Feed], Follower]
) -> None:
    backup = path.read_bytes()
    write(path, "INSERT INTO topologies (id) VALUES (?)", new_id())
    follower = follow(SqliteTopologies(path).push(look_every=0.01, check_every=1.0))
    with path.open("r+b") as file:  # at one stroke: it is never empty
        file.write(backup)
    follower.await_hints(2)
    follower.end()
    assert follower.deleted == []


def test_a_log_that_grows_the_database_moves_it_on(tmp_path: Path) -> None:
    path = tmp_path / "decnet.db"
    create(path)
    database = SqliteTopologies(path)
    first = database.ask([]).position
    write(path, "CREATE TABLE attacks (detail TEXT)")
    for _ in range(20):
        write(path, "INSERT INTO attacks VALUES (?)", "x" * 4000)
    write(path, "PRAGMA wal_checkpoint")  # by itself after a thousand pages
    assert database.ask([]).position > first
    database.close()
