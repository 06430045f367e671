"""What is said of a database: whether it can be asked, by whom, and how it tells of deletions."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from private_engine import PrivateEngine

from listener.cli.doctor import Diagnosis
from listener.core.findings import Status
from listener.databases import mounts
from tests.engine.doctor.conftest import (
    AS_ROOT,
    GROUP,
    OWNER,
    Look,
    assert_fault,
    assert_warning,
    diagnose,
    make_able,
    only,
    socket_group,
)
from tests.servers.conftest import HEARING, READING, Side, fresh_side, mariadb_alone
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres

STRANGER = 27019
"""A uid that owns nothing."""
GIVE_DECNETS = "give DECNET's"
FITS = "every part of the URL is right"

Prepare = Callable[[Path], object]


def ids(diagnosis: Diagnosis, status: Status) -> set[str]:
    """What is so bad."""
    return {found.id for found in diagnosis.findings if found.status is status}


# A SQLite file.


def sql(*statements: str) -> Prepare:
    def prepare(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            for statement in statements:
                database.execute(statement)

    return prepare


WAL = "PRAGMA journal_mode = WAL"
TABLE = "CREATE TABLE topologies (id TEXT PRIMARY KEY)"


def nothing(_: Path) -> None:
    pass


FILES: dict[str, tuple[Prepare, str, str, str]] = {
    "missing": (nothing, "reachable", "does not exist", "topology-reaper init-db"),
    "folder": (Path.mkdir, "reachable", "is a folder", "give the file itself"),
    "text": (lambda p: p.write_text("no database\n" * 99), "reachable", "is not a", GIVE_DECNETS),
    "no table": (sql(WAL, "CREATE TABLE x (id TEXT)"), "table", "has no table", GIVE_DECNETS),
    "no id": (
        sql(WAL, "CREATE TABLE topologies (x)"),
        "table",
        "has a table 'topologies' w",
        GIVE_DECNETS,
    ),
}


def test_a_file_that_is_not_decnets(look: Look, tmp_path: Path) -> None:
    for case, (prepare, aspect, message, remedy) in FILES.items():
        path = tmp_path / case.replace(" ", "-")
        prepare(path)
        found = look(database_url=f"sqlite:///{path}")
        words = f"--database-url: the SQLite file {path} {message}"
        assert_fault(found, 3, f"database.{aspect}", words, remedy)


def test_a_file_whose_wal_would_have_to_be_recovered_is_left_as_it_is(
    look: Look, rows: Rows, database: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in (database.name, f"{database.name}-wal"):
        shutil.copy(database.with_name(name), copied)
    before = sorted(copied.iterdir())
    found = look(database_url=f"sqlite:///{copied / database.name}")
    assert_fault(found, 3, "database.reachable", "-wal file without its -shm", "let DECNET open it")
    assert sorted(copied.iterdir()) == before
    assert rows


@pytest.fixture
def others_file(engine: PrivateEngine, data: Path) -> Iterator[dict[str, Any]]:
    """The settings of a set-up whose SQLite file is another user's."""
    path = data / "decnet.db"
    sql(WAL, TABLE)(path)
    os.chown(path, OWNER, OWNER)
    data.chmod(0o755)
    with socket_group(engine):
        yield {"docker_host": engine.host, "database_url": f"sqlite:///{path}", "timeout": 0}


def test_a_file_that_we_may_read_and_do_not_own(others_file: dict[str, Any]) -> None:
    found = diagnose(others_file, user=STRANGER, group=GROUP)
    assert ids(found, Status.FAULT) == {"database.owner"}
    assert ids(found, Status.WARNING) == {"database.folder", "state.directory"}
    (owned,) = [f for f in found.findings if f.id == "database.owner"]
    assert f"belongs to uid {OWNER}, and this is uid {STRANGER}" in owned.message
    assert owned.remedy == f"run as uid {OWNER}"
    assert found.exit_status == 1


def test_a_file_that_we_may_not_read(others_file: dict[str, Any], data: Path) -> None:
    (data / "decnet.db").chmod(0o600)
    found = diagnose(others_file, user=STRANGER, group=GROUP)
    assert ids(found, Status.FAULT) == {"database.owner", "database.reachable"}
    (refused,) = [f for f in found.findings if f.id == "database.reachable"]
    assert f"may not be used by uid {STRANGER}" in refused.message
    assert refused.remedy == "run as the file's owner"
    assert found.exit_status == 3


def test_what_another_user_left_beside_the_file(look: Look, database: Path) -> None:
    wal = f"{database}-wal"
    os.chown(wal, STRANGER, STRANGER)
    found = look()
    remedy = f"stop what runs as uid {STRANGER}, then chown 0 {wal}"
    assert_fault(found, 1, "database.beside", f"-wal or -shm file of uid {STRANGER}", remedy)


def test_what_anybody_may_write(look: Look, database: Path) -> None:
    database.chmod(0o666)
    assert_warning(look(), "database.mode", "666, lets anybody", f"chmod o-w {database}")
    database.chmod(0o644)
    database.parent.chmod(0o777)
    assert_warning(look(), "database.folder", "in its place", f"chmod o-w {database.parent}")


def test_a_file_without_wal(look: Look, tmp_path: Path) -> None:
    path = tmp_path / "another.db"
    sql(TABLE)(path)
    found = look(database_url=f"sqlite:///{path}")
    assert_warning(found, "database.wal", "not in WAL mode", "PRAGMA journal_mode = WAL")


def test_a_file_system_that_is_not_local(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "far away" / "decnet.db"
    path.parent.mkdir()
    sql(WAL, TABLE)(path)
    mounted = str(path.parent).replace(" ", "\\040")
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {mounted} rw shared:1 - nfs4 b rw\n")
    monkeypatch.setattr(mounts, "TABLE", table)
    found = look(database_url=[f"sqlite:///{path}"])
    assert_fault(found, 3, "database.reachable", "lies on nfs4", "local file system")


# A database on a server.


@pytest.fixture(params=["postgres", "mariadb"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database on each server in turn, able to push."""
    with fresh_side(request, request.param) as side:
        make_able(side)
        yield side


@pytest.fixture
def postgres_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """One in PostgreSQL."""
    with fresh_side(request, "postgres") as side:
        make_able(side)
        yield side


@pytest.fixture
def mariadb_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """One in MariaDB."""
    with fresh_side(request, "mariadb") as side:
        yield side


def with_(url: str, **parts: Any) -> str:
    """The URL with other parts."""
    return sa.make_url(url)._replace(**parts).render_as_string(hide_password=False)


def test_a_server_that_does_not_let_us_in(look: Look, side: Side) -> None:
    url = side.listener()
    others = {"password": "wrong", "database": "nowhere", "port": 1}
    for part, value in others.items():
        found = look(database_url=with_(url, **{part: value}))
        assert_fault(found, 3, "database.reachable", "gave no answer: ", FITS)
    if not side.on_postgres:
        side.execute(f"ALTER USER {sa.make_url(url).username} REQUIRE X509")
        assert_fault(look(database_url=url), 3, "database.reachable", "gave no answer: ", FITS)


def test_a_database_without_the_table_or_with_a_view_in_its_place(look: Look, side: Side) -> None:
    side.execute("ALTER TABLE topologies RENAME TO kept")
    found = look(database_url=side.url)
    assert_fault(found, 3, "database.table", "has no table 'topologies'", GIVE_DECNETS)
    side.execute("CREATE VIEW topologies AS SELECT * FROM kept")
    found = look(database_url=side.url)
    assert_fault(found, 3, "database.table", "has a view", "name the table itself")


def test_a_role_that_may_not_read_the_table(look: Look, postgres_side: Side) -> None:
    found = look(database_url=postgres_side.reader(*READING[PrivatePostgres][:-1]))
    assert_fault(found, 3, "database.table", "permission denied", "may read the table")


def test_row_level_security(look: Look, postgres_side: Side) -> None:
    url = postgres_side.listener()
    postgres_side.execute("ALTER TABLE topologies ENABLE ROW LEVEL SECURITY")
    found = look(database_url=url)
    assert_fault(found, 1, "database.row-security", "hides rows", "give a role with BYPASSRLS")


@mariadb_alone
def test_a_column_that_orders_ids_otherwise(look: Look, mariadb_side: Side) -> None:
    mariadb_side.execute("ALTER TABLE topologies MODIFY id UUID")
    found = look(database_url=mariadb_side.url)
    assert_fault(found, 1, "database.order", "hides rows", "give the column id a text type")


def test_a_replica(look: Look, mariadb_side: Side) -> None:
    url = mariadb_side.listener()
    mariadb_side.execute("SET GLOBAL read_only = 1")
    try:
        found, allowed = look(database_url=url), look(database_url=url, allow_replica=True)
    finally:
        mariadb_side.execute("SET GLOBAL read_only = 0")
    assert_fault(found, 1, "database.replica", "may lag behind", "give the primary's URL")
    assert ids(allowed, Status.WARNING) - {"process.user"} == {"database.replica", "feed.push"}
    assert allowed.exit_status == 0


@mariadb_alone
def test_a_server_that_replicates_and_may_be_written_to(look: Look, mariadb_side: Side) -> None:
    url = mariadb_side.listener()
    mariadb_side.execute("CHANGE MASTER 'another' TO MASTER_HOST = 'db.invalid'")
    try:
        found, allowed = look(database_url=url), look(database_url=url, allow_replica=True)
    finally:
        mariadb_side.execute("RESET SLAVE 'another' ALL")
    flaws = {flaw.id: flaw for flaw in found.findings if flaw.status is not Status.OK}
    assert flaws.keys() - AS_ROOT == {"database.current", "feed.push"}
    assert "replica of db.invalid:3306" in flaws["database.current"].message
    assert "--log-slave-updates" in str(flaws["feed.push"])
    assert found.exit_status == 0
    assert "database.current" in ids(allowed, Status.OK)
    assert "database.current" in ids(look(database_url=url), Status.OK)


def test_an_account_with_more_rights_than_it_needs(look: Look, side: Side) -> None:
    needs = "CONNECT, USAGE and SELECT" if side.on_postgres else "SLAVE MONITOR and nothing else"
    administrator = look(database_url=side.url)
    assert ids(administrator, Status.WARNING) == AS_ROOT
    word = "is a superuser" if side.on_postgres else " more, which a listener need not"
    assert_warning(administrator, "database.rights", word, needs)
    url = side.listener()
    role = sa.make_url(url).username
    on = "topologies" if side.on_postgres else f"{side.name}.topologies"
    side.execute(f"GRANT INSERT, DELETE ON {on} TO {role}")
    word = "may INSERT, DELETE" if side.on_postgres else "may DELETE, INSERT"
    assert_warning(look(database_url=url), "database.rights", word, needs)
    if side.on_postgres:
        side.execute(f"ALTER TABLE topologies OWNER TO {role}")
        assert_warning(look(database_url=url), "database.rights", "owns the table", needs)


def test_a_clock_that_differs(
    look: Look, postgres_side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = time.time
    monkeypatch.setattr(time, "time", lambda: ours() - 100)
    found = look(database_url=postgres_side.listener())
    assert ids(found, Status.WARNING) - {"process.user"} == {"docker.clock", "database.clock"}
    (clock,) = [f for f in found.findings if f.id == "database.clock"]
    assert "100 s ahead of this host's" in clock.message


# How it tells of deletions.


def assert_polled(look: Look, url: str, message: str, remedy: str) -> None:
    """Push is not to be had: a warning, or a fault for who insists on it."""
    assert_warning(look(database_url=url), "feed.push", message, remedy)
    assert_fault(look(database_url=url, feed="push"), 1, "feed.push", message, remedy)
    polled = look(database_url=url, feed="poll")
    assert ids(polled, Status.FAULT) == set()
    assert ids(polled, Status.WARNING) == {"process.user"}
    assert "feed.poll" in ids(polled, Status.OK)


def test_without_triggers(look: Look, postgres_side: Side) -> None:
    url = postgres_side.listener()
    postgres_side.execute("DROP TRIGGER topology_reaper_delete ON topologies")
    assert_polled(look, url, "lacks the triggers", "run topology-reaper feed install")


def test_without_a_binary_log_that_we_may_read_and_that_tells(
    look: Look, mariadb_side: Side
) -> None:
    url = mariadb_side.reader(*READING[type(mariadb_side.server)])
    role = sa.make_url(url).username
    remedy = f"run GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{role}'@'%'"
    assert_polled(look, url, "does not let this account read its binary log", remedy)
    mariadb_side.execute(HEARING[PrivateMariaDB][-1].format(role))
    mariadb_side.execute("SET GLOBAL binlog_format = MIXED")
    try:
        assert_polled(look, url, "does not log rows", "set binlog_format = ROW")
    finally:
        mariadb_side.execute("SET GLOBAL binlog_format = ROW")


# Several, and none.


def test_each_of_several_databases_is_looked_at(look: Look, url: str, postgres_side: Side) -> None:
    side = postgres_side
    side.execute("DROP TABLE topologies")
    found = look(database_url=[url, side.url])
    told = {subject: {f.id: f.status for f in findings} for subject, findings in found.sections}
    (file,) = [told[subject] for subject in told if "SQLite" in subject]
    assert told["this process"] == {"process.user": Status.OK}, "the file is root's"
    (server,) = [told[subject] for subject in told if f"'{side.name}'" in subject]
    assert (file["database.table"], file["feed.push"]) == (Status.OK, Status.OK)
    assert server == {"database.reachable": Status.OK, "database.table": Status.FAULT}
    assert found.exit_status == 3


GIVEN: dict[str, tuple[Any, str, str]] = {
    "none": ((), "no database was given", "name the one that holds the topologies"),
    "wrong scheme": ("oracle://u:s3cret@db/x", "the scheme 'oracle' is none of", "write for exam"),
    "no driver": ("postgresql://host/decnet", "is not installed", "pip install 'topology-reaper["),
    "one twice": (["sqlite:////a", "sqlite:////a"], "more than once", "give another value"),
}


def test_databases_that_cannot_be_used_do_not_hide_docker(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "listener.databases.postgres.table", None)
    for url, message, remedy in GIVEN.values():
        found = look(database_url=url)
        flaw = only(found, "options.databases", Status.FAULT)
        assert flaw.message.startswith("--database-url: ")
        assert_fault(found, 2, "options.databases", message, remedy)
        assert "docker.containers.remove" in ids(found, Status.OK)
