"""The feed of what relays announce: what it hears of, and when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest

from listener.databases.feed import Feed
from listener.databases.nats.table import NatsTopologies
from listener.databases.urls import open_topologies
from listener.errors import NoAnswer
from tests.fleet.conftest import HOST
from tests.fleet.relay import HEARD_WITHIN, ScriptedRelay
from tests.support.follower import Follower
from tests.support.process import eventually
from tests.support.servers import PrivateNats

ID, OTHER = str(uuid4()), str(uuid4())
Follow = Callable[[], Follower]


@pytest.fixture
def here() -> set[str]:
    """The prefixes on this host."""
    return {ID[:8]}


@pytest.fixture
def feed(relayed: NatsTopologies, here: set[str]) -> Feed:
    return relayed.push(look_every=1.0, check_every=1.0, interest=lambda: frozenset(here))


@pytest.fixture
def follow(feed: Feed) -> Iterator[Follow]:
    """Connects the feed and follows it, until the test ends."""
    with ExitStack() as stack:

        def follow() -> Follower:
            follower = Follower(feed)
            stack.callback(follower.end)
            return follower

        yield follow


def test_a_deletion_is_heard_of(follow: Follow, relay: ScriptedRelay) -> None:
    follower = follow()
    follower.await_hints(1)
    assert follower.deleted == []
    relay.announce(HOST, ID, torn_down=True)
    relay.announce(HOST, OTHER)
    follower.await_deleted(OTHER)
    assert follower.torn_down == [ID]


def test_the_first_any_waits_for_the_acknowledgement(
    feed: Feed, relay: ScriptedRelay, here: set[str]
) -> None:
    relay.acknowledges = False
    followers: list[Follower] = []
    starting = threading.Thread(target=lambda: followers.append(Follower(feed)))
    starting.start()
    interest = relay.interests.get(timeout=HEARD_WITHIN)
    assert interest.prefixes == here
    relay.announce(HOST, ID)  # to an interest of an earlier connection
    assert followers == []
    relay.acknowledge(HOST, interest)
    starting.join()
    followers[0].await_deleted(ID)
    assert [heard.ids for heard in followers[0].heard] == [None, [ID]]
    followers[0].end()


def test_what_went_before_more_was_acknowledged_is_looked_for(
    follow: Follow, relay: ScriptedRelay, here: set[str]
) -> None:
    follower = follow()
    follower.await_hints(1)
    relay.interests.get(timeout=HEARD_WITHIN)
    relay.acknowledges = False
    here.add(OTHER[:8])
    more = relay.interests.get(timeout=HEARD_WITHIN)
    assert more.prefixes == here
    assert follower.hints == 1
    relay.acknowledge(HOST, more)
    follower.await_hints(2)


def test_a_relay_that_comes_later_is_told_and_what_it_missed_is_looked_for(
    follow: Follow, start: Callable[[str], ScriptedRelay], here: set[str]
) -> None:
    start("one")
    follower = follow()
    follower.await_hints(1)
    two = start("two")
    two.beat()
    assert two.interests.get(timeout=HEARD_WITHIN).prefixes == here
    follower.await_hints(2)


def test_another_number_of_a_relay_is_any(follow: Follow, relay: ScriptedRelay) -> None:
    follower = follow()
    follower.await_hints(1)
    relay.beat()
    relay.announce(HOST, ID)
    follower.await_deleted(ID)
    assert follower.hints == 2, "the number that it acknowledged with is no news"
    relay.any += 1
    relay.beat()
    follower.await_hints(3)


def test_what_an_answer_reports_is_known_before_it_is_judged_and_once(
    relayed: NatsTopologies, follow: Follow, relay: ScriptedRelay
) -> None:
    follower = follow()
    follower.await_hints(1)
    relay.deleted = {ID}
    relayed.ask({ID[:8]})
    assert follower.deleted == [ID]
    relayed.ask({ID[:8]})
    assert follower.deleted == [ID]


def test_to_try_it_takes_nothing_from_the_listener_of_this_host(
    relayed: NatsTopologies, relay: ScriptedRelay
) -> None:
    relayed.push(look_every=1.0, check_every=1.0).connect()
    tried = relay.interests.get(timeout=HEARD_WITHIN)
    assert tried.prefixes == set()
    assert tried.adds


def test_a_host_that_no_relay_acknowledges_does_not_hear(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.databases.nats.feed.ACKNOWLEDGED_WITHIN", 0.1)
    with pytest.raises(NoAnswer, match="no relay named"):
        feed.connect()


def test_silence_loses_the_feed(
    follow: Follow, relay: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow()
    relay.beat()
    follower.await_hints(1)
    monkeypatch.setattr("listener.databases.nats.wire.SILENCE", 0.0)
    assert "no relay named" in str(follower.await_end(NoAnswer))


def test_a_relay_that_hears_nothing_loses_the_feed_until_it_hears_again(
    feed: Feed, follow: Follow, relay: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.databases.nats.feed.OUTAGE", 0.0)
    follower = follow()
    relay.reading = "the database is away"
    relay.beat()
    assert "the database is away" in str(follower.await_end(NoAnswer))

    def hears() -> bool:
        try:
            feed.connect()
        except NoAnswer:
            return False
        return True

    assert not hears()
    relay.reading = ""
    relay.beat()
    eventually(hears, "that it hears again")


def test_relays_of_two_databases_are_asked_about_so_that_it_is_said(
    follow: Follow, start: Callable[[str], ScriptedRelay]
) -> None:
    one, two = start("one"), start("two")
    two.identity = "public 9/1 database 2 table 3 collation 4"
    follower = follow()
    follower.await_hints(2)  # one for each that has acknowledged
    one.beat()
    two.beat()
    follower.await_hints(3)


def test_a_broker_that_is_killed_loses_the_feed_until_it_is_back(
    own_nats: PrivateNats, fleet: str
) -> None:
    relayed = open_topologies(own_nats.url(fleet, host=HOST))
    with ExitStack() as stack:
        stack.callback(own_nats.start)
        stack.enter_context(closing(relayed))
        feed = relayed.push(look_every=1.0, check_every=1.0)
        stack.enter_context(closing(ScriptedRelay(own_nats, fleet)))
        follower = Follower(feed)
        follower.await_hints(1)
        own_nats.kill()
        assert "disconnected" in str(follower.await_end(NoAnswer))
        with pytest.raises(NoAnswer, match="cannot be reached"):
            feed.connect()
        own_nats.start()
        relay = stack.enter_context(closing(ScriptedRelay(own_nats, fleet)))
        follower = Follower(feed)
        stack.callback(follower.end)
        follower.await_hints(1)
        relay.announce(HOST, ID)
        follower.await_deleted(ID)
