"""The queue: its promises one by one, and against a model."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from listener.core.workqueue import DONE, FAILED, Next, WorkQueue


def queue(jitter: float = 0.0, backoff_min: float = 1.0) -> WorkQueue:
    return WorkQueue(backoff_min=backoff_min, backoff_max=60.0, jitter=lambda: jitter)


def taken(work: WorkQueue, now: float) -> list[str]:
    """Everything that can be taken at this time."""
    return list(iter(lambda: work.take(now), None))


@pytest.mark.parametrize(
    ("failed", "hasten", "due"), [(False, False, 2.0), (True, False, 60.0), (True, True, 2.0)]
)
def test_only_news_brings_a_key_forward_that_failed(failed: bool, hasten: bool, due: float) -> None:
    work = queue(backoff_min=60.0)
    work.add("a", 0.0 if failed else 60.0)
    if failed:
        work.take(0.0)
        work.finish("a", FAILED, 0.0)
    work.add("a", 2.0, hasten=hasten)
    assert work.next_due() == due
    work.add("a", 90.0, hasten=True)
    assert work.next_due() == due
    assert taken(work, 100.0) == ["a"]


def test_the_delay_doubles_up_to_its_cap_and_begins_anew_after_a_success() -> None:
    work = queue()
    work.add("a", 0.0)
    delays = []
    for _ in range(40):
        assert taken(work, 1e9) == ["a"]
        delays.append(work.finish("a", FAILED, 0.0))
    assert delays[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(delays[7:]) == {60.0}
    assert taken(work, 1e9) == ["a"]
    work.finish("a", DONE, 0.0)
    work.add("a", 0.0)
    assert taken(work, 0.0) == ["a"]
    assert work.finish("a", FAILED, 5.0) == 1.0
    assert work.next_due() == 6.0


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 1.0), (0.5, 0.75), (1 - 2**-9, 0.5 + 2**-10)])
def test_jitter_shortens_a_delay_by_half_of_it_at_most(jitter: float, factor: float) -> None:
    work = queue(jitter)
    work.add("a", 0.0)
    for failures in range(12):
        assert taken(work, 1e9) == ["a"]
        assert work.finish("a", FAILED, 0.0) == factor * min(60.0, 2.0**failures)


def test_adding_a_key_that_backs_off_does_not_cut_that_short_but_news_does() -> None:
    work = queue()
    work.add("a", 0.0)
    assert taken(work, 0.0) == ["a"]
    work.finish("a", FAILED, 0.0)
    work.add("a", 0.0)
    assert taken(work, 0.9) == []
    work.add("a", 0.5, hasten=True)
    assert taken(work, 0.5) == ["a"]
    assert work.finish("a", FAILED, 0.5) == 2.0  # and what failed before is not forgotten


@pytest.mark.parametrize(("after", "due"), [(0.25, 0.25), (9.0, 1.0)])
def test_what_failed_is_looked_at_after_its_own_time_if_that_is_sooner(
    after: float, due: float
) -> None:
    work = queue()
    work.add("a", 0.0)
    assert taken(work, 0.0) == ["a"]
    assert work.finish("a", Next(after=after, failed=True), 0.0) == due


def test_a_key_is_given_up_after_so_many_failures_in_a_row() -> None:
    work = WorkQueue(attempts=2, jitter=lambda: 0.0)
    for then in (FAILED, DONE, FAILED, FAILED):
        work.add("a", 0.0)
        assert taken(work, 1e9) == ["a"]
        again = work.finish("a", then, 0.0)
    assert again is None
    assert not len(work)


class QueueMachine(RuleBasedStateMachine):
    """The model keeps plain dictionaries and sorts them at every question."""

    keys = st.sampled_from("abc")
    times = st.integers(0, 40).map(float)

    @initialize()
    def start(self) -> None:
        self.jitter = 0.0
        self.work = WorkQueue(backoff_min=1.0, backoff_max=20.0, jitter=lambda: self.jitter)
        self.waiting: dict[str, float] = {}
        self.in_work: dict[str, list[float]] = {}
        self.failures = dict.fromkeys("abc", 0)
        self.now = 0.0

    @rule(key=keys, delay=times, hasten=st.booleans())
    def add(self, key: str, delay: float, hasten: bool) -> None:
        due = self.now + delay
        # News for a key in work has a test of its own.
        hasten = hasten and key not in self.in_work
        self.work.add(key, due, hasten=hasten)
        if key in self.in_work:
            self.in_work[key].append(due)
        elif key not in self.waiting or hasten or not self.failures[key]:
            self.waiting[key] = min(due, self.waiting.get(key, due))

    @rule(delay=times)
    def time_passes(self, delay: float) -> None:
        self.now += delay

    @rule()
    def take(self) -> None:
        key = self.work.take(self.now)
        ready = {key: due for key, due in self.waiting.items() if due <= self.now}
        if not ready:
            assert key is None
            return
        assert key is not None
        assert key not in self.in_work
        assert ready[key] == min(ready.values())
        del self.waiting[key]
        self.in_work[key] = []

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.in_work)))
        self.work.finish(key, DONE, self.now)
        self.failures[key] = 0
        if again := self.in_work.pop(key):
            self.waiting[key] = min(again)

    @precondition(lambda self: self.in_work)
    @rule(data=st.data(), jitter=st.floats(0.0, 1.0, exclude_max=True))
    def retry(self, data: st.DataObject, jitter: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.in_work)))
        self.jitter = jitter
        delay = self.work.finish(key, FAILED, self.now)
        longest = min(20.0, 1.0 * 2 ** self.failures[key])
        assert delay is not None
        assert longest / 2 <= delay <= longest
        self.failures[key] += 1
        del self.in_work[key]
        self.waiting[key] = self.now + delay

    @invariant()
    def knows_what_the_model_knows(self) -> None:
        assert self.work.next_due() == min(self.waiting.values(), default=None)
        assert len(self.work) == len(self.waiting) + len(self.in_work)


TestQueueAgainstAModel = QueueMachine.TestCase
TestQueueAgainstAModel.settings = settings(max_examples=40, stateful_step_count=30)


@pytest.mark.parametrize("failed", [False, True])
def test_news_hastens_only_the_retry_of_the_work_that_it_came_during(failed: bool) -> None:
    queue = WorkQueue(backoff_min=1.0, jitter=lambda: 0.0)
    queue.add("a", 0.0)
    queue.take(0.0)
    queue.add("a", 0.0, hasten=True)
    if failed:
        queue.finish("a", FAILED, 0.0)
    else:
        queue.finish("a", DONE, 0.0)
    assert queue.take(0.0) == "a"
    queue.add("a", 0.0)  # no news this time
    assert queue.next_due() is None
    delay = queue.finish("a", FAILED, 0.0)
    assert delay
    assert queue.next_due() == delay
