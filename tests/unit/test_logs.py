"""The log lines, and that what is stuck is said once."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from listener.control.observer import Reconciled
from listener.core.evidence import State, Verdict
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Endpoint, Resource
from listener.errors import presentable
from listener.telemetry import logs
from listener.telemetry.lines import LineWriter, standard_error
from listener.telemetry.removal_log import RemovalLog
from tests.support.process import PATIENCE, eventually, full_pipe
from tests.world.parts import P, Q, base, network, service

if TYPE_CHECKING:
    from loguru import Record


def outcome(*removals: Removal, there: Collection[Resource] = ()) -> Outcome:
    verdicts = {r.resource.id: Verdict(State.ORPHAN, "witnessed") for r in removals}
    return Outcome(removals, verdicts, {resource.id for resource in there})


def done(prefix: str, outcome: Outcome) -> Reconciled:
    return Reconciled(prefix, outcome, 0.0, 0.0)


def stuck(resource: Resource, error: str = "busy", result: Result = Result.FAILED) -> Outcome:
    return outcome(Removal(resource, result, error), there=[base(), network()])


def events(log: list[Record], level: str = "INFO") -> list[tuple[str, str]]:
    """The event and the id of each line from this level on."""
    least = logger.level(level).no
    return [
        (record["extra"]["event"], record["extra"]["id"])
        for record in log
        if record["level"].no >= least
    ]


# Removals.


def test_each_removal_is_one_line_with_its_fields(log: list[Record]) -> None:
    things = (base(), service(), network())
    for thing in things:
        RemovalLog().ended(Removal(thing, Result.REMOVED), P, "witnessed")
    assert [record["extra"] for record in log] == [
        {
            "event": "removed",
            "prefix": P,
            "topology_id": thing.topology_id,
            "kind": thing.kind.value,
            "id": thing.id,
            "name": thing.name,
            "evidence": "witnessed",
            "duration_ms": 0.0,
        }
        for thing in things
    ]


def test_who_was_taken_off_a_network_is_one_line_whatever_became_of_the_network(
    log: list[Record],
) -> None:
    for result in Result:
        removal = Removal(network(), result, disconnected=[Endpoint("a1b2", "tcpdump", ours=False)])
        told = RemovalLog()
        told.stopping()
        told.ended(removal, P, "witnessed")
    said = [r["extra"] for r in log if r["extra"]["event"] == "disconnected"]
    assert said == [
        {
            "event": "disconnected",
            "prefix": P,
            "topology_id": None,
            "kind": "endpoint",
            "id": "a1b2",
            "name": "tcpdump",
            "network": network().name,
            "evidence": "witnessed",
        }
    ] * len(Result)


@pytest.mark.parametrize("result", [Result.GONE, Result.SPARED, Result.MISTAKEN])
def test_what_was_not_removed_by_us_is_no_news(log: list[Record], result: Result) -> None:
    RemovalLog().reconciled(done(P, outcome(Removal(base(), result))))
    assert events(log) == []
    assert events(log, "DEBUG") == [(result.value, "base")]


def test_why_something_is_stuck_is_said_once_for_each_reason(log: list[Record]) -> None:
    said = RemovalLog()
    for error in ("busy", "busy", "busy", "refused", "refused", "busy"):
        said.reconciled(done(P, stuck(base(), error)))
    assert [record["extra"]["error"] for record in log] == ["busy", "refused", "busy"]
    assert {record["level"].name for record in log} == {"ERROR"}


def test_a_removal_under_way_is_said_when_it_is_looked_at_again(log: list[Record]) -> None:
    said = RemovalLog()
    said.reconciled(done(P, stuck(base(), "409", Result.PENDING)))
    assert events(log) == []
    said.reconciled(done(P, stuck(base(), "409", Result.PENDING)))
    said.reconciled(done(P, stuck(base(), "409", Result.PENDING)))
    assert [(record["level"].name, record["extra"].get("error")) for record in log[1:]] == [
        ("WARNING", "409")
    ]


@pytest.mark.parametrize(
    "after", [outcome(there=[network()]), outcome(Removal(base(), Result.GONE))]
)
def test_what_was_said_to_be_still_there_is_said_to_be_gone(
    log: list[Record], after: Outcome
) -> None:
    said = RemovalLog()
    said.reconciled(done(P, stuck(base())))
    said.reconciled(done(Q, outcome()))
    said.reconciled(done(P, outcome(there=[base()])))
    assert events(log) == [("failed", "base")]
    said.reconciled(done(P, after))
    said.reconciled(done(P, after))
    assert events(log) == [("failed", "base"), ("gone", "base")]


def test_what_may_be_left_is_said_unless_the_listener_stops(log: list[Record]) -> None:
    went = replace(outcome(Removal(base(), Result.REMOVED)), left="denied")
    said = RemovalLog()
    for prefix, told in ((P, went), ("", Outcome(left="denied"))):
        said.reconciled(done(prefix, told))
    said.stopping()
    said.reconciled(done(P, replace(went, left="the listener is stopping")))
    assert [r["message"] for r in log if r["extra"]["event"] == "left"] == ["denied"] * 2


def test_a_name_with_braces_or_markup_is_said_as_it_is(log: list[Record]) -> None:
    odd = Resource(base().kind, "x", "{0} {evil} <red>", (P,), base().stage)
    RemovalLog().ended(Removal(odd, Result.REMOVED), P, "witnessed")
    assert "{0} {evil} <red>" in log[0]["message"]


# A topology as a whole.


def told(log: list[Record], *events: str) -> list[str]:
    """The messages of these events, less how long something took."""
    said = [record["message"] for record in log if record["extra"]["event"] in events]
    return [re.sub(r" in [\d,]+ ms", "", message) for message in said]


def work(log: RemovalLog, *removals: Removal, there: Collection[Resource] = ()) -> None:
    """One attempt at a topology."""
    log.reaping([removal.resource for removal in removals], P, "witnessed")
    for removal in removals:
        log.ended(removal, P, "witnessed")
    log.reconciled(done(P, outcome(*removals, there=there)))


def test_a_removal_has_a_line_before_one_for_each_resource_and_one_after(log: list[Record]) -> None:
    work(RemovalLog(), *(Removal(r, Result.REMOVED) for r in (base(), service(), network())))
    assert [record["extra"]["event"] for record in log] == ["removing", *["removed"] * 3, "reaped"]
    counts = "2 containers, 1 network"
    assert told(log, "removing") == [f"removing topology {P} ({counts}): witnessed"]
    assert told(log, "reaped") == [f"done with topology {P}: removed {counts}"]
    last = log[-1]["extra"]
    assert [last[kind] for kind in ("containers", "networks", "images")] == [2, 1, 0]
    assert (last["prefix"], last["evidence"]) == (P, "witnessed")


def test_what_is_tried_again_is_begun_once_and_over_once(log: list[Record]) -> None:
    said = RemovalLog()
    work(said, Removal(base(), Result.REMOVED), Removal(network(), Result.FAILED, "busy"))
    work(said, Removal(network(), Result.FAILED, "busy"))
    assert told(log, "reaped") == []
    work(said, Removal(network(), Result.REMOVED))
    assert told(log, "removing") == [f"removing topology {P} (1 container, 1 network): witnessed"]
    assert told(log, "reaped") == [f"done with topology {P}: removed 1 container, 1 network"]


def test_what_comes_while_a_removal_is_not_over_is_begun_as_well(log: list[Record]) -> None:
    said = RemovalLog()
    work(said, Removal(base(), Result.PENDING))
    work(said, Removal(base(), Result.REMOVED), Removal(service(), Result.REMOVED))
    assert told(log, "removing") == [f"removing topology {P} (1 container): witnessed"] * 2
    assert told(log, "reaped") == [f"done with topology {P}: removed 2 containers"]


def test_what_ended_just_before_the_first_line_is_in_the_last_one(log: list[Record]) -> None:
    said, removal = RemovalLog(), Removal(base(), Result.MISTAKEN)
    said.ended(removal, P, "witnessed")
    said.reaping([base(), network()], P, "witnessed")
    said.ended(Removal(network(), Result.REMOVED), P, "witnessed")
    said.reconciled(done(P, outcome(removal, Removal(network(), Result.REMOVED))))
    said.reconciled(done(P, Outcome()))
    assert told(log, "reaped") == [
        f"done with topology {P}: removed 1 network; staying: 1 container, because it belongs to"
        " another topology or to none"
    ]


def test_the_last_line_tells_what_others_removed_and_what_stays_and_why(log: list[Record]) -> None:
    back = Verdict(State.ALIVE, "its row exists")
    removals = [
        *(Removal(base(), Result.GONE), Removal(base("another"), Result.MISTAKEN)),
        *(Removal(service(), Result.SPARED), Removal(network(), Result.PENDING)),
    ]
    said = RemovalLog()
    work(said, *removals)
    verdicts = {service().id: back, network().id: back}
    said.reconciled(done(P, Outcome((), verdicts, {service().id, network().id})))
    assert told(log, "reaped") == [
        f"done with topology {P}: removed nothing; gone without us: 1 container; staying:"
        " 2 containers, 1 network, because it belongs to another topology or to none, and its row"
        " exists"
    ]


@pytest.mark.parametrize("spared", [False, True])
def test_a_removal_that_the_end_of_the_listener_interrupts_is_said_to_be_not_over(
    log: list[Record], spared: bool
) -> None:
    said = RemovalLog()
    said.stopping()
    left = Removal(network(), Result.SPARED if spared else Result.PENDING)
    work(said, Removal(base(), Result.REMOVED), left)
    said.stopped()
    said.stopped()
    assert told(log, "reaped") == []
    (line,) = [record for record in log if record["extra"]["event"] == "left"]
    assert (line["level"].name, line["extra"]["prefix"]) == ("WARNING", P)
    assert "(1 network left)" in line["message"]


# The sinks.


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """What came to standard error; standard output has to stay empty."""

    def read() -> list[str]:
        standard_error.flush()
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()

    yield read
    logger.remove()


def test_with_json_each_event_is_one_object_on_one_line(lines: Callable[[], list[str]]) -> None:
    logs.set_up("INFO", "json")
    logger.bind(event="up", side="Docker", odd=object()).info("two\nlines of {}", "{text}")
    logger.debug("too low")
    try:
        raise ValueError("the cause")
    except ValueError:
        logger.exception("it broke")
    first, second = (json.loads(line) for line in lines())
    assert first["message"] == "two\nlines of {text}"
    assert (first["event"], first["side"], first["level"]) == ("up", "Docker", "INFO")
    assert first["time"].count(":") >= 2
    assert second["error"] == "ValueError('the cause')"
    assert second["level"] == "ERROR"


def test_with_text_each_event_is_one_line_for_a_person(lines: Callable[[], list[str]]) -> None:
    logs.set_up("WARNING", "text")
    logger.warning("look <red>here</red> {}", "{}")
    logger.info("too low")
    (line,) = lines()
    assert line.endswith("look <red>here</red> {}")
    assert "WARNING" in line


# A standard error that nobody reads.


@pytest.mark.parametrize("form", ["text", "json"])
def test_who_logs_waits_for_no_reader_and_what_was_dropped_is_counted(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    lines = LineWriter(most=3)
    monkeypatch.setattr(logs, "standard_error", lines)
    reader, writer = full_pipe()
    with os.fdopen(reader) as read, os.fdopen(writer, "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        logs.set_up("INFO", form)
        logger.info("line 0")
        eventually(lambda: lines._writing, "it waits to be written")
        for number in range(1, 9):
            logger.info("line {}", number)
        assert not lines.flush(0)
        said = list(islice(filter(str.strip, read), 5))
        assert lines.flush(PATIENCE)
        logger.remove()
    for number, line in enumerate(said[:4]):
        assert f"line {number}" in line
    assert "5 lines of this log were dropped" in said[4]
    if form == "json":
        last = json.loads(said[4])
        assert (last["event"], last["count"], last["level"]) == ("dropped", 5, "ERROR")


def test_what_could_not_be_written_is_told_when_something_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Disk(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    disk, told = Disk(), list[int]()
    monkeypatch.setattr(sys, "stderr", disk)
    lines = LineWriter()
    lines.dropped = told.append
    for line in ("one\n", "two\n"):
        lines.put(line)
        assert lines.flush(PATIENCE)
    assert told == []
    disk.is_full = False
    lines.put("three\n")
    assert lines.flush(PATIENCE)
    assert (disk.getvalue(), told) == ("three\n", [2])


# Colours.


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)],
)
def test_colours_are_for_a_terminal_that_wants_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        logs.set_up("INFO", "text")
        logger.info("a line")
        standard_error.flush()
    finally:
        logger.remove()
    assert "a line" in written.getvalue()
    assert ("\x1b[" in written.getvalue()) is coloured


def test_what_the_engine_says_stays_one_line_and_commands_no_terminal() -> None:
    assert presentable("a\nb\r\x1b[2Jc\u202ed\x00") == "a b \ufffd[2Jc\ufffdd\ufffd"
