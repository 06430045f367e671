"""The feed that hints by the clock."""

from __future__ import annotations

import threading
import time

import pytest

from listener.databases.poll import PollFeed


class CountedStop(threading.Event):
    """Counts the waits, and stops itself after some."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == self.after:
            self.set()
        return self.is_set()


def test_it_hints_at_once_and_then_every_interval() -> None:
    feed, stop = PollFeed(2.5), CountedStop(4)
    hints: list[int] = []
    feed.connect()
    feed.follow(lambda _=None, **_more: hints.append(len(stop.waits)), stop)
    assert hints == [0, 1, 2, 3]
    assert stop.waits == [2.5] * 4
    assert feed.name == "poll"


def test_it_ends_by_itself_when_it_is_not_to_last(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, now = CountedStop(100), iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    PollFeed(2.5, lasting=10.0).follow(lambda _=None, **_more: None, stop)
    assert len(stop.waits) == 9


def test_stop_ends_it_in_the_middle_of_an_interval() -> None:
    stop, hinted = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=PollFeed(3600.0).follow, args=(lambda _=None, **_more: hinted.set(), stop)
    )
    thread.start()
    assert hinted.wait(30.0)
    stop.set()
    thread.join(30.0)
    assert not thread.is_alive()
