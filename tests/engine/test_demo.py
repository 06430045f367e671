"""The demo: what it shows, and that it leaves nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import demo_fleet
import docker
from private_engine import PrivateEngine

from tests.engine.conftest import on_podman
from tests.support.process import call, environment


def left(api: docker.APIClient) -> list[str]:
    """What is on the engine besides Docker's own networks."""
    networks = {network["Name"] for network in api.networks()} - {"bridge", "host", "none"}
    return [*networks, *(container["Id"] for container in api.containers(all=True))]


def test_the_demo_shows_what_went_and_what_stayed_and_leaves_nothing(
    engine: PrivateEngine, api: docker.APIClient, tmp_path: Path
) -> None:
    config = tmp_path / "reaper.toml"
    config.write_text(f'docker_host = "{engine.host}"\ndry_run = true\ndelay = 3600\n')
    foreign = api.create_container("busybox", ["true"], name="decnet_t_0123abcd_decky-001")["Id"]
    result = call("demo", "--config", str(config))
    assert result.returncode == 0, result.stderr
    gone = [line for line in result.stdout.splitlines() if " ms  " in line]
    assert len(gone) == 8
    assert sum("network" in line for line in gone) == 2
    assert "8 of 8 resources" in result.stdout
    assert re.search(r" took \d+ ms .+; .+ \d+ % (more|less)\.$", result.stdout, re.M)
    assert left(api) == [foreign]


def test_a_demo_that_cannot_be_leaves_nothing_either(
    engine: PrivateEngine, api: docker.APIClient
) -> None:
    api.import_image_from_data(b"\0" * 1024, repository="sleepless")
    result = call("demo", "--docker-host", engine.host, "--image", "sleepless")
    assert result.returncode == 3
    assert result.stderr.startswith("topology-reaper: demo: ")
    assert result.stderr.count("\n") == 1
    assert left(api) == []


def test_the_demo_of_a_fleet_shows_who_was_told_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:  # a short path, for the engines' sockets
        script = Path(demo_fleet.__file__)
        result = subprocess.run(
            [sys.executable, str(script)],
            env={**environment(), "TMPDIR": folder},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert not list(Path(folder).iterdir())
    gone = [line for line in result.stdout.splitlines() if " ms  " in line]
    assert sorted(line.split()[0] for line in gone) == ["host-1"] * 8 + ["host-2"] * 8
    assert "the relay has announced it to 2 of 3 hosts" in result.stdout
    assert "host-3 was not " in result.stdout
    assert "host-3 has 8 of 8 resources" in result.stdout


@on_podman
def test_podman_is_refused_before_anything_is_made(
    engine: PrivateEngine, api: docker.APIClient
) -> None:
    result = call("demo", "--docker-host", engine.host, "--image", "busybox")
    assert result.returncode == 3
    assert result.stderr.startswith(f"topology-reaper: demo: {engine.host} is Podman")
    assert not api.containers(all=True)
