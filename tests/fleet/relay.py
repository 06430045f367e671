"""A relay that does as a test tells it: it answers as the wire has it, or lies, or is silent."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import Any

from listener.core.resources import prefix_of
from listener.databases.nats import wire
from listener.databases.nats.address import Broker
from listener.databases.nats.bus import Bus
from tests.support.servers import PrivateNats

HEARD_WITHIN = 30.0


class ScriptedRelay:
    """One relay, on one connection.

    Args:
        server: the broker.
        fleet: its name.
        relay: what it calls itself.

    Attributes:
        rows: the ids in its database.
        deleted: the ids that it tells of with an answer.
        identity: of its database.
        runs: which run of it.
        generation: of its answers.
        any: its number.
        within: over which hosts spread.
        reading: why it hears nothing.
        acknowledges: whether it does.
        lie: makes of an answer what is sent instead; None: nothing is.
        questions: what it was asked.
        interests: what it was told.
    """

    def __init__(self, server: PrivateNats, fleet: str, relay: str = "one") -> None:
        self.name, self.relay = fleet, relay
        self.rows: set[str] = set()
        self.deleted: set[str] = set()
        self.kind, self.identity = "postgresql", "public 1/1 database 2 table 3 collation 4"
        self.runs = ""
        self.generation = self.any = 0
        self.within = 0.0
        self.reading = ""
        self.acknowledges = True
        self.lie: Callable[[bytes], bytes | None] = lambda answer: answer
        self.questions: queue.SimpleQueue[wire.Question] = queue.SimpleQueue()
        self.interests: queue.SimpleQueue[wire.Interest] = queue.SimpleQueue()
        self._subjects = wire.Subjects(fleet)
        self._heard: queue.SimpleQueue[tuple[str, str, bytes] | None] = queue.SimpleQueue()
        broker = Broker(servers=(server.address,))
        self.bus = Bus(broker, name="a scripted relay", lost=lambda _: None)
        self.bus.subscribe(self._subjects.questions, lambda *heard: self._heard.put(heard))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be gone."""
        self._heard.put(None)
        self._thread.join()
        self.bus.close()

    def beat(self) -> None:
        """Say that it is there."""
        beat = wire.Heartbeat(
            self.relay, self.kind, self.identity, self.runs, self.any, self.within, self.reading
        )
        self.bus.publish((self._subjects.heartbeats, wire.encode(beat)))

    def announce(self, host: str, *ids: str, torn_down: bool = False) -> None:
        """Tell a host of deletions."""
        deleted = wire.Deleted(self.relay, frozenset(ids), torn_down)
        self.bus.publish((self._subjects.host(host), wire.encode(deleted)))

    def acknowledge(self, host: str, interest: wire.Interest) -> None:
        """Tell a host that its interest was taken."""
        taken = wire.Acknowledged(interest.nonce, self.relay, self.any)
        self.bus.publish((self._subjects.host(host), wire.encode(taken)))

    def _serve(self) -> None:
        while (heard := self._heard.get()) is not None:
            subject, reply, data = heard
            host = self._subjects.asked_by(subject)
            message = wire.from_host(data)
            if isinstance(message, wire.Interest):
                self.interests.put(message)
                if self.acknowledges:
                    self.acknowledge(host, message)
            else:
                self.questions.put(message)
                answer = self.lie(wire.encode(self._answer(message)))
                if answer is not None:
                    self.bus.publish((wire.Subjects.inbox_of(host, reply), answer))

    def _answer(self, question: wire.Question) -> wire.Reply:
        def asked(ids: set[str]) -> frozenset[str]:
            return frozenset(id_ for id_ in ids if prefix_of(id_) in question.prefixes)

        return wire.Reply(
            nonce=question.nonce,
            relay=self.relay,
            identity=self.identity,
            runs=self.runs,
            changed=question.expect not in ("", self.identity),
            kind=self.kind,
            generation=self.generation,
            position=0,
            behind="",
            no_status="",
            prefixes=question.prefixes,
            ids=asked(self.rows),
            deleted=asked(self.deleted),
        )


def changed(**fields: Any) -> Callable[[bytes], bytes]:
    """A lie that replaces fields of an answer; None leaves one out."""

    def lie(answer: bytes) -> bytes:
        said = json.loads(answer) | fields
        return json.dumps({name: v for name, v in said.items() if v is not None}).encode()

    return lie
