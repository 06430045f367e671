"""A relay that puts distance between a client and a server: whatever passes takes a while.

It also counts round trips: how often a client spoke after it had been answered.
"""

from __future__ import annotations

import socket
import time

from tests.support.proxy import Proxy, _Connection


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

    def _send(self, to: socket.socket, data: bytes) -> None:
        is_question = to is not self._client
        self._distance.round_trips += is_question and self._was_answered
        self._was_answered = not is_question
        time.sleep(self._distance.seconds)
        super()._send(to, data)
