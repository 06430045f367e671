"""A SQLite file that another process writes, and our connections to it.

A connection goes on answering from the files that it opened, whatever their names stand for by now:
after a swap, or with the ``-wal`` and ``-shm`` files deleted under it, it answers old data for ever
and without an error. So whoever asks has the device and inode of all three compared before and
after with those that were seen first. Another database file is no answer for good. Another ``-wal``
or ``-shm`` is none until all our connections are closed, for they share what they hold; those
opened then see the truth, and since nobody knows what happened in between, a new *generation*
begins.

In WAL mode two processes see each other's commits through shared memory, which ends at a FUSE mount
and at another host. So a file that lies on such a mount is not even opened: SQLite, finding nobody
whose locks it sees, would empty the ``-shm`` that the writer uses. A writer who came through one
himself is found out by what he leaves in the log (:mod:`~listener.databases.sqlite.wal`).

They are opened read-only. SQLite would otherwise copy what its ``-wal`` holds into the database as
the last connection closes, even from a deleted one and into a database that was restored since.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from listener.databases.mounts import file_system
from listener.databases.sqlite import wal
from listener.databases.sqlite.inode import FileId, descriptor, status_of
from listener.errors import NoAnswer

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock; in WAL mode a reader hardly ever waits."""

LINGER = 600.0
"""Seconds for which answers may be behind after a commit was seen that shared memory does not show:
what the kernel writes back of another memory reaches ours half a minute later, and piece by piece.
"""

_NONE = FileId(0, 0, 0)
_CHANGE_COUNTER = slice(24, 28)
"""Where the header has it (SQLite's file format, 1.3.7). In WAL mode it grows as the database does,
and shows up here at a checkpoint; it never goes back."""
_FORM = 19
"""Where the header tells in which form the file is read."""
_WAL = 2
_HEADER = 100
_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "afs", "coda"),
        *("fuse", "virtiofs", "fakeowner", "vboxsf", "prl_fs"),
    }
)
"""Types of file systems whose files others may write without sharing memory with us: networks, what
a virtual machine sees of its host, and all of FUSE's but ``fuseblk``. That has a device of its own,
which no other mount can show; the rest pass on what lies elsewhere."""


def beside(database: Path) -> Mapping[str, Path]:
    """By suffix, the files that SQLite makes beside a database, whether there are any or not."""
    real = os.path.realpath(database)
    return {suffix: Path(real + suffix) for suffix in ("-wal", "-shm")}


def kind_without_shared_memory(database: Path) -> str:
    """The type of the file system that it lies on, if a writer need not share memory with us."""
    kind = file_system(database)
    return kind if kind in _REMOTE or kind.startswith("fuse.") else ""


class Header(NamedTuple):
    """What the database's header tells."""

    changes: int
    """How far the database has come; 0 where there is no header yet."""
    in_wal: bool


class _Connection(sqlite3.Connection):
    """A connection that can be asked whether it is open: one that is closed forgets itself."""

    opened: weakref.WeakSet[_Connection]

    def close(self) -> None:
        super().close()
        self.opened.discard(self)


class DatabaseFile:
    """One SQLite file, with the two beside it.

    Args:
        path: the file.
        no_answer: makes the error that says why the file cannot be asked.
        traceless: make no file that is not there, by which an answer may be older; for who only
            looks.
        clock: seconds, monotonic.

    Attributes:
        engine: a pool of connections.
        id: the file that the path named first.
        generation: grows when something happened to the file that nobody could follow.
        outdated: the connections that are open answer old data.
    """

    def __init__(
        self,
        path: Path,
        no_answer: Callable[[str | Exception], NoAnswer],
        *,
        traceless: bool,
        clock: Callable[[], float],
    ) -> None:
        self.path = path.absolute()
        self.no_answer = no_answer
        self.id = _NONE
        self.generation = 0
        self.outdated = False
        self._traceless = traceless
        self._clock = clock
        self._lock = threading.Lock()  # guards what is known of the files
        self._paths_beside: Mapping[str, Path] = {}
        self._beside: dict[str, FileId] = {}
        self._kind: str | None = None  # of file system
        self._misses_until = 0.0
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self.engine = sa.create_engine(
            "sqlite://", creator=self.connect, poolclass=sa.pool.QueuePool, pool_size=8
        )

    def connect(self) -> sqlite3.Connection:
        """A new connection to the file, which is never created by it.

        Raises:
            NoAnswer: there is no such file, or not the one that was there before.
            sqlite3.Error: SQLite cannot open it.
        """
        self.check()
        if self.header().in_wal:
            self.check_shared_memory()
        immutable = "&immutable=1" if self._traceless and self._at_rest() else ""
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=ro{immutable}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.opened = self._opened
        self._opened.add(connection)
        try:
            self.check()
        except BaseException:
            connection.close()
            raise
        return connection

    def _at_rest(self) -> bool:
        """Whether nobody has it open, so that a reader would make files of its own.

        Raises:
            NoAnswer: what somebody wrote before would have to be recovered.
        """
        log, shm = beside(self.path).values()
        if shm.exists():
            return False
        with suppress(FileNotFoundError):
            if log.stat().st_size:
                raise self.no_answer("has a -wal file without its -shm; let DECNET open it first")
        return True

    def check(self) -> None:
        """See that the path still names the files that it named first.

        Raises:
            NoAnswer: it does not.
        """
        with self._lock:
            found = self._find()
            if self.id == _NONE:
                self.id, self._paths_beside = found, beside(self.path)
            elif found != self.id:
                raise self.no_answer(
                    "is not the file that it was; put the old one back, or restart the listener if"
                    " this one is right"
                )
            self._check_beside()

    def _check_beside(self) -> None:
        found: dict[str, FileId] = {}
        for suffix, path in self._paths_beside.items():
            try:
                found[suffix] = status_of(path).id
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self.no_answer(error) from error
        # Remembered until they are closed: a file's number is soon given to another one.
        self.outdated |= any(found.get(suffix) != file for suffix, file in self._beside.items())
        if self.outdated:
            self.engine.dispose()
            if self._opened:
                raise self.no_answer("lost its -wal or -shm file; its connections are made anew")
            self.outdated = False
            self.generation += 1
        self._beside = found

    def _find(self) -> FileId:
        try:
            found = status_of(self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.no_answer(
                "does not exist; give DECNET's database, or make one with topology-reaper init-db"
            ) from error
        except (OSError, ValueError) as error:
            raise self.no_answer(error) from error
        if not stat.S_ISREG(found.mode):
            kind = "folder" if stat.S_ISDIR(found.mode) else "device"
            raise self.no_answer(f"is a {kind}; give the file itself")
        if found.mounted:
            raise self.no_answer(
                "is mounted without its folder, and so without the -wal file, in which new rows"
                " stand; mount the folder"
            )
        return found.id

    def header(self) -> Header:
        """What the file's header tells; to be asked after :meth:`check`.

        Raises:
            NoAnswer: the file was swapped just now.
        """
        try:
            header = os.pread(descriptor(self.id, self.path), _HEADER, 0).ljust(_HEADER, b"\0")
        except (OSError, KeyError) as error:
            raise self.no_answer(error) from error
        return Header(int.from_bytes(header[_CHANGE_COUNTER]), header[_FORM] == _WAL)

    def check_shared_memory(self) -> None:
        """See that whoever shares this file, which is in WAL mode, shares memory as well.

        Raises:
            NoAnswer: they need not.
        """
        if self._kind is None:
            self._kind = kind_without_shared_memory(self.path)
        if self._kind:
            raise self.no_answer(
                f"is in WAL mode and lies on {self._kind}, where a reader need not share memory"
                " with the writer and then misses its commits; run on the host that DECNET runs"
                " on, and give the path on its local file system"
            )

    def misses_commits(self) -> bool:
        """Whether the writer commits what we do not see; to be asked in a transaction.

        Raises:
            NoAnswer: the files were swapped just now.
        """
        if not (self._opened and self.header().in_wal):
            return False
        now = self._clock()
        if now < self._misses_until:
            return True
        if self._beside.keys() != self._paths_beside.keys():
            self.check()  # our connection has made them since, or somebody's
        log, shm = (self._beside.get(suffix) for suffix in self._paths_beside)
        if shm is None:
            return False  # it is read as it is, and nobody else has it open
        log_path, shm_path = self._paths_beside.values()
        try:
            in_log = None if log is None else descriptor(log, log_path)
            if not wal.unseen(descriptor(shm, shm_path), in_log):
                return False
        except (OSError, KeyError) as error:
            raise self.no_answer(error) from error
        self._misses_until = now + LINGER
        return True
