"""A listener tells whoever asks at its socket how it is, and the probe asks."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.telemetry import healthcheck as probe
from listener.telemetry import unix
from listener.telemetry.healthcheck import NAME, address_without, read_status
from listener.telemetry.socket import StatusSocket

if TYPE_CHECKING:
    from loguru import Record

WELL: Mapping[str, object] = {"ready": True, "problems": []}
Serve = Callable[..., StatusSocket]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Opens listening ends in the test's folder, or another, that are closed with the test."""
    opened: list[StatusSocket] = []

    def serve(
        status: Mapping[str, object] | Callable[[], Mapping[str, object]] = WELL,
        folder: Path = tmp_path,
        *,
        ours: bool = True,
    ) -> StatusSocket:
        opened.append(StatusSocket(folder, status if callable(status) else lambda: status))
        opened[-1].open(ours=ours)
        return opened[-1]

    yield serve
    for end in opened:
        end.close()


def ask(folder: Path, *within: str) -> subprocess.CompletedProcess[str]:
    """Run the probe as a health check does."""
    return subprocess.run(
        [*within, sys.executable, "-m", "listener.telemetry.healthcheck"],
        env={**os.environ, "REAPER_STATE_DIR": str(folder)},
        capture_output=True,
        text=True,
    )


# The listening end.


def test_whoever_asks_is_told_the_status_as_it_is_then(tmp_path: Path, serve: Serve) -> None:
    status: dict[str, object] = {"ready": False, "problems": ["Docker is down"]}
    serve(lambda: status)
    assert read_status(tmp_path) == status
    status["problems"] = ["ß" * 500_000]  # more than a socket's buffer
    assert read_status(tmp_path) == status


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_listener(
    tmp_path: Path, serve: Serve
) -> None:
    before = os.umask(0)
    try:
        end = serve()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    end.close()
    assert not (tmp_path / NAME).exists()
    end.close()


@pytest.mark.parametrize("kind", ["socket", "file"])
def test_what_a_listener_that_was_killed_left_there_is_replaced(
    tmp_path: Path, serve: Serve, kind: str
) -> None:
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(tmp_path / NAME))
    else:
        (tmp_path / NAME).touch()
    serve()
    assert read_status(tmp_path) == WELL


@pytest.mark.parametrize("unusable", ["too long", "not there", "a folder in its place"])
def test_a_path_that_cannot_be_used_is_a_warning(
    tmp_path: Path, serve: Serve, log: list[Record], unusable: str
) -> None:
    folder = tmp_path / ("x" * 120 if unusable == "too long" else "state")
    if unusable != "not there":
        folder.mkdir()
    if unusable == "a folder in its place":
        (folder / NAME).mkdir()
    end = serve({"problems": ["Docker is down"]}, folder)
    (line,) = log
    assert line["level"].name == "WARNING"
    assert line["extra"]["event"] == "state"
    assert str(folder / NAME) in line["message"]
    assert ask(folder).stdout == "Docker is down\n", "nevertheless"
    end.close()
    assert (folder / NAME).exists() is (unusable == "a folder in its place")


def test_a_reader_that_does_not_read_holds_nobody_up_for_long(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "PATIENCE", 0.05)
    answers: list[Mapping[str, object]] = [WELL, {"problems": ["x" * 5_000_000]}]
    serve(lambda: answers.pop())
    with socket.socket(socket.AF_UNIX) as lazy, socket.socket(socket.AF_UNIX) as hasty:
        lazy.connect(str(tmp_path / NAME))
        hasty.connect(str(tmp_path / NAME))
        hasty.settimeout(probe.PATIENCE)
        assert b"ready" in hasty.recv(1000)


def test_one_that_has_no_folder_answers_for_itself_and_only_in_its_own_container(
    tmp_path: Path, serve: Serve
) -> None:
    serve({"problems": ["the other one is down"]})
    without = serve({"problems": ["Docker is down"]}, ours=False)
    assert ask(tmp_path).stdout == "Docker is down\n"
    # In another container with the same folder, the same network and the same user.
    assert ask(tmp_path, "unshare", "--mount").stdout == "the other one is down\n"
    assert ask(tmp_path / "another").stdout.startswith("no listener answers")
    without.close()
    assert ask(tmp_path).stdout == "the other one is down\n"


def test_a_name_without_a_file_is_for_its_owner_and_root_alone(
    tmp_path: Path, serve: Serve
) -> None:
    serve(ours=False)
    code = "import os, socket, sys; os.setuid(int(sys.argv[1])); to = socket.socket(socket.AF_UNIX)"
    code += "; to.connect(bytes.fromhex(sys.argv[2])); print(to.recv(1000).decode())"

    def told(user: int) -> str:
        asked = [sys.executable, "-c", code, str(user), address_without(tmp_path).hex()]
        return subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    assert told(os.geteuid()) == json.dumps(WELL)
    assert told(65534) == ""


def test_two_that_have_no_folder_in_one_container_are_one_too_many(
    tmp_path: Path, serve: Serve, log: list[Record]
) -> None:
    serve(ours=False)
    assert log == []
    serve(ours=False).close()
    (line,) = log
    assert (line["level"].name, line["extra"]["event"]) == ("WARNING", "state")
    assert ask(tmp_path).returncode == 0


# The probe.


@pytest.mark.parametrize("left", ["nothing", "a socket", "no folder", "too long"])
def test_without_a_listener_the_probe_fails_in_one_sentence(tmp_path: Path, left: str) -> None:
    folder = tmp_path / {"no folder": "nowhere", "too long": "x" * 120}.get(left, "")
    if left == "a socket":
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(tmp_path / NAME))
    asked = ask(folder)
    assert (asked.returncode, asked.stderr) == (1, "")
    assert asked.stdout.startswith(f"no listener answers in {folder}: ")
    assert asked.stdout.count("\n") == 1


@pytest.mark.parametrize("words", [b"", b'{"ready": true, "probl'])
def test_a_listener_that_dies_while_it_answers_is_none(tmp_path: Path, words: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(tmp_path / NAME))
        dying.listen()

        def die() -> None:
            reader, _ = dying.accept()
            with reader:
                reader.sendall(words)

        thread = threading.Thread(target=die)
        thread.start()
        asked = ask(tmp_path)
        thread.join()
    assert (asked.returncode, asked.stderr) == (1, "")
    assert asked.stdout.startswith(f"no listener answers in {tmp_path}: ")


def test_the_probe_loads_next_to_nothing() -> None:
    code = "import sys, listener.telemetry.healthcheck; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "listener" in loaded
    assert not loaded & {"sqlalchemy", "docker", "loguru", "tenacity", "click", "requests"}
