"""What a listener and a sweep tell, and the example of it, have the shape of the schemas."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import schemas

import listener
from listener.core.report import Report
from listener.runtime.daemon import Listener
from listener.settings import Settings
from listener.telemetry.status import StatusStore
from tests.support.schema import DOCS, check
from tests.world.host import Host
from tests.world.parts import TOPOLOGY, network, service

from .pages import Page


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_the_schemas_are_as_make_docs_would_make_them(name: str) -> None:
    assert (DOCS / f"{name}.schema.json").read_text() == schemas.schema(name), "run `make docs`"


def test_the_library_s_page_names_all_that_is_public() -> None:
    named = set(re.findall(r"\w+", (DOCS / "library.md").read_text()))
    assert set(listener.__all__) - named == set()


def test_the_example() -> None:
    blocks = Page(DOCS / "status.md").blocks
    (text,) = [text for language, text in blocks if language == "json"]
    check("status", json.loads(text))


def test_what_a_listener_tells(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/decnet.db"
    unstarted = Listener(
        Settings(database_url=database, state_dir=str(tmp_path), docker_host="unix:///none.sock")
    )
    try:
        told = unstarted.status()
    finally:
        unstarted.stop()
    check("status", told)
    check("status", {**told, **of_a_life()})


def of_a_life() -> dict[str, object]:
    """The lists of a status, none of them empty."""
    board = StatusStore()
    host = Host(observer=board)
    host.database.rows.add(TOPOLOGY)
    host.appear(service())
    host.sweep("start-up")
    host.settle(1.0)
    alive = board.topologies(host.index, ())
    host.database.rows.clear()
    host.controller.hinted(0)
    host.settle(1.0)
    lately = board.status()
    assert alive
    assert lately["reaps"]
    assert lately["sweeps"]["last"]
    host.appear(network())
    return {
        "topologies": [*alive, *board.topologies(host.index, ())],
        "held": board.held(host.index),
        "reaps": lately["reaps"],
        "sweeps": {**lately["sweeps"], "interval_s": 300.0},
    }


def test_the_report_of_a_sweep() -> None:
    report = Report(
        held=[{"prefix": "0badcafe", "reason": "the table was replaced", "token": "1f2e3d4c5b6a"}],
        torn_down=[{"prefix": TOPOLOGY[:8], "id": TOPOLOGY, "resources": 3, "stays": True}],
    )
    check("report", json.loads(report.to_json()))
