"""Asking real SQLite files which topologies have a row."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from listener.databases.base import BATCH, rows_with, table
from listener.databases.sqlite.feed import SqliteFeed
from listener.databases.sqlite.file import Header
from listener.databases.sqlite.inode import FileId
from listener.databases.sqlite.table import SqliteTopologies, create
from listener.errors import ConfigurationError, NoAnswer
from tests.support.decnet import new_id
from tests.support.follower import Follower
from tests.support.rows import Rows

DIGITS = "0123456789abcdef"
MakeRows = Callable[[Path], Rows]
Follow = Callable[[SqliteFeed], Follower]


def live(database: SqliteTopologies, *prefixes: str) -> set[str]:
    """Those of the prefixes that have a row."""
    answer = database.ask(prefixes)
    assert answer.prefixes == set(prefixes)
    return {prefix for prefix in prefixes if answer.live(prefix)}


# Ranges.


def test_a_prefix_ending_in_any_digit_is_judged_rightly(
    database: SqliteTopologies, rows: Rows
) -> None:
    for prefix in [*(f"1234567{digit}" for digit in DIGITS), "00000000", "ffffffff", "fffffff9"]:
        first = f"{prefix}-0000-0000-0000-000000000000"
        last = f"{prefix}-ffff-ffff-ffff-ffffffffffff"
        number = int(prefix, 16)
        neighbours = {f"{n:08x}" for n in (number - 1, number + 1) if 0 <= n < 16**8}
        rows.execute("DELETE FROM topologies")
        rows.insert(*(new_id(neighbour) for neighbour in neighbours))
        assert live(database, prefix, *neighbours) == neighbours
        for id_ in (first, last):
            rows.insert(id_)
            assert database.ask([prefix]).ids == {id_}
            rows.delete(id_)


def test_many_prefixes_are_asked_for_in_batches_and_every_one_is_answered(
    database: SqliteTopologies, rows: Rows
) -> None:
    generator = random.Random(1)
    chosen = sorted({f"{generator.getrandbits(32):08x}" for _ in range(3 * BATCH + 7)})
    there = chosen[::2]
    rows.insert(*map(new_id, there))
    assert live(database, *chosen) == set(there)
    for count in (BATCH - 1, BATCH, BATCH + 1):
        assert live(database, *chosen[:count]) == set(there) & set(chosen[:count])


def test_two_topologies_with_one_prefix_are_both_answered(
    database: SqliteTopologies, rows: Rows
) -> None:
    one, two = new_id("aaaaaaaa"), new_id("aaaaaaaa")
    rows.insert(one, two)
    assert database.ask(["aaaaaaaa"]).ids == {one, two}
    rows.delete(one)
    answer = database.ask(["aaaaaaaa"])
    assert [answer.live(owner) for owner in (one, two, "aaaaaaaa")] == [False, True, True]


@pytest.mark.parametrize("status", ["torn_down", None])
def test_a_row_of_any_status_is_life(database: SqliteTopologies, rows: Rows, status: str) -> None:
    rows.insert(new_id("aaaaaaaa"), status=status)
    assert live(database, "aaaaaaaa") == {"aaaaaaaa"}


@pytest.mark.parametrize("declaration", ["TEXT COLLATE NOCASE PRIMARY KEY", "TEXT PRIMARY KEY"])
def test_a_row_in_capitals_is_life_wherever_the_database_finds_it(
    open_rows: MakeRows, path: Path, database: SqliteTopologies, declaration: str
) -> None:
    writer = open_rows(path)
    writer.execute(f"CREATE TABLE topologies (id {declaration})")
    # With a collation that tells capitals apart, only digits are found under either case.
    prefix = "aaaaaaaa" if "NOCASE" in declaration else "12345679"
    row = f"{prefix}-abcd-4000-8000-abcdefabcdef"
    writer.execute("INSERT INTO topologies VALUES (?)", row.upper())
    assert database.ask([prefix]).ids == {row}
    assert database.ask([prefix]).live(row)


@pytest.mark.parametrize("count", [1, BATCH])
def test_a_question_searches_the_primary_key_and_never_scans(
    rows: Rows, database: SqliteTopologies, count: int
) -> None:
    generator = random.Random(count)
    rows.insert(*(new_id() for _ in range(1000)))
    rows.execute("ANALYZE")
    prefixes = [f"{generator.getrandbits(32):08x}" for _ in range(count)]
    statement, parameters = rows_with(prefixes, table())
    with database.reading() as reading:
        compiled = statement.params(parameters).compile(
            reading.connection, compile_kwargs={"literal_binds": True}
        )
        plan = [
            row[-1] for row in reading.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        ]
    searches = [step for step in plan if step.startswith("SEARCH topologies USING")]
    assert len(searches) == count
    assert all("INDEX sqlite_autoindex_topologies_1 (id>? AND id<?)" in step for step in searches)
    assert not any("SCAN" in step for step in plan)


# What an answer is.


def test_one_answer_is_read_from_one_moment(
    database: SqliteTopologies, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [f"{n:08x}" for n in range(BATCH + 1)]
    rows.insert(*map(new_id, chosen))
    execute = sa.Connection.execute
    deleted: list[int] = []

    def delete_then_read(self: sa.Connection, *question: Any) -> sa.CursorResult[Any]:
        found = execute(self, *question)
        if not deleted:
            deleted.append(rows.execute("DELETE FROM topologies"))
        return found

    monkeypatch.setattr(sa.Connection, "execute", delete_then_read)
    assert live(database, *chosen) == set(chosen)
    assert live(database, *chosen) == set()


def test_an_answer_is_no_younger_than_what_it_was_read_from(
    path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.insert(new_id("aaaaaaaa"))
    now = [100.0]

    scalars = sa.Connection.scalars

    def read_and_be_stopped(self: sa.Connection, *question: Any) -> sa.ScalarResult[str]:
        """Read, and then go on a minute later, as a process does that got SIGSTOP."""
        found = scalars(self, *question)
        now[0] += 60.0
        return found

    monkeypatch.setattr(sa.Connection, "scalars", read_and_be_stopped)
    assert SqliteTopologies(path, clock=lambda: now[0]).ask(["aaaaaaaa"]).at == 100.0


def test_questions_may_be_asked_from_many_threads(database: SqliteTopologies, rows: Rows) -> None:
    rows.insert(new_id("aaaaaaaa"))
    right: list[bool] = []

    def ask() -> None:
        right.extend(live(database, "aaaaaaaa", "bbbbbbbb") == {"aaaaaaaa"} for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 12 * 20


# Journal modes, and the owner's writes.


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_every_journal_mode_is_answered_while_its_owner_goes_on_writing(
    open_rows: MakeRows, path: Path, database: SqliteTopologies, mode: str
) -> None:
    writer = open_rows(path)
    writer.execute(f"PRAGMA journal_mode = {mode}")
    writer.create_table()
    for n in range(1, 6):
        writer.insert(new_id(f"{n:08x}"))
        assert len(live(database, *(f"{m:08x}" for m in range(9)))) == n
    assert writer.execute("DELETE FROM topologies") > 0
    assert live(database, "00000001") == set()


def test_we_write_nothing_ourselves(database: SqliteTopologies, rows: Rows) -> None:
    rows.insert(new_id("aaaaaaaa"))
    with pytest.raises(NoAnswer, match="opened by its writer"), database.reading() as reading:
        reading.connection.exec_driver_sql("DELETE FROM topologies")
    assert live(database, "aaaaaaaa") == {"aaaaaaaa"}


def test_wal_and_its_shared_memory_stay_the_owners_when_we_have_asked(
    database: SqliteTopologies, rows: Rows, path: Path
) -> None:
    rows.insert(new_id("aaaaaaaa"))
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
    before = [file.stat().st_ino for file in beside]
    for _ in range(3):
        assert live(database, "aaaaaaaa") == {"aaaaaaaa"}
    assert [file.stat().st_ino for file in beside] == before
    rows.insert(new_id("bbbbbbbb"))
    assert live(database, "bbbbbbbb") == {"bbbbbbbb"}


# What is no answer.


def refusal(database: SqliteTopologies) -> str:
    with pytest.raises(NoAnswer) as caught:
        database.ask(["aaaaaaaa"])
    text = str(caught.value)
    assert text.startswith(f"--database-url: the SQLite file {database.file.path} ")
    assert "\n" not in text
    return text


def test_a_file_that_does_not_exist_is_no_answer_and_is_not_created(
    database: SqliteTopologies, path: Path
) -> None:
    for _ in range(3):
        assert "does not exist" in refusal(database)
    with pytest.raises(NoAnswer):
        database.file.connect()
    assert list(path.parent.iterdir()) == []


def test_a_file_that_vanishes_right_before_it_is_opened_is_not_created(
    database: SqliteTopologies, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.file, "_find", lambda: FileId(1, 2, 3))
    monkeypatch.setattr(database.file, "header", lambda: Header(0, in_wal=False))
    assert "may not be used" in refusal(database)
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.touch(), "has no table 'topologies'"),
        (lambda path: path.write_bytes(b"no database at all" * 100), "is not a SQLite database"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is a device"),
        (lambda path: path.symlink_to(path.with_name("nowhere")), "does not exist"),
    ],
)
def test_what_is_no_database_is_no_answer_and_stays_as_it_is(
    database: SqliteTopologies, path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(path)
    before = path.lstat()
    assert said in refusal(database)
    assert said in refusal(database)
    assert (path.lstat().st_ino, path.lstat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_mounted_without_its_folder_is_no_answer(path: Path, link: bool) -> None:
    create(path)
    asked = path.with_name("link.db") if link else path
    if link:
        asked.symlink_to(path)
    ask = "import pathlib, sys; from listener.databases.sqlite.table import SqliteTopologies as T"
    ask += "; print(T(pathlib.Path(sys.argv[1])).ask([]))"
    mounted = 'mount --bind "$0" "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, path, sys.executable, "-c", ask, asked],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "NoAnswer" in done.stderr
    assert "mount the folder" in done.stderr


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("CREATE TABLE other (id TEXT)", "has no table 'topologies'"),
        ("CREATE TABLE topologies (uuid TEXT)", "without a column 'id'"),
    ],
)
def test_a_database_that_is_not_decnets_is_no_answer(
    open_rows: MakeRows, path: Path, database: SqliteTopologies, schema: str, said: str
) -> None:
    open_rows(path).execute(schema)
    assert said in refusal(database)
    with pytest.raises(NoAnswer):
        database.ask([])


def test_a_database_that_stays_locked_is_no_answer(
    open_rows: MakeRows, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.databases.sqlite.file.BUSY_TIMEOUT", 0.01)
    writer = open_rows(path)
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.create_table()
    database = SqliteTopologies(path)
    assert live(database, "aaaaaaaa") == set()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in refusal(database)
        other.execute("ROLLBACK")
    assert live(database, "aaaaaaaa") == set()


def test_a_table_that_goes_is_no_answer_and_one_that_is_made_again_is_another(
    database: SqliteTopologies, rows: Rows
) -> None:
    rows.insert(new_id("aaaaaaaa"))
    before = database.ask(["aaaaaaaa"]).identity
    assert database.ask(["aaaaaaaa"]).identity == before
    rows.noise(3)
    rows.execute("DELETE FROM topologies")
    assert database.ask(["aaaaaaaa"]).identity == before
    rows.execute("DROP TABLE topologies")
    assert "has no table" in refusal(database)
    rows.execute("CREATE TABLE topologies (id TEXT PRIMARY KEY)")
    assert database.ask(["aaaaaaaa"]).identity != before


def test_a_table_that_is_emptied_is_the_same_and_one_that_was_restored_over_it_another(
    database: SqliteTopologies, rows: Rows, path: Path
) -> None:
    """What the command .restore of SQLite's shell does: the file stays, its content does not."""
    rows.insert(new_id("aaaaaaaa"))
    with (
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(path.with_name("backup.db"))) as backup,
    ):
        source.backup(backup)
        before = database.ask(["aaaaaaaa"])
        rows.execute("DELETE FROM topologies")
        emptied = database.ask(["aaaaaaaa"])
        assert (emptied.ids, emptied.identity) == (frozenset(), before.identity)
        assert emptied.generation == before.generation
        backup.backup(source)
    restored = database.ask(["aaaaaaaa"])
    assert restored.ids == before.ids
    assert restored.identity != before.identity


# Files that move.


def test_a_file_that_is_moved_away_is_no_answer_until_it_is_back(
    database: SqliteTopologies, rows: Rows, path: Path
) -> None:
    row = new_id("aaaaaaaa")
    rows.insert(row)
    before = database.ask(["aaaaaaaa"])
    away = path.with_name("away")
    path.rename(away)
    for _ in range(3):
        assert "does not exist" in refusal(database)
    assert not path.exists()
    away.rename(path)
    after = database.ask(["aaaaaaaa"])
    assert after.ids == before.ids
    assert after.identity == before.identity
    rows.delete(row)
    assert live(database, "aaaaaaaa") == set()


@pytest.mark.parametrize("reconnect", [False, True])
def test_another_file_in_its_place_is_no_answer_however_often_it_is_opened(
    database: SqliteTopologies, rows: Rows, path: Path, reconnect: bool
) -> None:
    row = new_id("aaaaaaaa")
    rows.insert(row)
    identity = database.ask(["aaaaaaaa"]).identity
    old, new = path.with_name("old"), path.with_name("new")
    create(new)
    path.rename(old)
    new.rename(path)
    for _ in range(3):
        if reconnect:  # as a feed does whose file was swapped
            with pytest.raises(NoAnswer, match="not the file that it was"):
                database.file.connect()
        assert "is not the file that it was" in refusal(database)
    old.replace(path)
    answer = database.ask(["aaaaaaaa"])
    assert answer.ids == {row}
    assert answer.identity == identity


def test_a_file_that_is_swapped_during_a_question_is_no_answer(
    database: SqliteTopologies, rows: Rows, path: Path
) -> None:
    rows.insert(new_id("aaaaaaaa"))
    other = path.with_name("other")
    create(other)

    def ask_and_swap() -> None:
        with database.reading() as reading:
            reading.connection.scalars(*rows_with(["aaaaaaaa"], table())).all()
            other.replace(path)

    with pytest.raises(NoAnswer, match="not the file that it was"):
        ask_and_swap()


@pytest.mark.parametrize("name", ["%41 ü#y.db", "q?mode=memory"])
def test_a_file_of_any_name_is_the_one_that_is_asked(
    tmp_path: Path, open_rows: MakeRows, name: str
) -> None:
    writer = open_rows(tmp_path / name)
    writer.create_table()
    writer.insert(new_id("aaaaaaaa"))
    assert live(SqliteTopologies(tmp_path / name), "aaaaaaaa", "bbbbbbbb") == {"aaaaaaaa"}


# Making one.


def test_a_new_database_can_be_asked_and_is_in_wal_mode(path: Path) -> None:
    create(path)
    assert live(SqliteTopologies(path), "aaaaaaaa") == set()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("INSERT INTO topologies (id) VALUES ('aaaaaaaa-')")


@pytest.mark.parametrize("content", [b"", b"something"])
def test_a_file_that_exists_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="exists already"):
        create(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("followed", [False, True], ids=["asked", "asked-and-followed"])
def test_what_was_deleted_beside_the_database_gives_no_old_answers(
    path: Path, open_rows: MakeRows, follow: Follow, followed: bool
) -> None:
    """SQLite itself goes on reading the deleted -wal, without an error and for ever."""
    before, after = new_id("aaaaaaaa"), new_id("bbbbbbbb")
    writer = open_rows(path)
    writer.create_table()
    writer.insert(before)
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database = SqliteTopologies(path)
    follower = follow(SqliteFeed(database.file, 0.05)) if followed else None
    generation = database.ask(["aaaaaaaa"]).generation
    writer.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    open_rows(path).insert(after)
    if follower is not None:
        # Its connection was the last of the old ones.
        assert "made anew" in str(follower.await_end(NoAnswer))
    answer = database.ask(["aaaaaaaa", "bbbbbbbb"])
    assert answer.ids == {before, after}
    assert answer.generation > generation, "what happened in between, nobody saw"
    assert database.ask(["bbbbbbbb"]).generation == answer.generation


@pytest.mark.parametrize(("first", "followed"), [("copied", True), ("deleted", False)])
def test_a_backup_that_is_copied_over_the_database_is_read_and_stays_as_it_is(
    path: Path, open_rows: MakeRows, follow: Follow, followed: bool, first: str
) -> None:
    """SQLite would write what its deleted -wal holds into the restored file, on closing it."""
    ids = {new_id() for _ in range(300)}
    backup = path.with_name("backup.db")
    with open_rows(path) as writer:
        writer.create_table()
        writer.insert(*ids)
    shutil.copyfile(path, backup)
    database = SqliteTopologies(path)
    follower = follow(SqliteFeed(database.file, 0.05)) if followed else None
    assert database.ask([id_[:8] for id_ in ids]).ids == ids
    with open_rows(path) as writer:
        writer.delete(*ids)
    assert database.ask([id_[:8] for id_ in ids]).ids == set()
    if first == "copied":
        shutil.copyfile(backup, path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    if first == "deleted":
        shutil.copyfile(backup, path)
    if follower is not None:
        assert "made anew" in str(follower.await_end(NoAnswer))
    assert database.ask([id_[:8] for id_ in ids]).ids == ids
    database.close()
    assert path.read_bytes() == backup.read_bytes()


def test_a_question_under_way_does_not_keep_the_deleted_files_in_use(
    path: Path, open_rows: MakeRows
) -> None:
    writer = open_rows(path)
    writer.create_table()
    writer.insert(new_id("aaaaaaaa"))
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database = SqliteTopologies(path)
    gc.disable()
    try:
        with contextlib.suppress(NoAnswer), database.reading():
            writer.close()
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink()
            with pytest.raises(NoAnswer, match="made anew"):
                database.ask(["aaaaaaaa"])
        assert live(database, "aaaaaaaa") == {"aaaaaaaa"}
    finally:
        gc.enable()


def test_what_is_deleted_stays_open_no_longer_than_somebody_else_has_it_open(
    path: Path, open_rows: MakeRows
) -> None:
    def opened() -> int:
        entries = [entry for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
        return sum(str(entry.readlink()) == f"{path}-shm (deleted)" for entry in entries)

    def ask(database: Path) -> None:
        with closing(SqliteTopologies(database)) as topologies:
            topologies.ask(["aaaaaaaa"])

    for _ in range(3):  # its end, as the last, deletes what lies beside the database
        with open_rows(path) as writer:
            writer.create_table()
            ask(path)
    ask(path)
    assert opened() == 0

    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM topologies").fetchall()
        path.with_name(f"{path.name}-shm").unlink()
        with open_rows(path.with_name("other.db")) as writer:
            writer.create_table()
            ask(path.with_name("other.db"))
        assert opened() == 2, "to close ours would drop the locks of the other connection"
