"""A proxy in front of an engine that breaks on cue.

Bytes pass through untouched: a connection has one thread for each direction. Only requests are
read (head and body length), because HTTP/1.1 clients wait for a response before they send the next
request, so whatever comes back belongs to the last request and need not be understood. Each request
is recorded, then `hook` may name what happens to it: nothing (`None`), or an `Action`.

    with FaultProxy("/run/docker.sock", listen=tmp_path / "p.sock") as proxy:
        proxy.hook = lambda request: cut() if request.method == "DELETE" else None
        client = docker.APIClient(base_url=proxy.host)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path
from typing import Self

Address = Path | tuple[str, int]

CHUNK = 65536
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request as the client sent it; `at` is on the monotonic clock, headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def is_stream(self) -> bool:
        """Whether the response is the event stream."""
        return self.path.split("?")[0].endswith("/events")


@dataclass(frozen=True)
class Action:
    """What happens to a request; made by the functions below, which may be combined by `replace`.

    Attributes:
        hold: wait for this event, or so many seconds, before anything else.
        hold_response: the same, between the upstream's response and the client.
        reply: send these bytes, upstream is not asked; if empty, close instead.
        limit: close after so many bytes of the response.
    """

    hold: threading.Event | float | None = None
    hold_response: threading.Event | float | None = None
    reply: bytes | None = None
    limit: int | None = None


Hook = Callable[[Request], Action | None]


def forward() -> Action:
    """Pass it on, as without a hook."""
    return Action()


def answer(status: int, body: bytes | str = b"", content_type: str = "application/json") -> Action:
    """Answer in the upstream's place."""
    content = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
    return Action(reply=f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


def cut() -> Action:
    """Close the connection without an answer; upstream never sees the request."""
    return Action(reply=b"")


def stall(event: threading.Event, *, response: bool = False) -> Action:
    """Hold the request (or what upstream answered) until the event is set."""
    return Action(hold_response=event) if response else Action(hold=event)


def delay(seconds: float, *, response: bool = False) -> Action:
    """Hold the request (or what upstream answered) for a while."""
    return Action(hold_response=seconds) if response else Action(hold=seconds)


def truncate(limit: int) -> Action:
    """Upstream does its work; close after so many bytes of its response, 0 for none."""
    return Action(limit=limit)


class FaultProxy(AbstractContextManager["FaultProxy"]):
    """A proxy that listens once it is made; `host` is its address as the Docker SDK wants it.

    Args:
        upstream: the socket's path (`unix://` may stand before it), or host and port.
        listen: the path of the socket to make, or host and port (0: any).
    """

    def __init__(self, upstream: str | tuple[str, int], *, listen: Address) -> None:
        self.hook: Hook | None = None
        self._upstream: Address = (
            Path(upstream.removeprefix("unix://")) if isinstance(upstream, str) else upstream
        )
        self._listen = listen
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._freeze_new = False
        self._closed = threading.Event()
        self.accept()

    @property
    def host(self) -> str:
        """Where to connect to."""
        if isinstance(self._listen, Path):
            return f"unix://{self._listen}"
        return f"tcp://{self._listen[0]}:{self._listen[1]}"

    @property
    def requests(self) -> list[Request]:
        """Every request seen since the start or the last `clear`, in order."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests seen so far."""
        with self._lock:
            self._requests.clear()

    def cut_all(self) -> None:
        """End every open connection at once."""
        for connection in self._open():
            connection.cut()

    def cut_streams(self) -> None:
        """End the connections that are in the midst of the event stream."""
        for connection in self._open():
            if connection.streaming:
                connection.cut()

    def freeze(self, *, new: bool = False) -> None:
        """Let open connections (with `new` also later ones) pass nothing, without closing them."""
        self._freeze_new = new
        for connection in self._open():
            connection.flowing.clear()

    def thaw(self) -> None:
        """Let everything flow again, what was held first."""
        self._freeze_new = False
        for connection in self._open():
            connection.flowing.set()

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(); close would not
            listener.close()

    def accept(self) -> None:
        """Listen (again)."""
        if self._listener is not None:
            return
        if isinstance(self._listen, Path):
            self._listen.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._listen))
        else:
            self._listener = socket.create_server(self._listen)
            self._listen = (self._listen[0], self._listener.getsockname()[1])
        self._listener.listen(128)
        threading.Thread(
            target=self._accept, args=(self._listener,), name="proxy-accept", daemon=True
        ).start()

    def close(self) -> None:
        """Stop listening, end every connection, and let go of what is held."""
        self._closed.set()
        self.refuse()
        self.cut_all()
        if isinstance(self._listen, Path):
            self._listen.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Already listening."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _open(self) -> list[_Connection]:
        with self._lock:
            return list(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, _prompt(client))
            if self._freeze_new:
                connection.flowing.clear()
            with self._lock:
                self._connections.add(connection)
            if self._closed.is_set():
                connection.cut()
            threading.Thread(target=connection.serve, name="proxy-request", daemon=True).start()

    def _decide(self, request: Request) -> Action:
        with self._lock:
            self._requests.append(request)
        hook = self.hook
        return (hook(request) if hook else None) or forward()

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, Path):
            upstream = socket.socket(socket.AF_UNIX)
            try:
                upstream.connect(str(self._upstream))
            except OSError:
                upstream.close()
                raise
            return upstream
        return _prompt(socket.create_connection(self._upstream))

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """One client's connection, and the one to the upstream that goes with it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.flowing = threading.Event()
        self.flowing.set()
        self.streaming = False
        self._proxy = proxy
        self._client = client
        self._upstream: socket.socket | None = None
        self._responses: threading.Thread | None = None
        self._action = forward()
        self._ended = threading.Event()

    def cut(self) -> None:
        """End it, from any thread: shut down, which wakes whoever waits; its thread closes."""
        self._ended.set()
        self.flowing.set()
        for end in (self._client, self._upstream):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Read requests until the client leaves or something cuts the connection."""
        try:
            with suppress(OSError), self._client.makefile("rb") as reader:
                while self._one_request(reader):
                    pass
        finally:
            self.cut()
            if self._responses is not None:
                self._responses.join()
            if self._client.family == socket.AF_INET:  # a reset rather than a polite end
                linger = struct.pack("ii", 1, 0)
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._client.close()
            if self._upstream is not None:
                self._upstream.close()
            self._proxy._forget(self)

    def _one_request(self, reader: BufferedReader) -> bool:
        lines = list(_head(reader))
        if not lines:
            return False
        method, path, _ = lines[0].decode("latin-1").split(" ", 2)
        pairs = (line.decode("latin-1").split(":", 1) for line in lines[1:-1])
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        request = Request(method, path, headers)
        action = self._proxy._decide(request)
        self._wait(action.hold)
        if action.reply is not None:
            for _ in _body(reader, headers):
                pass
            self._send(self._client, action.reply)
            return action.reply != b""
        # A copy, for `_relay` to tell this request from the last even if the hook repeats itself.
        self._action, self.streaming = replace(action), request.is_stream
        upstream = self._connected()
        self._send(upstream, b"".join(lines))
        for part in _body(reader, headers):
            self._send(upstream, part)
        if "upgrade" in headers:  # from here on it is not HTTP any more
            while part := reader.read1(CHUNK):
                self._send(upstream, part)
            upstream.shutdown(socket.SHUT_WR)
            assert self._responses is not None
            self._responses.join()
            return False
        return True

    def _connected(self) -> socket.socket:
        if self._upstream is None:
            self._upstream = self._proxy._connect()
            self._responses = threading.Thread(
                target=self._relay, args=(self._upstream,), name="proxy-response", daemon=True
            )
            self._responses.start()
        return self._upstream

    def _relay(self, upstream: socket.socket) -> None:
        """Pass on what the upstream says as it comes."""
        action, left = None, 0
        try:
            while data := upstream.recv(CHUNK):
                if action is not self._action:  # the response to the next request begins
                    action = self._action
                    left = action.limit or 0
                    self._wait(action.hold_response)
                if action.limit is not None:
                    data, left = data[:left], left - len(data)
                self._send(self._client, data)
                if action.limit is not None and left <= 0:
                    break
                if data.endswith(LAST_CHUNK):
                    self.streaming = False
        except OSError:
            pass
        finally:
            self.cut()

    def _send(self, to: socket.socket, data: bytes) -> None:
        self.flowing.wait()
        if self._ended.is_set():
            raise ConnectionAbortedError("cut")
        to.sendall(data)

    def _wait(self, until: threading.Event | float | None) -> None:
        if isinstance(until, threading.Event):
            while not (until.wait(0.01) or self._ended.is_set()):
                pass
        elif until is not None:
            self._ended.wait(until)


def _prompt(end: socket.socket) -> socket.socket:
    """Send at once what is to be sent."""
    if end.family == socket.AF_INET:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def _head(reader: BufferedReader) -> Iterator[bytes]:
    """The lines of a request's head as they are, with the empty one; nothing at the end."""
    while line := reader.readline():
        yield line
        if line == b"\r\n":
            return


def _body(reader: BufferedReader, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The body of a request as it is, in parts."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        size = -1
        while size != 0:
            yield (line := reader.readline())
            size = int(line.split(b";")[0], 16)
            yield from _exactly(reader, size + 2)
    else:
        yield from _exactly(reader, int(headers.get("content-length", "0")))


def _exactly(reader: BufferedReader, size: int) -> Iterator[bytes]:
    while size > 0:
        part = reader.read1(min(size, CHUNK))
        if not part:
            raise ConnectionResetError("the client left in the midst of a request")
        size -= len(part)
        yield part
