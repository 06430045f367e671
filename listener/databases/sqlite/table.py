"""Topologies in a SQLite file that another process writes.

A connection goes on answering from the files that it opened, whatever their names stand for by now:
after a swap, or with the ``-wal`` and ``-shm`` files deleted under it, it answers old data for ever
and without an error. So before and after each question the device and inode of all three are
compared with those that were seen first. Another database file is no answer for good. Another
``-wal`` or ``-shm`` is none until all our connections are closed, for they share what they hold;
those opened then see the truth, and since nobody knows what happened in between, the table counts
as another incarnation. The same goes for a file that was overwritten with an older state of itself,
which shows in the change counter of its header.

In WAL mode two processes see each other's commits through shared memory, which ends at a FUSE mount
and at another host. So a file that lies on such a mount is not even opened: SQLite, finding nobody
whose locks it sees, would empty the ``-shm`` that the writer uses. And where the writer came
through one, an answer says that it may be behind (:mod:`~listener.databases.sqlite.wal`). What such
a writer has moved from the log into the database is no news in shared memory either, so every
question reads the pages that it needs from the file.

They are opened read-only. SQLite would otherwise copy what its ``-wal`` holds into the database as
the last connection closes, even from a deleted one and into a database that was restored since. And
they are never closed by anything but SQLite: closing any other descriptor of them would drop the
locks that SQLite holds for the whole process. The ones by which we look into them stay open, until
the file is deleted and our connections to it are closed.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from listener.core.findings import Finding, ok, warning
from listener.databases.base import (
    BATCH,
    CURRENT,
    TABLE,
    Behind,
    Reading,
    Topologies,
    table,
    upper_bound,
)
from listener.databases.feed import Feed
from listener.databases.sqlite import files, wal
from listener.databases.sqlite.feed import SqliteFeed
from listener.errors import ConfigurationError, NoAnswer

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock; in WAL mode a reader hardly ever waits."""

MOST_COMPARED = 2000
"""Rows; in a larger table deletions are not told by their ids."""

LINGER = 600.0
"""Seconds for which answers may be behind after a commit was seen that shared memory does not show:
what the kernel writes back of another memory reaches ours half a minute later, and piece by piece.
"""

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
"""Where the header tells in which form the file is read."""
_WAL = 2
_HEADER = 100
_descriptors: dict[_File, int] = {}
"""By file, a descriptor that is not closed while anybody may have the file open."""
_BLIND = (
    "is written by a process whose shared memory this one does not see, through a FUSE mount or"
    " from another host; run both on one host, and give both the path on its local file system"
)


class AllIds(NamedTuple):
    """The ids of all rows at one moment."""

    rows: Sequence[tuple[object]]
    table: tuple[int, int]
    """Its incarnation."""
    earliest: bytes
    latest: bytes
    """How far the database had come, before they were read and after."""

    def gone_since(self, earlier: AllIds) -> list[str]:
        """Those that were there earlier, in the same table, and have been deleted."""
        if self.rows == earlier.rows:
            return []
        if self.table != earlier.table or self.earliest < earlier.latest:
            return []  # an older state took its place
        gone = {id_ for (id_,) in earlier.rows} - {id_ for (id_,) in self.rows}
        return sorted(id_.lower() for id_ in gone if isinstance(id_, str))


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
        allow_replica: take its word although its writer may share no memory with this process.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        path: Path,
        *,
        allow_replica: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allow_replica = allow_replica
        self.path = path.absolute()
        super().__init__(f"the SQLite file {self.path}", clock)
        self._lock = threading.Lock()  # guards what is known of the files
        self._database: _File | None = None
        self._paths_beside: Mapping[str, Path] = {}
        self._beside: dict[str, _File] = {}
        self._outdated = False
        self._generation = 0
        self._kinds: dict[_File, str] = {}
        self._blind_until = 0.0
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
                self._read_anew(connection)
                connection.exec_driver_sql("BEGIN")
                version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
                _, inode, born = file = self._database or NO_FILE
                # Not the device, whose number may be another one after a reboot.
                identity = f"{self.path} {inode} of {born} schema {version}"
                header = self._header(file)
                position = int.from_bytes(header[_CHANGE_COUNTER])
                in_wal = header[_FORM] == _WAL
                behind = CURRENT
                if in_wal and self._blind() and not self._allow_replica:
                    behind = Behind(_BLIND)
                aspect = "table"
                try:
                    yield Reading(
                        connection, identity, table(), self._generation, position, behind=behind
                    )
                    if in_wal and not behind and not self._allow_replica and self._blind():
                        raise self.no_answer(_BLIND)
                finally:
                    if self._outdated:
                        connection.invalidate()  # the pool that it came from is gone
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            self.check_file()
            # With the log cut or begun anew by others, what -shm points to is not there any more.
            if self._opened and self._in_wal() and self._blind():
                raise self.no_answer(_BLIND) from error
            raise self.no_answer(error, aspect) from error
        self.check_file()

    def upgraded(self, identity: str) -> str:
        """Without the number of the device, which the release before wrote down as well."""
        return re.sub(r" \d+:(\d+ of \d+ schema \d+)$", r" \1", identity)

    def _read_anew(self, connection: sa.Connection) -> None:
        """Forget the pages that were read before, and see that the next may be."""
        if self._in_wal():
            self._check_file_system()
            assert connection.connection.dbapi_connection is not None  # noqa: S101 - it is open
            connection.connection.dbapi_connection.execute("PRAGMA shrink_memory")

    def _blind(self) -> bool:
        """Whether the writer commits what this process does not see; to be asked while it reads.

        Raises:
            NoAnswer: the files were swapped just now.
        """
        now = self._clock()
        if now < self._blind_until:
            return True
        if self._beside.keys() != self._paths_beside.keys():
            self.check_file()  # our connection has made them since, or somebody's
        shm, log = (self._beside.get(suffix) for suffix in ("-shm", "-wal"))
        if shm is None:
            return False  # it is read as it is, and nobody else has it open
        shm_path, log_path = (self._paths_beside[suffix] for suffix in ("-shm", "-wal"))
        try:
            in_log = None if log is None else _descriptor(log, log_path)
            if not wal.unseen(_descriptor(shm, shm_path), in_log):
                return False
        except (OSError, KeyError) as error:  # swapped just now
            raise self.no_answer(error) from error
        self._blind_until = now + LINGER
        return True

    def _in_wal(self) -> bool:
        return self._header(self._database or NO_FILE)[_FORM] == _WAL

    def _check_file_system(self) -> None:
        """See that what shares this file shares memory as well.

        Raises:
            NoAnswer: it need not.
        """
        file = self._database or NO_FILE
        if file not in self._kinds:
            self._kinds[file] = files.kind_without_shared_memory(self.path)
        if kind := self._kinds[file]:
            raise self.no_answer(
                f"is in WAL mode and lies on {kind}, where a reader need not share memory with the"
                " writer and then misses its commits; run on the host that DECNET runs on, and"
                " give the path on its local file system"
            )

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

    def all_ids(self, connection: sqlite3.Connection) -> AllIds | None:
        """The ids of all rows, for a comparison with earlier ones.

        Args:
            connection: open, and nobody else uses it.

        Returns:
            None where there are too many, or where nothing can be told from them.
        """
        file = self._database or NO_FILE
        try:
            before = self._header(file)[_CHANGE_COUNTER]
            connection.execute("BEGIN")
            try:
                question = f"SELECT id FROM {TABLE} LIMIT {MOST_COMPARED + 1}"  # noqa: S608
                ids = connection.execute(question).fetchall()
                (schema,) = connection.execute("PRAGMA schema_version").fetchone()
                header = self._header(file)
                doubtful = header[_FORM] == _WAL and self._blind()
            finally:
                connection.execute("ROLLBACK")
        except (sqlite3.Error, NoAnswer):
            return None
        after = header[_CHANGE_COUNTER]
        if doubtful or len(ids) > MOST_COMPARED or after < before:
            return None
        return AllIds(ids, (schema, self._generation), before, after)

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
        if self._in_wal():
            self._check_file_system()
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
            _close_deleted(self._beside.values())
        self._beside = found

    def _header(self, file: _File) -> bytes:
        """The header of the database in this file; zeros where there is none yet."""
        try:
            return os.pread(_descriptor(file, self.path), _HEADER, 0).ljust(_HEADER, b"\0")
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
        in_wal = False
        with suppress(NoAnswer):
            self.check_file()
            in_wal = self._in_wal()
        return files.examine(self.path, in_wal=in_wal)

    def inside(self, reading: Reading) -> Iterator[Finding]:  # noqa: ARG002
        """Whether it is in WAL mode."""
        if self._in_wal():
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


def _descriptor(file: _File, path: Path) -> int:
    """A descriptor of this file.

    Raises:
        OSError: it cannot be opened.
        KeyError: the path names another one by now.
    """
    if file not in _descriptors:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        _descriptors.setdefault(_look(f"/proc/self/fd/{opened}").file, opened)
    return _descriptors[file]


def _close_deleted(candidates: Iterable[_File]) -> None:
    """Close what we kept open of files that nobody can open any more."""
    for file in candidates:
        descriptor = _descriptors.get(file)
        if descriptor is not None and os.fstat(descriptor).st_nlink == 0:
            del _descriptors[file]
            os.close(descriptor)


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
