"""Answering the questions of hosts: those that wait together are one question to the database.

The first that comes is kept waiting for a few milliseconds, in which others come, and for a few
more if the database was asked just before. Then that is asked once about all of their prefixes, so
after each of them has arrived, and whatever comes meanwhile waits for the next time. Each host is
answered by itself, about what it asked, and only at an inbox of its own: NATS lets a host name any
subject for its answer, and the relay may write where the host may not.

What the database refuses, and why, is told to all who asked. The connections that are kept for
questions are closed when nobody has asked for a while.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from listener.core.evidence import Answer
from listener.core.judge import Ask
from listener.core.resources import prefix_of
from listener.databases.nats import wire
from listener.databases.nats.wire import Malformed, Question, Refusal, Reply, Subjects
from listener.errors import NoAnswer
from listener.runtime.health import Pulse
from listener.runtime.relay.announcing import Announcing
from listener.runtime.relay.tally import Tally
from listener.runtime.relay.waiting import Asked, Rates, WaitingRoom

GATHER = 0.003
"""Seconds for which the first question waits for others."""
APART = 0.05
"""Seconds at least from one question to the database to the next, whoever asks. A host whose engine
is quiet asks once a minute, for its sweep: ten thousand of them are 167 questions a second. Without
this PostgreSQL was asked 67 times a second, which took 25 % of a core and the relay 14 %; with it
18 times, 13 % and 9 %."""
IDLE = 30.0
"""Seconds without a question after which the connections for them are closed."""


class Answering:
    """Answers questions, on a thread of its own.

    Args:
        subjects: on which they come.
        ask: asks the database.
        close: closes the connections that are kept for that.
        anywhere: leaves out of an identity where the database is.
        presentable: leaves it out of a sentence.
        kind: of the database, as the wire calls it.
        announcing: knows what else is in an answer.
        send: publishes messages.
        tally: counts.
        pulse: beats for each question to the database.
        stop: ends it.
    """

    def __init__(
        self,
        *,
        subjects: Subjects,
        ask: Ask,
        close: Callable[[], None],
        anywhere: Callable[[str], str],
        presentable: Callable[[str], str],
        kind: str,
        announcing: Announcing,
        send: Callable[..., None],
        tally: Tally,
        pulse: Pulse,
        stop: threading.Event,
    ) -> None:
        self._subjects, self._kind = subjects, kind
        self._ask, self._close = ask, close
        self._anywhere, self._presentable = anywhere, presentable
        self._announcing, self._send, self._tally = announcing, send, tally
        self._pulse, self._stop = pulse, stop
        self._changed = threading.Condition()
        self._rates = Rates()
        self._room = WaitingRoom()
        self._looking = True

    def hear(self, subject: str, reply: str, data: bytes) -> None:
        """A host asks a question, or says what the other connection hears; see :class:`Heard`.

        What is refused here has been heard there as well, and is counted there, but for what has to
        do with those that wait.
        """
        try:
            host = self._subjects.asked_by(subject)
            if not self._rates.allow(host, time.monotonic()):
                return
            question = wire.from_host(data)
            self._rates.charge(host, question.prefixes)
            if not isinstance(question, Question):
                return
            inbox = self._subjects.inbox_of(host, reply)
        except Malformed:
            return
        with self._changed:
            if not self._room.enter(Asked(host, inbox, question)):
                self._tally.refuse("waiting")
                return
            self._tally.asked += 1
            self._changed.notify()

    def look(self) -> None:
        """Have the database asked who it is, whether anybody asks or not; from any thread."""
        with self._changed:
            self._looking = True
            self._changed.notify()

    def wake(self) -> None:
        """Have :meth:`run` look whether it is to end."""
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        """Answer until the end; blocks."""
        idle_after: float | None = IDLE
        next_at = time.monotonic()
        while not self._stop.is_set():
            with self._changed:
                wanted = self._changed.wait_for(self._is_wanted, idle_after)
            if not wanted:
                self._close()
                idle_after = None
                continue
            self._stop.wait(max(GATHER, next_at - time.monotonic()))
            next_at = time.monotonic() + APART
            with self._changed:
                self._looking = False
                gathered, prefixes = self._room.gather()
            with self._pulse:
                self._answer(gathered, prefixes)
            idle_after = IDLE

    def _is_wanted(self) -> bool:
        return bool(self._room) or self._looking or self._stop.is_set()

    def _answer(self, gathered: list[Asked], prefixes: frozenset[str]) -> None:
        self._tally.gathered += 1
        try:
            answer = self._ask(prefixes)
            identity = self._anywhere(answer.identity)
            if why := self._announcing.identified(identity):
                raise NoAnswer(why)
        except NoAnswer as error:
            self._send(*(self._refusal(asked, str(error), error.aspect) for asked in gathered))
            return
        rows: dict[str, list[str]] = defaultdict(list)
        for id_ in answer.ids:
            rows[prefix_of(id_)].append(id_)
        self._send(*(self._reply(asked, answer, identity, rows) for asked in gathered))

    def _reply(
        self, asked: Asked, answer: Answer, identity: str, rows: Mapping[str, Collection[str]]
    ) -> tuple[str, bytes]:
        question = asked.question
        ids = frozenset(id_ for prefix in question.prefixes for id_ in rows.get(prefix, ()))
        reply = Reply(
            nonce=question.nonce,
            relay=self._announcing.relay,
            identity=identity,
            runs=self._announcing.runs,
            changed=question.expect not in ("", identity),
            kind=self._kind,
            generation=answer.generation,
            position=answer.position,
            behind=self._presentable(answer.behind),
            no_status=self._presentable(answer.no_status),
            prefixes=question.prefixes,
            ids=ids,
            deployed=answer.deployed & ids,
            torn_down=answer.torn_down & ids,
            deleted=self._announcing.lately_deleted(question.prefixes) - ids,
        )
        try:
            return asked.reply, wire.encode(reply)
        except Malformed as error:
            return self._refusal(asked, f"the answer is {error}; ask about fewer", "table")

    def _refusal(self, asked: Asked, why: str, aspect: str) -> tuple[str, bytes]:
        self._tally.refuse("no-answer")
        said, relay = self._presentable(why), self._announcing.relay
        refusal = Refusal(asked.question.nonce, relay, said, aspect)
        return asked.reply, wire.encode(refusal)
