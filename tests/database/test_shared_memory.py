"""A SQLite file in WAL mode whose writer shares memory with the reader, or does not."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from debian_packages import ensure

from listener.databases.sqlite import wal
from listener.databases.sqlite.table import SqliteTopologies, create
from listener.errors import NoAnswer
from tests.support.decnet import new_id
from tests.support.rows import Rows

MakeRows = Callable[[Path], Rows]
IDENTITY = """
import pathlib, sys
from listener.databases.sqlite.table import SqliteTopologies
print(SqliteTopologies(pathlib.Path(sys.argv[1])).ask([]).identity)
"""
TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)"


@pytest.fixture
def mounted(tmp_path: Path, path: Path) -> Iterator[Path]:
    """Where the database is seen through FUSE, which is told nothing of what is done below."""
    ensure({"bindfs": "bindfs"}, "a file system through FUSE")
    point = tmp_path / "mount"
    point.mkdir()
    subprocess.run(["bindfs", path.parent, point], check=True)
    yield point / path.name
    subprocess.run(["umount", "--lazy", point], check=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder of its own."""
    (tmp_path / "below").mkdir()
    return tmp_path / "below" / "decnet.db"


def test_through_fuse_a_database_in_wal_mode_is_not_even_opened(
    path: Path, mounted: Path, rows: Rows
) -> None:
    rows.insert(new_id("aaaaaaaa"))
    shm = path.with_name(path.name + "-shm")
    before = shm.read_bytes()
    database = SqliteTopologies(mounted)
    with pytest.raises(NoAnswer, match=r"lies on fuse.*; run on the host") as caught:
        database.ask(["aaaaaaaa"])
    assert caught.value.remedy
    with pytest.raises(NoAnswer, match="lies on fuse"):
        database.push(look_every=1.0, check_every=1.0).connect()
    assert shm.read_bytes() == before, "another process would find its memory empty"


def test_through_fuse_a_database_that_is_not_in_wal_mode_is_asked(
    path: Path, mounted: Path, open_rows: MakeRows
) -> None:
    writer = open_rows(path)
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.create_table()
    writer.insert(new_id("aaaaaaaa"))
    database = SqliteTopologies(mounted)
    answer = database.ask(["aaaaaaaa"])
    assert answer.live("aaaaaaaa")
    assert answer.behind == ""


@pytest.mark.parametrize(
    ("size_of_inodes", "same"),
    [(256, True), pytest.param(128, False, id="without times of birth")],
)
def test_a_file_is_the_same_when_its_disk_has_another_number(
    tmp_path: Path, open_rows: MakeRows, size_of_inodes: int, same: bool
) -> None:
    """As after a reboot, which numbers disks in the order in which it finds them."""
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    said("mkfs.ext4", "-q", "-I", str(size_of_inodes), str(image))
    numbers, identities = set(), set()
    with ExitStack() as devices:
        for run in range(2):
            device = said("losetup", "--find", "--show", str(image))
            devices.callback(said, "losetup", "--detach", device)
            with ExitStack() as mounts:
                said("mount", device, str(point))
                mounts.callback(said, "umount", str(point))
                if run == 0:
                    with open_rows(point / "decnet.db") as writer:
                        writer.create_table()
                # By another process, for ours would keep the file open.
                identities.add(said(sys.executable, "-c", IDENTITY, str(point / "decnet.db")))
                numbers.add(point.stat().st_dev)
    assert len(numbers) == 2
    assert (len(identities) == 1) is same


def said(*command: str) -> str:
    """What a command says that does what it should."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("first", ["reader", "writer"])
def test_of_a_writer_behind_fuse_every_answer_is_right_or_may_be_behind(
    path: Path, mounted: Path, open_rows: MakeRows, first: str
) -> None:
    create(path)
    database, writer = SqliteTopologies(path), open_rows(mounted)
    if first == "writer":
        writer.execute("INSERT INTO topologies (id) VALUES (?)", new_id())
        writer.execute(TRUNCATE)
    ids: set[str] = set()
    said: list[bool] = []
    to_come = [new_id() for _ in range(8)]
    for step, row in enumerate(to_come):
        try:
            answer = database.ask([id_[:8] for id_ in to_come])
        except NoAnswer as error:
            why = str(error)  # of what -shm counts there is nothing in the log
        else:
            why = answer.behind
            assert why or answer.ids == ids
        assert not why or "through a FUSE mount" in why
        said.append(bool(why))
        ids.add(row)
        writer.execute("INSERT INTO topologies (id) VALUES (?)", row)
        if step % 3 == 0:
            writer.execute(TRUNCATE)
    assert said == sorted(said), "once there is such a writer it is not forgotten"
    assert said[-1]


# What is no sign of another writer.


def filled(connection: sqlite3.Connection) -> None:
    """A transaction that is larger than its cache, so that it is in the log before its commit."""
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(20):
        connection.execute("INSERT INTO attacks (detail) VALUES (zeroblob(9000))")


def nothing(writer: sqlite3.Connection) -> None:
    del writer


def commit(writer: sqlite3.Connection) -> None:
    writer.execute("INSERT INTO attacks (detail) VALUES ('a login')")


def empty(writer: sqlite3.Connection) -> None:
    writer.execute(TRUNCATE)


def begin_anew(writer: sqlite3.Connection) -> None:
    """The log, over longer leftovers."""
    filled(writer)
    writer.execute("COMMIT")
    writer.execute("PRAGMA wal_checkpoint")
    commit(writer)


def roll_back(writer: sqlite3.Connection) -> None:
    filled(writer)
    writer.execute("ROLLBACK")


def roll_back_the_first(writer: sqlite3.Connection) -> None:
    empty(writer)
    roll_back(writer)


def commit_over_leftovers(writer: sqlite3.Connection) -> None:
    roll_back(writer)
    commit(writer)


def no_wal(writer: sqlite3.Connection) -> None:
    writer.execute("PRAGMA journal_mode = DELETE")
    commit(writer)


@pytest.mark.parametrize(
    "act",
    [
        *(nothing, commit, empty, begin_anew, filled, roll_back, roll_back_the_first),
        *(commit_over_leftovers, no_wal),
    ],
)
@pytest.mark.parametrize("opened", ["before", "after", "alone"])
def test_whatever_a_writer_does_an_answer_is_not_behind(path: Path, act: Act, opened: str) -> None:
    create(path)
    row = new_id("aaaaaaaa")
    database = SqliteTopologies(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO topologies (id) VALUES (?)", (row,))
        writer.execute("CREATE TABLE attacks (detail TEXT)")
        if opened == "before" and act is not no_wal:  # which nobody else may have open
            database.ask([])
        act(writer)
        if opened == "alone":
            writer.close()
        for _ in range(2):
            answer = database.ask(["aaaaaaaa"])
            assert answer.ids == {row}
            assert answer.behind == ""


def test_a_busy_writer_does_not_make_it_behind(
    database: SqliteTopologies, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "LOOK_AGAIN", 0.0)
    rows.execute("PRAGMA wal_autocheckpoint = 10")
    noise = threading.Thread(target=rows.noise, args=(1500,))
    noise.start()
    said = set()
    while noise.is_alive():
        said.add(database.ask(["aaaaaaaa"]).behind)
    assert said == {""}


# The log and -shm, each at a moment of its own.


Act = Callable[[sqlite3.Connection], None]


@pytest.fixture
def moments(tmp_path: Path) -> Iterator[Callable[[Act, Act], tuple[Path, Path]]]:
    """Copies: of -shm, and of -wal as it was when more had been done."""
    with ExitStack() as stack:

        def take(first: Act, then: Act) -> tuple[Path, Path]:
            database = tmp_path / "decnet.db"
            create(database)
            writer = stack.enter_context(closing(sqlite3.connect(database, isolation_level=None)))
            writer.execute("CREATE TABLE attacks (detail TEXT)")
            first(writer)
            shm, log = tmp_path / "shm", tmp_path / "wal"
            shutil.copyfile(f"{database}-shm", shm)
            then(writer)
            shutil.copyfile(f"{database}-wal", log)
            return shm, log

        yield take


def unseen(shm: Path, log: Path) -> bool:
    with shm.open("rb") as one, log.open("rb") as other:
        return wal.unseen(one.fileno(), other.fileno())


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "LOOK_AGAIN", 0.0)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("then", [commit, empty, begin_anew])
def test_a_log_that_has_more_than_shared_memory_shows_has_an_unseen_writer(
    moments: Callable[[Act, Act], tuple[Path, Path]], then: Act
) -> None:
    assert unseen(*moments(commit, then))


@pytest.mark.usefixtures("_at_once")
def test_a_commit_that_is_being_written_is_no_sign(
    moments: Callable[[Act, Act], tuple[Path, Path]],
) -> None:
    """As while it waits for the disk: the log has it, and shared memory gets it next."""
    shm, log = moments(commit, commit)
    with shm.open("r+b") as locked:
        fcntl.lockf(locked, fcntl.LOCK_EX, 1, 120)
        holder = os.fork()
        if holder == 0:
            os._exit(unseen(shm, log))
        assert os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]) == 0
    assert unseen(shm, log)


@pytest.mark.usefixtures("_at_once")
def test_a_commit_that_does_not_follow_what_shared_memory_shows_is_no_sign(
    moments: Callable[[Act, Act], tuple[Path, Path]],
) -> None:
    shm, log = moments(commit, commit)
    content = bytearray(log.read_bytes())
    content[-1] ^= 1
    log.write_bytes(content)
    assert not unseen(shm, log)


@pytest.mark.usefixtures("_at_once")
def test_a_log_that_is_to_be_begun_anew_is_no_sign(
    moments: Callable[[Act, Act], tuple[Path, Path]],
) -> None:
    """Its writer ended after it had said so in shared memory, and before it wrote the log."""
    shm, log = moments(commit, nothing)
    content = bytearray(shm.read_bytes())
    (salt,) = struct.unpack_from(">I", content, 32)
    struct.pack_into("=I", content, 16, 0)
    struct.pack_into(">II", content, 32, (salt + 1) % 2**32, 1)
    shm.write_bytes(content)
    assert not unseen(shm, log)
