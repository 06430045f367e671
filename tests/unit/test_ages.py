"""How old a container is, from a list or an event that tells whole seconds only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from listener.engine.client import Engine
from listener.engine.mirror import Mirror
from listener.index import PrefixIndex
from tests.cli.fake import EMPTY_ENGINE, FakeServer, as_json
from tests.world.parts import P, topology


def test_a_time_that_was_cut_makes_nothing_older_than_it_is(tmp_path: Path) -> None:
    created = 1_700_000_000
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


@pytest.mark.parametrize(
    ("time", "created"),
    [
        ("1700000000", 1_700_000_001.0),
        ("1e400", None),
        ("NaN", None),
        ("null", None),
    ],
)
def test_an_event_at_no_time_that_can_be_tells_of_its_object_all_the_same(
    time: str, created: float | None
) -> None:
    index = PrefixIndex()
    event = (
        f'{{"Type":"container","Action":"create","time":{time},'
        f'"Actor":{{"ID":"1","Attributes":{{"name":"decnet_t_{P}_base"}}}}}}'
    )
    Mirror(index, set[str]().add).apply(event.encode())
    resource = index.get("1")
    assert resource is not None
    assert resource.created == created


def test_what_was_gone_when_everything_was_listed_is_not_brought_back_by_a_replay() -> None:
    def created(id_: str, second: int) -> bytes:
        attributes = {"name": f"decnet_t_{P}_{id_}", "decnet.topology.id": topology()}
        actor = {"ID": id_, "Attributes": attributes}
        event = {"Type": "container", "Action": "create", "Actor": actor, "time": second}
        return json.dumps(event).encode()

    index, appeared = PrefixIndex(), set[str]()
    mirror = Mirror(index, appeared.add)
    mirror.list([], at=1_700_000_010.0)
    mirror.apply(created("gone", 1_700_000_009))
    assert (len(index), appeared) == (0, set())
    mirror.apply(created("new", 1_700_000_010))  # in the second of the listing it may be either
    assert (len(index), appeared) == (1, {P})
