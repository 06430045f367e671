"""The same URL leads to another database of that name, or to another server on that port."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.conftest import make_table
from tests.engine.wrong_database.conftest import (
    ANOTHER,
    OneShot,
    Tools,
    everything,
    goes_on,
    holds,
    hosted,
    looked,
    lost,
    prefixes,
    released_by_its_token_alone,
)
from tests.support.process import ListenerProcess
from tests.support.rows import Rows
from tests.support.servers import PrivateServer


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> PrivateServer:
    """A private server of each kind."""
    found: PrivateServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database_url(server: PrivateServer, request: pytest.FixtureRequest) -> str:
    """The administrator's URL of a fresh database on it."""
    kind = {"postgresql": "postgresql_url", "mysql": "mariadb_url"}[server.scheme]
    return str(request.getfixturevalue(kind))


@pytest.fixture
def name(database_url: str) -> str:
    """The name of the database."""
    return database_url.rpartition("/")[2]


def test_a_database_that_is_dropped_and_restored_deletes_nothing(
    api: docker.APIClient,
    rows: Rows,
    server: PrivateServer,
    name: str,
    url: str,
    process: ListenerProcess,
    tools: Tools,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    in_it = hosted(api, rows, 2)
    backup = tools.backup()
    younger = hosted(api, rows, 2)
    process.start()
    rows.close()
    server.execute(f"DROP DATABASE {name}" + " WITH (FORCE)" * (server.scheme == "postgresql"))
    process.await_log("down")
    looked(process)
    server.execute(f"CREATE DATABASE {name}")
    looked(process)
    assert not lost(api, in_it | younger)
    tools.restore(backup)
    released_by_its_token_alone(api, process, oneshot, younger, ANOTHER, tmp_path)
    with Rows(url) as restored:
        goes_on(api, process, restored, tmp_path, *everything(in_it))


@pytest.mark.parametrize("known", [0, 1], ids=["empty", "with one of our topologies"])
def test_another_server_on_the_same_port_deletes_nothing(
    api: docker.APIClient,
    rows: Rows,
    server: PrivateServer,
    name: str,
    url: str,
    process: ListenerProcess,
    oneshot: OneShot,
    tmp_path: Path,
    known: int,
) -> None:
    here = hosted(api, rows, 3)
    both = dict(list(here.items())[:known])
    missing = {id_: ids for id_, ids in here.items() if id_ not in both}
    process.start()
    rows.close()
    server.terminate()
    process.await_log("down")
    other = type(server)()
    other.port, other.password = server.port, server.password
    with other:
        other.execute(f"CREATE DATABASE {name}")
        with Rows(url) as theirs:
            make_table(theirs, url)
            if both:
                theirs.insert(*both)
        line = holds(process, missing)
        assert ANOTHER in line["message"]
        assert oneshot.tokens() == dict.fromkeys(prefixes(missing), line["token"])
        looked(process)
        assert not lost(api, here)
    server.start()
    with Rows(url) as ours:
        goes_on(api, process, ours, tmp_path, *everything(here))
    assert oneshot.sweep().complete
