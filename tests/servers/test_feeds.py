"""What the push feeds of real servers say of what another process does to the table.

A listener has the documented rights and no other. That nothing is said is known once a later
deletion is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from listener.database.feeds import mysql as mysql_feed
from listener.errors import ReaperError
from tests.servers.conftest import SECRET, Ear, Side, fresh_side, heard_of
from tests.support.decnet import new_id
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


def ids_of(hints: list[list[str] | None]) -> list[str]:
    """All ids in these hints, each of which has some."""
    assert None not in hints
    return sorted(id_ for hint in hints for id_ in hint or ())


def statement(rows: Rows, sql: str, *parameters: str) -> Callable[[], int]:
    """One statement, to be executed."""
    return lambda: rows.execute(sql, *parameters)


# Deletions.


def test_a_deletion_is_reported_by_its_id(side: Side, ear: Ear) -> None:
    ids = [new_id() for _ in range(20)]
    side.rows.insert(*ids, new_id())
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: [side.rows.delete(id_) for id_ in ids]) == [
        [id_] for id_ in ids
    ]
    assert follower.feed.name == ("notify" if side.on_postgres else "binlog")


def test_all_statements_of_a_transaction_are_reported(side: Side, ear: Ear) -> None:
    ids = [new_id() for _ in range(300)]
    side.rows.insert(*ids)
    follower = ear.listen(side)
    assert ids_of(heard_of(follower, side.rows, lambda: side.rows.delete(*ids))) == sorted(ids)


def test_what_many_writers_delete_at_once_is_reported_once_each(side: Side, ear: Ear) -> None:
    ids = [new_id() for _ in range(400)]
    side.rows.insert(*ids)
    follower = ear.listen(side)
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        writers = [stack.enter_context(Rows(side.url)) for _ in range(8)]
        for _ in pool.map(lambda n: writers[n % 8].delete(ids[n]), range(len(ids))):
            pass
        follower.await_deleted(*ids)
    assert sorted(follower.deleted) == sorted(ids)


def test_all_listeners_hear_the_same(side: Side, ear: Ear) -> None:
    url = side.listener()
    followers = [ear.listen(side, url) for _ in range(4)]
    ids = [new_id() for _ in range(10)]
    side.rows.insert(*ids)
    for id_ in ids:
        side.rows.delete(id_)
    for follower in followers:
        follower.await_deleted(*ids)
        assert [heard.ids for heard in follower.heard] == [None, *([id_] for id_ in ids)]


@pytest.mark.parametrize("count", [0, 1, 200, 201, 5000])
def test_one_statement_tells_of_every_row_that_it_deletes(
    side: Side, ear: Ear, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    ids = sorted(new_id() for _ in range(count))
    side.rows.insert(*ids)
    follower = ear.listen(side)
    hints = heard_of(follower, side.rows, statement(side.rows, "DELETE FROM topologies"))
    with capsys.disabled():
        print(f"\n{side.server.scheme}: {count} rows in one statement, {len(hints)} notified")
    if side.on_postgres and count > 200:
        assert hints == [None]
    elif side.on_postgres:
        assert hints == ([ids] if ids else [])
    else:
        assert ids_of(hints) == ids


def test_what_is_rolled_back_is_never_heard(side: Side, ear: Ear) -> None:
    ids = sorted(new_id() for _ in range(5))
    side.rows.insert(*ids)
    follower = ear.listen(side)

    def roll_back() -> None:
        with side.connected() as connection:
            connection.execute(sa.text(f"DELETE FROM topologies WHERE id <> '{ids[0]}'"))
            connection.rollback()

    def roll_back_in_part() -> None:
        with side.connected() as connection:
            connection.execute(sa.text(f"DELETE FROM topologies WHERE id = '{ids[0]}'"))
            with connection.begin_nested() as savepoint:
                connection.execute(sa.text("DELETE FROM topologies"))
                savepoint.rollback()
            connection.commit()

    assert heard_of(follower, side.rows, roll_back) == []
    assert heard_of(follower, side.rows, roll_back_in_part) == [[ids[0]]]


def test_what_is_not_committed_is_not_heard_yet(side: Side, ear: Ear) -> None:
    row = new_id()
    side.rows.insert(row)
    follower = ear.listen(side)
    with side.connected() as connection:
        connection.execute(sa.text(f"DELETE FROM topologies WHERE id = '{row}'"))
        assert heard_of(follower, side.rows, lambda: None) == []
        connection.commit()
        follower.await_deleted(row)


def test_a_row_that_is_deleted_and_inserted_again_is_reported(side: Side, ear: Ear) -> None:
    row = new_id()
    side.rows.insert(row)
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: side.rows.renew(row)) == [[row]]


def test_ids_are_reported_in_lower_case(side: Side, ear: Ear) -> None:
    row = new_id()
    side.rows.insert(row.upper())
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: side.rows.delete(row.upper())) == [[row]]


def test_what_is_no_id_may_be_any(side: Side, ear: Ear) -> None:
    odd = ["", "1", "a topology", "*", "x" * 36]
    side.rows.insert(*odd)
    follower = ear.listen(side)
    assert heard_of(follower, side.rows, lambda: [side.rows.delete(id_) for id_ in odd]) == (
        [None] * len(odd)
    )


# Other changes.

CHANGES = {
    "deletes nothing": ("DELETE FROM topologies WHERE id = '{other}'", []),
    "changes another column": ("UPDATE topologies SET status = 'torn_down'", []),
    "changes the id to what it is": ("UPDATE topologies SET id = '{row}', name = 'x'", []),
    "inserts": ("INSERT INTO topologies VALUES ('{other}', 'x', 'x')", []),
    "changes the id": ("UPDATE topologies SET id = '{other}' WHERE id = '{row}'", ["{row}"]),
    "empties the table": ("TRUNCATE TABLE topologies", None),
}
"""Statements, and what they do to the one row: nothing, take the id away, or who knows."""


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_only_what_may_take_rows_away_is_reported(
    side: Side, ear: Ear, change: tuple[str, list[str] | None]
) -> None:
    sql, reported = change
    row, other = new_id(), new_id()
    side.rows.insert(row)
    follower = ear.listen(side)
    hints = heard_of(follower, side.rows, statement(side.rows, sql.format(row=row, other=other)))
    if reported is None:
        assert hints == [None]
    else:
        assert ids_of(hints) == [id_.format(row=row) for id_ in reported]


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
    rows = sorted(new_id() for _ in range(3))
    side.execute("CREATE TABLE fleets (id INTEGER PRIMARY KEY)")
    side.rows.execute("INSERT INTO fleets VALUES (7)")
    side.execute(
        "ALTER TABLE topologies ADD COLUMN fleet INTEGER DEFAULT NULL,"
        " ADD CONSTRAINT of_fleet FOREIGN KEY (fleet) REFERENCES fleets (id) ON DELETE CASCADE"
    )
    for row in rows:
        side.rows.execute("INSERT INTO topologies (id, fleet) VALUES (?, 7)", row)
    side.rows.execute("INSERT INTO topologies (id) VALUES (?)", kept := new_id())
    follower = ear.listen(side)

    def act() -> None:
        side.rows.execute("DELETE FROM fleets")
        assert side.execute("SELECT id FROM topologies") == [(kept,)]
        side.execute("ALTER TABLE topologies DROP CONSTRAINT of_fleet")
        side.execute("ALTER TABLE topologies DROP COLUMN fleet")

    hints = heard_of(follower, side.rows, act)
    assert [hint for hint in hints if hint is not None] == ([rows] if side.on_postgres else [])


@pytest.mark.parametrize("name", ["decnet-1", 'Odd "na.me', "naïve ta`ble", "select"])
def test_a_schema_may_have_any_name(
    request: pytest.FixtureRequest, side: Side, ear: Ear, name: str
) -> None:
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
    ids = [new_id() for _ in range(500)]
    postgres_side.rows.insert(*ids)
    follower = ear.listen(postgres_side, check_every=0.0)
    for id_ in ids:
        postgres_side.rows.delete(id_)
    follower.await_deleted(*ids)
    assert follower.deleted == ids


def test_a_native_uuid_is_reported_as_text(request: pytest.FixtureRequest, ear: Ear) -> None:
    with fresh_side(request, "postgres", id_type="UUID") as side:
        ids = sorted(new_id() for _ in range(200))
        side.rows.insert(*ids)
        follower = ear.listen(side)
        act = statement(side.rows, "DELETE FROM topologies")
        assert heard_of(follower, side.rows, act) == [ids]


FORGED = {
    "nothing": ("", None),
    "garbage": ("rm -rf /; DROP TABLE topologies; \\x00 %s {0}", None),
    "any": ("*", None),
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


# MariaDB alone.

SHAPES = {
    "the key is the last": "name TEXT, status TEXT, id VARCHAR(36) PRIMARY KEY",
    "the key is between": "a INT, b DATETIME(6) NULL, id CHAR(36) PRIMARY KEY, name TEXT, c BLOB",
    "columns of many kinds": (
        "a BIT(3), b DECIMAL(9,2), c ENUM('x','y'), d SET('x','y'), e YEAR, f TIME(3), g JSON,"
        " h DOUBLE, i VARBINARY(9), j BINARY(3), k DATE, l TIMESTAMP(6) NULL, m LONGTEXT, n POINT,"
        " id VARCHAR(36) PRIMARY KEY, name TEXT, status TEXT"
    ),
    "the key is ascii": "id CHAR(36) CHARACTER SET ascii PRIMARY KEY, name TEXT, status TEXT",
    "the key is latin1": "name TEXT, id VARCHAR(36) CHARACTER SET latin1 PRIMARY KEY",
    "a column is generated": (
        "a INT AS (1 + 1) PERSISTENT, b INT AS (1 + 2) VIRTUAL, id VARCHAR(36) PRIMARY KEY"
    ),
    "a column is invisible": "a INT INVISIBLE, id VARCHAR(36) PRIMARY KEY",
}


@pytest.fixture(params=["FULL", "MINIMAL", "NOBLOB"])
def row_image(request: pytest.FixtureRequest, mariadb_side: Side) -> str:
    """How much of a row is written to the log."""
    image: str = request.param
    request.addfinalizer(  # noqa: PT021
        lambda: mariadb_side.execute("SET GLOBAL binlog_row_image = 'FULL'")
    )
    mariadb_side.execute(f"SET GLOBAL binlog_row_image = '{image}'")
    mariadb_side.rows.execute(f"SET SESSION binlog_row_image = '{image}'")
    return image


@pytest.mark.parametrize("metadata", ["NO_LOG", "FULL"])
@pytest.mark.usefixtures("row_image")
def test_the_key_is_found_wherever_it_stands(
    request: pytest.FixtureRequest, mariadb_side: Side, ear: Ear, metadata: str
) -> None:
    side, rows, url = mariadb_side, mariadb_side.rows, mariadb_side.listener()
    request.addfinalizer(lambda: side.execute("SET GLOBAL binlog_row_metadata = 'NO_LOG'"))
    side.execute(f"SET GLOBAL binlog_row_metadata = '{metadata}'")
    for shape, columns in SHAPES.items():
        side.execute("DROP TABLE topologies")
        side.execute(f"CREATE TABLE topologies ({columns})")
        follower = ear.listen(side, url)
        one, two, three = (new_id() for _ in range(3))
        for row in (one, two):
            rows.execute("INSERT INTO topologies (id) VALUES (?)", row)
        rows.execute("UPDATE topologies SET id = ? WHERE id = ?", three, two)
        rows.execute("DELETE FROM topologies WHERE id IN (?, ?)", one, three)
        follower.await_deleted(one, three)
        assert ids_of([h.ids for h in follower.heard[1:]]) == sorted([one, two, three]), shape
        follower.end()


@pytest.mark.usefixtures("row_image")
def test_a_row_that_is_replaced_is_reported_if_its_id_goes(mariadb_side: Side, ear: Ear) -> None:
    rows = mariadb_side.rows
    mariadb_side.execute("ALTER TABLE topologies MODIFY name VARCHAR(99) UNIQUE")
    follower = ear.listen(mariadb_side)
    one, two, three = (new_id() for _ in range(3))
    rows.execute("INSERT INTO topologies VALUES (?, 'name', 'old')", one)
    same = statement(rows, "REPLACE INTO topologies VALUES (?, 'name', 'new')", one)
    assert set(ids_of(heard_of(follower, rows, same))) <= {one}
    status = statement(rows, "UPDATE topologies SET status = 'changed'")
    assert heard_of(follower, rows, status) == []
    upsert = (
        "INSERT INTO topologies VALUES (?, 'name', 'x')"
        " ON DUPLICATE KEY UPDATE id = VALUES(id), status = 'newer'"
    )
    assert heard_of(follower, rows, statement(rows, upsert, one)) == []
    other = statement(rows, "REPLACE INTO topologies VALUES (?, 'name', 'other')", two)
    assert heard_of(follower, rows, other) == [[one]]
    assert heard_of(follower, rows, statement(rows, upsert, three)) == [[two]]
    assert mariadb_side.execute("SELECT id, status FROM topologies") == [(three, "newer")]


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


def test_a_new_log_file_is_followed(mariadb_side: Side, ear: Ear) -> None:
    follower = ear.listen(mariadb_side)
    for _ in range(3):
        flush = statement(mariadb_side.rows, "FLUSH BINARY LOGS")
        assert heard_of(follower, mariadb_side.rows, flush) == []


@pytest.mark.parametrize("form", ["STATEMENT", "MIXED"])
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM topologies WHERE id = '{row}'",
        "/* all */ delete from`topologies`",
        "UPDATE {database}.topologies SET id = UUID()",
    ],
)
def test_a_session_that_logs_statements_may_have_deleted_any_row(
    mariadb_side: Side, ear: Ear, form: str, sql: str
) -> None:
    rows, row = mariadb_side.rows, new_id()
    rows.insert(row)
    follower = ear.listen(mariadb_side)
    rows.execute(f"SET SESSION binlog_format = '{form}'")

    def act() -> None:
        rows.execute(sql.format(row=row, database=mariadb_side.name))
        rows.execute("SET SESSION binlog_format = 'ROW'")

    hints = heard_of(follower, rows, act)
    assert hints in ([None], [[row]])


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


ODD = {
    "another character set": b"CREATE TABLE odd (a INT COMMENT 'caf\xe9')",
    "no character set": b"INSERT INTO attacks (detail) VALUES (_latin1'\xff\xfe\x80')",
}


@pytest.mark.parametrize("form", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("sql", ODD.values(), ids=list(ODD))
def test_statements_in_another_character_set_do_no_harm(
    mariadb_side: Side, ear: Ear, sql: bytes, form: str
) -> None:
    follower = ear.listen(mariadb_side)
    with mariadb_side.connected() as connection:
        connection.exec_driver_sql("SET NAMES latin1")
        connection.exec_driver_sql(f"SET SESSION binlog_format = '{form}'")
        connection.connection.cursor().execute(sql)
        connection.commit()
    assert heard_of(follower, mariadb_side.rows, lambda: None) == []


BYTES = {
    "latin1": ("VARCHAR(9) CHARACTER SET latin1", "'caf\xe9'"),
    "utf16": ("VARCHAR(9) CHARACTER SET utf16", "'caf\xe9'"),
    "bytes": ("VARBINARY(9)", "x'ff00fe80'"),
    "fixed bytes": ("BINARY(9)", "x'ff00fe80'"),
    "blob": ("BLOB", "x'ff00fe80'"),
    "address": ("INET6", "'::1'"),
    "uuid": ("UUID", "UUID()"),
    "json": ("JSON", "'{\"a\": [1, null]}'"),
    "time": ("DATETIME(6)", "'0000-00-00 00:00:00'"),
    "point": ("POINT", "POINT(1, 2)"),
    "decimal": ("DECIMAL(65, 30)", "-1.5"),
    "large": ("LONGBLOB", "REPEAT('x', 9000000)"),
}


@pytest.mark.parametrize("kind", BYTES.values(), ids=list(BYTES))
def test_what_another_column_holds_does_no_harm(
    mariadb_side: Side, ear: Ear, kind: tuple[str, str]
) -> None:
    type_, value = kind
    rows = mariadb_side.rows
    mariadb_side.execute(f"ALTER TABLE topologies ADD COLUMN odd {type_} FIRST")
    rows.execute("SET SESSION sql_mode = ''")
    follower = ear.listen(mariadb_side)
    one, two = new_id(), new_id()
    rows.execute(f"INSERT INTO topologies (odd, id) VALUES ({value}, '{one}')")
    rows.execute("UPDATE topologies SET id = ?", two)
    rows.execute("DELETE FROM topologies")
    follower.await_deleted(one, two)
    assert [heard.ids for heard in follower.heard[1:]] == [[one], [two]]


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
        for statement in (
            "XA START 'x'",
            f"DELETE FROM topologies WHERE id = '{row}'",
            "XA END 'x'",
            "XA PREPARE 'x'",
        ):
            connection.exec_driver_sql(statement)
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
