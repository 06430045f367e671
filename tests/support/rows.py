"""The topologies table, written by another process, as DECNET is one: SQLite, PostgreSQL, MariaDB.

A child process keeps one connection open and obeys what comes through a pipe, one answer each. So a
write costs a pipe's round trip, and its time is known to the microsecond: the answer holds
`time.monotonic_ns()` as read right after COMMIT, a clock that all processes share.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.support.forked import CONTEXT

ATTACK = "INSERT INTO attacks (detail) VALUES ('a login')"
AT_ONCE: Mapping[str, Any] = {"ssl_disabled": True}
"""What PyMySQL needs lest it read all certificates of this host first, for 25 ms of a core."""
SERVERS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "postgresql": ("psycopg", "dbname", {}),
    "mysql": ("pymysql", "database", AT_ONCE),
    "mariadb": ("pymysql", "database", AT_ONCE),
}
"""By the scheme of a URL: the driver, what it calls a database, and what else it takes."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS topologies (id {id} PRIMARY KEY, name TEXT, status TEXT)",
    "CREATE TABLE IF NOT EXISTS attacks (id {attack} PRIMARY KEY, detail TEXT)",
)
"""The table that matters, and one for unrelated writes."""
OLD_ENOUGH = """
    DO SLEEP(GREATEST(0, COALESCE((
        SELECT 1.2 + UNIX_TIMESTAMP(create_time) - UNIX_TIMESTAMP(SYSDATE(6))
        FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name = 'topologies'), 0)))
"""
"""Waits until a table that was just made or changed in MariaDB may be asked."""

Statement = tuple[str, tuple[Any, ...]]


class Rows(AbstractContextManager["Rows"]):
    """A writer of the database; every method returns the time of its (last) commit.

    Errors in the child are raised here: SQLite's as what they are, a driver's as sqlite3's class
    of the same name (all follow the DB-API). May be used by several threads, one call at a time;
    for noise beside other writes use a second `Rows`.

    Args:
        database: the path of a SQLite file, or an SQLAlchemy URL.
        user: the uid and gid that writes, instead of ours.
    """

    def __init__(self, database: Path | str, *, user: int | None = None) -> None:
        source = str(database).removeprefix("sqlite:///")
        server = "://" in source
        self._scheme = source.partition("://")[0].partition("+")[0]
        # SERIAL counts by itself in both servers, as INTEGER does in SQLite.
        self._attack_key = "SERIAL" if server else "INTEGER"
        self._begin: Statement = ("BEGIN" if server else "BEGIN IMMEDIATE", ())
        self._lock = threading.Lock()
        self._pipe, theirs = CONTEXT.Pipe()
        self._child = CONTEXT.Process(target=serve, args=(source, user, theirs), daemon=True)
        self._child.start()
        theirs.close()

    def create_table(self, id_type: str = "VARCHAR(36)") -> int:
        """Create the tables, unless they are there; returns when they may be used.

        MariaDB tells the age of a table in seconds, so it is not to be asked in its first one.
        """
        statements: list[Statement] = [
            self._begin,
            *((table.format(id=id_type, attack=self._attack_key), ()) for table in TABLES),
        ]
        if self._scheme in ("mysql", "mariadb"):
            statements.append((OLD_ENOUGH, ()))
        return self._commit(statements)

    def insert(self, *ids: str, status: str = "active") -> int:
        """Insert rows in one transaction."""
        sql = "INSERT INTO topologies VALUES (?, ?, ?)"
        rows = ((key, f"topology {key[:8]}", status) for key in ids)
        return self._commit([self._begin, *((sql, row) for row in rows)])

    def delete(self, *ids: str) -> int:
        """Delete rows in one transaction."""
        sql = "DELETE FROM topologies WHERE id = ?"
        return self._commit([self._begin, *((sql, (key,)) for key in ids)])

    def delete_each(self, *ids: str, noise: int = 0) -> int:
        """Delete rows in a transaction each, with so many unrelated ones before each of them."""
        sql = "DELETE FROM topologies WHERE id = ?"
        return self._commit([s for key in ids for s in [*[(ATTACK, ())] * noise, (sql, (key,))]])

    def take_back(self, *ids: str) -> int:
        """Delete rows in a transaction that is rolled back."""
        sql = "DELETE FROM topologies WHERE id = ?"
        deletes = [(sql, (key,)) for key in ids]
        return self._commit([self._begin, *deletes, ("ROLLBACK", ())])

    def renew(self, key: str) -> int:
        """Delete a row and insert it again, in one transaction."""
        delete = ("DELETE FROM topologies WHERE id = ?", (key,))
        insert = ("INSERT INTO topologies VALUES (?, 'renewed', 'active')", (key,))
        return self._commit([self._begin, delete, insert])

    def execute(self, sql: str, *parameters: Any) -> int:
        """Execute one statement, which commits itself; `?` stands for each parameter."""
        return self._commit([(sql, parameters)])

    def noise(self, commits: int, per_second: float | None = None) -> int:
        """Commit so many unrelated rows, at most so many a second; returns after the last."""
        return self._commit([(ATTACK, ())], commits, 1 / per_second if per_second else 0.0)

    def close(self) -> None:
        """Close the connection and end the child; a file is left without a lock."""
        self._pipe.close()
        self._child.join()

    def __enter__(self) -> Self:
        """Already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _commit(self, statements: list[Statement], times: int = 1, interval: float = 0.0) -> int:
        with self._lock:
            self._pipe.send((statements, times, interval))
            answer = self._pipe.recv()
        if isinstance(answer, int):
            return answer
        kind, message = answer
        raise getattr(sqlite3, kind, RuntimeError)(message)


def serve(source: str, user: int | None, pipe: Connection) -> None:
    """The child: obey until the pipe ends."""
    if user is not None:
        become(user)
    connection: Any = None
    while True:
        answer: int | tuple[str, str]
        try:
            statements, times, interval = pipe.recv()
        except EOFError:
            break
        try:
            connection = connection or connect(source)
            began = time.monotonic()
            for count in range(times):
                time.sleep(max(0.0, began + count * interval - time.monotonic()))
                commit(connection, statements)
                answer = time.monotonic_ns()
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            answer = (next((n for n in names if hasattr(sqlite3, n)), names[0]), str(error))
            if isinstance(connection, sqlite3.Connection):
                connection.rollback()
            elif connection is not None:
                connection.close()  # perhaps lost; the next line gets a new one
                connection = None
        pipe.send(answer)
    if connection is not None:
        connection.close()


def commit(connection: Any, statements: list[Statement]) -> None:
    """Execute all, and commit what they began."""
    cursor = connection.cursor()
    for sql, parameters in statements:
        if not parameters:
            cursor.execute(sql)
        elif isinstance(connection, sqlite3.Connection):
            cursor.execute(sql, parameters)
        else:
            cursor.execute(sql.replace("%", "%%").replace("?", "%s"), parameters)
    connection.commit()


def connect(source: str) -> Any:
    """A connection without implicit transactions; to SQLite like DECNET's, in WAL mode."""
    if "://" in source:
        url = urlsplit(source)
        driver, database, more = SERVERS[url.scheme.partition("+")[0]]
        return importlib.import_module(driver).connect(
            host=url.hostname,
            port=url.port,
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            autocommit=True,
            **{database: unquote(url.path[1:]), **more},
        )
    connection = sqlite3.connect(source, timeout=10.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def become(user: int) -> None:
    """Give up what root may."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
