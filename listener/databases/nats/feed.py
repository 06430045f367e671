"""The feed of what relays announce to this host.

It hears once a relay has acknowledged what this host wants to hear of
(:mod:`~listener.databases.nats.interests`). Heartbeats prove from then on that announcements come
through. Without any for fifteen seconds, or when no relay that is there has heard from its database
for five, the feed is lost, and stays so until one can hear again.

What comes in is put into a queue by the connection's thread; the feed's own thread takes it from
there. What an answer reports as deleted is told at once, by the thread that has asked: it has to be
known before the answer is judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

from listener.core.evidence import OUTAGE
from listener.core.once import Once
from listener.databases.feed import Feed, Hint, Interest
from listener.databases.nats import wire
from listener.databases.nats.bus import Bus, BusError
from listener.databases.nats.interests import Interests
from listener.databases.nats.line import Line
from listener.errors import NoAnswer

ACKNOWLEDGED_WITHIN = 3.0
"""Seconds in which a relay that is there has acknowledged an interest."""
LOOK_EVERY = 1.0
"""Seconds between two looks at what is on this host."""
MOST_REPORTED = 50_000
"""Ids that are known to have been reported, lest an answer report them again."""
_Event = wire.Announcing | wire.Heartbeat | NoAnswer


class NatsFeed(Feed):
    """Hears of deletions from the relays of one name.

    Args:
        line: to them.
        interest: the prefixes that matter; None to try only whether it hears.
    """

    name = "relay"

    def __init__(self, line: Line, interest: Interest | None) -> None:
        self._line = line
        self._interest = interest or frozenset
        self._tries = interest is None
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._bus: Bus | None = None
        self._interests = Interests(adds=self._tries)
        self._hint: Hint | None = None
        self._reported: dict[str, None] = {}
        self._since = self._heard_at = 0.0
        self._remembering = threading.Lock()
        self._conflict = Once()

    def connect(self) -> None:
        """Tell the relays what to announce, and wait until one has acknowledged it.

        Raises:
            NoAnswer: the broker cannot be reached, or no relay that hears deletions itself.
        """
        self._events, self._interests = SimpleQueue(), Interests(adds=self._tries)
        self._line.heard = self._line.lost = self._put
        bus = self._line.connected()
        if deaf := self._line.relays.deaf(time.monotonic()):
            raise self._line.no_answer(f"hears of no deletion itself: {deaf}")
        if bus is not self._bus:
            try:
                bus.subscribe(self._line.subjects.host(self._line.host), self._take)
            except BusError as error:
                raise self._line.broken(error) from error
            self._bus = bus
        self._say(bus)
        self._since = self._heard_at = time.monotonic()
        until = self._since + ACKNOWLEDGED_WITHIN
        early: list[_Event] = []
        while not self._interests.taken:
            try:
                event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                raise self._line.no_relay() from None
            if isinstance(event, wire.Deleted):  # as an earlier connection has asked for
                early.append(event)
            else:
                self._work(event)
        for event in early:
            self._events.put(event)

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and whenever a relay says that any may have gone, until ``stop`` is set.

        Raises:
            NoAnswer: nothing more is heard.
        """
        bus = self._bus
        assert bus is not None  # noqa: S101 - connect() comes first
        self._hint = hint
        self._reported.clear()
        # Of those who were cut off with us others come back at the same time.
        within = [said.within for said in self._line.relays.there(time.monotonic()).values()]
        self._interests.ask_within(max(within, default=0.0), time.monotonic())
        try:
            while not stop.is_set():
                if self._interests.to_ask(time.monotonic()):
                    hint()
                self._say(bus)
                wait = min(self._interests.due() - time.monotonic(), LOOK_EVERY)
                with suppress(Empty):
                    self._work(self._events.get(timeout=max(0.0, wait)))
                self._see_that_it_hears()
        except NoAnswer:
            if not stop.is_set():
                raise
        finally:
            self._hint = None

    def close(self) -> None:
        """End :meth:`follow`, from any thread."""
        self._events.put(NoAnswer("--database-url: the feed was closed"))

    # From other threads.

    def report(self, ids: Collection[str]) -> None:
        """An answer has told of these deletions; each is hinted once, and nothing later."""
        hint = self._hint
        if ids and hint is not None and (new := self._remember(ids)):
            hint(new)

    def _put(self, event: _Event) -> None:
        self._events.put(event)

    def _take(self, _subject: str, _reply: str, data: bytes) -> None:
        try:
            self._put(wire.to_host(data))
        except wire.Malformed as error:
            self._line.refuse(error)

    # On its own.

    def _work(self, event: _Event) -> None:
        match event:
            case NoAnswer():
                raise event
            case wire.Acknowledged():
                if self._interests.acknowledged(event) and self._hint is not None:
                    self._hint()
            case wire.Deleted() if self._hint is not None:
                if not event.torn_down:
                    self._remember(event.ids)
                self._hint(event.ids, torn_down=event.torn_down)
            case wire.Heartbeat():
                self._interests.heard(event, time.monotonic())

    def _say(self, bus: Bus) -> None:
        interest = self._interest()
        if messages := self._interests.to_say(interest, time.monotonic()):
            subject = self._line.subjects.ask(self._line.host)
            try:
                bus.publish(*((subject, wire.encode(message)) for message in messages))
            except BusError as error:
                raise self._line.broken(error) from error

    def _see_that_it_hears(self) -> None:
        """Whether a relay is there, and one of these has heard from its database lately."""
        now = time.monotonic()
        relays = self._line.relays
        if now - self._since > wire.SILENCE:  # else one may have said nothing yet
            if not (there := relays.there(now)):
                raise self._line.no_relay()
            self._interests.forget(there)
        deaf = relays.deaf(now)
        if not deaf:
            self._heard_at = now
        elif now - self._heard_at > OUTAGE:
            raise self._line.no_answer(f"hears of no deletion itself: {deaf}")
        conflict = relays.conflict(now)
        if self._conflict.is_new(conflict) and conflict and self._hint is not None:
            self._hint()  # whoever asks is told, and says so

    def _remember(self, ids: Collection[str]) -> Collection[str]:
        """Those of the ids that were not reported before, and are now."""
        with self._remembering:
            new = [id_ for id_ in ids if id_ not in self._reported]
            self._reported |= dict.fromkeys(new)
            while len(self._reported) > MOST_REPORTED:
                del self._reported[next(iter(self._reported))]
        return new
