"""Servers that are stopped, set otherwise or promoted tell the truth, or give no answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from listener.databases.base import rows_with
from tests.servers.conftest import (
    READING,
    Ear,
    Open,
    Side,
    mariadb_alone,
    refusal,
    unavailable,
)
from tests.support.decnet import new_id
from tests.support.rows import OLD_ENOUGH, Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres
from tests.support.shared import shared_server

BIRTH = "sys.version_major"
"""A function of the system that shows when the data directory was made."""


@pytest.fixture
def postgres(own_postgres: PrivatePostgres) -> PrivatePostgres:
    """One that nobody else uses."""
    return own_postgres


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


def test_no_default_of_the_account_or_server_makes_a_snapshot(side: Side, opened: Open) -> None:
    default = "SERIALIZABLE"
    url = side.reader(*READING[type(side.server)])
    if isinstance(side.server, PrivatePostgres):
        role = sa.make_url(url).username
        side.execute(f"ALTER ROLE {role} SET default_transaction_isolation = '{default.lower()}'")
    else:
        side.execute(f"SET GLOBAL TRANSACTION ISOLATION LEVEL {default}")
    try:
        topologies, row = opened(url), new_id("aaaaaaaa")
        assert topologies.ask(["aaaaaaaa"]).ids == set()
        side.rows.insert(row)
        assert topologies.ask(["aaaaaaaa"]).ids == {row}
        with topologies.reading() as reading:
            question = rows_with(["aaaaaaaa"], reading.table)
            assert reading.connection.scalars(*question).all() == [row]
            side.rows.delete(row)
            assert reading.connection.scalars(*question).all() == []
    finally:
        if not isinstance(side.server, PrivatePostgres):
            side.execute("SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def test_a_deletion_that_is_not_committed_is_none(side: Side, opened: Open) -> None:
    if not side.on_postgres:  # which has no such level
        side.execute("SET GLOBAL TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    try:
        side.rows.insert(row := new_id("aaaaaaaa"))
        topologies = opened(side.url)
        with side.connected() as deleting:
            deleting.execute(sa.text("DELETE FROM topologies"))
            assert topologies.ask(["aaaaaaaa"]).ids == {row}
    finally:
        if not side.on_postgres:
            side.execute("SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def test_a_standby_gives_no_answer_and_notifies_nobody_until_it_is_promoted(
    postgres_side: Side, postgres: PrivatePostgres, opened: Open, ear: Ear
) -> None:
    ear.install(postgres_side)
    row = new_id("aaaaaaaa")
    postgres_side.rows.insert(row)
    with PrivatePostgres(primary=postgres) as standby:
        url = standby.url(database=postgres_side.name)
        topologies, feed = opened(url), ear.feed(url, allow_replica=True)
        assert "replica" in refusal(topologies)
        assert "replica" in unavailable(feed)
        standby.execute("SELECT pg_promote()")
        answer = topologies.ask(["aaaaaaaa"])
        assert answer.ids == {row}
        assert answer.identity != opened(postgres_side.url).ask([]).identity
        standby.execute("CHECKPOINT")
        assert topologies.ask([]).identity == answer.identity
        topologies._pool.dispose()


def test_a_server_that_is_read_only_is_no_answer(mariadb_url: str, opened: Open) -> None:
    with Rows(mariadb_url) as rows:
        rows.create_table()
        topologies = opened(mariadb_url)
        topologies.ask([])
        rows.execute("SET GLOBAL read_only = 1")
        try:
            assert "replica" in refusal(topologies)
        finally:
            rows.execute("SET GLOBAL read_only = 0")
        assert topologies.ask(["aaaaaaaa"]).ids == set()


def test_a_server_that_is_stopped_is_no_answer_and_answers_again(side: Side, opened: Open) -> None:
    url = side.reader(*READING[type(side.server)])
    side.rows.insert(row := new_id("aaaaaaaa"))
    topologies = opened(url)
    before = topologies.ask(["aaaaaaaa"])
    side.server.kill()
    assert str(side.server.port) in refusal(topologies)
    assert str(side.server.port) in refusal(opened(url))
    side.server.start()
    after = topologies.ask(["aaaaaaaa"])
    assert after.ids == {row}
    assert after.identity == before.identity
    side.server.restart()  # unnoticed: only the pooled connection is lost
    assert topologies.ask(["aaaaaaaa"]).identity == before.identity


def change_mode(side: Side) -> None:
    """As a backup's agent takes it, and a restart, by which the server sees it."""
    for file in (side.server.data / side.name).glob("topologies.*"):
        file.chmod(0o640)
    side.server.restart()


def comment(side: Side) -> None:
    """What changes nothing but the table's definition."""
    side.execute("ALTER TABLE topologies COMMENT 'of DECNET'")


@mariadb_alone
@pytest.mark.parametrize("change", [change_mode, comment])
def test_a_mariadb_that_shows_the_tables_number_has_the_same_table_after_all_but_a_new_one(
    mariadb_side: Side, opened: Open, change: Callable[[Side], None]
) -> None:
    side = mariadb_side
    poor, rich = side.reader(*READING[PrivateMariaDB]), f"rich_{side.name}"
    for right in ("PROCESS ON *.*", f"SELECT ON {side.name}.*", f"EXECUTE ON FUNCTION {BIRTH}"):
        side.execute(f"GRANT {right} TO {rich} IDENTIFIED BY 'r'")
    rich = side.server.url(user=rich, password="r", database=side.name)
    before = [opened(url).ask([]) for url in (poor, rich)]
    change(side)
    side.execute(OLD_ENOUGH)
    for url, answer, same in zip((poor, rich), before, (False, True), strict=True):
        topologies = opened(url)
        now = topologies.ask([])
        assert now.identity != answer.identity
        assert topologies.same_table(answer.identity, now.identity, True) is same
        assert (now.position >= answer.position > 0) is same
        assert topologies.ask([]).position == 0, "as of the connection, not of now"
    side.execute("CREATE OR REPLACE TABLE topologies (id VARCHAR(36) PRIMARY KEY)")
    assert not topologies.same_table(now.identity, topologies.ask([]).identity, True)


def test_the_identity_of_a_table_is_not_bent_by_a_time_zone(
    mariadb: PrivateMariaDB, mariadb_url: str, opened: Open
) -> None:
    with Rows(mariadb_url) as rows:
        rows.create_table()
    topologies = opened(mariadb_url)
    before = topologies.ask([]).identity
    mariadb.execute("SET GLOBAL time_zone = '+05:00'")
    try:
        topologies._pool.dispose()
        assert topologies.ask([]).identity == before
    finally:
        mariadb.execute("SET GLOBAL time_zone = 'SYSTEM'")


def test_the_same_name_on_another_server_is_another_table(
    postgres: PrivatePostgres, mariadb: PrivateMariaDB, opened: Open
) -> None:
    """As where another server took the port of ours."""
    for ours in (postgres, mariadb):
        identities = set()
        for server in (ours, shared_server(ours.scheme)):
            server.execute("CREATE DATABASE taken")
            url = server.url(database="taken")
            with Rows(url) as rows:
                rows.create_table()
            topologies = opened(url)
            identities.add(topologies.ask([]).identity.replace(f":{server.port}/", ":PORT/"))
            topologies._pool.dispose()
            server.drop_database("taken")
        assert len(identities) == 2
