"""Topologies in a SQLite file that another process writes.

Before and after each question the file is checked to be the one that it was
(:mod:`~listener.databases.sqlite.file`). The identity is that of the file and of its schema; a new
generation of the file and a change counter that went back, as when an older state was copied over
it, make the table another incarnation.

Where the writer came through a FUSE mount, an answer says that it may be behind. What such a writer
has moved from the log into the database is no news in shared memory either, so every question reads
the pages that it needs from the file.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from listener.core.findings import Finding, ok, warning
from listener.databases.base import CURRENT, TABLE, Behind, Reading, SqlTopologies, table
from listener.databases.feed import Feed, Interest
from listener.databases.sqlite import permissions
from listener.databases.sqlite.feed import SqliteFeed
from listener.databases.sqlite.file import DatabaseFile, beside
from listener.errors import ConfigurationError, NoAnswer

SCHEMA = f"""
CREATE TABLE {TABLE} (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    status TEXT NOT NULL DEFAULT 'pending'
)
"""

_HAS_STATUS = f"SELECT count(*) FROM pragma_table_xinfo('{TABLE}') WHERE lower(name) = 'status'"  # noqa: S608
_NO_STATUS = (
    f"has no column status; run ALTER TABLE {TABLE} ADD COLUMN status TEXT, after which it counts"
    " as another table, so that what was never seen in it is held"
)
_MISSES_COMMITS = (
    "is written by a process whose shared memory this one does not see, through a FUSE mount or"
    " from another host; run both on one host, and give both the path on its local file system"
)


class SqliteTopologies(SqlTopologies):
    """The table in one SQLite file.

    Args:
        path: the file.
        allow_replica: take its word although its writer may share no memory with this process.
        traceless: make no file that is not there, by which an answer may be older; for who only
            looks.
        clock: seconds, monotonic.
    """

    kind = "sqlite"
    may_refuse_push = False

    def __init__(
        self,
        path: Path,
        *,
        allow_replica: bool = False,
        traceless: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        whole = path.absolute()
        super().__init__(
            f"the SQLite file {whole}", f"sqlite/{whole.name}", f"{whole.parent}", clock
        )
        self._allow_replica = allow_replica
        self.file = DatabaseFile(path, self.no_answer, traceless=traceless, clock=clock)
        self._pool = self.file.engine
        self._where = str(self.file.path)
        with suppress(OSError):
            self.runs = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._no_status: dict[tuple[int, int], str] = {}  # by generation and version of the schema

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A new transaction; every error inside comes out as NoAnswer."""
        aspect, file = "reachable", self.file
        try:
            file.check()
            with self._pool.connect() as connection:
                if file.header().in_wal:
                    file.check_shared_memory()
                    self._forget_pages(connection)
                connection.exec_driver_sql("BEGIN")
                version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
                # The device may have another number after a reboot. Without a time of birth it
                # has to do all the same, for another disk has a file of the same inode.
                device = "" if file.id.born else f"{file.id.device}:"
                told = f"{device}{file.id.inode} of {file.id.born}"
                identity = f"{self._where} {told} schema {version}"
                position = file.header().changes
                behind = Behind(_MISSES_COMMITS) if self._may_be_behind() else CURRENT
                aspect = "table"
                try:
                    yield Reading(
                        connection,
                        identity,
                        table(),
                        file.generation,
                        position,
                        behind=behind,
                        no_status=self._look_for_status(connection, version),
                    )
                    if not behind and self._may_be_behind():
                        raise self.no_answer(_MISSES_COMMITS)
                finally:
                    if file.outdated:
                        connection.invalidate()  # the pool that it came from is gone
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            file.check()
            # With the log cut or begun anew by others, what -shm points to is not there any more.
            if file.misses_commits():
                raise self.no_answer(_MISSES_COMMITS) from error
            raise self.no_answer(error, aspect) from error
        file.check()

    def _look_for_status(self, connection: sa.Connection, version: int) -> str:
        """Why the status cannot be read, and the remedy; empty when it can."""
        schema = self.file.generation, version
        if schema not in self._no_status:
            found = connection.exec_driver_sql(_HAS_STATUS).scalar_one()
            self._no_status = {schema: "" if found else _NO_STATUS}
        return self._no_status[schema]

    def upgraded(self, identity: str) -> str:
        """Without the number of the device, which the release before wrote down as well."""
        return re.sub(r" \d+:(\d+ of [1-9]\d* schema \d+)$", r" \1", identity)

    def _forget_pages(self, connection: sa.Connection) -> None:
        """Let the next question read its pages from the file."""
        assert connection.connection.dbapi_connection is not None  # noqa: S101 - it is open
        connection.connection.dbapi_connection.execute("PRAGMA shrink_memory")

    def _may_be_behind(self) -> bool:
        return self.file.misses_commits() and not self._allow_replica

    def committed_at(self) -> float | None:
        """When the last commit was written: the file's time, or that of its ``-wal``."""
        moments = []
        for path in (self.file.path, beside(self.file.path)["-wal"]):
            with suppress(OSError):
                moments.append(path.stat().st_mtime)
        return max(moments, default=None)

    def push(
        self,
        *,
        look_every: float,
        check_every: float,  # noqa: ARG002
        interest: Interest | None = None,
        precise: bool = False,
    ) -> Feed:
        """The feed of commits to the file."""
        return SqliteFeed(self.file, look_every, interest, precise=precise)

    def remedy(self, said: str) -> str:
        """What SQLite's words mean, as a predicate."""
        if "no such table" in said:
            return f"has no table {TABLE!r}; give DECNET's database"
        if "no such column" in said:
            return f"has a table {TABLE!r} without a column 'id'; give DECNET's database"
        if "not a database" in said:
            return "is not a SQLite database; give DECNET's"
        if "readonly" in said or "unable to open" in said or "denied" in said:
            return self._refused(said)
        return super().remedy(said)

    def _refused(self, said: str) -> str:
        """Why SQLite does not open it.

        In a folder that may not be written it says "unable to open" where the mount is read-only,
        and "readonly" where its mode forbids it, and both only while no writer has it open.
        """
        us, owner, folder = os.geteuid(), self.owner, self.file.path.resolve().parent
        if owner is not None and us in (0, owner) and not permissions.may_write(folder):
            return (
                f"cannot be opened while its writer is stopped, for uid {us} may not write"
                f" {folder}, where SQLite then makes -wal and -shm;"
                f" {permissions.how_to_write(folder, owner)}"
            )
        if "readonly" in said:
            return "has to be recovered after a crash; have it opened by its writer first"
        if us == owner:
            return f"may not be read by its owner, uid {us}; chmod u+rw {self.file.path}"
        return f"may not be used by uid {us}; run as the file's owner"

    @property
    def owner(self) -> int | None:
        """The file's."""
        try:
            return self.file.path.stat().st_uid
        except OSError:
            return None

    def outside(self) -> Iterator[Finding]:
        """Who may do what with the files, and what they lie on."""
        in_wal = False
        with suppress(NoAnswer):
            self.file.check()
            in_wal = self.file.header().in_wal
        return permissions.examine(self.file.path, in_wal=in_wal)

    def inside(self, reading: Reading) -> Iterator[Finding]:  # noqa: ARG002
        """Whether it is in WAL mode."""
        if self.file.header().in_wal:
            yield ok("database.wal", "it is in WAL mode")
        else:
            yield warning(
                "database.wal",
                "it is not in WAL mode, so its writer and its readers wait for each other",
                "let DECNET open it, or run PRAGMA journal_mode = WAL in it",
            )


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
