"""What is left of a topology whose row is torn down: how long that has to last, what saves it."""

from __future__ import annotations

import pytest
from loguru import logger

from listener.control.observer import Observer, Sweep
from listener.core.evidence import REPLACED, Evidence, Memory, State, Verdict
from listener.core.judge import Hold, Judge, Peers
from listener.core.outcome import Screening
from listener.core.report import Report
from listener.core.resources import Resource
from listener.runtime.sweep import Findings
from listener.telemetry.metrics import Metrics
from listener.telemetry.status import StatusStore
from tests.world.database import Database
from tests.world.engine import Clock
from tests.world.host import Host
from tests.world.parts import TOPOLOGY, P, Q, base, network, service, topology

from .status import STATUS

OTHER = topology(tail=2)
"""Another one with the same prefix."""
RUNS = (State.WAITING, "its row is torn_down, --reap-torn-down runs")
LATER = (State.ALIVE, "a later answer has shown its row")
OVER = (State.ORPHAN, "torn down for more than 300 s")


def said(verdict: Verdict) -> tuple[State, str]:
    return verdict.state, verdict.evidence


class Bench:
    """A judge over some databases, who looks once a second as long as time passes."""

    def __init__(
        self,
        databases: int = 1,
        *,
        after: float = 300.0,
        memory: Memory | None = None,
        start: float = 1000.0,
        delay: float = 0.0,
    ) -> None:
        self.clock = Clock(start)
        self.databases = [Database(self.clock, identity=f"db{n}") for n in range(databases)]
        self.evidence = [
            Evidence(30.0, witnessed_only=True, memory=memory, now=start) for _ in self.databases
        ]
        self.peers = Peers()
        self.judge = Judge(
            [(d.ask, e) for d, e in zip(self.databases, self.evidence, strict=True)],
            torn_down_after=after,
            peers=lambda: self.peers,
            delay=delay,
        )

    def tear_down(self, *ids: str, of: int = 0) -> None:
        self.databases[of].rows |= set(ids)
        self.databases[of].torn_down |= set(ids)

    def look(self, *resources: Resource, seconds: int = 0) -> Verdict:
        """Of the first, after so many seconds."""
        for second in range(seconds + 1):
            self.clock.now += bool(second)
            answers = self.judge.ask({owner for r in resources for owner in r.owners})
            self.judge.observe(answers, resources)
        here = frozenset(owner for r in resources for owner in r.owners)
        self.judge.prune(answers, resources, here, listed=True)
        return self.judge.weigh(resources[0], answers)


@pytest.fixture
def bench() -> Bench:
    """With one database, in which a topology is torn down."""
    made = Bench()
    made.tear_down(TOPOLOGY)
    return made


@pytest.mark.parametrize("resource", [base(), network()])
def test_it_goes_once_its_row_was_seen_to_be_torn_down_for_long_enough(
    bench: Bench, resource: Resource
) -> None:
    verdict = bench.look(resource)
    assert (*said(verdict), verdict.wait) == (*RUNS, 300.0)
    assert bench.look(resource, seconds=299).wait == 1.0
    verdict = bench.look(resource, seconds=1)
    assert said(verdict) == OVER
    assert verdict.torn_down == (TOPOLOGY,)


def test_without_the_option_it_stays_and_is_told() -> None:
    bench = Bench(after=0.0)
    bench.tear_down(TOPOLOGY)
    verdict = bench.look(base(), seconds=1000)
    assert said(verdict) == (State.ALIVE, "its row exists, and is torn_down")
    assert verdict.torn_down == (TOPOLOGY,)


def test_any_other_status_and_no_row_end_the_time(bench: Bench) -> None:
    (database,) = bench.databases
    bench.look(base(), seconds=299)
    database.torn_down.clear()
    assert said(bench.look(base())) == (State.ALIVE, "its row exists")
    bench.tear_down(TOPOLOGY)
    assert bench.look(base()).wait == 300.0
    bench.look(base(), seconds=299)
    database.rows.clear()
    assert bench.look(base()).state is State.ORPHAN, "witnessed"
    bench.tear_down(TOPOLOGY)
    assert bench.look(base()).wait == 300.0


def test_an_outage_pauses_the_time(bench: Bench) -> None:
    bench.look(base(), seconds=100)
    bench.clock.now += 1000.0
    assert bench.look(base()).wait == 200.0
    bench.judge.interrupted(0)
    bench.clock.now += 1.0
    assert bench.look(base()).wait == 200.0
    assert bench.look(base(), seconds=1).wait == 199.0


def test_answers_about_others_are_no_observation_of_it(bench: Bench) -> None:
    bench.look(base(), seconds=100)
    for _ in range(100):
        bench.clock.now += 1.0
        bench.judge.observe(bench.judge.ask({Q}), [network("other", Q)])
    assert bench.look(base(), seconds=100).wait == 100.0


def test_a_restart_goes_on_with_the_time_observed_so_far(bench: Bench) -> None:
    bench.look(base(), seconds=200)
    memory = bench.judge.unsaved(everything=True)[0]
    assert memory.torn_down == {TOPOLOGY: 200.0}
    again = Bench(memory=memory, start=5.0)
    again.tear_down(TOPOLOGY)
    assert again.look(base()).wait == 100.0
    assert said(again.look(base(), seconds=100)) == OVER


def test_an_answer_that_was_overtaken_adds_nothing(bench: Bench) -> None:
    (database,), resources = bench.databases, [base()]
    bench.look(*resources, seconds=299)
    bench.clock.now += 1.0
    late = bench.judge.ask({TOPOLOGY})
    bench.clock.now += 1.0
    database.torn_down.clear()
    bench.look(*resources)
    bench.judge.observe(late, resources)
    assert said(bench.judge.weigh(resources[0], late)) == LATER
    bench.tear_down(TOPOLOGY)
    assert bench.look(*resources, seconds=1).wait == 299.0


def test_an_answer_that_was_overtaken_by_one_with_another_row_removes_nothing(
    bench: Bench,
) -> None:
    lan = network()
    bench.look(lan, seconds=300)
    late = bench.judge.ask(lan.owners)
    bench.clock.now += 1.0
    bench.databases[0].rows.add(OTHER)
    assert bench.look(lan).state is State.ALIVE
    bench.judge.observe(late, [lan])
    assert said(bench.judge.weigh(lan, late)) == LATER


@pytest.mark.parametrize("becomes", ["active", "torn_down"])
def test_an_answer_that_was_overtaken_in_any_database_removes_nothing(becomes: str) -> None:
    bench = Bench(2)
    bench.tear_down(TOPOLOGY)
    assert said(bench.look(base(), seconds=300)) == OVER
    late = bench.judge.ask({TOPOLOGY})
    bench.clock.now += 1.0
    bench.databases[1].rows.add(TOPOLOGY)
    if becomes == "torn_down":
        bench.tear_down(TOPOLOGY, of=1)
    bench.look(base())
    bench.judge.observe(late, [base()])
    assert said(bench.judge.weigh(base(), late)) == LATER


def test_a_status_that_is_not_read_counts_for_nothing_and_ends_nothing(bench: Bench) -> None:
    (database,) = bench.databases
    bench.look(base(), seconds=100)
    database.no_status = "does not let this account read it"
    assert said(bench.look(base(), seconds=100)) == (State.ALIVE, "its row exists")
    database.no_status = ""
    assert bench.look(base()).wait == 200.0


# Whose.


def test_what_only_its_name_ties_to_a_prefix_goes_once_every_row_with_it_is_torn_down(
    bench: Bench,
) -> None:
    bench.databases[0].rows.add(OTHER)
    assert said(bench.look(network(), seconds=300)) == (State.ALIVE, "its row exists")
    assert said(bench.look(base(), network())) == OVER
    bench.tear_down(OTHER)
    assert bench.look(network(), seconds=100).wait == 200.0
    assert said(bench.look(network(), seconds=200)) == OVER


def test_a_row_whose_id_is_written_otherwise_keeps_what_it_may_be_of(bench: Bench) -> None:
    (database,) = bench.databases
    database.rows.add(otherwise := TOPOLOGY.replace("-", ""))
    assert said(bench.look(base(), seconds=300)) == (State.ALIVE, "its row exists")
    bench.tear_down(otherwise)
    assert bench.look(base(), seconds=300).state is State.ALIVE


def test_every_database_that_has_a_row_of_it_has_to_say_so() -> None:
    bench = Bench(2)
    bench.tear_down(TOPOLOGY)
    bench.databases[1].rows.add(TOPOLOGY)
    assert bench.look(base(), seconds=300).state is State.ALIVE
    bench.tear_down(TOPOLOGY, of=1)
    assert bench.look(base()).wait == 300.0
    bench.databases[0].rows.clear()
    assert said(bench.look(base(), seconds=300)) == OVER


def test_all_owners_have_to_be_torn_down_or_orphaned(bench: Bench) -> None:
    two = base("two", TOPOLOGY, Q)
    assert bench.look(two, seconds=300).state is State.HELD, "the other was never seen"
    bench.databases[0].rows.add(topology(Q))
    assert bench.look(two).state is State.ALIVE
    bench.databases[0].rows.discard(topology(Q))
    assert bench.look(two).state is State.ORPHAN


def test_a_delay_does_not_add_to_it() -> None:
    bench = Bench(delay=1000.0)
    bench.tear_down(TOPOLOGY)
    assert said(bench.look(base(), seconds=300)) == OVER


# What holds it all the same.


@pytest.mark.parametrize("never_seen", [True, False])
def test_the_hold_of_another_listener_binds_but_where_it_never_saw_the_row(
    bench: Bench, never_seen: bool
) -> None:
    bench.peers = Peers({P: Hold("another holds it", never_seen)})
    verdict = bench.look(base(), seconds=300)
    assert said(verdict) == (OVER if never_seen else (State.HELD, "another holds it"))


def test_a_container_that_may_have_inherited_its_labels_is_held_until_it_is_confirmed(
    bench: Bench,
) -> None:
    doubtful = base(doubtful=True)
    assert bench.look(doubtful, base("sure"), seconds=300).state is State.HELD
    assert bench.judge.release([P], bench.judge.token([P]), bench.clock.now)
    assert said(bench.look(doubtful)) == (State.ORPHAN, "confirmed by an operator")


def test_the_table_that_is_there_now_has_to_show_it_for_all_of_the_time(bench: Bench) -> None:
    bench.look(base(), seconds=299)
    bench.databases[0].replace({TOPOLOGY})
    assert bench.look(base()).wait == 300.0
    assert said(bench.look(base(), seconds=300)) == OVER


def test_a_prefix_is_held_while_a_row_with_it_may_not_have_been_restored_yet(bench: Bench) -> None:
    (database,), lan = bench.databases, network()
    database.rows.add(OTHER)
    bench.look(lan)
    database.replace({TOPOLOGY})
    for _ in range(3):
        verdict = bench.look(lan, base(), seconds=300)
        assert said(verdict) == (State.HELD, REPLACED)
    assert said(bench.look(base(), lan)) == OVER, "its id is known"
    database.rows.add(OTHER)
    assert bench.look(lan).state is State.ALIVE
    bench.tear_down(OTHER)
    assert said(bench.look(lan, seconds=300)) == OVER


def test_a_token_releases_it_from_doubt_and_not_from_the_time(bench: Bench) -> None:
    (database,), lan = bench.databases, network()
    database.rows.add(OTHER)
    bench.look(lan)
    database.replace({TOPOLOGY})
    bench.look(lan, seconds=100)
    assert bench.judge.release([P], bench.judge.token([P]), bench.clock.now)
    assert bench.look(lan).wait == 200.0


@pytest.mark.parametrize("after", [0.0, 300.0])
def test_a_change_of_the_table_is_past_once_what_is_torn_down_may_not_go_by_it(
    after: float,
) -> None:
    bench, lan = Bench(after=after), network()
    bench.tear_down(TOPOLOGY)
    bench.databases[0].rows.add(OTHER)
    bench.look(lan)
    bench.databases[0].replace({TOPOLOGY})
    for _ in range(2):
        bench.look(lan)
    assert bench.judge.unsaved(everything=True)[0].replaced == bool(after)


# A report of it.


def test_a_report_of_a_status_is_none_of_a_deletion(bench: Bench) -> None:
    unproven = topology(Q)
    bench.judge.appeared({unproven: False})
    bench.look(base("new", unproven))
    bench.judge.note_teardowns(0, [unproven], bench.clock.now)
    assert not bench.judge.reported(Q, bench.clock.now)
    verdict = bench.look(base("new", unproven))
    assert verdict.state is State.HELD
    assert bench.judge.unsaved()[0].unproven == {unproven}
    assert not bench.judge.unsaved(everything=True)[0].vouched


def test_a_report_begins_the_time_anew(bench: Bench) -> None:
    bench.look(base(), seconds=299)
    late = bench.judge.ask({TOPOLOGY})
    bench.clock.now += 1.0
    bench.judge.note_teardowns(0, [TOPOLOGY, OTHER], bench.clock.now)  # it was active since
    bench.judge.observe(late, [base()])
    assert bench.look(base()).wait == 300.0
    assert said(bench.look(base(), seconds=300)) == OVER
    assert bench.evidence[0].memory.torn_down == {TOPOLOGY: 300.0}, "and no other is counted"


@pytest.fixture
def host() -> Host:
    """A host with what is left of a topology, and a listener that does not sweep by itself."""
    host = Host(torn_down_after=300.0)
    host.database.rows.add(TOPOLOGY)
    host.appear(base(), service(), network())
    host.sweep("start-up")
    host.settle(100.0)
    return host


def test_a_report_begins_the_time_at_once_and_without_a_sweep(host: Host) -> None:
    host.database.torn_down.add(TOPOLOGY)
    host.controller.hinted(0, [TOPOLOGY], torn_down=True)
    host.settle(299.0)
    assert len(host.index) == 3
    host.settle(3.0)
    assert not len(host.index)
    assert host.controller.missed(0) == 0


def test_it_is_looked_for_again_while_the_status_does_not_show(host: Host) -> None:
    host.controller.hinted(0, [TOPOLOGY], torn_down=True)
    host.settle(0.3)
    host.database.torn_down.add(TOPOLOGY)
    host.settle(303.0)
    assert not len(host.index)


def test_a_status_that_changes_back_saves_it(host: Host) -> None:
    host.database.torn_down.add(TOPOLOGY)
    host.controller.hinted(0, [TOPOLOGY], torn_down=True)
    host.settle(298.0)
    host.database.torn_down.clear()
    host.settle(100.0)
    assert len(host.index) == 3


def test_what_a_sweep_finds_torn_down_for_long_enough_is_no_missed_deletion() -> None:
    host = Host(torn_down_after=10.0)
    host.database.rows.add(TOPOLOGY)
    host.appear(base())
    host.sweep("start-up")
    host.controller.hinted(0)
    host.settle(1.0)
    host.database.torn_down.add(TOPOLOGY)
    for _ in range(30):
        host.sweep("timer")
        host.settle(1.0)
    assert not len(host.index)
    assert host.controller.missed(0) == 0


# Where it is told.


class Kept(Observer):
    """Keeps the last screening."""

    screening: Screening | None = None

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:  # noqa: ARG002
        self.screening = screening


def test_it_is_told_as_soon_as_it_is_seen_and_until_it_is_gone() -> None:
    store = StatusStore()
    host = Host(observer=store)
    host.database.rows.add(TOPOLOGY)
    host.appear(base(), network())
    host.sweep("start-up")
    host.settle(1.0)
    assert store.torn_down(host.index) == []
    host.database.torn_down.add(TOPOLOGY)
    host.controller.hinted(0, [TOPOLOGY], torn_down=True)
    host.settle(1.0)
    told = [{"prefix": P, "id": TOPOLOGY, "resources": 2, "stays": True}]
    assert store.torn_down(host.index) == told
    host.index.discard("network")
    assert store.torn_down(host.index) == [{**told[0], "resources": 1}]
    host.database.torn_down.clear()
    host.controller.hinted(0)
    host.settle(1.0)
    assert store.torn_down(host.index) == []


def test_a_report_tells_what_is_left_and_is_complete_all_the_same() -> None:
    kept = Kept()
    host = Host(observer=kept)
    host.database.rows |= {TOPOLOGY, topology(Q)}
    host.database.torn_down.add(TOPOLOGY)
    host.appear(base(), network(), base("alive", topology(Q)))
    host.sweep()
    host.step()
    screening = kept.screening
    assert screening is not None
    report = Report.of(screening, dry_run=False)
    assert report.torn_down == [{"prefix": P, "id": TOPOLOGY, "resources": 2, "stays": True}]
    assert report.complete
    assert "2 resources are still here; decnet topology delete" in report.to_text()
    left = Report.of(screening, dry_run=False, gone={"base", "network"})
    assert left.torn_down == []


def test_the_option_is_not_advised_where_it_is_given() -> None:
    kept = Kept()
    host = Host(torn_down_after=300.0, observer=kept)
    host.database.rows.add(TOPOLOGY)
    host.database.torn_down.add(TOPOLOGY)
    host.appear(base(), network())
    host.sweep()
    host.step()
    assert kept.screening is not None
    report = Report.of(kept.screening, dry_run=False)
    assert report.torn_down == [{"prefix": P, "id": TOPOLOGY, "resources": 2, "stays": False}]
    assert "2 resources are still here\n" in report.to_text()


def test_what_is_left_is_counted_for_prometheus() -> None:
    leftovers = [{"prefix": p, "id": topology(p), "resources": 2} for p in (P, Q)]
    metrics = Metrics(lambda: {**STATUS, "torn_down": leftovers})
    assert b"topology_reaper_torn_down_resources 4.0\n" in metrics.render()


def test_a_sweep_that_cannot_read_the_status_says_so() -> None:
    kept = Kept()
    host = Host(torn_down_after=300.0, observer=kept)
    host.database.no_status = "has no column status; ALTER TABLE"
    host.appear(base())
    host.sweep()
    host.step()
    assert kept.screening is not None
    report = Findings().report(kept.screening, dry_run=False)
    assert report.errors == ["--reap-torn-down: has no column status; ALTER TABLE"]


def test_it_is_said_once_that_a_status_cannot_be_read() -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{extra[event]} {message}")
    for after, count in ((0.0, 0), (300.0, 1)):
        host = Host(torn_down_after=after)
        host.database.no_status = "has no column status; ALTER TABLE"
        host.appear(base())
        for _ in range(3):
            host.sweep()
            host.settle(10.0)
        told = [line for line in lines if line.startswith("unread ")]
        assert len(told) == count
        assert all("ALTER TABLE" in line for line in told)
    logger.remove(sink)
