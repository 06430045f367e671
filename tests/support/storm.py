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
import time
from collections.abc import Generator

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

    def subscribe(self) -> Generator[bytes, None, None]:
        """What is published from now on, an event a line; an empty one ends it."""
        slots: queue.Queue[bytes] = queue.Queue(SLOTS)
        with self._lock:
            self._subscribers.append(slots)
        return self._follow(slots)

    def publish(self, event: bytes) -> None:
        """Give it to everyone, as the daemon does: it waits for all of them at once."""
        with self._lock:
            subscribers = list(self._subscribers)
        deadline = time.monotonic() + PATIENCE
        late = [slots for slots in subscribers if not _offer(slots, event, 0.0)]
        for slots in late:
            if not _offer(slots, event, max(0.0, deadline - time.monotonic())):
                with self._lock:
                    self.dropped += 1

    def close(self) -> None:
        """End every subscription."""
        self.publish(b"")

    def _follow(self, slots: queue.Queue[bytes]) -> Generator[bytes, None, None]:
        try:
            while event := slots.get():
                yield event + b"\n"
        finally:
            with self._lock:
                self._subscribers.remove(slots)


def _offer(slots: queue.Queue[bytes], event: bytes, patience: float) -> bool:
    try:
        slots.put(event, timeout=patience)
    except queue.Full:
        return False
    return True
