"""Behind a socket proxy that lets through what the listener needs and nothing else.

The list of calls is contrib/compose/api-calls.txt. It is held against all that the listener asks in
a full run, from both sides: what is asked is listed, and what is listed is asked. A real HAProxy
enforces it; for wollomatic's socket-proxy, which is not at hand, its rule stands in `wollomatic`.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import exists, gone
from tests.sidecar.haproxy import API_CALLS, COMPOSE, HAProxy
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, call, eventually
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows

ID = "0123456789abcdef" * 4
ALLOWED = [
    "GET /_ping",
    "GET /version",
    "GET /v1.41/events?since=0&until=1",
    "GET /v1.41/containers/json?all=1",
    "GET /containers/json",
    "GET /v1.41/containers/decnet_t_0123abcd_decky-001/json",
    f"GET /v1.41/images/sha256:{ID}/json",
    "GET /v1.41/networks",
    f"GET /v1.41/networks/{ID}",
    f"POST /v1.41/networks/{ID}/disconnect",
    f"DELETE /v1.41/networks/{ID}",
    f"DELETE /v1.41/containers/{ID}?v=1&force=1",
    f"GET /v1.41/volumes/{ID}",
    f"DELETE /v1.41/volumes/{ID}",
]
FORBIDDEN = [
    "POST /v1.41/containers/create?name=x",
    f"POST /v1.41/containers/{ID}/exec",
    f"POST /v1.41/exec/{ID}/start",
    f"GET /v1.41/containers/{ID}/logs?stdout=1",
    f"GET /v1.41/containers/{ID}/archive?path=/etc",
    "POST /v1.41/containers/prune",
    "DELETE /v1.41/containers/decky-001-ssh",
    f"DELETE /v1.41/containers/{ID}/json",
    "GET /v1.41/images/json",
    "GET /v1.41/images/busybox/json",
    f"DELETE /v1.41/images/sha256:{ID}",
    "POST /v1.41/build",
    "POST /v1.41/networks/create",
    f"POST /v1.41/networks/{ID}/connect",
    "DELETE /v1.41/networks/bridge",
    "GET /v1.41/volumes",
    "GET /v1.41/volumes/evidence",
    "DELETE /v1.41/volumes/evidence",
    "POST /v1.41/volumes/create",
    "POST /v1.41/volumes/prune",
    "GET /v1.41/info",
    "HEAD /v1.41/containers/json",
    "PUT /v1.41/networks",
    # Tricks with the path.
    "GET //containers/json",
    "GET /v1.41/containers//json",
    "GET /v1x41/containers/json",
    "GET /v1.41/containers/../images/json",
    "GET /v1.41/containers/%2e%2e/images/json",
    "GET /v1.41/containers/%2e%2e/json",
    "GET /%2e/containers/json",
    f"GET /v1.41/containers/{ID}/json/../logs",
    f"GET /v1.41/containers/{ID}%2flogs",
    f"DELETE /v1.41/networks/{ID}/../../images/x",
    "GET http://docker/v1.41/images/json",
    # An allowed call where it is none.
    "GET /v1.41/images/json?/v1.41/containers/json",
    f"POST /containers/create?name=/networks/{ID}/disconnect",
    "GET /v1.41/info;/v1.41/networks",
]


@pytest.fixture
def behind(engine: PrivateEngine, tmp_path: Path) -> Iterator[FaultProxy]:
    """Stands between HAProxy and the engine, and tells what has come through."""
    with FaultProxy(engine.host, listen=tmp_path / "behind.sock") as proxy:
        yield proxy


@pytest.fixture
def haproxy(behind: FaultProxy, tmp_path: Path) -> Iterator[Path]:
    """The socket of an HAProxy on the list of calls."""
    listens = tmp_path / "haproxy.sock"
    log = tmp_path / "haproxy.log"
    with HAProxy(socket_of(behind), f"unix@{listens}", log=log) as proxy:
        eventually(lambda: listens.exists() or not proxy.is_running, "HAProxy listens")
        assert proxy.is_running, log.read_text()
        yield listens


def socket_of(proxy: FaultProxy) -> Path:
    """The path of the socket on which it listens."""
    return Path(proxy.host.removeprefix("unix://"))


def test_through_haproxy_no_deletion_is_missed_though_it_cuts_idle_streams(
    engine: PrivateEngine, api: sdk.APIClient, data: Path, rows: Rows, tmp_path: Path
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    container, staying = plant(api, doomed), plant(api, live)
    listens = tmp_path / "haproxy.sock"
    with (
        HAProxy(engine.socket, f"unix@{listens}", idle="2s", log=tmp_path / "haproxy.log"),
        ListenerProcess(f"unix://{listens}", f"sqlite:///{data}/decnet.db") as listener,
    ):
        # Silent for two seconds: it is cut, and has to come back and list anew.
        listed = len(listener.logged("listed"))
        listener.await_log("listed", count=listed + 1)
        rows.delete(doomed)
        eventually(lambda: not exists(api, container), "it is gone")
        late = plant(api, doomed, "late")  # which only the events, or a listing, can tell of
        eventually(lambda: not exists(api, late), "the late one is gone")
        assert exists(api, staying)
        assert not listener.logged("failed")


def test_haproxy_lets_through_what_is_allowed_and_refuses_everything_else(
    haproxy: Path, behind: FaultProxy
) -> None:
    refused = {asked: ask(haproxy, asked) for asked in FORBIDDEN}
    assert refused == dict.fromkeys(FORBIDDEN, 403)
    assert not behind.requests, "nothing came through"
    assert not [asked for asked in ALLOWED if ask(haproxy, asked) == 403]
    assert [f"{r.method} {r.path}" for r in behind.requests] == ALLOWED


def test_socket_proxy_allows_and_refuses_the_same() -> None:
    assert [asked for asked in ALLOWED if not wollomatic(asked)] == []
    assert [asked for asked in FORBIDDEN if wollomatic(asked)] == []


def test_every_call_of_a_full_run_is_listed_and_every_line_of_the_list_is_needed(
    engine: PrivateEngine,
    api: sdk.APIClient,
    haproxy: Path,
    rows: Rows,
    data: Path,
    tmp_path: Path,
) -> None:
    with FaultProxy(engine.host, listen=tmp_path / "front.sock") as front:
        _run_it_all(api, front, rows, f"sqlite:///{data}/decnet.db")
        asked = {f"{request.method} {request.path.split('?')[0]}" for request in front.requests}
    asked = {call for call in asked if not call.endswith("/info")}  # it goes without
    lines = [line for line in API_CALLS.read_text().splitlines() if not line.startswith("#")]
    unlisted = {call for call in asked if not any(re.search(line, call) for line in lines)}
    assert not unlisted, f"{API_CALLS} does not list {unlisted}"
    unused = [line for line in lines if not any(re.search(line, call) for call in asked)]
    assert not unused, f"{API_CALLS} lists what is never asked"
    assert not {call for call in asked if not wollomatic(call)}
    assert not {call for call in asked if ask(haproxy, call) == 403}


def _run_it_all(api: sdk.APIClient, proxy: FaultProxy, rows: Rows, url: str) -> None:
    """Everything that makes the listener talk to Docker."""
    where = ("--docker-host", proxy.host, "--database-url", url)

    # Run: deletions, a guest on the network, a container whose labels may be its image's, and one
    # with an anonymous volume of another.
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    lan = next(iter(orphan.networks.values()))
    guest = api.create_container("busybox", ["sleep", "1d"], name="guest")["Id"]
    api.connect_container_to_network(guest, lan)
    api.start(guest)
    volume = api.create_host_config(binds=[f"{orphan.volumes[0]}:/data"])
    api.create_container("busybox", labels={"decnet.topology.id": doomed}, host_config=volume)
    api.remove_container(next(iter(orphan.services.values())), force=True)
    with ListenerProcess(proxy.host, url) as listener:
        rows.delete(doomed)
        gone(api, orphan)
        lists = len(listener.logged("listed"))
        listener.signal(signal.SIGUSR1)
        listener.await_log("listed", count=lists + 1)
        proxy.cut_all()
        listener.await_log("listed", count=lists + 2)
        assert not listener.logged("failed")

    # Explain: by prefix, by id, by name.
    network, container = (next(iter(found.items())) for found in (staying.networks, staying.bases))
    for what in (staying.prefix, *network, *container):
        done = call("explain", what, *where)
        assert (done.returncode, "alive" in done.stdout) == (0, True), done.stderr

    # Sweep: what is held, then let go.
    stranger = plant(api, new_id())
    done = call("sweep", "--json", "--grace", "0", "--policy", "witnessed", *where)
    (held,) = json.loads(done.stdout)["held"]
    assert exists(api, stranger)
    confirm = ("--confirm", held["token"], "--policy", "witnessed")
    done = call("sweep", "--grace", "0", *confirm, *where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not exists(api, stranger)
    staying.assert_intact(api)


def plant(api: sdk.APIClient, topology_id: str, decky: str = "decky") -> str:
    """A container of this topology that was never started."""
    labels = {"decnet.topology.id": topology_id}
    name = f"decnet_t_{topology_id[:8]}_{decky}"
    return str(api.create_container("busybox", ["true"], name=name, labels=labels)["Id"])


def ask(path: Path, asked: str) -> int:
    """Ask through a socket, to the letter; the status of the answer."""
    method, target = asked.split(" ", 1)
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, target)
    status = connection.getresponse().status
    connection.close()
    return status


def wollomatic(asked: str) -> bool:
    """Whether wollomatic's socket-proxy lets this through.

    It matches the decoded path, without the query, in full against the expression of the method.
    """
    text = (COMPOSE / "socket-proxy.env").read_text()
    variables = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.M))
    method, target = asked.split(" ", 1)
    expression = variables.get(f"SP_ALLOW_{method}")
    return expression is not None and bool(
        re.fullmatch(expression, unquote(target.split("?")[0].split("#")[0]))
    )
