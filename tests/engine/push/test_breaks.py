"""The connection by which a server pushes breaks, in every way that it can.

While it is unsure whether a row exists nothing is removed; when all is back everything that was
deleted meanwhile goes without a sweep; and the log has one line for each change of state.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import exists
from tests.engine.push.cable import Cable
from tests.engine.push.conftest import ONLY_PUSH, Start, await_quiet, planted, removed, sweep
from tests.support.process import PATIENCE, ListenerProcess, eventually
from tests.support.proxy import Proxy
from tests.support.rows import Rows
from tests.support.servers import PrivatePostgres, PrivateServer


def told(listener: ListenerProcess, event: str) -> list[Any]:
    """What the log says with this event about the database."""
    return [line["message"] for line in listener.logged(event) if line["side"] == "the database"]


def pushing(server: PrivateServer, database: str) -> list[int]:
    """The server's numbers of the connections by which it pushes."""
    if isinstance(server, PrivatePostgres):
        sql = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %%' AND datname = %s"
    else:
        sql = (
            "SELECT id FROM information_schema.processlist"
            " WHERE command = 'Binlog Dump' AND db = %s"
        )
    return [number for (number,) in server.execute(sql, database)]


@pytest.mark.usefixtures("live")
def test_a_server_that_is_killed_pushes_again(
    api: docker.APIClient,
    rows: Rows,
    start: Start,
    server: PrivateServer,
    database_name: str,
) -> None:
    ((early, first), (late, second)) = planted(api, rows, 2).items()
    listener = start()
    server.kill()
    listener.await_log("down")
    sweep(listener)
    assert exists(api, first, second)
    server.start()
    delete = "DELETE FROM topologies WHERE id = '{}'"
    server.execute(delete.format(early), database=database_name)
    removed(api, first)
    eventually(lambda: len(pushing(server, database_name)) == 1, "it pushes again")
    await_quiet(server, database_name)
    server.execute(delete.format(late), database=database_name)
    removed(api, second)
    assert listener.stop() == 0
    down = told(listener, "down")
    assert len(down) == len(set(down)), "each reason is said once"
    assert len(told(listener, "up")) == 2
    assert len(listener.logged("feed")) == 1


@pytest.mark.usefixtures("live")
def test_a_push_connection_that_an_administrator_kills_loses_no_deletion(
    api: docker.APIClient, rows: Rows, start: Start, server: PrivateServer, database_name: str
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    listener = start()
    (number,) = pushing(server, database_name)
    postgres = isinstance(server, PrivatePostgres)
    listener.signal(signal.SIGSTOP)  # so that the deletion comes while there is no connection
    server.execute(f"SELECT pg_terminate_backend({number})" if postgres else f"KILL {number}")
    eventually(lambda: not pushing(server, database_name), "the connection is gone")
    rows.delete(doomed)
    listener.signal(signal.SIGCONT)
    removed(api, container)
    eventually(lambda: bool(pushing(server, database_name)), "there is a new one")
    assert listener.stop() == 0
    assert len(told(listener, "lost")) == 1
    assert len(told(listener, "up")) == 1
    assert not told(listener, "down")


@pytest.mark.deep
def test_a_network_that_is_cut_without_a_reset_loses_no_deletion(
    engine: PrivateEngine, api: docker.APIClient, postgres: PrivateServer, mariadb: PrivateServer
) -> None:
    with ExitStack() as stack:
        cable = stack.enter_context(Cable())
        sides: list[tuple[ListenerProcess, Rows, str, str, str]] = []
        for server in (postgres, mariadb):
            name = stack.enter_context(server.fresh_database())
            url = server.url(database=name)
            rows = stack.enter_context(Rows(url))
            make_table(rows, url)
            ((doomed, its), (_, other)) = planted(api, rows, 2).items()
            proxy = stack.enter_context(
                Proxy(("127.0.0.1", server.port), listen=(cable.address, 0))
            )
            far = url.replace(f"127.0.0.1:{server.port}", f"{cable.address}:{proxy.port}")
            # What is the other's would have to be absent for a while, and be asked about.
            options = (*ONLY_PUSH, "--policy", "witnessed")
            listener = ListenerProcess(engine.host, far, *options, within=cable.within)
            stack.enter_context(listener)
            listener.await_log("feed")
            await_quiet(server, name)
            sides.append((listener, rows, doomed, its, other))

        cable.pull()
        for listener, rows, doomed, _, _ in sides:
            rows.delete(doomed)
            sweep(listener)
        for listener, _, _, its, _ in sides:
            listener.await_log("down")
            assert exists(api, its)
        cable.plug_in()
        for listener, _, _, its, other in sides:
            removed(api, its, patience=PATIENCE)
            assert exists(api, other)
            assert listener.stop() == 0
            down = told(listener, "down")
            assert len(down) == len(set(down)), "each reason is said once"
            assert len(told(listener, "up")) == 2
