"""What is known about a database, kept over a restart: one file for each in ``--state-dir``.

A file is replaced as a whole, so that it holds the old state or the new one, whenever the process
or the machine stops. It carries the name of its database and a checksum; one that is damaged, too
large, of another database or writable by others is never believed: it is set aside under another
name, with a warning, and the next one begins anew.

One process at a time writes: the folder is locked. A second listener, or a folder that cannot be
written, means that nothing outlives that process, which is a warning and no more: what was
witnessed then has to be witnessed again. A one-shot sweep beside a listener reads what that one
knows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from loguru import logger

from listener.evidence import Memory

VERSION = 1
LARGEST = 32 * 1024 * 1024
"""Bytes; some 400,000 topologies."""


class StateDirectory:
    """The folder, locked for as long as this object is in use.

    Args:
        path: is made if its parent exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def lock(self) -> str | None:
        """Try to have it for us; returns why it cannot be had."""
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return "another listener uses it"
        except OSError as error:
            self.close()
            return str(error.strerror)
        return None

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def ledger(self, database: str) -> Ledger:
        """The ledger of the database with this name."""
        digest = hashlib.sha256(database.encode()).hexdigest()[:16]
        return Ledger(
            self.path / f"ledger-{digest}.json", database, writable=self._lock is not None
        )


class Ledger:
    """The file of one database.

    Args:
        path: the file; may not exist yet.
        database: its name, without a password.
        writable: otherwise it is only read.
    """

    def __init__(self, path: Path, database: str, *, writable: bool) -> None:
        self._path = path
        self._database = database
        self._writable = writable
        self._saved: Memory | None = None

    def load(self) -> Memory | None:
        """What an earlier run knew; None if there was none, or it cannot be believed."""
        try:
            self._saved = self._read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._set_aside(error)
        return self._saved

    def save(self, memory: Memory) -> None:
        """Keep this, if it is news."""
        if not self._writable or memory == self._saved or not memory.identity:
            return
        new = self._path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(_written(self._database, memory))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            self._writable = False
            logger.bind(event="state", error=str(error)).warning(
                "what is known about {} will not outlive this process: {}", self._database, error
            )
        self._saved = memory

    def _read(self) -> Memory:
        # O_NONBLOCK: should it be a pipe.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ValueError("somebody else may write it")
            if status.st_size > LARGEST:
                raise ValueError("it is too large")
            checksum, _, body = file.read().partition("\n")
        if hashlib.sha256(body.encode()).hexdigest() != checksum:
            raise ValueError("it is damaged")
        content = json.loads(body)
        if (content["version"], content["database"]) != (VERSION, self._database):
            raise ValueError("it is of another version or database")
        return Memory(
            identity=content["identity"],
            witnessed=frozenset(content["witnessed"]),
            vouched=content["vouched"],
            replaced=content["replaced"],
        )

    def _set_aside(self, error: Exception) -> None:
        logger.bind(event="state", error=str(error)).warning(
            "{} is not believed, for {}; what was seen before counts as never seen",
            self._path,
            error,
        )
        if self._writable:
            with suppress(OSError):
                self._path.replace(self._path.with_suffix(".set-aside"))


def _written(database: str, memory: Memory) -> str:
    body = json.dumps(
        {
            "version": VERSION,
            "database": database,
            "identity": memory.identity,
            "vouched": memory.vouched,
            "replaced": memory.replaced,
            "witnessed": sorted(memory.witnessed),
        }
    )
    return f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"
