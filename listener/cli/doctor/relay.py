"""A relay's connections to its broker: whether each user is let in, and may do what it has to."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from listener.core.findings import Finding, failed, ok, warning
from listener.errors import NoAnswer
from listener.runtime.relay.relay import connections
from listener.runtime.sweep import reach
from listener.settings import Settings

_SEE = "see that the broker runs, and that users and permissions are as in contrib/nats"


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about them.

    Raises:
        ConfigurationError: there is no broker, or its URL cannot be used.
    """
    answers, announces = connections(
        settings, hear_question=_pass_over, hear_host=_pass_over, hear_relay=_pass_over
    )
    stopped = threading.Event()
    stopped.set()
    for id_, connection in {"relay.answers": answers, "relay.announces": announces}.items():
        try:
            reach(connection.connect, settings.timeout)
            connection.follow(stopped)
        except NoAnswer as error:
            yield failed(id_, error, _SEE)
        else:
            yield ok(id_, f"it hears the hosts of relays named {settings.name}, and may write")
    if answers.broker == announces.broker:
        yield warning(
            "relay.users",
            "one user both answers and announces, so what writes answers could announce as well",
            "give --nats-announce with a user of its own, as in contrib/nats",
        )
    else:
        yield ok("relay.users", "the user who answers is not the one who announces")


def _pass_over(subject: str, reply: str, data: bytes) -> None:
    """What comes meanwhile is for relays."""
