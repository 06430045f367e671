"""With --images what compose built for a topology goes after it, unless somebody wants it.

An import makes an image with compose's labels and name, which is all that tells compose's builds.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, exists, on_both
from tests.engine.push.conftest import plant, removed
from tests.sidecar.haproxy import COMPOSE
from tests.support.decnet import new_id
from tests.support.process import call, eventually
from tests.support.proxy import FaultProxy, Request, answer, stall
from tests.support.rows import Rows

PROJECT = "com.docker.compose.project"
Build = Callable[..., str]


@pytest.fixture
def build(api: docker.APIClient) -> Iterator[Build]:
    """Makes images as compose does, where there are none; none is left after the test."""
    clear(api)

    def make(prefix: str, service: str, name: str | None = None, **labels: str) -> str:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(f"{prefix}-{service}"))
        project = f"decnet-topo-{prefix}"
        labels = {PROJECT: project, "com.docker.compose.service": service, **labels}
        changes = ["CMD true", *(f"LABEL {key}={value}" for key, value in labels.items())]
        repository = f"{project}-{service}" if name is None else name
        said = api.import_image_from_data(tar.getvalue(), repository or None, changes=changes)
        return str(json.loads(said.splitlines()[-1])["status"])

    yield make
    clear(api)


def clear(api: docker.APIClient) -> None:
    """Remove all that are as if compose had built them, which other tests leave."""
    while left := images(api):
        for image in left:
            with suppress(docker.errors.APIError):  # what was made of it has to go first
                api.remove_image(image, force=True)


def run_by(api: docker.APIClient, image: str, topology_id: str, **how: Any) -> str:
    """A container of a topology that runs an image."""
    labels = {"decnet.topology.id": topology_id}
    return str(api.create_container(image, ["true"], labels=labels, **how)["Id"])


def images(api: docker.APIClient) -> set[str]:
    """The ids of what compose has built."""
    return {image["Id"] for image in api.images(all=True, filters={"label": PROJECT})}


def named(prefix: str, *services: str) -> list[str]:
    """What compose calls them."""
    return [f"decnet-topo-{prefix}-{service}:latest" for service in services]


def test_an_image_goes_after_the_last_container_and_one_that_anybody_wants_stays(
    api: docker.APIClient, rows: Rows, build: Build, run: Run
) -> None:
    rows.insert(doomed := new_id(), live := new_id())
    prefix = doomed[:8]
    mine, never_run = build(prefix, "decky-001-ssh"), build(prefix, "decky-002-http")
    theirs = [run_by(api, mine, doomed, name=name) for name in ("decky-001-ssh", "decky-009-ssh")]
    # The classic builder's cache, and as well an analyst's: an image without a name has another.
    cached = api.commit(api.create_container("busybox", ["true"])["Id"])["Id"]
    built = api.create_container(cached, ["true"])["Id"]
    labels = [
        f"LABEL {PROJECT}=decnet-topo-{prefix}",
        "LABEL com.docker.compose.service=built",
    ]
    on_top = api.commit(built, named(prefix, "built")[0].partition(":")[0], changes=labels)["Id"]
    api.remove_container(built)

    stay = {build(live[:8], "decky-003-ssh"), build("0badcafe", "decky-004-ssh")}
    theirs.append(run_by(api, twice := build(prefix, "twice"), doomed))
    api.tag(twice, "evidence", "twice")
    theirs.append(run_by(api, same_name := build(prefix, "same-name"), doomed))
    api.tag(same_name, named(prefix, "same-name")[0].partition(":")[0], "kept")
    # Kept by another name alone, for a later build has the tag, or it was taken away.
    theirs.append(run_by(api, retagged := build(prefix, "retagged"), doomed))
    repository = named(prefix, "retagged")[0].partition(":")[0]
    api.tag(retagged, repository, "evidence")
    rebuilt = build(prefix, "retagged", by="another-build")
    theirs.append(run_by(api, renamed := build(prefix, "renamed"), doomed))
    api.tag(renamed, "evidence/renamed", "case-17")
    api.remove_image(named(prefix, "renamed")[0])
    stay |= {retagged, renamed, build(prefix, "retagged", f"{repository}-gdb")}
    stay.add(build(prefix, "smtp", "decoy/smtp"))
    theirs.append(run_by(api, shared := build(prefix, "shared"), doomed))
    neighbour = run_by(api, shared, live)
    foreign = api.create_container(used := build(prefix, "used"), ["true"], name="analysis")["Id"]
    theirs.append(run_by(api, used, doomed))
    # Made of it by who looks into the matter: a build, a commit, and one of another's container.
    stay |= {build(prefix, "gdb", "analysis"), build(prefix, "untagged", "")}
    stay |= {api.commit(theirs[0], "seized")["Id"], api.commit(theirs[0])["Id"]}
    stay |= {api.commit(foreign, "seen")["Id"]}
    number = {"com.docker.compose.container-number": "1"}
    stay |= {build(prefix, "commit", **number)}
    stay |= {build(prefix, "protected", **{"topology-reaper.protect": "true"})}
    stay |= {build(prefix, "other", named(live[:8], "other")[0])}
    stay |= {twice, same_name, shared, used}

    listener = run("--images")
    listener.start()
    assert images(api) >= stay | {mine, never_run, rebuilt, on_top}
    rows.delete(doomed)
    removed(api, *theirs)
    # A commit keeps what it was made of: the engine refuses, and that is no failure.
    assert {line["id"] for line in listener.await_log("spared")} == {mine}
    gone = [line for line in listener.await_log("removed", count=11) if line["kind"] == "image"]
    names = named(prefix, "built", "decky-002-http", "retagged")
    assert sorted(line["name"] for line in gone) == names
    assert all("witnessed" in line["evidence"] for line in gone)
    assert images(api) == stay | {mine}
    assert exists(api, neighbour, foreign)
    entries = [json.loads(text) for text in call("history", "--json").stdout.splitlines()]
    assert {e["id"] for e in entries if e["kind"] == "image"} == {rebuilt, never_run, on_top}
    api.remove_image(cached)  # which is still there
    assert not listener.logged("failed")
    assert not listener.logged("left")


@on_both
def test_without_the_option_none_goes_and_a_dry_run_names_those_that_would(
    api: docker.APIClient, engine: PrivateEngine, rows: Rows, url: str, build: Build, run: Run
) -> None:
    where = ("--json", "--docker-host", engine.host, "--database-url", url)
    rows.insert(live := new_id(), doomed := new_id())
    mine, used = build(doomed[:8], "decky-001-ssh"), build(doomed[:8], "used")
    theirs = [run_by(api, image, doomed) for image in (mine, used)]
    foreign = run_by(api, used, live)
    (name,) = (i["RepoTags"][0] for i in api.images() if i["Id"] == mine)  # Podman's is longer

    listener = run("--dry-run", "--images")
    listener.start()
    rows.delete(doomed)
    told = [line["message"] for line in listener.await_log("would_remove", count=2)]
    assert [line.rpartition(": ")[2] for line in told if " image " in line] == [f"image {name!r}"]
    assert listener.stop() == 0
    dry = json.loads(call("sweep", "--dry-run", "--images", *where).stdout)
    (image,) = [would for would in dry["would_remove"] if would["kind"] == "image"]
    assert (image["id"], image["name"], image["prefix"]) == (mine, name, doomed[:8])
    assert image["evidence"].startswith("witnessed")
    assert exists(api, *theirs)

    swept = call("sweep", *where)
    assert (swept.returncode, json.loads(swept.stdout)["images_removed"]) == (0, [])
    removed(api, *theirs)
    assert images(api) == {mine, used}
    theirs = [run_by(api, image, doomed) for image in (mine, used)]
    swept = call("sweep", "--images", *where)
    report = json.loads(swept.stdout)
    assert (swept.returncode, report["errors"]) == (0, [])
    assert (report["images_removed"], len(report["containers_removed"])) == ([name], 2)
    assert images(api) == {used}
    assert exists(api, foreign)


def test_of_images_alone_those_go_whose_row_was_seen_and_is_gone(
    api: docker.APIClient, engine: PrivateEngine, rows: Rows, url: str, build: Build, run: Run
) -> None:
    rows.insert(doomed := new_id(), torn_down := new_id(), live := new_id())
    plant(api, live)
    mine = build(doomed[:8], "decky-001-ssh")
    stay = {build(torn_down[:8], "decky-002-ssh"), build((never_seen := new_id())[:8], "ssh")}
    stay |= {build(doomed[:8], "gdb", "analysis")}
    theirs = run_by(api, mine, doomed)
    listener = run("--images", "--sweep-interval", "0.2")
    listener.start()
    api.remove_container(theirs)  # as DECNET's own teardown does, and then it deletes the row
    listener.await_log("listed", count=3)
    assert images(api) == stay | {mine}
    assert listener.stop() == 0
    rows.delete(doomed)
    listener.start()
    (gone,) = listener.await_log("removed")
    assert (gone["kind"], gone["id"], gone["prefix"]) == ("image", mine, doomed[:8])
    lists = len(listener.logged("listed"))
    listener.await_log("listed", count=lists + 4)
    assert images(api) == stay
    assert never_seen[:8] not in call("status", "--json").stdout, "an image keeps no prefix"
    assert not listener.logged("left")
    # A single sweep as well, by what was seen.
    assert listener.stop() == 0
    rows.delete(torn_down)
    where = ("--json", "--grace", "0", "--docker-host", engine.host, "--database-url", url)
    swept = json.loads(call("sweep", "--images", *where).stdout)
    assert swept["images_removed"] == named(torn_down[:8], "decky-002-ssh")


def test_an_image_stays_while_any_topology_with_its_prefix_has_a_row(
    api: docker.APIClient, rows: Rows, build: Build, run: Run
) -> None:
    doomed = new_id()
    rows.insert(doomed, live := new_id(doomed[:8]), other := new_id())
    mine, another = build(doomed[:8], "decky-001-ssh"), build(other[:8], "decky-002-ssh")
    theirs = [run_by(api, mine, doomed), run_by(api, another, other)]
    lan = api.create_network(f"decnet_t_{live[:8]}_lan1")["Id"]
    listener = run("--images")
    listener.start()
    rows.delete(doomed)
    removed(api, theirs[0])
    api.remove_network(lan)
    rows.delete(other)
    assert [line["id"] for line in listener.await_log("removed", count=3)[1:]] == [
        theirs[1],
        another,
    ]
    assert images(api) == {mine}


@pytest.mark.parametrize("moment", ["/images/json", "/images/sha256:"])
def test_an_image_that_is_wanted_again_in_the_last_moment_stays(
    api: docker.APIClient, rows: Rows, build: Build, run: Run, proxy: FaultProxy, moment: str
) -> None:
    rows.insert(doomed := new_id())
    mine = build(doomed[:8], "decky-001-ssh")
    theirs = run_by(api, mine, doomed)
    options = ("--images", "--sweep-interval", "0.2", "--docker-timeout", "300")
    listener = run(*options, host=proxy.host)
    wanted: list[object] = []

    def hook(request: Request) -> None:
        if moment not in request.path or wanted:
            return
        if moment == "/images/json":  # no list begins before, and takes the image for unused
            eventually(lambda: not exists(api, theirs), "its container is gone")
            wanted.append(rows.insert(new_id(doomed[:8])))
        elif not exists(api, theirs):
            wanted.append(api.create_container(mine, ["true"]))

    proxy.hook = hook
    listener.start()
    rows.delete(doomed)
    removed(api, theirs)
    eventually(lambda: bool(wanted), "it is wanted")
    lists = len(listener.logged("listed"))
    listener.await_log("listed", count=lists + 3)
    assert listener.stop() == 0
    assert images(api) == {mine}
    assert not listener.logged("failed")
    assert bool(listener.logged("spared")) is (moment != "/images/json")


def test_nothing_else_waits_for_the_list_of_images(
    api: docker.APIClient, rows: Rows, build: Build, run: Run, proxy: FaultProxy
) -> None:
    """Nor the record of what went, though the listener is killed; workers are fewer than these."""
    rows.insert(*(doomed := [new_id() for _ in range(5)]))
    theirs = [run_by(api, build(id_[:8], "ssh"), id_) for id_ in doomed]
    released = threading.Event()
    proxy.hook = lambda r: stall(released) if "/images/json" in r.path else None
    listener = run("--images", "--docker-timeout", "300", "--workers", "1", host=proxy.host)
    listener.start()
    for id_ in doomed:
        rows.delete(id_)
    removed(api, *theirs)
    told = {line["id"] for line in listener.await_log("removed", count=5)}
    listener.kill()
    entries = [json.loads(text) for text in call("history", "--json").stdout.splitlines()]
    assert told == {entry["id"] for entry in entries} == {*theirs}
    assert any("/images/json" in request.path for request in proxy.requests)
    released.set()


def test_a_proxy_has_to_let_through_what_the_list_of_calls_names_for_it(
    api: docker.APIClient, rows: Rows, build: Build, run: Run, proxy: FaultProxy
) -> None:
    rows.insert(doomed := new_id())
    theirs = run_by(api, build(doomed[:8], "decky-001-ssh"), doomed)
    listener = run("--images", host=proxy.host)
    listener.start()
    rows.delete(doomed)
    removed(api, theirs)
    listener.await_log("removed", count=2)
    asked = {f"{request.method} {request.path.split('?')[0]}" for request in proxy.requests}
    text = (COMPOSE / "api-calls.txt").read_text()
    allowed, needed = (re.findall(rf"^{mark}(\^.+)$", text, re.M) for mark in ("", "#"))
    asked = {what for what in asked if not what.endswith("/info")}  # it goes without
    beyond = {what for what in asked if not any(re.search(line, what) for line in allowed)}
    assert {line for line in needed if any(re.search(line, what) for what in beyond)} == {*needed}
    assert not {what for what in beyond if not any(re.search(line, what) for line in needed)}
    text = (COMPOSE / "socket-proxy.env").read_text()
    for method, line in re.findall(r"^#SP_ALLOW_([A-Z]+)=(.*)$", text, re.M):
        paths = {what.partition(" ")[2] for what in asked if what.startswith(method)}
        assert not {path for path in paths if not re.fullmatch(line, path)}


def test_images_that_cannot_be_listed_or_removed_are_told_of(
    api: docker.APIClient, rows: Rows, build: Build, run: Run, proxy: FaultProxy
) -> None:
    rows.insert(doomed := new_id(), other := new_id())
    mine, another = build(doomed[:8], "ssh"), build(other[:8], "ssh")
    theirs, others = run_by(api, mine, doomed), run_by(api, another, other)
    denied = answer(403, '{"message": "denied"}')
    proxy.hook = lambda r: denied if r.path.partition("?")[0].endswith("/images/json") else None
    listener = run("--images", "--sweep-interval", "0.2", host=proxy.host)
    listener.start()
    (line,) = listener.await_log("left")
    assert "403: denied" in line["error"]
    assert line["message"].startswith("images may be left: ")
    rows.delete(doomed)
    removed(api, theirs)
    sweeps = len(listener.logged("listed"))
    listener.await_log("listed", count=sweeps + 2)
    assert len(listener.logged("left")) == 1, "it is said once"

    proxy.hook = lambda r: denied if r.method == "DELETE" and "/images/" in r.path else None
    rows.delete(other)
    removed(api, others)
    (line, *_) = listener.await_log("failed")
    assert line["id"] in (mine, another)
    assert "403: denied" in line["error"]

    def tried(image: str) -> int:
        return [r.method for r in proxy.requests if image in r.path].count("DELETE")

    eventually(lambda: min(tried(mine), tried(another)) > 6, "each is looked at three times")
    assert len(listener.logged("failed")) == 2, "each is said once"
    proxy.hook = lambda _: None
    listener.await_log("removed", count=4)
    assert images(api) == set()
