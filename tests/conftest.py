"""Database servers for every test that asks for one, and a fresh database on each kind.

A server is started once a run, when the first test wants it, and is shared by all workers; each
test gets a database of its own on it, which is dropped afterwards. A test that stops a server,
changes a setting of it, or counts what is in MariaDB's binary log, where the statements of other
tests come by, takes ``own_postgres``, ``own_mariadb`` or ``own_nats``: one a worker, used by one
test at a time.
"""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from listener.databases.urls import open_topologies
from tests.support.rows import Rows
from tests.support.servers import (
    FOREIGN,
    PrivateMariaDB,
    PrivateMySQL,
    PrivateNats,
    PrivatePostgres,
    PrivateServer,
)
from tests.support.shared import KINDS, Owner, ready_database, shared_server

LONGEST_FIRST = (
    *("sidecar", "engine", "servers", "fleet", "page", "cli", "package", "property", "database"),
    *("documentation", "unit"),
)
"""The folders of tests, by how long a file of theirs takes."""

WITH_IMAGE = tuple(
    f"tests/sidecar/test_{name}.py" for name in ("build", "compose", "image", "swarm")
)
"""The files whose tests load it."""


SERVERS: Mapping[str, type[PrivateServer]] = {
    "postgres": PrivatePostgres,
    "mariadb": PrivateMariaDB,
    "mysql": PrivateMySQL,
}
"""Those that a run may take from another system, by the words of its options."""

LIBRARIES = ("docker", "sqlalchemy", "psycopg", "pymysql", "mysql-replication", "nats-py")
"""Those of Python's that speak with engines and servers."""
Says = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the tests may run on: other systems, such as debian_root.py makes."""
    group = parser.getgroup("what to run on", "what to run on")
    for name in ("docker", "podman", "postgres", "mariadb"):
        group.addoption(f"--{name}-root", type=Path, help=f"the system whose {name} the tests use")
    group.addoption("--mysql-root", type=Path, help="one whose MySQL takes MariaDB's place")
    for name in ("docker", "podman"):
        group.addoption(f"--{name}-option", action="append", default=[], help="of its daemon")


def pytest_configure(config: pytest.Config) -> None:
    """Own the servers, in the first process of a run; no variable leads anybody to another one."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    for name, kind in SERVERS.items():
        if root := config.getoption(f"{name}_root"):
            kind.root = root
            KINDS[kind.scheme] = kind
    if not hasattr(config, "workerinput"):
        config.add_cleanup(Owner().close)


class ImageInOnePlace(LoadFileScheduling):  # type: ignore[misc]  # no annotations
    """Keeps a file with one worker, for what it sets up, and all that load the image."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "the image" if scope in WITH_IMAGE else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ImageInOnePlace:
    """Which worker gets which tests."""
    return ImageInOnePlace(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-k`` choose by what a test starts as well."""
    item.extra_keyword_matches.update(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones, so that none ends alone."""
    here = Path(__file__).parent
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.relative_to(here).parts[0]))


@pytest.fixture(scope="session", autouse=True)
def _versions(record_testsuite_property: Says) -> None:
    """A report tells what the tests ran on, as that says it itself."""
    record_testsuite_property("Python", platform.python_version())
    record_testsuite_property("SQLite", sqlite3.sqlite_version)
    for name in LIBRARIES:
        record_testsuite_property(name, metadata.version(name))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's processes remember is that test's own."""
    monkeypatch.setenv("REAPER_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def postgres(record_testsuite_property: Says) -> PrivatePostgres:
    """The PostgreSQL that all tests share."""
    server: PrivatePostgres = shared_server(PrivatePostgres.scheme)
    record_testsuite_property("PostgreSQL", server.version)
    return server


@pytest.fixture(scope="session")
def mariadb(record_testsuite_property: Says) -> PrivateMariaDB:
    """The MariaDB that all tests share, or MySQL in its place."""
    server: PrivateMariaDB = shared_server(PrivateMariaDB.scheme)
    record_testsuite_property("MariaDB or MySQL", server.version)
    return server


@pytest.fixture(scope="session")
def nats() -> PrivateNats:
    """The NATS broker that all tests share, each with a name of its own (``fleet``)."""
    server: PrivateNats = shared_server(PrivateNats.scheme)
    return server


@pytest.fixture
def fleet() -> str:
    """The name of the relays of one test."""
    return f"fleet-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL to be stopped, killed or changed."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="session")
def own_mariadb() -> Iterator[PrivateMariaDB]:
    """A MariaDB to be stopped, killed or changed, with nothing of others in its binary log."""
    kind = KINDS[PrivateMariaDB.scheme]
    assert issubclass(kind, PrivateMariaDB)
    with kind() as server:
        yield server


@pytest.fixture(scope="session")
def own_nats() -> Iterator[PrivateNats]:
    """A NATS broker to be stopped, frozen or killed."""
    with PrivateNats() as server:
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
def mariadb_url(mariadb: PrivateMariaDB, request: pytest.FixtureRequest) -> Iterator[str]:
    """The administrator's URL of a fresh database; its tables are there if the test wants any."""
    ready = "table" in request.fixturenames and mariadb.is_shared
    with ready_database(mariadb) if ready else mariadb.fresh_database() as name:
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
        with closing(open_topologies(url)) as topologies:
            topologies.change_triggers("install")
