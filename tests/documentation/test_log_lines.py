"""docs/logs.md has every event that is logged, with its levels, fields and files, and no other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from loguru import logger

from listener.control.observer import Reconciled
from listener.core.evidence import State, Verdict
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Endpoint, Kind, Resource, Stage
from listener.telemetry.removal_log import RemovalLog

from .pages import TREE, Page

PAGE = Page(TREE / "docs" / "logs.md")
PACKAGE = TREE / "listener"
LEVELS = {name: name.upper() for name in ("trace", "debug", "info", "warning", "error")}
LEVELS |= {"exception": "ERROR", "catch": "ERROR"}


@dataclass
class Event:
    """How an event is logged: with which levels, which fields, and in which files."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


def in_source() -> dict[str, Event]:
    """The events that are logged with a name of their own."""
    found: dict[str, Event] = defaultdict(Event)
    for path in PACKAGE.rglob("*.py"):
        for call in calls(path.read_text()):
            said = f"{path.name}:{call.lineno}"
            assert isinstance(call.func, ast.Attribute)
            bound = call.func.value
            assert isinstance(bound, ast.Call), f"{said} logs without an event"
            bindings = {str(keyword.arg): keyword.value for keyword in bound.keywords}
            event = bindings.pop("event", None)
            assert isinstance(event, ast.Constant), f"{said} logs without an event"
            found[str(event.value)].levels |= levels(call)
            found[str(event.value)].fields |= bindings.keys()
            found[str(event.value)].files.add(str(path.relative_to(PACKAGE)))
            if call.func.attr in ("exception", "catch"):
                found[str(event.value)].fields.add("error")
    return found


def calls(source: str) -> Iterator[ast.Call]:
    """The calls that write a line: ``logger.bind(…).info(…)``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on = ast.unparse(node.func.value)
            if node.func.attr in {*LEVELS, "log"} and on.split("(")[0] in ("logger", "logger.bind"):
                yield node


def levels(call: ast.Call) -> set[str]:
    """The levels that a call may have."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr != "log":
        return {LEVELS[call.func.attr]}
    names = {node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)}
    return {str(name) for name in names}


def of_removals() -> dict[str, Event]:
    """The events of removals, by logging every result that there is, in each way."""
    found: dict[str, Event] = defaultdict(Event)

    def keep(message: object) -> None:
        record = message.record  # type: ignore[attr-defined]
        event = found[record["extra"].pop("event")]
        event.levels.add(record["level"].name)
        event.fields |= record["extra"].keys()
        event.files.add("telemetry/removal_log.py")

    sink = logger.add(keep, level="TRACE")
    try:
        thing = Resource(Kind.NETWORK, "1" * 64, "decnet_t_0badcafe_lan1", ("0badcafe",), Stage(1))
        guest = Endpoint("2" * 64, "tcpdump", ours=False)
        verdicts = {thing.id: Verdict(State.ORPHAN, "witnessed")}
        for result in Result:
            for errors in (["busy"], ["busy", "busier"]):
                log = RemovalLog()
                for error in errors:
                    removal = Removal(
                        thing, result, error, disconnected=[guest], volumes=["3" * 64]
                    )
                    log.ended(removal, "0badcafe", "witnessed")
                    log.reconciled(done(Outcome([removal], verdicts, {thing.id}, left=error)))
                log.reconciled(done(Outcome()))
    finally:
        logger.remove(sink)
    return found


def done(outcome: Outcome) -> Reconciled:
    """The end of the work on a topology."""
    return Reconciled("0badcafe", outcome, 0.0, 0.0)


def documented() -> dict[str, Event]:
    """The rows of the page whose first cell is an event."""
    return {
        row[0]: Event(*(set(cell.replace(",", " ").split()) for cell in (row[1], row[2], row[4])))
        for row in PAGE.rows
        if len(row) == 5
    }


@pytest.fixture(scope="module")
def logged() -> dict[str, Event]:
    """Every event that there is."""
    return {**in_source(), **of_removals()}


def test_every_event_is_documented_and_every_documented_one_exists(
    logged: dict[str, Event],
) -> None:
    assert documented().keys() == logged.keys()


def test_their_levels_fields_and_files_are_as_documented(logged: dict[str, Event]) -> None:
    assert documented() == logged


def test_every_field_is_explained(logged: dict[str, Event]) -> None:
    explained = {row[0] for row in PAGE.rows if len(row) == 2}
    of_every_line = {"time", "level", "message", "event"}
    assert explained == of_every_line | {name for event in logged.values() for name in event.fields}
