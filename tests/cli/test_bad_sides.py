"""A database or an engine that is not what it should be: status 3 for who asks once."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.cli.command import SECRET, Command, Prepare, call, is_sentence
from tests.cli.fake import EMPTY_ENGINE, HTML, Answers, FakeServer, as_json

NO_DATABASE = "sqlite:////none/decnet.db"


def sql(statement: str) -> Prepare:
    def prepare(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)

    return prepare


def nothing(_: Path) -> None:
    pass


DATABASES: dict[str, tuple[Prepare, str]] = {
    "missing": (nothing, "does not exist"),
    "no table": (sql("CREATE TABLE other (id TEXT)"), "no table"),
    "no id": (sql("CREATE TABLE topologies (name TEXT)"), "id"),
    "empty": (Path.touch, "no table"),
    "text": (lambda path: path.write_text("no database at all\n" * 100), "not a SQLite database"),
    "folder": (Path.mkdir, "folder"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "does not exist"),
}


@pytest.mark.parametrize("case", DATABASES)
def test_database(command: Command, engine: str, case: str) -> None:
    prepare, word = DATABASES[case]
    path = command.folder / "decnet.db"
    prepare(path)
    options = ("sweep", "--docker-host", engine, "--database-url")
    absolute = call(*options, f"sqlite:///{path}")
    relative = call(*options, "sqlite:///decnet.db")
    like_decnet = call(*options, f"sqlite+aiosqlite:///{path}?password=s3cret")
    told = command.refuse(
        3, absolute, relative, like_decnet, names=["--database-url: ", str(path), word]
    )
    assert len(set(told)) == 1


def test_database_in_a_folder_that_is_missing_or_a_file(command: Command, engine: str) -> None:
    (command.folder / "file").touch()
    for path in ("/none/decnet.db", command.folder / "file/decnet.db"):
        options = ("--docker-host", engine, "--database-url", f"sqlite:///{path}")
        command.refuse(3, call("sweep", *options), names=["--database-url: ", "does not exist"])


def test_database_without_permission(command: Command, engine: str) -> None:
    path = command.folder / "decnet.db"
    sql("CREATE TABLE topologies (id TEXT PRIMARY KEY)")(path)
    path.chmod(0)
    options = ("--docker-host", engine, "--database-url", f"sqlite:///{path}")
    denied = call("sweep", *options, confined=True)
    command.refuse(3, denied, names=["--database-url: ", str(path), "may not be read"])


@pytest.mark.parametrize("scheme", ["mysql+asyncmy", "postgresql"])
def test_database_server_that_refuses(command: Command, engine: str, scheme: str) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        where = "127.0.0.1:{1}".format(*listener.getsockname())
        url = f"{scheme}://decnet:s3%40s3cret@{where}/decnet"
        refused = command("sweep", "--docker-host", engine, "--database-url", url)
    assert (is_sentence(refused.err), refused.out) == (True, ""), refused
    assert SECRET not in refused.err
    assert "--database-url: " in refused.err
    assert refused.status == 3


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_timeout_counts_for_a_database_server_that_is_silent(
    command: Command, engine: str, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = "127.0.0.1:{1}".format(*listener.getsockname())
        url = f"{scheme}://decnet:{SECRET}@{where}/decnet"
        options = ("--docker-host", engine, "--database-url", url)
        silent = command("sweep", *options, "--timeout", 2.5)
    assert (silent.status, silent.out) == (3, "")
    assert f"--database-url: the {scheme} database 'decnet' on {where} gave" in silent.err


def bound(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


SOCKETS: dict[str, tuple[Prepare, str]] = {
    "missing": (nothing, "does not exist"),
    "refused": (bound, "refuses connections"),
    "a file": (Path.touch, ""),
    "a folder": (Path.mkdir, ""),
}


@pytest.mark.parametrize("case", SOCKETS)
def test_socket(command: Command, case: str) -> None:
    prepare, word = SOCKETS[case]
    path = command.folder / "docker.sock"
    prepare(path)
    host = f"unix://{path}"
    calls = [
        call("sweep", "--database-url", NO_DATABASE, "--docker-host", host),
        call("sweep", "--database-url", NO_DATABASE, env={"DOCKER_HOST": host}),
        call(
            "sweep",
            env={
                "REAPER_DATABASE_URL": NO_DATABASE,
                "REAPER_DOCKER_HOST": host,
            },
        ),
    ]
    command.refuse(3, *calls, names=["--docker-host: ", host, word])
    shown = command("demo", "--docker-host", host)
    assert shown.status == 3
    assert is_sentence(shown.err)
    assert host in shown.err


def test_socket_without_permission(command: Command) -> None:
    path = command.folder / "docker.sock"
    with FakeServer(path, EMPTY_ENGINE):
        path.chmod(0)
        options = ("--database-url", NO_DATABASE, "--docker-host", f"unix://{path}")
        denied = call("sweep", *options, confined=True)
        command.refuse(3, denied, names=["--docker-host: ", str(path), "may not be used"])


def test_port_that_refuses(command: Command) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        host = "tcp://127.0.0.1:{1}".format(*listener.getsockname())
        options = ("--database-url", NO_DATABASE, "--docker-host", host)
        command.refuse(3, call("sweep", *options), names=["--docker-host: ", host, "refuses"])


def version(answer: object) -> Answers:
    return {**EMPTY_ENGINE, "/version": as_json(answer)}


STRANGERS: dict[str, Answers] = {
    "noise": b"\x00\xff noise\r\n\r\n",
    "closes": b"",
    "HTML": {"/version": HTML, "/_ping": HTML},
    "refusing proxy": {**EMPTY_ENGINE, "/version": as_json({"message": "no\nway"}, 403)},
    "old": version({"ApiVersion": "1.12"}),
    "odd version": version({"ApiVersion": "x.y"}),
    "version is a number": version({"ApiVersion": 7}),
    "no version": version({}),
    "no ping": {path: answer for path, answer in EMPTY_ENGINE.items() if path != "/_ping"},
    "HTML for a list": {**EMPTY_ENGINE, "/v1.41/containers/json": HTML},
    "null for a list": {**EMPTY_ENGINE, "/v1.41/containers/json": as_json(None)},
    "odd networks": {**EMPTY_ENGINE, "/v1.41/networks": as_json({"a": 1})},
}


def test_whoever_answers_on_the_socket(command: Command, database: str) -> None:
    calls = []
    with ExitStack() as stack:
        for case, answers in STRANGERS.items():
            path = command.folder / f"{case}.sock"
            stack.enter_context(FakeServer(path, answers))
            words = ("sweep", "--database-url", database, "--docker-host", f"unix://{path}")
            calls.append(call(*words, names=[str(path)]))
        command.refuse(3, *calls, names="--docker-host: ")


def test_timeout_counts_for_an_engine_that_is_silent(command: Command) -> None:
    path = command.folder / "docker.sock"
    with FakeServer(path, None):
        options = ("--database-url", NO_DATABASE, "--docker-host", f"unix://{path}")
        result = command("sweep", *options, "--timeout", 0.5)
    assert (result.status, result.out) == (3, "")
    assert "does not answer in time" in result.err


@pytest.mark.parametrize("form", ["text", "json"])
def test_waiting_is_said_once(command: Command, form: str) -> None:
    options = ("--database-url", NO_DATABASE, "--docker-host", "unix:///none.sock")
    result = command("sweep", *options, "--timeout", 0.7, "--log-format", form)
    waiting, told = result.err.splitlines(keepends=True)
    assert result.status == 3
    assert "waiting up to 0.7 s: --docker-host: unix:///none.sock" in waiting
    assert form == "text" or json.loads(waiting).keys() >= {"time", "level", "message"}
    assert is_sentence(told)
