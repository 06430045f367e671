"""Push where it is possible, polling where it is not, and what is said about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from listener.databases.fallback import PushOrPoll
from listener.databases.feed import Feed, Hint
from listener.databases.poll import PollFeed
from listener.errors import ConfigurationError, NoAnswer, PushUnavailable

if TYPE_CHECKING:
    from loguru import Message

NO_TRIGGER = PushUnavailable("push is not to be had, because there is no trigger")
NO_RIGHT = PushUnavailable("push is not to be had, because there is no right")


class Push(Feed):
    """Fails as told, at each connect and each follow; without a fault it hints once and ends."""

    name = "push"

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.closed = 0

    def connect(self) -> None:
        self._fail()

    def follow(self, hint: Hint, stop: threading.Event) -> None:  # noqa: ARG002
        hint()
        self._fail()

    def close(self) -> None:
        self.closed += 1

    def _fail(self) -> None:
        if self.faults and (fault := self.faults.pop(0)):
            raise fault


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The warnings."""
    texts: list[str] = []

    def keep(message: Message) -> None:
        texts.append(message.record["message"])

    sink = logger.add(keep, level="WARNING")
    yield texts
    logger.remove(sink)


def lead(feed: PushOrPoll, rounds: int) -> list[str]:
    """Connect and follow so often; which of the two was followed each time."""
    names, stop = [], threading.Event()
    for _ in range(rounds):
        feed.connect()
        names.append(feed.name)
        feed.follow(lambda _=None, **_more: None, stop)
    return names


def choice(*faults: Exception | None, required: bool = False) -> PushOrPoll:
    """Of such a push and a poll that lasts for one hint."""
    return PushOrPoll(Push(*faults), PollFeed(0.001, lasting=0.001), required=required)


def test_push_is_taken_where_it_is_possible(said: list[str]) -> None:
    assert lead(choice(), 2) == ["push", "push"]
    assert not said


def test_without_push_it_polls_and_says_why_once(said: list[str]) -> None:
    assert lead(choice(NO_TRIGGER, NO_TRIGGER, NO_TRIGGER), 3) == ["poll"] * 3
    assert said == [f"polling every 0.001 s: {NO_TRIGGER}"]


def test_push_is_tried_again_and_a_relapse_is_said_again(said: list[str]) -> None:
    assert lead(choice(NO_TRIGGER, None, None, NO_TRIGGER), 3) == ["poll", "push", "poll"]
    assert len(said) == 2


def test_push_that_goes_deaf_becomes_poll_with_one_warning(said: list[str]) -> None:
    assert lead(choice(None, NO_TRIGGER, NO_TRIGGER, NO_TRIGGER), 3) == ["push", "poll", "poll"]
    assert len(said) == 1


def test_push_that_is_required_and_impossible_is_an_error(said: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--feed: push is not to be had"):
        choice(NO_TRIGGER, required=True).connect()
    assert not said


def test_push_that_was_possible_once_is_no_longer_required(said: list[str]) -> None:
    feed = choice(None, NO_TRIGGER, NO_TRIGGER, required=True)
    assert lead(feed, 2) == ["push", "poll"]
    assert len(said) == 1


def test_a_server_that_is_not_there_is_neither(said: list[str]) -> None:
    feed = choice(NoAnswer("down"), None, NoAnswer("lost"), required=True)
    with pytest.raises(NoAnswer, match="down"):
        feed.connect()
    feed.connect()
    with pytest.raises(NoAnswer, match="lost"):
        feed.follow(lambda _=None, **_more: None, threading.Event())
    assert not said


def test_push_that_is_distrusted_is_left_for_a_while(said: list[str]) -> None:
    class Interrupted(Push):
        def follow(self, hint: Hint, stop: threading.Event) -> None:  # noqa: ARG002
            feed.distrust()
            raise NoAnswer("the connection was closed")

    push = Interrupted()
    feed = PushOrPoll(push, PollFeed(0.001, lasting=0.001), required=False)
    assert lead(feed, 3) == ["push", "poll", "push"]
    assert push.closed == 2
    assert not said


def test_closing_it_closes_push() -> None:
    push = Push()
    PushOrPoll(push, PollFeed(1.0), required=False).close()
    assert push.closed == 1
