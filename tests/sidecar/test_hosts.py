"""Two hosts, an engine and a listener each, and one PostgreSQL for both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import assert_no_password, connect, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows

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


@pytest.fixture
def rows(postgresql_url: str) -> Iterator[Rows]:
    """The one table, able to push."""
    with Rows(postgresql_url) as writer:
        make_table(writer, postgresql_url)
        yield writer


@pytest.fixture
def hosts(engine: PrivateEngine, postgresql_url: str, tmp_path: Path) -> Iterator[list[Host]]:
    """Two hosts."""
    with PrivateEngine() as other, ExitStack() as ends:
        hosts = []
        for number, one in enumerate((engine, other)):
            hosts.append(Host(one, postgresql_url, tmp_path / f"state-{number}"))
            ends.callback(hosts[-1].api.close)
            ends.callback(hosts[-1].listener.kill)
        yield hosts
        for host in hosts:
            assert_no_password(host.listener, postgresql_url)


def test_each_host_removes_its_part_and_catches_up_when_its_listener_is_back(
    hosts: list[Host], rows: Rows
) -> None:
    first, second = hosts
    shared, own, missed, live = (new_id() for _ in range(4))
    rows.insert(shared, own, missed, live)
    parts = {id_: [h.deploy(id_, n) for h in hosts] for n, id_ in enumerate((shared, missed, live))}
    firsts = first.deploy(own, 3)
    # Under the same names as the first's: what is one host's is told apart by its row alone.
    seconds = second.deploy(live, 3)
    for host in hosts:
        host.listener.start()
        (line,) = host.listener.await_log("feed")
        assert line["feed"] == "notify"

    rows.delete(own)
    gone(first.api, firsts)
    rows.delete(shared)  # when this is gone both have heard of both
    for host, part in zip(hosts, parts[shared], strict=True):
        gone(host.api, part)
    first.await_removed(own, shared)
    second.await_removed(shared)

    second.listener.kill()
    rows.delete(missed)
    gone(first.api, parts[missed][0])
    parts[missed][1].assert_intact(second.api)  # nobody reaches over from another host

    second.listener.start()
    gone(second.api, parts[missed][1])
    second.await_removed(shared, missed)
    seconds.assert_intact(second.api)
    for host, part in zip(hosts, parts[live], strict=True):
        part.assert_intact(host.api)
