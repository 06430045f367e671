"""The table of topologies behind a relay: asked by a message, answered by another.

The answer is as old as our own question: whatever happened on the way, the relay asks its database
only after a question has arrived. One that is late, or to another question, or lacks anything is no
answer (:mod:`~listener.databases.nats.wire`), nor is any while two relays under this name serve two
databases. Where no relay is there the broker says so at once.

Who asks meanwhile shares the next question.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from listener.core.evidence import Answer
from listener.databases.base import Inspected, Topologies
from listener.databases.feed import Feed, Interest
from listener.databases.identity import same_table
from listener.databases.nats import wire
from listener.databases.nats.address import Address
from listener.databases.nats.bus import BusError, NobodyListens, Unanswered
from listener.databases.nats.feed import NatsFeed
from listener.databases.nats.line import Line
from listener.databases.server import ServerTopologies
from listener.databases.shared import Shared
from listener.errors import NoAnswer

ANSWER_TIMEOUT = 4.0
"""Seconds until an answer that does not come is given up. With one relay of two frozen, every other
question gets none, and another has to be answered within the five seconds that are an outage."""
MOST_RELAYS = 100
"""Of so many it is known how they counted; with one more, the oldest is forgotten."""


class NatsTopologies(Topologies):
    """The table behind the relays of one name.

    Args:
        address: where they are.
        allow_replica: take their word for a database that may be behind.
        patience: whole seconds after which a broker or a relay that is silent is given up, if that
            is sooner.
        clock: seconds, monotonic.
    """

    kind = "relay"
    may_refuse_push = False
    push_takes = "has no triggers of its own; give the URL of the database that it asks"
    proves: ClassVar = ServerTopologies.proves

    def __init__(
        self,
        address: Address,
        *,
        allow_replica: bool = False,
        patience: float = ANSWER_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = Line(address, patience, clock)
        super().__init__(self._line.name, f"nats/{address.name}", self._line.place, clock)
        self._allow_replica = allow_replica
        self._timeout = min(ANSWER_TIMEOUT, patience)
        self._shared = Shared(self._ask)
        self._feed: NatsFeed | None = None
        self._expected = ""
        self._told: dict[str, int] = {}  # by relay, its generation
        self._changes = 0

    @property
    def refused(self) -> int:
        """How many messages of relays were none to be believed."""
        return self._line.refused

    def same_table(self, before: str, now: str, watched: bool) -> bool:
        """As that kind of database tells its tables apart which the answers are from."""
        (kind, _, old), (kind_now, _, new) = before.partition(" "), now.partition(" ")
        return kind == kind_now and same_table(kind, old, new, watched=watched)

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    def ask(self, prefixes: Iterable[str]) -> Answer:
        """Which rows begin with any of these prefixes; several who ask at once share a message.

        Raises:
            NoAnswer: there is none that can be trusted; it says why and what to do.
        """
        return self._shared.ask(prefixes)

    def inspect(self) -> Inspected:
        """What a relay answers to a question about nothing.

        Raises:
            NoAnswer: there is no answer that can be trusted.
        """
        answer = self.ask(())
        return Inspected(answer.identity, answer.behind.removeprefix(f"{self.name} "))

    def push(
        self,
        *,
        look_every: float,  # noqa: ARG002
        check_every: float,  # noqa: ARG002
        interest: Interest | None = None,
        precise: bool = False,  # noqa: ARG002
    ) -> Feed:
        """The feed of what relays announce to this host."""
        self._feed = NatsFeed(self._line, interest)
        return self._feed

    def _ask(self, prefixes: Iterable[str]) -> Answer:
        asked = [(self._clock(), self._reply(part)) for part in wire.in_messages(prefixes)]
        replies = [reply for _, reply in asked]
        at, first = asked[0]
        if any((r.kind, r.identity) != (first.kind, first.identity) for r in replies):
            raise self.no_answer("put another table in place while it was asked")
        if why := self._line.relays.conflict(self._clock(), replies):
            raise NoAnswer(f"--database-url: {why}")
        for sent, reply in asked:
            setbacks = self._note_position(reply.position, sent)
        self._expected = first.identity
        if self._feed is not None:
            self._feed.report(_all(reply.deleted for reply in replies))
        return Answer(
            prefixes=_all(reply.prefixes for reply in replies),
            ids=_all(reply.ids for reply in replies),
            at=at,
            identity=f"{first.kind} {first.identity}",
            generation=self._changes + setbacks,
            position=first.position,
            behind="" if self._allow_replica else self._said(reply.behind for reply in replies),
            deployed=_all(reply.deployed for reply in replies),
            torn_down=_all(reply.torn_down for reply in replies),
            no_status=self._said(reply.no_status for reply in replies),
        )

    def _said(self, sentences: Iterable[str]) -> str:
        """The first that is not empty, as one of the relay."""
        said = next(filter(None, sentences), "")
        return f"{self.name} says that {said}" if said else ""

    def _reply(self, prefixes: frozenset[str]) -> wire.Reply:
        """What a relay answers about these.

        Raises:
            NoAnswer: none does, it refuses, or its answer is not to be believed.
        """
        line, bus = self._line, self._line.connected()
        question = wire.Question(secrets.token_hex(8), prefixes, self._expected)
        data = wire.encode(question)
        try:
            said = bus.request(line.subjects.ask(line.host), data, self._timeout)
            answer = wire.answer_to(question, said)
        except NobodyListens:
            raise line.no_relay() from None
        except Unanswered as error:
            raise self.no_answer(str(error)) from None
        except BusError as error:
            raise line.broken(error) from error
        except wire.Malformed as error:
            raise line.refuse(error) from error
        if isinstance(answer, wire.Refusal):
            aspect = answer.aspect if answer.aspect in self.proves else "reachable"
            why = answer.refused.removeprefix("--database-url: ")
            raise self.no_answer(f"gave no answer: {why}", aspect)
        before = self._told.pop(answer.relay, None)
        self._told[answer.relay] = answer.generation
        if before is not None:
            self._changes += before != answer.generation
        elif self._expected:  # another server may be behind it, made of the same image
            same = same_table(answer.kind, self._expected, answer.identity, watched=False)
            self._changes += not same
        if len(self._told) > MOST_RELAYS:
            del self._told[next(iter(self._told))]
        return answer


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
