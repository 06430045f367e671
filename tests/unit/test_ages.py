"""How old a container is, from a list that tells whole seconds only."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.engine.client import Engine
from tests.cli.fake import EMPTY_ENGINE, FakeServer, as_json

from .world import P, topology


@pytest.mark.parametrize("created", [1_700_000_000, 1])
def test_a_time_that_was_cut_makes_nothing_older_than_it_is(tmp_path: Path, created: int) -> None:
    listed = {
        "Id": "1",
        "Names": [f"/decnet_t_{P}_base"],
        "Labels": {"decnet.topology.id": topology()},
        "ImageID": "",
        "Created": created,  # or up to a second later
    }
    answers = {**EMPTY_ENGINE, "/v1.41/containers/json": as_json([listed])}
    with FakeServer(tmp_path / "engine.sock", answers):
        (resource,) = Engine(f"unix://{tmp_path}/engine.sock").resources()
    assert resource.created == created + 1
