"""Read-only pages over HTTP, which no client can use to disturb the process that they tell of.

One thread serves everybody. It waits until some connection is ready, does one small thing for it
(accepts, reads or writes what the kernel has at hand), and rests for nine times as long as that
kept a processor busy: a flood takes a tenth of one core, holds the interpreter for moments only,
and waits in the kernel's queue. There are ``PLACES`` places. A connection keeps its own for
``PATIENCE`` seconds in all, however lively it is; when all are taken, the one that has been there
longest makes room for the next, though not within its first ``TENURE`` seconds. Of a request the
head is read, at most ``HEAD`` bytes, and answered; what follows is thrown away.

The protocol is h11's. The places and the time are ours, for the servers that we tried do not bound
them: waitress counts idle seconds, so as many clients as it has places, each sending a byte now and
then, kept everybody else out for as long as we watched; the standard library's counts them too, and
has a thread for each connection. Neither bounds what it takes of the processor, which the threads
that do the work share with it.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
import threading
import time

import h11
from loguru import logger

from listener.telemetry.http.answers import SHARE, Answers, Routes, refusal

PLACES = 32
"""Connections served at once."""
QUEUE = 128
"""Connections that wait in the kernel for a place."""
PATIENCE = 5.0
"""Seconds for a connection, from its first moment to its last."""
TENURE = 1.0
"""Seconds for which a connection keeps its place even while others wait for one."""
HEAD = 8192
"""Bytes of a request's head."""
PAUSE = 0.1
"""Seconds until serving begins anew after a defect of ours."""

_CHUNK = 4096


class Endpoint:
    """Serves pages at an address, from :meth:`open` to :meth:`close`.

    Args:
        host: a name or an IP address.
        port: 0 for any that is free.
        routes: the pages.
    """

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        self._host = host
        self._port = port
        self._routes = routes
        self._server: _Server | None = None

    def open(self) -> str:
        """Begin to serve; an address that cannot be had is a warning.

        Returns:
            Where, as ``HOST:PORT``; empty: nowhere.
        """
        try:
            door = _listen(self._host, self._port)
        except (OSError, UnicodeError) as error:  # the latter: no name looks like that
            reason = getattr(error, "strerror", None) or str(error)
            logger.bind(event="http", error=reason).warning(
                "--http: nothing is served at {}: {}; name another HOST:PORT, or off",
                _written(self._host, self._port),
                reason,
            )
            return ""
        host, port = door.getsockname()[:2]
        # Only a name can lead a browser astray, and only to where strangers cannot reach: a page
        # elsewhere whose name is made to mean this address could read what is served here.
        local = ipaddress.ip_address(host).is_loopback
        answers = Answers(self._routes, only_for=self._host if local else None)
        self._server = _Server(door, answers)
        self._server.start()
        address = _written(host, port)
        logger.bind(event="http", address=address).info("serving at http://{}/", address)
        return address

    def close(self) -> None:
        """Serve no longer, whoever is connected."""
        if self._server is not None:
            self._server.stop()


def _listen(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # For each connection, waiting ones too: what the kernel keeps of what nobody has read.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HEAD)
        door.setblocking(False)
        door.bind(address)
        door.listen(QUEUE)
    except BaseException:
        door.close()
        raise
    return door


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Client:
    """A connection: first its request is read, then the answer sent, then its end awaited."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.since = time.monotonic()
        self.request: h11.Connection | None = h11.Connection(
            h11.SERVER, max_incomplete_event_size=HEAD
        )
        self.answer = memoryview(b"")


class _Server(threading.Thread):
    """The thread that serves everybody.

    Args:
        door: listens.
        answers: what is sent to whom.
    """

    def __init__(self, door: socket.socket, answers: Answers) -> None:
        super().__init__(name="http", daemon=True)
        self._door = door
        self._answers = answers
        self._stopping = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._clients: list[_Client] = []  # the first has been here longest
        self._used = 0.0

    def stop(self) -> None:
        """End at once; a page that is being rendered just now is waited for, but not long."""
        self._stopping.set()
        self._waker.close()
        self.join(0.5)

    def run(self) -> None:
        """Serve until the end."""
        self._selector.register(self._woken, selectors.EVENT_READ)
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:
                logger.bind(event="http").exception("serving failed, and begins anew")
                self._drop(*self._clients)
                self._stopping.wait(PAUSE)
        self._drop(*self._clients)
        self._selector.close()
        self._door.close()
        self._woken.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._make_room()):
            if key.fileobj is self._door:
                self._accept()
            elif key.data in self._clients:  # else it has made room for another just now
                self._attend(key.data)
            self._rest()

    def _make_room(self) -> float | None:
        """Part with those whose time is over, and see whether another may come in.

        Returns:
            The seconds until that changes by itself; None: it does not.
        """
        now = time.monotonic()
        self._drop(*[client for client in self._clients if client.since + PATIENCE <= now])
        eldest = self._clients[0].since if self._clients else now
        full = len(self._clients) >= PLACES and now < eldest + TENURE
        watched = self._door in self._selector.get_map()
        if full and watched:
            self._selector.unregister(self._door)
        elif not full and not watched:
            self._selector.register(self._door, selectors.EVENT_READ)
        return eldest + (TENURE if full else PATIENCE) - now if self._clients else None

    def _accept(self) -> None:
        try:
            connection, _ = self._door.accept()
        except OSError:
            return  # it is gone again, or there are no file descriptors left
        if len(self._clients) >= PLACES:
            self._drop(self._clients[0])
        connection.setblocking(False)
        client = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._clients.append(client)

    def _attend(self, client: _Client) -> None:
        try:
            if client.answer:
                self._send(client)
            elif received := client.socket.recv(_CHUNK):
                self._read(client, received)
            else:
                self._drop(client)
        except BlockingIOError:
            pass  # it was not ready after all
        except OSError:
            self._drop(client)

    def _read(self, client: _Client, received: bytes) -> None:
        if client.request is None:
            return  # more than a request's head
        client.request.receive_data(received)
        try:
            request = client.request.next_event()
        except h11.RemoteProtocolError as error:
            why = f"a request by HTTP/1.1 is served, with a head of at most {HEAD} bytes"
            client.answer = refusal(error.error_status_hint, why).whole
        else:
            if not isinstance(request, h11.Request):
                return  # there is more to come
            client.answer = self._answers.to(request)
        client.request = None
        self._selector.modify(client.socket, selectors.EVENT_WRITE, client)

    def _send(self, client: _Client) -> None:
        client.answer = client.answer[client.socket.send(client.answer) :]
        if not client.answer:
            client.socket.shutdown(socket.SHUT_WR)
            self._selector.modify(client.socket, selectors.EVENT_READ, client)

    def _drop(self, *clients: _Client) -> None:
        for client in clients:
            self._clients.remove(client)
            self._selector.unregister(client.socket)
            client.socket.close()

    def _rest(self) -> None:
        used = time.thread_time()
        self._stopping.wait((used - self._used) * (1 / SHARE - 1))
        self._used = used
