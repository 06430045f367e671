"""What the push feeds of real servers say of what another process does to the table.

A listener has the documented rights and no other. That nothing is said is known once a later
deletion is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from listener.databases.mysql import feed as mysql_feed
from listener.errors import ReaperError
from tests.servers.conftest import SECRET, Ear, Side, fresh_side, heard_of, mariadb_alone
from tests.support.decnet import new_id
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivateMySQL

pytestmark = pytest.mark.usefixtures("tables_of_any_age")


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One in whose log nobody else writes."""
    return own_mariadb


def ids_of(hints: list[list[str] | None]) -> list[str]:
    """All ids in these hints, each of which has some."""
    assert None not in hints
    return sorted(id_ for hint in hints for id_ in hint or ())


def statement(rows: Rows, sql: str, *parameters: str) -> Callable[[], int]:
    """One statement, to be executed."""
    return lambda: rows.execute(sql, *parameters)


# Deletions.


def test_every_listener_hears_of_each_deletion_by_its_id(side: Side, ear: Ear) -> None:
    ids = [new_id() for _ in range(10)]
    side.rows.insert(*ids, new_id())
    url = side.listener()
    first, second = ear.listen(side, url), ear.listen(side, url)
    assert heard_of(first, side.rows, lambda: [side.rows.delete(id_) for id_ in ids]) == [
        [id_] for id_ in ids
    ]
    second.await_deleted(*ids)
    assert [heard.ids for heard in second.heard[:11]] == [None, *([id_] for id_ in ids)]
    assert first.feed.name == ("notify" if side.on_postgres else "binlog")


def test_what_many_writers_delete_at_once_is_reported_once_each(side: Side, ear: Ear) -> None:
    shares = [[new_id() for _ in range(20)] for _ in range(4)]
    ids = [id_ for share in shares for id_ in share]
    side.rows.insert(*ids)
    follower = ear.listen(side)
    with ExitStack() as stack, ThreadPoolExecutor(len(shares)) as pool:
        writers = [stack.enter_context(Rows(side.url)) for _ in shares]
        list(pool.map(lambda writer, share: writer.delete_each(*share), writers, shares))
        follower.await_deleted(*ids)
    assert sorted(follower.deleted) == sorted(ids)


@pytest.mark.parametrize("count", [200, 201])
def test_one_statement_tells_of_every_row_that_it_deletes(side: Side, ear: Ear, count: int) -> None:
    ids = sorted(new_id() for _ in range(count))
    side.rows.insert(*ids)
    follower = ear.listen(side)
    hints = heard_of(follower, side.rows, statement(side.rows, "DELETE FROM topologies"))
    if side.on_postgres:
        assert hints == ([ids] if count == 200 else [None])
    else:
        assert ids_of(hints) == ids


def test_a_transaction_is_heard_of_when_it_commits_and_only_what_is_left_of_it(
    side: Side, ear: Ear
) -> None:
    one, two = ids = sorted(new_id() for _ in range(2))
    side.rows.insert(*ids)
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: side.rows.take_back(*ids)) == []
    with side.connected() as connection:
        connection.execute(sa.text(f"DELETE FROM topologies WHERE id = '{one}'"))
        with connection.begin_nested() as savepoint:
            connection.execute(sa.text(f"DELETE FROM topologies WHERE id = '{two}'"))
            savepoint.rollback()
        assert heard_of(follower, side.rows, lambda: None) == []
        connection.commit()
    follower.await_deleted(one)
    assert heard_of(follower, side.rows, lambda: side.rows.renew(two)) == [[two]]


def test_ids_are_reported_in_lower_case_and_what_is_none_may_be_any(side: Side, ear: Ear) -> None:
    row, odd = new_id(), ["", "a topology", "*", "x" * 36]
    side.rows.insert(row.upper(), *odd)
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: side.rows.delete(row.upper())) == [[row]]
    assert heard_of(follower, side.rows, lambda: [side.rows.delete(id_) for id_ in odd]) == (
        [None] * len(odd)
    )


# Other changes.


def test_only_what_may_take_rows_away_is_reported(side: Side, ear: Ear) -> None:
    row, other, third = (new_id() for _ in range(3))
    side.rows.insert(row)
    follower = ear.listen(side)
    for sql in (
        f"DELETE FROM topologies WHERE id = '{other}'",
        "UPDATE topologies SET status = 'torn_down'",
        f"UPDATE topologies SET id = '{row}', name = 'x'",
        f"INSERT INTO topologies VALUES ('{third}', 'x', 'x')",
    ):
        assert heard_of(follower, side.rows, statement(side.rows, sql)) == [], sql
    change = f"UPDATE topologies SET id = '{other}' WHERE id = '{row}'"
    assert heard_of(follower, side.rows, statement(side.rows, change)) == [[row]]
    truncate = statement(side.rows, "TRUNCATE TABLE topologies")
    assert heard_of(follower, side.rows, truncate) == [None]


def test_other_tables_and_databases_are_not_reported(side: Side, ear: Ear) -> None:
    row = new_id()
    side.rows.insert(row)
    side.execute(
        "CREATE TABLE other_topologies (id VARCHAR(36) PRIMARY KEY, name TEXT, status TEXT)"
    )
    side.rows.execute("INSERT INTO other_topologies SELECT * FROM topologies")
    with side.server.fresh_database() as name, Rows(side.server.url(database=name)) as rows:
        rows.create_table()
        rows.insert(row)
        follower = ear.listen(side)

        def act() -> None:
            rows.delete(row)
            side.rows.execute("DELETE FROM other_topologies")
            side.rows.noise(10)

        assert heard_of(follower, side.rows, act) == []


def test_a_cascade_is_reported_by_postgresql_and_left_to_the_sweep_by_mariadb(
    side: Side, ear: Ear
) -> None:
    """MySQL reports it from 9.6 on."""
    rows = sorted(new_id() for _ in range(3))
    side.execute("CREATE TABLE fleets (id INTEGER PRIMARY KEY)")
    side.rows.execute("INSERT INTO fleets VALUES (7)")
    side.execute(
        "ALTER TABLE topologies ADD COLUMN fleet INTEGER DEFAULT NULL,"
        " ADD CONSTRAINT of_fleet FOREIGN KEY (fleet) REFERENCES fleets (id) ON DELETE CASCADE"
    )
    for row in rows:
        side.rows.execute("INSERT INTO topologies (id, fleet) VALUES (?, 7)", row)
    follower = ear.listen(side)

    def act() -> None:
        side.rows.execute("DELETE FROM fleets")
        assert side.execute("SELECT id FROM topologies") == []
        side.execute("ALTER TABLE topologies DROP CONSTRAINT of_fleet")
        side.execute("ALTER TABLE topologies DROP COLUMN fleet")

    hints = heard_of(follower, side.rows, act)
    told = side.on_postgres or isinstance(side.server, PrivateMySQL)
    assert [hint for hint in hints if hint is not None] == ([rows] if told else [])


def test_a_schema_may_have_any_name(request: pytest.FixtureRequest, side: Side, ear: Ear) -> None:
    name = 'Odd "na.me", naïve ta`ble'
    if side.on_postgres:
        quoted = '"{}"'.format(name.replace('"', '""'))
        side.execute(f"CREATE SCHEMA {quoted}")
        side.execute(f"ALTER TABLE topologies SET SCHEMA {quoted}")
        side.execute(f"ALTER DATABASE {side.name} SET search_path = {quoted}")
        odd = Side(side.server, side.name, side.url, Rows(side.url))
    else:
        quoted = "`{}`".format(name.replace("`", "``"))
        url = side.server.url(database=name)
        side.execute(f"CREATE DATABASE {quoted}")
        request.addfinalizer(lambda: side.execute(f"DROP DATABASE {quoted}"))
        side.execute(f"RENAME TABLE topologies TO {quoted}.topologies")
        odd = Side(side.server, name, url, Rows(url))
    with odd.rows:
        row = new_id()
        odd.rows.insert(row)
        follower = ear.listen(odd, odd.url)
        assert heard_of(follower, odd.rows, lambda: odd.rows.delete(row)) == [[row]]
        assert heard_of(follower, odd.rows, lambda: odd.execute("TRUNCATE topologies")) == [None]


# PostgreSQL alone.


def test_what_comes_while_the_triggers_are_looked_at_is_heard(
    postgres_side: Side, ear: Ear
) -> None:
    ids = [new_id() for _ in range(100)]
    postgres_side.rows.insert(*ids)
    follower = ear.listen(postgres_side, check_every=0.0)
    postgres_side.rows.delete_each(*ids)
    follower.await_deleted(*ids)
    assert follower.deleted == ids


def test_a_native_uuid_is_reported_as_text(request: pytest.FixtureRequest, ear: Ear) -> None:
    with fresh_side(request, "postgres", id_type="UUID") as side:
        ids = sorted(new_id() for _ in range(2))
        side.rows.insert(*ids)
        follower = ear.listen(side)
        act = statement(side.rows, "DELETE FROM topologies")
        assert heard_of(follower, side.rows, act) == [ids]


FORGED = {
    "nothing": ("", None),
    "garbage": ("rm -rf /; DROP TABLE topologies; \\x00 %s {0}", None),
    "much": ("x" * 7900, None),
    "many ids": (" ".join(["aaaaaaaa-0000-4000-8000-000000000000"] * 213), ["aaaaaaaa"] * 213),
    "an id": ("AAAAAAAA-0000-4000-8000-000000000000", ["aaaaaaaa"]),
    "an id and garbage": ("aaaaaaaa-0000-4000-8000-000000000000 ?", None),
    "letters of another script": ("١٢٣٤٥٦٧٨-0000-4000-8000-000000000000", None),
}
"""Payloads, and the prefixes that they are taken to name; None: any."""


def test_a_forged_notification_is_a_hint_and_no_more(postgres_side: Side, ear: Ear) -> None:
    follower = ear.listen(postgres_side)
    forger = f"forger_of_{postgres_side.name}"
    postgres_side.execute(f"CREATE ROLE {forger} LOGIN PASSWORD '{SECRET}'")
    postgres_side.execute(f"GRANT CONNECT ON DATABASE {postgres_side.name} TO {forger}")
    url = postgres_side.server.url(user=forger, password=SECRET, database=postgres_side.name)
    ((oid,),) = postgres_side.execute("SELECT 'topologies'::regclass::oid")
    with Rows(url) as rows:
        for payload, prefixes in FORGED.values():
            notify = statement(rows, "SELECT pg_notify(?, ?)", f"topology_reaper_{oid}", payload)
            (hint,) = heard_of(follower, postgres_side.rows, notify)
            assert prefixes == (None if hint is None else [id_[:8] for id_ in hint]), payload
        others = statement(rows, "SELECT pg_notify(?, '*')", "topology_reaper_1")
        assert heard_of(follower, postgres_side.rows, others) == []


# MariaDB, and MySQL.

SHAPES = (
    "name TEXT, status TEXT, id VARCHAR(36) PRIMARY KEY",
    "a INT, b DATETIME(6) NULL, id CHAR(36) CHARACTER SET ascii PRIMARY KEY, name TEXT, c BLOB",
    "a INT AS (1 + 1) PERSISTENT, b INT INVISIBLE, c INT AS (1 + 2) VIRTUAL,"
    " id VARCHAR(36) CHARACTER SET latin1 PRIMARY KEY",
)


@mariadb_alone
@pytest.mark.parametrize(("image", "metadata"), [("FULL", "FULL"), ("MINIMAL", "NO_LOG")])
def test_the_key_is_found_wherever_it_stands(
    request: pytest.FixtureRequest, mariadb_side: Side, ear: Ear, image: str, metadata: str
) -> None:
    side, rows, url = mariadb_side, mariadb_side.rows, mariadb_side.listener()
    request.addfinalizer(lambda: side.execute("SET GLOBAL binlog_row_metadata = 'NO_LOG'"))
    side.execute(f"SET GLOBAL binlog_row_metadata = '{metadata}'")
    rows.execute(f"SET SESSION binlog_row_image = '{image}'")
    for columns in SHAPES:
        side.execute("DROP TABLE topologies")
        side.execute(f"CREATE TABLE topologies ({columns})")
        follower = ear.listen(side, url)
        one, two, three = (new_id() for _ in range(3))
        for row in (one, two):
            rows.execute("INSERT INTO topologies (id) VALUES (?)", row)
        rows.execute("UPDATE topologies SET id = ? WHERE id = ?", three, two)
        rows.execute("DELETE FROM topologies WHERE id IN (?, ?)", one, three)
        follower.await_deleted(one, three)
        assert ids_of([h.ids for h in follower.heard[1:]]) == sorted([one, two, three]), columns
        follower.end()


@pytest.mark.parametrize("image", ["FULL", "MINIMAL"])
def test_a_row_that_is_replaced_is_reported_if_its_id_goes(
    mariadb_side: Side, ear: Ear, image: str
) -> None:
    rows = mariadb_side.rows
    rows.execute(f"SET SESSION binlog_row_image = '{image}'")
    mariadb_side.execute("ALTER TABLE topologies MODIFY name VARCHAR(99) UNIQUE")
    follower = ear.listen(mariadb_side)
    one, two, three = (new_id() for _ in range(3))
    rows.execute("INSERT INTO topologies VALUES (?, 'name', 'old')", one)
    same = statement(rows, "REPLACE INTO topologies VALUES (?, 'name', 'new')", one)
    assert set(ids_of(heard_of(follower, rows, same))) <= {one}
    upsert = (
        "INSERT INTO topologies VALUES (?, 'name', 'x')"
        " ON DUPLICATE KEY UPDATE id = VALUES(id), status = 'newer'"
    )
    assert heard_of(follower, rows, statement(rows, upsert, one)) == []
    other = statement(rows, "REPLACE INTO topologies VALUES (?, 'name', 'other')", two)
    assert heard_of(follower, rows, other) == [[one]]
    assert heard_of(follower, rows, statement(rows, upsert, three)) == [[two]]


def test_a_key_that_moves_to_another_place_is_followed(mariadb_side: Side, ear: Ear) -> None:
    rows = mariadb_side.rows
    ids = [new_id() for _ in range(8)]
    rows.insert(*ids)
    follower = ear.listen(mariadb_side)
    for change in (
        "ALTER TABLE topologies MODIFY COLUMN id VARCHAR(36) AFTER status",
        "ALTER TABLE topologies ADD COLUMN a INT FIRST, ADD COLUMN b VARCHAR(36) FIRST",
        "ALTER TABLE topologies DROP COLUMN a, MODIFY COLUMN id VARCHAR(36) FIRST",
    ):
        row, before = ids.pop(), follower.hints
        rows.execute(change)
        rows.execute("UPDATE topologies SET name = 'x'")
        rows.delete(row)
        follower.await_deleted(row)
        assert [heard.ids for heard in follower.heard[before:]] == [None, [row]]


def test_a_new_log_file_is_followed_and_the_old_one_not_missed(
    mariadb_side: Side, ear: Ear
) -> None:
    follower = ear.listen(mariadb_side)
    flush = statement(mariadb_side.rows, "FLUSH BINARY LOGS")
    assert heard_of(follower, mariadb_side.rows, flush) == []
    *_, (file, *_) = mariadb_side.execute("SHOW BINARY LOGS")
    purge = statement(mariadb_side.rows, f"PURGE BINARY LOGS TO '{file}'")
    assert heard_of(follower, mariadb_side.rows, purge) == []


def test_a_session_that_logs_statements_may_have_deleted_any_row(
    mariadb_side: Side, ear: Ear
) -> None:
    rows, row = mariadb_side.rows, new_id()
    follower = ear.listen(mariadb_side)
    for sql in (
        f"DELETE FROM topologies WHERE id = '{row}'",
        "/* all */ delete from`topologies`",
        f"UPDATE {mariadb_side.name}.topologies SET id = REVERSE(id)",
    ):
        rows.insert(row)
        before = follower.hints
        rows.execute("SET SESSION binlog_format = 'STATEMENT'")
        rows.execute(sql)
        rows.execute("SET SESSION binlog_format = 'ROW'")
        follower.await_hints(before + 1)
        assert [heard.ids for heard in follower.heard[before:]] == [None], sql


@mariadb_alone
@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM topologies", "TRUNCATE TABLE topologies /* " + 300 * "x" + " */"],
)
def test_what_is_compressed_may_have_taken_any_row(mariadb_side: Side, ear: Ear, sql: str) -> None:
    rows = mariadb_side.rows
    rows.insert(new_id())
    rows.execute("UPDATE topologies SET name = REPEAT('x', 999)")
    follower = ear.listen(mariadb_side)
    mariadb_side.execute("SET GLOBAL log_bin_compress = ON")
    try:
        assert heard_of(follower, rows, statement(rows, sql)) == [None]
        other = "INSERT INTO attacks (detail) VALUES (REPEAT('x', 999))"
        assert heard_of(follower, rows, statement(rows, other)) == []
    finally:
        mariadb_side.execute("SET GLOBAL log_bin_compress = OFF")


@mariadb_alone
def test_an_alteration_in_two_phases_is_heard_of_like_any_other(
    mariadb_side: Side, ear: Ear
) -> None:
    """MariaDB then writes a status variable that the reader of the log does not know."""
    rows, row = mariadb_side.rows, new_id()
    rows.insert(row)
    rows.execute("SET SESSION binlog_alter_two_phase = ON")
    follower = ear.listen(mariadb_side)
    other = statement(rows, "ALTER TABLE attacks ADD COLUMN a INT")
    assert heard_of(follower, rows, other) == []
    before = follower.hints
    rows.execute("ALTER TABLE topologies MODIFY COLUMN id VARCHAR(36) AFTER status")
    rows.delete(row)
    follower.await_deleted(row)
    hints = [heard.ids for heard in follower.heard[before:]]
    assert hints == [None] * (len(hints) - 1) + [[row]]
    assert len(hints) > 1


RECORDED = {
    "a compressed transaction": (
        [
            "0088df0a6b2805000000ca0000000c0c000000000201000301ed0101a90028b52ffd20ed050500c2071d27"
            "a0396bc0ffecffff593cd7068442066c8d854d1f6c9a23f66d03c36bc4b9f6b94943695b4a9902ffbf8320"
            "486ed34d21190b484a29a129f17dbb0b90e76b9f83ce8d69ac1dbcaf59a1500bb5688df0667de350c50c8b"
            "488fc8719d97c9a4be866f43d5ebc128f3d3761e2e38b0f4035c15332c1300a004e23a21186e0f1843b11b"
            "971de8036307c1e2a5d281e6c005262ccb2d67591a080d0619801743a87b5c"
        ],
        [None],
    ),
    "an id that changes, in a session that logs parts of values": (
        [
            "008bdf0a6b130500000042000000c710000000007000000000000100066465636e6574000a746f706f6c6f"
            "6769657300030ffcfc0490000202060203fcff002a4446ae",
            "008bdf0a6b27050000007d0000004411000000007000000000001100020003ffff00246161616161616161"
            "2d303030302d343030302d383030302d303030303030303030303033010061010062000024616161616161"
            "61612d303030302d343030302d383030302d303030303030303030303038010061010062b5425dde",
        ],
        [None],
    ),
    "DELETE FROM topologies, as a statement with an unknown status variable": (
        [
            "008cdf0a6b02050000007c0000008412000000000c0000000000000006000028000000000000012000a045"
            "00000000060373746404ff00ff00ff000c016465636e65740012ff0015006465636e65740064656c657465"
            "2066726f6d20746f706f6c6f67696573207768657265206964206c696b6520272538272d0a5f0e"
        ],
        [None],
    ),
    "TRUNCATE, before a checksum that begins with a letter": (
        [
            "008fdf0a6b020500000064000000f616000000000c0000000000000006000026000000000000012000a045"
            "00000000060373746404ff00ff00ff00112e0000000000000012ff006465636e6574007472756e63617465"
            "20746f706f6c6f6769657379a97377"
        ],
        [None],
    ),
    "INSERT INTO attacks, as such a statement": (
        [
            "008cdf0a6b02050000007f000000e713000000000c0000000000000006000028000000000000012000a045"
            "00000000060373746404ff00ff00ff000c016465636e65740012ff0015006465636e657400696e73657274"
            "20696e746f2061747461636b73202864657461696c292076616c756573202875756964282929bc51408f"
        ],
        [],
    ),
}
"""Events as MySQL 9.7.4 sends them, with a checksum, and what is said of them."""


@pytest.mark.parametrize("name", list(RECORDED))
def test_what_mysql_logs_by_a_sessions_own_settings_is_heard_of(
    mariadb_side: Side, ear: Ear, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No MySQL is at hand, so its words are put into MariaDB's log, before what comes next."""
    recorded, hints = RECORDED[name]
    follower = ear.listen(mariadb_side)
    ahead: deque[str] = deque()
    read = pymysql.connections.Connection._read_packet

    def read_packet(self: Any, *arguments: Any) -> Any:
        if getattr(self, "reads_log", False) and ahead:
            return pymysql.protocol.MysqlPacket(bytes.fromhex(ahead.popleft()), "utf8mb4")
        return read(self, *arguments)

    monkeypatch.setattr(pymysql.connections.Connection, "_read_packet", read_packet)
    assert heard_of(follower, mariadb_side.rows, lambda: ahead.extend(recorded)) == hints


def test_what_is_in_the_log_before_it_is_visible_is_hinted_at_again(
    mariadb_side: Side, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_feed, "VISIBLE", 0.05)
    follower = ear.listen(mariadb_side)
    follower.await_hints(2)
    mariadb_side.execute("TRUNCATE TABLE topologies")
    follower.await_hints(4)
    assert [heard.ids for heard in follower.heard] == [None] * 4
    assert heard_of(follower, mariadb_side.rows, lambda: None) == []


@pytest.mark.parametrize("form", ["ROW", "STATEMENT"])
def test_statements_in_another_character_set_do_no_harm(
    mariadb_side: Side, ear: Ear, form: str
) -> None:
    follower = ear.listen(mariadb_side)
    with mariadb_side.connected() as connection:
        connection.exec_driver_sql("SET NAMES latin1")
        connection.exec_driver_sql(f"SET SESSION binlog_format = '{form}'")
        cursor = connection.connection.cursor()
        cursor.execute(b"CREATE TABLE odd (a INT COMMENT 'caf\xe9')")
        cursor.execute(b"INSERT INTO attacks (detail) VALUES (_latin1'\xff\xfe\x80')")
        connection.commit()
    assert heard_of(follower, mariadb_side.rows, lambda: None) == []


COLUMNS = {
    "VARCHAR(9) CHARACTER SET latin1": "'caf\xe9'",
    "VARCHAR(9) CHARACTER SET utf16": "'caf\xe9'",
    "VARBINARY(9)": "x'ff00fe80'",
    "BINARY(9)": "x'ff00fe80'",
    "BLOB": "x'ff00fe80'",
    "INET6": "'::1'",
    "UUID": "UUID()",
    "JSON": "'{\"a\": [1, null]}'",
    "DATETIME(6)": "'0000-00-00 00:00:00'",
    "POINT": "POINT(1, 2)",
    "DECIMAL(65, 30)": "-1.5",
    "BIT(3)": "5",
    "SET('x','y')": "'x,y'",
    "LONGBLOB": "REPEAT('x', 9000000)",
}
"""Types, and a value of each that is odd."""


@mariadb_alone
def test_what_other_columns_hold_does_no_harm(mariadb_side: Side, ear: Ear) -> None:
    rows = mariadb_side.rows
    columns = [f"ADD COLUMN c{number} {type_} FIRST" for number, type_ in enumerate(COLUMNS)]
    mariadb_side.execute(f"ALTER TABLE topologies {', '.join(columns)}")
    rows.execute("SET SESSION sql_mode = ''")
    follower = ear.listen(mariadb_side)
    one, two = new_id(), new_id()
    names = ", ".join(f"c{number}" for number in range(len(COLUMNS)))
    values = ", ".join(COLUMNS.values())
    rows.execute(f"INSERT INTO topologies ({names}, id) VALUES ({values}, '{one}')")
    rows.execute("UPDATE topologies SET id = ?", two)
    rows.execute("DELETE FROM topologies")
    follower.await_deleted(one, two)
    assert [heard.ids for heard in follower.heard[1:]] == [[one], [two]]


@mariadb_alone
def test_a_column_that_cannot_be_read_ends_it_with_a_sentence(mariadb_side: Side, ear: Ear) -> None:
    mariadb_side.execute("ALTER TABLE topologies ADD COLUMN odd TEXT COMPRESSED FIRST")
    follower = ear.listen(mariadb_side)
    mariadb_side.rows.execute("INSERT INTO topologies (odd, id) VALUES (REPEAT('x', 999), 'y')")
    assert "\n" not in str(follower.await_end(ReaperError))


def test_an_id_of_another_form_hides_none_of_those_deleted_with_it(
    mariadb_side: Side, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_feed, "VISIBLE", 0.05)
    follower = ear.listen(mariadb_side)
    row = new_id()
    mariadb_side.rows.insert(row, "an-odd-one")
    follower.await_hints(2)  # the first one, and its repetition
    mariadb_side.rows.execute("DELETE FROM topologies")
    follower.await_deleted(row)
    follower.await_hints(5)  # the id, and twice that it may be any
    assert [heard.ids for heard in follower.heard[2:]] == [[row], None, None]


def test_a_distributed_transaction_is_heard_of_when_it_commits(
    mariadb_side: Side, ear: Ear
) -> None:
    follower = ear.listen(mariadb_side)
    row = new_id()
    mariadb_side.rows.insert(row)
    with mariadb_side.connected() as connection:
        for sql in (
            "XA START 'x'",
            f"DELETE FROM topologies WHERE id = '{row}'",
            "XA END 'x'",
            "XA PREPARE 'x'",
        ):
            connection.exec_driver_sql(sql)
        follower.await_deleted(row)
        before = follower.hints
        connection.exec_driver_sql("XA COMMIT 'x'")
        follower.await_hints(before + 1)
    assert follower.heard[before].ids is None


def test_an_id_that_changes_beside_another_key_is_heard_of_in_a_minimal_log(
    mariadb_side: Side, ear: Ear
) -> None:
    mariadb_side.execute("ALTER TABLE topologies DROP PRIMARY KEY, ADD n INT PRIMARY KEY FIRST")
    mariadb_side.execute("INSERT INTO topologies (n, id) VALUES (1, 'x')")
    follower = ear.listen(mariadb_side)
    before = follower.hints
    with mariadb_side.connected() as connection:
        connection.exec_driver_sql("SET binlog_row_image = MINIMAL")
        connection.exec_driver_sql(f"UPDATE topologies SET id = '{new_id()}'")
        connection.commit()
    follower.await_hints(before + 1)
    assert follower.heard[before].ids is None
