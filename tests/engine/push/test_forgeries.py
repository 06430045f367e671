"""Notifications that anybody may send: PostgreSQL lets every role notify on every channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from tests.engine.conftest import exists
from tests.engine.push.conftest import Start, plant, planted, removed
from tests.support.decnet import new_id
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateServer

Forge = Callable[[str], None]


@pytest.fixture
def kind() -> str:
    """The one kind of server that knows notifications."""
    return "postgresql"


@pytest.fixture
def forge(server: PrivateServer, database_name: str, rows: Rows) -> Iterator[Forge]:
    """Notifies in the triggers' name, by a role that may connect and nothing else.

    It returns after the listener has asked the database because of that.
    """
    assert rows
    user = f"forger_of_{database_name}"
    server.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'forger'")

    def ask(sql: str) -> Any:
        return server.execute(sql, database=database_name)[0][0]

    def asked() -> Any:
        return ask(
            "SELECT max(query_start) FROM pg_stat_activity"
            " WHERE application_name = 'topology-reaper' AND datname = current_database()"
        )

    with Rows(server.url(user=user, password="forger", database=database_name)) as forger:
        oid = ask("SELECT 'topologies'::regclass::oid")
        channel = f"topology_reaper_{oid}"

        def forge(payload: str) -> None:
            before = asked()
            forger.execute("SELECT pg_notify(?, ?)", channel, payload)
            eventually(lambda: asked() > before, "the listener has asked")

        yield forge
    server.execute(f"DROP ROLE {user}")


def test_a_forged_notification_of_what_is_alive_removes_nothing(
    api: docker.APIClient, rows: Rows, live: str, start: Start, forge: Forge
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    listener = start()
    for payload in (live, f"{live} {doomed}", "*", "'; DROP TABLE x; --"):
        forge(payload)
    rows.delete(doomed)
    removed(api, container)
    assert [line["id"] for line in listener.await_log("removed")] == [container]


def test_a_forged_notification_of_what_is_held_releases_nothing(
    api: docker.APIClient, rows: Rows, start: Start, forge: Forge
) -> None:
    rows.insert(new_id())
    topology_id = new_id()
    container = plant(api, topology_id)
    listener = start()
    held = listener.await_log("held")[0]
    assert topology_id[:8] in held["prefix"].split()
    for payload in (topology_id, "*", topology_id):  # each is judged before the next
        forge(payload)
    assert exists(api, container)
    assert not listener.logged("removed")
