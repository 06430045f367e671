"""A relay's connections to its broker: whether each user is let in, and may hear what it has to."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from listener.core.findings import Finding, failed, ok, warning
from listener.databases.nats.wire import Subjects
from listener.errors import NoAnswer
from listener.runtime.relay.connection import Connection, Subscription
from listener.runtime.relay.relay import QUEUE, brokers
from listener.runtime.sweep import reach
from listener.settings import Settings

_SEE = "see that the broker runs, and that users and permissions are as in contrib/nats"


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about them.

    Raises:
        ConfigurationError: there is no broker, or its URL cannot be used.
    """
    subjects, (answers, announces) = Subjects(settings.name), brokers(settings)
    questions, heartbeats = subjects.questions, subjects.heartbeats
    for id_, option, broker, heard in (
        ("relay.answers", "--nats", answers, [Subscription(questions, _pass_over, QUEUE)]),
        (
            "relay.announces",
            "--nats-announce" if settings.nats_announce else "--nats",
            announces,
            [Subscription(questions, _pass_over), Subscription(heartbeats, _pass_over)],
        ),
    ):
        connection = Connection(
            option=option, broker=broker, name="topology-reaper doctor", subscriptions=heard
        )
        try:
            reach(connection.connect, settings.timeout)
        except NoAnswer as error:
            yield failed(id_, error, _SEE)
            continue
        stopped = threading.Event()
        stopped.set()
        connection.follow(stopped)
        yield ok(id_, f"it hears hosts of relays named {settings.name}")
    if answers == announces:
        yield warning(
            "relay.users",
            "one user both answers and announces, so what writes answers could announce as well",
            "give --nats-announce with a user of its own, as in contrib/nats",
        )
    else:
        yield ok("relay.users", "the user who answers is not the one who announces")


def _pass_over(subject: str, reply: str, data: bytes) -> None:
    """What comes meanwhile is for relays."""
