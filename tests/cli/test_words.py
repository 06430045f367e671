"""What the command says when nothing is wrong, or nothing was asked."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import sysconfig
import uuid
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest

from listener.cli import COMMANDS, load
from listener.commit import commit
from listener.settings import Settings
from tests.cli.command import Command
from tests.cli.fake import EMPTY_ENGINE, FakeServer, as_json

NAMES = [option.name for option in dataclasses.fields(Settings) if option.metadata["flag"]]


def test_help_names_options_and_their_variables(command: Command) -> None:
    helps = [command("run", "--help"), command("sweep", "-h"), command("relay", "-h")]
    assert [(result.status, result.err) for result in helps] == [(0, "")] * 3
    said = " ".join(" ".join(result.out.split()) for result in helps)
    for name in [*NAMES, "config"]:
        assert f" --{name.replace('_', '-')} " in said
        assert f"[REAPER_{name.upper()}]" in said


@pytest.mark.parametrize("name", ["run", "sweep", "doctor"])
def test_what_its_help_leaves_out_a_command_takes_all_the_same(command: Command, name: str) -> None:
    said = command(name, "--feed=poll", "--grace=1", "--http=off", "--timeout=1", "--nonsense")
    assert (said.status, "No such option '--nonsense'" in said.err) == (2, True)


def test_no_words_are_answered_with_help(command: Command) -> None:
    result = command()
    assert (result.status, result.out) == (2, command("--help").out)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_help_of_each_begins_with(name: str) -> None:
    assert (load(name).help or "").partition("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("words", ["--help", "--version", "status --json --state-dir /none"])
def test_what_reaches_neither_docker_nor_a_database_is_quick(words: str) -> None:
    python = [sys.executable, "-X", "importtime", "-m", "listener"]
    said = subprocess.run([*python, *words.split()], capture_output=True, text=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint({"docker", "loguru", "rich", "sqlalchemy"})


def test_version_from_the_installed_command_and_the_module(command: Command) -> None:
    script = Path(sysconfig.get_path("scripts"), "topology-reaper")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    version = metadata.version("topology-reaper")
    assert said == command("--version").out == f"topology-reaper {version} (commit {commit()})\n"


def test_init_db_makes_a_database_to_sweep_with(command: Command, engine: str) -> None:
    name = "50%41 été.db"
    made = command("init-db", name)
    assert (made.status, made.err) == (0, "")
    assert list(command.files()) == [str(command.folder / name)]
    with closing(sqlite3.connect(command.folder / name)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        columns = database.execute("PRAGMA table_info(topologies)").fetchall()
        assert [column[1] for column in columns if column[5]] == ["id"]
        assert database.execute("SELECT count(*) FROM topologies").fetchone() == (0,)
    used, told = made.out.splitlines()
    option, url = shlex.split(used)[-2:]
    assert option == "--database-url"
    swept = command("sweep", "--json", "--docker-host", engine, "--database-url", url)
    assert (swept.status, swept.err) == (0, "")
    report = json.loads(swept.out)
    keys = "live_prefixes orphan_prefixes containers_removed networks_removed errors held"
    assert [report[key] for key in keys.split()] == [[]] * 6
    assert report["dry_run"] is False
    program, path, statement = shlex.split(told.partition(": ")[2])
    assert (program, path) == ("sqlite3", str(command.folder / name))
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        ((id_, status),) = database.execute("SELECT id, status FROM topologies").fetchall()
    assert (str(uuid.UUID(id_)), status) == (id_, "active")


def test_a_path_need_not_be_utf8(command: Command) -> None:
    """Nor where something is held, which takes a token and a whole command."""
    folder = command.folder / os.fsdecode(b"\xe9\xff")
    folder.mkdir()
    assert command("init-db", folder / "decnet.db").status == 0
    (folder / "reaper.toml").write_text(f'docker_host = "unix://{command.folder}/docker.sock"')
    (folder / "decnet.ini").touch()
    lan = {"Name": "decnet_t_aaaaaaaa_lan", "Id": 64 * "a", "Driver": "bridge", "Scope": "local"}
    answers = {**EMPTY_ENGINE, "/v1.41/networks": as_json([lan])}
    words: list[str | Path] = [
        "--config",
        folder / "reaper.toml",
        "--decnet-config",
        folder / "decnet.ini",
    ]
    words += ["--database-url", f"sqlite:///{folder}/decnet.db", "--state-dir", folder / "state"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    with FakeServer(command.folder / "docker.sock", answers):
        swept = subprocess.run(
            [sys.executable, "-m", "listener", "sweep", *words], env=strict, capture_output=True
        )
    assert (swept.returncode, swept.stderr) == (1, b"")
    held, released = swept.stdout.decode().splitlines()[1:3]
    assert held.startswith("held aaaaaaaa")
    assert r"\udce9\udcff/decnet.db" in released
    assert list(folder.glob("state/ledger-*.json"))
