"""Three hosts, an engine and a listener each, and one PostgreSQL for all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import assert_no_password, connect, empty, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows

COUNT = 3
INSTALLED = Path(sys.executable).with_name("topology-reaper")
AS_INSTALLED = ("sh", "-c", 'shift 3; exec "$0" "$@"', str(INSTALLED))
"""Runs the installed command in place of the `python -m listener` that follows."""


class Host:
    """An engine, and the listener beside it, which is not started yet."""

    def __init__(self, engine: PrivateEngine, url: str, state: Path) -> None:
        self.api: docker.APIClient = connect(engine)
        # Nothing but push, or a listener's own start, can lead to a removal.
        never = ("--sweep-interval", "100000", "--state-dir", str(state))
        self.listener = ListenerProcess(engine.host, url, *never, within=AS_INSTALLED)

    def deploy(self, topology_id: str, decky: int) -> Topology:
        """A small topology here; it need not run."""
        return deploy(self.api, topology_id, decky_numbers=(decky,), services=("ssh",), start=False)

    def await_removed(self, *ids: str) -> None:
        """Wait until the listener has told of all that it removed: parts of these topologies."""
        expected = {id_[:8] for id_ in ids}

        def told() -> set[str]:
            return {line["prefix"] for line in self.listener.logged("removed")}

        eventually(lambda: told() >= expected, f"it tells of {expected}")
        assert told() == expected


@pytest.fixture(scope="module")
def engines() -> Iterator[Sequence[PrivateEngine]]:
    """Engines that know nothing of each other."""
    with ExitStack() as stack, ThreadPoolExecutor(COUNT) as pool:
        engines = [PrivateEngine() for _ in range(COUNT)]
        for engine in engines:
            stack.callback(engine.stop)
        list(pool.map(PrivateEngine.start, engines))
        yield engines


@pytest.fixture
def rows(postgresql_url: str) -> Iterator[Rows]:
    """The one table, able to push."""
    with Rows(postgresql_url) as writer:
        make_table(writer, postgresql_url)
        yield writer


@pytest.fixture
def hosts(
    engines: Sequence[PrivateEngine], postgresql_url: str, tmp_path: Path
) -> Iterator[Sequence[Host]]:
    """Three hosts, emptied afterwards."""
    hosts = [
        Host(engine, postgresql_url, tmp_path / f"state-{number}")
        for number, engine in enumerate(engines)
    ]
    yield hosts
    for host, engine in zip(hosts, engines, strict=True):
        host.listener.kill()
        assert_no_password(host.listener, postgresql_url)
        host.api.close()
        empty(engine)


def start(hosts: Sequence[Host]) -> None:
    with ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(lambda host: host.listener.start(), hosts))


def everywhere(hosts: Sequence[Host], topology_id: str, decky: int) -> list[Topology]:
    """What one topology has on each host."""
    with ThreadPoolExecutor(COUNT) as pool:
        return list(pool.map(lambda host: host.deploy(topology_id, decky), hosts))


def test_a_deleted_topology_goes_from_every_host_and_a_live_one_stays_on_each(
    hosts: Sequence[Host], rows: Rows
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = everywhere(hosts, doomed, 1), everywhere(hosts, live, 2)
    start(hosts)
    assert {line["feed"] for h in hosts for line in h.listener.await_log("feed")} == {"notify"}

    rows.delete(doomed)

    for host, part in zip(hosts, orphan, strict=True):
        gone(host.api, part)
    for host, part in zip(hosts, staying, strict=True):
        part.assert_intact(host.api)
        host.await_removed(doomed)


def test_a_topology_of_one_host_is_no_concern_of_the_others(
    hosts: Sequence[Host], rows: Rows
) -> None:
    own = [new_id() for _ in hosts]
    last = new_id()
    rows.insert(*own, last)
    # Each under the same names: what is one host's is told apart by its row alone.
    parts = [host.deploy(id_, 1) for host, id_ in zip(hosts, own, strict=True)]
    shared = everywhere(hosts, last, 2)
    start(hosts)

    rows.delete(own[0])
    gone(hosts[0].api, parts[0])
    rows.delete(last)  # when this is gone they have all heard of both
    for host, part in zip(hosts, shared, strict=True):
        gone(host.api, part)

    hosts[0].await_removed(own[0], last)
    for host, part in list(zip(hosts, parts, strict=True))[1:]:
        host.await_removed(last)
        part.assert_intact(host.api)


def test_a_host_whose_listener_was_down_catches_up_when_it_is_back(
    hosts: Sequence[Host], rows: Rows
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = everywhere(hosts, doomed, 1), everywhere(hosts, live, 2)
    start(hosts)
    stopped, killed, present = hosts
    assert stopped.listener.stop() == 0
    killed.listener.kill()

    rows.delete(doomed)
    gone(present.api, orphan[-1])
    for host, part in zip((stopped, killed), orphan, strict=False):
        part.assert_intact(host.api)  # nobody reaches over from another host

    start((stopped, killed))
    for host, part, other in zip(hosts, orphan, staying, strict=True):
        gone(host.api, part)
        other.assert_intact(host.api)
        host.await_removed(doomed)
