"""Push where it can be had, polling where it cannot: what is said, and what is done."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, exists
from tests.engine.push.conftest import PUSH, await_quiet, planted, removed, sweep
from tests.support.process import ListenerProcess, call, eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

POLLING = ("--sweep-interval", "100000", "--grace", "100000", "--poll-interval", "0.05")
REMEDY = {"postgresql": "run topology-reaper feed install", "mariadb": "run GRANT REPLICATION"}


@pytest.fixture
def reader(server: PrivateServer, database_name: str, rows: Rows) -> Iterator[str]:
    """The URL of an account that may read the table and nothing else."""
    user, password = f"reader_of_{database_name}", "reads"
    if isinstance(server, PrivatePostgres):
        rows.execute("DROP TRIGGER topology_reaper_delete ON topologies")
        server.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    else:
        server.execute(f"CREATE USER {user} IDENTIFIED BY '{password}'")
    server.execute(f"GRANT SELECT ON topologies TO {user}", database=database_name)
    yield server.url(user=user, password=password, database=database_name)
    if isinstance(server, PrivatePostgres):
        server.execute(f"DROP OWNED BY {user}", database=database_name)
        server.execute(f"DROP ROLE {user}")
    else:
        server.execute(f"DROP USER {user}")


@pytest.fixture
def replica(mariadb: PrivateMariaDB, database_url: str, rows: Rows) -> Iterator[str]:
    """The URL of a database that says that it is a replica; who made it may write all the same."""
    assert rows
    mariadb.execute("SET GLOBAL read_only = 1")
    yield database_url
    mariadb.execute("SET GLOBAL read_only = 0")


def heard_by(listener: ListenerProcess) -> list[str]:
    """By which feeds it has heard, in order."""
    return [line["feed"] for line in listener.logged("feed") if line["level"] == "INFO"]


def warnings(listener: ListenerProcess) -> list[dict[str, Any]]:
    """Why it polls."""
    return [line for line in listener.logged("feed") if line["level"] == "WARNING"]


def require_push(host: str, url: str, *options: str) -> str:
    """Run a listener that insists on push and cannot have it; the one line that it says."""
    where = ("--docker-host", host, "--database-url", url, "--log-level", "ERROR")
    result = call("run", "--feed", "push", *where, *options)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("topology-reaper: --feed: push is not to be had, because ")
    return line


@pytest.mark.usefixtures("live")
def test_it_polls_and_goes_over_to_push_once_its_remedy_was_applied(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    server: PrivateServer,
    reader: str,
    database_url: str,
    kind: str,
) -> None:
    ((early, first), (late, second)) = planted(api, rows, 2).items()
    options = ("--sweep-interval", "0.5", "--poll-interval", "0.05", "--grace", "100000")
    listener = run(*options, url=reader)
    listener.start()
    rows.delete(early)
    removed(api, first)
    eventually(lambda: heard_by(listener) == ["poll"], "it polls")
    sweep(listener)
    sweep(listener)  # by then it has tried again
    assert heard_by(listener) == ["poll"]
    (warning,) = warnings(listener)
    assert REMEDY[kind] in warning["error"]

    if kind == "postgresql":
        installed = call("feed", "install", "--database-url", database_url)
        assert installed.returncode == 0, installed.stderr
    else:
        (grant,) = re.findall(r"run (GRANT .*) \(", warning["error"])
        server.execute(grant)

    eventually(lambda: heard_by(listener) == ["poll", PUSH[kind]], "it pushes")
    rows.delete(late)
    removed(api, second)
    assert len(warnings(listener)) == 1


@pytest.mark.parametrize("kind", ["mariadb"])
@pytest.mark.usefixtures("live")
def test_a_replica_is_polled_only_by_who_allows_it(
    api: docker.APIClient, rows: Rows, run: Run, engine: PrivateEngine, replica: str
) -> None:
    ((early, first), (late, second)) = planted(api, rows, 2).items()
    allowed = run(*POLLING, "--allow-replica", url=replica)
    allowed.start()
    rows.delete(early)
    removed(api, first)
    eventually(lambda: heard_by(allowed) == ["poll"], "it polls")
    (warning,) = warnings(allowed)
    assert "is a replica" in warning["error"]
    assert allowed.stop() == 0
    assert "is a replica" in require_push(engine.host, replica, "--allow-replica")

    refused = run(*POLLING, url=replica)
    refused.start(wait=False)
    (down,) = refused.await_log("down")
    assert "is a replica" in down["error"]
    assert "--allow-replica" in down["error"]
    rows.delete(late)
    sweep(refused)
    assert exists(api, second)
    assert not refused.logged("ready")
    assert len(refused.logged("down")) == 1


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.usefixtures("live")
def test_a_feed_that_a_sweep_shows_to_be_deaf_is_replaced_by_polling(
    api: docker.APIClient, rows: Rows, run: Run, server: PrivateServer, database_name: str
) -> None:
    ((early, first), (late, second)) = planted(api, rows, 2).items()
    listener = run("--sweep-interval", "5", "--poll-interval", "0.05", "--grace", "100000")
    listener.start()
    eventually(lambda: heard_by(listener) == ["notify"], "it listens")
    await_quiet(server, database_name)
    rows.execute(
        "CREATE OR REPLACE FUNCTION topology_reaper_notify() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )
    rows.delete(early)
    removed(api, first)
    (unheard,) = listener.await_log("unheard")
    assert unheard["prefix"] == early[:8]
    eventually(lambda: heard_by(listener)[-1] == "poll", "it polls")
    rows.delete(late)
    removed(api, second)


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.usefixtures("live")
def test_polling_is_not_blamed_for_what_a_sweep_finds_first(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    listener = run("--feed", "poll", "--poll-interval", "1000", "--grace", "100000")
    listener.start()
    sweep(listener)
    rows.delete(doomed)
    sweep(listener)
    removed(api, container)
    listener.await_log("removed")
    assert not listener.logged("unheard")


@pytest.mark.parametrize("kind", ["postgresql"])
def test_push_that_is_required_and_not_to_be_had_ends_it_even_where_docker_hangs(
    reader: str, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        assert REMEDY[kind] in require_push(f"unix://{path}", reader)
