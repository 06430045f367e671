"""A listener's dry run tells of each resource once, and of none that is not what it seems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from listener.control.dry_run import DryRun
from listener.core.resources import Resource
from listener.errors import EngineError
from tests.world.client import SimulatedEngine
from tests.world.parts import Q, base, service, topology

if TYPE_CHECKING:
    from loguru import Record


def permit(resource: Resource, *, fresh: bool) -> bool:
    raise AssertionError(f"nothing is removed: {resource}, {fresh}")


def told(log: list[Record]) -> list[Sequence[str]]:
    return [record["extra"]["ids"] for record in log if record["extra"]["event"] == "would_remove"]


def test_each_is_told_of_once(log: list[Record]) -> None:
    dry = DryRun(SimulatedEngine().read)
    for doomed in ([base(), service()], [base(), service()], [base(), service("late")]):
        assert dry.reap(doomed, permit) == ()
    assert told(log) == [["base", "service"], ["late"]]


def test_what_turns_out_to_be_anothers_is_not_told_of(log: list[Record]) -> None:
    engine = SimulatedEngine()
    engine.put(base("it", topology(Q)))
    dry = DryRun(engine.read)
    for _ in "12":
        dry.reap([base("it", verified=False)], permit)
    assert told(log) == []
    assert engine.verbs("read") == [("read", "it")]


def test_what_could_not_be_read_is_told_of_another_time(log: list[Record]) -> None:
    engine = SimulatedEngine()
    engine.faults["read", "it"] = [EngineError("busy")]
    (unsettled,) = engine.put(base("it", verified=False))
    dry = DryRun(engine.read)
    dry.reap([unsettled], permit)
    assert told(log) == []
    dry.reap([unsettled], permit)
    assert told(log) == [["it"]]
