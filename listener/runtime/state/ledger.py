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

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from loguru import logger

from listener.core.evidence import Memory

VERSION = 3
BEFORE = 2
"""The version of the release before, which is read as well."""
LARGEST = 32 * 1024 * 1024
"""Bytes; some 400,000 topologies."""


_ADDED: Mapping[str, object] = {
    "unproven": (),
    "pending": (),
    "excused": (),
    "reported": (),
    "absent": {},
}
"""What the release before did not keep."""

UNBELIEVED = Memory(identity="not believed")
"""Instead of what cannot be believed. No table is the one that it is about, so whatever is missing
is held: a ledger that is lost must not release anything."""


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
        except (OSError, ValueError) as error:
            self.close()
            return str(getattr(error, "strerror", error))
        return None

    @property
    def locked(self) -> bool:
        """Whether it is ours."""
        return self._lock is not None

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def ledger(self, database: str) -> Ledger:
        """The ledger of the database with this name."""
        digest = hashlib.sha256(database.encode()).hexdigest()[:16]
        return Ledger(self, self.path / f"ledger-{digest}.json", database)


class Ledger:
    """The file of one database.

    Args:
        state: the folder; nothing is written while it is not locked.
        path: the file; may not exist yet.
        database: its name, without a password.
    """

    def __init__(self, state: StateDirectory, path: Path, database: str) -> None:
        self._state = state
        self._path = path
        self._database = database
        self._saved: tuple[Memory, int, Mapping[str, float]] | None = None
        self._foreign = False
        self._failed = ""
        self._loaded = self._version()

    def load(self, upgraded: Callable[[str], str] = str) -> Memory | None:
        """What an earlier run knew; None if there was none, UNBELIEVED if it cannot be believed.

        Args:
            upgraded: an identity as the release before wrote it, in the form of this one.
        """
        try:
            memory = self._read(upgraded)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._set_aside(error)
            return UNBELIEVED
        self._saved = memory, memory.position, memory.absent
        return memory

    def is_as_loaded(self) -> bool:
        """Whether nobody has written it since it was opened here."""
        return self._version() == self._loaded

    def _version(self) -> tuple[int, int]:
        """Tells one file in this place from another, for it is only ever replaced as a whole."""
        try:
            found = self._path.lstat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def save(self, memory: Memory) -> None:
        """Keep this, if it is news; what cannot be kept now is tried again with the next news."""
        news = memory, memory.position, memory.absent
        known = memory.identity or memory.pending
        if not (self._state.locked and known) or self._foreign or news == self._saved:
            return
        new = self._path.with_suffix(".new")
        written = _written(self._database, memory)
        try:
            if len(written) > LARGEST:
                raise OSError(errno.EFBIG, f"more than {LARGEST:,} bytes")
            descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(written)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            if str(error) != self._failed:
                logger.bind(event="state", error=str(error)).warning(
                    "what is known about {} will not outlive this process: {}",
                    self._database,
                    error,
                )
            self._failed = str(error)
        else:
            self._saved, self._failed = news, ""

    def _read(self, upgraded: Callable[[str], str]) -> Memory:
        # O_NONBLOCK: should it be a pipe.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            self._foreign = status.st_uid != os.geteuid()
            # The superuser may read what the service's user keeps in its own folder.
            owners = {os.geteuid(), self._path.parent.stat().st_uid}
            if status.st_uid not in owners or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ValueError("somebody else may write it")
            if status.st_size > LARGEST:
                raise ValueError("it is too large")
            checksum, _, body = file.read().partition("\n")
        if hashlib.sha256(body.encode()).hexdigest() != checksum:
            raise ValueError("it is damaged")
        content = json.loads(body)
        if content["version"] == BEFORE:
            content = {**_ADDED, **content, "identity": upgraded(content["identity"])}
        elif content["version"] != VERSION:
            raise ValueError("it is of another version")
        if content["database"] != self._database:
            raise ValueError("it is of another database")
        return Memory(
            identity=content["identity"],
            witnessed=frozenset(content["witnessed"]),
            vouched=content["vouched"],
            replaced=content["replaced"],
            former=frozenset(content["former"]),
            position=content["position"],
            unproven=frozenset(content["unproven"]),
            pending=frozenset(content["pending"]),
            excused=frozenset(content["excused"]),
            reported=frozenset(content["reported"]),
            absent={str(owner): float(total) for owner, total in content["absent"].items()},
        )

    def _set_aside(self, error: Exception) -> None:
        logger.bind(event="state", error=str(error)).warning(
            "{} is not believed, for {}; what is missing is held until it is confirmed",
            self._path,
            error,
        )
        if self._state.locked and not self._foreign:
            # A second name: until there is a new one, it goes on being there and not believed.
            aside = self._path.with_suffix(".set-aside")
            with suppress(OSError):
                aside.unlink(missing_ok=True)
                os.link(self._path, aside, follow_symlinks=False)


def _written(database: str, memory: Memory) -> str:
    body = json.dumps(
        {
            "version": VERSION,
            "database": database,
            "identity": memory.identity,
            "vouched": memory.vouched,
            "replaced": memory.replaced,
            "position": memory.position,
            "witnessed": sorted(memory.witnessed),
            "former": sorted(memory.former),
            "unproven": sorted(memory.unproven),
            "pending": sorted(memory.pending),
            "excused": sorted(memory.excused),
            "reported": sorted(memory.reported),
            "absent": dict(memory.absent),
        }
    )
    return f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"
