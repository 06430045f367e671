"""A proxy that fails on cue, in front of an engine's socket or a database's port.

Bytes pass through untouched: a connection has one thread for each direction. `Proxy` knows nothing
of what they mean; what it does, it does to connections:

    with Proxy(("127.0.0.1", server.port)) as proxy:
        proxy.freeze()
        ...  # both ends think that the other has nothing to say
        proxy.thaw()

`FaultProxy` reads requests as well (head and body length). Responses it need not understand,
because HTTP/1.1 clients wait for one before they send the next request, so whatever comes back
belongs to the last request. Each request is recorded, then `hook` may name what happens to it:
nothing (`None`), or an `Action`.

    with FaultProxy("/run/docker.sock", listen=tmp_path / "p.sock") as proxy:
        proxy.hook = lambda request: cut() if request.method == "DELETE" else None
        client = docker.APIClient(base_url=proxy.host)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Self

Address = Path | tuple[str, int]

CHUNK = 65536
LAST_CHUNK = b"0\r\n\r\n"
LOOPBACK = ("127.0.0.1", 0)


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
        pieces: send these after `reply`, as they come, and close when there are no more.
        limit: close after so many bytes of the response.
    """

    hold: threading.Event | float | None = None
    hold_response: threading.Event | float | None = None
    reply: bytes | None = None
    pieces: Iterable[bytes] | None = None
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


def stream(pieces: Iterable[bytes]) -> Action:
    """Answer in the upstream's place by a stream: each piece goes out when it is there."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunks = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return Action(reply=head, pieces=chain(chunks, (LAST_CHUNK,)))


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


class Proxy(AbstractContextManager["Proxy"]):
    """A proxy that listens once it is made.

    Args:
        upstream: a socket's path (`unix://` may stand before it), or host and port.
        listen: the path of the socket to make, or host and port (0: any).
    """

    def __init__(self, upstream: str | tuple[str, int], *, listen: Address = LOOPBACK) -> None:
        self._upstream: Address = (
            Path(upstream.removeprefix("unix://")) if isinstance(upstream, str) else upstream
        )
        self._listen = listen
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._freeze_new = False
        self._closed = threading.Event()
        self.accept()

    @property
    def host(self) -> str:
        """Where to connect to, as the Docker SDK wants it."""
        if isinstance(self._listen, Path):
            return f"unix://{self._listen}"
        return f"tcp://{self._listen[0]}:{self._listen[1]}"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        assert not isinstance(self._listen, Path)
        return self._listen[1]

    def cut_all(self) -> None:
        """End every open connection at once."""
        for connection in self._open():
            connection.cut(reset=True)

    def truncate(self, limit: int) -> None:
        """End each open connection after so many more bytes of what upstream says on it."""
        for connection in self._open():
            connection.left = limit

    def freeze(self, *, new: bool = True) -> None:
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
        self._run(self._accept, self._listener)

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

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, name="proxy", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = self._connection(_prompt(client))
            if self._freeze_new:
                connection.flowing.clear()
            with self._lock:
                self._connections.add(connection)
            if self._closed.is_set():
                connection.cut()
            self._run(connection.serve)

    def _connection(self, client: socket.socket) -> _Connection:
        return _Connection(self, client)

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


class FaultProxy(Proxy):
    """A proxy for HTTP whose `hook` may choose what happens to each request.

    Args:
        upstream: a socket's path (`unix://` may stand before it), or host and port.
        listen: the path of the socket to make, or host and port (0: any).
    """

    def __init__(self, upstream: str | tuple[str, int], *, listen: Address = LOOPBACK) -> None:
        self.hook: Hook | None = None
        self._requests: list[Request] = []
        super().__init__(upstream, listen=listen)

    @property
    def requests(self) -> list[Request]:
        """Every request seen since the start or the last `clear`, in order."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests seen so far."""
        with self._lock:
            self._requests.clear()

    def cut_streams(self) -> None:
        """End the connections that are in the midst of the event stream."""
        for connection in self._open():
            if isinstance(connection, _HttpConnection) and connection.streaming:
                connection.cut(reset=True)

    def _connection(self, client: socket.socket) -> _Connection:
        return _HttpConnection(self, client, self._decide)

    def _decide(self, request: Request) -> Action:
        with self._lock:
            self._requests.append(request)
        hook = self.hook
        return (hook(request) if hook else None) or forward()


class _Connection:
    """One client's connection, and the one to the upstream that goes with it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.flowing = threading.Event()
        self.flowing.set()
        self.left: int | None = None
        self._proxy = proxy
        self._client = client
        self._upstream: socket.socket | None = None
        self._back: threading.Thread | None = None
        self._ended = threading.Event()
        self._reset = False

    def cut(self, *, reset: bool = False) -> None:
        """End it, from any thread: shut down, which wakes whoever waits; its thread closes.

        Args:
            reset: over TCP by a reset rather than a polite end.
        """
        self._reset |= reset and self._client.family == socket.AF_INET
        self._ended.set()
        self.flowing.set()
        with suppress(OSError):
            # The other direction would be told politely.
            self._client.shutdown(socket.SHUT_RD if self._reset else socket.SHUT_RDWR)
        if self._upstream is not None:
            with suppress(OSError):
                self._upstream.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Pass on what the client says, until it leaves or something cuts the connection."""
        try:
            with suppress(OSError):
                self._forth()
        finally:
            self.cut()
            if self._back is not None:
                self._back.join(0.1)
                with suppress(OSError):  # it still sends, to a client that does not read
                    if self._back.is_alive():
                        self._client.shutdown(socket.SHUT_RDWR)
                self._back.join()
            if self._reset:
                linger = struct.pack("ii", 1, 0)
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._client.close()
            if self._upstream is not None:
                self._upstream.close()
            self._proxy._forget(self)

    def _forth(self) -> None:
        upstream = self._connected()
        while data := self._client.recv(CHUNK):
            self._send(upstream, data)

    def _connected(self) -> socket.socket:
        if self._upstream is None:
            self._upstream = self._proxy._connect()
            self._back = threading.Thread(
                target=self._relay, args=(self._upstream,), name="proxy-back", daemon=True
            )
            self._back.start()
        return self._upstream

    def _relay(self, upstream: socket.socket) -> None:
        """Pass on what the upstream says as it comes."""
        try:
            while data := upstream.recv(CHUNK):
                self._answered(data)
                if self.left is not None:
                    data = data[: self.left]
                    self.left -= len(data)
                self._send(self._client, data)
                if self.left == 0:
                    break
        except OSError:
            pass
        finally:
            self.cut()

    def _answered(self, data: bytes) -> None:
        """The upstream has said this, and the client has not heard it yet."""

    def _send(self, to: socket.socket, data: bytes) -> None:
        self.flowing.wait()
        if self._ended.is_set():
            raise ConnectionAbortedError("cut")
        to.sendall(data)


class _HttpConnection(_Connection):
    """One client's requests, and what is decided about each."""

    def __init__(
        self, proxy: Proxy, client: socket.socket, decide: Callable[[Request], Action]
    ) -> None:
        super().__init__(proxy, client)
        self.streaming = False
        self._decide = decide
        self._action = self._begun = forward()

    def _forth(self) -> None:
        with self._client.makefile("rb") as reader:
            while self._one_request(reader):
                pass

    def _one_request(self, reader: BufferedReader) -> bool:
        lines = list(_head(reader))
        if not lines:
            return False
        method, path, _ = lines[0].decode("latin-1").split(" ", 2)
        pairs = (line.decode("latin-1").split(":", 1) for line in lines[1:-1])
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        request = Request(method, path, headers)
        action = self._decide(request)
        self._wait(action.hold)
        if action.reply is not None:
            for _ in _body(reader, headers):
                pass
            self.streaming = request.is_stream
            self._send(self._client, action.reply)
            for piece in action.pieces or ():
                self._send(self._client, piece)
            return bool(action.reply) and action.pieces is None
        # A copy, for `_answered` to tell this request from the last even if the hook repeats
        # itself.
        self._action, self.streaming = replace(action), request.is_stream
        upstream = self._connected()
        self._send(upstream, b"".join(lines))
        for part in _body(reader, headers):
            self._send(upstream, part)
        if "upgrade" in headers:  # from here on it is not HTTP any more
            while part := reader.read1(CHUNK):
                self._send(upstream, part)
            upstream.shutdown(socket.SHUT_WR)
            assert self._back is not None
            self._back.join()
            return False
        return True

    def _answered(self, data: bytes) -> None:
        if self._begun is not self._action:  # the response to the next request begins
            self._begun = self._action
            self.left = self._action.limit
            self._wait(self._action.hold_response)
        if data.endswith(LAST_CHUNK):
            self.streaming = False

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
