"""Topologies in a SQLite file that another process writes.

A connection goes on answering from the files that it opened, whatever their names stand for by now:
after a swap, or with the ``-wal`` and ``-shm`` files deleted under it, it answers old data for ever
and without an error. So before and after each question the device and inode of all three are
compared with those that were seen first. Another database file is no answer for good. Another
``-wal`` or ``-shm`` is none until all our connections are closed, for they share what they hold;
those opened then see the truth, and since nobody knows what happened in between, the table counts
as another incarnation. The same goes for a file that was overwritten with an older state of itself,
which shows in the change counter of its header.

They are opened read-only. SQLite would otherwise copy what its ``-wal`` holds into the database as
the last connection closes, even from a deleted one and into a database that was restored since. And
they are never closed by anything but SQLite: closing any other descriptor of them would drop the
locks that SQLite holds for the whole process. The one by which the header is read stays open.
"""

from __future__ import annotations

import ctypes
import os
import re
import sqlite3
import stat
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from listener.database import files
from listener.database.feeds import Feed
from listener.database.feeds.sqlite import SqliteFeed
from listener.database.topologies import (
    BATCH,
    TABLE,
    Reading,
    Topologies,
    table,
    upper_bound,
)
from listener.errors import ConfigurationError
from listener.findings import Finding, ok, warning

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock; in WAL mode a reader hardly ever waits."""

SCHEMA = f"""
CREATE TABLE {TABLE} (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    status TEXT NOT NULL DEFAULT 'pending'
)
"""

_File = tuple[int, int, int]
"""Device, inode and, in nanoseconds, time of birth: the number of a file that was removed is soon
given to another one. 0 where the file system does not keep it."""
NO_FILE = (0, 0, 0)
_LIBC = ctypes.CDLL(None)
_AT_FDCWD, _STATX_BTIME, _STATX_ATTR_MOUNT_ROOT = -100, 0x800, 0x2000
_CHANGE_COUNTER = slice(24, 28)
"""Where the header has it (SQLite's file format, 1.3.7). In WAL mode it grows as the database does,
and shows up here at a checkpoint; it never goes back."""
_FORM = 19
"""Where the header tells in which form the file is read; 2 is WAL."""
_headers: dict[_File, int] = {}
"""By file, a descriptor that is never closed."""


class _Connection(sqlite3.Connection):
    """A connection that can be asked whether it is open: one that is closed forgets itself."""

    opened: weakref.WeakSet[_Connection]

    def close(self) -> None:
        super().close()
        self.opened.discard(self)


class SqliteTopologies(Topologies):
    """The table in one SQLite file.

    Args:
        path: the file.
        clock: seconds, monotonic.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path.absolute()
        super().__init__(f"the SQLite file {self.path}", clock)
        self._lock = threading.Lock()  # guards what is known of the files
        self._database: _File | None = None
        self._paths_beside: Mapping[str, Path] = {}
        self._beside: dict[str, _File] = {}
        self._outdated = False
        self._generation = 0
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._engine = sa.create_engine(
            "sqlite://", creator=self.connect, poolclass=sa.pool.QueuePool, pool_size=8
        )

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A new transaction; every error inside comes out as NoAnswer."""
        aspect = "reachable"
        try:
            self.check_file()
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
                _, inode, born = file = self._database or NO_FILE
                # Not the device, whose number may be another one after a reboot.
                identity = f"{self.path} {inode} of {born} schema {version}"
                position = int.from_bytes(self._header(file)[_CHANGE_COUNTER])
                aspect = "table"
                try:
                    yield Reading(connection, identity, table(), self._generation, position)
                finally:
                    if self._outdated:
                        connection.invalidate()  # the pool that it came from is gone
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            self.check_file()
            raise self.no_answer(error, aspect) from error
        self.check_file()

    def upgraded(self, identity: str) -> str:
        """Without the number of the device, which the release before wrote down as well."""
        return re.sub(r" \d+:(\d+ of \d+ schema \d+)$", r" \1", identity)

    def committed_at(self) -> float | None:
        """When the last commit was written: the file's time, or that of its ``-wal``."""
        moments = []
        for path in (self.path, files.beside(self.path)["-wal"]):
            with suppress(OSError):
                moments.append(path.stat().st_mtime)
        return max(moments, default=None)

    def glance(self, connection: sqlite3.Connection) -> object:
        """What an answer about this host's topologies is made of, at a fraction of its price.

        It is equal to an earlier one if the answer would be, and decides nothing else.

        Args:
            connection: open, and nobody else uses it.

        Raises:
            NoAnswer: the file was swapped just now.
        """
        if self.interest is None:
            return object()  # equal to nothing
        prefixes = sorted(self.interest())
        ids: set[str] = set()
        try:
            for start in range(0, len(prefixes), BATCH):
                batch = prefixes[start : start + BATCH]
                ranges = " OR ".join(["id >= ? AND id < ?"] * len(batch))
                bounds = [bound for prefix in batch for bound in (prefix, upper_bound(prefix))]
                found = connection.execute(f"SELECT id FROM {TABLE} WHERE {ranges}", bounds)  # noqa: S608
                ids.update(id_ for (id_,) in found)
            (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error:
            return object()
        position = self._header(self._database or NO_FILE)[_CHANGE_COUNTER]
        return prefixes, ids, schema, self._generation, position

    def push(self, *, look_every: float, check_every: float) -> Feed:  # noqa: ARG002
        """The feed of commits to the file."""
        return SqliteFeed(self, look_every)

    def connect(self) -> sqlite3.Connection:
        """A new connection to the file, which is never created by it.

        Raises:
            NoAnswer: there is no such file, or not the one that was there before.
            sqlite3.Error: SQLite cannot open it.
        """
        self.check_file()
        immutable = "&immutable=1" if self.traceless and self._at_rest() else ""
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
            self.check_file()
        except BaseException:
            connection.close()
            raise
        return connection

    def _at_rest(self) -> bool:
        """Whether nobody has it open, so that a reader would make files of its own.

        Raises:
            NoAnswer: what somebody wrote before would have to be recovered.
        """
        wal, shm = files.beside(self.path).values()
        if shm.exists():
            return False
        if wal.exists() and wal.stat().st_size:
            raise self.no_answer("has a -wal file without its -shm; let DECNET open it first")
        return True

    def check_file(self) -> None:
        """See that the path still names the files that it named first.

        Raises:
            NoAnswer: it does not.
        """
        with self._lock:
            found = self._find()
            if self._database is None:
                self._database, self._paths_beside = found, files.beside(self.path)
            elif found != self._database:
                raise self.no_answer(
                    "is not the file that it was; put the old one back, or restart the listener if"
                    " this one is right"
                )
            self._check_beside()

    def _check_beside(self) -> None:
        found: dict[str, _File] = {}
        for suffix, path in self._paths_beside.items():
            try:
                found[suffix] = _look(path).file
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self.no_answer(error) from error
        # Remembered until they are closed: a file's number is soon given to another one.
        self._outdated |= any(found.get(suffix) != file for suffix, file in self._beside.items())
        if self._outdated:
            self._engine.dispose()
            if self._opened:
                raise self.no_answer("lost its -wal or -shm file; its connections are made anew")
            self._outdated = False
            self._generation += 1
        self._beside = found

    def _header(self, file: _File) -> bytes:
        """The header of the database in this file."""
        try:
            if file not in _headers:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                _headers[_look(f"/proc/self/fd/{descriptor}").file] = descriptor
            return os.pread(_headers[file], 100, 0)
        except (OSError, KeyError) as error:  # swapped just now
            raise self.no_answer(error) from error

    def _find(self) -> _File:
        try:
            found = _look(self.path)
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
        return found.file

    def remedy(self, said: str) -> str:
        """What SQLite's words mean, as a predicate."""
        if "no such table" in said:
            return f"has no table {TABLE!r}; give DECNET's database"
        if "no such column" in said:
            return f"has a table {TABLE!r} without a column 'id'; give DECNET's database"
        if "not a database" in said:
            return "is not a SQLite database; give DECNET's"
        if "readonly" in said:
            return "has to be recovered after a crash; have it opened by its writer first"
        if "unable to open" in said or "denied" in said:
            return f"may not be used by uid {os.geteuid()}; run as the file's owner"
        return super().remedy(said)

    @property
    def owner(self) -> int | None:
        """The file's."""
        try:
            return self.path.stat().st_uid
        except OSError:
            return None

    def outside(self) -> Iterator[Finding]:
        """Who may do what with the files, and what they lie on."""
        return files.examine(self.path)

    def inside(self, reading: Reading) -> Iterator[Finding]:  # noqa: ARG002
        """Whether it is in WAL mode."""
        if self._header(self._database or NO_FILE)[_FORM] == 2:
            yield ok("database.wal", "it is in WAL mode")
        else:
            yield warning(
                "database.wal",
                "it is not in WAL mode, so its writer and its readers wait for each other",
                "let DECNET open it, or run PRAGMA journal_mode = WAL in it",
            )


class _Look(NamedTuple):
    """What there is to see of a path."""

    file: _File
    mode: int
    mounted: bool
    """The file itself is a mount, as when a container is given it without its folder."""


def _look(path: Path | str) -> _Look:
    """Which file this is, by one stat(2) and one statx(2), where there is one.

    Raises:
        OSError: it cannot be looked at.
    """
    # Done on every commit, and Path.stat() takes twice as long.
    status, found = os.stat(path), ctypes.create_string_buffer(256)  # noqa: PTH116
    if hasattr(_LIBC, "statx"):
        _LIBC.statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, found)
    (known,) = struct.unpack_from("=I", found, 0)
    (attributes,) = struct.unpack_from("=Q", found, 8)
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    born = seconds * 1_000_000_000 + nanoseconds if known & _STATX_BTIME else 0
    file = status.st_dev, status.st_ino, born
    return _Look(file, status.st_mode, bool(attributes & _STATX_ATTR_MOUNT_ROOT))


def create(path: Path) -> None:
    """Create a database with an empty table of topologies, in WAL mode as DECNET's.

    Raises:
        ConfigurationError: the file exists, or cannot be made.
    """
    try:
        # O_EXCL: of two who try at once, one is refused.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o660))
    except FileExistsError:
        raise ConfigurationError(f"init-db: {path} exists already; it was left as it is") from None
    except OSError as error:
        raise ConfigurationError(f"init-db: {path} cannot be made: {error.strerror}") from error
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(SCHEMA)
