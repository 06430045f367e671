"""Topologies in a SQLite file that another process writes.

A connection keeps answering from the file that it opened, even after another file was put in its
place, so the device and inode of the path are compared before and after each question with those
that were seen first. The file is never opened by anything but SQLite: closing any other descriptor
of it would drop the locks that SQLite holds for the whole process.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from listener.database.topologies import TABLE, Reading, Topologies, table
from listener.errors import ConfigurationError

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock; in WAL mode a reader hardly ever waits."""

SCHEMA = f"""
CREATE TABLE {TABLE} (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    status TEXT NOT NULL DEFAULT 'pending'
)
"""


class SqliteTopologies(Topologies):
    """The table in one SQLite file.

    Args:
        path: the file.
        clock: seconds, monotonic.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path.absolute()
        super().__init__(f"the SQLite file {self.path}", clock)
        self._first_seen: tuple[int, int] | None = None
        self._engine = sa.create_engine(
            "sqlite://", creator=self.connect, poolclass=sa.pool.QueuePool, pool_size=8
        )

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A new transaction; every error inside comes out as NoAnswer."""
        self.check_file()
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
                device, inode = self._first_seen or (0, 0)
                identity = f"{self.path} {device}:{inode} schema {version}"
                yield Reading(connection, identity, table())
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            self.check_file()
            raise self.no_answer(_remedy(str(getattr(error, "orig", error)))) from error
        self.check_file()

    def connect(self) -> sqlite3.Connection:
        """A new connection to the file, which is never created by it.

        Raises:
            NoAnswer: there is no such file, or not the one that was there before.
            sqlite3.Error: SQLite cannot open it.
        """
        found = self._first_seen or self._find()
        self._check_file(found)
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            self._check_file(found)
        except BaseException:
            connection.close()
            raise
        self._first_seen = found
        return connection

    def check_file(self) -> None:
        """See that the path still names the file that it named first.

        Raises:
            NoAnswer: it does not.
        """
        if self._first_seen is not None:
            self._check_file(self._first_seen)

    def _check_file(self, expected: tuple[int, int]) -> None:
        if self._find() != expected:
            raise self.no_answer(
                "is not the file that it was; put the old one back, or restart the listener"
                " if this one is right"
            )

    def _find(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.no_answer(
                "does not exist; give DECNET's database, or make one with topology-reaper init-db"
            ) from error
        except OSError as error:
            raise self.no_answer(_remedy(str(error.strerror))) from error
        if not stat.S_ISREG(found.st_mode):
            raise self.no_answer("is a folder or a device; give the file itself")
        return found.st_dev, found.st_ino


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


def _remedy(text: str) -> str:
    if "no such table" in text:
        return f"has no table {TABLE!r}; is it DECNET's database?"
    if "no such column" in text:
        return f"has a table {TABLE!r} without a column 'id'; is it DECNET's database?"
    if "not a database" in text:
        return "is not a SQLite database"
    if "unable to open" in text or "readonly" in text or "denied" in text:
        return f"may not be used by uid {os.geteuid()}; run as the file's owner"
    return f"gave no answer: {text}"
