"""Pages over HTTP, and clients of every kind that want more than a page."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import http.client
import itertools
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import h11
import pytest

from listener.telemetry.http import answers
from listener.telemetry.http import server as endpoint
from listener.telemetry.http.answers import Answers, Response, page
from listener.telemetry.http.server import Endpoint
from tests.support.process import PATIENCE, eventually

if TYPE_CHECKING:
    from loguru import Record

HTML = b"<!doctype html><style>p{}</style><script type=module>\nlet a\n</script><script>b</script>"
LARGE = bytes(20_000_000)
"""More than the kernel takes for a client that does not read."""
LONG = 1e6
"""Seconds; no test lasts for so long."""
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGES: Mapping[str, Callable[[], Response]] = {
    "/": lambda: page(HTML),
    "/livez": lambda: Response(b"ok\n"),
    "/healthz": lambda: Response(b"Docker is down\n", status=503),
    "/status.json": lambda: Response(b"{}", "application/json"),
    "/large": lambda: Response(LARGE),
}

Serve = Callable[..., int]
Patch = Callable[..., None]
Connect = Callable[..., socket.socket]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Afterwards there are no more threads and open files than before."""

    def there() -> tuple[int, int]:
        return threading.active_count(), open_files()

    before = there()
    yield
    eventually(lambda: there() == before, "all is as it was")


@pytest.fixture
def opened() -> Iterator[list[Endpoint]]:
    """Endpoints that are closed with the test."""
    made: list[Endpoint] = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def serve(opened: list[Endpoint]) -> Serve:
    """Serves pages, and returns at which port."""

    def serve(
        pages: Mapping[str, Callable[[], Response]] = PAGES, host: str = "127.0.0.1", port: int = 0
    ) -> int:
        opened.append(Endpoint(host, port, pages))
        return int(opened[-1].open().rpartition(":")[2])

    return serve


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Sets limits of the endpoint."""

    def limit(**limits: float) -> None:
        for name, value in limits.items():
            monkeypatch.setattr(answers if hasattr(answers, name) else endpoint, name, value)

    return limit


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects, until the end of the test."""
    with ExitStack() as stack:

        def connect(port: int, words: bytes = b"") -> socket.socket:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            client.sendall(words)
            return client

        yield connect


def get(
    port: int, path: str = "/livez", method: str = "GET", host: str = "127.0.0.1", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Ask as a browser does: the status, the headers and the body."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def rest(client: socket.socket) -> bytes:
    """All that the client is sent until the end."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def is_open(client: socket.socket) -> bool:
    """Whether a client that was sent nothing is still connected."""
    client.setblocking(False)
    try:
        assert client.recv(1) == b""
    except BlockingIOError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def open_files() -> int:
    """How many files are open here."""
    return len([*Path("/proc/self/fd").iterdir()])


def held() -> int:
    """How many places are taken."""
    thread = server()
    assert isinstance(thread, endpoint._Server)
    return len(thread._clients)


def server() -> threading.Thread:
    """The thread that serves."""
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "http"]
    return thread


# Who asks properly.


@pytest.mark.parametrize("path", PAGES)
def test_each_path_has_its_page(serve: Serve, path: str) -> None:
    port, expected = serve(), PAGES[path]()
    for query in ("", "?a=/&b=%00"):
        status, headers, body = get(port, path + query)
        assert (status, body) == (expected.status, expected.body)
        assert headers["Content-Type"] == expected.content_type


@pytest.mark.parametrize(("path", "method"), [("/livez", "GET"), ("/", "PUT"), ("/no", "GET")])
def test_whatever_is_answered_is_for_whoever_asked_alone(
    serve: Serve, path: str, method: str
) -> None:
    _, headers, body = get(serve(), path, method)
    del headers["Date"], headers["Content-Type"]
    headers.pop("Allow", None)
    policy = headers.pop("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'"} <= {*policy}
    assert headers == {
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Connection": "close",
    }


def test_a_page_may_run_what_stands_in_it_and_nothing_else(serve: Serve) -> None:
    _, headers, _ = get(serve(), "/")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))

    def digests(*texts: bytes) -> str:
        found = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in texts]
        return " ".join(f"'sha256-{digest}'" for digest in found)

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == digests(b"\nlet a\n", b"b")
    assert policy["style-src"] == digests(b"p{}")
    assert policy["connect-src"] == "'self'"
    bare = page(b"<p onclick=x style=y>").policy
    assert "script-src 'none'; style-src 'none'" in bare


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("localhost", "")]
)
def test_it_says_where_it_serves(
    opened: list[Endpoint], log: list[Record], host: str, written: str
) -> None:
    opened.append(Endpoint(host, 0, PAGES))
    address = opened[-1].open()
    (line,) = log
    assert line["level"].name == "INFO"
    assert line["extra"] == {"event": "http", "address": address}
    assert f"http://{address}/" in line["message"]
    assert address.startswith(f"{written}:" if written else ("127.0.0.1:", "[::1]:"))
    assert get(int(address.rpartition(":")[2]), host=host)[0] == 200
    assert server().daemon


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1"])
def test_an_address_that_cannot_be_had_is_a_warning(
    serve: Serve, opened: list[Endpoint], log: list[Record], host: str
) -> None:
    port = serve()
    log.clear()
    second = Endpoint(host, port, PAGES)
    opened.append(second)
    assert second.open() == ""
    (line,) = log
    assert line["level"].name == "WARNING"
    assert line["extra"]["event"] == "http"
    assert line["message"].startswith(f"--http: nothing is served at {host}:{port}: ")
    assert "Errno" not in line["message"]
    second.close()
    assert get(port)[0] == 200, "the first goes on"


# Who asks for what there is not.


def test_another_path_is_told_which_there_are(serve: Serve) -> None:
    port = serve()
    for path in ("/no", "/livez/", "/%6civez"):
        status, _, body = get(port, path)
        assert status == 404, path
        assert body == b"there are / /livez /healthz /status.json /large\n"


def test_another_method_is_refused(serve: Serve) -> None:
    port = serve()
    for method in ("POST", "PUT", "DELETE", "get"):
        status, headers, _ = get(port, "/", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD"), method


HOSTS = {
    200: ["localhost", "LocalHost:80", "127.0.0.1", "10.0.0.7:9464", "[::1]", "[fe80::1]:9464", ""],
    421: [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil",
        "[::1",
        "[",
    ],
}


def test_on_a_loopback_address_it_answers_to_no_name_of_others(serve: Serve) -> None:
    port = serve()
    for expected, hosts in HOSTS.items():
        for asked in hosts:
            status, _, body = get(port, "/status.json", Host=asked)
            assert status == expected, asked
            assert (body == b"{}") is (status == 200)


def test_on_another_address_it_answers_to_any_name(serve: Serve) -> None:
    port = serve(host="0.0.0.0")
    for asked in HOSTS[200] + HOSTS[421]:
        assert get(port, Host=asked)[0] == 200, asked


def test_it_answers_to_the_name_that_it_was_given() -> None:
    pages = Answers(PAGES, only_for="Edge-7.lan")

    def ask(host: str) -> bytes:
        request = h11.Request(method="GET", target="/livez", headers=[("Host", host)])
        return bytes(pages.to(request))[9:12]

    assert ask("edge-7.LAN:9464") == b"200"
    assert ask("edge-8.lan:9464") == b"421"


# Who does not speak HTTP.

SENSELESS = {
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a" * 10_000: 431,
}


@pytest.mark.parametrize("words", SENSELESS, ids=lambda words: repr(words[:20]))
def test_what_is_no_request_is_refused(serve: Serve, connect: Connect, words: bytes) -> None:
    port = serve()
    told = rest(connect(port, words))
    assert told.startswith(b"HTTP/1.1 %d " % SENSELESS[words])
    assert b"\nConnection: close\r\n" in told
    assert get(port)[0] == 200


# Who takes his time.


def trickles(client: socket.socket) -> Callable[[], bool]:
    """Has a client say one byte more; returns whether nobody hears it any longer."""
    client.setblocking(False)

    def say_more() -> bool:
        try:
            client.send(b"a")
            return client.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    return say_more


@pytest.mark.parametrize("words", [GET[:-2], GET])
def test_a_client_that_trickles_loses_its_place(
    serve: Serve, connect: Connect, limit: Patch, words: bytes
) -> None:
    limit(PATIENCE=0.5)
    eventually(trickles(connect(serve(), words)), "it is cut off")


def test_a_client_that_does_not_read_loses_its_place_and_holds_nobody_up(
    serve: Serve, connect: Connect, limit: Patch
) -> None:
    limit(PATIENCE=0.5)
    port = serve()
    lazy = connect(port, GET.replace(b"/livez", b"/large"))
    assert lazy.recv(1) == b"H"
    files = open_files()
    assert get(port)[0] == 200
    eventually(lambda: open_files() < files, "it is cut off")
    with contextlib.suppress(ConnectionError):
        assert len(rest(lazy)) < len(LARGE)


# When there are more of them than places.


def test_whoever_has_had_a_place_longest_makes_room(
    serve: Serve, connect: Connect, limit: Patch
) -> None:
    limit(PLACES=3, TENURE=0.2, PATIENCE=LONG)
    port = serve()
    clients = [connect(port, words) for words in (GET[:-2], b"", GET)]
    eventually(lambda: held() == 3, "they have a place each")
    assert get(port)[0] == 200
    assert [is_open(client) for client in clients[:2]] == [False, True]
    assert get(port)[0] == 200, "the place that was left is free"
    assert is_open(clients[1])


# What it costs.


def test_those_who_ask_soon_after_each_other_are_sent_the_same_page(
    serve: Serve, limit: Patch
) -> None:
    limit(FRESH=LONG)
    serial = itertools.count()
    port = serve({"/a": lambda: Response(b"%d" % next(serial)), "/b": lambda: Response(b"b")})
    with ThreadPoolExecutor(4) as clients:
        assert {body for *_, body in clients.map(lambda _: get(port, "/a"), range(20))} == {b"0"}
    assert get(port, "/b")[2] == b"b"


def test_whoever_asks_later_is_sent_a_new_page(serve: Serve, limit: Patch) -> None:
    limit(FRESH=0.0)
    serial = itertools.count()
    port = serve({"/a": lambda: Response(b"%d" % next(serial))})
    eventually(lambda: get(port, "/a")[2] == b"3", "it is rendered again and again")


def test_a_page_that_costs_more_than_its_share_serves_for_longer(limit: Patch) -> None:
    limit(FRESH=0.0, SHARE=1e-9)
    serial = itertools.count()
    pages = Answers({"/a": lambda: Response(b"%d" % next(serial))}, only_for=None)
    request = h11.Request(method="GET", target="/a", headers=[("Host", "")])
    assert [bytes(pages.to(request))[-1:] for _ in "123"] == [b"0"] * 3


# When something fails.


def test_a_page_that_fails_is_said_once_and_the_others_are_served(
    serve: Serve, limit: Patch, log: list[Record]
) -> None:
    limit(FRESH=0.0)
    reasons = ["one", "one", "{another}", "{another}", "", "{another}"]

    def fail() -> Response:
        if reason := reasons.pop(0):
            raise ValueError(reason)
        return Response(b"well")

    port = serve({"/a": fail, "/b": lambda: Response(b"b")})
    log.clear()
    while reasons:
        status, _, body = get(port, "/a")
        assert (status == 200) is (body == b"well")
        assert b"one" not in body
        assert get(port, "/b")[0] == 200
    assert status == 500
    told = [repr(line["exception"].value) for line in log if line["exception"]]
    assert told == [f"ValueError({reason!r})" for reason in ("one", "{another}", "{another}")]
    assert {line["extra"]["event"] for line in log} == {"http"}


def test_without_a_file_descriptor_it_waits(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    port = serve()
    tried = threading.Event()
    accept = endpoint._Server._accept

    def notice(self: endpoint._Server) -> None:
        accept(self)
        tried.set()

    monkeypatch.setattr(endpoint._Server, "_accept", notice)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        os.close(free := os.dup(client.fileno()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                os.dup(client.fileno())
            client.connect(("127.0.0.1", port))
            assert tried.wait(PATIENCE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.settimeout(PATIENCE)
        client.sendall(GET)
        assert rest(client).endswith(b"ok\n")


def test_a_defect_costs_the_clients_and_not_the_endpoint(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, log: list[Record]
) -> None:
    port = serve()
    bystander = connect(port)
    with monkeypatch.context() as patch:
        patch.setattr(Answers, "to", lambda *_: 1 / 0)
        assert rest(connect(port, GET)) == b""
    assert rest(bystander) == b""
    assert get(port)[0] == 200
    assert "serving failed" in log[-1]["message"]


# The end.


def test_it_ends_at_once_whoever_is_connected(
    serve: Serve, opened: list[Endpoint], connect: Connect, limit: Patch
) -> None:
    limit(PLACES=4, PATIENCE=LONG, TENURE=LONG)
    port = serve()
    thread = server()
    words = [b"", GET[:-2], GET.replace(b"/livez", b"/large"), GET]
    clients = [connect(port, each) for each in words]
    assert rest(clients[3]).endswith(b"ok\n")
    eventually(lambda: held() == 4, "they have a place each")
    waiting = connect(port, GET)
    opened[0].close()
    assert not thread.is_alive()
    for client in (*clients, waiting):
        with contextlib.suppress(ConnectionError):
            rest(client)
    with pytest.raises(ConnectionError):
        connect(port)
    assert serve(port=port) == port, "a listener that is started again has the same port"
    assert get(port)[0] == 200
