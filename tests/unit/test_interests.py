"""What a host tells relays to announce, and when it has to ask about everything."""

from __future__ import annotations

import pytest

from listener.databases.nats.interests import LONGEST_SPREAD, REPEATED_AFTER, Interests
from listener.databases.nats.relays import Relays
from listener.databases.nats.wire import SILENCE, Acknowledged, Heartbeat, Interest


def beat(relay: str = "one", identity: str = "x", any_: int = 0, reading: str = "") -> Heartbeat:
    return Heartbeat(relay, "postgresql", identity, "", any_, 8.0, reading)


def ack(message: Interest, relay: str = "one", any_: int = 0) -> Acknowledged:
    return Acknowledged(message.nonce, relay, any_)


@pytest.fixture
def interests() -> Interests:
    """Those of a host that puts off what it may by half of the time."""
    return Interests(part_of=lambda seconds: seconds / 2)


def test_an_interest_is_said_when_it_changes_and_every_so_often(interests: Interests) -> None:
    assert [message.prefixes for message in interests.to_say({"a"}, 0.0)] == [{"a"}]
    assert interests.to_say({"a"}, 1.0) == []
    assert [message.prefixes for message in interests.to_say({"b"}, 2.0)] == [{"b"}]
    assert interests.to_say({"b"}, 2.0 + REPEATED_AFTER - 1.0) == []
    assert interests.to_say({"b"}, 2.0 + REPEATED_AFTER)


def test_only_what_a_relay_had_not_taken_makes_all_be_asked_about(interests: Interests) -> None:
    (first,) = interests.to_say({"a"}, 0.0)
    assert interests.acknowledged(ack(first))
    assert interests.acknowledged(ack(first, "two"))
    (more,) = interests.to_say({"a", "b"}, 1.0)
    assert not interests.taken
    assert not interests.acknowledged(ack(first)), "of an earlier message"
    assert interests.acknowledged(ack(more))
    (less,) = interests.to_say({"b"}, 2.0)
    assert not interests.acknowledged(ack(less))
    assert interests.taken


def test_what_takes_two_messages_is_taken_with_the_second(interests: Interests) -> None:
    one, two = interests.to_say({f"{n:08x}" for n in range(2_001)}, 0.0)
    assert (one.adds, two.adds) == (False, True)
    assert not interests.acknowledged(ack(two))
    assert not interests.acknowledged(ack(one, "another"))
    assert not interests.taken
    assert interests.acknowledged(ack(one))
    assert interests.taken


def test_another_number_puts_a_question_off(interests: Interests) -> None:
    (message,) = interests.to_say({"a"}, 0.0)
    interests.acknowledged(ack(message, any_=3))
    interests.heard(beat(any_=3), 10.0)
    assert not interests.to_ask(99.0)
    interests.heard(beat(any_=4), 100.0)
    assert not interests.to_ask(103.0)
    assert interests.due() == 104.0
    assert interests.to_ask(104.0)
    assert not interests.to_ask(105.0)


def test_nobody_puts_a_question_off_for_long(interests: Interests) -> None:
    interests.ask_within(1e9, 0.0)
    assert interests.to_ask(LONGEST_SPREAD)


def test_a_relay_that_has_not_taken_it_is_told_after_a_while(interests: Interests) -> None:
    (message,) = interests.to_say({"a"}, 0.0)
    interests.acknowledged(ack(message))
    interests.heard(beat("two"), 10.0)
    assert interests.to_say({"a"}, 13.0) == []
    (again,) = interests.to_say({"a"}, 14.0)
    assert not interests.acknowledged(ack(again))
    assert interests.acknowledged(ack(again, "two"))


def test_a_number_that_grew_before_an_interest_was_taken_anew_is_news(interests: Interests) -> None:
    (message,) = interests.to_say({"a"}, 0.0)
    interests.acknowledged(ack(message, any_=3))
    (again,) = interests.to_say({"a"}, REPEATED_AFTER)
    assert interests.acknowledged(ack(again, any_=4))


def test_a_relay_that_was_away_may_have_missed_anything(interests: Interests) -> None:
    (message,) = interests.to_say({"a"}, 0.0)
    interests.acknowledged(ack(message))
    interests.forget({"two"})
    interests.heard(beat(), 30.0)
    (again,) = interests.to_say({"a"}, 34.0)
    assert interests.acknowledged(ack(again))


def test_relays_of_two_databases_are_named_while_both_are_there() -> None:
    relays = Relays("decnet")
    relays.heard(beat("one", "schema 1/1 table 2"), 0.0)
    relays.heard(beat("three", ""), 0.0)
    relays.heard(beat("four", "schema 1/1 table 2"), 0.0)
    assert relays.conflict(0.0) == ""
    relays.heard(beat("two", "schema 1/2 table 2"), 10.0)
    assert "the relays one and two named 'decnet'" in relays.conflict(SILENCE)
    assert relays.conflict(SILENCE + 1.0) == ""


def test_servers_made_of_one_image_are_two_databases() -> None:
    relays = Relays("decnet")
    for relay, created in ("one", 1), ("two", 2):
        table = f"decnet server 1 table of {created} number 20 of 1700000000"
        relays.heard(Heartbeat(relay, "mysql", table, "", 0, 0.0), 0.0)
    assert relays.conflict(0.0) != ""


def test_a_copy_that_runs_elsewhere_is_another_database() -> None:
    relays = Relays("decnet")
    for relay in "one", "two":
        relays.heard(Heartbeat(relay, "sqlite", "5 of 6 schema 7", relay, 0, 0.0), 0.0)
    assert relays.conflict(0.0) != ""


def test_relays_are_deaf_when_all_that_are_there_are() -> None:
    relays = Relays("decnet")
    assert relays.deaf(0.0) == ""
    relays.heard(beat("one", reading="the database is away"), 0.0)
    assert relays.deaf(0.0) == "the database is away"
    relays.heard(beat("two"), 0.0)
    assert relays.deaf(0.0) == ""
