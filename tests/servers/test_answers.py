"""What the listener reads from real servers is the truth, or no answer.

Each test has a database of its own on a private server, opened by its URL as an operator's would be
and written by another process. A *kind* is a server with a type and a collation of the key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from listener.databases.base import BATCH, Topologies
from listener.databases.mysql import table as mysql
from listener.databases.server import ServerTopologies
from listener.databases.urls import open_topologies
from listener.errors import NoAnswer
from tests.servers.conftest import (
    READING,
    SECRET,
    Open,
    Opened,
    Side,
    fresh_side,
    mariadb_alone,
    refusal,
)
from tests.support.decnet import new_id
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres

PREFIXES = ["12345679", "1234567a", "1234567f", "12345670", "00000000", "ffffffff", "fffffff9"]
ICU = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE"
KINDS = {
    "postgresql-C": ("postgres", "", "VARCHAR(36)"),
    "postgresql-char": ("postgres", "", "CHAR(36)"),
    "postgresql-uuid": ("postgres", "", "UUID"),
    "postgresql-icu-column": ("postgres", "", 'TEXT COLLATE "en-x-icu"'),
    "postgresql-icu-database": ("postgres", f"{ICU} 'en-US'", "VARCHAR(36)"),
    "mariadb-unicode": ("mariadb", "", "VARCHAR(36) COLLATE utf8mb4_unicode_ci"),
    "mariadb-char": ("mariadb", "", "CHAR(36) CHARACTER SET ascii"),
}
BENT = (
    pytest.param("postgres", f"{ICU} 'en-u-kn-true'", "VARCHAR(36)", id="postgresql-numeric"),
    pytest.param("mariadb", "", "UUID", id="mariadb-uuid", marks=mariadb_alone),
    pytest.param("mariadb", "", "VARBINARY(36)", id="mariadb-bytes"),
)
"""Kinds in which a range of texts does not hold what it should."""


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def any_kind(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database with an empty table of each kind in turn."""
    server, options, id_type = request.param
    with fresh_side(request, server, options, id_type) as side:
        yield side


def first(prefix: str) -> str:
    """The least id with a prefix."""
    return f"{prefix}-0000-0000-0000-000000000000"


def last(prefix: str) -> str:
    """The greatest id with a prefix."""
    return f"{prefix}-ffff-ffff-ffff-ffffffffffff"


# Which rows there are.


def judge(topologies: Opened, rows: Rows) -> None:
    """See that each prefix is told from its neighbours, without and with a row at either end."""
    for prefix in PREFIXES:
        number = int(prefix, 16)
        below = [last(f"{number - 1:08x}")] if number else []
        above = [first(f"{number + 1:08x}")] if number + 1 < 16**8 else []
        rows.insert(*below, *above)
        assert topologies.ask([prefix]).ids == set(), prefix
        asked = [prefix, *(id_[:8] for id_ in below + above)]
        assert topologies.ask(asked).ids == {*below, *above}, prefix
        for id_ in (first(prefix), last(prefix)):
            rows.insert(id_)
            answer = topologies.ask([prefix])
            assert answer.ids == {id_}, prefix
            assert answer.live(prefix)
            assert answer.live(id_)
            rows.delete(id_)
        rows.delete(*below, *above)


def test_a_prefix_ending_in_any_digit_is_judged_rightly(any_kind: Side, opened: Open) -> None:
    judge(opened(any_kind.url), any_kind.rows)


@pytest.mark.parametrize(("server", "options", "id_type"), BENT)
def test_a_key_that_no_range_fits_is_judged_rightly_or_not_at_all(
    request: pytest.FixtureRequest, opened: Open, server: str, options: str, id_type: str
) -> None:
    with fresh_side(request, server, options, id_type) as side, suppress(NoAnswer):
        judge(opened(side.url), side.rows)


def test_a_question_uses_the_primary_key(
    any_kind: Side, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_postgres = any_kind.on_postgres
    if on_postgres:
        new_ids = "SELECT gen_random_uuid() FROM generate_series(1, 10000)"
    else:
        some = "information_schema.collations"
        new_ids = f"SELECT UUID() FROM {some} AS a, {some} AS b LIMIT 10000"
    any_kind.execute(f"INSERT INTO topologies (id) {new_ids}")
    any_kind.execute("ANALYZE topologies" if on_postgres else "ANALYZE TABLE topologies")
    ids = [str(id_) for (id_,) in any_kind.execute("SELECT id FROM topologies")]
    asked: list[str] = []
    get = ServerTopologies._results

    def noted(self: ServerTopologies, connection: sa.Connection, statements: str) -> Any:
        asked.append(statements)
        return get(self, connection, statements)

    monkeypatch.setattr(ServerTopologies, "_results", noted)
    topologies = opened(any_kind.url)
    for count in (1, BATCH):
        prefixes = sorted({id_[:8] for id_ in ids[:count]})
        assert topologies.ask(prefixes).ids >= set(ids[:count])
        statement = asked[-1][asked[-1].index("SELECT '") :].removesuffix("; COMMIT")
        explain = "EXPLAIN" if on_postgres else "EXPLAIN FORMAT = TRADITIONAL"
        plan = any_kind.execute(f"{explain} {statement.replace('%', '%%')}")
        if on_postgres:
            text = "\n".join(str(line) for (line,) in plan)
            assert text.count("topologies_pkey") == len(prefixes)
            assert "Seq Scan on topologies" not in text
        else:
            (found,) = (line for line in plan if line.table == "topologies")
            assert (found.type, found.key) == ("range", "PRIMARY")


# Every question is a new transaction.


def test_a_question_that_waits_for_a_restore_sees_what_it_restored(
    postgres_side: Side, opened: Open
) -> None:
    """In the snapshot of before the wait, the table that was emptied and filled would be empty."""
    url = postgres_side.reader(*READING[PrivatePostgres])
    role = sa.make_url(url).username
    isolation = "default_transaction_isolation = 'repeatable read'"
    postgres_side.execute(f"ALTER ROLE {role} SET {isolation}")
    postgres_side.rows.insert(row := new_id("aaaaaaaa"))
    topologies = opened(url)
    assert topologies.ask(["aaaaaaaa"]).ids == {row}
    with ThreadPoolExecutor(1) as pool, postgres_side.connected() as restoring:
        restoring.execute(sa.text("CREATE TEMPORARY TABLE dump AS SELECT * FROM topologies"))
        restoring.execute(sa.text("TRUNCATE topologies"))
        asked = pool.submit(topologies.ask, ["aaaaaaaa"])
        eventually(lambda: waits_for_a_lock(postgres_side), "it waits for the restore")
        restoring.execute(sa.text("INSERT INTO topologies SELECT * FROM dump"))
        restoring.commit()
        assert asked.result().ids == {row}


def waits_for_a_lock(side: Side) -> bool:
    """Whether any session in this database does."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database()"
    return bool(side.execute(f"{waiting} AND wait_event_type = 'Lock'"))


# What is no answer.


def test_active_row_level_security_is_no_answer(postgres_side: Side, opened: Open) -> None:
    row = new_id("aaaaaaaa")
    postgres_side.rows.insert(row)
    url = postgres_side.reader(*READING[PrivatePostgres])
    topologies = opened(url)
    assert topologies.ask(["aaaaaaaa"]).ids == {row}
    postgres_side.execute("ALTER TABLE topologies ENABLE ROW LEVEL SECURITY")
    assert "row-level security" in refusal(topologies)
    assert opened(postgres_side.url).ask(["aaaaaaaa"]).ids == {row}  # its owner sees all
    postgres_side.execute(f"ALTER ROLE {sa.make_url(url).username} BYPASSRLS")
    assert topologies.ask(["aaaaaaaa"]).ids == {row}


def test_a_missing_table_or_database_is_no_answer(side: Side, opened: Open) -> None:
    topologies = opened(side.url)
    topologies.ask([])
    side.execute("DROP TABLE topologies")
    assert "has no table 'topologies'" in refusal(topologies)
    assert "has no table 'topologies'" in refusal(opened(side.url))
    side.execute("CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY)")
    assert topologies.ask(["aaaaaaaa"]).ids == set()
    assert "nowhere" in refusal(opened(side.server.url(database="nowhere")))


def test_a_table_without_the_column_is_no_answer(side: Side, opened: Open) -> None:
    side.execute("ALTER TABLE topologies RENAME COLUMN id TO key_")
    assert "id" in refusal(opened(side.url))


def test_a_wrong_password_is_no_answer(side: Side, opened: Open) -> None:
    side.reader(*READING[type(side.server)])
    role = f"reader_of_{side.name}"
    for password in (f"{SECRET}2", ""):
        url = side.server.url(user=role, password=password, database=side.name)
        text = refusal(opened(url))
        assert not password or password not in text


@mariadb_alone
@pytest.mark.parametrize("installed", [True, False])
def test_an_account_with_ed25519_is_let_in_or_the_package_is_named(
    mariadb_side: Side, opened: Open, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    mariadb_side.execute("INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'")
    url = mariadb_side.reader(*READING[PrivateMariaDB])
    name = sa.make_url(url).username
    mariadb_side.execute(f"ALTER USER {name} IDENTIFIED VIA ed25519 USING PASSWORD('{SECRET}')")
    if installed:
        assert opened(url).ask(["aaaaaaaa"]).ids == set()
        return
    monkeypatch.setattr("pymysql._auth._nacl_bindings", None)
    monkeypatch.setitem(sys.modules, "nacl", None)
    said = refusal(opened(url))
    assert "pip install 'topology-reaper[mysql]'" in said
    assert "pynacl" in said


def test_a_login_that_the_driver_does_not_know_is_one_sentence_with_its_name() -> None:
    """As a server asks for it: MariaDB has parsec from 11.6 on."""
    driver = pymysql.connections.Connection(defer_connect=True)
    with pytest.raises(pymysql.OperationalError) as caught:
        driver._process_auth(b"parsec", None)
    said = str(open_topologies("mysql://h/d").no_answer(caught.value))
    assert "parsec" in said
    assert "ALTER USER" in said


# What a reader needs.


def test_a_reader_needs_no_more_than_the_documented_rights(side: Side, opened: Open) -> None:
    side.rows.insert(row := new_id("aaaaaaaa"))
    *others, on_table = READING[type(side.server)]
    topologies = opened(side.reader(*others))
    refusal(topologies)
    side.execute(on_table.format(f"reader_of_{side.name}", database=side.name))
    answer = topologies.ask(["aaaaaaaa"])
    assert answer.ids == {row}
    assert topologies.same_table(answer.identity, opened(side.url).ask([]).identity, True)


@pytest.mark.parametrize(
    ("function", "missed"),
    [
        ("pg_current_wal_flush_lsn()", "an older state"),
        ("pg_postmaster_start_time()", "that another relay asks it"),
        ("pg_current_wal_insert_lsn()", "a standby that was promoted"),
        ("pg_walfile_name(pg_lsn)", "a standby that was promoted"),
        ("pg_control_system()", "another server"),
    ],
)
def test_a_figure_that_a_managed_server_does_not_tell_is_done_without_and_said_once(
    postgres_side: Side, opened: Open, warned: list[str], function: str, missed: str
) -> None:
    postgres_side.rows.insert(row := new_id("aaaaaaaa"))
    topologies = opened(postgres_side.reader(*READING[PrivatePostgres]))
    before = topologies.ask([])
    postgres_side.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    for _ in range(2):
        assert topologies.ask(["aaaaaaaa"]).ids == {row}
    (said,) = warned
    assert f"permission denied for function {function.partition('(')[0]}" in said
    assert missed in said
    with topologies.reading() as reading:
        assert "database.figures" in {finding.id for finding in topologies.inside(reading)}
    # How far it has come, and since when it runs, is no part of which table it is.
    no_part = function in ("pg_current_wal_flush_lsn()", "pg_postmaster_start_time()")
    assert (topologies.ask([]).identity == before.identity) == no_part
    assert topologies.ask([]).generation == before.generation
    postgres_side.execute("DROP TABLE topologies")
    postgres_side.execute("CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY)")
    postgres_side.execute("GRANT SELECT ON topologies TO PUBLIC")
    assert topologies.ask([]).identity != before.identity


# Which table it is.


def test_a_table_that_comes_first_later_is_not_asked(postgres_side: Side, opened: Open) -> None:
    postgres_side.rows.insert(row := new_id("aaaaaaaa"))
    topologies = opened(postgres_side.url)
    before = topologies.ask(["aaaaaaaa"])
    odd = '"Earl.y% ""\\\'"'
    for statement in (
        f"CREATE SCHEMA {odd}",
        f"CREATE TABLE {odd}.topologies (id TEXT PRIMARY KEY)",
        f"ALTER DATABASE {postgres_side.name} SET search_path = {odd}, public",
    ):
        postgres_side.execute(statement.replace("%", "%%"))
    topologies._pool.dispose()
    assert topologies.ask(["aaaaaaaa"]).ids == {row}
    assert topologies.ask([]).identity == before.identity
    other = opened(postgres_side.url)
    assert other.ask(["aaaaaaaa"]).ids == other.ask(["aaaaaaaa"]).ids == set()
    assert other.ask([]).identity != before.identity


def not_refused(topologies: Topologies) -> bool:
    with suppress(NoAnswer):
        return bool(topologies.ask([]))
    return False


def test_a_view_is_no_answer(side: Side, opened: Open) -> None:
    """What lies beneath it could be another table each time."""
    side.execute("ALTER TABLE topologies RENAME TO kept")
    side.execute("CREATE VIEW topologies AS SELECT * FROM kept")
    assert "a view" in refusal(opened(side.url))


def test_a_table_that_was_just_made_is_no_answer_in_mariadb(
    mariadb_side: Side, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again within the same second, it could not be told from the one before."""
    topologies = opened(mariadb_side.url)
    with monkeypatch.context() as longer:  # than it takes to ask, however slow this machine is
        longer.setattr(mysql, "YOUNG", 1000.0)
        mariadb_side.rows.execute("DROP TABLE topologies")
        mariadb_side.rows.execute("CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY)")
        assert "has just made its table" in refusal(topologies)
    eventually(lambda: not_refused(topologies), "it is old enough")


def test_another_collation_is_looked_at_anew(postgres_side: Side, opened: Open) -> None:
    topologies = opened(postgres_side.url)
    before = topologies.ask([]).identity
    postgres_side.execute("CREATE COLLATION by_number (provider = icu, locale = 'en-u-kn-true')")
    postgres_side.execute(
        "ALTER TABLE topologies ALTER COLUMN id TYPE VARCHAR(36) COLLATE by_number"
    )
    assert "hides rows" in refusal(topologies)
    postgres_side.execute('ALTER TABLE topologies ALTER COLUMN id TYPE VARCHAR(36) COLLATE "C"')
    assert topologies.ask([]).identity != before


def test_how_far_postgresql_has_come_never_goes_back(postgres_side: Side, opened: Open) -> None:
    topologies = opened(postgres_side.url)
    before = topologies.ask([]).position
    postgres_side.rows.insert(new_id())
    assert topologies.ask([]).position > before > 0


def test_a_table_that_was_made_again_is_another(side: Side, opened: Open) -> None:
    topologies = opened(side.url)
    before = topologies.ask([]).identity
    side.rows.insert(new_id())
    side.rows.execute("DELETE FROM topologies")
    assert topologies.ask([]).identity == before
    side.execute("DROP TABLE topologies")
    side.execute("CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY)")
    assert topologies.ask([]).identity != before


def test_a_copy_of_a_database_by_a_template_is_another(postgres_side: Side, opened: Open) -> None:
    """Its tables have the numbers of those that they were copied from."""
    side, copy = postgres_side, f"copy_of_{postgres_side.name}"
    topologies = opened(side.url)
    before = topologies.ask([]).identity
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
    side.server.execute(f"{ends} '{side.name}'")  # a template may not be in use
    side.server.execute(f"CREATE DATABASE {copy} TEMPLATE {side.name}")
    side.server.execute(f"DROP DATABASE {side.name} WITH (FORCE)")
    side.server.execute(f"ALTER DATABASE {copy} RENAME TO {side.name}")
    eventually(lambda: answers(topologies), "it answers on a new connection")
    now = topologies.ask([]).identity
    assert not topologies.same_table(before, now, True)
    former = re.sub(r" database \d+", "", now)
    assert topologies.same_table(former, now, True), "as the release before wrote it"


def answers(topologies: Opened) -> bool:
    """Whether it does, now."""
    try:
        topologies.ask([])
    except NoAnswer:
        return False
    return True


def test_a_database_without_an_encoding_is_asked_all_the_same(
    postgres_side: Side, opened: Open
) -> None:
    side, name = postgres_side, f"ascii_{postgres_side.name}"
    side.server.execute(
        f"CREATE DATABASE {name} ENCODING SQL_ASCII TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    url = side.server.url(database=name)
    with Rows(f"{url}?client_encoding=utf8") as rows:
        rows.create_table()
        rows.insert(row := new_id("aaaaaaaa"))
    assert opened(url).ask(["aaaaaaaa"]).ids == {row}


def test_a_table_that_is_made_again_while_it_is_asked_answers_as_another(
    side: Side, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a restore: what looked like the old table would answer for the new, empty one."""
    side.rows.insert(new_id("aaaaaaaa"))
    topologies = opened(side.url)
    before = topologies.ask(["aaaaaaaa"])
    check_order = ServerTopologies._check_order

    def restore(self: ServerTopologies, *asked: Any) -> None:
        check_order(self, *asked)
        monkeypatch.undo()
        side.execute("DROP TABLE topologies")
        side.execute("CREATE TABLE topologies (id VARCHAR(36) PRIMARY KEY, status TEXT)")

    monkeypatch.setattr(ServerTopologies, "_check_order", restore)
    answer = topologies.ask(["aaaaaaaa"])
    assert answer.ids == set()
    assert answer.identity != before.identity


def test_an_old_answer_to_another_question_is_none(
    side: Side, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cache gives that takes all questions for rows to be the same."""
    topologies = opened(side.url)
    results: list[Any] = []
    get = ServerTopologies._results

    def cached(self: ServerTopologies, *asked: Any) -> Any:
        results.append(get(self, *asked) if len(results) < 2 else results[-1])
        return results[-1]

    monkeypatch.setattr(ServerTopologies, "_results", cached)
    assert topologies.ask(["aaaaaaaa"]).ids == set()  # it was asked who it is, and for the rows
    side.rows.insert(row := new_id("aaaaaaaa"))
    assert "is behind a cache" in refusal(topologies)
    monkeypatch.undo()
    assert topologies.ask(["aaaaaaaa"]).ids == {row}


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("s 1 server 2 table of 3", "s 1 server 2 table of 3 number 4 of 5", True),
        ("s 1 server 2 table of 3 number 4 of 5", "s 1 server 2 table of 3 number 9 of 5", True),
        ("s 1 server 2 table of 3 number 4 of 5", "s 1 server 2 table of 9 number 4 of 5", True),
        ("s 1 server 2 table of 3 number 4 of 5", "s 1 server 2 table of 9 number 4 of 9", False),
        ("s 1 server 2 table of 3 number 4 of 5", "s 1 server 2 table of 9 number 9 of 5", False),
        ("s 1 server 2 table of 3 number 4 of 5", "s 1 server 9 table of 3 number 4 of 5", False),
        ("s 1 server 2 table of 3 number 4 of 5", "s 9 server 2 table of 3 number 4 of 5", False),
        ("s 1 server 2 table of 3", "s 1 server 2 table of 9", False),
        ("s 1 server 2 table of 3", "anything", False),
    ],
)
def test_a_table_in_mariadb_is_the_same_by_either_mark(before: str, now: str, same: bool) -> None:
    """The first one is as the release before wrote it down."""
    topologies = open_topologies("mysql://h/d")
    assert topologies.same_table(before, now, True) == same
    assert topologies.same_table(now, before, True) == same


def test_a_number_alone_does_not_tell_a_table_that_nobody_watched() -> None:
    """An older copy of the server's directory has the same."""
    topologies = open_topologies("mysql://h/d")
    before, now = (f"s 1 server 2 table of {time} number 4 of 5" for time in (3, 9))
    assert not topologies.same_table(before, now, False)


def test_a_truncated_table_is_still_the_same(side: Side, opened: Open) -> None:
    # PostgreSQL keeps the oid, MariaDB 10.11 the time of creation; both give it another file.
    topologies = opened(side.url)
    side.rows.insert(new_id("aaaaaaaa"))
    before = topologies.ask(["aaaaaaaa"])
    side.execute("TRUNCATE TABLE topologies")
    after = topologies.ask(["aaaaaaaa"])
    assert (len(before.ids), len(after.ids)) == (1, 0)
    assert after.identity == before.identity


def test_two_databases_on_a_server_are_two(side: Side, opened: Open) -> None:
    identity = opened(side.url).ask([]).identity
    with side.server.fresh_database() as name, Rows(side.server.url(database=name)) as rows:
        rows.create_table()
        topologies = opened(side.server.url(database=name))
        assert topologies.ask([]).identity != identity
        topologies._pool.dispose()
