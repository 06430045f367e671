"""A listener behind two relays, of which any may be away, and so may their broker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import docker
import pytest
import sqlalchemy as sa

from tests.engine.conftest import Run, exists
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import new_id
from tests.support.process import RelayProcess
from tests.support.proxy import Proxy
from tests.support.rows import Rows
from tests.support.servers import PrivateNats


class Start(Protocol):
    """Starts a relay; by default nothing is between it and the broker or the database."""

    def __call__(self, *, broker: str = "", url: str = "") -> RelayProcess: ...


@pytest.fixture
def start(own_nats: PrivateNats, fleet: str, database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts relays."""
    with ExitStack() as stack:
        folders = (str(tmp_path / f"relay-{number}") for number in range(9))

        def start(*, broker: str = "", url: str = "") -> RelayProcess:
            address, folder = broker or f"nats://{own_nats.address}", next(folders)
            relay = RelayProcess(url or database_url, address, fleet, "--state-dir", folder)
            stack.enter_context(relay)
            return relay

        yield start


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """PostgreSQL."""
    return postgresql_url


def test_what_is_deleted_while_a_relay_or_the_broker_is_killed_goes_and_nothing_else(
    api: docker.APIClient, table: Rows, run: Run, start: Start, own_nats: PrivateNats, fleet: str
) -> None:
    live, *doomed = [new_id() for _ in range(4)]
    table.insert(live, *doomed)
    staying, a, b, c = (plant(api, id_) for id_ in (live, *doomed))
    one, two = start(), start()
    listener = run("--sweep-interval", "100000", url=own_nats.url(fleet))
    listener.start()

    one.kill()
    table.delete(doomed[0])
    removed(api, a)

    own_nats.kill()
    listener.await_log("lost")
    table.delete(doomed[1])
    own_nats.start()
    removed(api, b)

    two.kill()
    table.delete(doomed[2])
    start()
    removed(api, c)

    assert exists(api, staying)
    assert not listener.logged("held")
    assert listener.stop() == 0


@pytest.mark.deep
def test_what_is_deleted_while_a_relay_or_the_broker_is_frozen_goes_and_nothing_else(
    api: docker.APIClient, table: Rows, run: Run, start: Start, own_nats: PrivateNats, fleet: str
) -> None:
    """Each is noticed by its silence, which takes up to half a minute."""
    live, *doomed = [new_id() for _ in range(3)]
    table.insert(live, *doomed)
    staying, a, b = (plant(api, id_) for id_ in (live, *doomed))
    one, _ = start(), start()
    listener = run("--sweep-interval", "100000", url=own_nats.url(fleet))
    listener.start()

    one.signal(signal.SIGSTOP)  # and is still one of those who may be asked
    table.delete(doomed[0])
    removed(api, a)
    one.signal(signal.SIGCONT)

    own_nats.send_signal(signal.SIGSTOP)
    table.delete(doomed[1])
    listener.await_log("lost")
    own_nats.send_signal(signal.SIGCONT)
    removed(api, b)

    assert exists(api, staying)
    assert not listener.logged("held")
    assert listener.stop() == 0


@pytest.mark.deep
@pytest.mark.parametrize("between", ["host", "relay", "database"])
def test_what_is_deleted_during_a_partition_goes_and_nothing_else(
    api: docker.APIClient,
    table: Rows,
    run: Run,
    start: Start,
    own_nats: PrivateNats,
    fleet: str,
    database_url: str,
    between: str,
) -> None:
    """Between the host and the broker, the relay and the broker, or the relay and the database."""
    live, doomed = new_id(), new_id()
    table.insert(live, doomed)
    staying, going = plant(api, live), plant(api, doomed)
    database = sa.make_url(database_url)
    broker = ("127.0.0.1", own_nats.port)
    with (
        Proxy(broker) as of_host,
        Proxy(broker) as of_relay,
        Proxy((database.host or "", database.port or 0)) as of_database,
    ):
        behind = database.set(host="127.0.0.1", port=of_database.port)
        start(
            broker=f"nats://127.0.0.1:{of_relay.port}",
            url=behind.render_as_string(hide_password=False),
        )
        listener = run("--sweep-interval", "100000", url=f"nats://127.0.0.1:{of_host.port}/{fleet}")
        listener.start()
        cut = {"host": of_host, "relay": of_relay, "database": of_database}[between]
        cut.freeze()
        table.delete(doomed)
        listener.signal(signal.SIGUSR1)  # a question to which there is no answer
        listener.await_log("down")
        cut.thaw()
        removed(api, going)
        assert exists(api, staying)
        assert not listener.logged("held")
        assert listener.stop() == 0
