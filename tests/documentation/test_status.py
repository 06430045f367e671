"""The object in docs/status.md has the keys that a listener tells, all of them and no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from listener.engine.about import About
from listener.runtime.daemon import Listener
from listener.settings import Settings
from listener.telemetry.status import StatusStore
from tests.world.host import Host
from tests.world.parts import TOPOLOGY, service

from .pages import TREE, Page


@pytest.fixture
def documented() -> dict[str, Any]:
    """The example."""
    blocks = Page(TREE / "docs" / "status.md").blocks
    (text,) = [text for language, text in blocks if language == "json"]
    example: dict[str, Any] = json.loads(text)
    return example


def test_the_keys_of_a_listener(documented: dict[str, Any], tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/decnet.db"
    listener = Listener(
        Settings(database_url=database, state_dir=str(tmp_path), docker_host="unix:///none.sock")
    )
    try:
        told = listener.status()
    finally:
        listener.stop()
    assert documented.keys() == told.keys()
    for part in ("docker", "held", "queue", "sweeps"):
        assert documented[part].keys() == told[part].keys()
    about = {field.name for field in dataclasses.fields(About)}
    assert documented["docker"]["engine"].keys() == about
    assert documented["databases"][0].keys() == told["databases"][0].keys()


def test_the_keys_of_what_is_and_was_there(documented: dict[str, Any]) -> None:
    board = StatusStore()
    host = Host(observer=board)
    host.database.rows.add(TOPOLOGY)
    host.appear(service())
    host.sweep("start-up")
    host.settle(1.0)
    (topology,) = board.topologies(host.index, ())
    assert documented["topologies"][0].keys() == topology.keys()
    assert documented["topologies"][0]["resources"][0].keys() == topology["resources"][0].keys()
    assert documented["sweeps"]["last"].keys() == board.status()["sweeps"]["last"].keys()
    host.database.rows.clear()
    host.controller.hinted(0)
    host.settle(1.0)
    (reap,) = board.status()["reaps"]
    assert documented["reaps"][0].keys() == reap.keys()
