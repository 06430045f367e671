"""Private database servers for every test that asks for one, and a fresh database on each kind.

A server is started once, when the first test wants it; each test gets a database of its own, which
is dropped afterwards. A test may stop, kill or restart the server: the next finds it running.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import call
from tests.support.rows import Rows
from tests.support.servers import FOREIGN, PrivateMariaDB, PrivatePostgres

Measured = Callable[[str, object], None]
"""What pytest calls `record_property`."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what tests have measured, in whichever process they ran."""
    passed = terminalreporter.getreports("passed")
    measured = [line for report in passed for line in report.user_properties]
    if measured:
        terminalreporter.section("measured")
    for what, value in measured:
        terminalreporter.write_line(f"{what}: {value}")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's processes remember is that test's own."""
    monkeypatch.setenv("REAPER_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def no_foreign_server() -> Iterator[None]:
    """No variable leads a client, or a child of ours, to another server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres(no_foreign_server: None) -> Iterator[PrivatePostgres]:  # noqa: ARG001
    """A private PostgreSQL."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(no_foreign_server: None) -> Iterator[PrivateMariaDB]:  # noqa: ARG001
    """A private MariaDB."""
    with PrivateMariaDB() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'decnet.db'}"


@pytest.fixture
def postgresql_url(postgres: PrivatePostgres) -> Iterator[str]:
    """The administrator's URL of a fresh database."""
    with postgres.fresh_database() as name:
        yield postgres.url(database=name)


@pytest.fixture
def mariadb_url(mariadb: PrivateMariaDB) -> Iterator[str]:
    """The administrator's URL of a fresh database."""
    with mariadb.fresh_database() as name:
        yield mariadb.url(database=name)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database on each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def table(database_url: str) -> Iterator[Rows]:
    """The empty table of topologies in it, able to push, and its writer."""
    with Rows(database_url) as rows:
        make_table(rows, database_url)
        yield rows


def make_table(rows: Rows, url: str) -> None:
    """Create the table of topologies and what its database needs in order to push."""
    rows.create_table()
    if url.startswith("postgresql"):  # the others tell of deletions as they are
        installed = call("feed", "install", "--database-url", url)
        assert installed.returncode == 0, installed.stderr
