"""Looking, asking, judging and reaping: the order of it, and what each answer leads to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import pytest

from listener.control.inventory import PrefixIndex
from listener.control.observer import Observer
from listener.control.reaper import ATTEMPTS, Permit, Reaper
from listener.control.reconciler import FRESH, REQUEST_LASTS, Reconciler
from listener.core.evidence import Answer, Evidence, Memory, State
from listener.core.judge import Judge
from listener.core.outcome import Outcome, Removal, Result, Screening
from listener.core.resources import Kind, Resource, Stage
from listener.errors import EngineError, InProgress, NoAnswer, Refused, TimedOut
from tests.world.client import SimulatedEngine
from tests.world.database import Database
from tests.world.engine import Api, Clock, Daemon
from tests.world.parts import TOPOLOGY, Inline, P, Q, base, network, service, topology

pytestmark = pytest.mark.usefixtures("at_once")

OTHER = topology(tail=2)


class World:
    """The real index, evidence, reconciler and reaper, between simulated sides."""

    def __init__(self, *, grace: float = 30.0, engine_now: float | None = None) -> None:
        self.clock = Clock()
        self.database = Database(self.clock)
        self.engine = SimulatedEngine(Api(Daemon(self.clock)))
        self.volumes: list[str] = []
        self.volumes_fail = False
        self.images: list[Resource] = []
        self.images_due = False
        self.while_listing: Callable[[], object] = lambda: None
        self.asked_for: list[set[str]] = []
        self.index = PrefixIndex()
        self.evidence = Evidence(grace)
        self.judge = Judge([(self.database.ask, self.evidence)])
        self.reaper = Reaper(self.engine, Inline(), 1, self.clock)
        self.reconciler = self.reconciler_with(self.reaper.reap, engine_now)

    def reconciler_with(
        self,
        reap: object,
        engine_now: float | None = None,
        *,
        dry_run: bool = False,
        observer: Observer | None = None,
    ) -> Reconciler:
        return Reconciler(
            index=self.index,
            judge=self.judge,
            reap=reap,  # type: ignore[arg-type]
            read=self.engine.read,
            remove_volume=self.remove_volume,
            list_images=self.list_images,
            dry_run=dry_run,
            clock=self.clock,
            observer=observer,
            engine_now=engine_now,
        )

    def remove_volume(self, name: str) -> bool:
        """Remove a volume, unless it is named."""
        if self.volumes_fail:
            raise EngineError("403: denied")
        self.volumes.append(name)
        return name != "named"

    def list_images(self, leaving: Collection[str]) -> Sequence[Resource]:
        """Those that are left."""
        self.while_listing()
        self.asked_for.append(set(leaving))
        return list(self.images)

    def reconcile(self) -> Outcome:
        """Reconcile the topology, as where images go as well."""
        outcome = self.reconciler.reconcile(P)
        self.images_due = self.reconciler.images.note(P, outcome)
        return outcome

    def reap_images(self, prefix: str = P) -> dict[str, Result]:
        """What becomes of a topology's images."""
        outcomes = self.reconciler.images.reap()
        return self.results(outcomes[prefix]) if prefix in outcomes else {}

    def deploy(self, *resources: Resource, rows: Iterable[str] = (TOPOLOGY,)) -> None:
        """Resources whose rows were seen once."""
        self.engine.put(*resources)
        for resource in resources:
            self.index.put(resource)
        self.database.rows |= set(rows)
        self.reconciler.screen()
        self.database.asked.clear()
        self.engine.calls.clear()

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    def results(self, outcome: Outcome) -> dict[str, Result]:
        return {removal.resource.id: removal.result for removal in outcome.removals}


def waits(screening: Screening) -> dict[str, float]:
    """For how long each prefix has to wait."""
    return {prefix: verdict.wait for prefix, verdict in screening.waiting.items()}


@pytest.fixture
def world() -> World:
    return World()


def test_a_deleted_row_takes_everything_of_its_topology_along(world: World) -> None:
    world.deploy(base(), service(), network())
    world.database.rows.clear()
    outcome = world.reconciler.reconcile(P)
    assert set(world.results(outcome).values()) == {Result.REMOVED}
    assert not world.engine.present
    assert len(world.index) == 0
    assert not outcome.unfinished
    assert all("witnessed" in verdict.evidence for verdict in outcome.verdicts.values())


def test_without_an_answer_nothing_is_removed_and_nothing_forgotten(world: World) -> None:
    world.deploy(base(), network())
    world.database.rows.clear()
    world.database.failing = True
    with pytest.raises(NoAnswer):
        world.reconciler.reconcile(P)
    with pytest.raises(NoAnswer):
        world.reconciler.screen()
    assert world.engine.calls == []
    assert len(world.index) == 2


def test_the_question_comes_after_the_resource_was_known(world: World) -> None:
    world.deploy(base())
    world.database.rows.clear()
    # It appears, and its row is deleted, while the question is on its way.
    world.database.before = lambda: world.index.put(service())
    outcome = world.reconciler.reconcile(P)
    assert set(world.results(outcome)) == {"base"}
    assert world.index.get("service") is not None


def test_the_question_is_about_every_owner_of_every_resource(world: World) -> None:
    shared = base("shared", TOPOLOGY, Q)
    world.deploy(shared, rows=[TOPOLOGY, topology(Q)])
    world.database.rows.remove(TOPOLOGY)
    assert world.reconciler.reconcile(P).removals == ()
    assert [prefixes for _, prefixes in world.database.asked] == [{P, Q}]
    world.database.rows.clear()
    assert world.results(world.reconciler.reconcile(P)) == {"shared": Result.REMOVED}


# The permit, by an injected clock.


def questions(world: World) -> int:
    return len(world.database.asked)


@pytest.mark.parametrize(
    ("age", "fresh", "asked"),
    [(0.0, False, 1), (FRESH * 0.99, False, 1), (FRESH, False, 2), (9.0, False, 2), (0.0, True, 2)],
)
def test_an_answer_justifies_a_removal_for_one_second(
    world: World, age: float, fresh: bool, asked: int
) -> None:
    world.deploy(base())
    world.database.rows.clear()
    allowed: list[bool] = []

    def reap(doomed: Iterable[Resource], permit: Permit) -> Sequence[Removal]:
        world.pass_time(age)
        allowed.extend(permit(resource, fresh=fresh) for resource in doomed)
        return []

    world.reconciler_with(reap).reconcile(P)
    assert allowed == [True]
    assert questions(world) == asked
    assert FRESH <= 1.0


def test_an_answer_that_takes_longer_than_it_is_true_permits_nothing(world: World) -> None:
    world.deploy(base())
    world.database.rows.clear()

    def slowly(prefixes: Iterable[str]) -> Answer:
        answer = world.database.ask(prefixes)
        world.pass_time(FRESH)
        return answer

    evidence = Evidence(30.0, memory=Memory("one", frozenset({TOPOLOGY}), vouched=True))
    world.judge = Judge([(slowly, evidence)])
    outcome = world.reconciler_with(world.reaper.reap).reconcile(P)
    assert world.results(outcome) == {"base": Result.FAILED}
    assert "took longer" in outcome.errors[0]
    assert world.engine.removed() == []


def test_each_retry_and_each_network_asks_again(world: World) -> None:
    world.deploy(base(), network("n1"), network("n2"))
    world.database.rows.clear()
    world.engine.faults["remove", "base"] = [EngineError("busy")]
    world.reconciler.reconcile(P)
    assert questions(world) == 1 + 1 + 2  # at first, for the retry, for each network


@pytest.mark.parametrize("slow", ["attached", "endpoints"])
def test_a_network_is_taken_apart_by_a_fresh_answer_even_where_looking_at_it_took_long(
    world: World, slow: str
) -> None:
    world.deploy(network())
    world.database.rows.clear()
    world.engine.on[slow, "network"] = lambda: world.pass_time(5.0)
    removed_at: list[float] = []
    world.engine.on["remove", "network"] = lambda: removed_at.append(world.clock.now)
    world.reconciler.reconcile(P)
    assert len(removed_at) == 1
    assert removed_at[0] - world.database.asked[-1][0] < FRESH


def test_a_row_that_comes_back_while_a_network_is_looked_at_saves_it_and_its_endpoints(
    world: World,
) -> None:
    world.deploy(network())
    world.database.rows.clear()
    lan = world.engine.daemon.networks["network"]
    world.engine.daemon.create_container("tcpdump", {}, network=lan)

    def comes_back() -> None:
        world.database.rows.add(TOPOLOGY)
        world.pass_time(5.0)

    world.engine.on["endpoints", "network"] = comes_back
    assert world.results(world.reconciler.reconcile(P)) == {"network": Result.SPARED}
    assert world.engine.verbs("disconnect", "remove") == []


def test_who_was_disconnected_is_told_with_the_evidence_of_then(world: World) -> None:
    world.deploy(network())
    world.database.rows.clear()
    lan = world.engine.daemon.networks["network"]
    world.engine.daemon.create_container("tcpdump", {}, network=lan, id_="tcpdump-id")

    def comes_back() -> None:
        world.database.rows.add(TOPOLOGY)
        world.pass_time(5.0)

    world.engine.on["disconnect", "network tcpdump-id"] = comes_back
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"network": Result.SPARED}
    assert [endpoint.name for endpoint in outcome.removals[0].disconnected] == ["tcpdump"]
    assert "witnessed" in outcome.verdicts["network"].evidence


def test_a_row_that_comes_back_between_two_removals_saves_the_rest(world: World) -> None:
    world.deploy(base(), service(), network())
    world.database.rows.clear()
    world.engine.on["remove", "base"] = lambda: world.database.rows.add(TOPOLOGY)
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {
        "base": Result.REMOVED,
        "network": Result.SPARED,
        "service": Result.SPARED,
    }
    assert world.engine.removed() == ["base"]
    assert not outcome.unfinished
    assert {"network", "service"} <= set(world.engine.present)


class Told(Observer):
    """What of the engine was there when each removal was told, and on what evidence it was."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.begun: list[str] = []
        self.ends: list[tuple[str, str, set[str]]] = []

    def reaping(self, doomed: Collection[Resource], prefix: str, evidence: str) -> None:
        self.begun.append(f"{prefix} {len(doomed)} {evidence}")
        assert {resource.id for resource in doomed} <= set(self._world.engine.present)

    def ended(self, removal: Removal, prefix: str, evidence: str) -> None:  # noqa: ARG002
        self.ends.append((removal.resource.id, evidence, set(self._world.engine.present)))


def test_each_removal_is_told_as_soon_as_it_has_ended(world: World) -> None:
    world.deploy(base(), service(), network())
    world.database.rows.clear()
    told = Told(world)
    world.reconciler_with(world.reaper.reap, observer=told).reconcile(P)
    witnessed = "witnessed: its row was seen before and is gone"
    assert told.begun == [f"{P} 3 {witnessed}"]
    assert told.ends == [
        ("base", witnessed, {"network", "service"}),
        ("network", witnessed, {"service"}),
        ("service", witnessed, set()),
    ]


def test_what_is_seen_to_be_foreign_is_not_said_to_begin(world: World) -> None:
    world.deploy(base("foreign", verified=False))
    world.engine.daemon.containers["foreign"].labels.clear()
    world.database.rows.clear()
    told = Told(world)
    reconciler = world.reconciler_with(world.reaper.reap, observer=told)
    assert world.results(reconciler.reconcile(P)) == {"foreign": Result.MISTAKEN}
    assert told.begun == []
    world.index.put(base("foreign", verified=False))  # by an event of before
    world.deploy(base(), rows=())
    reconciler.reconcile(P)
    assert told.begun == [f"{P} 1 witnessed: its row was seen before and is gone"]


def test_what_may_not_go_any_more_is_not_said_to_begin(world: World) -> None:
    world.deploy(base())
    world.database.rows.clear()

    def comes_back(doomed: Collection[Resource], permit: Permit) -> Iterable[Removal]:
        world.database.rows.add(TOPOLOGY)
        world.pass_time(FRESH)
        return world.reaper.reap(doomed, permit)

    told = Told(world)
    outcome = world.reconciler_with(comes_back, observer=told).reconcile(P)
    assert world.results(outcome) == {"base": Result.SPARED}
    assert told.begun == []


def test_what_is_still_there_before_it_was_permitted_is_said_to_begin(world: World) -> None:
    world.deploy(network())
    world.database.rows.clear()
    told = Told(world)

    def is_in_use(doomed: Collection[Resource], _permit: Permit) -> Iterable[Removal]:
        return [Removal(resource, Result.FAILED, "tcpdump is on it") for resource in doomed]

    world.reconciler_with(is_in_use, observer=told).reconcile(P)
    assert told.begun == [f"{P} 1 witnessed: its row was seen before and is gone"]


def test_what_went_is_told_though_the_listener_is_killed_before_the_rest_has(world: World) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    world.deploy(base(), service(), network())
    world.database.rows.clear()
    world.engine.on["remove", "network"] = kill
    told = Told(world)
    with pytest.raises(Killed):
        world.reconciler_with(world.reaper.reap, observer=told).reconcile(P)
    assert [id_ for id_, _, _ in told.ends] == ["base"]


def test_what_went_is_told_with_the_evidence_of_then_though_its_row_came_back(world: World) -> None:
    world.deploy(base(), service(), network())
    world.database.rows.clear()
    world.engine.on["remove", "base"] = lambda: world.database.rows.add(TOPOLOGY)
    outcome = world.reconciler.reconcile(P)
    assert outcome.verdicts["base"].evidence == "witnessed: its row was seen before and is gone"
    assert outcome.verdicts["network"].state is State.ALIVE


# What the index learns from a reap.


def test_owners_that_were_mistaken_are_corrected_in_the_index(world: World) -> None:
    guessed, real = base(verified=False), base("base", topology(Q))
    foreign = base("foreign", verified=False)
    world.deploy(guessed, foreign, rows=[TOPOLOGY])
    world.engine.put(real)
    world.engine.daemon.containers["foreign"].labels.clear()
    world.database.rows.clear()
    outcome = world.reconciler.reconcile(P)
    assert set(world.results(outcome).values()) == {Result.MISTAKEN}
    found = world.index.get("base")
    assert found is not None
    assert found.owners == real.owners
    assert world.index.get("foreign") is None
    assert world.index.prefixes() == {Q}
    assert outcome.pending
    assert outcome.unfinished
    assert outcome.errors == []
    assert world.engine.removed() == []


# Two topologies with one prefix.


# Evidence.


def test_an_answer_is_no_evidence_once_a_later_one_has_shown_the_row(world: World) -> None:
    world.deploy(base("b", topology(Q)), rows=[topology(Q)])
    world.engine.put(base())
    world.index.put(base())
    world.reconciler.screen()

    def overtaken() -> None:
        world.database.before = lambda: None
        world.pass_time(0.25)
        world.database.rows.add(TOPOLOGY)  # a copy catches up while the answer is on its way
        world.reconciler.screen()
        world.database.rows.discard(TOPOLOGY)

    world.database.before = overtaken
    assert world.results(world.reconciler.reconcile(P)) == {}
    assert "base" in world.engine.present


def test_in_a_single_sweep_a_removal_that_takes_longer_than_an_outage_goes_on() -> None:
    world = World(engine_now=5000.0)
    world.deploy(base("b", topology(Q)), rows=[topology(Q)])
    old = base("1", created=1.0), base("2", created=1.0)
    world.engine.put(*old)
    for resource in old:
        world.index.put(resource)
    world.reconciler.screen()
    world.pass_time(1.0)
    world.engine.on["remove", "1"] = lambda: world.pass_time(8.0)
    world.reconciler.reconcile(P)
    assert set(world.engine.present) == {"b"}


# The screening.


def test_a_screening_sorts_every_prefix_with_one_question_and_removes_nothing(
    world: World,
) -> None:
    gone, fresh = topology("cccccccc"), topology("dddddddd")
    dead = base("dead", gone)
    world.deploy(base(), dead, network("lan", "cccccccc"), rows=[TOPOLOGY, gone])
    world.database.rows.remove(gone)
    world.index.put(base("new", fresh))
    found = world.reconciler.screen()
    assert questions(world) == 1
    assert found.live == {P}
    assert {p: sorted(r.id for r in rs) for p, rs in found.orphans.items()} == {
        "cccccccc": ["dead", "lan"]
    }
    assert waits(found) == {"dddddddd": 30.0}
    assert found.held == {}
    assert found.token == ""
    assert world.engine.calls == []
    assert len(world.index) == 4


def test_a_screening_tells_what_is_held_and_by_which_token_it_is_released(world: World) -> None:
    for prefix in (P, Q):
        world.index.put(base(prefix, topology(prefix)))
    found = world.reconciler.screen()
    assert found.held == dict.fromkeys((P, Q), "no row of this database owns anything on this host")
    assert found.orphans == {}
    assert world.judge.release([P], found.token, 0.0) is False
    assert world.judge.release(found.held, found.token, 0.0) is True
    assert set(world.reconciler.screen().orphans) == {P, Q}


def test_a_change_of_the_table_is_past_by_listings_only(world: World) -> None:
    world.deploy(base())
    world.database.identity = "restored"
    for listed, replaced in ((False, True), (True, True), (False, True), (True, False)):
        world.reconciler.screen(listed=listed)
        assert world.evidence.memory.replaced is replaced


# ReportedDeletions.


def test_a_report_says_which_prefixes_here_to_look_at(world: World) -> None:
    world.deploy(base(), base("b", topology(Q)), rows=[TOPOLOGY, topology(Q)])
    elsewhere = topology("cccccccc")
    assert world.reconciler.note_deletions(0, [TOPOLOGY, elsewhere]) == {P}
    assert world.reconciler.reported(P)
    assert world.reconciler.reported("cccccccc")
    assert not world.reconciler.reported(Q)


def test_a_row_that_is_reported_deleted_and_still_there_is_asked_about_again(world: World) -> None:
    world.deploy(base())
    world.reconciler.note_deletions(0, [TOPOLOGY])
    waits: list[float] = []
    while (wait := world.reconciler.reconcile(P).requeue_after) is not None:
        waits.append(wait)
        world.pass_time(wait)
    assert [round(wait, 3) for wait in waits[:5]] == [0.005, 0.015, 0.08, 0.4, 1.5]
    assert world.engine.calls == []
    world.database.rows.clear()
    assert world.results(world.reconciler.reconcile(P)) == {"base": Result.REMOVED}


def test_what_appears_after_its_deletion_was_reported_goes_without_a_grace(world: World) -> None:
    world.deploy(base("b", topology(Q)), rows=[topology(Q)])
    world.reconciler.note_deletions(0, [TOPOLOGY])
    world.pass_time(500.0)
    for resource in (base(), network()):
        world.engine.put(resource)
        world.index.put(resource)
    results = world.results(world.reconciler.reconcile(P))
    assert results == {"base": Result.REMOVED, "network": Result.REMOVED}


# What ends after our patience.


def late(world: World, *resources: Resource) -> None:
    """An orphan whose removal the engine did not answer, and carries out only now."""
    world.deploy(*resources)
    world.database.rows.clear()
    for resource in resources:
        world.engine.faults["remove", resource.id] = [TimedOut("too slow")]
    outcome = world.reconciler.reconcile(P)
    assert set(world.results(outcome).values()) == {Result.PENDING}
    assert outcome.unfinished
    assert not outcome.ended


def vanish(world: World, id_: str) -> None:
    """The engine carries a removal out, and its event arrives."""
    world.engine.daemon.delete(world.engine.present[id_])
    world.index.discard(id_)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("resource", [base(), service(), network()])
def test_what_ends_after_our_patience_was_removed_by_us_and_is_told_once(
    world: World, resource: Resource, heard: bool
) -> None:
    late(world, resource)
    world.pass_time(12.0)
    world.engine.daemon.delete(world.engine.present[resource.id])
    if heard:
        world.index.discard(resource.id)
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {resource.id: Result.REMOVED}
    assert "witnessed" in outcome.verdicts[resource.id].evidence
    assert outcome.removals[0].seconds >= 12.0
    assert outcome.ended
    assert world.reconciler.reconcile(P) == Outcome()
    assert world.reconciler.unfinished == frozenset()


def test_what_ends_after_our_patience_is_told_though_its_row_is_back_and_without_an_answer(
    world: World,
) -> None:
    late(world, base())
    vanish(world, "base")
    world.database.failing = True
    assert world.reconciler.unfinished == world.reconciler.late() == {P}
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"base": Result.REMOVED}


def test_what_goes_before_the_look_is_over_is_told_by_it(world: World) -> None:
    world.deploy(base())
    world.database.rows.clear()
    world.engine.faults["remove", "base"] = [TimedOut("too slow")]
    world.engine.on["remove", "base"] = lambda: vanish(world, "base")
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"base": Result.REMOVED}
    assert not outcome.unfinished


def test_what_the_engine_accepted_and_still_knew_was_removed_by_us(world: World) -> None:
    world.deploy(base())
    world.database.rows.clear()
    world.engine.daemon.faults += ["unfinished"]  # and then 409, for it is under way
    assert world.results(world.reconciler.reconcile(P)) == {"base": Result.PENDING}
    world.engine.daemon.finish_removals()
    assert world.results(world.reconciler.reconcile(P)) == {"base": Result.REMOVED}


@pytest.mark.parametrize("error", [InProgress("under way"), EngineError("not reached")])
def test_what_we_never_got_through_with_was_removed_by_somebody_else(
    world: World, error: EngineError
) -> None:
    world.deploy(base(), service())
    world.database.rows.clear()
    for id_ in ("base", "service"):
        world.engine.faults["remove", id_] = [error] * 99
    assert world.reconciler.reconcile(P).unfinished
    vanish(world, "base")
    world.engine.daemon.delete(world.engine.present["service"])
    world.engine.faults.clear()
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"service": Result.GONE}
    assert outcome.ended


def test_a_refusal_takes_back_what_was_requested_and_a_failure_on_the_way_does_not(
    world: World,
) -> None:
    for error, told in ((EngineError("not reached"), {"base"}), (Refused("busy"), set[str]())):
        late(world, base())
        world.engine.faults["remove", "base"] = [error] * ATTEMPTS
        assert world.results(world.reconciler.reconcile(P)) == {"base": Result.FAILED}
        vanish(world, "base")
        assert world.results(world.reconciler.reconcile(P)).keys() == told


def test_what_goes_right_after_a_refusal_was_removed_by_somebody_else(world: World) -> None:
    late(world, base())
    world.engine.faults["remove", "base"] = [Refused("busy")]
    world.engine.on["read", "base"] = lambda: world.engine.daemon.delete(
        world.engine.present["base"]
    )
    assert world.results(world.reconciler.reconcile(P)) == {"base": Result.GONE}


def test_what_stays_for_long_is_not_ours_when_it_goes(world: World) -> None:
    late(world, base(), service())
    world.database.rows.add(TOPOLOGY)
    vanish(world, "service")
    world.reconciler.screen(listed=True)
    assert len(world.reconciler._requests) == 2, "the engine may still come to it"
    world.pass_time(REQUEST_LASTS + 1)
    world.reconciler.screen(listed=True)
    assert world.reconciler.late() == {P}
    vanish(world, "base")
    assert world.results(world.reconciler.reconcile(P)) == {"service": Result.REMOVED}


def test_what_left_the_index_and_is_still_there_is_not_told(world: World) -> None:
    late(world, base())
    world.index.discard("base")  # renamed, for one
    world.engine.daemon.containers["base"].labels.clear()
    assert world.results(world.reconciler.reconcile(P)) == {"base": Result.MISTAKEN}
    world.engine.daemon.delete(world.engine.present["base"])
    assert world.reconciler.reconcile(P).removals == ()


def test_while_the_engine_does_not_answer_what_left_the_index_is_not_told(world: World) -> None:
    late(world, base(), service())
    vanish(world, "base")
    vanish(world, "service")
    world.engine.faults["read", "base"] = [TimedOut("too slow")]
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"base": Result.PENDING}
    assert outcome.there == {"base", "service"}
    outcome = world.reconciler.reconcile(P)
    assert set(world.results(outcome).values()) == {Result.REMOVED}
    assert outcome.ended


def test_what_has_two_prefixes_is_told_once(world: World) -> None:
    shared = base("shared", TOPOLOGY, topology(Q))
    world.deploy(shared, rows=[TOPOLOGY, topology(Q)])
    world.database.rows.clear()
    world.engine.faults["remove", "shared"] = [TimedOut("too slow")] * 2
    for prefix in (P, Q):
        assert world.reconciler.reconcile(prefix).unfinished
    vanish(world, "shared")
    assert world.reconciler.late() == {P, Q}
    assert world.results(world.reconciler.reconcile(P)) == {"shared": Result.REMOVED}
    outcome = world.reconciler.reconcile(Q)
    assert world.results(outcome) == {}
    assert outcome.ended


def test_what_one_prefix_has_told_another_does_not_though_its_request_was_late(
    world: World,
) -> None:
    shared = base("shared", TOPOLOGY, topology(Q))
    world.deploy(shared, rows=[TOPOLOGY, topology(Q)])
    world.database.rows.clear()
    world.engine.faults["remove", "shared"] = [TimedOut("too slow")]
    told: list[Outcome] = []

    def meanwhile() -> None:
        world.engine.on.clear()
        world.engine.faults, faults = {}, world.engine.faults
        told.append(world.reconciler.reconcile(P))
        world.engine.faults = faults

    world.engine.on["remove", "shared"] = meanwhile
    told.append(world.reconciler.reconcile(Q))
    told.append(world.reconciler.reconcile(Q))
    assert [world.results(outcome).get("shared") for outcome in told].count(Result.REMOVED) == 1


def test_a_network_made_anew_with_the_name_is_another(world: World) -> None:
    late(world, network("old"))
    vanish(world, "old")
    anew = replace(network("new"), name=network("old").name)
    world.engine.put(anew)
    world.index.put(anew)
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"old": Result.REMOVED, "new": Result.REMOVED}


def test_what_turns_out_doubtful_when_it_is_read_is_held(world: World) -> None:
    # An event told of it, and knows nothing of images.
    seemed = base("doubtful", verified=False)
    world.deploy(base(), seemed)
    world.engine.put(replace(seemed, doubtful=True))
    world.database.rows.clear()
    results = world.results(world.reconciler.reconcile(P))
    assert results == {"base": Result.REMOVED, "doubtful": Result.MISTAKEN}
    known = world.index.get("doubtful")
    assert known is not None
    assert known.doubtful
    screening = world.reconciler.screen()
    assert not screening.orphans
    assert "image of a container is gone" in screening.held[P]
    assert not screening.binding, "whoever looks sees it for himself, and removes the rest"
    assert world.reconciler.reconcile(P).held
    assert "doubtful" in world.engine.present

    world.judge.release(screening.held, screening.token, world.clock())
    assert world.results(world.reconciler.reconcile(P)) == {"doubtful": Result.REMOVED}


def test_whoever_confirms_what_is_held_is_told_that_something_of_it_is_doubtful(
    world: World,
) -> None:
    world.deploy(base(), base("doubtful", verified=False, doubtful=True))
    world.database.rows.clear()
    world.database.identity = "restored"
    screening = world.reconciler.screen()
    assert "the table is not the one" in screening.held[P]
    assert "image of a container is gone" in screening.held[P]
    assert screening.binding[P] == "the table is not the one that was there before"


# The volumes that containers had inherited.


def test_volumes_go_only_with_containers_that_we_removed(world: World) -> None:
    world.deploy(
        base("one", volumes=("shared", "named")),
        base("two", volumes=("shared", "another")),
        base("gone", volumes=("of another's",)),
        base("stuck", volumes=("in use",)),
    )
    world.database.rows.clear()
    world.engine.daemon.delete(world.engine.present["gone"])
    world.engine.faults["remove", "stuck"] = [EngineError("busy")] * ATTEMPTS
    outcome = world.reconciler.reconcile(P)
    went = {removal.resource.id: list(removal.volumes) for removal in outcome.removals}
    assert went == {"one": ["shared"], "two": ["another"], "gone": [], "stuck": []}
    assert sorted(world.volumes) == ["another", "named", "shared"], "each is tried once"
    assert not outcome.left


def test_volumes_go_with_what_ended_after_our_patience_and_was_known_by_an_event_only(
    world: World,
) -> None:
    world.deploy(base(volumes=("ab" * 32,)))
    world.index.put(base(verified=False))
    world.database.rows.clear()
    world.engine.daemon.faults.append("late timeout")
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"base": Result.PENDING}
    assert world.volumes == []
    world.index.discard("base")
    outcome = world.reconciler.reconcile(P)
    assert world.results(outcome) == {"base": Result.REMOVED}
    assert [list(removal.volumes) for removal in outcome.removals] == [["ab" * 32]]


def test_why_volumes_may_be_left_is_told_and_nothing_is_tried_again_for_it(world: World) -> None:
    world.deploy(base(volumes=("inherited",)), network())
    world.database.rows.clear()
    world.volumes_fail = True
    outcome = world.reconciler.reconcile(P)
    assert outcome.left == f"anonymous volumes of topology {P} may be left: 403: denied"
    assert set(world.results(outcome).values()) == {Result.REMOVED}
    assert not outcome.unfinished


# The images that compose built.


def image(id_: str = "image", prefix: str = P) -> Resource:
    return Resource(Kind.IMAGE, id_, f"decnet-topo-{prefix}-{id_}:latest", (prefix,), Stage.IMAGE)


class Removals:
    """Removes containers like a reaper, and images at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.images: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, doomed: Collection[Resource], permit: Permit) -> Iterable[Removal]:
        if not all(resource.kind is Kind.IMAGE for resource in doomed):
            return self.world.reaper.reap(doomed, permit)
        self.meanwhile()
        permitted = [resource for resource in doomed if permit(resource, fresh=False)]
        self.images += [resource.id for resource in permitted]
        return [
            Removal(resource, Result.REMOVED, requested=True)
            if resource in permitted
            else Removal(resource, Result.SPARED)
            for resource in doomed
        ]


@pytest.fixture
def removals(world: World) -> Removals:
    """What is removed in this world, which has an image of the topology."""
    made = Removals(world)
    world.reconciler = world.reconciler_with(made)
    world.images.append(image())
    return made


@pytest.mark.parametrize("single", [True, False])
def test_images_go_by_the_evidence_of_what_was_removed_before_them(
    world: World, removals: Removals, single: bool
) -> None:
    now = 1000.0 if single else None
    world.reconciler = world.reconciler_with(removals, engine_now=now)
    world.deploy(base("living", topology(Q)), rows=[topology(Q)])
    # Never seen, and told by its age only; the bare prefix, which the image has, by nothing.
    world.index.put(base("old", created=1.0))
    world.engine.put(base("old", created=1.0))
    for _ in range(2 if single else 31):
        world.reconciler.screen()
        world.pass_time(1.0)
    assert world.results(world.reconcile()) == {"old": Result.REMOVED}
    assert not world.asked_for, "what was removed is told before any image is looked for"
    world.reconciler.screen(listed=True)
    (outcome,) = world.reconciler.images.reap().values()
    assert world.results(outcome) == {"image": Result.REMOVED}
    assert "grace" in outcome.verdicts["image"].evidence
    assert world.asked_for == [{"old"}]


def test_images_stay_while_anything_else_of_the_prefix_is_here(
    world: World, removals: Removals
) -> None:
    world.deploy(base("stuck"), base("other"))
    world.database.rows.clear()
    world.engine.faults["remove", "stuck"] = [EngineError("busy")] * ATTEMPTS
    world.reconcile()
    assert not world.reap_images()
    world.engine.faults["remove", "stuck"] = [TimedOut("too slow")]
    world.reconcile()
    world.index.discard("stuck")  # its removal is under way
    assert world.results(world.reconcile())["stuck"] is not Result.REMOVED
    assert not world.reap_images()
    assert removals.images == []
    world.engine.daemon.delete(world.engine.present["stuck"])
    world.reconcile()
    assert world.reap_images() == {"image": Result.REMOVED}


@pytest.mark.parametrize("moment", ["before", "while they are judged"])
def test_images_stay_while_any_row_has_their_prefix(
    world: World, removals: Removals, moment: str
) -> None:
    world.deploy(base(), rows=[TOPOLOGY])
    world.database.rows.clear()

    def return_() -> None:
        world.database.rows.add(OTHER)
        world.pass_time(FRESH)

    world.reconcile()
    if moment == "before":
        return_()
    else:
        removals.meanwhile = return_
    assert world.reap_images() in ({}, {"image": Result.SPARED})
    assert removals.images == []
    assert not world.reap_images()


def test_images_stay_where_something_of_the_prefix_appears_while_they_are_listed(
    world: World, removals: Removals
) -> None:
    world.deploy(base())
    world.database.rows.clear()
    world.reconcile()
    world.while_listing = lambda: world.index.put(base("new"))
    assert not world.reap_images()
    assert removals.images == []


def test_images_are_tried_again_by_the_evidence_of_before(world: World, removals: Removals) -> None:
    world.deploy(base())
    world.database.rows.clear()
    world.reconcile()
    world.database.failing = True
    with pytest.raises(NoAnswer):
        world.reconciler.images.reap()
    world.database.failing = False
    assert world.reap_images() == {"image": Result.REMOVED}
    assert world.asked_for == [{"base"}] * 2
    assert removals.images == ["image"]
    world.reap_images()
    assert world.asked_for[2:] == [set()], "it is through"


def test_images_alone_go_if_their_row_was_seen_and_their_absence_is_never_waited_for(
    world: World, removals: Removals
) -> None:
    world.deploy(base("living", topology(Q)), rows=[topology(Q)])
    for _ in range(60):
        assert world.reap_images() == {}
        world.pass_time(1.0)
    assert not world.evidence.memory.witnessed & {P, TOPOLOGY}
    assert P not in world.index.prefixes()
    assert removals.images == []
    world.database.rows.add(TOPOLOGY)
    assert world.reap_images() == {}
    world.database.rows.remove(TOPOLOGY)
    world.images.append(image("living", Q))
    assert world.reap_images() == {"image": Result.REMOVED}
    assert removals.images == ["image"]


def test_an_image_vouches_for_no_database(world: World, removals: Removals) -> None:
    world.database.rows.add(TOPOLOGY)
    assert world.reap_images() == {}
    assert not world.evidence.memory.vouched
    assert removals.images == []


def test_a_dry_run_tells_of_images_beside_the_rest_and_looks_for_them_once(world: World) -> None:
    told: list[list[str]] = []

    def tell(doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:  # noqa: ARG001
        told.append([resource.id for resource in doomed])
        return ()

    world.images.append(image())
    world.reconciler = world.reconciler_with(tell, dry_run=True)
    world.deploy(base("old"), base("living", TOPOLOGY, Q))
    world.database.rows = {Q}
    world.reconcile()
    assert not world.images_due
    world.index.discard("living")
    world.reconcile()
    assert world.images_due
    world.reap_images()
    assert told == [["old"], ["old"], ["image"]]
    assert world.asked_for == [{"old"}]
    world.reconcile()
    assert not world.images_due
