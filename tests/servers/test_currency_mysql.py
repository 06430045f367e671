"""MariaDB that may be behind the origin of its rows says so, and one that is cut off says nothing.

The servers here are the tests' own, and the tests of a pair come in the order of its life.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pymysql
import pytest
import sqlalchemy as sa

from listener.cli.doctor.database import examine
from listener.core.findings import Status
from listener.databases.mysql import origin
from listener.errors import NoAnswer
from listener.settings import Settings
from tests.servers.conftest import (
    HEARING,
    NEVER,
    READING,
    Ear,
    Open,
    Opened,
    hears,
    one_line,
    unavailable,
)
from tests.support.decnet import new_id
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateGalera, PrivateMariaDB

DATABASE = "decnet"
ROW = new_id("aaaaaaaa")
PASSWORD = "as documented"
SEES = "GRANT SLAVE MONITOR ON *.* TO {}"
"""What lets an account see whether a server is a replica."""


def make_table(server: PrivateMariaDB) -> None:
    """A database with an old enough table, accounts with and without the right, and then one row.

    Whoever has the row has the grants as well, for replicas apply them in that order.
    """
    server.execute(f"CREATE DATABASE {DATABASE}")
    with Rows(server.url(database=DATABASE)) as rows:
        rows.create_table()
        for name in ("plain", "seeing"):
            server.execute(f"CREATE USER {name} IDENTIFIED BY '{PASSWORD}'")
            for grant in READING[PrivateMariaDB]:
                server.execute(grant.format(name, database=DATABASE))
        server.execute(SEES.format("seeing"))
        rows.insert(ROW)


def account(server: PrivateMariaDB, user: str) -> str:
    """The URL by which an account opens the table."""
    return server.url(user=user, password=PASSWORD, database=DATABASE)


def shows(topologies: Opened, prefix: str) -> bool:
    """Whether it has a row with this prefix, where it answers."""
    try:
        return bool(topologies.ask([prefix]).ids)
    except NoAnswer:
        return False


# Replicas.


@pytest.fixture(scope="module")
def primary() -> Iterator[PrivateMariaDB]:
    """A server that never was a replica, with the table."""
    with PrivateMariaDB() as server:
        make_table(server)
        yield server


def grant_for(user: str) -> str:
    """What an answer says where an account is not shown sources."""
    return f"; run GRANT SLAVE MONITOR ON *.* TO '{user}'@'%'"


def test_a_server_that_never_was_a_replica_is_current_until_it_is_given_a_source(
    primary: PrivateMariaDB, opened: Open
) -> None:
    plain, seeing = (opened(account(primary, user)) for user in ("plain", "seeing"))
    for topologies in (plain, seeing, plain):
        answer = topologies.ask(["aaaaaaaa"])
        assert answer.ids == {ROW}
        assert answer.behind == ""
    primary.follow(primary)  # which replicates nothing: the account sees no position
    try:
        assert grant_for("plain") in plain.ask([]).behind
        assert f"is a replica of 127.0.0.1:{primary.port}" in seeing.ask([]).behind
        assert opened(account(primary, "plain"), allow_replica=True).ask([]).behind == ""
    finally:
        primary.execute("RESET SLAVE ALL")
    assert seeing.ask([]).behind == ""


def test_a_replica_that_may_be_written_to_may_be_behind_until_it_is_promoted(
    primary: PrivateMariaDB, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PrivateMariaDB() as replica:
        replica.follow(primary, "named")
        replica.execute("START SLAVE 'named'")
        plain, seeing = (opened(account(replica, user)) for user in ("plain", "seeing"))
        eventually(lambda: shows(seeing, "aaaaaaaa"), "the replica has the row")
        both = (plain, grant_for("plain")), (seeing, f"replica of 127.0.0.1:{primary.port}")
        for topologies, why in both:
            answer = topologies.ask(["aaaaaaaa"])
            assert answer.ids == answer.deployed == {ROW}
            assert why in answer.behind

        replica.execute("STOP SLAVE 'named' SQL_THREAD")
        with Rows(primary.url(database=DATABASE)) as rows:
            rows.insert(new_id("bbbbbbbb"))
        for topologies, why in both:
            answer = topologies.ask(["bbbbbbbb"])
            assert answer.ids == set()
            assert why in answer.behind

        replica.execute("STOP SLAVE 'named'")
        replica.execute("RESET SLAVE 'named' ALL")
        assert seeing.ask([]).behind == ""
        assert grant_for("plain") in plain.ask([]).behind
        replica.execute(SEES.format("plain"))
        monkeypatch.setattr(origin, "_RENEWED", 0)
        eventually(lambda: plain.ask([]).behind == "", "the grant is noticed")
        plain.close()
        seeing.close()


def test_a_replica_is_polled_unless_it_logs_what_it_applies(
    primary: PrivateMariaDB, opened: Open, ear: Ear
) -> None:
    primary.execute(f"CREATE USER hearing IDENTIFIED BY '{PASSWORD}'")
    for grant in HEARING[PrivateMariaDB]:
        if grant != SEES:
            primary.execute(grant.format("hearing", database=DATABASE))
    url, blind = primary.url(database=DATABASE), account(primary, "hearing")
    primary.follow(primary)
    try:
        for options in ({}, {"allow_replica": True}):
            said = unavailable(ear.feed(url, **options))
            assert "does not log what it applies, and is a replica of 127.0.0.1" in said
            assert "--log-slave-updates" in said
        assert grant_for("hearing").removeprefix("; ") in unavailable(ear.feed(blind))
        *_, found = examine(opened(url), Settings(feed="push", timeout=0))
        assert (found.id, found.status) == ("feed.push", Status.FAULT)
        assert "--log-slave-updates" in f"{found.message}; {found.remedy}"
    finally:
        primary.execute("RESET SLAVE ALL")
    with Rows(primary.url(database=DATABASE)) as rows:
        hears(ear.follow(ear.feed(url)), rows)
        with PrivateMariaDB(options=["--log-slave-updates"]) as replica:
            replica.follow(primary)
            replica.execute("START SLAVE")
            copy = opened(replica.url(database=DATABASE))
            eventually(lambda: shows(copy, "aaaaaaaa"), "the replica has the row")
            hears(ear.follow(copy.push(look_every=1.0, check_every=NEVER)), rows)


def test_a_server_whose_storage_is_read_only_is_no_answer(
    primary: PrivateMariaDB, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Amazon Aurora's readers are, which do not say read_only."""
    topologies = opened(account(primary, "seeing"))
    topologies.ask([])
    primary.terminate()
    with monkeypatch.context() as patch:
        patch.setattr(primary, "_options", ("--innodb-read-only",))
        primary.start()
    try:
        assert primary.execute("SELECT @@read_only") == [(0,)]
        with pytest.raises(NoAnswer, match="is a replica"):
            topologies.ask([])
    finally:
        primary.restart()


# Galera.


def test_a_node_of_a_cluster_waits_for_the_others_and_says_nothing_when_cut_off(
    opened: Open, ear: Ear
) -> None:
    with PrivateGalera() as one, PrivateGalera(peer=one) as other:
        make_table(one)
        topologies = opened(account(other, "plain"))
        eventually(lambda: shows(topologies, "aaaaaaaa"), "the other node has the row")
        answer = topologies.ask(["aaaaaaaa"])
        assert answer.ids == {ROW}
        assert answer.behind == ""
        follower = ear.follow(ear.feed(other.url(database=DATABASE)))
        with Rows(one.url(database=DATABASE)) as rows:
            hears(follower, rows)
        follower.end()

        new = new_id("bbbbbbbb")
        with ThreadPoolExecutor(1) as pool, standing_still(other):
            one.execute(f"INSERT INTO {DATABASE}.topologies VALUES ('{new}', '', '')")
            asked = pool.submit(topologies.ask, ["bbbbbbbb"])
            eventually(lambda: asked.done() or waits(other), "it is asked")
        assert asked.result().ids == {new}

        other.execute("SET GLOBAL wsrep_dirty_reads = ON")
        other.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate = 1'")

        def is_refused() -> bool:
            # Before it notices, nothing can be committed elsewhere, and it may answer.
            try:
                opened(account(other, "plain")).ask([])
            except NoAnswer as error:
                return "Galera" in one_line(error)
            return False

        eventually(is_refused, "it notices that it is cut off")
        with pytest.raises(NoAnswer):
            topologies.ask([])


@contextmanager
def standing_still(server: PrivateMariaDB) -> Iterator[None]:
    """A node that applies nothing in the meantime."""
    url = sa.make_url(server.url())
    with (
        closing(
            pymysql.connect(
                host=url.host, port=url.port or 0, user=url.username, password=url.password or ""
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        yield


def waits(server: PrivateMariaDB) -> bool:
    """Whether a question has begun and does not come to its end."""
    asked = "SELECT info FROM information_schema.processlist WHERE user = 'plain'"
    return any("FROM information_schema.tables" in str(info) for (info,) in server.execute(asked))
