"""Push feeds that are not to be had, and that go deaf: one sentence says what to do about it."""

from __future__ import annotations

import re

import psycopg
import pytest
import sqlalchemy as sa

from listener.cli.doctor.database import examine
from listener.core.findings import Status
from listener.databases.mysql import feed as mysql_feed
from listener.databases.mysql import requirements
from listener.databases.postgres import feed as postgres_feed
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer, PushUnavailable, ReaperError
from listener.settings import Settings
from tests.servers.conftest import (
    READING,
    SECRET,
    Ear,
    Open,
    Side,
    hears,
    mariadb_alone,
    one_line,
    unavailable,
)
from tests.support.decnet import new_id
from tests.support.pooler import PrivatePgBouncer
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres

pytestmark = pytest.mark.usefixtures("tables_of_any_age")

OFTEN = 0.2
"""Seconds between two checks, for the tests in which one has to find something."""


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


# Push is not to be had.


def test_the_grant_that_is_named_is_what_is_missing(mariadb_side: Side, ear: Ear) -> None:
    reader = f"reader_of_{mariadb_side.name}"
    feed = ear.feed(mariadb_side.reader(*READING[PrivateMariaDB]))
    for granted in ("USAGE", "REPLICATION CLIENT", "REPLICATION SLAVE"):
        mariadb_side.execute(f"GRANT {granted} ON *.* TO {reader}")
        said = unavailable(feed)
        assert "all that it writes" in said
        assert f"database '{mariadb_side.name}'" in said
        mariadb_side.execute(f"REVOKE {granted} ON *.* FROM {reader}")
    (grant,) = re.findall(r"run (GRANT .* TO '.*'@'.*?')", said)
    mariadb_side.execute(grant)
    hears(ear.follow(feed), mariadb_side.rows)


def test_an_account_that_may_have_no_connection_more_is_polled(side: Side, ear: Ear) -> None:
    ear.install(side)
    url = side.listener()
    limited = ear.feed(url)
    role = f"reader_of_{side.name}"
    if side.on_postgres:
        side.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    else:
        side.execute(f"ALTER USER {role} WITH MAX_USER_CONNECTIONS 1")
    assert "does not let us hear" in unavailable(limited)


@mariadb_alone
def test_what_is_no_plain_table_is_polled(mariadb_side: Side, ear: Ear) -> None:
    mariadb_side.execute("ALTER TABLE topologies ADD SYSTEM VERSIONING")
    assert "which is no table" in unavailable(ear.feed(mariadb_side.url))


def test_a_partitioned_table_is_polled(postgres_side: Side, ear: Ear) -> None:
    postgres_side.execute("DROP TABLE topologies")
    postgres_side.execute("CREATE TABLE topologies (id text PRIMARY KEY) PARTITION BY HASH (id)")
    postgres_side.execute(
        "CREATE TABLE part PARTITION OF topologies FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    assert "no plain table" in unavailable(ear.feed(postgres_side.url))


VARIABLES = {
    "binlog_format": ("MIXED", "ROW", "set binlog_format = ROW"),
    "log_bin_compress": ("ON", "OFF", "set log_bin_compress = OFF"),
    "read_only": ("ON", "OFF", "replica"),
}


@pytest.mark.parametrize(
    "name",
    [
        "binlog_format",
        pytest.param("log_bin_compress", marks=mariadb_alone),
        "read_only",
    ],
)
def test_the_setting_that_is_named_is_what_is_wrong(
    mariadb_side: Side, ear: Ear, name: str
) -> None:
    value, usual, words = VARIABLES[name]
    feed = ear.feed(mariadb_side.listener(), allow_replica=True)
    mariadb_side.execute(f"SET GLOBAL {name} = {value}")
    try:
        assert words in unavailable(feed)
    finally:
        mariadb_side.execute(f"SET GLOBAL {name} = {usual}")
    hears(ear.follow(feed), mariadb_side.rows)


def test_a_server_that_logs_no_deletions_is_named(ear: Ear, opened: Open) -> None:
    log_bin = "start it with --log-bin"
    left_out = "leaves {} out of its log; change its binlog_do_db and binlog_ignore_db"
    only_b = ("--binlog-do-db=b", "--binlog-do-db=c", "--binlog-ignore-db=c")
    for options, said in (
        (["--skip-log-bin"], {"b": log_bin}),
        (only_b, {"a": left_out.format("a"), "b": "", "c": left_out.format("c")}),
    ):
        with PrivateMariaDB(options=options) as server:
            for name, words in said.items():
                server.execute(f"CREATE DATABASE {name}")
                url = server.url(database=name)
                with Rows(url) as rows:
                    rows.create_table()
                    feed = ear.feed(Side(server, name, url, rows).listener())
                    if words:
                        assert words in unavailable(feed)
                        *_, found = examine(opened(url), Settings(feed="push", timeout=0))
                        assert (found.id, found.status) == ("feed.push", Status.FAULT)
                        assert words in f"{found.message}; {found.remedy}"
                    else:
                        follower = ear.follow(feed)
                        hears(follower, rows)
                        follower.end()


def test_without_its_triggers_postgresql_says_how_to_install_them(
    postgres_side: Side, ear: Ear
) -> None:
    feed = ear.feed(postgres_side.listener())
    assert "run topology-reaper feed install" in unavailable(feed)
    ear.install(postgres_side)
    for trigger in sorted(postgres_feed.TRIGGERS):
        postgres_side.execute(f"ALTER TABLE topologies DISABLE TRIGGER {trigger}")
        assert "run topology-reaper feed install" in unavailable(feed)
        postgres_side.execute(f"ALTER TABLE topologies ENABLE REPLICA TRIGGER {trigger}")
        assert "run topology-reaper feed install" in unavailable(feed)
        postgres_side.execute(f"ALTER TABLE topologies ENABLE ALWAYS TRIGGER {trigger}")
    hears(ear.follow(feed), postgres_side.rows)


def test_row_level_security_is_said_as_it_is_of_every_question(
    postgres_side: Side, ear: Ear
) -> None:
    ear.install(postgres_side)
    feed = ear.feed(postgres_side.listener())
    postgres_side.execute("ALTER TABLE topologies ENABLE ROW LEVEL SECURITY")
    with pytest.raises(NoAnswer, match="row-level security"):
        feed.connect()


def pooled(side: Side, mode: str) -> PrivatePgBouncer:
    """A pooler in front of it; the listener's role is made."""
    assert isinstance(side.server, PrivatePostgres)
    role = sa.make_url(side.listener()).username
    return PrivatePgBouncer(side.server, mode, {str(role): SECRET})


def through(pooler: PrivatePgBouncer, side: Side) -> str:
    """The listener's URL through a pooler."""
    return pooler.url(user=f"reader_of_{side.name}", password=SECRET, database=side.name)


def test_a_pooler_that_loses_notifications_is_named(
    postgres_side: Side, ear: Ear, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_feed, "HEARD_WITHIN", 1.0)
    ear.install(postgres_side)
    with pooled(postgres_side, "transaction") as pooler:
        url = through(pooler, postgres_side)
        said = unavailable(ear.feed(url))
        assert "pooler" in said
        assert "give the server's own address" in said
        topologies = opened(url)  # and it can be polled
        row = new_id("aaaaaaaa")
        postgres_side.rows.insert(row)
        assert topologies.ask(["aaaaaaaa"]).ids == {row}
        postgres_side.rows.delete(row)
        assert topologies.ask(["aaaaaaaa"]).ids == set()
        topologies._pool.dispose()


def test_a_pooler_that_pools_sessions_is_none_that_matters(postgres_side: Side, ear: Ear) -> None:
    ear.install(postgres_side)
    with pooled(postgres_side, "session") as pooler:
        follower = ear.follow(ear.feed(through(pooler, postgres_side), check_every=0.0))
        for _ in range(10):
            hears(follower, postgres_side.rows)
        follower.end()


# It goes deaf.


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE topologies DISABLE TRIGGER topology_reaper_truncate",
        "DROP FUNCTION topology_reaper_notify() CASCADE",
        "DROP TABLE topologies; CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY)",
    ],
)
def test_a_trigger_that_is_lost_is_noticed(postgres_side: Side, ear: Ear, change: str) -> None:
    follower = ear.listen(postgres_side, check_every=OFTEN)
    postgres_side.execute(change)
    said = one_line(follower.await_end(PushUnavailable))
    assert "run topology-reaper feed install" in said


def test_another_table_in_its_place_is_noticed_with_triggers_too(
    postgres_side: Side, ear: Ear, opened: Open
) -> None:
    follower = ear.listen(postgres_side, check_every=OFTEN)
    script = opened(postgres_side.url).push_sql()
    with psycopg.connect(postgres_side.url, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("ALTER TABLE topologies RENAME TO old")
        connection.execute("CREATE TABLE topologies (LIKE old INCLUDING ALL)")
        connection.execute("GRANT SELECT ON topologies TO PUBLIC")
        connection.execute(script.encode())
    assert "another table" in one_line(follower.await_end(NoAnswer))
    hears(ear.follow(follower.feed), postgres_side.rows)


def test_a_table_that_is_gone_is_noticed(postgres_side: Side, ear: Ear) -> None:
    follower = ear.listen(postgres_side, check_every=OFTEN)
    postgres_side.execute("DROP TABLE topologies")
    assert "has no table" in one_line(follower.await_end(NoAnswer))
    with pytest.raises(NoAnswer, match="has no table"):
        follower.feed.connect()


def test_a_table_that_is_gone_is_noticed_at_once(mariadb_side: Side, ear: Ear) -> None:
    follower = ear.listen(mariadb_side)
    mariadb_side.execute("DROP TABLE topologies")
    assert "has no table" in one_line(follower.await_end(NoAnswer))
    assert [heard.ids for heard in follower.heard] == [None, None]
    with pytest.raises(NoAnswer, match="has no table"):
        follower.feed.connect()


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [
        ("binlog_checksum", "NONE", "CRC32"),
        pytest.param("binlog_row_metadata", "FULL", "NO_LOG", marks=mariadb_alone),
    ],
)
def test_a_setting_of_the_log_that_changes_is_survived_or_noticed(
    mariadb_side: Side, ear: Ear, name: str, value: str, usual: str
) -> None:
    ((before,),) = mariadb_side.execute(f"SELECT @@global.{name}")
    mariadb_side.execute(f"SET GLOBAL {name} = {usual}")
    try:
        follower = ear.listen(mariadb_side)
        mariadb_side.execute(f"SET GLOBAL {name} = {value}")
        rows = [new_id() for _ in range(10)]
        mariadb_side.rows.insert(*rows)
        for row in rows:
            mariadb_side.rows.delete(row)
        eventually(lambda: bool(follower.error) or set(rows) <= set(follower.deleted), "any word")
        if follower.error is not None:
            one_line(follower.await_end(ReaperError))
            follower = ear.follow(follower.feed)
        hears(follower, mariadb_side.rows)
    finally:
        mariadb_side.execute(f"SET GLOBAL {name} = {before}")


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has nothing to write gives signs of life all the time, or is given up."""
    monkeypatch.setattr(mysql_feed, "HEARTBEAT", OFTEN)
    monkeypatch.setattr(mysql_feed, "SILENCE", 25 * OFTEN)


@mariadb_alone
@pytest.mark.usefixtures("talkative")
def test_a_log_that_is_compressed_from_now_on_is_noticed(mariadb_side: Side, ear: Ear) -> None:
    ids = [new_id() for _ in range(20)]
    mariadb_side.rows.insert(*ids)
    mariadb_side.rows.execute("UPDATE topologies SET name = REPEAT('x', 999)")
    follower = ear.listen(mariadb_side, check_every=OFTEN)
    mariadb_side.execute("SET GLOBAL log_bin_compress = ON")
    try:
        mariadb_side.rows.execute("DELETE FROM topologies")
        eventually(lambda: bool(follower.error) or set(ids) <= set(follower.deleted), "any word")
        if follower.error is not None:
            assert "set log_bin_compress = OFF" in one_line(follower.await_end(PushUnavailable))
    finally:
        mariadb_side.execute("SET GLOBAL log_bin_compress = OFF")


@mariadb_alone
@pytest.mark.usefixtures("talkative")
def test_a_log_that_is_begun_anew_is_survived_or_noticed(mariadb_side: Side, ear: Ear) -> None:
    """Where the new file is shorter than the old one was, the server sends nothing at all."""
    rows = mariadb_side.rows
    mariadb_side.execute("RESET MASTER")
    for _ in range(100):
        rows.execute("INSERT INTO attacks (detail) VALUES (REPEAT('x', 9999))")
    follower = ear.listen(mariadb_side, check_every=OFTEN)
    hears(follower, rows)
    mariadb_side.execute("RESET MASTER")

    def noticed() -> bool:
        rows.insert(row := new_id())
        rows.delete(row)
        return bool(follower.error) or row in follower.deleted

    eventually(noticed, "any word")
    if follower.error is not None:
        one_line(follower.await_end(NoAnswer))
        follower = ear.follow(follower.feed)
    hears(follower, rows)


def test_a_file_that_is_purged_before_it_was_read_is_said(mariadb_side: Side, ear: Ear) -> None:
    """Error 1236: between the question for the position and the first read."""
    feed = ear.feed(mariadb_side.listener())
    end_of_log = requirements.end_of_log

    def purge(database: ServerTopologies, schema: str) -> tuple[str, int]:
        file, position = end_of_log(database, schema)
        mariadb_side.execute("FLUSH BINARY LOGS")
        *_, (current, *_) = mariadb_side.execute("SHOW BINARY LOGS")

        def purged() -> bool:
            mariadb_side.execute(f"PURGE BINARY LOGS TO '{current}'")
            return file not in [name for name, *_ in mariadb_side.execute("SHOW BINARY LOGS")]

        eventually(purged, "the end of the old file")
        return file, position

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requirements, "end_of_log", purge)
        assert "log" in unavailable(feed)
    hears(ear.follow(feed), mariadb_side.rows)
