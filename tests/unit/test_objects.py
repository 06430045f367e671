"""What is read out of the engine's JSON: a container's age and its own name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from listener.control.inventory import PrefixIndex
from listener.core.resources import Kind, Resource, Stage
from listener.engine.client import Engine
from listener.engine.mirror import Mirror
from listener.engine.objects import is_on, mark, own_name
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
        (resource,) = Engine(f"unix://{tmp_path}/engine.sock").listing().resources
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


def test_a_networks_event_from_podman_is_one_from_docker_in_other_words() -> None:
    # As 5.4 sends it, without what is empty in any.
    index, id_ = PrefixIndex(), "a951f43f2751b8dceb4c7a3fd50e174e26175873b5862b2ec8744cc714d811fb"
    attributes = {"driver": "bridge", "image": "", "name": "", "network": f"decnet_t_{P}_lan1"}
    event = {
        "Type": "network",
        "Action": "create",
        "Actor": {"ID": id_, "Attributes": attributes},
        "scope": "local",
        "time": 1795867470,
    }
    mirror = Mirror(index, set[str]().add)
    mirror.apply(json.dumps(event).encode())
    assert [resource.name for resource in index.resources(P)] == [f"decnet_t_{P}_lan1"]
    mirror.apply(json.dumps({**event, "Action": "remove"}).encode())
    assert not index.resources(P)


def test_a_network_is_known_by_its_name_where_its_id_is_not_told() -> None:
    network = Resource(Kind.NETWORK, "1", "lan", (P,), Stage.NETWORK)
    assert is_on({"lan": "1"}, network)
    assert is_on({"lan": ""}, network), "before a container's first start"
    assert is_on({"lan": "lan"}, network), "Podman 4.3"
    assert not is_on({"lan": "2"}, network)


def test_podman_is_told_apart_by_its_own_network() -> None:
    # As 4.3 lists it; the name in its own words is podman.
    id_ = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9"
    assert mark([{"Name": f"decnet_t_{P}_lan1", "Id": "1"}, {"Name": "bridge", "Id": id_}]) == id_


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/web"], "web"),
        (["/other/alias", "/web"], "web"),
        (["/a/b"], ""),
        (None, ""),
        ([None, 3, "/web"], "web"),
    ],
)
def test_a_containers_own_name_is_the_one_with_a_single_slash(names: object, expected: str) -> None:
    assert own_name(names) == expected
