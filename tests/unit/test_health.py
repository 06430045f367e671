"""A side that is up or down says so when that changes; a loop that is stuck shows."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from listener import Listener, Settings
from listener.control.controller import Controller
from listener.engine.watch import Watch
from listener.errors import ConfigurationError
from listener.runtime.health import ANEW, Link, Pulse
from listener.runtime.snapshot import VERSION
from tests.support.process import PATIENCE, eventually

if TYPE_CHECKING:
    from loguru import Record

LONG = 1000.0


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass; without it the clock stands still."""
    now = [1000.0]
    monkeypatch.setattr("listener.runtime.health.time.monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


@pytest.fixture
def engine() -> Iterator[socket.socket]:
    """An engine that lets one connect and never answers, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def settings(engine: socket.socket, sqlite_url: str, tmp_path: Path) -> Settings:
    """Of a listener to that engine, without a database."""
    return Settings(
        docker_host=f"tcp://127.0.0.1:{engine.getsockname()[1]}",
        database_url=sqlite_url,
        state_dir=str(tmp_path / "state"),
        workers=1,
        http="off",
    )


def said(log: list[Record]) -> list[tuple[str, str]]:
    return [(record["extra"]["event"], record["extra"].get("error", "")) for record in log]


def test_every_change_is_said_once_and_nothing_in_between(log: list[Record]) -> None:
    link = Link("Docker")
    for reason in ("no", "no", "no", None, None, "no", "other", "other", "no", None, "no"):
        if reason is None:
            link.succeeded()
        else:
            link.failed(reason)
        assert link.up is (reason is None)
    assert said(log) == [
        *(("down", "no"), ("up", ""), ("down", "no"), ("down", "other"), ("down", "no")),
        *(("up", ""), ("down", "no")),
    ]
    assert {record["extra"]["side"] for record in log} == {"Docker"}
    assert {r["level"].name for r in log if r["extra"]["event"] == "down"} == {"ERROR"}


# How long it has been like that.


def test_a_question_from_before_the_last_answer_tells_of_what_is_over(
    log: list[Record], later: Callable[[float], None]
) -> None:
    link = Link("the database")
    asked_at = time.monotonic()
    later(1.0)
    link.answered()
    link.failed("timed out", asked_at=asked_at)
    assert link.up
    later(1.0)
    link.failed("timed out", asked_at=time.monotonic())
    assert not link.up
    assert [record["level"].name for record in log] == ["INFO", "ERROR"]


def test_a_side_is_down_from_the_first_failure_until_it_is_reached(
    later: Callable[[float], None],
) -> None:
    link = Link("Docker")
    later(2)
    assert link.down_for == 2  # it has not been reached yet
    link.failed("no")
    later(3)
    assert link.down_for == 5
    link.succeeded()
    later(5)
    assert link.down_for == 0
    link.failed("no")
    later(7)
    link.failed("no")
    link.failed("another reason")
    later(4)
    assert link.down_for == 11
    link.succeeded()
    link.succeeded()
    assert link.down_for == 0


def test_a_side_that_is_back_says_for_how_long_it_was_away(
    log: list[Record], later: Callable[[float], None]
) -> None:
    link, other = Link("Docker"), Link("the database")
    link.succeeded()
    other.proved()  # it hears, and does not answer yet
    other.failed("no")
    later(3)
    other.succeeded()
    link.failed("no")
    later(12)
    link.succeeded()
    ups = [record for record in log if record["extra"]["event"] == "up"]
    assert [record["message"] for record in ups] == [
        *("Docker is up", "the database is up after 3.0 s", "Docker is up again after 12 s"),
    ]
    assert [record["extra"]["seconds"] for record in ups] == [0, 3, 12]


def test_a_pulse_knows_for_how_long_the_same_piece_of_work_goes_on(
    later: Callable[[float], None],
) -> None:
    pulse = Pulse("watch")
    later(LONG)
    assert pulse.busy_for == 0  # there was nothing to do
    with pulse:
        later(2)
        assert pulse.busy_for == 2
        pulse.beat()
        later(3)
        assert pulse.busy_for == 3
    later(LONG)
    assert pulse.busy_for == 0
    with pulse:
        assert pulse.busy_for == 0  # another piece, not a second half of the first


def test_a_loop_that_meets_one_defect_after_the_other_is_failing_from_the_first_on(
    later: Callable[[float], None],
) -> None:
    pulse = Pulse("watch")
    assert pulse.failing_for == 0
    pulse.failed()
    later(ANEW)
    assert pulse.failing_for == 0  # one is none: it was started again
    pulse.failed()
    later(ANEW)
    pulse.failed()
    assert pulse.failing_for == 2 * ANEW
    with pulse:
        later(ANEW - 1)  # whatever it gets done in between
    assert pulse.failing_for == 2 * ANEW
    later(2)
    assert pulse.failing_for == 0
    pulse.failed()
    assert pulse.failing_for == 0  # the first of others


# The listener as a whole.


def test_the_loop_that_is_at_one_piece_of_work_for_too_long_is_named_and_no_other(
    engine: socket.socket, settings: Settings
) -> None:
    with Listener(settings) as listener:
        stuck = listener._supervisor.stuck
        eventually(lambda: stuck(0.3) == ["watch"], "the watch waits for an answer")
        assert listener.stuck(0.3) == [], "which may take longer"
        assert listener.stuck(LONG) == []
        assert listener.status()["problems"] == [], "it may be away for that long"
        engine.close()
        eventually(lambda: stuck(0.3) == [], "that attempt is over")


def test_a_loop_that_fails_again_and_again_is_stuck_and_one_that_fails_once_is_not(
    engine: socket.socket,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    log: list[Record],
) -> None:
    def defect(*_: object) -> NoReturn:
        raise ZeroDivisionError

    def once(*_: object, **__: object) -> NoReturn:
        monkeypatch.setattr(Controller, "unsaved", news)
        raise ZeroDivisionError

    news = Controller.unsaved
    engine.close()
    monkeypatch.setattr(Watch, "connect", defect)
    monkeypatch.setattr(Controller, "unsaved", once)
    impatient = dataclasses.replace(
        settings, sweep_interval=0.01, unhealthy_after=0.4, docker_timeout=0.2
    )
    with Listener(impatient) as listener:
        eventually(lambda: listener.stuck(0) == [], "nothing is at work just then, or stuck")
        eventually(lambda: listener.stuck(0.4) != [], "the second defect")
        assert listener.stuck(0.4) == ["watch"]
        problems = listener.status()["problems"]
    assert isinstance(problems, list)
    assert "watch is stuck" in problems
    lines = [record for record in log if record["extra"]["event"] == "defect"]
    assert {record["extra"]["loop"] for record in lines} == {"timer", "watch"}
    assert {record["level"].name for record in lines} == {"ERROR"}


def test_a_loop_that_has_ended_is_stuck(engine: socket.socket, settings: Settings) -> None:
    listener = Listener(settings)
    engine.close()
    assert listener.stuck(LONG) == []
    listener.start()
    assert listener.stuck(LONG) == []
    listener.stop()
    loops = ["feed-0", "reconcile-0", "reconcile-1", "screen", "subnets", "timer", "watch"]
    assert listener.stuck(LONG) == loops


@pytest.mark.parametrize(
    ("patience", "problems"), [(LONG, []), (0, ["Docker is down", "the database is down"])]
)
def test_a_side_that_is_away_for_too_long_is_a_problem_and_not_before(
    engine: socket.socket, settings: Settings, patience: float, problems: list[str]
) -> None:
    engine.close()
    with Listener(dataclasses.replace(settings, unhealthy_after=patience)) as listener:
        status = listener.status()
    assert status["ready"] is False
    told = status["problems"]
    assert isinstance(told, list)
    assert [problem for problem in told if problem.endswith("is down")] == problems


def test_it_says_at_the_start_what_it_is_set_to_and_at_the_end_why_it_ends(
    engine: socket.socket, settings: Settings, log: list[Record], sqlite_url: str
) -> None:
    engine.close()
    with Listener(dataclasses.replace(settings, dry_run=True)) as listener:
        listener.stop(reason="SIGTERM")
    ends = [r["extra"] for r in log if r["extra"]["event"] in ("started", "stopped")]
    assert ends == [
        {
            "event": "started",
            "version": VERSION,
            "engine": settings.docker_host,
            "databases": [f"the SQLite file {sqlite_url.removeprefix('sqlite:///')}"],
            "feed": "auto",
            "state_dir": settings.state_dir,
            "policy": "absent",
            "dry_run": True,
        },
        {"event": "stopped", "reason": "SIGTERM"},
    ]
    assert all(str(ends[0][key]) in log[0]["message"] for key in ("version", "engine", "state_dir"))
    assert "dry run: nothing is removed" in log[0]["message"]


def test_it_says_why_it_ended_by_itself(settings: Settings, log: list[Record]) -> None:
    refused = ConfigurationError("--feed: no")
    listener = Listener(settings)
    listener._supervisor.failure = refused
    listener.stop()
    assert log[-1]["message"] == "stopped: --feed: no"


def ask(port: int, path: str) -> tuple[int, str]:
    """What the listener serves there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_what_it_serves_is_its_status(
    engine: socket.socket, settings: Settings, log: list[Record]
) -> None:
    engine.close()
    settings = dataclasses.replace(settings, http="127.0.0.1:0", unhealthy_after=0)
    with Listener(settings) as listener:
        (line,) = [record for record in log if record["extra"].get("event") == "http"]
        port = int(line["extra"]["address"].rpartition(":")[2])
        assert ask(port, "/livez") == (200, "ok\n")
        assert ask(port, "/healthz") == (503, "Docker is down\nthe database is down\n")
        status, text = ask(port, "/readyz")
        assert status == 503
        assert re.fullmatch(
            r"degraded: Docker is down for \d+ s and the SQLite file .* is down for \d+ s,"
            r" nothing is removed\n",
            text,
        )
        told = json.loads(ask(port, "/status.json")[1])
        assert told["problems"] == listener.status()["problems"]
    with pytest.raises(ConnectionError):
        ask(port, "/livez")


def test_while_it_stops_it_says_so_and_not_that_its_loops_have_ended(
    engine: socket.socket, settings: Settings, monkeypatch: pytest.MonkeyPatch, log: list[Record]
) -> None:
    settings = dataclasses.replace(settings, http="127.0.0.1:0")
    told: list[dict[str, object]] = []
    with Listener(settings) as listener:
        (line,) = [record for record in log if record["extra"].get("event") == "http"]
        port, join = int(line["extra"]["address"].rpartition(":")[2]), listener._supervisor.join

        def joined(_: float) -> bool:
            engine.close()  # the attempt to connect is over
            ended = join(time.monotonic() + PATIENCE)
            told.append(json.loads(ask(port, "/status.json")[1]))
            return ended

        monkeypatch.setattr(listener._supervisor, "join", joined)
    assert told[0]["state"] == "stopping"
    assert told[0]["ready"] is False
    assert told[0]["problems"] == []


def test_it_serves_nothing_unless_it_should(
    engine: socket.socket, settings: Settings, log: list[Record]
) -> None:
    engine.close()
    with Listener(settings):
        assert not [record for record in log if record["extra"].get("event") == "http"]
        assert "http" not in {thread.name for thread in threading.enumerate()}
