"""What is kept over a restart, and what is not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.evidence import Memory
from listener.ledger import LARGEST, Ledger, StateDirectory

from .world import TOPOLOGY, P

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
    "memory", [MEMORY, Memory("other"), Memory("x", frozenset(), vouched=False, replaced=True)]
)
def test_what_is_saved_is_loaded(state: StateDirectory, memory: Memory) -> None:
    state.ledger(NAME).save(memory)
    assert state.ledger(NAME).load() == memory
    assert file_of(state).stat().st_mode & 0o777 == 0o600
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_each_database_has_its_own(state: StateDirectory) -> None:
    state.ledger(NAME).save(MEMORY)
    assert state.ledger(NAME + "2").load() is None


def test_before_the_first_answer_there_is_nothing_to_save(state: StateDirectory) -> None:
    state.ledger(NAME).save(Memory(""))
    assert state.ledger(NAME).load() is None


def test_what_is_no_news_is_not_written(state: StateDirectory) -> None:
    ledger = state.ledger(NAME)
    ledger.save(MEMORY)
    before = file_of(state).stat().st_ino
    ledger.save(MEMORY)
    assert file_of(state).stat().st_ino == before
    again = state.ledger(NAME)
    again.load()
    again.save(MEMORY)
    assert file_of(state).stat().st_ino == before


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


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
    "of another user": lambda path: os.chown(path, 12345, -1),
    "a folder": a_folder,
    "a link": a_link,
    "a pipe": a_pipe,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_damaged_is_set_aside_and_never_believed(
    state: StateDirectory, damage: Callable[[Path], object], log: list[Record]
) -> None:
    state.ledger(NAME).save(MEMORY)
    damage(file_of(state))
    ledger = state.ledger(NAME)
    assert ledger.load() is None
    assert [record["level"].name for record in log] == ["WARNING"]
    assert "is not believed" in log[0]["message"]
    ledger.save(MEMORY)
    assert state.ledger(NAME).load() == MEMORY
    assert len(list(state.path.glob("*.set-aside"))) == 1


def test_the_ledger_of_another_database_is_never_believed(
    state: StateDirectory, log: list[Record]
) -> None:
    state.ledger(NAME).save(MEMORY)
    foreign = file_of(state)
    state.ledger(NAME + "2").save(MEMORY)
    (other,) = set(state.path.glob("ledger-*.json")) - {foreign}
    foreign.replace(other)
    assert state.ledger(NAME + "2").load() is None
    assert "of another version or database" in log[0]["message"]


def test_a_second_process_may_read_and_not_write(state: StateDirectory) -> None:
    state.ledger(NAME).save(MEMORY)
    second = StateDirectory(state.path)
    assert second.lock() == "another listener uses it"
    ledger = second.ledger(NAME)
    assert ledger.load() == MEMORY
    ledger.save(Memory("changed"))
    assert state.ledger(NAME).load() == MEMORY


def test_the_folder_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from listener.ledger import StateDirectory\n"
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


@pytest.mark.parametrize("kind", ["file", "missing parent"])
def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if kind == "file" else tmp_path / "missing" / "state"
    directory = StateDirectory(path)
    assert directory.lock()
    ledger = directory.ledger(NAME)
    ledger.save(MEMORY)
    assert Ledger(path / "x", NAME, writable=False).load() is None


def test_a_disk_that_refuses_is_said_once(
    state: StateDirectory, log: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = state.ledger(NAME)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("listener.ledger.os.fsync", full)
    ledger.save(MEMORY)
    ledger.save(Memory("second"))
    assert ["No space left" in record["message"] for record in log] == [True]
    assert state.ledger(NAME).load() is None
