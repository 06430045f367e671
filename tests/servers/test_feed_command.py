"""``topology-reaper feed``, as the owner of a table runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from debian_packages import system_environment

from listener.core.findings import Finding, Status
from tests.servers.conftest import SECRET, Ear, Open, Side, heard_of
from tests.support.decnet import new_id
from tests.support.process import call
from tests.support.rows import Rows
from tests.support.servers import FOREIGN, PrivatePostgres

SQL = Path(__file__).parents[2] / "contrib" / "sql"
OURS = "topology_reaper"


def feed(action: str, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one of its commands."""
    timeout = () if action == "sql" else ("--timeout", "0")
    return call("feed", action, "--database-url", url, *timeout, *options)


def refused(status: int, done: subprocess.CompletedProcess[str]) -> str:
    """What it says on a refusal: one sentence, and never a password."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
    return done.stderr


def installed(side: Side) -> list[str]:
    """Everything of ours in the database."""
    names = side.execute(
        f"SELECT proname::text FROM pg_proc WHERE proname LIKE '{OURS}%'"
        f" UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE '{OURS}%'"
    )
    return sorted(name for (name,) in names)


ACTIONS = ("install", "uninstall")
ALL = [f"{OURS}_{name}" for name in ("delete", "notify", "torn_down", "truncate", "update")]


def owner(side: Side) -> str:
    """The URL of a new role that owns the table and is nothing else."""
    url = side.reader(
        "GRANT CONNECT ON DATABASE {database} TO {}",
        "GRANT USAGE, CREATE ON SCHEMA public TO {}",
        "ALTER TABLE topologies OWNER TO {}",
    )
    ((privileged,),) = side.execute(
        f"SELECT rolsuper FROM pg_roles WHERE rolname = '{sa.make_url(url).username}'"
    )
    assert not privileged
    return url


def test_the_owner_installs_and_uninstalls_as_often_as_he_likes(
    postgres_side: Side, ear: Ear
) -> None:
    url = owner(postgres_side)
    for _ in range(2):
        done = feed("install", url)
        assert done.returncode == 0, done.stderr
        assert (
            f"installed the triggers in the postgresql database '{postgres_side.name}'"
            in done.stdout
        )
        assert done.stderr == "", "nothing to warn of"
        assert SECRET not in done.stdout
        assert installed(postgres_side) == ALL
    postgres_side.rows.insert(row := new_id())
    follower = ear.follow(ear.feed(url))
    delete: Callable[[], int] = lambda: postgres_side.rows.delete(row)  # noqa: E731
    assert heard_of(follower, postgres_side.rows, delete) == [[row]]
    follower.end()
    done = feed("uninstall", url)
    assert done.returncode == 0, done.stderr
    assert installed(postgres_side) == []


def test_a_reader_may_not_install_or_uninstall(postgres_side: Side, ear: Ear) -> None:
    url = postgres_side.listener()
    assert "give a URL of the table's owner" in refused(2, feed("install", url))
    assert installed(postgres_side) == []
    ear.install(postgres_side)
    assert "give a URL of the table's owner" in refused(2, feed("uninstall", url))
    assert installed(postgres_side) == ALL


def test_what_cannot_be_reached_or_is_no_url_is_said(postgres_side: Side) -> None:
    url = sa.make_url(postgres_side.url)

    def other(**parts: Any) -> str:
        return url._replace(**parts).render_as_string(hide_password=False)

    assert "feed" not in refused(2, feed("install", "decnet"))
    assert "nowhere" in refused(3, feed("uninstall", other(database="nowhere")))
    assert "has no table" in refused(3, feed("install", other(database="postgres")))
    refused(3, feed("install", other(password=f"{SECRET}2")))


def test_a_busy_table_is_left_as_it_is(postgres_side: Side, ear: Ear) -> None:
    ear.install(postgres_side)
    with postgres_side.connected() as busy, ThreadPoolExecutor() as pool:
        busy.execute(sa.text("DELETE FROM topologies"))
        for done in pool.map(lambda action: feed(action, postgres_side.url), ACTIONS):
            assert "lock" in refused(3, done)
        assert installed(postgres_side) == ALL


def test_the_table_that_is_asked_is_the_one_that_gets_the_triggers(
    postgres_side: Side, ear: Ear, opened: Open
) -> None:
    side = postgres_side
    side.execute('CREATE SCHEMA "Other one"')
    side.execute('CREATE TABLE "Other one".topologies (LIKE topologies INCLUDING ALL)')
    url = f"{side.url}?options=-csearch_path%3D%22Other%5C%20one%22"

    def with_triggers() -> list[str]:
        return [
            schema
            for (schema,) in side.execute(
                "SELECT DISTINCT nspname::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
                " JOIN pg_namespace n ON n.oid = relnamespace WHERE NOT tgisinternal ORDER BY 1"
            )
        ]

    opened(url).change_triggers("install")
    assert with_triggers() == ["Other one"]
    follower = ear.follow(ear.feed(url))
    row = new_id()
    side.execute(f"""INSERT INTO "Other one".topologies VALUES ('{row}')""")
    side.execute('DELETE FROM "Other one".topologies')
    follower.await_deleted(row)
    follower.end()
    opened(side.url).change_triggers("install")
    assert with_triggers() == ["Other one", "public"]
    opened(url).change_triggers("uninstall")
    assert with_triggers() == ["public"]
    side.execute("CREATE SCHEMA comes_first")
    side.execute(f"ALTER DATABASE {side.name} SET search_path = comes_first, public")
    opened(side.url).change_triggers("install")
    assert with_triggers() == ["public"]
    assert side.execute(
        "SELECT pronamespace::regnamespace::text FROM pg_proc"
        " WHERE proname = 'topology_reaper_notify'"
    ) == [("public",)]
    side.execute(f'ALTER DATABASE {side.name} SET search_path = "Other one", public')
    opened(side.url).change_triggers("install")
    assert with_triggers() == ["Other one", "public"]


def test_databases_without_triggers_say_what_they_take(mariadb_side: Side, sqlite_url: str) -> None:
    for url in (mariadb_side.url, sqlite_url):
        for action in ACTIONS:
            assert f"feed {action}" in refused(2, feed(action, url))
    assert "feed sql" in refused(2, feed("sql", sqlite_url))
    assert feed("sql", mariadb_side.url).stdout == (SQL / "mysql.sql").read_text()


def test_the_sql_that_is_printed_is_what_installs(postgres_side: Side, ear: Ear) -> None:
    nowhere = sa.make_url(postgres_side.url).set(port=1).render_as_string(hide_password=False)
    printed = feed("sql", nowhere).stdout
    assert printed == (SQL / "postgresql-install.sql").read_text()
    url = owner(postgres_side)
    for _ in range(2):
        psql(url, printed)
        assert installed(postgres_side) == ALL
    ear.follow(ear.feed(url)).end()
    for _ in range(2):
        psql(url, (SQL / "postgresql-uninstall.sql").read_text())
        assert installed(postgres_side) == []


def psql(url: str, script: str) -> None:
    """Run a script as an operator does."""
    subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url],
        input=script,
        env=system_environment(*FOREIGN),
        text=True,
        check=True,
    )


def test_forced_row_security_does_not_keep_the_owner_from_installing(
    postgres_side: Side, opened: Open
) -> None:
    url = owner(postgres_side)
    postgres_side.execute("ALTER TABLE topologies ENABLE ROW LEVEL SECURITY")
    postgres_side.execute("ALTER TABLE topologies FORCE ROW LEVEL SECURITY")
    opened(url).change_triggers("install")
    assert installed(postgres_side) == ALL


def test_of_several_databases_each_that_was_done_is_said(postgres_side: Side) -> None:
    missing = postgres_side.server.url(database="nowhere")
    both = call(
        *("feed", "install", "--timeout", "0"),
        *("--database-url", postgres_side.url, "--database-url", missing),
    )
    assert both.returncode == 3
    assert postgres_side.name in both.stdout
    assert "nowhere" in both.stderr


def test_the_mysql_script_is_understood_by_the_server(mariadb_side: Side) -> None:
    script = (SQL / "mysql.sql").read_text().replace("decnet.", f"{mariadb_side.name}.")
    script = script.replace("-- CREATE USER", "CREATE USER")
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    statements = [text.strip() for text in "\n".join(lines).split(";") if text.strip()]
    assert len(statements) == 4
    for statement in statements:
        mariadb_side.execute(statement)
    mariadb_side.execute("DROP USER topology_reaper")


@pytest.fixture
def preparing() -> Iterator[Side]:
    """A fresh database with an empty table on a server whose transactions may be prepared."""
    with PrivatePostgres(options=("-c", "max_prepared_transactions=1")) as server:
        name = server.create_database()
        with Rows(url := server.url(database=name)) as writer:
            writer.create_table()
            yield Side(server, name, url, writer)


def test_who_prepares_transactions_is_told_that_a_deletion_can_be_prepared_no_more(
    preparing: Side, opened: Open
) -> None:
    topologies = opened(preparing.url)

    def prepare_a_deletion() -> None:
        preparing.rows.insert(row := new_id())
        with psycopg.connect(preparing.url, autocommit=True) as writer:
            writer.execute("BEGIN")
            writer.execute("DELETE FROM topologies WHERE id = %s", [row])
            writer.execute("PREPARE TRANSACTION 'a deletion'")
            writer.execute("COMMIT PREPARED 'a deletion'")

    def prepare_a_teardown() -> None:
        preparing.rows.insert(row := new_id())
        with psycopg.connect(preparing.url, autocommit=True) as writer:
            writer.execute("BEGIN")
            writer.execute("UPDATE topologies SET status = 'torn_down' WHERE id = %s", [row])
            writer.execute("PREPARE TRANSACTION 'a teardown'")
            writer.execute("ROLLBACK PREPARED 'a teardown'")

    def warnings() -> list[Finding]:
        with topologies.reading() as reading:
            found = topologies.inside(reading)
            return [f for f in found if f.id == "database.prepared" and f.status is Status.WARNING]

    prepare_a_deletion()
    prepare_a_teardown()
    assert warnings() == []
    done = feed("install", preparing.url)
    assert done.returncode == 0
    assert "topology-reaper feed uninstall" in done.stderr
    assert "torn_down" in done.stderr
    assert done.stderr.count("\n") == 1
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot PREPARE"):
        prepare_a_deletion()
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot PREPARE"):
        prepare_a_teardown()
    (warning,) = warnings()
    assert "topology-reaper feed uninstall" in str(warning.remedy)
    assert "torn_down" in warning.message
    assert feed("uninstall", preparing.url).stderr == ""
    prepare_a_deletion()
    assert warnings() == []
