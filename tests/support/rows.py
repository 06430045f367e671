"""The topologies table in a SQLite file, written by another process, as DECNET is one.

A child process keeps one connection open and obeys lines of JSON on its standard input, one answer
line each. So a write costs a pipe's round trip, and its time is known to the microsecond: the
answer holds `time.monotonic_ns()` as read right after COMMIT, a clock that all processes share.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

SCHEMA = (
    "CREATE TABLE topologies (id TEXT PRIMARY KEY, name TEXT, status TEXT)",
    "CREATE TABLE attacks (id INTEGER PRIMARY KEY, detail TEXT)",
)
ATTACK = "INSERT INTO attacks (detail) VALUES ('a login')"

Statement = tuple[str, tuple[Any, ...]]
BEGIN: Statement = ("BEGIN IMMEDIATE", ())


class Rows(AbstractContextManager["Rows"]):
    """A writer of the file at `path`; every method returns the time of its (last) commit.

    Errors of SQLite in the child are raised here, as what they are. May be used by several
    threads, one call at a time; for noise beside other writes use a second `Rows`.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        self._child = subprocess.Popen(
            [sys.executable, "-I", __file__, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def create_table(self) -> int:
        """Create `topologies`, and `attacks` for unrelated writes."""
        return self._commit([BEGIN, *((statement, ()) for statement in SCHEMA)])

    def insert(self, *ids: str, status: str = "active") -> int:
        """Insert rows in one transaction."""
        sql = "INSERT INTO topologies VALUES (?, ?, ?)"
        rows = ((key, f"topology {key[:8]}", status) for key in ids)
        return self._commit([BEGIN, *((sql, row) for row in rows)])

    def delete(self, *ids: str) -> int:
        """Delete rows in one transaction."""
        sql = "DELETE FROM topologies WHERE id = ?"
        return self._commit([BEGIN, *((sql, (key,)) for key in ids)])

    def execute(self, sql: str, *parameters: Any) -> int:
        """Execute one statement, which commits itself."""
        return self._commit([(sql, parameters)])

    def noise(self, commits: int, per_second: float | None = None) -> int:
        """Commit so many unrelated rows, at most so many a second; returns after the last."""
        return self._commit([(ATTACK, ())], commits, 1 / per_second if per_second else 0.0)

    def close(self) -> None:
        """Close the connection and end the child; the file is left without a lock."""
        self._child.communicate()

    def __enter__(self) -> Self:
        """Already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _commit(self, statements: list[Statement], times: int = 1, interval: float = 0.0) -> int:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with self._lock:
            self._child.stdin.write(json.dumps([statements, times, interval]) + "\n")
            line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the writer ended with status {self._child.wait()}")
        answer = json.loads(line)
        if isinstance(answer, int):
            return answer
        kind, message = answer
        raise getattr(sqlite3, kind, RuntimeError)(message)


def serve(path: str) -> None:
    """The child: obey until standard input ends."""
    connection: sqlite3.Connection | None = None
    for line in sys.stdin:
        answer: int | tuple[str, str]
        try:
            connection = connection or connect(path)
            statements, times, interval = json.loads(line)
            began = time.monotonic()
            for count in range(times):
                time.sleep(max(0.0, began + count * interval - time.monotonic()))
                with connection:  # commits what was begun, or rolls it back
                    for sql, parameters in statements:
                        connection.execute(sql, parameters)
                answer = time.monotonic_ns()
        except Exception as error:
            answer = (type(error).__name__, str(error))
        print(json.dumps(answer), flush=True)
    if connection is not None:
        connection.close()


def connect(path: str) -> sqlite3.Connection:
    """Like DECNET: WAL mode, transactions begun by hand."""
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


if __name__ == "__main__":
    serve(sys.argv[1])
