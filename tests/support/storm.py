"""A source of events that treats its subscribers as the daemon treats its own.

A subscriber has 1,024 slots. Once they are full whoever publishes waits 100 ms for it, on a real
engine in the midst of an operation, and then the event is dropped for that subscriber. A proxy puts
it in the place of the engine's own stream:

    storm = Storm()
    proxy.hook = lambda request: stream(storm.subscribe()) if request.is_stream else None
    storm.publish(b'{"Type": "container", …}')
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

SLOTS = 1024
PATIENCE = 0.1
"""Seconds."""


class Storm:
    """The source.

    Attributes:
        dropped: how many events some subscriber did not get.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._subscribers: list[queue.Queue[bytes]] = []

    @property
    def subscribers(self) -> int:
        """How many there are."""
        return len(self._subscribers)

    def subscribe(self) -> Iterator[bytes]:
        """What is published from now on, an event a line; an empty one ends it."""
        slots: queue.Queue[bytes] = queue.Queue(SLOTS)
        with self._lock:
            self._subscribers.append(slots)
        return self._follow(slots)

    def publish(self, event: bytes) -> None:
        """Give it to everyone, as the daemon does."""
        with self._lock:
            subscribers = list(self._subscribers)
        for slots in subscribers:
            try:
                slots.put(event, timeout=PATIENCE)
            except queue.Full:
                self.dropped += 1

    def close(self) -> None:
        """End every subscription."""
        self.publish(b"")

    def _follow(self, slots: queue.Queue[bytes]) -> Iterator[bytes]:
        try:
            while event := slots.get():
                yield event + b"\n"
        finally:
            with self._lock:
                self._subscribers.remove(slots)
