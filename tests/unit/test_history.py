"""The history holds what was removed by us, in order, in a file of bounded size."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.control.observer import Reconciled
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Endpoint
from listener.runtime.state import history
from listener.runtime.state.history import NAME, History, line, read
from tests.support.process import PATIENCE
from tests.world.parts import TOPOLOGY, P, base, network

if TYPE_CHECKING:
    from loguru import Record


OVER = Reconciled(P, Outcome(), 0.0, 0.0)


def told(removal: Removal) -> tuple[Removal, str, str]:
    return removal, P, "witnessed"


def removed(id_: str = "base") -> tuple[Removal, str, str]:
    return told(Removal(base(id_), Result.REMOVED, seconds=0.25))


def test_each_removal_is_an_entry_with_when_and_why(tmp_path: Path) -> None:
    History(tmp_path).ended(*removed())
    History(tmp_path).ended(*told(Removal(network(), Result.REMOVED, seconds=0.5)))
    first, second = read(tmp_path)
    assert first.pop("time") > 1_700_000_000
    assert first == {
        "prefix": P,
        "topology_id": TOPOLOGY,
        "kind": "container",
        "id": "base",
        "name": "base-name",
        "evidence": "witnessed",
        "duration_ms": 250.0,
    }
    assert (second["kind"], second["topology_id"]) == ("network", None)


def test_who_was_taken_off_a_network_is_an_entry_of_its_own(tmp_path: Path) -> None:
    guest = Endpoint("a1b2", "tcpdump", ours=False)
    History(tmp_path).ended(*told(Removal(network(), Result.PENDING, disconnected=[guest])))
    (entry,) = read(tmp_path)
    assert f"disconnected container 'tcpdump' from network {network().name!r}" in line(entry)
    assert entry.pop("time") > 1_700_000_000
    assert entry == {
        "prefix": P,
        "topology_id": None,
        "kind": "endpoint",
        "id": "a1b2",
        "name": "tcpdump",
        "network": network().name,
        "evidence": "witnessed",
    }


@pytest.mark.parametrize("result", [r for r in Result if r is not Result.REMOVED])
def test_what_was_not_removed_by_us_is_no_history(tmp_path: Path, result: Result) -> None:
    History(tmp_path).ended(*told(Removal(base(), result, "busy")))
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path))


def test_of_a_file_that_grew_too_large_the_newest_half_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LARGEST", 4000)
    writer = History(tmp_path)
    for number in range(100):
        writer.ended(*removed(f"id-{number}"))
        assert (tmp_path / NAME).stat().st_size <= 4000
    kept = [entry["id"] for entry in read(tmp_path)]
    assert kept == [f"id-{number}" for number in range(100 - len(kept), 100)]
    assert len(kept) >= 5


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    def write(name: str) -> None:
        writer = History(tmp_path)
        for number in range(50):
            writer.ended(*removed(f"{name}-{number}"))
        writer.reconciled(OVER)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    ids = [entry["id"] for entry in read(tmp_path)]
    assert sorted(ids) == sorted(f"{name}-{number}" for name in "abcd" for number in range(50))


def test_no_removal_waits_for_another_process_that_is_writing(tmp_path: Path) -> None:
    writer = History(tmp_path)
    writer.ended(*removed("first"))
    with (tmp_path / NAME).open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        writer.ended(*removed("second"))
    writer.ended(*removed("third"))
    assert [entry["id"] for entry in read(tmp_path)] == ["first", "second", "third"]


def test_lines_that_are_no_entries_are_passed_over(tmp_path: Path) -> None:
    History(tmp_path).ended(*removed())
    with (tmp_path / NAME).open("ab") as file:
        bad = (
            b'{"time": "none", "prefix": "a", "kind": "b", "id": "c", "name": "d", "evidence": "e"}'
        )
        file.write(b'\n[1]\n{"time": 1}\n' + bad + b'\n\xff\xfe{\n"half')
    History(tmp_path).ended(*removed("next"))  # joins the half line, which is lost
    History(tmp_path).ended(*removed("last"))
    assert [entry["id"] for entry in read(tmp_path)] == ["base", "last"]


def test_half_a_line_that_the_disk_had_room_for_spoils_no_other(
    tmp_path: Path, log: list[Record]
) -> None:
    writer = History(tmp_path)
    writer.ended(*removed("first"))
    room = (tmp_path / NAME).stat().st_size + 10
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        writer.ended(*removed("second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.ended(*removed("third"))
    assert [entry["id"] for entry in read(tmp_path)] == ["first", "third"]
    assert "No space left" in log[0]["message"]


def test_a_history_that_cannot_be_written_is_said_once_and_that_it_can_again_too(
    tmp_path: Path, log: list[Record]
) -> None:
    (tmp_path / NAME).mkdir()
    writer = History(tmp_path)
    for _ in range(3):
        writer.ended(*removed())
    (tmp_path / NAME).rmdir()
    for _ in range(2):
        writer.ended(*removed())
    assert [record["extra"]["event"] for record in log] == ["state", "state"]
    assert [record["level"].name for record in log] == ["WARNING", "INFO"]
    assert all("--state-dir" in record["message"] for record in log)


def test_whoever_shows_it_slowly_holds_up_no_removal(tmp_path: Path) -> None:
    for id_ in ("a", "b"):
        History(tmp_path).ended(*removed(id_))
    shown = read(tmp_path)
    assert next(shown)["id"] == "a"  # and then a pager waits for its user
    writer = threading.Thread(target=History(tmp_path).ended, args=removed("c"), daemon=True)
    writer.start()
    writer.join(PATIENCE)
    assert not writer.is_alive()
    assert [entry["id"] for entry in shown] == ["b"]
    assert [entry["id"] for entry in read(tmp_path)] == ["a", "b", "c"]


def test_a_file_with_another_name_is_not_written_and_not_given_away(
    tmp_path: Path, log: list[Record]
) -> None:
    folder, victim = tmp_path / "state", tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir()
    os.chown(folder, 4321, 4321)
    (folder / NAME).hardlink_to(victim)
    History(folder).ended(*removed())
    assert (victim.read_text(), victim.stat().st_uid) == ("precious", os.geteuid())
    assert [record["extra"]["event"] for record in log] == ["state"]


def test_what_root_writes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 4321, 4321)
    History(folder).ended(*removed())
    assert (folder / NAME).stat().st_uid == 4321


def test_it_goes_on_after_a_restart_and_makes_the_folder(tmp_path: Path) -> None:
    for id_ in ("a", "b", "c"):
        History(tmp_path / "state").ended(*removed(id_))
    assert [entry["id"] for entry in read(tmp_path / "state")] == ["a", "b", "c"]
    assert (tmp_path / "state" / NAME).stat().st_mode & 0o777 == 0o600


def test_a_pipe_in_its_place_is_neither_written_nor_waited_for(
    tmp_path: Path, log: list[Record]
) -> None:
    os.mkfifo(tmp_path / NAME)
    History(tmp_path).ended(*removed())
    assert [record["extra"]["event"] for record in log] == ["state"]
    assert list(read(tmp_path)) == []
