"""Everything that Docker lets people call a thing, and a stream that lies, before a real engine.

A topology's row is deleted while other things on the host imitate it in every way that the engine
accepts. Only what really is the topology's goes.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from listener import Settings
from listener.cli.explain import explain
from listener.errors import ConfigurationError
from tests.engine.conftest import Run, exists, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import ListenerProcess, call, eventually
from tests.support.proxy import Action, FaultProxy, Request, answer, stream
from tests.support.rows import Rows

ID = "decnet.topology.id"
PROJECT = "com.docker.compose.project"
A_MEGABYTE = "x" * 2**20


@pytest.fixture
def topologies(api: docker.APIClient, rows: Rows) -> tuple[Topology, Topology]:
    """One whose row will be deleted, and one that lives."""
    ids = new_id(), new_id()
    rows.insert(*ids)
    doomed, live = (deploy(api, id_, decky_numbers=(n,)) for n, id_ in enumerate(ids))
    return doomed, live


def container(api: docker.APIClient, name: str | None = None, **how: Any) -> str:
    """A container that could run; its id."""
    how.setdefault("image", "busybox")
    id_: str = api.create_container(command=["sleep", "1000000"], name=name, **how)["Id"]
    return id_


def network(api: docker.APIClient, name: str, **how: Any) -> str:
    """A bridge; its id."""
    id_: str = api.create_network(name, driver="bridge", check_duplicate=False, **how)["Id"]
    return id_


def odd_labels(doomed: str) -> list[dict[str, str]]:
    """Labels that make nothing a part of a topology."""
    prefix = doomed[:8]
    forged = ("name", "oldName", "image", "container", "type", "Actor")
    return [
        dict.fromkeys(forged, f"decnet_t_{prefix}_decky-001"),
        {"": doomed, "a\nb": doomed, "\x00": "\x00", "é😀\u202e\u2028": "😀"},
        {"big": A_MEGABYTE, A_MEGABYTE: ""},
        {ID: doomed.upper(), PROJECT: f"decnet-topo-{prefix}"},
        {ID: f"{doomed}\n", PROJECT: f"decnet-topo-{prefix}"},
        {ID: doomed + A_MEGABYTE},
        {PROJECT: f"decnet-topo-{prefix}\n"},
        {f"{ID}\n": doomed, ID.upper(): doomed},
    ]


def odd_names(prefix: str) -> list[str]:
    """Names that look like a topology's, of containers or networks."""
    return [f"xdecnet_t_{prefix}_a", f"decnet_t_{prefix}_", f"decnet_t_{prefix}0_a", prefix]


def odd_network_names(prefix: str) -> list[str]:
    """Names that only networks may have, and that are not a topology's."""
    name = f"decnet_t_{prefix}_lan1"
    return [f"\n{name}", f" {name}", f"../{name}", f"decnet_t_{prefix}\n_lan1", "😀", "'\""]


def odd_lan_names(prefix: str) -> list[str]:
    """Names of networks as DECNET may make them: of a LAN's name it checks the length only."""
    lans = ("server lan", "büro", "lan(1)", "a/b", "a\nb", "\n", "lan1\n", "lan1\x00", "'\"", "😀")
    return [f"decnet_t_{prefix}_{lan}" for lan in lans]


def foreign_things(api: docker.APIClient, doomed: Topology) -> list[str]:
    """Containers and networks that are not the topology's, in every form; their ids."""
    prefix = doomed.prefix
    made = [container(api, labels=labels) for labels in odd_labels(doomed.id)]
    made += [container(api, name) for name in odd_names(prefix)]
    made += [network(api, name) for name in (*odd_names(prefix), *odd_network_names(prefix))]
    made.append(network(api, "mine", labels={"name": f"decnet_t_{prefix}_lan1", ID: doomed.id}))
    kept = {"topology-reaper.protect": "true"}
    made.append(container(api, f"decnet_t_{prefix}_kept", labels={ID: doomed.id, **kept}))
    made.append(network(api, f"decnet_t_{prefix}_kept", labels=kept))
    api.commit(next(iter(doomed.services.values())), "evidence")
    made.append(container(api, image="evidence"))
    # A link gives its target another name, which begins with the linking container's.
    target = container(api, "target")
    api.start(target)
    link = api.create_host_config(links=[(target, f"decnet_t_{prefix}_alias")])
    made.append(container(api, "linking", host_config=link))
    api.start(made[-1])
    return [*made, target]


def true_things(api: docker.APIClient, doomed: Topology) -> list[str]:
    """More that is the topology's, however it looks; their ids."""
    prefix = doomed.prefix
    forged = {"name": "mine", "oldName": "mine", "image": "mine", "type": "overlay"}
    marks = {ID: doomed.id}
    return [
        container(api, f"decnet_t_{prefix}_{'long' * 1000}"),
        container(api, labels={**marks, **forged, "big": A_MEGABYTE, "a\nb": "\x00"}),
        container(api, f"0123456789ab_decnet_t_{prefix}_decky-009", labels=marks),
        network(api, f"decnet_t_{prefix}_twice"),
        network(api, f"decnet_t_{prefix}_twice"),
        network(api, f"decnet_t_{prefix}_-._", labels={"a\nb": A_MEGABYTE, "type": "overlay"}),
        *(network(api, name) for name in odd_lan_names(prefix)),
    ]


def test_only_what_is_the_topologys_goes_whatever_else_is_called_like_it(
    api: docker.APIClient,
    engine: PrivateEngine,
    rows: Rows,
    url: str,
    run: Run,
    tmp_path: Path,
    topologies: tuple[Topology, Topology],
) -> None:
    doomed, live = topologies
    foreign, true = foreign_things(api, doomed), true_things(api, doomed)
    listener = run("--sweep-interval", "100000")
    listener.start()  # these are listed; what follows, events tell of
    foreign += [container(api, labels=labels) for labels in odd_labels(doomed.id)]
    foreign += [network(api, name) for name in odd_network_names(doomed.prefix)]
    true += [network(api, name) for name in odd_lan_names(doomed.prefix)]
    true.append(network(api, f"decnet_t_{doomed.prefix}_twice"))
    true.append(container(api, labels={ID: doomed.id, "name": "mine", "big": A_MEGABYTE}))
    renamed = container(api, f"decnet_t_{doomed.prefix}_out")
    api.rename(renamed, "out-of-the-topology")

    settings = Settings(
        database_url=url, docker_host=engine.host, grace=0, state_dir=str(tmp_path / "other")
    )
    said = explain(settings, doomed.prefix).to_text()
    assert all(id_[:12] in said for id_ in true)
    assert not any(id_[:12] in said for id_ in foreign)
    assert "belongs to no topology: it is never touched" in explain(settings, foreign[0]).to_text()

    rows.delete(doomed.id)
    gone(api, doomed)
    eventually(lambda: not any(exists(api, id_) for id_ in true), "and what was added to it")
    assert exists(api, *foreign, renamed)
    live.assert_intact(api)
    assert not listener.logged("failed")
    assert_unharmed(listener)


def test_a_lan_of_any_name_goes_with_its_guests_endpoint_and_is_quoted_wherever_it_is_shown(
    api: docker.APIClient, engine: PrivateEngine, rows: Rows, url: str, run: Run, tmp_path: Path
) -> None:
    rows.insert(doomed := new_id())
    name = f"decnet_t_{doomed[:8]}_büro (1)/a\nb"
    lan, guest = network(api, name), container(api, "guest")
    # Never started, it knows the network by nothing but its name.
    api.connect_container_to_network(guest, lan)
    witness = run("--dry-run")
    witness.start()
    assert witness.stop() == 0
    rows.delete(doomed)

    settings = Settings(
        database_url=url, docker_host=engine.host, state_dir=str(tmp_path / "state")
    )
    for what in (name, lan, doomed[:8]):
        assert f"network {name!r} ({lan[:12]})" in explain(settings, what).to_text()
    assert f"is on network {name!r}, orphan" in explain(settings, "guest").to_text()
    where = ("--docker-host", engine.host, "--database-url", url)
    said = call("sweep", "--dry-run", *where).stdout
    assert f"would remove network {name!r} of topology {doomed[:8]}: witnessed" in said

    said = call("sweep", *where).stdout
    assert f"removed network {name!r}\n" in said
    assert f"disconnected guest from {name!r}\n" in said
    assert not exists(api, lan)
    assert api.inspect_container(guest)["NetworkSettings"]["Networks"].keys() == {"bridge"}
    told = call("history").stdout
    assert f"removed network {name!r} of" in told
    assert f"disconnected container 'guest' from network {name!r} of" in told


def test_a_container_called_by_the_id_of_another_stays_when_that_goes(
    api: docker.APIClient, rows: Rows, run: Run, topologies: tuple[Topology, Topology]
) -> None:
    # The engine finds by a name what it does not find by an id.
    doomed, live = topologies
    namesakes = [container(api, id_) for id_ in doomed.containers]
    namesakes += [network(api, id_) for id_ in doomed.networks.values()]
    listener = run()
    listener.start()
    rows.delete(doomed.id)
    gone(api, doomed)
    late = container(api, f"decnet_t_{doomed.prefix}_late")
    eventually(lambda: not exists(api, late), "the topology was looked at again")
    assert exists(api, *namesakes)
    live.assert_intact(api)
    assert_unharmed(listener)


def test_an_answer_that_is_no_image_is_not_an_image_without_labels(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    orphan = deploy(api, doomed, start=False)
    api.commit(next(iter(orphan.bases.values())), "seized")
    mine = container(api, "analysis", image="seized")
    deploy(api, live, decky_numbers=(7,), start=False)
    proxy.hook = lambda r: answer(200, '{"hello": "world"}') if "/images/" in r.path else None
    listener = run(host=proxy.host)
    listener.start()
    proxy.hook = None
    rows.delete(doomed)
    gone(api, orphan)
    listed = len(listener.logged("listed"))
    listener.signal(signal.SIGUSR1)
    listener.await_log("listed", count=listed + 1)
    assert exists(api, mine)
    api.remove_container(mine)
    api.remove_image("seized")


@pytest.mark.usefixtures("rows")
def test_what_cannot_be_a_name_is_said_to_be_nothing(
    api: docker.APIClient, engine: PrivateEngine, url: str
) -> None:
    container(api, "web")
    settings = Settings(database_url=url, docker_host=engine.host, timeout=1)
    for what in ("", "../images", "x/../web", "a\nb", "😀", "\x00", "x" * 9999):
        with pytest.raises(ConfigurationError, match="there is no container or network"):
            explain(settings, what)


# A stream that lies.


class LyingStream:
    """Event streams that hold thousands of false events each, and end in the midst of one.

    Args:
        ids: of things that exist, to lie about.
        topology_ids: to name as their owners.
    """

    def __init__(self, ids: list[str], topology_ids: list[str]) -> None:
        self.told = 0
        self.connections = 0
        self._dice = random.Random(4)
        self._ids = [*ids, *(id_[:12] for id_ in ids), "f" * 64, "", ".", "json", "../networks"]
        self._topology_ids = topology_ids

    def answer(self, request: Request) -> Action | None:
        """What happens to a request to the engine."""
        if not request.is_stream:
            return None
        self.connections += 1
        return stream(self._events(20 * self.connections))

    def _events(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            lines = b"".join(json.dumps(self._event()).encode() + b"\n" for _ in range(20))
            self.told += 20
            yield lines
        ends = [b'{"Type":"contai', b"[" * 100_000 + b"\n", b'"\xff\xfe"\n', b"null\n", b"\n{}\n"]
        yield self._dice.choice(ends)

    def _event(self) -> dict[str, Any]:
        pick = self._dice.choice
        topology_id = pick(self._topology_ids)
        name = f"decnet_t_{topology_id[:8]}_{pick('abc')}"
        odd: Callable[[], Any] = lambda: pick(  # noqa: E731
            [None, True, -1, 10**300, float("nan"), [], {}, [name], {"a": {}}, "\ud800", "x" * 9999]
        )
        attributes: Any = {
            "name": pick([name, name, "mine", odd()]),
            "type": pick(["bridge", odd()]),
            "image": odd(),
            ID: pick([topology_id, topology_id, odd()]),
            PROJECT: pick([f"decnet-topo-{topology_id[:8]}", odd()]),
        }
        return {
            "Type": pick(["container", "network", "container", "network", "image", odd()]),
            "Action": pick(["create", "rename", "destroy", odd()]),
            "Actor": {"ID": pick(self._ids), "Attributes": pick([attributes] * 9 + [None])},
            "scope": pick(["local", odd()]),
            "time": odd(),
        }


def test_a_stream_that_lies_costs_nothing_but_a_look(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    proxy: FaultProxy,
    topologies: tuple[Topology, Topology],
) -> None:
    doomed, live = topologies
    foreign = [container(api, "web"), network(api, "web"), container(api, "db", labels={"a": "b"})]
    lies = LyingStream(
        [*foreign, *live.containers, *live.networks.values(), *doomed.containers],
        [doomed.id, live.id, *(new_id() for _ in range(20))],
    )
    proxy.hook = lies.answer
    listener = run("--sweep-interval", "100000", host=proxy.host)
    listener.start()
    eventually(lambda: lies.told > 1_000, "the first lies are told")
    rows.delete(doomed.id)
    gone(api, doomed)
    eventually(lambda: lies.connections > 3, "more lies are told")
    assert exists(api, *foreign)
    live.assert_intact(api)
    assert_unharmed(listener)

    proxy.hook = None
    second = new_id()
    rows.insert(second)
    orphan = deploy(api, second, decky_numbers=(7,))
    rows.delete(second)
    gone(api, orphan)
    live.assert_intact(api)
    assert listener.stop() == 0


def assert_unharmed(listener: ListenerProcess) -> None:
    """Fail if the process ended, or any of its threads failed and was started again."""
    assert listener.process is not None
    assert listener.process.poll() is None
    signs = ("a loop failed", "Traceback")
    failed = [
        line for line in listener.lines if any(sign in line.get("message", "") for sign in signs)
    ]
    assert not failed, failed[:3]
