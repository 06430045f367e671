"""`run` does not give up: it waits for what it cannot reach, says so once, and ends when told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from signal import SIGINT, SIGTERM, SIGUSR1, Signals

import pytest

from tests.cli.command import Command, Running
from tests.cli.fake import FakeServer


def check(running: Running, form: str) -> None:
    """Every line is what it should be."""
    assert running.with_words("Traceback") == []
    for line in running.lines:
        if form == "json":
            assert json.loads(line).keys() >= {"time", "level", "message"}
        else:
            assert line[:4].isdigit(), line


def make_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE topologies (id TEXT PRIMARY KEY)")


@pytest.mark.parametrize(("form", "end"), [("text", SIGTERM), ("json", SIGINT)])
def test_each_side_is_told_of_once_in_many_tries(command: Command, form: str, end: Signals) -> None:
    database, socket = command.folder / "decnet.db", command.folder / "docker.sock"
    before = command.files()
    options = ("--database-url", f"sqlite:///{database}", "--docker-host", f"unix://{socket}")
    with (
        FakeServer(socket, b"noise\r\n\r\n") as server,
        command.start("run", *options, "--log-format", form) as running,
    ):
        running.await_line("listening to")
        running.await_line("--docker-host: ", "does not answer like a Docker Engine")
        running.await_line("--database-url: ", "does not exist")
        server.wait_for_more(3)
        running.send(SIGUSR1)
        server.wait_for_more(1)
        assert not database.exists()
        make_database(database)
        running.await_line("the database is up")
        assert running.end(end) == 0
    check(running, form)
    once = ("--docker-host: ", "--database-url: ", "the database is up", "listening to")
    for side in (*once, f"stopped: {end.name}"):
        assert len(running.with_words(side)) == 1, running.lines
    assert set(command.files()) <= {*before, str(socket), str(database)}


def test_each_new_state_is_told_of(command: Command) -> None:
    database, socket = command.folder / "decnet.db", command.folder / "docker.sock"
    options = ("--database-url", f"sqlite:///{database}", "--docker-host", f"unix://{socket}")
    more = ("--feed", "poll", "--poll-interval", 0.01)
    with command.start("run", *options, *more) as running:
        running.await_line("--docker-host: ", "does not exist")
        running.await_line("--database-url: ", "does not exist")
        with FakeServer(socket, b"noise\r\n\r\n") as server:
            running.await_line("--docker-host: ", "does not answer like a Docker Engine")
            server.wait_for_more(1)
            database.touch()
            running.await_line("--database-url: ", "no table")
        assert running.end(SIGTERM) == 0
    check(running, "text")
    assert len(running.with_words("--docker-host: ", "does not exist")) == 1
    assert len(running.with_words("--docker-host: ", "does not answer like")) == 1
    assert len(running.with_words("--database-url: ")) == 2, running.lines


def test_a_file_that_is_no_database_is_told_of_without_docker(command: Command) -> None:
    (command.folder / "decnet.db").write_text("no database at all\n" * 100)
    options = (
        "--database-url",
        "sqlite:///decnet.db",
        "--docker-host",
        f"unix://{command.folder}/x",
    )
    with (
        FakeServer(command.folder / "x", b"") as server,
        command.start("run", *options) as running,
    ):
        server.wait_for_more(4)
        running.await_line("listening to")
        assert running.end(SIGTERM) == 0
    check(running, "text")
    assert len(running.with_words("--database-url: ", "not a SQLite database")) == 1, running.lines
