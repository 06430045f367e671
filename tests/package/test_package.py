"""What is published: a wheel and an sdist, the same ones whoever builds them, and typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from listener.commit import commit
from tests.documentation.pages import TREE, Page

SHOW_VERSION = """
from importlib.metadata import version
from listener.commit import commit
print(version("topology-reaper"), commit())
"""
BUILD = (sys.executable, "-m", "hatchling", "build", "--directory")
VERSION = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
LIBRARY = Page(TREE / "docs" / "library.md")


def run(*command: str | Path, at: Path, umask: int = -1) -> str:
    """What it printed."""
    done = subprocess.run(
        command,
        cwd=at,
        env=ENVIRONMENT,
        umask=umask,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    folder = tmp_path_factory.mktemp("built")
    run(*BUILD, folder, at=TREE)
    return folder


@pytest.fixture(scope="module")
def source(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and nothing that it requires."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(packages)
    return folder / "bin" / "python"


def test_the_sdist_holds_what_make_and_the_image_need(source: Path) -> None:
    of_the_image = re.findall(r"^!(.+)$", (TREE / ".dockerignore").read_text(), re.MULTILINE)
    wanted = {*of_the_image, ".dockerignore", "CHANGELOG.md", "Dockerfile", "Makefile", "contrib"}
    wanted |= {"constraints.txt", "docs", "tests"}
    assert {name for name in wanted - {"build/wheels"} if not (source / name).exists()} == set()


def test_whoever_builds_it_gets_the_same_bytes(built: Path, source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "elsewhere", symlinks=True)
    later = time.time() + 100_000
    for path in copy.rglob("*"):
        os.utime(path, (later, later))
    run(*BUILD, tmp_path / "again", at=copy, umask=0o077)
    first, again = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (built, tmp_path / "again")
    )
    assert len(first) == 2
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []


def test_what_is_installed_knows_its_version_and_commit(python: Path, tmp_path: Path) -> None:
    said = run(python, "-P", "-c", SHOW_VERSION, at=tmp_path)
    assert said == f"{VERSION} {commit()}\n"


def test_the_changelog_begins_with_this_version_and_its_day() -> None:
    headings = re.findall(r"^## (.+)$", (TREE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", headings[1])


def check_types(python: Path, at: Path, program: str) -> Sequence[str]:
    """What mypy says against a program of somebody who has installed the wheel."""
    (at / "client.py").write_text(program)
    strict = (sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "client.py")
    done = subprocess.run(
        [*strict, f"--python-executable={python}"],
        cwd=at,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_client_is_told_the_types(python: Path, tmp_path: Path) -> None:
    (program,) = [text for language, text in LIBRARY.blocks if language == "python"]
    assert check_types(python, tmp_path, program) == []
    wrong = [
        'status["dokcer"]',
        'status["docker"]["engine"]["name"]',
        'report.held[0]["resources"]',
        "report.orphans",
    ]
    said = check_types(python, tmp_path, "\n".join([program, *wrong]))
    first = len(program.splitlines()) + 2
    lines = {int(line.split(":")[1]) for line in said if ": error: " in line}
    assert lines == set(range(first, first + len(wrong))), said
