"""A host as the broker sees one: it says what a test says, in the words of the wire.

They stand here literally, for a test must not learn them from the code that it tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from listener.databases.nats.address import Broker
from listener.databases.nats.bus import Bus
from tests.support.process import PATIENCE
from tests.support.servers import PrivateNats

Message = dict[str, Any]


class RawHost:
    """One host.

    Args:
        nats: the broker.
        fleet: the name of the relays.
        name: of the host.
    """

    def __init__(self, nats: PrivateNats, fleet: str, name: str) -> None:
        self._fleet, self._name = fleet, name
        self._changed = threading.Condition()
        self.heard: list[Message] = []
        broker = Broker(servers=(nats.address,))
        self._bus = Bus(broker, name=name, inbox=f"_INBOX.{name}", lost=lambda _: None)
        for subject in (f"{fleet}.host.{name}", f"{fleet}.all"):
            self._bus.subscribe(subject, self._hear)

    def close(self) -> None:
        """Disconnect."""
        self._bus.close()

    def ask(self, *prefixes: str, expect: str = "") -> Message:
        """Ask a question, and wait for the answer."""
        return self._request(self._message("ask", prefixes, expect=expect))

    def name_interest(self, *prefixes: str) -> None:
        """Name an interest, and wait until it was taken."""
        message = self._message("interest", prefixes, adds=False)
        self._bus.publish((f"{self._fleet}.ask.{self._name}", message))
        self.await_heard(lambda m: m["kind"] == "ack", "an acknowledgement")

    def await_heard(self, condition: Callable[[Message], bool], what: str) -> Message:
        """The first message that meets the condition, once it has come."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((m for m in self.heard if condition(m)), None), PATIENCE
            )
        assert found is not None, f"never heard: {what}; but {self.heard}"
        return found

    def deleted(self) -> list[list[str]]:
        """What was announced so far."""
        with self._changed:
            return [message["ids"] for message in self.heard if message["kind"] == "deleted"]

    def _message(self, kind: str, prefixes: tuple[str, ...], **fields: object) -> bytes:
        whole = {"v": 1, "kind": kind, "nonce": "n", "prefixes": prefixes, **fields}
        return json.dumps(whole).encode()

    def _request(self, data: bytes) -> Message:
        subject = f"{self._fleet}.ask.{self._name}"
        answer: Message = json.loads(self._bus.request(subject, data, PATIENCE))
        return answer

    def _hear(self, subject: str, reply: str, data: bytes) -> None:  # noqa: ARG002
        with self._changed:
            self.heard.append(json.loads(data))
            self._changed.notify_all()
