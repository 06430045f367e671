"""A wire to a server that fails on cue: bytes pass untouched until they are not to.

A connection has one thread for each direction. What the wire does it does to all connections:

    with Wire(("127.0.0.1", server.port)) as wire:
        wire.freeze()
        ...  # both ends think that the other has nothing to say
        wire.thaw()
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import AbstractContextManager, suppress
from typing import Self

CHUNK = 65536


class Wire(AbstractContextManager["Wire"]):
    """A port of the loopback that leads to another; it is open once this is made.

    Args:
        upstream: host and port.
        host: where to listen.
    """

    def __init__(self, upstream: tuple[str, int], host: str = "127.0.0.1") -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="wire-accept", daemon=True)]
        self._threads[0].start()

    def freeze(self) -> None:
        """Pass nothing, on new connections either; none is closed."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything flow again, what was held first."""
        self._flowing.set()

    def cut(self) -> None:
        """End every open connection at once."""
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def refuse(self, refusing: bool = True) -> None:
        """End new connections as they come; open ones stay."""
        self._refusing = refusing

    def close(self) -> None:
        """End everything."""
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close would not
        self.cut()
        self.thaw()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __enter__(self) -> Self:
        """Already open."""
        return self

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            thread = threading.Thread(
                target=self._serve, args=(client,), name="wire-forth", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            with server:
                ends = {client, server}
                for end in ends:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._ends |= ends
                back = threading.Thread(
                    target=self._pass, args=(server, client), name="wire-back", daemon=True
                )
                back.start()
                self._pass(client, server)
                back.join()
                with self._lock:
                    self._ends -= ends

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._flowing.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
