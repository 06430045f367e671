"""What is kept over a restart, and what is not believed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.core.evidence import Memory
from listener.databases.sqlite.table import SqliteTopologies
from listener.databases.urls import open_topologies
from listener.runtime.build import open_databases, open_tables
from listener.runtime.state.directory import StateDirectory
from listener.runtime.state.ledger import LARGEST, REJECTED, Ledger
from listener.settings import Settings
from tests.world.parts import TOPOLOGY, P

if TYPE_CHECKING:
    from loguru import Record

NAME = "the database 'decnet' on db.internal"
MEMORY = Memory("identity", frozenset({TOPOLOGY, P}), vouched=True, replaced=False)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    """A folder that is ours."""
    directory = StateDirectory(tmp_path / "state")
    assert directory.lock() is None
    yield directory
    directory.close()


def file_of(state: StateDirectory) -> Path:
    """The only ledger in it."""
    (path,) = state.path.glob("ledger-*.json")
    return path


@pytest.mark.parametrize(
    "memory",
    [
        MEMORY,
        Memory("other"),
        Memory("x", frozenset(), vouched=False, replaced=True),
        Memory(
            "x",
            unproven=frozenset({TOPOLOGY}),
            pending=frozenset({P}),
            excused=frozenset({P, TOPOLOGY}),
            reported=frozenset({TOPOLOGY}),
            absent={TOPOLOGY: 1.5},
        ),
    ],
)
def test_what_is_saved_is_loaded(state: StateDirectory, memory: Memory) -> None:
    Ledger(state, NAME).save(memory)
    loaded = Ledger(state, NAME).load()
    assert loaded == memory
    assert loaded.absent == memory.absent
    assert file_of(state).stat().st_mode & 0o777 == 0o600
    assert (state.path / "lock").stat().st_mode & 0o777 == 0o600
    assert state.path.stat().st_mode & 0o777 == 0o700


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.parent / "elsewhere"))


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": changed(lambda content: content[:-20]),
    "one byte": changed(lambda content: content.replace(b"true", b"tru3")),
    "empty": changed(lambda _: b""),
    "no checksum": changed(lambda content: content.partition(b"\n")[2]),
    "not text": changed(lambda _: b"\xff\xfe\x00"),
    "too large": lambda path: os.truncate(path, LARGEST + 1),
    "of others": lambda path: path.chmod(0o620),
    "of anybody": lambda path: path.chmod(0o602),
    "a link": a_link,
    "a pipe": a_pipe,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_damaged_is_set_aside_and_never_believed(
    state: StateDirectory, damage: Callable[[Path], object], log: list[Record]
) -> None:
    Ledger(state, NAME).save(MEMORY)
    path = file_of(state)
    damage(path)
    ledger = Ledger(state, NAME)
    assert ledger.load() == REJECTED
    assert Ledger(state, NAME).load() == REJECTED, "nor by the next"
    log.pop()
    assert [record["level"].name for record in log] == ["WARNING"]
    assert log[0]["message"].startswith(f"{path} is not believed, for ")
    assert log[0]["extra"]["event"] == "state"
    ledger.save(MEMORY)
    assert Ledger(state, NAME).load() == MEMORY
    assert len(list(state.path.glob("*.set-aside"))) == 1


def test_the_ledger_of_another_user_is_neither_believed_nor_touched(state: StateDirectory) -> None:
    Ledger(state, NAME).save(MEMORY)
    os.chown(file_of(state), 12345, -1)
    ledger = Ledger(state, NAME)
    assert ledger.load() == REJECTED
    ledger.save(Memory("later"))
    assert file_of(state).stat().st_uid == 12345
    assert not list(state.path.glob("*.set-aside"))


def test_who_may_read_everything_believes_what_the_folders_owner_keeps(
    state: StateDirectory,
) -> None:
    Ledger(state, NAME).save(MEMORY)
    os.chown(state.path, 12345, -1)
    os.chown(file_of(state), 12345, -1)
    ledger = Ledger(state, NAME)
    assert ledger.load() == MEMORY
    ledger.save(Memory("later"))
    assert file_of(state).stat().st_uid == 12345


def test_the_ledger_of_another_database_is_never_believed(
    state: StateDirectory, log: list[Record]
) -> None:
    Ledger(state, NAME).save(MEMORY)
    foreign = file_of(state)
    Ledger(state, NAME + "2").save(MEMORY)
    (other,) = set(state.path.glob("ledger-*.json")) - {foreign}
    foreign.replace(other)
    assert Ledger(state, NAME + "2").load() == REJECTED
    assert "of another database" in log[0]["message"]


def test_the_ledger_of_the_release_before_is_read_and_its_identity_brought_up_to_date(
    state: StateDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "decnet.db"
    database = SqliteTopologies(path)
    content = {
        "version": 2,
        "database": database.name,
        "identity": f"{path} 65025:1234 of 1764300000000000000 schema 7",
        "vouched": True,
        "replaced": False,
        "position": 12,
        "witnessed": sorted({TOPOLOGY, P}),
        "former": [],
    }
    body = json.dumps(content)
    ledger = Ledger(state, database.name)
    ledger.save(MEMORY)  # which makes the file
    file_of(state).write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")
    memory = ledger.load(database.upgraded)
    assert memory == Memory(
        f"{path} 1234 of 1764300000000000000 schema 7", frozenset({TOPOLOGY, P}), vouched=True
    )
    assert memory.position == 12


def test_a_ledger_under_the_name_of_the_release_before_is_read_until_there_is_another(
    state: StateDirectory,
) -> None:
    """That release left out of a name what parameters of the URL say, such as a socket's folder."""
    topologies = open_topologies("postgresql:///decnet?host=/run/one")
    former = "the postgresql database 'decnet' on the local socket"
    known = replace(MEMORY, identity="postgresql the local socket/decnet public 7/1 table 2")
    Ledger(state, former).save(known)
    ledger = Ledger(state, topologies.name, topologies.former_name)
    assert ledger.load(topologies.upgraded) is None, "this release wrote it, of another server"
    written = file_of(state).read_text().partition("\n")[2].replace('"version": 4', '"version": 3')
    file_of(state).write_text(f"{hashlib.sha256(written.encode()).hexdigest()}\n{written}")
    moved = replace(known, identity="postgresql /run/one/decnet public 7/1 table 2")
    assert ledger.load(topologies.upgraded) == moved
    ledger.save(replace(moved, vouched=False))
    assert ledger.load(topologies.upgraded) == replace(moved, vouched=False)
    assert Ledger(state, former).load() == known


def test_the_ledger_under_a_former_name_is_not_taken_from_who_bears_it_now(
    state: StateDirectory,
) -> None:
    urls = ("postgresql:///decnet", "postgresql:///decnet?host=/run/one")
    settings = Settings(database_url=urls)
    Ledger(state, open_topologies(urls[0]).name).save(MEMORY)
    first, second = open_databases(settings, open_tables(settings), state)
    assert (first.memory, second.memory) == (MEMORY, None)


def test_a_second_process_may_read_and_not_write(state: StateDirectory) -> None:
    Ledger(state, NAME).save(MEMORY)
    second = StateDirectory(state.path)
    assert second.lock() == "another listener uses it"
    ledger = Ledger(second, NAME)
    assert ledger.load() == MEMORY
    ledger.save(Memory("changed"))
    assert Ledger(state, NAME).load() == MEMORY


def test_the_folder_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from listener.runtime.state.directory import StateDirectory\n"
        "state = StateDirectory(pathlib.Path(sys.argv[1])); print(state.lock(), flush=True)\n"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "None\n"
        directory = StateDirectory(tmp_path)
        assert directory.lock() is not None
        child.kill()
        child.wait()
        assert directory.lock() is None
        directory.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [("file", "File exists"), ("missing parent", "No such file or directory")],
)
def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path, kind: str, why: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if kind == "file" else tmp_path / "missing" / "state"
    directory = StateDirectory(path)
    assert directory.lock() == why
    ledger = Ledger(directory, NAME)
    ledger.save(MEMORY)
    assert ledger.load() is None


def test_a_disk_that_refuses_is_said_once_and_that_it_takes_again_too(
    state: StateDirectory, log: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(state, NAME)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("listener.runtime.state.files.os.fsync", full)
        ledger.save(MEMORY)
        ledger.save(Memory("second"))
    assert ["No space left" in record["message"] for record in log] == [True]
    assert Ledger(state, NAME).load() is None
    ledger.save(Memory("second"))
    assert Ledger(state, NAME).load() == Memory("second"), "once there is room again"
    ledger.save(Memory("third"))
    assert [record["level"].name for record in log] == ["WARNING", "INFO"]
    assert all("--state-dir" in record["message"] for record in log)


def test_what_is_known_of_another_table_and_of_the_position_is_kept(state: StateDirectory) -> None:
    memory = Memory("identity", replaced=True, former=frozenset({TOPOLOGY}), position=7)
    ledger = Ledger(state, NAME)
    ledger.save(memory)
    kept = Ledger(state, NAME).load()
    assert kept == memory
    assert kept.position == 7
    ledger.save(Memory("identity", replaced=True, former=frozenset({TOPOLOGY}), position=8))
    moved_on = Ledger(state, NAME).load()
    assert moved_on is not None
    assert moved_on.position == 8


def test_what_another_has_put_in_the_place_of_a_new_file_is_not_written(
    state: StateDirectory, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Ledger(state, NAME).save(MEMORY)
    new = file_of(state).with_suffix(".new")
    for put in (new.hardlink_to, new.symlink_to):
        put(victim)
        Ledger(state, NAME).save(MEMORY)
        assert victim.read_text() == "precious"
    os.mkfifo(new)
    Ledger(state, NAME).save(Memory("last"))
    assert Ledger(state, NAME).load() == Memory("last")


def test_a_lock_is_made_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    assert StateDirectory(tmp_path).lock() is not None
    assert not (tmp_path / "elsewhere").exists()
