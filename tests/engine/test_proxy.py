"""The proxy of the tests does what its names say, to a real client of a real engine."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import docker
import pytest
import requests

from tests.engine.conftest import exists
from tests.support.process import PATIENCE, eventually
from tests.support.proxy import (
    Action,
    FaultProxy,
    Request,
    answer,
    cut,
    stall,
    truncate,
)

pytestmark = pytest.mark.deep

BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[docker.APIClient]:
    """A client of the engine, through the proxy."""
    with closing(docker.APIClient(proxy.host, version="auto", timeout=int(PATIENCE))) as client:
        proxy.clear()
        yield client


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Where requests wait."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def container(api: docker.APIClient) -> str:
    """A container, by its id."""
    return str(api.create_container("busybox", ["sleep", "1000"], stop_signal="SIGKILL")["Id"])


def on_removal(action: Action) -> Callable[[Request], Action | None]:
    """A hook that does this to every removal."""
    return lambda request: action if request.method == "DELETE" else None


def test_what_passes_is_untouched_and_recorded(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    assert client.inspect_container(container) == api.inspect_container(container)
    label = "x" * 500_000
    made = client.create_container("busybox", name="made", labels={"long": label})["Id"]
    assert api.inspect_container(made)["Config"]["Labels"]["long"] == label
    client.start(container)
    exec_ = client.exec_create(container, ["cat"], stdin=True)  # an engine may lose last words
    upgraded: Any = client.exec_start(exec_["Id"], socket=True)
    with closing(upgraded), closing(upgraded._sock) as end:
        end.sendall(b"both ways")
        frame = b"\1\0\0\0\0\0\0\x09both ways"
        assert end.recv(len(frame), socket.MSG_WAITALL) == frame
    assert [(r.method, r.path.split("/", 2)[2].split("?")[0]) for r in proxy.requests] == [
        ("GET", f"containers/{container}/json"),
        ("POST", "containers/create"),
        ("POST", f"containers/{container}/start"),
        ("POST", f"containers/{container}/exec"),
        ("POST", f"exec/{exec_['Id']}/start"),
    ]
    assert [r.is_stream for r in proxy.requests] == [False] * 5
    ages = [r.at for r in proxy.requests]
    assert ages == sorted(ages)


def raw(proxy: FaultProxy) -> socket.socket:
    """A connection to the proxy."""
    end = socket.socket(socket.AF_UNIX)
    try:
        end.connect(proxy.host.removeprefix("unix://"))
    except OSError:
        end.close()
        raise
    return end


def test_an_answer_in_the_place_of_the_engine(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    proxy.hook = on_removal(answer(409, '{"message": "made up"}'))
    for _ in range(2):  # the connection is kept
        with pytest.raises(docker.errors.APIError) as caught:
            client.remove_container(container)
        assert caught.value.status_code == 409
        assert caught.value.explanation == "made up"
    assert exists(api, container)


def test_a_request_that_is_cut_never_reaches_the_engine(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    proxy.hook = on_removal(cut())
    with pytest.raises(BROKEN):
        client.remove_container(container)
    assert exists(api, container)
    proxy.hook = None
    client.remove_container(container)
    assert not exists(api, container)


def test_of_an_answer_that_is_truncated_the_engine_has_done_the_work(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    proxy.hook = on_removal(truncate(8))
    with pytest.raises(BROKEN):
        client.remove_container(container)
    assert not exists(api, container)
    assert client.ping(), "on a new connection, in full"


def test_a_request_that_stalls_and_one_whose_answer_does(
    api: docker.APIClient,
    client: docker.APIClient,
    proxy: FaultProxy,
    container: str,
    background: ThreadPoolExecutor,
) -> None:
    go_on = threading.Event()
    proxy.hook = on_removal(stall(go_on))
    removal = background.submit(client.remove_container, container)
    eventually(lambda: bool(proxy.requests), "it is asked for")
    assert client.ping(), "others go on"
    assert exists(api, container)
    go_on.set()
    removal.result(PATIENCE)
    assert not exists(api, container)

    go_on.clear()
    proxy.hook = lambda request: stall(go_on, response=True) if "create" in request.path else None
    creation = background.submit(client.create_container, "busybox", name="slow")
    eventually(lambda: bool(api.containers(all=True, filters={"name": "slow"})), "it is there")
    assert not creation.done()
    go_on.set()
    assert exists(api, creation.result(PATIENCE)["Id"])


def next_of(events: Iterator[object], background: ThreadPoolExecutor) -> Future[object]:
    """What will come of a stream; None at its end."""
    return background.submit(lambda: next(events, None))


def test_streams_alone_are_cut(
    api: docker.APIClient,
    client: docker.APIClient,
    proxy: FaultProxy,
    container: str,
    background: ThreadPoolExecutor,
) -> None:
    events = client.events(decode=True, since=1, filters={"container": container})
    assert next(events)["Action"] == "create"
    go_on = threading.Event()
    proxy.hook = lambda request: stall(go_on, response=True) if "info" in request.path else None
    info = background.submit(client.info)
    eventually(lambda: any("info" in r.path for r in proxy.requests), "it is asked for")
    end = next_of(events, background)
    proxy.cut_streams()
    assert end.result(PATIENCE) is None
    go_on.set()
    assert info.result(PATIENCE)["Containers"] == len(api.containers(all=True))


def test_new_connections_are_refused_while_the_old_ones_stay(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    events = client.events(decode=True, since=1, filters={"container": container})
    assert next(events)["Action"] == "create"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        raw(proxy)
    api.rename(container, "heard-of")
    assert next(events)["Action"] == "rename"
    proxy.accept()
    with closing(docker.APIClient(proxy.host, version="auto")) as another:
        assert another.ping()


def test_a_half_open_connection_is_silent_until_it_flows_again(
    api: docker.APIClient,
    client: docker.APIClient,
    proxy: FaultProxy,
    container: str,
    background: ThreadPoolExecutor,
) -> None:
    events = client.events(decode=True, since=1, filters={"container": container})
    assert next(events)["Action"] == "create"
    event = next_of(events, background)
    proxy.freeze(new=False)
    api.rename(container, "not-heard-of")
    with closing(docker.APIClient(proxy.host, version="auto")) as another:
        assert another.inspect_container("not-heard-of")["Id"] == container, "new ones flow"
    assert not event.done()
    proxy.freeze()
    with raw(proxy) as end:
        end.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
        assert not select.select([end], [], [], 0.3)[0], "and now no more"
        proxy.thaw()
        assert end.recv(15) == b"HTTP/1.1 200 OK"
    assert event.result(PATIENCE)["Action"] == "rename"  # type: ignore[index]
