"""One of the relay's connections to the broker, kept by the supervisor as a feed's is.

Messages to be published wait for the thread that follows the connection, which sends all that have
gathered at once: whoever has one is not held up, and may be the connection's own thread. What waits
when the connection is lost is lost with it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from listener.databases.nats.address import Broker
from listener.databases.nats.bus import Bus, BusError, Heard
from listener.errors import NoAnswer


class Subscription(NamedTuple):
    """What is to be heard.

    Attributes:
        subject: may have wildcards.
        heard: takes the messages, and returns at once.
        queue: of those who subscribe under this name, one takes each message.
    """

    subject: str
    heard: Heard
    queue: str = ""


class Connection:
    """A connection that is made anew as often as it takes.

    Args:
        option: that names the broker.
        broker: where it is, and how to log in.
        name: what the broker calls the connection.
        subscriptions: what is heard.
        writes: a subject of the kind that this user has to write to, which nobody hears. Of what a
            user may not write the broker only says so, some moments later.
    """

    def __init__(
        self,
        *,
        option: str,
        broker: Broker,
        name: str,
        subscriptions: Sequence[Subscription],
        writes: str,
    ) -> None:
        self.broker = broker
        self._name = name
        self._who = f"{option}: the NATS broker at {', '.join(broker.servers)}"
        self._subscriptions, self._writes = subscriptions, writes
        self._changed = threading.Condition()
        self._bus: Bus | None = None
        self._outbox: list[tuple[str, bytes]] = []
        self._lost = ""

    def send(self, *messages: tuple[str, bytes]) -> None:
        """Have messages published, each with its subject before it; from any thread.

        Without a connection they are lost.
        """
        with self._changed:
            if self._bus is not None:
                self._outbox += messages
                self._changed.notify()

    def connect(self) -> None:
        """Connect, see that we may write, and subscribe.

        Raises:
            NoAnswer: the broker cannot be reached, or does not allow it; or a file with
                certificates or credentials cannot be used.
        """
        self._lost = ""
        try:
            bus = Bus(self.broker, name=self._name, lost=self._lose)
        except BusError as error:
            raise self._no_answer(error) from error
        try:
            bus.publish((self._writes, b""), until_taken=True)
            for subject, heard, queue in self._subscriptions:
                bus.subscribe(subject, heard, queue=queue)
        except BusError as error:
            bus.close()
            raise self._no_answer(error) from error
        with self._changed:
            self._bus, self._outbox = bus, []

    def follow(self, stop: threading.Event) -> None:
        """Publish what is to be, until ``stop`` is set and nothing waits any more.

        Raises:
            NoAnswer: the connection is lost.
        """
        bus = self._bus
        assert bus is not None  # noqa: S101 - connect() comes first
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._outbox or self._lost or stop.is_set())
                    messages, self._outbox = self._outbox, []
                if self._lost:
                    raise self._no_answer(self._lost)
                if not messages:
                    return
                bus.publish(*messages)
        except BusError as error:
            raise self._no_answer(error) from error
        finally:
            with self._changed:
                self._bus = None
            bus.close()

    def wake(self) -> None:
        """Have :meth:`follow` look at its ``stop``; from any thread."""
        with self._changed:
            self._changed.notify_all()

    def end(self, why: str) -> None:
        """End the connection, if there is one, by a NoAnswer that says why; from any thread.

        Args:
            why: a predicate of the broker.
        """
        if self._bus is not None:
            self._lose(why)

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost = why
            self._changed.notify_all()

    def _no_answer(self, why: object) -> NoAnswer:
        return NoAnswer(f"{self._who} {why}")
