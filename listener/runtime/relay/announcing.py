"""Announcing deletions to the hosts that they concern, and that this relay is there.

Every relay hears what every host says: questions and messages of interest teach it which prefixes
are on which host (:mod:`~listener.runtime.relay.interests`), and only those hosts are told of a
deletion. An interest is acknowledged once it was taken, so a host knows from when on it is told,
and asks about what was before.

What may have been lost is never repeated. Instead a number in the heartbeat grows, and every host
that sees it asks about everything it has: when the feed of the database does not know what went,
when it or this connection was lost, and when a conflict is over. Hosts spread these questions over
seconds that grow with their number. So that they never take more than a part of the relay's time,
the number does not grow again before ten times as long has passed: of a database that is polled
every second ten hosts are told as often, and ten thousand every twenty seconds.

Our own heartbeats have to come back, else nobody hears us: what a user may not publish the broker
drops. The heartbeats of the other relays of this name are heard as well. While one of them names
another database, none answers or announces.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256

from loguru import logger

from listener.core.ownership import ID
from listener.databases.identity import same_table
from listener.databases.nats import wire
from listener.databases.nats.relays import Relays
from listener.databases.nats.wire import (
    HEARTBEAT,
    MOST_DELETED,
    SILENCE,
    Acknowledged,
    Deleted,
    Heartbeat,
    Malformed,
    Question,
    Subjects,
)
from listener.runtime.relay.interests import Interests
from listener.runtime.relay.lately import LatelyDeleted
from listener.runtime.relay.tally import Tally
from listener.runtime.relay.waiting import Rates

SPREAD = 0.0002
"""Seconds for each host over which all of them spread their questions. Ten thousand with four
prefixes each took a relay 0.9 s of a core and 13 questions to PostgreSQL."""
ANY_SHARE = 10
"""How many times as long has to pass until they are told to ask again."""
ANY_SPACING = 0.1
"""Seconds that have to pass at least."""
SETTLED = 1.0
"""Seconds after which a conflict is said. When the server of two relays is started anew, or their
table altered, one of them knows before the other: for up to 0.2 s, with PostgreSQL."""


class Announcing:
    """What hosts and other relays say to the connection that announces, and what they are told.

    The connection's own thread calls :meth:`hear_host` and :meth:`hear_relay`; the feed's calls
    :meth:`hinted` and :meth:`feed_lost`, as it does a listener's controller; and the thread that
    answers calls :meth:`identified`. All return at once.

    Args:
        subjects: of the relays with our name.
        kind: of the database, as the wire calls it.
        send: publishes messages.
        look: has the database asked who it is.
        end: ends the connection, with a predicate of the broker that says why.
        runs: which run of the database gave its last answer.
        down: why the database cannot be reached; empty if it can, or nobody has tried.
        tally: counts.

    Attributes:
        relay: the name of this process.
        greeted: is set once other relays were told that we are here.
        interests: of the hosts.
    """

    def __init__(
        self,
        *,
        subjects: Subjects,
        kind: str,
        send: Callable[..., None],
        look: Callable[[], None],
        end: Callable[[str], None],
        runs: Callable[[], str],
        down: Callable[[], str],
        tally: Tally,
    ) -> None:
        self.relay = secrets.token_hex(8)
        self.greeted = threading.Event()
        self.interests = Interests()
        self._subjects, self._kind = subjects, kind
        self._send, self._look, self._end = send, look, end
        self._runs, self._down, self._tally = runs, down, tally
        self._rates = Rates()
        self._changed = threading.Condition()  # guards what follows
        self._identity = self._ran = self._conflict = ""
        self._conflict_since, self._conflict_said = 0.0, False
        self._relays = Relays(subjects.name)
        self._deleted = LatelyDeleted()
        self._hears = False
        self._any, self._any_at, self._any_wanted = 0, -math.inf, False
        self._beat_at, self._beat_wanted = -math.inf, False
        self._silent_since = math.inf

    @property
    def runs(self) -> str:
        """Which run of the database has answered, as the wire calls it."""
        return self._ran

    @property
    def conflict(self) -> str:
        """Which other relay of this name serves another database, as a sentence; or nothing."""
        return self._conflict

    def connected(self) -> None:
        """The connection was made, for the first time or anew: what was announced may be lost."""
        with self._changed:
            self._any += 1
            self._silent_since = math.inf
            self._want_beat()
        self.greeted.set()

    def run(self, stop: threading.Event) -> None:
        """Send heartbeats, and let the number grow when it has to, until the end; blocks."""
        while not stop.is_set():
            with self._changed:
                now = time.monotonic()
                if self._any_wanted and now >= self._next_any():
                    self._any, self._any_at, self._any_wanted = self._any + 1, now, False
                    self._beat_wanted = True
                if self._beat_wanted or now >= self._beat_at + HEARTBEAT:
                    self._beat(now)
                due = self._beat_at + HEARTBEAT
                if self._any_wanted:
                    due = min(due, self._next_any())
                self._changed.wait(due - now)

    def leave(self) -> None:
        """Have :meth:`run` end, and say that we are in nobody's way any more; from any thread."""
        with self._changed:
            self._identity, self._hears = "", False
            self._send_beat()
            self._changed.notify()

    # What is heard.

    def hear_host(self, subject: str, reply: str, data: bytes) -> None:
        """A host asks a question, or names its interest; see :class:`Heard`."""
        try:
            host = self._subjects.asked_by(subject)
            now = time.monotonic()
            if not self._rates.allow(host, now):
                self._tally.refuse("often")
                return
            message = wire.from_host(data)
            self._rates.charge(host, message.prefixes)
            if isinstance(message, Question):
                self._subjects.inbox_of(host, reply)
        except Malformed:
            self._tally.refuse("malformed")
            return
        adds = isinstance(message, Question) or message.adds
        take = self.interests.add if adds else self.interests.replace
        if not take(host, message.prefixes, now):
            self._tally.refuse("interests")
        elif not isinstance(message, Question):
            taken = Acknowledged(message.nonce, self.relay, self._any)
            self._send((self._subjects.host(host), wire.encode(taken)))

    def hear_relay(self, subject: str, reply: str, data: bytes) -> None:  # noqa: ARG002
        """A relay says that it is there; see :class:`Heard`."""
        try:
            heard = wire.heartbeat(data)
        except Malformed:
            self._tally.refuse("malformed")
            return
        if heard.relay == self.relay:
            self._silent_since = math.inf
            return
        with self._changed:
            now = time.monotonic()
            if heard.relay not in self._relays.there(now):
                self._want_beat()  # it does not know of us either
            self._relays.heard(heard, now)
            self._judge(now)
        if self._conflict:
            self._look()

    def identified(self, identity: str) -> str:
        """The database has just said who it is; from any thread.

        Returns:
            Why it is not to be believed, as a sentence; empty if it is.
        """
        # A hash, for it may have the host's name in it.
        runs = sha256(self._runs().encode()).hexdigest()[:16]
        with self._changed:
            if (identity, runs) != (self._identity, self._ran):
                if not same_table(self._kind, self._identity, identity, watched=True):
                    self._deleted.clear()
                self._identity, self._ran = identity, runs
                self._want_beat()
            self._judge(time.monotonic())
            return self._conflict

    def hinted(
        self,
        database: int,  # noqa: ARG002
        deleted: Collection[str] | None = None,
        *,
        torn_down: bool = False,
        polled: bool = False,  # noqa: ARG002
        lag: float | None = None,  # noqa: ARG002
    ) -> None:
        """A feed says that rows may have gone; see :class:`Hinted`."""
        with self._changed:
            if not self._hears:
                self._hears = True
                self._want_beat()
            if deleted is None:
                self._any_wanted = True
                self._changed.notify()
            else:
                self._announce([*filter(ID.fullmatch, deleted)], torn_down)
        if not deleted:
            self._look()

    def feed_lost(self, database: int, *, broken: bool) -> None:  # noqa: ARG002
        """A feed is not there until it hints again; see :class:`Hinted`."""
        with self._changed:
            if broken:
                self._hears = False
                self._want_beat()

    def lately_deleted(self, prefixes: Iterable[str]) -> frozenset[str]:
        """The ids with these prefixes that a feed reported deleted lately; from any thread."""
        with self._changed:
            found = self._deleted.among(prefixes, time.monotonic())
        return frozenset(sorted(found)[:MOST_DELETED])

    # With the lock.

    def _announce(self, ids: list[str], torn_down: bool) -> None:
        if not torn_down:
            self._deleted.add(ids, time.monotonic())
        if self._conflict:
            return  # once it is over hosts are told to ask
        for host, concerned in self.interests.concerned(ids).items():
            subject = self._subjects.host(host)
            for start in range(0, len(concerned), MOST_DELETED):
                some = frozenset(concerned[start : start + MOST_DELETED])
                self._send((subject, wire.encode(Deleted(self.relay, some, torn_down))))
                self._tally.announced += 1

    def _judge(self, now: float) -> None:
        """See whether another relay serves another database, and say when that changes."""
        self._relays.heard(self._heartbeat(), now)
        conflict = self._relays.conflict(now)
        if bool(conflict) != bool(self._conflict):
            self._conflict_since = now
            self._any_wanted |= not conflict
            self._want_beat()
        self._conflict = conflict
        if self._conflict_said and not conflict:
            self._conflict_said = False
            logger.bind(event="conflict").info(
                "all relays named {!r} serve one database again", self._subjects.name
            )
        elif conflict and not self._conflict_said and now - self._conflict_since >= SETTLED:
            self._conflict_said = True
            logger.bind(event="conflict", error=conflict).error(
                "answering no question, and announcing nothing: {}", conflict
            )

    def _want_beat(self) -> None:
        self._beat_wanted = True
        self._changed.notify()

    def _within(self) -> float:
        return SPREAD * self.interests.hosts

    def _next_any(self) -> float:
        return self._any_at + max(ANY_SPACING, ANY_SHARE * self._within())

    def _beat(self, now: float) -> None:
        self._beat_at, self._beat_wanted = now, False
        self.interests.forget(now)
        self._judge(now)
        self._send_beat()
        self._silent_since = min(self._silent_since, now)
        if now - self._silent_since > SILENCE:
            self._end(
                "passes on nothing that this user publishes; give it the permissions of the user"
                " who announces"
            )

    def _send_beat(self) -> None:
        self._send((self._subjects.heartbeats, wire.encode(self._heartbeat())))

    def _heartbeat(self) -> Heartbeat:
        reading = "" if self._hears else self._down() or "it does not hear its database"
        return Heartbeat(
            self.relay, self._kind, self._identity, self._ran, self._any, self._within(), reading
        )
