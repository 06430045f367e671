"""A host behind a broker, and a relay that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from listener.databases.nats.table import NatsTopologies
from listener.databases.urls import open_topologies
from tests.fleet.relay import ScriptedRelay
from tests.support.servers import PrivateNats

HOST = "host-7"


@pytest.fixture
def url(nats: PrivateNats, fleet: str) -> str:
    """A host's URL of the relays of this test."""
    return nats.url(fleet, host=HOST)


@pytest.fixture
def relayed(url: str) -> Iterator[NatsTopologies]:
    """The table that a host asks."""
    relayed = open_topologies(url, patience=30)
    assert isinstance(relayed, NatsTopologies)
    with closing(relayed):
        yield relayed


@pytest.fixture
def start(nats: PrivateNats, fleet: str) -> Iterator[Callable[[str], ScriptedRelay]]:
    """Starts a relay, by what it calls itself."""
    with ExitStack() as stack:

        def start(relay: str) -> ScriptedRelay:
            return stack.enter_context(closing(ScriptedRelay(nats, fleet, relay)))

        yield start


@pytest.fixture
def relay(start: Callable[[str], ScriptedRelay]) -> ScriptedRelay:
    """A relay."""
    return start("one")
