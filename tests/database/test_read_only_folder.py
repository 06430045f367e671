"""A SQLite file in a folder that its owner may not write, while its writer is stopped and runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from listener.databases.sqlite.table import SqliteTopologies
from listener.errors import NoAnswer
from tests.support.forked import CONTEXT
from tests.support.rows import Rows, become
from tests.support.sandbox import strict

OWNER = 27017
FOLDER = "/opt/decnet"
DATABASE = f"{FOLDER}/decnet.db"


@pytest.fixture
def root() -> Iterator[Path]:
    """A scratch root with the owner's folder, on a path that anybody may walk."""
    root = Path(tempfile.mkdtemp(prefix="decnet-"))
    root.chmod(0o755)
    (root / "opt/decnet").mkdir(parents=True)
    os.chown(root / "opt/decnet", OWNER, OWNER)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def rows(root: Path) -> Iterator[Rows]:
    """The table, written by its owner."""
    with Rows(root / "opt/decnet/decnet.db", user=OWNER) as writer:
        writer.create_table()
        yield writer


def asked(root: Path, *writable: str) -> str:
    """Why its owner, with these folders writable, gets no answer; empty if he gets one."""
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=_ask, args=(strict(root, *writable), theirs), daemon=True)
    child.start()
    theirs.close()
    said = str(ours.recv())
    child.join()
    return said


def _ask(confine: Callable[[], None], pipe: Connection) -> None:
    confine()
    become(OWNER)
    try:
        with closing(SqliteTopologies(Path(DATABASE))) as topologies:
            topologies.ask([])
    except NoAnswer as error:
        pipe.send(str(error))
    else:
        pipe.send("")


def test_its_owner_is_told_what_to_let_him_write(root: Path, rows: Rows) -> None:
    rows.close()
    said = asked(root)
    assert f"for uid {OWNER} may not write {FOLDER}, where SQLite then makes -wal and -shm" in said
    assert f"; let this process write there, by ReadWritePaths={FOLDER} in a unit" in said
    assert "owner" not in said
    assert asked(root, FOLDER) == ""


def test_a_writer_that_runs_is_read_all_the_same(root: Path, rows: Rows) -> None:
    assert rows
    assert asked(root) == ""


def test_a_folder_of_another_user(root: Path, rows: Rows) -> None:
    rows.close()
    os.chown(root / "opt/decnet", 0, 0)
    said = asked(root, FOLDER)
    assert f"may not write {FOLDER}, where SQLite then makes" in said
    assert f"; chown {OWNER} {FOLDER}, and run as that user" in said


def test_a_file_that_its_owner_may_not_read(root: Path, rows: Rows) -> None:
    rows.close()
    (root / "opt/decnet/decnet.db").chmod(0)
    said = asked(root, FOLDER)
    assert f"may not be read by its owner, uid {OWNER}; chmod u+rw {DATABASE}" in said
