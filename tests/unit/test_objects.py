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
from tests.cli.fake import EMPTY_ENGINE, Answer, FakeServer, as_json
from tests.support.proxy import Action, FaultProxy, Request, answer
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


# As Docker 28.5 answers, with the containerd image store.

VOLUME = "a2042dea9ad9f67c48ac7502c093057b2c05d14b2f2ffc2d8407b1fbe17d5ca5"
IMAGE = "sha256:f31b2e574d198734ae983fb66aeef4df97385aa6bae2f91b30a417096474f0c1"
CONTAINER = "6ad01b3255023ce7f031a34209b1959e02797ac180da165cd04f71d2045c77cd"


def of_newer(answers: dict[str, Answer], version: str = "1.51") -> dict[str, Answer]:
    """Its answers, of this version of the API."""
    known = {"/version": as_json({"ApiVersion": version}), "/networks": as_json([])}
    return {
        path if path == "/version" else f"/v{version}{path}": said
        for path, said in {**known, **answers}.items()
    }


@pytest.mark.parametrize(
    ("image", "doubtful"),
    [
        (IMAGE, False),
        ("sha256:571347a3e03d35358098daad8c374054887fa3f6ac5b042ffc07b7b01ecfd48f", True),
    ],
)
def test_a_container_whose_image_was_built_anew_is_listed_with_what_can_be_told(
    tmp_path: Path, image: str, doubtful: bool
) -> None:
    mount = {"Type": "volume", "Name": VOLUME, "Source": "", "Destination": "/data", "RW": True}
    listed = {
        "Id": CONTAINER,
        "Names": ["/decky-001-ssh"],
        "Image": image,
        "ImageID": image,
        "ImageManifestDescriptor": {"digest": image, "size": 536},
        "Created": 1795867650,
        "Labels": {
            "com.docker.compose.image": IMAGE,
            "com.docker.compose.project": f"decnet-topo-{P}",
            "decnet.topology.id": topology(),
        },
        "Mounts": [mount, {"Type": "bind", "Source": "/srv"}, {**mount, "Name": "evidence"}],
    }
    answers = of_newer(
        {
            "/containers/json": as_json([listed]),
            f"/images/{image}/json": as_json({"message": f"No such image: {image}"}, 404),
        }
    )
    with FakeServer(tmp_path / "engine.sock", answers):
        (resource,) = Engine(f"unix://{tmp_path}/engine.sock").listing().resources
    assert (resource.owners, resource.volumes) == ((topology(),), (VOLUME,))
    assert (resource.doubtful, resource.verified) == (doubtful, not doubtful)


@pytest.mark.parametrize(
    ("version", "labels", "goes"),
    [
        ("1.51", {"com.docker.volume.anonymous": ""}, True),
        ("1.51", None, False),  # somebody made it under such a name
        ("1.45", {"com.docker.volume.anonymous": ""}, True),
        ("1.45", None, True),  # Docker 26.1 marks some
        ("1.41", {}, True),
    ],
)
def test_a_volume_goes_if_the_engine_marks_it_as_anonymous(
    tmp_path: Path, version: str, labels: dict[str, str] | None, goes: bool
) -> None:
    with FaultProxy("/nowhere", listen=tmp_path / "engine.sock") as proxy:
        known = of_newer({f"/volumes/{VOLUME}": as_json({"Labels": labels})}, version)

        def hook(request: Request) -> Action:
            if request.method == "DELETE":
                return answer(204)
            return answer(200, known[request.path.split("?")[0]][2].decode())

        proxy.hook = hook
        assert Engine(proxy.host).remove_volume(VOLUME) is goes
        asked = [request.method for request in proxy.requests if "/volumes/" in request.path]
    assert asked == ["GET", "DELETE"][: 1 + goes]


def test_an_image_is_used_by_whoever_does_not_leave(
    tmp_path: Path,
) -> None:
    project = f"decnet-topo-{P}"
    mine, used, twice = (f"{project}-decky-00{n}-ssh" for n in (1, 2, 3))
    listed = [
        {
            "Id": f"sha256:{number:064x}",
            "ParentId": "",
            "RepoTags": [f"{name}:latest" for name in names],
            "RepoDigests": [f"{name}@sha256:{number:064x}" for name in names],
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": f"decky-00{number}-ssh",
            },
        }
        for number, names in enumerate([(mine,), (used,), (twice, "evidence"), ()], 1)
    ]
    runs = [{"Id": str(number), "ImageID": f"sha256:{number:064x}"} for number in (1, 2)]
    answers = of_newer({"/images/json": as_json(listed), "/containers/json": as_json(runs)})
    with FakeServer(tmp_path / "engine.sock", answers):
        engine = Engine(f"unix://{tmp_path}/engine.sock")
        found, alone = engine.images({"1", "gone"}), engine.images()
    assert [image.name for image in found] == [f"{mine}:latest"]
    assert not alone, "nothing leaves"
