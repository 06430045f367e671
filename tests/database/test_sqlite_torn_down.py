"""Which rows of a SQLite file are torn down, and that a commit which makes one so is heard of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from listener.databases.base import Behind, Reading, Row
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


@pytest.mark.parametrize("other", [lambda id_: id_[:8] + id_[8:].upper(), "{} ".format])
@pytest.mark.parametrize("standing", ["active", None])
def test_rows_that_read_as_one_id_are_torn_down_if_all_of_them_are(
    database: Looked, rows: Rows, other: Callable[[str], str], standing: str | None
) -> None:
    one, two = new_id(), new_id()
    rows.execute("CREATE TABLE copy (id TEXT PRIMARY KEY, name TEXT, status TEXT)")
    rows.execute("DROP TABLE topologies")
    rows.execute("ALTER TABLE copy RENAME TO topologies")
    for id_, status in (
        *((one, standing), (other(one), "torn_down")),
        *((two, "torn_down"), (other(two), standing)),
    ):
        rows.execute("INSERT INTO topologies VALUES (?, 'x', ?)", id_, status)
    answer = database.ask([one[:8], two[:8]])
    assert answer.ids == {one, two}
    assert answer.torn_down == set()
    assert answer.stands(one)
    assert answer.stands(two[:8])
    rows.execute("UPDATE topologies SET status = 'torn_down'")
    assert database.ask([one[:8], two[:8]]).torn_down == {one, two}


def test_rows_that_read_as_one_id_are_deployed_if_all_of_them_are(
    database: Looked, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = database._look

    def behind(batches: Sequence[Sequence[str]]) -> tuple[Reading, Sequence[Row]]:
        reading, found = look(batches)
        return replace(reading, behind=Behind("may be behind", in_order=True)), found

    monkeypatch.setattr(database, "_look", behind)
    one, two = new_id(), new_id()
    for id_, first, second in ((one, "pending", "active"), (two, "active", "torn_down")):
        rows.insert(id_, status=first)
        rows.insert(f"{id_} ", status=second)
    assert database.ask([one[:8], two[:8]]).deployed == {two}


def test_a_status_is_read_whatever_its_column_holds(database: Looked, rows: Rows) -> None:
    rows.insert(row := new_id(), status="torn_down")
    rows.execute("UPDATE topologies SET status = CAST(status AS BLOB)")
    assert database.ask([row[:8]]).torn_down == {row}
    for other in ("4", "NULL", "'torn_down_'", "'xtorn_down'"):
        rows.execute(f"UPDATE topologies SET status = {other}")
        assert database.ask([row[:8]]).torn_down == set()


def test_a_status_that_is_generated_is_read(database: Looked, rows: Rows) -> None:
    rows.execute("DROP TABLE topologies")
    rows.execute(
        "CREATE TABLE topologies (id TEXT PRIMARY KEY, state TEXT,"
        " status TEXT GENERATED ALWAYS AS (state) VIRTUAL)"
    )
    rows.execute("INSERT INTO topologies VALUES (?, 'torn_down')", row := new_id())
    answer = database.ask([row[:8]])
    assert answer.no_status == ""
    assert answer.torn_down == {row}


def test_a_table_without_the_column_is_asked_all_the_same(database: Looked, rows: Rows) -> None:
    rows.insert(row := new_id())
    rows.execute("ALTER TABLE topologies DROP COLUMN status")
    answer = database.ask([row[:8]])
    assert answer.ids == {row}
    assert answer.torn_down == set()
    assert answer.no_status.startswith(f"{database.name} has no column status; run ALTER TABLE")
    assert "as another table" in answer.no_status
    before = answer.identity
    rows.execute("ALTER TABLE topologies ADD COLUMN status TEXT")
    rows.execute("UPDATE topologies SET status = 'torn_down'")
    answer = database.ask([row[:8]])
    assert answer.torn_down == {row}
    assert answer.no_status == ""
    assert answer.identity != before, "as was said"


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
