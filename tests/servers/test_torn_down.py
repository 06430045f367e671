"""Which rows are torn down, as real servers show it and tell of it to accounts with few rights."""

from __future__ import annotations

import re

import pytest

from listener.core.evidence import Answer
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer
from tests.servers.conftest import READING, Ear, Open, Opened, Side, fresh_side, heard_of, hears
from tests.support.decnet import new_id
from tests.support.distance import Distance
from tests.support.servers import PrivateMariaDB, PrivatePostgres

STATUSES = ("pending", "deploying", "active", "degraded", "failed", "tearing_down", "torn_down")
pytestmark = pytest.mark.usefixtures("tables_of_any_age")


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One in whose log nobody else writes."""
    return own_mariadb


def ask(topologies: Opened, *ids: str) -> Answer:
    """What is said of these."""
    answer = topologies.ask([id_[:8] for id_ in ids])
    assert answer.ids == set(ids)
    return answer


def a_minute_later(topologies: Opened) -> Opened:
    """It is time to try again what could not be read."""
    assert isinstance(topologies, ServerTopologies)
    topologies._unread._until = 0.0
    return topologies


def only_ids(side: Side) -> str:
    """The URL of an account that may not read the status."""
    *others, last = READING[PrivatePostgres if side.on_postgres else PrivateMariaDB]
    return side.reader(*others, last.replace("SELECT", "SELECT (id)"))


# Answers.


def test_every_question_tells_which_rows_are_torn_down(side: Side, opened: Open) -> None:
    ids = {status: new_id() for status in STATUSES}
    for status, id_ in ids.items():
        side.rows.insert(id_, status=status)
    answer = ask(opened(side.url), *ids.values())
    assert answer.torn_down == {ids["torn_down"]}
    assert answer.no_status == ""
    assert answer.deployed == set()


def test_a_table_without_the_column_is_asked_all_the_same(side: Side, opened: Open) -> None:
    side.rows.insert(row := new_id(), status="torn_down")
    side.execute("ALTER TABLE topologies DROP COLUMN status")
    topologies = opened(side.url)
    answer = ask(topologies, row)
    assert answer.torn_down == set()
    (remedy,) = re.findall("run (ALTER TABLE .*)", answer.no_status)
    side.execute(remedy)
    assert ask(topologies, row).no_status == answer.no_status, "it is not tried at each question"
    assert ask(a_minute_later(topologies), row).no_status == ""
    side.rows.execute("UPDATE topologies SET status = 'torn_down'")
    assert ask(topologies, row).torn_down == {row}


def test_an_account_that_may_not_read_the_column_is_told_the_grant(
    side: Side, opened: Open
) -> None:
    side.rows.insert(row := new_id(), status="torn_down")
    topologies = opened(only_ids(side))
    answer = ask(topologies, row)
    assert answer.torn_down == set()
    (remedy,) = re.findall("run (GRANT .*)", answer.no_status)
    side.execute(remedy)
    assert ask(a_minute_later(topologies), row).torn_down == {row}


def test_what_may_not_be_read_takes_no_further_round_trip(side: Side, opened: Open) -> None:
    side.rows.insert(row := new_id())
    with Distance(("127.0.0.1", side.server.port)) as relay:
        url = only_ids(side).replace(f":{side.server.port}/", f":{relay.port}/")
        topologies = opened(url)
        ask(topologies, row)
        before = relay.round_trips
        assert ask(topologies, row).no_status
        assert relay.round_trips == before + 1


def test_it_is_forgotten_that_only_the_column_may_not_be_read_once_nothing_may(
    side: Side, opened: Open
) -> None:
    side.rows.insert(row := new_id(), status="torn_down")
    topologies = opened(only_ids(side))
    (grant,) = re.findall("run (GRANT .*)", ask(topologies, row).no_status)
    revoke = grant.replace("GRANT", "REVOKE").replace("id, status", "id").replace(" TO ", " FROM ")
    side.execute(revoke)
    with pytest.raises(NoAnswer):
        topologies.ask([row[:8]])
    side.execute(grant)
    assert ask(topologies, row).no_status == ""


def test_rows_that_read_as_one_id_are_torn_down_if_all_of_them_are(
    postgres_side: Side, opened: Open
) -> None:
    side = postgres_side
    side.execute("CREATE TABLE archive () INHERITS (topologies)")
    for one, two in (("active", "torn_down"), ("torn_down", "active")):
        row = new_id()
        side.execute(f"INSERT INTO topologies VALUES ('{row}', 'x', '{one}')")
        side.execute(f"INSERT INTO archive VALUES ('{row}', 'x', '{two}')")
        assert ask(opened(side.url), row).torn_down == set()
    side.execute("UPDATE topologies SET status = 'torn_down'")
    assert ask(opened(side.url), row).torn_down == {row}


@pytest.mark.parametrize("kind", ["kind", "char(16)", "bytea"])
def test_a_status_is_read_whatever_its_type(postgres_side: Side, opened: Open, kind: str) -> None:
    side = _with_status(postgres_side, kind)
    side.execute(f"INSERT INTO topologies VALUES ('{(row := new_id())}', 'active')")
    topologies = opened(side.url)
    assert ask(topologies, row).torn_down == set()
    side.execute("UPDATE topologies SET status = 'torn_down'")
    assert ask(topologies, row).torn_down == {row}


@pytest.mark.parametrize("kind", ["VARBINARY(20)", "BINARY(16)", "ENUM('active', 'torn_down')"])
def test_a_status_is_read_whatever_its_type_in_mariadb(
    mariadb_side: Side, opened: Open, kind: str
) -> None:
    side = mariadb_side
    side.rows.insert(row := new_id(), status="torn_down")
    side.execute(f"ALTER TABLE topologies MODIFY status {kind}")
    assert ask(opened(side.url), row).torn_down == {row}


def _with_status(side: Side, kind: str) -> Side:
    """A table in PostgreSQL whose status is of this type; ``kind`` is an enum."""
    labels = ", ".join(f"'{status}'" for status in STATUSES)
    side.execute(f"CREATE TYPE kind AS ENUM ({labels})")
    side.execute("DROP TABLE topologies")
    side.execute(f"CREATE TABLE topologies (id text PRIMARY KEY, status {kind})")
    return side


# Feeds.


@pytest.mark.parametrize("image", ["FULL", "MINIMAL", "NOBLOB"])
def test_a_status_that_becomes_torn_down_is_reported_and_no_other(
    request: pytest.FixtureRequest, ear: Ear, image: str
) -> None:
    kind = "postgres" if image == "FULL" else "mariadb"
    for server in {kind, "mariadb"}:
        with fresh_side(request, server) as side:
            _reports(side, ear, image)


def _reports(side: Side, ear: Ear, image: str) -> None:
    one, two, odd = *sorted([new_id(), new_id()]), "a topology"
    side.rows.insert(one, two, odd)
    follower = ear.listen(side)
    if not side.on_postgres:
        side.rows.execute(f"SET SESSION binlog_row_image = '{image}'")

    def act() -> None:
        for sql in (
            "UPDATE topologies SET status = 'tearing_down'",
            f"UPDATE topologies SET status = 'torn_down' WHERE id IN ('{one}', '{odd}')",
            f"UPDATE topologies SET status = 'torn_down' WHERE id = '{one}'",
            f"UPDATE topologies SET name = 'another' WHERE id = '{one}'",
            f"UPDATE topologies SET status = 'active', name = 'x' WHERE id = '{one}'",
            "INSERT INTO topologies VALUES ('torn_down', 'torn_down', 'torn_down')",
            "DELETE FROM topologies WHERE id = 'torn_down'",
        ):
            side.rows.execute(sql)

    assert heard_of(follower, side.rows, act) == [None]  # of an id that is none
    assert follower.torn_down == [one]
    everything = "UPDATE topologies SET status = 'torn_down'"
    assert heard_of(follower, side.rows, lambda: side.rows.execute(everything)) == []
    assert sorted(follower.torn_down) == sorted([one, one, two])


@pytest.mark.parametrize("kind", ["text", "kind", "char(16)", "json", "xml", "point"])
def test_a_status_of_any_type_lets_the_triggers_be_installed(
    postgres_side: Side, ear: Ear, kind: str
) -> None:
    side = _with_status(postgres_side, kind)
    value = {"json": "1", "point": "(1, 2)"}.get(kind, "active")
    side.execute(f"INSERT INTO topologies VALUES ('{(row := new_id())}', '{value}')")
    follower = ear.listen(side)
    side.execute(f"UPDATE topologies SET status = '{value}'")
    if kind in ("text", "kind", "char(16)", "xml"):
        for _ in range(2):
            side.execute("UPDATE topologies SET status = 'torn_down'")
    side.execute("DELETE FROM topologies")
    follower.await_deleted(row)
    assert follower.torn_down == ([] if kind in ("json", "point") else [row])


@pytest.mark.parametrize("kind", ["ENUM", "SET"])
def test_a_status_that_the_log_does_not_spell_out_may_have_changed_at_any_update(
    mariadb_side: Side, ear: Ear, kind: str
) -> None:
    side = mariadb_side
    side.execute(f"ALTER TABLE topologies MODIFY status {kind} ('active', 'torn_down')")
    side.rows.insert(new_id(), status="active")
    follower = ear.listen(side)
    hears(follower, side.rows)
    heard = follower.hints
    side.rows.execute("UPDATE topologies SET status = 'torn_down'")
    follower.await_hints(heard + 1)
    assert follower.heard[heard].ids is None


def test_an_update_that_is_rolled_back_is_not_reported(side: Side, ear: Ear) -> None:
    side.rows.insert(row := new_id())
    follower = ear.listen(side)
    update = f"UPDATE topologies SET status = 'torn_down' WHERE id = '{row}'"
    side.rows._commit([("BEGIN", ()), (update, ()), ("ROLLBACK", ())])
    hears(follower, side.rows)
    assert follower.torn_down == []


def test_a_table_without_a_status_tells_of_deletions(side: Side, ear: Ear) -> None:
    side.execute("ALTER TABLE topologies DROP COLUMN status")
    follower = ear.listen(side)
    row = new_id()
    side.rows.execute("INSERT INTO topologies VALUES (?, 'x')", row)
    side.rows.execute("UPDATE topologies SET name = 'torn_down'")
    side.rows.execute("DELETE FROM topologies")
    follower.await_deleted(row)
    assert follower.torn_down == []


def test_the_triggers_of_before_go_on_telling_of_deletions(
    postgres_side: Side, ear: Ear, told: list[str]
) -> None:
    side = postgres_side
    ear.install(side)
    side.execute("DROP TRIGGER topology_reaper_torn_down ON topologies")
    feed = ear.feed(side.listener(), check_every=0.01)
    follower = ear.follow(feed)
    side.rows.insert(row := new_id())
    side.rows.execute("UPDATE topologies SET status = 'torn_down'")
    side.rows.delete(row)
    follower.await_deleted(row)
    assert follower.torn_down == []
    assert len([line for line in told if "feed install again" in line]) == 1
