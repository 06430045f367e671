"""Containers whose image record is gone: compose's own go, and what cannot be told is held.

The daily engine loses a record where an image is removed by force. With the containerd image store
it takes no more than another build under the same tag: that is tried with Docker 28.5 and its own
compose, from Debian sid, where making that system takes a minute the first time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from debian_root import debian_root
from private_engine import PrivateEngine, busybox_tar

from tests.engine.conftest import Run, connect, exists
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import new_id
from tests.support.process import call
from tests.support.rows import Rows

PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "iptables")
SERVICE = """\
services:
  decky-001-ssh:
    image: decnet/ssh
    build: {folder}
    container_name: decky-001-ssh
    network_mode: none
    labels:
      decnet.topology.id: {id}
      decnet.topology.decky: decky-001
      decnet.topology.service_name: ssh
      decnet.topology.service: "true"
"""
DOCKERFILE = """\
FROM scratch
ADD root.tar /
VOLUME /data
LABEL version={}
CMD ["sleep", "1000000"]
"""
ANALYSIS = "services: {analysis: {image: evidence, network_mode: none, container_name: analysis}}"


def assert_no_image(api: docker.APIClient, *ids: str) -> None:
    """Fail if the engine has a record of any of these."""
    for id_ in ids:
        with pytest.raises(docker.errors.ImageNotFound):
            api.inspect_image(id_)  # type: ignore[no-untyped-call]


def assert_held(listed: list[dict[str, str]], prefix: str) -> str:
    """The token that releases it."""
    (entry,) = listed
    assert entry["prefix"] == prefix
    assert "the image of a container is gone" in entry["reason"]
    return entry["token"]


def test_what_compose_made_goes_though_its_image_is_gone_and_what_is_doubtful_is_held(
    api: docker.APIClient, engine: PrivateEngine, rows: Rows, url: str, run: Run, tmp_path: Path
) -> None:
    rows.insert(doomed := new_id())
    made = api.create_container("busybox", ["true"])["Id"]
    image = api.commit(made, "decoy")["Id"]
    marks = {
        "decnet.topology.id": doomed,
        "com.docker.compose.project": f"decnet-topo-{doomed[:8]}",
    }
    theirs = [
        api.create_container("decoy", ["true"], labels={**marks, "com.docker.compose.image": image})
        for _ in range(2)
    ]
    seized = api.commit(theirs[0]["Id"], "evidence")["Id"]
    analysis = [api.create_container("evidence", ["true"], name="analysis")["Id"]]
    compose = {"com.docker.compose.image": seized, "com.docker.compose.project": "analysis"}
    analysis.append(api.create_container("evidence", ["true"], labels=compose)["Id"])
    for tag in ("evidence", "decoy"):
        api.remove_image(tag, force=True)
    assert_no_image(api, image, seized)

    listener = run()
    listener.start()
    late = api.create_container("busybox", ["true"], labels=marks)["Id"]
    rows.delete(doomed)
    removed(api, *(container["Id"] for container in theirs), late)
    (line,) = listener.await_log("held")
    assert "the image of a container is gone" in line["message"]
    assert exists(api, made, *analysis)
    told = json.loads(call("status", "--json").stdout)
    assert told["held"]["prefixes"] == [doomed[:8]]
    where = ("--docker-host", engine.host, "--database-url", url)
    said = call("explain", "analysis", *where).stdout
    assert "its image is gone, so its labels may be inherited" in said
    assert "held: the image of a container is gone" in said

    # Another listener's hold does not keep a second one from what is certain.
    swept = call("sweep", "--json", *where, "--state-dir", str(tmp_path / "other"))
    token = assert_held(json.loads(swept.stdout)["held"], doomed[:8])
    assert swept.returncode == 1
    assert exists(api, *analysis)
    swept = call("sweep", "--json", "--confirm", token, *where, "--state-dir", str(tmp_path / "o"))
    assert json.loads(swept.stdout)["held"] == []
    removed(api, *analysis)
    assert exists(api, made)


@pytest.fixture
def newer() -> Iterator[PrivateEngine]:
    """Docker 28.5 with the containerd image store."""
    root = debian_root("sid", PACKAGES)
    store = "--feature=containerd-snapshotter=true"
    with PrivateEngine(root=root, dockerd_options=[store]) as engine:
        yield engine


@pytest.mark.deep
def test_a_build_under_the_same_tag_keeps_no_container_of_a_dead_topology(
    newer: PrivateEngine, rows: Rows, url: str, run: Run
) -> None:
    def docker_(*words: str) -> str:
        return newer.run_inside("docker", "--host", newer.host, *words, timeout=120.0)

    rows.insert(doomed := new_id(), live := new_id())
    folder = newer.directory / "decoy"
    folder.mkdir()
    (folder / "root.tar").write_bytes(busybox_tar())
    (folder / "Dockerfile").write_text(DOCKERFILE.format(1))
    (folder / "compose.yaml").write_text(SERVICE.format(folder=folder, id=doomed))
    compose = ("compose", "--file", str(folder / "compose.yaml"))
    (folder / "analysis.yaml").write_text(ANALYSIS)
    with closing(connect(newer)) as api:
        up = ("--project-name", f"decnet-topo-{doomed[:8]}", "up", "--detach", "--build")
        docker_(*compose, *up)
        (folder / "Dockerfile").write_text(DOCKERFILE.format(2))
        docker_(*compose, *up)  # which makes it anew, with the volume of before
        service = api.inspect_container("decky-001-ssh")
        (inherited,) = (mount["Name"] for mount in service["Mounts"])
        # Nobody marks as anonymous what has a name, though that looks like none.
        named = api.create_volume("ab" * 32)["Name"]
        mounts = api.create_host_config(binds=[f"{named}:/data"])
        marks = {"decnet.topology.id": doomed}
        other = api.create_container("busybox", labels=marks, host_config=mounts)["Id"]
        docker_("commit", "decky-001-ssh", "evidence")
        docker_("run", "--detach", "--name", "seized", "evidence")
        evidence = str(folder / "analysis.yaml")
        docker_("compose", "--file", evidence, "--project-name", "analysis", "up", "--detach")
        analysis = [api.inspect_container(name) for name in ("seized", "analysis")]
        (folder / "Dockerfile").write_text(DOCKERFILE.format(3))
        for tag in ("decnet/ssh", "evidence"):
            docker_("build", "--tag", tag, str(folder))
        assert_no_image(api, *(container["Image"] for container in (service, *analysis)))
        neighbour = plant(api, live)

        listener = run(host=newer.host)
        listener.start()
        rows.delete(doomed)
        removed(api, service["Id"], other)
        (line,) = listener.await_log("held")
        assert "the image of a container is gone" in line["message"]
        assert exists(api, neighbour, *(container["Id"] for container in analysis))
        where = ("--docker-host", newer.host, "--database-url", url)
        volumes = [line["name"] for line in listener.await_log("removed", count=3)]
        assert inherited in volumes
        there = {volume["Name"] for volume in api.volumes()["Volumes"]}
        assert (named in there, inherited in there) == (True, False)
        held = json.loads(call("sweep", "--json", *where).stdout)["held"]
        assert_held(held, doomed[:8])


@pytest.mark.deep
def test_what_compose_built_goes_with_its_topology_and_what_was_made_of_it_stays(
    newer: PrivateEngine, rows: Rows, run: Run
) -> None:
    def docker_(*words: str) -> str:
        return newer.run_inside("docker", "--host", newer.host, *words, timeout=120.0)

    rows.insert(doomed := new_id())
    project = f"decnet-topo-{doomed[:8]}"
    folder = newer.directory / "decoy"
    folder.mkdir()
    (folder / "root.tar").write_bytes(busybox_tar())
    (folder / "Dockerfile").write_text(DOCKERFILE.format(1))
    services = SERVICE.format(folder=folder, id=doomed).replace("    image: decnet/ssh\n", "")
    (folder / "compose.yaml").write_text(
        services + services.replace("services:\n", "").replace("ssh", "http")
    )
    compose = ("compose", "--file", str(folder / "compose.yaml"), "--project-name", project)
    with closing(connect(newer)) as api:
        docker_(*compose, "up", "--detach", "--build")
        theirs = [container["Id"] for container in api.containers()]
        mine = {image["RepoTags"][0]: image["Id"] for image in api.images(name=f"{project}-*")}
        assert sorted(mine) == [f"{project}-decky-001-{name}:latest" for name in ("http", "ssh")]
        docker_("commit", "decky-001-ssh", "seized")
        (folder / "Dockerfile").write_text(f"FROM {project}-decky-001-ssh\nLABEL gdb=1\n")
        docker_("build", "--tag", "analysis", str(folder))
        kept = {image["Id"] for image in api.images()} - {*mine.values()}
        listener = run("--images", host=newer.host)
        listener.start()
        rows.delete(doomed)
        removed(api, *theirs)
        gone = listener.await_log("removed", count=4)
        assert {line["id"] for line in gone if line["kind"] == "image"} == {*mine.values()}
        assert {image["Id"] for image in api.images()} == kept
        assert docker_("run", "--rm", "--network", "none", "seized", "echo", "whole") == "whole\n"
        assert not listener.logged("failed")
