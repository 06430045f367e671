"""What DECNET's teardown has left of topologies whose rows are there, in a database of each kind.

One listener asks all three, each of which pushes, so that the time is waited for once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import docker
import pytest
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.conftest import Run, exists, gone
from tests.servers.conftest import fresh_side
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import call, eventually
from tests.support.rows import Rows

ONLY_PUSH = ("--sweep-interval", "100000", "--grace", "100000")
"""Options with which nothing but push leads to a removal before a minute has passed."""


@dataclass(frozen=True)
class Torn:
    """A topology that is about to be torn down, and will leave a container more than DECNET knows.

    Attributes:
        rows: writes its row.
        topology: what was deployed of it.
        late: a decky that was added live, under another compose project.
    """

    rows: Rows
    topology: Topology
    late: str

    def write(self, status: str) -> None:
        """Another status."""
        sql = "UPDATE topologies SET status = ? WHERE id = ?"
        self.rows.execute(sql, status, self.topology.id)

    def is_intact(self, api: docker.APIClient) -> bool:
        """Whether all of it is there."""
        return exists(api, self.late) and self.topology.is_intact(api)


@pytest.fixture
def databases(request: pytest.FixtureRequest, url: str, rows: Rows) -> Iterator[Mapping[str, Rows]]:
    """A writer of each, by URL."""
    with ExitStack() as stack:
        sides = [stack.enter_context(fresh_side(request, kind)) for kind in ("postgres", "mariadb")]
        for side in sides:
            make_table(side.rows, side.url)
        yield {url: rows, **{side.url: side.rows for side in sides}}


@pytest.fixture
def torn(api: docker.APIClient, databases: Mapping[str, Rows]) -> list[Torn]:
    """A topology in each of them."""
    made = []
    for number, rows in enumerate(databases.values(), 1):
        rows.insert(id_ := new_id())
        topology = deploy(api, id_, decky_numbers=[number], services=["ssh"])
        labels = {"decnet.topology.id": id_, "com.docker.compose.project": "decnet"}
        late = api.create_container("busybox", ["true"], name=f"late-{number}-ssh", labels=labels)
        made.append(Torn(rows, topology, late["Id"]))
    return made


def more(databases: Mapping[str, Rows]) -> list[str]:
    """The options for all of these databases but the first, which every listener has."""
    return [word for url in list(databases)[1:] for word in ("--database-url", url)]


def left() -> Mapping[str, int]:
    """By id, of how much a listener says that it is left of a topology that is torn down."""
    found = json.loads(call("status", "--json").stdout)["torn_down"]
    return {entry["id"]: entry["resources"] for entry in found}


def test_without_the_option_it_stays_and_is_told_everywhere(
    api: docker.APIClient,
    engine: PrivateEngine,
    run: Run,
    url: str,
    databases: Mapping[str, Rows],
    torn: list[Torn],
) -> None:
    listener = run(*ONLY_PUSH, *more(databases))
    listener.start()
    listener.await_log("feed", count=3)
    for one in torn:
        one.write("tearing_down")
        one.write("torn_down")
    expected = {one.topology.id: 1 + len(one.topology.ids) for one in torn}
    eventually(lambda: left() == expected, "it is told, by push")
    where = ("--docker-host", engine.host, "--database-url", url, *more(databases))
    swept = call("sweep", "--json", *where)
    assert swept.returncode == 0, swept.stderr
    report = json.loads(swept.stdout)
    assert {entry["id"]: entry["resources"] for entry in report["torn_down"]} == expected
    assert all(entry["prefix"] == entry["id"][:8] for entry in report["torn_down"])
    for one in torn:
        remedy = f"decnet topology delete {one.topology.id}"
        for what in (one.late[:12], one.topology.prefix):
            said = call("explain", what, *where).stdout
            assert "its row exists, and is torn_down" in said
            assert remedy in said
        for command in (("status",), ("sweep", *where), ("doctor", *where)):
            done = call(*command)
            assert remedy in " ".join(done.stdout.split()), command
            assert done.returncode == 0, done.stdout
        assert one.is_intact(api)
    assert "delete" not in call("doctor", *where, "--reap-torn-down", "3600").stdout


def test_with_the_option_it_goes_by_push_and_a_restart_goes_on_with_the_time(
    api: docker.APIClient,
    run: Run,
    databases: Mapping[str, Rows],
    torn: list[Torn],
    rows: Rows,
) -> None:
    rows.insert(other := new_id())
    saved = Torn(rows, deploy(api, other, decky_numbers=[9], services=["ssh"]), torn[0].late)
    listener = run(*ONLY_PUSH, "--reap-torn-down", "10", *more(databases))
    listener.start()
    listener.await_log("feed", count=3)
    for one in (*torn, saved):
        one.write("tearing_down")
        one.write("torn_down")
    eventually(lambda: len(left()) == 4, "the time runs")
    saved.write("active")
    eventually(lambda: len(left()) == 3, "one is saved")
    listener.stop()
    assert all(one.is_intact(api) for one in torn)
    listener.start()
    gone(api, *(one.topology for one in torn))
    assert not exists(api, *(one.late for one in torn))
    saved.topology.assert_intact(api)
    evidence = {line["evidence"] for line in listener.await_log("removed", count=3)}
    assert evidence == {"torn down for more than 10 s"}
    assert evidence <= {json.loads(line)["evidence"] for line in history()}


def history() -> list[str]:
    """Its lines."""
    return call("history", "--json").stdout.splitlines()
