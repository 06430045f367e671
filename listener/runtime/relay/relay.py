"""The relay: the parts, wired, on threads that a supervisor keeps alive.

One thread follows the feed of the database, as a listener's does. Two keep the connections to the
broker, as two users: the one that answers may publish to the inboxes of hosts and nowhere else, so
that no host can have it announce anything. The one that announces is there first, so that another
relay of the name that serves another database is heard before a question is taken. One thread
answers, and one sends heartbeats.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable

from loguru import logger

from listener.core.evidence import Answer
from listener.core.status import RelayStatus
from listener.databases.base import SqlTopologies
from listener.databases.nats.address import NAME, Broker, is_address, parse
from listener.databases.nats.bus import Heard
from listener.databases.nats.wire import LONGEST_TEXT, Subjects, inbox
from listener.errors import ConfigurationError, presentable
from listener.runtime.build import hear_tables, open_tables
from listener.runtime.feeds import SPREAD, FeedLoop
from listener.runtime.health import Link, Pulse
from listener.runtime.relay.announcing import Announcing
from listener.runtime.relay.answering import Answering
from listener.runtime.relay.connection import Connection, Subscription
from listener.runtime.relay.tally import Tally
from listener.runtime.snapshot import VERSION
from listener.runtime.state.directory import StateDirectory
from listener.runtime.supervisor import Supervisor
from listener.settings import Settings
from listener.telemetry.http.pages import routes
from listener.telemetry.http.server import Endpoint
from listener.telemetry.metrics import RelayMetrics
from listener.telemetry.socket import StatusSocket
from listener.telemetry.status import READY, Overall, duration

LISTEN = 1.0
"""Seconds for which other relays may say that they are there before the first question is taken;
they do at once when a new one says so."""
QUEUE = "relays"
"""The group of which one relay gets each question."""
_CAUSE = re.compile(r" gave no answer: .*")
_OURS = re.compile(r"'[^']*'@'[^']*'|\S+:\d{1,5}\b")
"""An account of MySQL, and an address, as that of the server that one is a replica of."""


class Relay:
    """Answers and announces for one database until it is stopped.

    Args:
        settings: where the database and the broker are.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = table(settings)
        self._subjects = Subjects(settings.name)
        self._tally = Tally()
        self._ready = threading.Event()
        self._started = time.time()
        (self._database,) = hear_tables(
            settings,
            [self._table],
            lambda: self._announcing.interests.prefixes(),
            precise=True,
        )
        self._announcing = Announcing(
            subjects=self._subjects,
            kind=self._table.kind,
            send=lambda *messages: self._announces.send(*messages),
            look=lambda: self._answering.look(),
            end=lambda why: self._announces.end(why),
            runs=lambda: self._table.runs,
            down=lambda: self._said(self._database.link.status()["reason"] or ""),
            tally=self._tally,
        )
        self._supervisor = Supervisor(stopping=self._announcing.greeted.set)
        self._asking = self._database.asking(self._supervisor.stop)
        self._answering = Answering(
            subjects=self._subjects,
            ask=self._ask,
            close=self._table.close,
            anywhere=self._table.from_anywhere,
            presentable=self._said,
            kind=self._table.kind,
            announcing=self._announcing,
            send=lambda *messages: self._answers.send(*messages),
            tally=self._tally,
            pulse=self._supervisor.pulse("questions"),
            stop=self._supervisor.stop,
        )
        self._announces_link, self._answers_link = Link("NATS to announce"), Link("NATS to answer")
        self._answers, self._announces = connections(
            settings,
            hear_question=_hearing(self._answers_link, self._answering.hear),
            hear_host=_hearing(self._announces_link, self._announcing.hear_host),
            hear_relay=_hearing(self._announces_link, self._announcing.hear_relay),
        )
        self._state = StateDirectory(settings.state_path)
        self._status_socket = StatusSocket(self._state.path, self.status)
        address = settings.http_address
        pages = routes(self.status, RelayMetrics(self.status).render, to_look_at=False)
        self._endpoint = Endpoint(*address, pages) if address else None

    def start(self) -> None:
        """Start and return at once; what cannot be reached is waited for."""
        supervisor, settings = self._supervisor, self._settings
        logger.bind(
            event="started",
            version=VERSION,
            databases=[self._table.name],
            feed=settings.feed,
            relay=self._announcing.relay,
        ).info(
            "topology-reaper {}: relay {} named {} between {} and the NATS broker at {}; feed {}",
            VERSION,
            self._announcing.relay,
            settings.name,
            self._table.name,
            ", ".join(self._answers.broker.servers),
            settings.feed,
        )
        pulse = supervisor.pulse("feed")
        feed = FeedLoop(0, self._database, self._announcing, supervisor, pulse)
        supervisor.start("feed", feed.run)
        supervisor.start("questions", self._answering.run)
        supervisor.start("heartbeat", lambda: self._announcing.run(supervisor.stop))
        supervisor.start("announces", self._keep_announcing)
        supervisor.start("answers", self._keep_answering)
        if (why := self._state.lock()) is not None:
            logger.bind(event="state", error=why).warning(
                "--state-dir: {} cannot be used, so topology-reaper status may show another: {};"
                " give one of its own",
                self._state.path,
                why,
            )
        self._status_socket.open(ours=why is None)
        if self._endpoint is not None:
            self._endpoint.open()

    def stop(self, timeout: float = 2.0, *, reason: str = "stop() was called") -> bool:
        """Stop: what was taken is answered, as far as the database does.

        Args:
            timeout: seconds after which what hangs is not waited for.
            reason: for the log, unless it has stopped by itself.

        Returns:
            Whether every thread ended within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._supervisor.end()
        self._announcing.leave()
        for part in (self._answering, self._answers, self._announces):
            part.wake()
        self._database.feed.close()
        ended = self._supervisor.join(deadline)
        self._status_socket.close()
        if self._endpoint is not None:
            self._endpoint.close()
        self._table.close()
        self._state.close()
        why = presentable(self._supervisor.failure or reason)
        logger.bind(event="stopped", reason=why).info("stopped: {}", why)
        return ended

    def wait(self) -> None:
        """Block until it is stopped.

        Raises:
            ConfigurationError: it stopped by itself, for something does not allow what was asked
                for.
        """
        self._supervisor.stop.wait()
        if self._supervisor.failure is not None:
            raise self._supervisor.failure

    def wait_ready(self) -> None:
        """Block until the database has answered while questions could come."""
        self._ready.wait()

    def stuck(self, limit: float) -> list[str]:
        """The loops that ended, or were at one piece of work, or failing, for over ``limit`` s."""
        return self._supervisor.stuck(limit)

    def status(self) -> RelayStatus:
        """What there is to know about it, as JSON can hold it: docs/status.md."""
        stopping = self._supervisor.stop.is_set()
        limit = self._settings.unhealthy_after
        links = (self._database.link, self._answers_link, self._announces_link)
        problems = [] if stopping else [f"{li.name} is down" for li in links if li.down_for > limit]
        problems += [] if stopping else [f"{name} is stuck" for name in self.stuck(limit)]
        if self._announcing.conflict:
            problems.append(self._announcing.conflict)
        told: RelayStatus = {
            "state": Overall.STARTING,
            "state_reason": "",
            "version": VERSION,
            "host": socket.gethostname(),
            "time": time.time(),
            "started": self._started,
            "ready": False,
            "problems": problems,
            "name": self._settings.name,
            "relay": self._announcing.relay,
            "databases": [self._database.status(missed=0)],
            "broker": ", ".join(self._answers.broker.servers),
            "answers": self._answers_link.status(),
            "announces": self._announces_link.status(),
            "hosts": self._announcing.interests.hosts,
            "interests": len(self._announcing.interests),
            "asked": self._tally.asked,
            "gathered": self._tally.gathered,
            "announced": self._tally.announced,
            "refused": dict(self._tally.refused),
        }
        state, reason = _state_of(told, stopping=stopping)
        told["state"], told["state_reason"], told["ready"] = state.value, reason, state in READY
        return told

    # What the parts need of each other.

    def _ask(self, prefixes: Iterable[str]) -> Answer:
        answer = self._asking(prefixes)
        if not self._ready.is_set() and self._answers_link.up:
            self._ready.set()
            logger.bind(event="ready").info("ready: relay {} answers", self._announcing.relay)
        return answer

    def _said(self, text: str) -> str:
        """A sentence for hosts, which need not know where the database is, nor its driver's words.

        These may name its address and our account.
        """
        told = text.removeprefix("--database-url: ").replace(
            self._table.name, "the relay's database"
        )
        said = _CAUSE.sub(" gave no answer; the relay's log says why", told)
        return _OURS.sub("…", presentable(said))[:LONGEST_TEXT]

    def _keep_announcing(self) -> None:
        pulse = self._supervisor.pulse("announces")
        self._keep(self._announces, self._announces_link, pulse, self._announcing.connected)

    def _keep_answering(self) -> None:
        self._announcing.greeted.wait()
        self._supervisor.stop.wait(LISTEN)
        pulse = self._supervisor.pulse("answers")
        self._keep(self._answers, self._answers_link, pulse, self._answering.look)

    def _keep(
        self, connection: Connection, link: Link, pulse: Pulse, connected: Callable[[], None]
    ) -> None:
        def connect() -> None:
            connection.connect()
            link.connections += 1
            link.succeeded()
            connected()

        def follow() -> None:
            connection.follow(self._supervisor.stop)

        self._supervisor.keep(link, connect, follow, pulse, spread=SPREAD)


def table(settings: Settings) -> SqlTopologies:
    """The one table that a relay asks.

    Raises:
        ConfigurationError: there is another number of them, or one that is behind a relay itself.
    """
    tables = open_tables(settings, once=False)
    if len(tables) > 1:
        raise ConfigurationError(
            "--database-url: a relay serves one database; start another one for each other"
        )
    if not isinstance(tables[0], SqlTopologies):
        raise ConfigurationError(
            "--database-url: a relay asks the database itself; give the URL of that"
        )
    return tables[0]


def connections(
    settings: Settings, *, hear_question: Heard, hear_host: Heard, hear_relay: Heard
) -> tuple[Connection, Connection]:
    """The connection that answers, and the one that announces; neither is made yet.

    Args:
        settings: where the broker is, and as whom.
        hear_question: takes what one relay is to answer.
        hear_host: takes all that hosts say.
        hear_relay: takes the heartbeats.

    Raises:
        ConfigurationError: there is no broker, or its URL cannot be used.
    """
    if not settings.nats:
        raise ConfigurationError("--nats: it is not given; write for example nats://broker.example")
    subjects, nobody = Subjects(settings.name), secrets.token_hex(8)
    name = f"topology-reaper relay {settings.name}"
    answers = Connection(
        option="--nats",
        broker=_broker("--nats", settings.nats, settings.name),
        name=f"{name} answers",
        subscriptions=[Subscription(subjects.questions, hear_question, QUEUE)],
        writes=f"{inbox(nobody)}.nobody",
    )
    option = "--nats-announce" if settings.nats_announce else "--nats"
    announces = Connection(
        option=option,
        broker=_broker(option, settings.nats_announce or settings.nats, settings.name),
        name=f"{name} announces",
        subscriptions=[
            Subscription(subjects.heartbeats, hear_relay),
            Subscription(subjects.questions, hear_host),
        ],
        writes=subjects.host(nobody),
    )
    return answers, announces


def _hearing(link: Link, take: Heard) -> Heard:
    """Takes messages, each of which proves that the link is there."""

    def heard(subject: str, reply: str, data: bytes) -> None:
        link.proved()
        take(subject, reply, data)

    return heard


def _broker(option: str, url: str, name: str) -> Broker:
    if not is_address(url):
        raise ConfigurationError(f"{option}: the scheme is neither nats nor tls")
    try:
        address = parse(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from error
    if address.name not in (name, NAME):
        raise ConfigurationError(f"{option}: the URL names other relays; give --name as well")
    return address.broker


def _state_of(told: RelayStatus, *, stopping: bool) -> tuple[Overall, str]:
    """What a relay as a whole is, and why, in a few words for a person; empty while it is ready."""
    down = [s for s in (*told["databases"], told["answers"], told["announces"]) if not s["up"]]
    failed = [side for side in down if side["reason"]]  # else it was not tried yet
    if stopping:
        return Overall.STOPPING, "no question is answered any more"
    if failed:
        lengths = [f"{s['name']} is down for {duration(told['time'] - s['since'])}" for s in failed]
        return Overall.DEGRADED, " and ".join(lengths)
    if told["problems"]:
        return Overall.DEGRADED, ", ".join(told["problems"])
    if down:
        return Overall.STARTING, "it has not reached everything yet"
    return Overall.READY, ""
