"""Subscribe, list, replay, follow: nothing in between is missed, and silence is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

from listener.control.inventory import PrefixIndex
from listener.core.resources import Resource
from listener.engine.client import Engine
from listener.engine.watch import Watch
from tests.engine.conftest import Run, exists, on_both
from tests.support.decnet import new_id
from tests.support.process import PATIENCE, eventually
from tests.support.proxy import Action, FaultProxy, Request, delay, stall
from tests.support.rows import Rows


class RecordingIndex(PrefixIndex):
    """Remembers the names of what was put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.put_names: list[str] = []

    def put(self, resource: Resource, *, unconfirmed: bool = False, read: bool = False) -> None:
        """Remember and put."""
        self.put_names.append(resource.name)
        super().put(resource, unconfirmed=unconfirmed, read=read)


def watching(
    proxy: FaultProxy,
    quiet: float = PATIENCE,
    appeared: Callable[[Any], None] = lambda _: None,
) -> tuple[Watch, RecordingIndex]:
    """A watch behind the proxy, not connected yet."""
    index = RecordingIndex()
    engine = Engine(proxy.host)
    watch = Watch(engine, index, appeared=appeared, listed=lambda *_: None, quiet=quiet)
    return watch, index


@contextmanager
def following(watch: Watch) -> Iterator[threading.Thread]:
    """Follow in a thread until the end of the block."""
    thread = threading.Thread(target=watch.follow)
    thread.start()
    try:
        yield thread
    finally:
        watch.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def names(index: PrefixIndex) -> set[str]:
    """The names of everything in an index."""
    return {r.name for prefix in index.prefixes() for r in index.resources(prefix)}


def lan(suffix: str = "lan1") -> str:
    """The name of a network of a new topology."""
    return f"decnet_t_{new_id()[:8]}_{suffix}"


def test_what_happens_while_the_list_is_under_way_is_replayed(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hold_the_list(request: Request) -> Action | None:
        if request.path.split("?")[0].endswith("/networks"):
            asked.set()
            return stall(answered, response=True)
        return None

    going, staying, coming = lan(), lan(), lan()
    ids = {name: api.create_network(name)["Id"] for name in (going, staying)}
    proxy.hook = hold_the_list
    watch, index = watching(proxy)
    connecting = threading.Thread(target=watch.connect)
    connecting.start()
    assert asked.wait(PATIENCE)
    eventually(lambda: any(r.is_stream for r in proxy.requests), "it subscribed before it listed")
    api.remove_network(ids[going])
    api.create_network(coming)
    answered.set()
    connecting.join(PATIENCE)
    with following(watch):
        eventually(lambda: names(index) == {staying, coming}, "the index shows what there is")


@on_both
def test_a_rename_moves_a_container_and_a_foreign_one_is_not_kept(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    watch, index = watching(proxy)
    watch.connect()
    first, second = lan("decky-001"), lan("decky-001")
    with following(watch):
        api.create_container("busybox", ["sleep", "9"], name="foreign")
        id_ = api.create_container("busybox", ["sleep", "9"], name=first)["Id"]
        eventually(lambda: names(index) == {first}, "it appeared")
        api.rename(id_, second)
        eventually(lambda: names(index) == {second}, "it moved")
        assert index.prefixes() == {second[9:17]}
        api.rename(id_, "out-of-sight")
        eventually(lambda: not index.prefixes(), "its name was its only mark")
        api.rename(id_, first)
        eventually(lambda: names(index) == {first}, "it is back")
        api.remove_container(id_)
        eventually(lambda: not index.prefixes(), "it is gone")


def test_health_checks_are_filtered_by_the_engine(
    api: docker.APIClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = docker.types.Healthcheck(test=["CMD", "true"], interval=100_000_000, retries=1)
    watch, _ = watching(proxy)
    watch.connect()
    lines: list[bytes] = []
    monkeypatch.setattr(watch._mirror, "apply", lambda *told: lines.extend(told))
    with following(watch):
        id_ = api.create_container("busybox", ["sleep", "99"], healthcheck=check)["Id"]
        api.start(id_)
        eventually(
            lambda: api.inspect_container(id_)["State"]["Health"]["Status"] == "healthy", "healthy"
        )
        api.remove_container(id_, force=True)
        eventually(
            lambda: any(b'"destroy"' in line and id_.encode() in line for line in lines), "gone"
        )
    assert len([line for line in lines if id_.encode() in line]) == 2, "create and destroy"


def test_the_stream_is_read_while_all_else_waits(api: docker.APIClient, proxy: FaultProxy) -> None:
    # More than the 1,024 events that the engine keeps for a reader before it drops any.
    busy, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        busy.set()
        go_on.wait(PATIENCE)

    watch, index = watching(proxy, appeared=wait)
    watch.connect()
    prefix = new_id()[:8]
    id_ = api.create_container("busybox", ["sleep", "9"], name=f"decnet_t_{prefix}_0")["Id"]
    with following(watch):
        assert busy.wait(PATIENCE)
        for number in range(1, 1500):
            api.rename(id_, f"decnet_t_{prefix}_{number}")
        go_on.set()
        eventually(lambda: names(index) == {f"decnet_t_{prefix}_1499"}, "the last name is known")
    seen = [name for name in index.put_names if prefix in name]
    assert seen == [f"decnet_t_{prefix}_{number}" for number in range(1500)], "none was dropped"
    assert sum(request.is_stream for request in proxy.requests) == 1


def test_a_connection_that_went_silent_is_given_up_and_found_anew(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    watch, index = watching(proxy, quiet=0.5)
    watch.connect()
    proxy.freeze(new=False)
    name = lan()
    api.create_network(name)
    watch.follow()  # returns: half-open, it would be silent for ever
    assert name not in names(index)
    watch.connect()
    assert names(index) == {name}
    watch.close()


def test_a_listing_on_request_mends_what_events_did_not_tell(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    watch, index = watching(proxy)
    watch.connect()
    name = lan()
    api.create_network(name)
    with following(watch):
        eventually(lambda: names(index) == {name}, "it appeared")
        index.replace([])
        watch.relist()
        eventually(lambda: names(index) == {name}, "it is listed")


def test_a_list_that_takes_longer_than_a_request_may_is_waited_for(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    rows.insert(doomed := new_id())
    lan = api.create_network(f"decnet_t_{doomed[:8]}_lan1")["Id"]
    proxy.hook = lambda r: delay(1.5) if "/containers/json" in r.path else None
    listener = run("--docker-timeout", "1", host=proxy.host)
    listener.start()
    (down,) = (line for line in listener.logged("down") if line["side"] == "Docker")
    assert "give it longer by --docker-timeout" in down["error"]
    rows.delete(doomed)
    eventually(lambda: not exists(api, lan), "the network is gone, before which all are listed")
    assert [line["cause"] for line in listener.logged("listed")] == ["start-up"]


def test_who_asks_for_a_listing_while_one_is_under_way_gets_the_same_next_one(
    proxy: FaultProxy,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    watch, _ = watching(proxy)
    watch.connect()
    proxy.clear()

    def hold(request: Request) -> Action | None:
        if "/networks?" in request.path:
            begun.set()
            return stall(go_on)
        return None

    proxy.hook = hold
    with following(watch):
        watch.relist()
        assert begun.wait(PATIENCE)
        for _ in range(5):
            watch.relist()
        go_on.set()
    lists = [request for request in proxy.requests if "/containers/json" in request.path]
    assert len(lists) == 2
