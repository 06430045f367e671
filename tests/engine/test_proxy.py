"""The fault tools do what their names say, to a real client of a real engine."""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import docker
import pytest
import requests

from tests.engine.conftest import exists
from tests.support.process import PATIENCE, eventually
from tests.support.proxy import (
    Action,
    FaultProxy,
    Proxy,
    Request,
    answer,
    cut,
    delay,
    stall,
    stream,
    truncate,
)
from tests.support.storm import PATIENCE as WAIT
from tests.support.storm import SLOTS, Storm

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
    exec_ = client.exec_create(container, ["echo", "said inside"])
    assert client.exec_start(exec_["Id"]) == b"said inside\n"
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


def test_a_connection_that_was_upgraded_passes_bytes_both_ways(
    api: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    api.start(container)
    exec_ = api.exec_create(container, ["cat"], stdin=True, tty=True)["Id"]
    with raw(proxy) as end, end.makefile("rb") as reader:
        end.sendall(
            f"POST /v1.41/exec/{exec_}/start HTTP/1.1\r\nHost: docker\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
            'Content-Length: 12\r\n\r\n{"Tty":true}'.encode()
        )
        assert b"101" in reader.readline()
        while reader.readline() != b"\r\n":
            pass
        end.sendall(b"hello\n")
        assert reader.read(5) == b"hello"


@pytest.mark.parametrize("status", [409, 500])
def test_an_answer_in_the_place_of_the_engine(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str, status: int
) -> None:
    proxy.hook = on_removal(answer(status, '{"message": "made up"}'))
    for _ in range(2):  # the connection is kept
        with pytest.raises(docker.errors.APIError) as caught:
            client.remove_container(container)
        assert caught.value.status_code == status
        assert caught.value.explanation == "made up"
    assert exists(api, container)


def test_garbage_in_the_place_of_an_answer(
    client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    proxy.hook = lambda _: answer(200, b"<html>\xff")
    with pytest.raises(ValueError, match=r"Expecting value"):
        client.inspect_container(container)
    proxy.hook = lambda _: Action(reply=b"\x00\xff\r\n" * 10)
    with pytest.raises(BROKEN):
        client.inspect_container(container)


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


@pytest.mark.parametrize("limit", [0, 8])
def test_of_an_answer_that_is_truncated_the_engine_has_done_the_work(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str, limit: int
) -> None:
    proxy.hook = on_removal(truncate(limit))
    with pytest.raises(BROKEN):
        client.remove_container(container)
    assert not exists(api, container)
    assert client.ping(), "on a new connection, in full"


def test_a_body_that_ends_in_the_midst(
    client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    proxy.hook = lambda _: truncate(1000)
    with pytest.raises(BROKEN):
        client.inspect_container(container)


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


@pytest.mark.parametrize("response", [False, True])
def test_a_delay(client: docker.APIClient, proxy: FaultProxy, response: bool) -> None:
    proxy.hook = lambda _: delay(0.3, response=response)
    began = time.monotonic()
    for _ in range(2):
        client.ping()
    assert time.monotonic() - began >= 0.6


def test_a_stream_in_the_place_of_the_engines_goes_out_piece_by_piece_and_ends(
    client: docker.APIClient, proxy: FaultProxy
) -> None:
    more = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'{"n": 1}\n'
        assert more.wait(PATIENCE)
        yield b'{"n": 2}\n'

    proxy.hook = lambda request: stream(pieces()) if request.is_stream else None
    events = client.events(decode=True)
    assert next(events) == {"n": 1}
    more.set()
    assert list(events) == [{"n": 2}]
    assert client.ping()


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


def test_every_connection_is_cut(
    client: docker.APIClient, proxy: FaultProxy, background: ThreadPoolExecutor
) -> None:
    never = threading.Event()
    proxy.hook = lambda _: stall(never, response=True)
    pending = background.submit(client.info)
    eventually(lambda: bool(proxy.requests), "it is asked for")
    proxy.cut_all()
    with pytest.raises(BROKEN):
        pending.result(PATIENCE)
    proxy.hook = None
    assert client.ping()


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


def test_open_connections_end_after_so_many_more_bytes(
    api: docker.APIClient, client: docker.APIClient, proxy: FaultProxy, container: str
) -> None:
    events = client.events(decode=False, since=1, filters={"container": container})
    whole = next(events)
    proxy.truncate(len(whole) // 2)
    api.rename(container, "cut-short")
    assert sum(map(len, events)) < len(whole)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """The address of somebody who sends back what is sent, on as many connections as come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(end: socket.socket) -> None:
        with end:
            while data := end.recv(65536):
                end.sendall(data)

    def accept() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(end,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_bytes_of_any_protocol_pass_over_tcp_and_a_cut_is_a_reset(echo: tuple[str, int]) -> None:
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as end:
        said = bytes(range(256)) * 8192
        threading.Thread(target=end.sendall, args=(said,)).start()
        heard = b""
        while len(heard) < len(said):
            heard += end.recv(65536)
        assert heard == said
        proxy.cut_all()
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_once_closed_nothing_is_held_or_open(
    proxy: FaultProxy, client: docker.APIClient, background: ThreadPoolExecutor
) -> None:
    never = threading.Event()
    proxy.hook = lambda _: stall(never)
    held = background.submit(client.info)
    eventually(lambda: bool(proxy.requests), "it is asked for")
    proxy.close()
    with pytest.raises(BROKEN):
        held.result(PATIENCE)
    eventually(lambda: not proxy._open(), "no connection is left")


# The storm.


def took(storm: Storm, times: int = 1) -> float:
    """How long it takes to publish."""
    began = time.monotonic()
    for _ in range(times):
        storm.publish(b"event")
    return time.monotonic() - began


def test_a_storm_fills_the_slots_then_waits_and_drops() -> None:
    storm = Storm()
    events = storm.subscribe()
    for number in range(SLOTS):
        storm.publish(b"%d" % number)
    assert storm.dropped == 0
    assert took(storm) >= WAIT
    assert storm.dropped == 1
    assert next(events) == b"0\n"
    storm.publish(b"last")
    assert storm.dropped == 1, "a slot was free"
    kept = list(itertools.islice(events, SLOTS))
    assert kept == [*(b"%d\n" % number for number in range(1, SLOTS)), b"last\n"]


def test_a_storm_gives_a_slot_that_comes_free_while_it_waits() -> None:
    storm = Storm()
    events = storm.subscribe()
    for _ in range(SLOTS):
        storm.publish(b"early")
    for _ in range(5):  # a reader that comes too late once is no surprise
        thread = threading.Thread(target=storm.publish, args=(b"late",))
        dropped = storm.dropped
        thread.start()
        next(events)
        thread.join()
        assert storm.dropped == dropped


def test_a_storm_waits_for_all_of_its_subscribers_at_once() -> None:
    one, three = Storm(), Storm()
    for storm, count in ((one, 1), (three, 3)):
        subscriptions = [storm.subscribe() for _ in range(count)]
        for _ in range(SLOTS):
            storm.publish(b"event")
        assert storm.subscribers == len(subscriptions)
    assert took(three, 5) < 2 * took(one, 5)
    assert (one.dropped, three.dropped) == (5, 15)


def test_a_storm_ends_for_who_leaves_and_for_all_when_it_is_closed() -> None:
    storm = Storm()
    leaving, staying = storm.subscribe(), storm.subscribe()
    storm.publish(b"event")
    assert next(leaving) == b"event\n"
    leaving.close()
    assert storm.subscribers == 1
    storm.close()
    assert list(staying) == [b"event\n"]
    assert storm.subscribers == 0
