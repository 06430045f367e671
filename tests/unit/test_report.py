"""What a sweep says it did."""

from __future__ import annotations

import json

import pytest

from listener.core.evidence import State, Verdict
from listener.core.outcome import Removal, Result, Screening
from listener.core.report import Held, Report
from listener.core.resources import Endpoint
from tests.world.client import SimulatedEngine
from tests.world.engine import Api
from tests.world.listener import sweep_once, without_threads_and_clocks
from tests.world.parts import P, Q, base, network, service, topology
from tests.world.world import Config, World

WAITS = {"dddddddd": 3.0, "11111111": 7.44}
HELD: Held = {"prefix": "dddddddd", "reason": "nobody vouches", "token": "0123456789ab"}


def screening() -> Screening:
    shared, lan = base("shared", Q, "cccccccc"), network("lan", "cccccccc")
    return Screening(
        live=frozenset({"eeeeeeee", P}),
        orphans={"cccccccc": [lan, shared], Q: [shared]},
        waiting={p: Verdict(State.WAITING, "the grace runs", w) for p, w in WAITS.items()},
        held={"dddddddd": "nobody vouches"},
        token="0123456789ab",
        verdicts={r.id: Verdict(State.ORPHAN, f"{r.kind} is gone") for r in (shared, lan)},
    )


def test_the_json_has_every_key_of_the_interface_and_every_list_is_sorted() -> None:
    report = Report.of(screening(), dry_run=False)
    assert json.loads(report.to_json()) == {
        "live_prefixes": [P, "eeeeeeee"],
        "orphan_prefixes": [Q, "cccccccc"],
        "containers_removed": [],
        "networks_removed": [],
        "volumes_removed": [],
        "images_removed": [],
        "disconnected": [],
        "errors": [],
        "held": [HELD],
        "waiting": [{"prefix": "11111111", "reason": "the grace runs", "seconds": 7.4}],
        "torn_down": [],
        "would_remove": [],
        "dry_run": False,
        "duration_ms": 0.0,
    }


def test_a_dry_run_lists_what_it_would_remove_each_once() -> None:
    report = Report.of(screening(), dry_run=True)
    assert report.dry_run
    assert report.would_remove == [
        {
            "kind": "container",
            "id": "shared",
            "name": "shared-name",
            "prefix": f"{Q} cccccccc",
            "evidence": "container is gone",
        },
        {
            "kind": "network",
            "id": "lan",
            "name": "decnet_t_cccccccc_lan",
            "prefix": "cccccccc",
            "evidence": "network is gone",
        },
    ]
    said = report.to_text().splitlines()
    assert said[0] == "dry run: nothing is removed"
    lan = "network 'decnet_t_cccccccc_lan' of topology cccccccc"
    assert f"would remove {lan}: network is gone" in said


def test_a_dry_run_says_that_it_is_one_also_when_there_is_nothing() -> None:
    assert Report(dry_run=True).to_text().startswith("dry run: nothing is removed\n")
    assert "dry run" not in Report().to_text()


def test_what_was_asked_about_is_told_of_and_the_rest_of_the_host_is_not_counted() -> None:
    report = Report.of(screening(), dry_run=False)
    assert "2 live, 2 orphaned, 1 waiting and 1 held topologies on this host" in report.to_text()
    said = report.to_text(prefixes=[P, "11111111", "dddddddd", "ffffffff"])
    assert "on this host\n" not in said
    assert f"topology {P} has a row\n" in said
    assert "nothing of topology ffffffff to remove\n" in said
    assert said.count("11111111") == said.count("dddddddd") == 1


def test_what_waits_for_another_listener_to_answer_is_held_by_no_token() -> None:
    silent = Verdict(State.WAITING, "it does not say what it holds", 1.0, elsewhere=True)
    report = Report.of(Screening(frozenset(), {}, {P: silent}, {}, ""), dry_run=False)
    assert report.held == [{"prefix": P, "reason": silent.evidence, "token": ""}]
    assert (report.waiting, report.complete) == ([], False)


def test_only_what_was_removed_by_us_is_reported_as_removed() -> None:
    report = Report()
    report.add(Removal(base(result), result) for result in Result)
    report.add(Removal(network(result), result) for result in Result)
    report.add([Removal(service("s"), Result.REMOVED)])
    report.add([Removal(network("n"), Result.FAILED, disconnected=[Endpoint("a1", "x", False)])])
    assert report.containers_removed == ["removed-name", "s-name"]
    assert report.networks_removed == [f"decnet_t_{P}_removed"]
    assert report.disconnected == [f"x from 'decnet_t_{P}_n'"]


@pytest.mark.parametrize(
    ("report", "complete"),
    [
        (Report(), True),
        (Report(waiting=[{"prefix": P, "reason": "the grace runs", "seconds": 7.4}]), True),
        (Report(errors=["stuck"]), False),
        (Report(held=[HELD]), False),
    ],
)
def test_a_sweep_is_complete_when_nothing_failed_and_nothing_is_held(
    report: Report, complete: bool
) -> None:
    assert report.complete is complete


def test_a_sweep_reports_what_ended_after_its_patience_and_who_was_disconnected() -> None:
    with without_threads_and_clocks():
        world = World(Config(grace=0.0, request=0.0))
        world.databases[0].rows.add(topology(Q))
        engine = SimulatedEngine(Api(world.daemon))
        engine.put(base("neighbour", topology(Q)), base(), network())
        world.daemon.create_container("tcpdump", {}, network=world.daemon.networks["network"])
        world.committed()
        world.clock_forward(60.0)
        world.daemon.faults += ["", "", "late timeout"]  # base, guest, and of the network
        report = sweep_once(world, None, dry_run=False, confirm="", held=frozenset())
    assert report is not None
    assert report.containers_removed == ["base-name"]
    assert report.networks_removed == [network().name]
    assert report.disconnected == [f"tcpdump from {network().name!r}"]
    assert report.complete


def test_a_sweep_looks_again_at_each_topology_of_which_something_is_pending() -> None:
    prefixes = [f"{number:08x}" for number in range(12)]
    with without_threads_and_clocks():
        world = World(Config(grace=0.0, request=0.0))
        world.databases[0].rows.add(topology(Q))
        engine = SimulatedEngine(Api(world.daemon))
        engine.put(base("neighbour", topology(Q)), *(base(p, topology(p)) for p in prefixes))
        world.committed()
        world.clock_forward(60.0)
        world.daemon.faults += ["late timeout"] * len(prefixes)
        report = sweep_once(world, None, dry_run=False, confirm="", held=frozenset())
    assert report is not None
    assert report.containers_removed == [f"{prefix}-name" for prefix in prefixes]
    assert report.complete


def test_a_sweep_ends_though_a_grace_has_a_second_to_run() -> None:
    with without_threads_and_clocks():
        world = World(Config(grace=30.0, request=0.0))
        world.databases[0].rows.add(topology(Q))
        engine = SimulatedEngine(Api(world.daemon))
        engine.put(base("neighbour", topology(Q)), base())
        world.committed()
        world.clock_forward(30.0)  # less what its second of creation lacks
        report = sweep_once(world, None, dry_run=False, confirm="", held=frozenset())
    assert report is not None
    assert [entry["reason"] for entry in report.waiting] == ["its row is absent, the grace runs"]
    assert report.complete
