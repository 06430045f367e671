"""What is shown of a host: each topology's state and why, what was reaped, what was swept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from listener.control.observer import Observer, Observers, Reconciled, Sweep
from listener.control.reaper import ATTEMPTS
from listener.core.evidence import REPLACED
from listener.core.judge import Hold
from listener.core.outcome import Outcome, Screening
from listener.core.status import Status
from listener.errors import EngineError, InProgress, TimedOut
from listener.telemetry.metrics import STATES, Metrics
from listener.telemetry.status import REAPS, StatusStore, state_of
from tests.world.host import Host
from tests.world.parts import TOPOLOGY, P, Q, base, network, service, topology

from .status import STATUS

DOCKER = STATUS["docker"]
(DATABASE,) = STATUS["databases"]
LOST = {"up": False, "since": 9_988.0, "reason": "refused"}
UNTRIED = {"up": False, "reason": None}
DOWN = "Docker is down for 12 s"

if TYPE_CHECKING:
    from loguru import Record

pytestmark = pytest.mark.usefixtures("at_once")


def shown(board: StatusStore, host: Host) -> dict[str, tuple[str, str]]:
    """By prefix, the state and why."""
    told = board.topologies(host.index, ())
    return {t["prefix"]: (t["state"], t["reason"]) for t in told}


def known(board: StatusStore, *, dry_run: bool = False) -> Host:
    """A host with a live topology that was swept."""
    host = Host(observer=board, dry_run=dry_run)
    host.database.rows.add(TOPOLOGY)
    host.appear(base(), service(), network())
    host.controller.hinted(0)
    host.sweep("start-up", 0.25)
    host.settle(1.0)
    return host


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ("ready", "")),
        ({"held": {"prefixes": [P]}}, ("holding", "1 topology is held until an operator confirms")),
        ({"docker": DOCKER | LOST}, ("degraded", f"{DOWN}, nothing is removed")),
        (
            {"docker": DOCKER | LOST, "databases": [DATABASE, DATABASE | LOST], "held": [P]},
            (
                "degraded",
                f"{DOWN} and the SQLite file /d.db is down for 12 s, nothing is removed",
            ),
        ),
        ({"problems": ["watch is stuck"]}, ("degraded", "watch is stuck")),
        ({"docker": DOCKER | UNTRIED}, ("starting", "the first sweep is not done")),
        ({"swept": False}, ("starting", "the first sweep is not done")),
        ({"swept": False, "docker": DOCKER | LOST}, ("degraded", f"{DOWN}, nothing is removed")),
        ({"stopping": True, "docker": LOST}, ("stopping", "no removal is begun any more")),
    ],
)
def test_a_listener_is_in_one_state_and_the_worst_of_it_is_said(
    changes: dict[str, Any], told: tuple[str, str]
) -> None:
    changes = {"swept": True, "stopping": False, **changes}
    swept, stopping = changes.pop("swept"), changes.pop("stopping")
    status = cast("Status", {**STATUS, **changes})
    assert state_of(status, swept=swept, stopping=stopping) == told


def test_what_has_just_appeared_is_unknown_until_its_row_was_asked_for() -> None:
    board = StatusStore()
    host = known(board)
    host.appear(base("new", topology(Q)))
    assert shown(board, host)[Q] == ("unknown", "nobody was asked yet")
    host.database.rows.add(topology(Q))
    host.step()
    assert shown(board, host)[Q] == ("alive", "its row exists")


def test_an_absence_that_has_to_last_is_waiting() -> None:
    board = StatusStore()
    host = known(board)
    host.appear(base("new", topology(Q)))
    host.step()
    assert shown(board, host)[Q] == ("waiting", "its row is absent, the grace runs")


def test_what_waits_tells_for_how_long_yet_as_long_as_that_is_counted() -> None:
    now = [1000.0]
    board = StatusStore(clock=lambda: now[0])
    host = known(board)
    host.appear(base("new", topology(Q)))
    host.step()

    def left() -> dict[str, float | None]:
        return {t["prefix"]: t["wait_s"] for t in board.topologies(host.index, ())}

    assert left() == {P: None, Q: 30.0}
    now[0] += 4
    assert left()[Q] == 26.0
    now[0] += 4
    assert left()[Q] is None, "no answer came for so long that it begins anew"


def test_what_is_held_says_why_and_what_releases_it_until_it_is_gone() -> None:
    board = StatusStore()
    host = known(board)
    host.database.identity = "another"
    host.database.rows.clear()
    host.controller.hinted(0)
    host.step()
    assert shown(board, host)[P] == ("held", "the table is not the one that was there before")
    held = board.held(host.index)
    assert held["prefixes"] == [P]
    assert len(held["token"]) == 12
    assert held["command"] == f"topology-reaper sweep --confirm {held['token']}"
    assert board.own_holds() == {P: Hold(REPLACED, never_seen=False)}
    for id_ in ("base", "service", "network"):
        host.index.discard(id_)  # an operator has released it
    assert board.held(host.index) == {"prefixes": [], "token": "", "command": ""}


def test_what_another_holds_is_told_to_nobody_as_our_own() -> None:
    board = StatusStore()
    assert board.own_holds() is None, "nothing was judged yet"
    held = {P: "for a reason of ours", Q: "another holds it"}
    binding = {P: "for a reason of ours"}
    screening = Screening(frozenset(), {}, {}, held, "token", binding)
    board.screened(screening, None)
    assert board.own_holds() is None, "nor was anything listed"
    board.screened(screening, Sweep("start-up", 0.1))
    assert board.own_holds() == {P: Hold("for a reason of ours", never_seen=True)}


def test_in_a_dry_run_what_would_go_is_an_orphan() -> None:
    board = StatusStore()
    host = known(board, dry_run=True)
    host.database.rows.clear()
    host.controller.hinted(0)
    host.step()
    assert shown(board, host)[P] == (
        "orphan",
        "witnessed: its row was seen before and is gone",
    )


def test_what_is_being_removed_is_reaping_and_then_gone() -> None:
    board = StatusStore()
    host = known(board)
    things = host.index.resources(P)
    board.reaping(things, P, "its row is gone")
    board.reaping(things, P, "its row is gone")
    board.reaped(things)
    assert shown(board, host)[P] == ("reaping", "its row is gone")
    board.reaped(things)
    assert shown(board, host)[P] == ("orphan", "its row is gone")
    host.database.rows.clear()
    host.controller.hinted(0, [TOPOLOGY])
    host.step()
    assert shown(board, host) == {}


def test_what_is_being_removed_goes_one_by_one() -> None:
    board = StatusStore()
    host = known(board)
    things = host.index.resources(P)

    def removing() -> Any:
        (told,) = board.topologies(host.index, ())
        return told["removing"]

    assert removing() is None
    board.reaping(things, P, "any")
    for left in (3, 2, 1):
        assert removing() == {"begun": 3, "left": left}
        if left > 1:
            host.index.discard(things[left - 1].id)
    board.reaped(things)
    assert removing() is None


def test_a_reap_is_told_with_what_it_took() -> None:
    board = StatusStore()
    host = known(board)
    host.database.rows.clear()
    host.controller.hinted(0)  # at this moment the deletion was told of
    host.engine.on["remove", "network"] = lambda: setattr(host.clock, "now", host.clock.now + 0.5)
    host.step()
    (reap,) = board.status()["reaps"]
    assert reap["time"] > 0
    assert reap == {
        "time": reap["time"],
        "prefix": P,
        "duration_ms": 500.0,
        "hint_to_gone_ms": 500.0,
        "containers": 2,
        "networks": 1,
        "images": 0,
        "evidence": "witnessed: its row was seen before and is gone",
        "errors": [],
    }


def test_the_time_to_gone_begins_with_the_first_hint_and_not_with_the_last_try() -> None:
    board = StatusStore()
    host = known(board)
    host.database.rows.clear()
    host.engine.faults["remove", "base"] = [EngineError("refused")] * 3
    host.controller.hinted(0, [TOPOLOGY])
    host.settle(2.0)
    done, failed = board.status()["reaps"]
    assert "refused" in failed["errors"][0]
    assert failed["hint_to_gone_ms"] is None  # it is not gone
    assert done["errors"] == []
    assert (done["hint_to_gone_ms"] or 0) > done["duration_ms"]


def test_the_last_word_on_a_topology_is_not_that_something_is_still_there() -> None:
    for ours in (True, False):
        board = StatusStore()
        host = known(board)
        error = TimedOut("too slow") if ours else InProgress("another is at it")
        host.engine.faults["remove", "base"] = [error] * ATTEMPTS
        host.database.rows.clear()
        host.controller.hinted(0, [TOPOLOGY])
        host.step()
        host.engine.daemon.delete(host.engine.present["base"], host.listener.run if ours else None)
        host.index.discard("base")
        host.settle(2.0)
        ended, begun = board.status()["reaps"]
        assert begun["errors"]
        assert begun["hint_to_gone_ms"] is None
        assert ended["errors"] == []
        assert (ended["hint_to_gone_ms"] or 0) > ended["duration_ms"]
        assert ended["evidence"] == begun["evidence"]
        assert begun["containers"] + ended["containers"] == 1 + ours


def test_only_the_last_reaps_are_kept() -> None:
    board = StatusStore()
    removals = known(board)
    removals.database.rows.clear()
    for number in range(REAPS + 3):
        removals.appear(base(f"late-{number}"))
        removals.step()
    assert len(board.status()["reaps"]) == REAPS


def test_sweeps_are_counted_with_cause_and_time_and_other_questions_are_not() -> None:
    board = StatusStore()
    host = known(board)
    host.controller.hinted(0)
    host.settle(1.0)
    sweeps = board.status()["sweeps"]
    assert sweeps["count"] == 1
    assert sweeps["last"] is not None
    assert sweeps["last"]["cause"] == "start-up"
    assert sweeps["last"]["duration_ms"] == 250.0


# Metrics.


def values(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """By the sample's name and the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def happened(samples: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Those that are not 0; the others are there from the start."""
    return {labels: value for labels, value in samples.items() if value}


def document(board: StatusStore, host: Host) -> dict[str, Any]:
    """A status as the listener tells it."""
    database = {
        **STATUS["databases"][0],
        "label": 'the "db"\n',
        "up": False,
        "unheard": 2,
        "refused": 3,
    }
    return {
        **STATUS,
        "databases": [database | {"answer_age_s": None, "proof_age_s": None}],
        "topologies": board.topologies(host.index, ()),
        "held": board.held(host.index),
        "queue": STATUS["queue"] | {"retries": 4},
        **board.status(),
    }


def test_metrics_count_what_happened() -> None:
    board = StatusStore()
    metrics = Metrics(lambda: document(board, host))
    host = Host(observer=Observers(board, metrics))
    host.database.rows.add(TOPOLOGY)
    host.appear(base(), service(), network())
    host.sweep("start-up", 0.25)
    host.settle(1.0)
    host.database.rows.clear()
    host.engine.faults["remove", "base"] = [EngineError("refused")]
    host.controller.hinted(0, [TOPOLOGY])
    host.step()
    metrics.hinted(0.003)
    found = values(metrics)
    assert happened(found["topology_reaper_sweeps_total"]) == {("start-up",): 1}
    assert found["topology_reaper_sweep_duration_seconds_sum"] == {(): 0.25}
    assert happened(found["topology_reaper_removals_total"]) == {
        ("container", "removed"): 2,
        ("network", "removed"): 1,
    }
    assert found["topology_reaper_removal_retries_total"] == {(): 1}
    assert found["topology_reaper_reaps_total"] == {("complete",): 1, ("unfinished",): 0}
    assert found["topology_reaper_hint_to_gone_seconds_count"] == {(): 1}
    assert found["topology_reaper_commit_to_hint_seconds_sum"] == {(): 0.003}


def test_metrics_add_up_when_a_removal_ends_after_our_patience() -> None:
    board = StatusStore()
    metrics = Metrics(lambda: document(board, host))
    host = Host(observer=Observers(board, metrics))
    host.database.rows.add(TOPOLOGY)
    host.appear(base(), service(), network())
    host.sweep()
    host.settle(1.0)
    host.database.rows.clear()
    host.engine.faults["remove", "base"] = [TimedOut("too slow")]
    host.engine.faults["remove", "service"] = [InProgress("another is at it")] * ATTEMPTS
    host.controller.hinted(0, [TOPOLOGY])
    host.step()
    for id_, caller in (("base", host.listener.run), ("service", None)):
        host.engine.daemon.delete(host.engine.present[id_], caller)
    host.settle(2.0)
    found = values(metrics)
    assert happened(found["topology_reaper_removals_total"]) == {
        ("container", "pending"): 2,
        ("container", "removed"): 1,
        ("container", "gone"): 1,
        ("network", "removed"): 1,
    }
    assert found["topology_reaper_reaps_total"] == {("complete",): 1, ("unfinished",): 1}
    assert found["topology_reaper_hint_to_gone_seconds_count"] == {(): 1}


def test_gauges_say_what_the_status_says() -> None:
    board = StatusStore()
    host = known(board)
    found = values(Metrics(lambda: document(board, host)))
    topologies = found["topology_reaper_topologies"]
    assert topologies == {(state,): float(state == "alive") for state in STATES}
    assert found["topology_reaper_resources"]["container", "alive"] == 2
    assert found["topology_reaper_resources"]["network", "alive"] == 1
    assert found["topology_reaper_stream_up"] == {("docker",): 1, ('the "db"\n',): 0}
    assert found["topology_reaper_last_proof_timestamp_seconds"] == {("docker",): 9998.75}
    assert "topology_reaper_database_last_answer_timestamp_seconds" not in found
    assert found["topology_reaper_connections_total"][("docker",)] == 1
    assert found["topology_reaper_unheard_deletions_total"] == {('the "db"\n',): 2}
    assert found["topology_reaper_refused_messages_total"] == {('the "db"\n',): 3}
    assert found["topology_reaper_workqueue_retries_total"] == {(): 4}
    assert found["topology_reaper_build_info"] == {("1.2.3",): 1}


# Observers.


class Failing(Observer):
    """Has a defect."""

    def screened(self, *_: object) -> None:
        raise ZeroDivisionError

    def reconciled(self, *_: object) -> None:
        raise ZeroDivisionError


def test_an_observer_that_fails_is_logged_and_stops_nobody(log: list[Record]) -> None:
    board = StatusStore()
    observers = Observers(Failing(), board)
    observers.screened(Screening(frozenset(), {}, {}, {}, ""), Sweep("timer", 0.1))
    observers.reconciled(Reconciled(P, Outcome(), 0.1, 0.1))
    assert board.status()["sweeps"]["count"] == 1
    assert [record["message"] for record in log] == ["an observer failed"] * 2
