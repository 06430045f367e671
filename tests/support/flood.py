"""A thousand bad clients in a process of their own, as nice as can be, and only on loopback.

The child keeps that many connections open, or in the making, and a new one takes the place of each
that ends. It is bounded in what it opens and sends in a second, for it is to burden the server and
not the processors that they share.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import select
import selectors
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

CLIENTS = 1000
TICK = 0.02
"""Seconds from one look at the clients to the next."""
MOST = {"opened": 50, "sent": 200}
"""In one tick."""
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def once(words: bytes) -> Iterator[bytes]:
    """Says this and no more."""
    yield words


def trickle() -> Iterator[bytes]:
    """Says a byte now and then, without an end."""
    yield GET[:-2] % b"/"
    while True:
        yield b"a"


def swell() -> Iterator[bytes]:
    """Says ten million bytes of a head."""
    yield b"GET / HTTP/1.1\r\nX: "
    for _ in range(160):
        yield b"a" * 65536


def noise() -> Iterator[bytes]:
    """Says anything."""
    for _ in range(20):
        yield random.randbytes(random.randrange(1, 2000))


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "asks": lambda: once(GET % b"/livez"),
    "is silent": lambda: once(b""),
    "asks for what is rendered": lambda: once(GET % b"/status.json"),
    "trickles": trickle,
    "has a long head": swell,
    "makes noise": noise,
    "wants TLS": lambda: once(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500)),
    "asks for what there is not": lambda: once(GET % b"/no"),
}
EAGER = tuple(kind for kind in KINDS if kind.startswith("asks"))
"""Those that a server is soon done with, so that it can be asked again."""


class Flood(AbstractContextManager["Flood"]):
    """The child; it does nothing until it is told to.

    Args:
        port: of the server, on 127.0.0.1.
        kinds: of clients.
    """

    def __init__(self, port: int, kinds: Iterable[str] = KINDS) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", __file__, str(port), *kinds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @contextmanager
    def on(self) -> Iterator[None]:
        """Flood the server, from when a thousand have come until the end."""
        self._say()
        yield
        self._say()

    def end(self) -> dict[str, int]:
        """End it; by kind how many clients there were, and by answer how many got one."""
        told, _ = self._child.communicate()
        counts: dict[str, int] = json.loads(told.splitlines()[-1])
        return counts

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def _say(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("\n")
        assert self._child.stdout.readline(), "the flood has ended"


class Clients:
    """All connections of the child."""

    def __init__(self, port: int, kinds: Iterable[str]) -> None:
        self._port = port
        self._kinds = itertools.cycle(kinds)
        self._words: dict[socket.socket, Iterator[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self.counts = Counter[str]()

    def tick(self) -> int:
        """Do what is to be done, within bounds; returns how many have come anew."""
        new = min(MOST["opened"], CLIENTS - len(self._words))
        for _ in range(new):
            self._open()
        ready = self._selector.select(0)
        random.shuffle(ready)
        for key, events in ready[: MOST["sent"]]:
            client = key.fileobj
            assert isinstance(client, socket.socket)
            try:
                if events & selectors.EVENT_READ:
                    self._hear(client)
                else:
                    self._speak(client)
            except OSError as error:
                self.counts[errno.errorcode[error.errno or 0]] += 1
                self._close(client)
        return new

    def close(self) -> None:
        """All of them go."""
        for client in [*self._words]:
            self._close(client)

    def _open(self) -> None:
        kind = next(self._kinds)
        self.counts[kind] += 1
        client = socket.socket()
        client.setblocking(False)
        with suppress(BlockingIOError):
            client.connect(("127.0.0.1", self._port))
        self._words[client] = KINDS[kind]()
        self._selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _speak(self, client: socket.socket) -> None:
        words = next(self._words[client], b"")
        if words:
            client.send(words)
        else:
            self._selector.modify(client, selectors.EVENT_READ)

    def _hear(self, client: socket.socket) -> None:
        if heard := client.recv(65536):
            self.counts[heard[:12].decode("latin-1")] += 1
        else:
            self.counts["ended"] += 1
            self._close(client)

    def _close(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        client.close()
        del self._words[client]


def serve(port: int, kinds: Iterable[str]) -> None:
    """The child: each line on standard input turns the flood on or off, until there is no more."""
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * CLIENTS), most))
    clients = Clients(port, kinds)
    while sys.stdin.readline():
        missing = CLIENTS
        while not select.select([sys.stdin], [], [], TICK)[0]:
            opened = clients.tick()
            if 0 < missing <= opened:
                print(flush=True)
            missing -= opened
        sys.stdin.readline()
        clients.close()
        print(flush=True)
    print(json.dumps(clients.counts), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
