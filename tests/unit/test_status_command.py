"""``status`` and ``history``, against a listener's socket and file."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from listener import cli
from listener.cli.progress import sweep_progress
from listener.core.outcome import Screening
from listener.errors import ConfigurationError, NoListener
from listener.runtime.state.history import NAME, moment
from listener.telemetry import logs
from listener.telemetry.socket import StatusSocket
from tests.support.process import PATIENCE, command, environment
from tests.support.process import call as call_as

from .status import STATUS

Call = Callable[..., Result]


@pytest.fixture
def told() -> dict[str, Any]:
    """What the listener tells; a test may change it."""
    return dict(STATUS)


@pytest.fixture
def listening(tmp_path: Path, told: dict[str, Any]) -> Iterator[StatusSocket]:
    """The socket of a listener that tells it."""
    end = StatusSocket(tmp_path, lambda: told)
    end.open()
    yield end
    end.close()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command with this folder as the state directory."""
    monkeypatch.setenv("REAPER_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(logs, "set_up", lambda *_: None)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli.commands, arguments, standalone_mode=False)

    return call


@pytest.mark.usefixtures("listening")
def test_a_listener_of_the_release_before_is_told_of_as_far_as_it_tells(
    call: Call, told: dict[str, Any]
) -> None:
    """As between an upgrade and the restart."""
    del told["state"], told["state_reason"]
    told["queue"] = {key: of for key, of in told["queue"].items() if key != "working"}
    told["topologies"] = [
        {key: of for key, of in topology.items() if key not in ("wait_s", "removing")}
        for topology in told["topologies"]
    ]
    assert call("status").output.startswith("ready\n")
    told["problems"] = ["watch is stuck"]
    assert call("status").output.startswith("degraded: watch is stuck\n")


@pytest.mark.usefixtures("listening")
def test_the_status_is_told_in_words(call: Call) -> None:
    result = call("status")
    words = " ".join(result.output.split())
    for told in (
        "on edge-7, topology-reaper 1.2.3, running for 2 h",
        "Docker unix:///run/docker.sock (context rootless): up for 17 min, heard of 1 s ago, Docker"
        " Engine 28.5.2 on edge-7, rootless, with the containerd image store",
        "the SQLite file /d.db: up for 17 min, heard of 1 s ago, told by wal",
        "aaaaaaaa alive 3 [bold]its row exists[/]",  # never taken for markup
        "last sweep 60 s ago (timer), took 12 ms",
        "bbbbbbbb 705 ms 8 witnessed",
    ):
        assert told in words, result.output
    assert result.output.startswith("ready\n")
    assert moment(STATUS["time"]) in result.output
    assert result.return_value == 0


@pytest.mark.usefixtures("listening")
def test_what_is_wrong_is_told_and_is_the_exit_status(call: Call, told: dict[str, Any]) -> None:
    down = {**STATUS["docker"], "up": False, "reason": "it refuses connections"}
    state, reason = "degraded", "Docker is down for 12 s, nothing is removed"
    problems = ["Docker is down", "watch is stuck"]
    told |= {"problems": problems, "docker": down, "state": state, "state_reason": reason}
    result = call("status")
    assert result.output.startswith(f"degraded: {reason}\n")
    assert "problem: Docker is down" not in result.output, "that is said already"
    assert "problem: watch is stuck" in result.output
    assert "DOWN for 17 min" in result.output
    assert "it refuses connections" in " ".join(result.output.split())
    assert result.return_value == 1


@pytest.mark.usefixtures("listening")
def test_what_is_held_is_told_with_the_command_that_releases_it(
    call: Call, told: dict[str, Any]
) -> None:
    command = "topology-reaper sweep --confirm 012345678901"
    told["held"] = {"prefixes": ["aaaaaaaa"], "token": "012345678901", "command": command}
    told["state"], told["state_reason"] = "holding", "1 topology is held until an operator confirms"
    result = call("status")
    assert command in " ".join(result.output.split())
    assert result.return_value == 1


@pytest.mark.usefixtures("listening")
def test_as_json_it_is_the_listeners_own_words(call: Call) -> None:
    assert json.loads(call("status", "--json").output) == STATUS


def test_watched_it_goes_on_until_the_listener_ends(
    call: Call, listening: StatusSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(3)

    def wait(_: float) -> None:
        if not looks.acquire(blocking=False):
            listening.close()

    monkeypatch.setattr(time, "sleep", wait)
    result = call("status", "--json", "--watch")
    assert [json.loads(line) for line in result.output.splitlines()] == [STATUS] * 4
    assert isinstance(result.exception, NoListener)


WAITING = {
    **STATUS["topologies"][0],
    "state": "waiting",
    "reason": "its row was never seen, and the table is not the one that was there before",
    "wait_s": 18.4,
}
REAPING = {**WAITING, "state": "reaping", "wait_s": None, "removing": {"begun": 8, "left": 3}}
RELEASE = "topology-reaper sweep --config /etc/topology-reaper/reaper.toml --confirm 012345678901"


@pytest.mark.usefixtures("listening")
def test_in_a_pipe_a_topology_is_a_line(call: Call, told: dict[str, Any]) -> None:
    told["topologies"] = [WAITING, REAPING]
    told["held"] = {"prefixes": ["aaaaaaaa"], "token": "012345678901", "command": RELEASE}
    said = call("status").output.splitlines()
    assert said == [line.rstrip() for line in said]
    lines = [" ".join(line.split()) for line in said]
    assert f"aaaaaaaa waiting 18 s 3 {WAITING['reason']}" in lines
    assert f"aaaaaaaa reaping 3 of 8 {WAITING['reason']}" in lines
    assert RELEASE in lines


@pytest.mark.usefixtures("listening")
def test_on_a_terminal_of_80_columns_only_the_reasons_are_folded(
    told: dict[str, Any], tmp_path: Path
) -> None:
    told["topologies"] = [WAITING, REAPING]
    told["held"] = {"prefixes": ["aaaaaaaa"], "token": "012345678901", "command": RELEASE}
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command("status", "--state-dir", str(tmp_path)),
        stdout=its,
        env={**environment(), "TERM": "dumb", "COLUMNS": "80"},
    )
    os.close(its)
    lines = [" ".join(line.split()) for line in _read_all(ours).splitlines()]
    assert process.wait(PATIENCE) == 0
    for whole in ("topology state resources why", RELEASE):
        assert whole in lines, lines
    for begun in ("aaaaaaaa waiting 18 s 3 its row", "aaaaaaaa reaping 3 of 8 its row"):
        assert any(line.startswith(begun) for line in lines), lines
    assert all(len(line) <= 80 for line in lines if line != RELEASE), lines


def _read_all(terminal: int) -> str:
    said = b""
    with os.fdopen(terminal, "rb", buffering=0) as screen, suppress(OSError):  # nobody writes more
        while chunk := screen.read(65536):
            said += chunk
    return said.decode()


def test_another_user_is_told_whom_to_ask_as(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    end = StatusSocket(folder, lambda: STATUS)
    end.open()
    try:
        for words, status in (["status"], 3), (["history"], 2):
            done = call_as(*words, "--state-dir", str(folder), user=(65534, 65534))
            assert done.returncode == status
            assert "uid 65534 may not" in done.stderr, done.stderr
            assert "or as root" in done.stderr
    finally:
        end.close()


def test_a_folder_that_is_none_has_no_history(call: Call, tmp_path: Path) -> None:
    assert call("history").output.startswith("nothing was removed yet")
    error = call("history", "--state-dir", str(tmp_path / "typo")).exception
    assert isinstance(error, ConfigurationError)
    assert "there is no folder" in str(error)


def test_without_a_listener_it_says_where_it_looked(call: Call, tmp_path: Path) -> None:
    error = call("status").exception
    assert isinstance(error, NoListener)
    assert error.exit_status == 3
    assert str(tmp_path) in str(error)
    assert "--state-dir" in str(error)


# The progress of a sweep.


def test_where_standard_error_is_no_terminal_there_is_no_progress(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in many a CI
    with sweep_progress("text") as observer:
        observer.screened(Screening(frozenset(), {"aaaaaaaa": ()}, {}, {}, ""), None)
    assert capfd.readouterr() == ("", "")


# The history.

LINES = (
    '{"time": 1.0, "prefix": "aaaaaaaa", "kind": "container", "id": "1", "name": "one",'
    ' "evidence": "witnessed"}',
    '{"time": 2.0, "prefix": "bbbbbbbb", "kind": "network", "id": "2", "name": "two",'
    ' "evidence": "its deletion was reported"}',
)


@pytest.fixture
def written(tmp_path: Path) -> None:
    """A file with two removals."""
    (tmp_path / NAME).write_text("\n".join(LINES) + "\n")


@pytest.mark.usefixtures("written")
def test_the_history_is_told_a_line_each(call: Call) -> None:
    first, second = call("history").output.splitlines()
    assert first.endswith("removed container 'one' of topology aaaaaaaa: witnessed")
    assert second.endswith("removed network 'two' of topology bbbbbbbb: its deletion was reported")


@pytest.mark.usefixtures("written")
def test_a_reader_that_has_seen_enough_of_the_history_is_no_failure(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        words = command("history", "--state-dir", str(tmp_path))
        ended = subprocess.run(words, env=environment(), stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.usefixtures("written")
def test_an_output_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    words = command("history", "--state-dir", str(tmp_path))
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(words, env=environment(), stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr == b"topology-reaper: it cannot go on: No space left on device\n"


@pytest.mark.usefixtures("written")
def test_the_history_of_one_topology_and_as_json(call: Call) -> None:
    (line,) = call("history", "--json", "--prefix", "bbbbbbbb").output.splitlines()
    assert json.loads(line) == json.loads(LINES[1])
    said = call("history", "--prefix", "cccccccc").output
    assert said.startswith("nothing of topology cccccccc was removed")


def test_a_prefix_that_is_none_and_a_file_that_is_none_are_refused(
    call: Call, tmp_path: Path
) -> None:
    assert "--prefix" in str(call("history", "--prefix", "x").exception)
    (tmp_path / NAME).mkdir()
    error = call("history").exception
    assert isinstance(error, ConfigurationError)
    assert "--state-dir" in str(error)
