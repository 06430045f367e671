"""The feed of a SQLite file: a commit of another process is a hint, and nothing else is."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import inotify_simple
import pytest

from listener.databases.feed import Feed
from listener.databases.sqlite import feed as feeds
from listener.databases.sqlite.feed import SqliteFeed
from listener.databases.sqlite.table import SqliteTopologies, create
from listener.errors import NoAnswer
from tests.support.decnet import new_id
from tests.support.follower import PATIENCE, Follower
from tests.support.rows import Rows

from .conftest import Looked

Follow = Callable[[Feed], Follower]
MakeRows = Callable[[Path], Rows]
SOON = 0.01
"""An interval for the tests in which the regular look has to find something."""


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch, path: Path) -> Callable[[Follower], None]:
    """The regular look never comes: what is noticed was noticed because inotify woke the feed.

    Returns how to end such a follower before the test is over.
    """
    monkeypatch.setattr(feeds, "LONGEST_SLEEP", 10 * PATIENCE)

    def end(follower: Follower) -> None:
        follower.stop.set()
        with suppress(OSError):
            path.with_name(path.name + "-touched").touch()
        follower.end()

    return end


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_commit_of_another_process_wakes_it(
    open_rows: MakeRows,
    path: Path,
    database: Looked,
    follow: Follow,
    only_woken: Callable[[Follower], None],
    mode: str,
) -> None:
    writer = open_rows(path)
    writer.execute(f"PRAGMA journal_mode = {mode}")
    writer.create_table()
    follower = follow(SqliteFeed(database.file, 10 * PATIENCE))
    for count in range(2, 5):
        before = follower.hints
        writer.insert(new_id())
        follower.await_hints(before + 1)
        assert follower.hints <= count * 3
    only_woken(follower)


@pytest.mark.parametrize("place", ["beside", "elsewhere"])
def test_a_file_behind_a_link_wakes_it_too(
    tmp_path: Path,
    path: Path,
    rows: Rows,
    follow: Follow,
    only_woken: Callable[[Follower], None],
    place: str,
) -> None:
    folder = tmp_path if place == "beside" else tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    link = folder / "link.db"
    link.symlink_to(path)
    follower = follow(SqliteFeed(SqliteTopologies(link).file, 10 * PATIENCE))
    rows.insert(new_id())
    try:
        follower.await_hints(2)
    finally:
        (folder / "link.db-touched").touch()  # wakes the feed, wherever it watches
        only_woken(follower)


def test_nothing_hints_while_nobody_writes(
    database: Looked, rows: Rows, path: Path, follow: Follow
) -> None:
    follower = follow(SqliteFeed(database.file, SOON))
    database.await_looks(50)
    for _ in range(20):
        database.ask(["aaaaaaaa"])  # our own questions are no news
    for count in range(20):
        path.with_name(f"{path.name}-{count}").touch()  # wakes it, and is no commit
    database.await_looks(50)
    assert follower.hints == 1
    assert rows.insert(new_id()) > 0
    follower.await_hints(2)


OURS = new_id()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.delete(OURS),
        lambda rows: rows.insert(new_id(OURS[:8])),
        lambda rows: rows.execute("DROP TABLE topologies"),
        lambda rows: rows.execute("PRAGMA wal_checkpoint(TRUNCATE)"),  # shows how far it has come
    ],
)
def test_only_what_would_change_an_answer_about_this_host_is_a_hint(
    database: Looked, rows: Rows, follow: Follow, change: Callable[[Rows], object]
) -> None:
    other = new_id()
    rows.insert(OURS)
    follower = follow(SqliteFeed(database.file, SOON, lambda: {OURS[:8]}))
    for _ in range(20):
        rows.noise(1)
    rows.renew(OURS)
    rows.insert(other)
    database.await_looks(50)
    assert follower.hints == 1
    change(rows)
    rows.noise(1)
    follower.await_hints(2)


def test_deleted_rows_of_any_host_are_reported_and_only_those(
    database: Looked, rows: Rows, follow: Follow
) -> None:
    kept, renewed, foreign = new_id(), new_id(), new_id()
    rows.insert(OURS, kept, renewed, foreign)
    follower = follow(SqliteFeed(database.file, SOON, lambda: {OURS[:8]}))
    rows.renew(renewed)
    rows.delete(foreign)
    follower.await_deleted(foreign)
    assert [heard.ids for heard in follower.heard] == [None, [foreign]]
    rows.delete(OURS)
    follower.await_hints(4)
    assert [heard.ids for heard in follower.heard[2:]] == [[OURS], None]


def test_for_many_hosts_it_says_which_rows_wherever_it_can(
    database: Looked, rows: Rows, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn_down, fresh, late = new_id(), new_id(), new_id()
    rows.insert(OURS, torn_down)
    named = {OURS[:8], torn_down[:8]}
    follower = follow(SqliteFeed(database.file, SOON, lambda: named, precise=True))
    rows.insert(fresh, late)
    named.add(fresh[:8])
    rows.delete(OURS)
    follower.await_deleted(OURS)
    rows.execute("UPDATE topologies SET status = 'torn_down' WHERE id = ?", torn_down)
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.delete(fresh)
    follower.await_deleted(fresh)
    named.add(late[:8])
    rows.delete(late)
    follower.await_deleted(late)
    assert [heard.ids for heard in follower.heard] == [None, [OURS], [fresh], [late]]
    assert follower.torn_down == [torn_down]
    rows.insert(OURS)  # a row for what has been named without one
    follower.await_hints(5)
    named.add("0123abcd")  # without one
    rows.noise(1)
    follower.await_hints(6)
    monkeypatch.setattr("listener.databases.sqlite.changes.MOST_COMPARED", 0)
    rows.delete(OURS)
    follower.await_hints(7)
    assert [heard.ids for heard in follower.heard[4:]] == [None, None, None]


def make_again(rows: Rows) -> None:
    rows.execute("DROP TABLE attacks")
    rows.execute("DROP TABLE topologies")
    rows.create_table()


def outgrow(rows: Rows) -> None:
    rows.insert(*(new_id() for _ in range(10)))


@pytest.mark.parametrize("change", [make_again, outgrow])
def test_rows_that_are_not_seen_any_more_are_no_deletions(
    database: Looked,
    rows: Rows,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Rows], None],
) -> None:
    monkeypatch.setattr("listener.databases.sqlite.changes.MOST_COMPARED", 5)
    rows.insert(OURS, new_id())
    follower = follow(SqliteFeed(database.file, SOON))
    change(rows)
    follower.await_hints(2)
    before = follower.hints
    rows.execute("DELETE FROM topologies")
    rows.insert(new_id())
    follower.await_hints(before + 1)
    database.await_looks(20)
    assert follower.deleted == []


def test_a_topology_that_has_come_to_this_host_is_looked_for_with_the_next_commit(
    database: Looked, rows: Rows, follow: Follow
) -> None:
    host: set[str] = set()
    follower = follow(SqliteFeed(database.file, SOON, lambda: host))
    host.add(OURS[:8])
    rows.noise(1)
    follower.await_hints(2)


def test_a_commit_that_shows_later_than_its_write_is_not_missed(
    database: Looked,
    rows: Rows,
    follow: Follow,
    only_woken: Callable[[Follower], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The write wakes it before the commit shows; meanwhile a log beside it may be written to."""
    version, read = SqliteFeed._version, inotify_simple.INotify.read
    first: list[int] = []
    visible: list[float] = []  # from when on the commit shows
    noise = [inotify_simple.Event(1, 2, 0, "decnet.log")] * 30

    def late(self: SqliteFeed, connection: sqlite3.Connection) -> int:
        found = version(self, connection)
        first.append(found)
        if found != first[0] and not visible:
            visible.append(time.monotonic() + 0.1)
        return found if not visible or time.monotonic() >= visible[0] else first[0]

    def busy(self: inotify_simple.INotify, timeout: int) -> list[inotify_simple.Event]:
        return [noise.pop()] if visible and noise else list(read(self, timeout=timeout))

    monkeypatch.setattr(SqliteFeed, "_version", late)
    monkeypatch.setattr(inotify_simple.INotify, "read", busy)
    follower = follow(SqliteFeed(database.file, 10 * PATIENCE))
    rows.insert(new_id())
    try:
        follower.await_hints(2)
    finally:
        only_woken(follower)


def test_without_inotify_the_regular_look_finds_every_commit(
    database: Looked, rows: Rows, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(inotify_simple.INotify, "add_watch", refuse)
    follower = follow(SqliteFeed(database.file, SOON))
    for count in range(2, 5):
        rows.insert(new_id())
        follower.await_hints(count)
    assert follower.error is None


# Files that move.


def test_another_file_in_its_place_ends_it_and_is_not_followed_instead(
    database: Looked, rows: Rows, path: Path, follow: Follow
) -> None:
    rows.insert(new_id())
    database.ask([])
    feed = SqliteFeed(database.file, SOON)
    follower = follow(feed)
    create(path.with_name("other"))
    path.with_name("old").hardlink_to(path)
    path.with_name("other").replace(path)  # at one stroke: it is never absent
    assert "not the file that it was" in str(follower.await_end(NoAnswer))
    for _ in range(3):
        with pytest.raises(NoAnswer, match="not the file that it was"):
            feed.connect()
    path.with_name("old").replace(path)
    again = follow(feed)
    rows.insert(new_id())
    again.await_hints(2)


def test_after_the_file_came_back_it_hints_at_once(
    database: Looked, rows: Rows, path: Path, follow: Follow
) -> None:
    feed = SqliteFeed(database.file, SOON)
    follower = follow(feed)
    path.rename(path.with_name("away"))
    follower.await_end(NoAnswer)
    with pytest.raises(NoAnswer, match="does not exist"):
        feed.connect()
    path.with_name("away").rename(path)
    rows.insert(new_id())
    assert follow(feed).hints == 1


@pytest.mark.parametrize("content", [None, b"no database at all" * 100])
def test_what_is_no_database_cannot_be_followed(
    database: Looked, path: Path, content: bytes | None
) -> None:
    if content is not None:
        path.write_bytes(content)
    feed = SqliteFeed(database.file, SOON)

    def try_it() -> None:
        feed.connect()
        Follower(feed).await_end(NoAnswer)
        raise NoAnswer("it ended by itself")

    with pytest.raises(NoAnswer):
        try_it()
    assert path.exists() == (content is not None)


def test_a_feed_that_cannot_be_connected_leaves_no_connection_open(
    database: Looked, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.insert(new_id())
    opened: list[sqlite3.Connection] = []
    connect = database.file.connect

    def remember() -> sqlite3.Connection:
        opened.append(connect())
        return opened[-1]

    def fail(*_: object) -> int:
        raise NoAnswer("it passes")

    monkeypatch.setattr(database.file, "connect", remember)
    monkeypatch.setattr(SqliteFeed, "_version", fail)
    with pytest.raises(NoAnswer, match="it passes"):
        SqliteFeed(database.file, SOON).connect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


# The end.


@pytest.mark.parametrize("busy", [False, True])
def test_stop_ends_it_without_an_error(
    database: Looked, rows: Rows, follow: Follow, busy: bool
) -> None:
    follower = follow(SqliteFeed(database.file, 10 * PATIENCE))
    if busy:
        rows.noise(100)
    follower.end()  # though its interval is far longer than our patience
    assert follower.error is None
    hints = follower.hints
    rows.insert(new_id())
    assert follower.hints == hints
