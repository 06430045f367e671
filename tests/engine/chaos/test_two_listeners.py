"""Two listeners on one engine and one database: each resource goes once, and one of them says so.

Both hear of a deletion at the same moment, so they ask the engine for the same removals side by
side, and one of them always comes too late. What was removed, and how often, is judged by the
engine's own `destroy` events; the logs of the two together have to say the same.

Only where both requests are at the same container in the same instant does Docker 20.10 say yes to
both: what was just forgotten when it comes to it counts as removed. No client can tell.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, connect, gone
from tests.engine.push.conftest import plant
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import PATIENCE, ListenerProcess, eventually
from tests.support.rows import Rows

COUNT = 100
WHOLE = 4
"""So many of them run, with networks and services; of the others there is one container each."""
SAME_INSTANT = 3
"""So many removals may be reported by both."""
NO_SWEEP = ("--sweep-interval", "100000")


@pytest.fixture
def url(database_url: str) -> str:
    """What the listeners are given: a database of each kind in turn."""
    return database_url


@pytest.fixture
def rows(table: Rows) -> Rows:
    """The table in it, able to push."""
    return table


class Destroyed:
    """How often the engine destroyed what, by id."""

    def __init__(self, engine: PrivateEngine) -> None:
        self.times: Counter[str] = Counter()
        self._api = connect(engine)
        # `since` closes the gap between the engine's answer and its subscription.
        self._events = self._api.events(
            since=int(time.time()), decode=True, filters={"event": ["destroy"]}
        )
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def of(self, *ids: str) -> Counter[str]:
        """How often these were, by all that has happened so far."""
        marker = self._api.create_container("busybox")["Id"]
        self._api.remove_container(marker)
        eventually(lambda: marker in self.times, "the events so far are counted")
        return Counter({id_: self.times[id_] for id_ in ids})

    def close(self) -> None:
        """Stop counting."""
        self._events.close()
        self._thread.join(PATIENCE)
        self._api.close()

    def _follow(self) -> None:
        for event in self._events:
            self.times[event["Actor"]["ID"]] += 1


@pytest.fixture
def destroyed(engine: PrivateEngine) -> Iterator[Destroyed]:
    """What the engine destroys from now on."""
    counter = Destroyed(engine)
    yield counter
    counter.close()


@dataclass
class Crowd:
    """Many topologies with rows.

    Attributes:
        whole: those that run.
        planted: the one container of each of the others, by the topology's id.
        visitors: somebody's own containers on the networks of those that run.
    """

    whole: list[Topology]
    planted: dict[str, str]
    visitors: list[str]

    @property
    def topologies(self) -> list[str]:
        """The ids of all; the two kinds are mixed."""
        return sorted([*self.planted, *(topology.id for topology in self.whole)])

    @property
    def resources(self) -> set[str]:
        """The ids of everything that is theirs."""
        ids = {id_ for t in self.whole for id_ in (*t.containers, *t.networks.values())}
        return ids | set(self.planted.values())


@pytest.fixture
def crowd(api: docker.APIClient, rows: Rows) -> Crowd:
    """As many as the tests delete."""
    ids = [new_id() for _ in range(COUNT)]
    rows.insert(*ids)
    whole = [
        deploy(api, id_, decky_numbers=(2 * number, 2 * number + 1))
        for number, id_ in enumerate(ids[:WHOLE])
    ]
    visitors = []
    for topology in whole:
        at = api.create_host_config(network_mode=min(topology.networks))
        visitors.append(api.create_container("busybox", ["sleep", "9"], host_config=at)["Id"])
    with ThreadPoolExecutor(4) as pool:
        planted = dict(
            zip(ids[WHOLE:], pool.map(lambda i: plant(api, i), ids[WHOLE:]), strict=True)
        )
    return Crowd(whole, planted, visitors)


def delete_all(rows: Rows, crowd: Crowd) -> None:
    """Delete half of the rows in one transaction, the others one by one."""
    together, each = crowd.topologies[::2], crowd.topologies[1::2]
    rows.delete(*together)
    rows.delete_each(*each, noise=1)


def assert_each_went_once(
    api: docker.APIClient, crowd: Crowd, destroyed: Destroyed, *listeners: ListenerProcess
) -> None:
    """Wait until everything is gone; once each, and once each in the logs together."""
    gone(api, *crowd.whole)
    eventually(
        lambda: not {c["Id"] for c in api.containers(all=True)} & crowd.resources, "all is gone"
    )
    for listener in listeners:
        assert listener.stop() == 0
    lines = [line for listener in listeners for line in everything(listener)]
    told = Counter(line["id"] for line in lines if line.get("event") == "removed")
    once = Counter(crowd.resources)
    assert destroyed.of(*crowd.resources, *crowd.visitors) == once
    assert told.keys() == once.keys()
    assert (told - once).total() <= SAME_INSTANT
    assert not [line for line in lines if line.get("event") == "failed"]


def everything(listener: ListenerProcess) -> list[dict[str, Any]]:
    """The whole log of a listener that has ended."""
    process = listener.process
    assert process is not None
    assert process.stderr is not None
    log = process.stderr
    eventually(lambda: log.closed, "its log is read to the end")
    return listener.lines


def alarming(listener: ListenerProcess) -> list[dict[str, Any]]:
    """What an operator would be worried by; not that the other one is at a removal already."""
    return [
        line
        for line in listener.lines
        if line.get("level") not in ("DEBUG", "INFO")
        and not (line.get("event") == "pending" and "already in progress" in line["error"])
    ]


def test_each_resource_of_a_hundred_topologies_goes_once_and_is_reported_by_one_of_two(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    crowd: Crowd,
    destroyed: Destroyed,
    tmp_path: Path,
) -> None:
    one, other = (run(*NO_SWEEP, "--state-dir", str(tmp_path / name)) for name in ("one", "other"))
    one.start()
    other.start()
    delete_all(rows, crowd)
    assert_each_went_once(api, crowd, destroyed, one, other)
    assert alarming(one) + alarming(other) == []
    for listener in (one, other):
        assert listener.logged("removed"), "both took part"
        assert listener.logged("gone"), "and got in each other's way"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_of_two_with_one_state_directory_the_second_remembers_nothing_and_says_so(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    crowd: Crowd,
    destroyed: Destroyed,
) -> None:
    first, second = run(*NO_SWEEP), run(*NO_SWEEP)
    first.start()
    second.start()
    delete_all(rows, crowd)
    assert_each_went_once(api, crowd, destroyed, first, second)
    assert alarming(first) == []
    (said,) = alarming(second)
    assert said["event"] == "state"
    assert "another listener uses it" in said["error"]
