"""Which rows of a SQLite file are torn down, and that a commit which makes one so is heard of."""

from __future__ import annotations

from collections.abc import Callable

from listener.databases.feed import Feed
from listener.databases.sqlite.feed import SqliteFeed
from tests.database.conftest import Looked
from tests.support.decnet import new_id
from tests.support.follower import Follower
from tests.support.rows import Rows


def test_every_question_tells_which_rows_are_torn_down(database: Looked, rows: Rows) -> None:
    rows.insert(one := new_id(), status="torn_down")
    rows.insert(two := new_id(), status="tearing_down")
    answer = database.ask([one[:8], two[:8]])
    assert answer.ids == {one, two}
    assert answer.torn_down == {one}
    assert answer.no_status == ""


def test_a_table_without_the_column_is_asked_all_the_same(database: Looked, rows: Rows) -> None:
    rows.insert(row := new_id())
    rows.execute("ALTER TABLE topologies DROP COLUMN status")
    answer = database.ask([row[:8]])
    assert answer.ids == {row}
    assert answer.torn_down == set()
    assert answer.no_status.startswith(f"{database.name} has no column status; run ALTER TABLE")
    rows.execute("ALTER TABLE topologies ADD COLUMN status TEXT")
    rows.execute("UPDATE topologies SET status = 'torn_down'")
    answer = database.ask([row[:8]])
    assert answer.torn_down == {row}
    assert answer.no_status == ""


def test_a_row_of_this_host_that_becomes_torn_down_is_a_hint(
    database: Looked, rows: Rows, follow: Callable[[Feed], Follower]
) -> None:
    here, elsewhere = new_id(), new_id()
    rows.insert(here, elsewhere)
    follower = follow(SqliteFeed(database.file, 60.0, lambda: [here[:8]]))
    update = "UPDATE topologies SET status = ? WHERE id = ?"
    rows.execute(update, "torn_down", elsewhere)
    rows.execute(update, "tearing_down", here)
    rows.execute(update, "torn_down", here)
    follower.await_hints(2)
    rows.delete(here)
    follower.await_deleted(here)
    follower.await_hints(4)
    assert [heard.ids for heard in follower.heard] == [None, None, [here], None]


def test_without_a_status_the_rows_are_compared_all_the_same(
    database: Looked, rows: Rows, follow: Callable[[Feed], Follower]
) -> None:
    rows.insert(here := new_id())
    rows.execute("ALTER TABLE topologies DROP COLUMN status")
    follower = follow(SqliteFeed(database.file, 60.0, lambda: [here[:8]]))
    rows.execute("UPDATE topologies SET name = 'x'")
    rows.delete(here)
    follower.await_deleted(here)
    follower.await_hints(3)
    assert [heard.ids for heard in follower.heard] == [None, [here], None]
