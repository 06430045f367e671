"""What leads to what: events, listings and hints, step by step and without a thread."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from listener.control.controller import EVERYTHING, SCREEN_SPACING
from listener.control.lane import Lane
from listener.control.observer import Observer, Reconciled
from listener.core.evidence import OUTAGE
from listener.core.workqueue import DONE, Next
from listener.engine.mirror import Mirror
from listener.errors import EngineError, TimedOut
from tests.world.engine import Clock
from tests.world.host import Host
from tests.world.parts import TOPOLOGY, P, Q, base, network, topology

if TYPE_CHECKING:
    from loguru import Record

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def host() -> Host:
    """A live topology, and the first sweep done."""
    made = Host()
    made.database.rows.add(TOPOLOGY)
    made.appear(base(), network())
    made.controller.hinted(0)
    made.sweep()
    made.settle(1.0)
    assert made.controller.ready.is_set()
    return made


def events(log: list[Record], event: str) -> list[Record]:
    return [record for record in log if record["extra"].get("event") == event]


def test_a_hint_that_any_may_have_gone_leads_to_a_reap(host: Host) -> None:
    host.database.rows.clear()
    host.controller.hinted(0)
    assert host.step() == [EVERYTHING, P]
    assert not host.engine.present


def test_a_reported_deletion_leads_to_a_reap_without_a_screening(host: Host) -> None:
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    assert host.step() == [P]
    assert not host.engine.present


def test_a_report_about_another_host_is_no_work(host: Host) -> None:
    host.controller.hinted(0, [topology(Q)])
    assert host.step() == []


@pytest.mark.parametrize("visible_after", [2**-8, 0.25, 1.5])
def test_a_reported_row_that_is_visible_for_a_while_is_reaped_without_a_sweep(
    host: Host, visible_after: float
) -> None:
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(visible_after)
    assert host.engine.present
    host.database.rows.clear()
    host.settle(2.0)
    assert not host.engine.present


def test_what_appears_under_a_row_that_is_gone_is_reaped(host: Host) -> None:
    host.database.rows.clear()
    host.appear(base("late"))
    host.step()
    assert not host.engine.present


def test_a_burst_of_hints_is_a_screening_at_once_and_one_a_tenth_of_a_second_later(
    host: Host,
) -> None:
    host.clock.now += 1.0
    asked = len(host.database.asked)
    for _ in range(100):
        host.controller.hinted(0)
        host.step()
        host.clock.now += SCREEN_SPACING / 200
    assert len(host.database.asked) - asked == 1
    host.settle(SCREEN_SPACING)
    assert len(host.database.asked) - asked == 2


def test_without_docker_nothing_is_reconciled_and_the_next_listing_goes_on(host: Host) -> None:
    host.listener.docker_up = False
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(100.0)
    assert host.engine.removed() == []
    host.listener.docker_up = True
    host.sweep()
    host.settle(1.0)
    assert not host.engine.present


def test_without_the_database_it_is_asked_until_it_answers(host: Host) -> None:
    host.database.failing = True
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(1800.0)
    assert host.engine.removed() == []
    host.database.rows.clear()
    host.database.failing = False
    host.settle(61.0)  # the longest pause between two attempts
    assert not host.engine.present


def test_what_failed_is_tried_again_and_a_listing_hastens_it(host: Host) -> None:
    host.engine.faults[("remove", "base")] = [EngineError("no") for _ in range(100)]
    host.database.rows.clear()
    host.controller.hinted(0)
    host.settle(200.0)
    tried = len(host.engine.removed())
    assert tried > 3
    host.engine.faults.clear()
    host.sweep()
    host.step()
    assert not host.engine.present


def test_what_waits_for_its_grace_goes_without_another_event(host: Host) -> None:
    host.appear(base("stranger", topology(Q)))
    host.settle(29.0)
    assert "stranger" in host.engine.present
    host.settle(2.0)
    assert "stranger" not in host.engine.present


def test_it_is_ready_once_all_that_shows_it_knows_the_first_sweep() -> None:
    seen: list[tuple[str, bool]] = []

    class Order(Observer):
        def screened(self, *_: object) -> None:
            seen.append(("screened", made.controller.ready.is_set()))

        def ready(self, *_: object) -> None:
            seen.append(("ready", made.controller.ready.is_set()))

    made = Host(observer=Order())
    made.sweep()
    made.step()
    assert seen == [("screened", False), ("ready", True)]


def test_what_is_held_is_said_once_with_its_token(log: list[Record]) -> None:
    host = Host()
    host.appear(base())
    host.sweep()
    for _ in range(5):
        host.settle(100.0)
        host.sweep()
    (said,) = events(log, "held")
    assert f"--confirm {said['extra']['token']}" in said["message"]
    assert host.engine.removed() == []


def test_the_line_that_it_is_ready_counts_what_is_here(log: list[Record]) -> None:
    host = Host()
    host.database.rows.add(TOPOLOGY)
    host.engine.put(base(), base("other", topology(Q)))
    host.sweep()
    host.step()
    (said,) = events(log, "ready")
    assert "1 alive, 0 to remove, 1 waiting for up to 30 s, 0 held" in said["message"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_dry_run_does_not_say_that_it_removes(log: list[Record], dry_run: bool) -> None:
    host = Host(dry_run=dry_run)
    host.database.rows.add(TOPOLOGY)
    host.engine.put(base())
    host.sweep()
    host.step()
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    host.step()
    assert len(events(log, "removing")) == len(events(log, "reaped")) == (not dry_run)


def test_what_is_no_longer_held_is_said_with_the_reason(log: list[Record]) -> None:
    host = Host()
    host.appear(base())
    host.appear(base("other", topology(Q)))
    host.sweep()
    host.settle(1.0)
    (held,) = events(log, "held")
    assert held["extra"]["prefix"] == f"{P} {Q}"
    host.database.rows.add(TOPOLOGY)
    host.index.discard("other")
    host.controller.vanished(Q)
    host.settle(1.0)
    (over,) = events(log, "released")
    assert over["extra"]["prefix"] == f"{P} {Q}"
    assert f"{P}, because its row exists" in over["message"]
    assert f"{Q}, because nothing of it is left here" in over["message"]


def test_what_only_an_event_calls_ours_is_not_said_to_be_held_until_a_listing_does_too(
    log: list[Record],
) -> None:
    host = Host()
    host.sweep()
    host.settle(1.0)
    host.appear(base(verified=False), unconfirmed=True)
    host.settle(1.0)
    assert host.listener.relists
    assert not events(log, "held")
    host.sweep()
    host.settle(1.0)
    (said,) = events(log, "held")
    assert said["extra"]["prefix"] == P


def test_a_delay_is_kept_and_the_row_that_returns_cancels_the_reap() -> None:
    host = Host(delay=60.0)
    host.database.rows.add(TOPOLOGY)
    host.appear(base())
    host.sweep()
    host.settle(1.0)
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(59.0)
    host.database.rows.add(TOPOLOGY)
    host.settle(10.0)
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(59.0)
    assert host.engine.present
    host.settle(2.0)
    assert not host.engine.present


def test_a_deletion_that_only_a_sweep_finds_is_said(host: Host, log: list[Record]) -> None:
    host.database.rows.clear()
    host.clock.now += 10.0
    host.sweep()
    host.settle(1.0)
    (said,) = events(log, "unheard")
    assert (said["extra"]["prefix"], said["extra"]["count"]) == (P, 1)


def test_while_the_removal_of_what_was_never_seen_goes_on_its_absence_is_observed(
    host: Host,
) -> None:
    host.appear(base("stranger", topology(Q)))
    host.settle(29.0)
    host.engine.faults["remove", "stranger"] = [EngineError("busy") for _ in range(100)]
    host.settle(60.0)
    assert "stranger" in host.engine.present
    times = [at for at, _ in host.database.asked]
    assert max(later - at for at, later in pairwise(times)) < OUTAGE


@pytest.mark.parametrize("lost", [True, False])
def test_a_deletion_that_a_feed_told_or_could_not_tell_is_not_said(
    host: Host, log: list[Record], lost: bool
) -> None:
    host.database.rows.clear()
    host.clock.now += 10.0
    if lost:
        host.controller.feed_lost(0, broken=True)
    else:
        host.controller.hinted(0, [TOPOLOGY])
    host.sweep()
    host.settle(1.0)
    assert not host.engine.present
    assert not events(log, "unheard")


def test_what_appears_while_the_database_fails_has_its_whole_grace_after_that(host: Host) -> None:
    host.database.failing = True
    host.appear(base("stranger", topology(Q)))
    host.settle(1800.0)
    host.database.failing = False
    host.controller.hinted(0)
    host.settle(29.0)
    assert "stranger" in host.engine.present
    host.settle(2.0)
    assert "stranger" not in host.engine.present


# A lane with threads.


def test_a_lane_gives_each_key_to_one_thread_and_ends_when_it_is_told_to() -> None:
    stop, done, seen = threading.Event(), threading.Event(), []

    def handle(key: str) -> Next:
        seen.append(key)
        if len(seen) == 50:
            done.set()
        return DONE

    lane = Lane(handle, Clock())

    def serve() -> None:
        while (key := lane.await_key(stop)) is not None:
            lane.work(key)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(50):
        lane.add(str(number))
    assert done.wait(30.0)
    stop.set()
    lane.wake()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    assert sorted(seen, key=int) == [str(number) for number in range(50)]


def test_a_key_whose_work_raises_is_tried_again() -> None:
    clock = Clock()

    def handle(_key: str) -> Next:
        raise ZeroDivisionError

    lane = Lane(handle, clock)
    lane.add(P)
    key = lane.take()
    assert key == P
    with pytest.raises(ZeroDivisionError):
        lane.work(key)
    assert lane.take() is None
    clock.now += 1.0
    assert lane.take() == P


# What ends after our patience.


def given_up(host: Host, *ids: str) -> None:
    """The engine does not answer the removals of these in time."""
    for id_ in ids:
        host.engine.faults["remove", id_] = [TimedOut("too slow")]
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    assert host.step() == [P]


def removed(log: list[Record]) -> list[str]:
    return [record["extra"]["id"] for record in events(log, "removed")]


def test_what_was_given_up_is_told_as_soon_as_its_event_comes(
    host: Host, log: list[Record]
) -> None:
    given_up(host, "base", "network")
    mirror = Mirror(host.index, host.controller.appeared, host.controller.vanished)
    for id_ in ("base", "network"):
        host.engine.daemon.delete(host.engine.present[id_], host.listener.run)
        kind = "network" if id_ == "network" else "container"
        actor = {"ID": id_, "Attributes": {"name": id_}}
        mirror.apply(json.dumps({"Type": kind, "Action": "destroy", "Actor": actor}).encode())
    assert host.step() == [P]
    assert sorted(removed(log)) == ["base", "network"]
    assert host.controller.reconcile_lane.next_due() is None


def test_what_was_given_up_is_told_after_a_listing_though_docker_was_away(
    host: Host, log: list[Record]
) -> None:
    given_up(host, "base", "network")
    host.listener.docker_up = False
    host.settle(100.0)
    for thing in list(host.engine.present.values()):
        host.engine.daemon.delete(thing, host.listener.run)
    host.listener.docker_up = True
    host.sweep()
    host.step()
    assert sorted(removed(log)) == ["base", "network"]
    host.settle(1000.0)
    assert len(removed(log)) == 2


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.done: list[Reconciled] = []

    def reconciled(self, done: Reconciled) -> None:
        self.done.append(done)


def test_the_time_of_what_was_given_up_counts_from_the_hint(host: Host) -> None:
    told = host.controller._observer = Told()
    given_up(host, "base", "network")
    host.listener.docker_up = False
    host.settle(128.0)
    for thing in list(host.engine.present.values()):
        host.engine.daemon.delete(thing, host.listener.run)
    host.listener.docker_up = True
    host.sweep()
    host.step()
    assert told.done[-1].outcome.ended
    assert told.done[-1].since_noticed >= 128.0
