"""Healthy set-ups are found to be so by who has no rights, and nothing is changed by looking."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from listener.core.findings import Status
from tests.engine.conftest import Run
from tests.engine.doctor.conftest import (
    GROUP,
    OWNER,
    Look,
    assert_warning,
    diagnose,
    make_able,
    socket_group,
)
from tests.servers.conftest import fresh_side
from tests.support.decnet import deploy, new_id
from tests.support.process import command, environment, eventually
from tests.support.rows import Rows

Healthy = tuple[str, Callable[[], object]]
"""The URL of a database, and what can be told of its content."""


@contextmanager
def sqlite(folder: Path, *, in_use: bool) -> Iterator[Healthy]:
    path = folder / "decnet.db"
    with Rows(path, user=OWNER) as rows:
        rows.create_table()
        rows.insert(new_id())
        if not in_use:
            rows.close()
        assert (folder / "decnet.db-shm").exists() == in_use
        yield f"sqlite:///{path}", path.read_bytes


@contextmanager
def server(request: pytest.FixtureRequest, kind: str) -> Iterator[Healthy]:
    with fresh_side(request, kind) as side:
        make_able(side)
        side.rows.insert(new_id())
        asked = ["SELECT * FROM topologies", "SELECT table_name FROM information_schema.tables"]
        if side.on_postgres:
            asked += ["SELECT proname::text FROM pg_proc", "SELECT tgname::text FROM pg_trigger"]
        else:
            asked += ["SHOW BINARY LOGS"]  # nothing was written
        yield side.listener(), lambda: [sorted(map(str, side.execute(sql))) for sql in asked]


@pytest.fixture
def any_database(request: pytest.FixtureRequest, data: Path) -> Iterator[Healthy]:
    """A healthy database of this kind, for one with no more rights than it needs."""
    kind, *how = request.param.split(" ", 1)
    with server(request, kind) if not how else sqlite(data, in_use=how == ["in use"]) as healthy:
        yield healthy


def on_engine(api: docker.APIClient) -> Mapping[str, object]:
    """Everything on the engine."""
    return {
        "containers": sorted((c["Id"], c["State"]) for c in api.containers(all=True)),
        "networks": sorted((n["Id"], n["Name"]) for n in api.networks()),
        "images": sorted(image["Id"] for image in api.images(all=True)),
        "volumes": sorted(volume["Name"] for volume in api.volumes()["Volumes"] or []),
    }


def in_folder(folder: Path) -> Mapping[str, object]:
    """Everything in it; a reader's lock changes the time of shared memory, and nothing else."""
    return {
        str(path): (
            status.st_ino,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size,
            0 if path.name.endswith("-shm") else status.st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
        if (status := path.lstat())
    }


@pytest.mark.parametrize(
    ("engine", "any_database"),
    [
        *[("docker", kind) for kind in ("sqlite at rest", "sqlite in use", "postgres", "mariadb")],
        ("podman", "sqlite in use"),
    ],
    indirect=True,
)
def test_all_is_well_and_stays_as_it_is(
    engine: PrivateEngine, api: docker.APIClient, data: Path, any_database: Healthy
) -> None:
    url, content = any_database
    deploy(api, new_id(), decky_numbers=(1,))
    settings = {
        "docker_host": engine.host,
        "database_url": url,
        "state_dir": str(data / "state"),
        "timeout": 30,
    }
    before = on_engine(api), in_folder(data), content()
    began = time.time()

    with socket_group(engine):
        found = diagnose(settings, user=OWNER, group=GROUP)

    assert (on_engine(api), in_folder(data), content()) == before
    until = f"{time.time():.9f}"
    events = api.events(since=f"{began:.9f}", until=until, decode=True)  # type: ignore[call-overload]
    assert list(events) == []
    assert [f for f in found.findings if f.status is not Status.OK] == []
    assert [f for f in found.findings if f.remedy] == []
    assert found.exit_status == 0
    assert {f.id for f in found.findings} >= {
        "process.user",
        "docker.containers.remove",
        "docker.clock",
        "database.table",
        "database.identity",
        "feed.push",
        "state.directory",
    }


# The state directory.


def test_a_listener_that_runs_is_seen_and_not_disturbed(
    look: Look, run: Run, tmp_path: Path
) -> None:
    assert not (tmp_path / "state").exists()
    (found,) = [f for f in look().findings if f.id == "state.directory"]
    assert "is made at the first start" in found.message
    assert not (tmp_path / "state").exists()
    listener = run()
    listener.start()
    assert not listener.logged("state"), "the folder is its own"
    found_ = {f.id: f for f in look().findings}
    assert found_["state.listener"].message.endswith("and is ready")
    assert found_["state.directory"].status is Status.OK
    assert listener.stop() == 0
    (found,) = [f for f in look().findings if f.id == "state.listener"]
    assert "no listener answers" in found.message


def test_a_listener_that_is_not_ready(look: Look, run: Run) -> None:
    run(host="unix:///none.sock").start(wait=False)
    eventually(lambda: "and is degraded" in look().to_text(), "it is seen")
    assert_warning(look(), "state.listener", "degraded: Docker is down for", "status and its log")


def test_a_state_directory_that_cannot_be_used(look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)
    own = "give a folder of its own with --state-dir"
    for path, message, remedy in [
        (tmp_path / "file", "is no folder, so nothing outlives a restart", own),
        (tmp_path / "none" / "state", "does not exist and cannot be made", own),
        (tmp_path / "file" / "state", "cannot be used: Not a directory", own),
        (tmp_path / "open", "may be written by others than uid 0", "chmod go-w"),
    ]:
        found = look(state_dir=str(path))
        assert_warning(found, "state.directory", f"{path} {message}", remedy)


# How it is told.


def test_the_object_and_the_lines_tell_the_same(look: Look) -> None:
    found = look(docker_host="tcp://127.0.0.1:1")
    checks = json.loads(found.to_json())["checks"]
    assert len(checks) == len(found.findings)
    lines = re.sub(r"\x1b\[\d+m", "", found.to_text()).splitlines()
    for check in checks:
        assert check.keys() == {"id", "subject", "status", "message", "remedy"}
        assert (check["remedy"] is None) == (check["status"] == "ok")
        assert check["subject"] in lines
        (line,) = [line for line in lines if line.split()[1:2] == [check["id"]]]
        assert line.split()[0] == check["status"]
        assert line.endswith(check["message"])
        if check["remedy"]:
            assert lines[lines.index(line) + 1].strip() == f"-> {check['remedy']}"
    faults = sum(check["status"] == "fault" for check in checks)
    assert lines[-1].endswith(f"fault: {faults}")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_there_are_colours_on_a_terminal_unless_they_are_not_wanted(no_color: str) -> None:
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        command("doctor", "--docker-host", "unix:///none.sock", "--timeout", "0"),
        env={**environment(), "NO_COLOR": no_color},
        stdout=writing,
    )
    os.close(writing)
    told = b""
    try:
        while piece := os.read(reading, 4096):
            told += piece
    except OSError:
        pass  # how a terminal ends
    os.close(reading)
    assert process.wait() == 2
    assert b"docker.reachable" in told
    assert (b"\x1b[" in told) == (not no_color)
