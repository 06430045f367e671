"""What appears while no database has its row: when it is held, what explains it, what clears it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from listener.control.inventory import PrefixIndex
from listener.control.reaper import Reaper
from listener.control.reconciler import Reconciler
from listener.core.evidence import Evidence, Memory
from listener.core.judge import Judge
from listener.core.resources import Resource
from listener.errors import NoAnswer
from tests.world.client import SimulatedEngine
from tests.world.database import Database
from tests.world.engine import Api, Clock, Daemon
from tests.world.parts import TOPOLOGY, Inline, P, base, network, service, topology

pytestmark = pytest.mark.usefixtures("at_once")

LIVE = topology("11111111")
WATCHED_SINCE = 5000.0
"""The engine's time of the first listing."""


class Host:
    """A listener that watches a host, on which one topology is alive.

    Args:
        listed: what else there was at its start.
        before: the host as an earlier run of it left it.
    """

    def __init__(self, *listed: Resource, before: Host | None = None, grace: float = 0.0) -> None:
        self.clock: Clock = before.clock if before else Clock()
        self.database: Database = before.database if before else Database(self.clock, rows={LIVE})
        self.daemon: Daemon = before.daemon if before else Daemon(self.clock)
        self.saved: list[Memory] = []
        memory = before.saved[-1] if before else None
        evidence = Evidence(grace, memory=memory, now=self.clock.now)
        self.judge = Judge([(self.database.ask, evidence)], memories=[memory], now=self.clock.now)
        self.index = PrefixIndex()
        self.engine = SimulatedEngine(Api(self.daemon))
        self.reconciler = Reconciler(
            index=self.index,
            judge=self.judge,
            reap=Reaper(self.engine, Inline(), 1, self.clock).reap,
            read=self.engine.read,
            clock=self.clock,
            learned=self.save,
        )
        self.index.replace([base("neighbour", LIVE, created=1.0), *listed], at=WATCHED_SINCE)
        self.engine.put(*listed)
        self.screen()

    def save(self) -> None:
        self.saved += self.reconciler.unsaved(everything=True).values()

    def create(self, *resources: Resource) -> None:
        """Events bring these."""
        self.engine.put(*resources)
        for resource in resources:
            self.index.put(resource)

    def screen(self) -> None:
        """Ask about everything, as after a listing, and reap what is orphaned."""
        found = self.reconciler.screen(listed=True)
        for prefix in found.orphans:
            self.reconciler.reconcile(prefix)
        self.held = found.held.keys()
        self.clock.now += 1.0

    def is_held(self, prefix: str = P) -> bool:
        """Whether it is held now."""
        self.screen()
        return prefix in self.held


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.mark.parametrize("born", [base(), network(), base(created=WATCHED_SINCE + 0.5)])
def test_what_appears_without_a_row_is_held_however_long_it_has_none(
    host: Host, born: Resource
) -> None:
    host.create(born)
    for _ in range(3):
        assert host.is_held()
        host.clock.now += 100_000.0


def test_what_a_later_listing_brings_has_appeared_if_it_was_made_after_the_first(
    host: Host,
) -> None:
    neighbour = base("neighbour", LIVE, created=1.0)
    young, old = base("young", created=5001.0), base("old", topology("22222222"), created=5000.0)
    host.index.replace([neighbour, young, old])
    assert host.is_held()
    assert not host.is_held("22222222")


def test_the_first_answer_decides_however_late(host: Host) -> None:
    host.create(base())
    host.database.failing = True
    for _ in range(3):
        with pytest.raises(NoAnswer):
            host.screen()
        host.clock.now += 1000.0
    host.database.failing = False
    assert host.is_held()


def test_who_had_a_row_at_first_is_witnessed(host: Host) -> None:
    host.create(base())
    host.database.rows.add(TOPOLOGY)
    host.screen()
    host.database.rows.discard(TOPOLOGY)
    assert not host.is_held()
    assert not host.engine.present


def test_a_mark_is_kept_before_anything_else_is_judged_and_outlives_a_restart(host: Host) -> None:
    born = base(created=WATCHED_SINCE + 1.0)
    host.create(born)
    host.reconciler.reconcile(P)
    assert host.saved[-1].unproven == {TOPOLOGY}
    assert Host(born, before=host).is_held()


def test_what_no_answer_was_about_is_judged_after_a_restart(host: Host) -> None:
    born = base(created=WATCHED_SINCE + 1.0)
    host.create(born)
    host.database.failing = True
    with pytest.raises(NoAnswer):
        host.screen()
    host.save()
    host.database.failing = False
    assert Host(born, before=host).is_held()


def test_an_id_takes_over_the_mark_of_its_bare_prefix(host: Host) -> None:
    host.create(network())
    assert host.is_held()
    host.create(base())
    host.index.discard("network")
    assert host.is_held()


def test_an_id_takes_over_a_mark_of_its_bare_prefix_that_is_older_than_this_run(host: Host) -> None:
    host.create(network())
    assert host.is_held()
    host.create(base())  # and nobody hears of it
    later = Host(network(), base(), before=host)
    later.index.discard("network")
    assert later.is_held()
    assert not host.engine.removed()


def test_an_id_that_joins_an_old_orphan_is_part_of_it() -> None:
    host = Host(network(created=1.0), grace=30.0)
    host.create(base())
    assert not host.is_held()
    for _ in range(31):
        host.screen()
    assert not host.engine.present


def test_an_id_beside_the_network_of_a_living_namesake_is_judged_by_itself(host: Host) -> None:
    namesake = topology(tail=2)
    host.database.rows.add(namesake)
    host.create(network())
    host.screen()
    host.create(base())
    assert host.is_held()


def test_an_event_counts_though_the_engines_clock_was_set_back(host: Host) -> None:
    host.create(base(created=WATCHED_SINCE - 3600.0))
    assert host.is_held()


def test_what_was_read_again_and_is_another_topologys_has_not_appeared(host: Host) -> None:
    host.index.put(base(created=1.0), read=True)
    assert not host.is_held()


def test_what_is_doubtful_neither_appears_nor_hides_what_does() -> None:
    doubtful = base("doubtful", verified=False, doubtful=True)
    host = Host(replace(doubtful, created=1.0))
    assert host.is_held()
    host.create(base())
    assert host.is_held()
    host.index.discard("doubtful")
    assert host.is_held(), "the rest appeared under watch, whatever was here"

    host = Host(replace(doubtful, created=1.0))
    host.index.replace([replace(doubtful, created=1.0), base(created=3e9)], at=2e9)
    assert host.index.take_appeared(), "by a listing as well"

    host = Host()
    host.index.put(doubtful, read=True)
    host.index.replace([base("neighbour", LIVE, created=1.0), doubtful])
    assert not host.index.take_appeared()


def test_a_bare_network_of_an_old_orphan_is_part_of_it() -> None:
    host = Host(base(created=1.0), grace=30.0)
    host.create(network())
    for _ in range(32):
        host.screen()
    assert not host.engine.present


def test_what_appears_during_the_removal_of_the_rest_goes_as_well() -> None:
    host = Host(base(created=1.0), grace=5.0)
    late = network("late")

    def appears() -> None:
        host.index.discard("base")  # the engine says so before the removal is over
        host.create(late)
        host.reconciler.screen()

    host.engine.on["read", "base"] = appears
    for _ in range(20):
        host.screen()
    assert not host.engine.present


# What explains it.


def reaped(*parts: Resource) -> Host:
    """A host on which an unwitnessed orphan of before the start was reaped."""
    host = Host(*parts)
    host.screen()
    assert not host.engine.present
    return host


LATE: Iterable[Resource] = [base("late"), service("late"), network("late")]


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("restarted", [False, True])
def test_the_rest_of_a_reaped_orphan_goes_as_well(late: Resource, restarted: bool) -> None:
    host = reaped(base(created=1.0), network(created=1.0))
    host.save()
    host.clock.now += 1200.0
    if restarted:
        host = Host(before=host)
    host.create(late)
    assert not host.is_held()
    assert not host.engine.present


def test_after_a_day_nothing_is_explained_by_it_any_more() -> None:
    host = reaped(base(created=1.0))
    host.clock.now += 86_401.0
    host.screen()
    host.create(base("late"))
    assert host.is_held()


@pytest.mark.parametrize("late", LATE)
def test_a_row_that_went_before_the_first_answer_is_explained_by_its_report(
    host: Host, late: Resource
) -> None:
    host.reconciler.note_deletions(0, [TOPOLOGY])
    host.clock.now += 1200.0
    host.create(late)
    assert not host.is_held()


def test_a_deploy_may_go_on_for_a_day_after_its_row_was_seen(host: Host) -> None:
    host.create(network())
    host.database.rows.add(TOPOLOGY)
    host.screen()
    host.database.rows.discard(TOPOLOGY)
    host.screen()
    assert not host.engine.present
    host.clock.now += 80_000.0
    host.screen()
    host.create(*LATE)
    assert not host.is_held()
    assert not host.engine.present


# What clears it.


def test_its_row_clears_it(host: Host) -> None:
    host.create(base())
    assert host.is_held()
    host.database.rows.add(TOPOLOGY)
    assert not host.is_held()
    host.database.rows.discard(TOPOLOGY)
    host.screen()
    assert not host.engine.present


@pytest.mark.parametrize("part", [base(), network()])
def test_a_report_of_it_clears_it_and_one_of_another_does_not(host: Host, part: Resource) -> None:
    host.create(part)
    host.reconciler.note_deletions(0, [topology("22222222")])
    assert host.is_held()
    host.reconciler.note_deletions(0, [TOPOLOGY])
    assert not host.is_held()
    assert not host.engine.present


def test_the_token_clears_it_and_explains_what_follows(host: Host) -> None:
    host.create(base())
    assert host.is_held()
    assert host.judge.release([P], host.judge.token([P]), host.clock.now)
    host.screen()
    assert not host.engine.present
    host.create(service("late"))
    assert not host.is_held()
    assert not host.engine.present
