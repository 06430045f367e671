"""Removing: the order, the retries, what is disconnected, and what is said of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import RemoteDisconnected

import pytest
import requests
from urllib3.exceptions import ProtocolError

from listener.control.reaper import ATTEMPTS, Reaper
from listener.core.outcome import Removal, Result
from listener.core.resources import Resource
from listener.errors import (
    EngineError,
    Gone,
    InProgress,
    InUse,
    NoAnswer,
    Refused,
    TimedOut,
    Unanswered,
)
from tests.world.client import SimulatedEngine
from tests.world.engine import Clock, refusal
from tests.world.parts import TOPOLOGY, Inline, base, network, service, topology

pytestmark = pytest.mark.usefixtures("at_once")

PATIENCE = 30.0
BUSY = "the engine is busy (500)"


class Permits:
    """Says yes until told otherwise, and writes down what it was asked."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.asked: list[tuple[str, bool]] = []
        self.error: NoAnswer | None = None

    def __call__(self, resource: Resource, *, fresh: bool) -> bool:
        self.asked.append((resource.id, fresh))
        if self.error:
            raise self.error
        return resource.id not in self.refused


def reap(
    engine: SimulatedEngine,
    *resources: Resource,
    permit: Permits | None = None,
    width: int = 4,
    present: bool = True,
) -> dict[str, Removal]:
    if present:
        engine.put(*resources)
    reaper = Reaper(engine, Inline(), width, Clock())
    removals = list(reaper.reap(resources, permit or Permits()))
    assert len(removals) == len(resources)
    return {removal.resource.id: removal for removal in removals}


# The order.


def test_bases_go_first_then_networks_then_services() -> None:
    engine = SimulatedEngine()
    things = [service("s1"), network("n1"), base("b1"), service("s2"), base("b2"), network("n2")]
    removals = reap(engine, *things, width=2)
    assert engine.removed() == ["b1", "b2", "n1", "n2", "s1", "s2"]
    assert {removal.result for removal in removals.values()} == {Result.REMOVED}
    assert not engine.present


def test_services_go_before_bases_where_the_engine_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SimulatedEngine, "dependents_first", True)
    engine = SimulatedEngine()
    release = threading.Event()
    engine.on["remove", "s1"] = lambda: release.wait(PATIENCE)

    def meanwhile() -> None:
        with engine.changed:
            assert engine.changed.wait_for(lambda: len(engine.removed()) == 2, PATIENCE)
        release.set()

    things = [base("b1"), network("n1"), service("s1"), service("s2"), base("b2")]
    removals = in_threads(engine, things, 4, meanwhile)
    assert sorted(engine.removed()[:2]) == ["s1", "s2"]
    assert sorted(engine.removed()[2:4]) == ["b1", "b2"]
    assert engine.removed()[4:] == ["n1"]
    assert {removal.result for removal in removals} == {Result.REMOVED}


def in_threads(
    engine: SimulatedEngine,
    resources: Sequence[Resource],
    width: int,
    meanwhile: Callable[[], None],
) -> list[Removal]:
    """Reap with a real pool; ``meanwhile`` runs in this thread."""
    removals: list[Removal] = []
    with ThreadPoolExecutor(16) as pool:
        engine.put(*resources)
        reaper = Reaper(engine, pool, width, Clock())
        thread = threading.Thread(target=lambda: removals.extend(reaper.reap(resources, Permits())))
        thread.start()
        meanwhile()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return removals


def test_a_base_that_hangs_holds_the_networks_but_no_other_container() -> None:
    engine = SimulatedEngine()
    release = threading.Event()
    engine.on["remove", "b1"] = lambda: release.wait(PATIENCE)
    others = {("remove", id_) for id_ in ("b2", "s1", "s2", "s3")}

    def meanwhile() -> None:
        with engine.changed:
            assert engine.changed.wait_for(lambda: others <= set(engine.calls), PATIENCE)
        assert engine.verbs("attached", "endpoints") == []
        assert ("remove", "n1") not in engine.calls
        release.set()

    things = [base("b1"), base("b2"), network("n1"), service("s1"), service("s2"), service("s3")]
    removals = in_threads(engine, things, 2, meanwhile)
    assert {removal.result for removal in removals} == {Result.REMOVED}
    assert engine.removed()[-1] == "n1"


def test_as_many_requests_as_the_width_are_under_way_and_never_more() -> None:
    engine = SimulatedEngine()
    together = threading.Barrier(3)  # breaks, and with that fails, unless three are in it at once
    lock = threading.Lock()
    under_way: list[int] = [0]
    most: list[int] = []

    def meet() -> None:
        with lock:
            under_way[0] += 1
            most.append(under_way[0])
        together.wait(PATIENCE)
        with lock:
            under_way[0] -= 1

    things = [service(f"s{n}") for n in range(9)]
    engine.on |= {("remove", thing.id): meet for thing in things}
    removals = in_threads(engine, things, 3, lambda: None)
    assert {removal.result for removal in removals} == {Result.REMOVED}
    assert max(most) == 3


# What comes of one resource.


def test_what_heals_is_tried_again_and_counts_as_removed() -> None:
    engine = SimulatedEngine()
    engine.faults["remove", "base"] = [EngineError(BUSY), EngineError(BUSY)]
    removals = reap(engine, base())
    assert removals["base"].result is Result.REMOVED
    assert engine.removed() == ["base"] * 3


def test_what_does_not_heal_fails_with_its_reason_after_a_few_attempts() -> None:
    engine = SimulatedEngine()
    engine.faults["remove", "base"] = [EngineError(BUSY)] * 99
    removals = reap(engine, base(), base("b2"), network(), service())
    assert removals.pop("base") == Removal(base(), Result.FAILED, BUSY)
    assert engine.removed().count("base") == ATTEMPTS
    assert {removal.result for removal in removals.values()} == {Result.REMOVED}


def test_a_defect_of_ours_is_a_failure_of_one_and_loses_no_other_removal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = SimulatedEngine()
    remove = engine.remove

    def broken(resource: Resource) -> None:
        remove(resource)
        if resource.id == "b1":
            raise ZeroDivisionError

    monkeypatch.setattr(engine, "remove", broken)
    removals = reap(engine, base("b1"), base("b2"), service("s1"))
    assert {id_: removal.result for id_, removal in removals.items()} == {
        "b1": Result.FAILED,
        "b2": Result.REMOVED,
        "s1": Result.REMOVED,
    }


@pytest.mark.parametrize("resource", [base(), service(), network()])
def test_what_somebody_else_removed_is_gone_and_not_removed(resource: Resource) -> None:
    engine = SimulatedEngine()
    removals = reap(engine, resource, present=False)
    assert removals[resource.id].result is Result.GONE
    assert len(engine.verbs("remove", "read")) == 1


def test_a_removal_under_way_is_pending_and_not_removed() -> None:
    engine = SimulatedEngine()
    engine.faults["remove", "base"] = [InProgress("under way (409)")] * 99
    assert reap(engine, base())["base"] == Removal(base(), Result.PENDING, "under way (409)")


@pytest.mark.parametrize("resource", [base(), service(), network()])
def test_what_the_engine_still_knows_after_its_removal_is_pending_and_not_removed(
    resource: Resource,
) -> None:
    engine = SimulatedEngine()
    engine.on["remove", resource.id] = lambda: engine.put(resource)
    engine.on["read", resource.id] = lambda: engine.put(resource)
    removals = reap(engine, resource)
    assert removals[resource.id].result is Result.PENDING
    assert removals[resource.id].error


@pytest.mark.parametrize(
    ("error", "requested"),
    [
        (TimedOut("too slow"), True),
        (Unanswered("closed the connection"), True),
        (Refused(BUSY), False),
        (InProgress("under way (409)"), None),
        (EngineError("not reached"), None),
    ],
)
def test_a_removal_says_whether_the_engine_may_still_do_it_at_our_request(
    error: EngineError, requested: bool | None
) -> None:
    engine = SimulatedEngine()
    engine.faults["remove", "base"] = [error] * ATTEMPTS
    assert reap(engine, base())["base"].requested is requested


def test_what_was_accepted_or_not_answered_and_is_gone_by_the_next_attempt_was_removed_by_us() -> (
    None
):
    for fault, result in ((Unanswered("closed"), Result.REMOVED), (Refused(BUSY), Result.GONE)):
        engine = SimulatedEngine()
        engine.faults["remove", "base"] = [fault]
        engine.on["read", "base"] = lambda e=engine: e.daemon.delete(  # type: ignore[misc]
            e.present["base"]
        )
        assert reap(engine, base())["base"].result is result


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (requests.ReadTimeout("read timed out"), TimedOut),
        (requests.ConnectTimeout("connect timed out"), EngineError),
        (
            requests.ConnectionError(ProtocolError("aborted", RemoteDisconnected("closed"))),
            Unanswered,
        ),
        (requests.ConnectionError(ConnectionRefusedError()), EngineError),
        (refusal(500), Refused),
        (refusal(403), InUse),
        (refusal(409), InProgress),
        (refusal(404), Gone),
    ],
)
def test_what_the_engine_did_not_answer_it_may_still_do_unless_it_was_never_asked(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, kind: type[EngineError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise cause

    engine = SimulatedEngine()
    monkeypatch.setattr(engine.api, "remove_container", fail)
    with pytest.raises(EngineError) as caught:
        engine.remove(base())
    assert type(caught.value) is kind


# The permit.


def test_what_is_not_permitted_is_spared_and_not_touched() -> None:
    engine = SimulatedEngine()
    removals = reap(engine, base(), network(), service(), permit=Permits("base", "network"))
    assert [removals[id_].result for id_ in ("base", "network", "service")] == [
        Result.SPARED,
        Result.SPARED,
        Result.REMOVED,
    ]
    assert engine.removed() == ["service"]
    assert engine.verbs("disconnect") == []


def test_without_an_answer_nothing_is_removed_and_nothing_tried_again() -> None:
    engine, permit = SimulatedEngine(), Permits()
    permit.error = NoAnswer("the database is down")
    removals = reap(engine, base(), network(), permit=permit)
    assert {(r.result, r.error) for r in removals.values()} == {
        (Result.FAILED, "the database is down")
    }
    assert engine.verbs("remove", "disconnect") == []
    assert {id_ for id_, _ in permit.asked} == {"base", "network"}


def test_a_row_that_comes_back_between_two_attempts_ends_them() -> None:
    engine, permit = SimulatedEngine(), Permits()
    engine.faults["remove", "base"] = [EngineError(BUSY)] * 99
    engine.on["remove", "base"] = lambda: permit.refused.add("base")
    assert reap(engine, base(), permit=permit)["base"].result is Result.SPARED
    assert engine.removed() == ["base"]


def test_every_retry_and_every_network_asks_for_a_new_answer() -> None:
    engine, permit = SimulatedEngine(), Permits()
    engine.faults["remove", "base"] = [EngineError(BUSY)]
    engine.faults["remove", "network"] = [InUse("in use (403)")]
    reap(engine, base(), network(), service(), permit=permit)
    first_of_each = dict(reversed(permit.asked))
    assert first_of_each == {"base": False, "network": True, "service": False}
    assert permit.asked.count(("base", True)) >= 1
    assert permit.asked.count(("network", True)) >= 2
    assert ("network", False) not in permit.asked[:4]


# What is known only by its name, or from an event.


def test_what_is_not_settled_is_read_again_by_id_before_it_is_removed() -> None:
    engine = SimulatedEngine()
    assert reap(engine, base(verified=False))["base"].result is Result.REMOVED
    assert engine.calls[:2] == [("read", "base"), ("remove", "base")]


@pytest.mark.parametrize("owners", [(topology(tail=2),), (TOPOLOGY, "bbbbbbbb"), ()])
def test_what_has_other_owners_than_it_seemed_to_have_is_not_removed(
    owners: tuple[str, ...],
) -> None:
    engine = SimulatedEngine()
    engine.put(replace(base(), owners=owners))
    removal = reap(engine, base(verified=False), present=False)["base"]
    assert removal.result is Result.MISTAKEN
    assert (removal.found.owners if removal.found else ()) == owners
    assert engine.removed() == []


# Networks and their endpoints.


def attach(engine: SimulatedEngine, name: str, lan: str = "network", **labels: str) -> None:
    """A running container on a network."""
    network = engine.daemon.networks[lan]
    engine.daemon.create_container(name, labels, id_=f"{name}-id", network=network)


@pytest.fixture
def engine() -> SimulatedEngine:
    """One with a network on which there are a foreign container and a stale endpoint."""
    engine = SimulatedEngine()
    engine.put(network())
    attach(engine, "tcpdump")
    engine.daemon.networks["network"].stale["ep-0123"] = "web"
    return engine


def test_foreign_and_stale_endpoints_are_disconnected_before_the_network_goes(
    engine: SimulatedEngine,
) -> None:
    removals = reap(engine, network(), present=False)
    assert removals["network"].result is Result.REMOVED
    assert engine.verbs("disconnect", "remove") == [
        ("disconnect", "network tcpdump-id"),
        ("disconnect", "network web"),
        ("remove", "network"),
    ]


def test_a_stale_endpoint_whose_name_another_container_has_is_tried_once_a_look(
    engine: SimulatedEngine,
) -> None:
    attach(engine, "web", str(engine.put(network("elsewhere"))[0].id))
    removal = reap(engine, network(), present=False)["network"]
    assert (removal.result, removal.attempts, removal.requested) == (Result.FAILED, 1, None)
    assert "'web', which container web-id has now; rename" in removal.error
    assert engine.removed() == []
    engine.daemon.rename(engine.daemon.containers["web-id"], "web-2")
    assert reap(engine, network(), present=False)["network"].result is Result.REMOVED


def names(removal: Removal) -> list[str]:
    """Who was disconnected."""
    return [endpoint.name for endpoint in removal.disconnected]


def test_a_removal_says_who_was_disconnected_and_only_what_the_engine_did(
    engine: SimulatedEngine,
) -> None:
    tcpdump = engine.daemon.containers["tcpdump-id"]
    engine.on["disconnect", "network tcpdump-id"] = lambda: engine.daemon.delete(tcpdump)
    assert names(reap(engine, network(), present=False)["network"]) == ["web"]


@pytest.mark.parametrize("fails", ["remove", "disconnect"])
def test_who_was_disconnected_is_said_once_however_often_the_network_is_tried(
    engine: SimulatedEngine, fails: str
) -> None:
    id_ = "network" if fails == "remove" else "network web"
    engine.faults[fails, id_] = [Refused(BUSY)] * (ATTEMPTS + 1)
    reaper = Reaper(engine, Inline(), 1, Clock())
    removals = [removal for _ in "12" for removal in reaper.reap([network()], Permits())]
    assert [removal.result for removal in removals] == [Result.FAILED, Result.REMOVED]
    assert sorted(name for removal in removals for name in names(removal)) == ["tcpdump", "web"]


@pytest.mark.parametrize("carried_out", ["before the next look", "before the next request"])
def test_who_left_after_our_patience_was_disconnected_by_us(
    engine: SimulatedEngine, carried_out: str
) -> None:
    engine.faults["disconnect", "network tcpdump-id"] = [TimedOut("too slow")]
    reaper = Reaper(engine, Inline(), 1, Clock())
    (removal,) = reaper.reap([network()], Permits())
    assert removal.result is Result.PENDING
    assert names(removal) == []
    leave = engine.daemon.containers["tcpdump-id"].networks.clear
    if carried_out == "before the next look":
        leave()
    else:  # which the engine refuses, for the container is not there any more
        engine.on["disconnect", "network tcpdump-id"] = leave
    (removal,) = reaper.reap([network()], Permits())
    assert removal.result is Result.REMOVED
    assert sorted(names(removal)) == ["tcpdump", "web"]
    assert reaper._unanswered == {}


def test_an_endpoint_with_decnets_marks_is_never_disconnected(engine: SimulatedEngine) -> None:
    attach(engine, "decky-001", **{"decnet.topology.decky": "decky-001"})
    engine.put(service())
    removals = reap(engine, network(), service(), present=False)
    assert removals["network"].result is Result.FAILED
    assert "decky-001" in removals["network"].error
    assert engine.verbs("disconnect") == []
    assert engine.removed() == ["service"]


def test_a_network_whose_permit_is_withdrawn_keeps_its_endpoints(engine: SimulatedEngine) -> None:
    removals = reap(engine, network(), permit=Permits("network"), present=False)
    assert removals["network"].result is Result.SPARED
    assert engine.verbs("disconnect", "remove") == []


def test_a_network_whose_permit_is_withdrawn_while_it_is_emptied_stays(
    engine: SimulatedEngine,
) -> None:
    permit = Permits()
    engine.on["disconnect", "network tcpdump-id"] = lambda: permit.refused.add("network")
    removals = reap(engine, network(), permit=permit, present=False)
    assert removals["network"].result is Result.SPARED
    assert engine.verbs("disconnect", "remove") == [("disconnect", "network tcpdump-id")]
    # By the answer at hand, if that is fresh.
    assert permit.asked == [("network", True), ("network", False)]


def test_who_is_attached_is_asked_once_a_reap_and_after_the_bases_are_gone() -> None:
    engine = SimulatedEngine()
    reap(engine, network("n1"), network("n2"), base(), network("n3"))
    assert engine.verbs("attached") == [("attached", "n1 n2 n3")]
    assert engine.calls.index(("attached", "n1 n2 n3")) > engine.calls.index(("remove", "base"))


def test_who_is_attached_is_asked_again_for_a_network_that_is_tried_again() -> None:
    engine = SimulatedEngine()
    engine.faults["remove", "n1"] = [InUse("in use (403)")]
    engine.on["remove", "n1"] = lambda: attach(engine, "tcpdump", "n1")
    removals = reap(engine, network("n1"), network("n2"))
    assert {removal.result for removal in removals.values()} == {Result.REMOVED}
    assert engine.verbs("attached") == [("attached", "n1 n2"), ("attached", "n1")]
    assert engine.verbs("disconnect") == [("disconnect", "n1 tcpdump-id")]
