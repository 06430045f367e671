"""Everything that Docker lets people call a thing, and a stream that lies, before a real engine.

A topology's row is deleted while other things on the host imitate it in every way that the engine
accepts. Only what really is the topology's goes.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from listener import Settings, sweep
from listener.errors import ConfigurationError
from listener.explain import explain
from tests.engine.conftest import Run, exists
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import (
    PATIENCE,
    ListenerProcess,
    command,
    environment,
    eventually,
)
from tests.support.proxy import Action, FaultProxy, Request, answer, stream
from tests.support.rows import Rows

ID = "decnet.topology.id"
PROJECT = "com.docker.compose.project"
NO_TOPOLOGY = "belongs to no topology: it is never touched"
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


def odd_labels(doomed: str) -> Iterator[dict[str, str]]:
    """Labels that make nothing a part of a topology."""
    prefix = doomed[:8]
    forged = ("name", "oldName", "image", "container", "execID", "signal", "type", "Actor")
    yield dict.fromkeys(forged, f"decnet_t_{prefix}_decky-001")
    yield {
        "": doomed,
        "a\nb": doomed,
        "=": "=",
        "\x00": "\x00",
        '"': "'\\",
        "é😀\u202e\u2028": "😀",
    }
    yield {"big": A_MEGABYTE, A_MEGABYTE: ""}
    for value in (
        *(doomed.upper(), doomed[:-1], prefix, f"{doomed}\n", f" {doomed}", f"{doomed}\x00", ""),
        *(
            f"{{{doomed}}}",
            doomed.replace("-", ""),
            f"{doomed},{doomed}",
            "😀",
            doomed + A_MEGABYTE,
        ),
    ):
        yield {ID: value, PROJECT: f"decnet-topo-{prefix}"}
    for value in (f"decnet-topo-{prefix}\n", f"decnet-topo-{prefix}-1", f"DECNET-TOPO-{prefix}"):
        yield {PROJECT: value}
    yield {f"{ID}\n": doomed, f" {ID}": doomed, ID.upper(): doomed, "decnet.topology": doomed}


def odd_names(prefix: str) -> Iterator[str]:
    """Names of containers that look like a topology's."""
    yield from (f"xdecnet_t_{prefix}_a", f"decnet_t_{prefix}", f"decnet_t_{prefix}_")
    yield from (
        f"decnet_t_{prefix.upper()}F_a",
        f"decnet_t_{prefix}0_a",
        f"decnet_t_{prefix[:7]}_a",
    )
    yield from (f"0123456789ab_decnet_t_{prefix}_decky-001", f"decnet-t-{prefix}_a", prefix)
    yield f"DECNET_T_{prefix}_a"


def odd_network_names(prefix: str) -> Iterator[str]:
    """The same of networks, which may be called anything."""
    yield from odd_names(prefix)
    name = f"decnet_t_{prefix}_lan1"
    yield from (
        f"{name}\n",
        f"\n{name}",
        f"{name} ",
        f"{name}\x00",
        f"{name}😀",
        f"decnet_t_{prefix}_a b",
    )
    yield from (
        f"{name}\nx",
        f"/{name}",
        f"../{name}",
        f"{name}?x=1#y",
        f"{name}/../x",
        "😀",
        "'\"",
    )


def foreign_things(api: docker.APIClient, doomed: Topology) -> list[str]:
    """Containers and networks that are not the topology's, in every form; their ids."""
    prefix = doomed.prefix
    made = [container(api, f"odd-{n}", labels=of) for n, of in enumerate(odd_labels(doomed.id))]
    made += [container(api, name) for name in odd_names(prefix)]
    made += [network(api, name) for name in odd_network_names(prefix)]
    made.append(network(api, "mine", labels={"name": f"decnet_t_{prefix}_lan1", ID: doomed.id}))
    kept = {"topology-reaper.protect": "true"}
    made.append(container(api, f"decnet_t_{prefix}_kept", labels={ID: doomed.id, **kept}))
    made.append(network(api, f"decnet_t_{prefix}_kept", labels=kept))
    # Images that carry the labels: by a commit, and by a build.
    api.commit(next(iter(doomed.services.values())), "evidence")
    conf = {"Labels": {ID: doomed.id, PROJECT: f"decnet-topo-{prefix}", "big": A_MEGABYTE}}
    api.commit(made[0], "built", conf=conf)
    made += [container(api, f"from-{image}", image=image) for image in ("evidence", "built")]
    # Links give the target more names, which begin with the linking container's.
    target = container(api, "target")
    api.start(target)
    aliases = [(target, f"decnet_t_{prefix}_alias"), (target, "decky-001-ssh")]
    for number, link in enumerate(aliases):
        config = api.create_host_config(links=[link])
        made.append(container(api, f"linking-{number}", host_config=config))
        api.start(made[-1])
    (listed,) = api.containers(filters={"id": target})
    assert len(listed["Names"]) == 3
    return [*made, target]


def true_things(api: docker.APIClient, doomed: Topology) -> list[str]:
    """More that is the topology's, however it looks; their ids."""
    prefix = doomed.prefix
    forged = {"name": "mine", "oldName": "mine", "image": "mine", "type": "overlay", "signal": "9"}
    marks = {ID: doomed.id}
    made = [
        container(api, f"decnet_t_{prefix}_{'long' * 1000}"),
        container(api, f"decnet_t_{prefix}_-._"),
        container(api, labels={**marks, **forged}),
        container(api, labels={**marks, "big": A_MEGABYTE, "a\nb": "\x00", "😀": "😀"}),
        container(api, f"0123456789ab_decnet_t_{prefix}_decky-009", labels=marks),
        network(api, f"decnet_t_{prefix}_twice"),
        network(api, f"decnet_t_{prefix}_twice"),
        network(api, f"decnet_t_{prefix}_-._", labels={"a\nb": A_MEGABYTE, "type": "overlay"}),
    ]
    renamed = container(api, labels={"oldName": f"/decnet_t_{prefix}_z", "name": "mine"})
    api.rename(renamed, f"decnet_t_{prefix}_renamed")
    return [*made, renamed]


def test_only_what_is_the_topologys_goes_whatever_else_is_called_like_it(
    api: docker.APIClient, rows: Rows, run: Run, topologies: tuple[Topology, Topology]
) -> None:
    doomed, live = topologies
    before = foreign_things(api, doomed), true_things(api, doomed)
    listener = run("--sweep-interval", "100000")
    listener.start()  # these are listed; what follows, events tell of
    with_events = [
        *(container(api, labels=labels) for labels in odd_labels(doomed.id)),
        *(network(api, name) for name in odd_network_names(doomed.prefix)),
        container(api, image="evidence"),
    ]
    true = [*before[1], network(api, f"decnet_t_{doomed.prefix}_twice")]
    true.append(container(api, labels={ID: doomed.id, "name": "mine", "big": A_MEGABYTE}))
    renamed = container(api, f"decnet_t_{doomed.prefix}_out")
    api.rename(renamed, "out-of-the-topology")
    rows.delete(doomed.id)
    eventually(lambda: not doomed.remaining(api), "the topology is gone")
    eventually(lambda: not any(exists(api, id_) for id_ in true), "and what was added to it")
    assert exists(api, *before[0], *with_events, renamed)
    live.assert_intact(api)
    assert not listener.logged("failed")
    assert_unharmed(listener)


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
    eventually(lambda: not doomed.remaining(api), "the topology is gone")
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
    eventually(lambda: not orphan.remaining(api), "the orphan is gone")
    listed = len(listener.logged("listed"))
    listener.signal(signal.SIGUSR1)
    listener.await_log("listed", count=listed + 1)
    assert exists(api, mine)
    api.remove_container(mine)
    api.remove_image("seized")


def test_everything_of_odd_names_and_labels_is_explained(
    api: docker.APIClient,
    engine: PrivateEngine,
    rows: Rows,
    url: str,
    tmp_path: Path,
    topologies: tuple[Topology, Topology],
) -> None:
    doomed, live = topologies
    foreign, true = foreign_things(api, doomed), true_things(api, doomed)
    rows.delete(doomed.id)

    settings = Settings(
        database_url=url, docker_host=engine.host, grace=0, state_dir=str(tmp_path / "state")
    )
    for id_ in foreign:
        said = explain(settings, id_)
        assert NO_TOPOLOGY in said, said[:2000]
        assert len(said.splitlines()) < 10, "each signal is one line"
    for id_ in true:
        said = explain(settings, id_)
        assert f"belongs to {doomed.prefix}" in said, said[:2000]
        assert "a sweep removes it now" in said, said[:2000]
    said = explain(settings, doomed.prefix)
    assert all(id_[:12] in said for id_ in true)
    assert not any(id_[:12] in said for id_ in foreign)
    report = sweep(settings)
    assert report.errors == []
    assert report.orphan_prefixes == [doomed.prefix]
    assert not doomed.remaining(api)
    assert not any(exists(api, id_) for id_ in true)
    assert exists(api, *foreign)
    live.assert_intact(api)


@pytest.mark.usefixtures("rows")
def test_what_cannot_be_a_name_is_said_to_be_nothing(
    api: docker.APIClient, engine: PrivateEngine, url: str
) -> None:
    container(api, "web")
    settings = Settings(database_url=url, docker_host=engine.host, timeout=1)
    for what in ("", "/", ".", "../images", "x/../web", "a\nb", "%", "?", "😀", "\x00", "x" * 9999):
        with pytest.raises(ConfigurationError, match="there is no container or network"):
            explain(settings, what)
    # As a person meets it, whatever the terminal can show.
    options = ["--docker-host", engine.host, "--database-url", url, "--timeout", "5"]
    network(api, "decnet_t_😀")
    result = subprocess.run(
        command("explain", *options, "decnet_t_😀"),
        env=environment() | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert NO_TOPOLOGY.encode() in result.stdout


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
        return stream(self._events(50 * self.connections))

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
    eventually(lambda: lies.told > 2_000, "the first lies are told")
    rows.delete(doomed.id)
    eventually(lambda: not doomed.remaining(api), "the topology is gone, for all the lies")
    before, until = resident(listener), 3 * lies.told
    eventually(lambda: lies.told > until, "many more lies are told")
    after = resident(listener)
    print(f"\n{lies.told:,} false events on {lies.connections} streams", end="; ")
    print(f"{before / 1024:.1f} MiB resident, later {after / 1024:.1f} MiB")
    assert after < 1.5 * before, "nothing piles up"
    assert lies.connections > 5
    assert exists(api, *foreign)
    live.assert_intact(api)
    assert_unharmed(listener)

    proxy.hook = None
    second = new_id()
    rows.insert(second)
    orphan = deploy(api, second, decky_numbers=(7,))
    rows.delete(second)
    eventually(lambda: not orphan.remaining(api), "the next one goes as ever")
    live.assert_intact(api)
    assert listener.stop() == 0


def resident(listener: ListenerProcess) -> int:
    """The memory that a listener holds, in KiB."""
    assert listener.process is not None
    status = Path(f"/proc/{listener.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def assert_unharmed(listener: ListenerProcess) -> None:
    """Fail if the process ended, or any of its threads failed and was started again."""
    assert listener.process is not None
    assert listener.process.poll() is None
    signs = ("a loop failed", "Traceback")
    failed = [
        line for line in listener.lines if any(sign in line.get("message", "") for sign in signs)
    ]
    assert not failed, failed[:3]
