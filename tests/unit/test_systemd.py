"""The messages to systemd, received at the socket that it would listen at."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.telemetry.systemd import Notifier

if TYPE_CHECKING:
    from loguru import Record

Manager = tuple[str, socket.socket]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """What NOTIFY_SOCKET names, and the socket that is there."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(name.replace("@", "\0"))
        hearing.setblocking(False)
        yield name, hearing


def heard(hearing: socket.socket) -> list[str]:
    messages = []
    try:
        while True:
            messages.append(hearing.recv(1024).decode())
    except BlockingIOError:
        return messages


class Loops:
    """What is stuck, one answer after the other; the last ends it all.

    Attributes:
        limits: what each question was about.
    """

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = [list(answer) for answer in answers]
        self.stop = threading.Event()
        self.limits: list[float] = []

    def stuck(self, limit: float) -> list[str]:
        self.limits.append(limit)
        answer = self._answers.pop(0)
        if not self._answers:
            self.stop.set()
        return answer


def test_a_message_is_one_datagram(manager: Manager) -> None:
    address, hearing = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.say("READY=1")
    notifier.say("STOPPING=1")
    assert heard(hearing) == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("there", [False, True], ids=["never there", "gone"])
def test_nobody_who_listens_is_no_trouble(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "notify"
    if there:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
            hearing.bind(str(path))
    assert path.exists() is there
    Notifier({"NOTIFY_SOCKET": str(path)}).say("READY=1")
    Notifier({"NOTIFY_SOCKET": ""}).say("READY=1")
    Notifier({}).say("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "seconds"),
    [("120000000", 120), ("1500000", 1.5), ("0", 0), ("", 0), ("-1", 0), ("soon", 0), ("1.5", 0)],
)
def test_the_watchdogs_time_is_in_microseconds(microseconds: str, seconds: float) -> None:
    assert Notifier({"WATCHDOG_USEC": microseconds}).watchdog == seconds
    assert Notifier({}).watchdog == 0


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_the_watchdog_is_fed_while_nothing_is_stuck(manager: Manager) -> None:
    address, hearing = manager
    loops = Loops([], [], [])
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"})
    notifier.keep_alive(loops.stuck, loops.stop)
    assert heard(hearing) == ["WATCHDOG=1"] * 3
    assert loops.limits == [0.06] * 3


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_it_is_not_fed_while_something_is_stuck_which_is_said_once(
    manager: Manager, log: list[Record]
) -> None:
    address, hearing = manager
    loops = Loops([], ["feed-0"], ["feed-0"], ["screen", "watch"], [], ["screen", "watch"])
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"})
    notifier.keep_alive(loops.stuck, loops.stop)
    assert heard(hearing) == ["WATCHDOG=1"] * 2  # before, and between
    said = [record["extra"]["loops"] for record in log if record["extra"]["event"] == "stuck"]
    assert said == [["feed-0"], ["screen", "watch"], ["screen", "watch"]]
    assert "over 0.06 s: screen, watch" in log[1]["message"]
    assert {record["level"].name for record in log} == {"ERROR"}


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_a_watchdog_that_is_not_asked_for_is_not_fed(manager: Manager) -> None:
    address, hearing = manager
    loops = Loops([])
    Notifier({"NOTIFY_SOCKET": address}).keep_alive(loops.stuck, loops.stop)
    assert heard(hearing) == []
    assert loops.limits == []
