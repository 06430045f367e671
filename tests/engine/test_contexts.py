"""A listener at the engine of a Docker context, which its log and its status name."""

from __future__ import annotations

import threading
from pathlib import Path

import docker
import pytest
from loguru import logger
from private_engine import PrivateEngine

from listener.engine import client
from listener.runtime.daemon import Listener
from listener.settings import Settings
from tests.support import contexts
from tests.support.process import PATIENCE, call, eventually
from tests.support.proxy import FaultProxy, stall


@pytest.fixture
def log() -> list[str]:
    """What is logged, as it comes."""
    lines: list[str] = []
    logger.remove()
    logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    return lines


@pytest.mark.usefixtures("rows")
def test_the_current_context_counts_and_the_engine_is_named(
    api: docker.APIClient, engine: PrivateEngine, url: str, tmp_path: Path, log: list[str]
) -> None:
    folder = tmp_path / "docker"
    contexts.create(folder, "rootless", engine.host)
    contexts.use(folder, "rootless")
    environment = {"DOCKER_CONFIG": str(folder), "REAPER_HTTP": "off"}
    flags = {"database_url": (url,), "state_dir": str(tmp_path / "state")}
    with Listener(Settings.from_environment(environment, flags=flags)) as listener:
        assert listener.wait_ready(PATIENCE)
        # It says who it is by two answers, of which the second tells more.
        eventually(lambda: any(said.startswith("connected to") for said in log), "it is named")
        told = listener.status()["docker"]
    assert told["engine"] is not None
    assert (told["address"], told["context"]) == (engine.host, "rootless")
    assert (told["engine"]["product"], told["engine"]["rootless"]) == ("Docker Engine", False)
    assert f"listening to {engine.host} (context rootless) and " in log[0]
    version, name = api.version()["Version"], api.info()["Name"]
    said = f"Docker Engine {version} on {name}, not rootless, with the classic image store"
    assert f"connected to {said}" in log
    swept = call("sweep", "--database-url", url, variables=environment)
    assert swept.returncode == 0, swept.stderr


@pytest.mark.usefixtures("rows")
def test_an_engine_that_does_not_say_what_it_is_is_listened_to_all_the_same(
    proxy: FaultProxy, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "INFO_TIMEOUT", 0.1)
    for_ever = threading.Event()
    proxy.hook = lambda request: stall(for_ever) if request.path.endswith("/info") else None
    settings = Settings(
        docker_host=proxy.host, database_url=url, state_dir=str(tmp_path / "state"), http="off"
    )
    with Listener(settings) as listener:
        assert listener.wait_ready(PATIENCE)
        eventually(lambda: any("/info" in r.path for r in proxy.requests), "it is asked")
        listener.sweep_now()
        eventually(lambda: listener.status()["sweeps"]["count"] == 2, "it goes on")
        docker = listener.status()["docker"]
        assert docker["up"]
        assert docker["engine"] is not None
        assert docker["engine"]["product"] == "Docker Engine", "by its version"
        assert docker["engine"]["name"] is None
    for_ever.set()
