"""A relay that puts distance between a client and a server: whatever passes takes a while.

What comes while something else is on its way follows it, and does not wait until that has arrived.
It also counts round trips: how often a client spoke after it had been answered.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

from tests.support.proxy import Proxy, _Connection

_Sent = tuple[float, bytes] | None
"""What is on its way, and when it arrives; None: nothing more comes."""


class Distance(Proxy):
    """The relay.

    Args:
        upstream: host and port.
        seconds: for which each message is on its way, in either direction.

    Attributes:
        round_trips: so far, over all connections.
    """

    def __init__(self, upstream: tuple[str, int], *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.round_trips = 0
        super().__init__(upstream)

    def _connection(self, client: socket.socket) -> _Connection:
        return _Far(self, client)


class _Far(_Connection):
    """One connection through it."""

    def __init__(self, distance: Distance, client: socket.socket) -> None:
        super().__init__(distance, client)
        self._distance = distance
        self._was_answered = True
        self._ways: dict[socket.socket, tuple[SimpleQueue[_Sent], threading.Thread]] = {}

    def cut(self, *, reset: bool = False) -> None:
        """End it, once what is on its way has arrived."""
        for way, thread in tuple(self._ways.values()):
            way.put(None)
            thread.join(2 * self._distance.seconds)
        super().cut(reset=reset)

    def _send(self, to: socket.socket, data: bytes) -> None:
        is_question = to is not self._client
        self._distance.round_trips += is_question and self._was_answered
        self._was_answered = not is_question
        if to not in self._ways:
            way: SimpleQueue[_Sent] = SimpleQueue()
            thread = threading.Thread(target=self._deliver, args=(to, way), daemon=True)
            self._ways[to] = way, thread
            thread.start()
        self._ways[to][0].put((time.monotonic() + self._distance.seconds, data))

    def _deliver(self, to: socket.socket, way: SimpleQueue[_Sent]) -> None:
        with suppress(OSError):
            while (sent := way.get()) is not None:
                arrives, data = sent
                time.sleep(max(0.0, arrives - time.monotonic()))
                super()._send(to, data)
