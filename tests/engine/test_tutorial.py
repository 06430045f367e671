"""docs/tutorial.md, typed into a shell from its first line to its last."""

from __future__ import annotations

import os
import re
from pathlib import Path

import docker
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.documentation.pages import TREE
from tests.support.typed import Shell, install, typed


def test_every_command_shows_what_the_page_says(
    engine: PrivateEngine, api: docker.APIClient, tmp_path: Path
) -> None:
    ensure({"sqlite3": "sqlite3", "docker": "docker.io"}, "the tutorial")
    install(tmp_path)
    path = f"{tmp_path}:{os.environ['PATH']}"
    token = "TOKEN"
    with Shell(tmp_path, {"PATH": path, "DOCKER_HOST": engine.host}) as shell:
        for line, shown in typed(TREE / "docs" / "tutorial.md"):
            printed = shell.until(line.replace("TOKEN", token), shown)
            token = next(iter(re.findall(r"--confirm (\w+)", printed)), token)
    assert not api.containers(all=True)
    assert not [n for n in api.networks() if n["Name"].startswith("decnet_t_")]
    assert not (tmp_path / "reaper-tutorial").exists()
