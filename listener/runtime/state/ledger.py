"""What is known about a database, kept over a restart: one file for each in the state directory.

A file is replaced as a whole, so that it holds the old state or the new one, whenever the process
or the machine stops. It carries the name of its database and a checksum; one that is damaged, too
large, of another database or writable by others is rejected: it is set aside under another name,
with a warning, and the next one begins anew.

It is no SQLite database, though that writes a change of 10,000 owners in 1 ms and this takes 4 ms,
of which the disk has 1 ms: SQLite has no checksum, follows links, and makes files of its own beside
its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from loguru import logger

from listener.core.evidence import Memory
from listener.core.once import Once
from listener.runtime.state.directory import StateDirectory
from listener.runtime.state.files import open_file, replace

VERSION = 4
BEFORE = (2, 3)
"""The version of the release before, which is read as well: it kept less."""
LARGEST = 32 * 1024 * 1024
"""Bytes; some 400,000 topologies."""
REJECTED = Memory(identity="not believed")
"""Instead of what was rejected. No table is the one that it is about, so whatever is missing is
held: a ledger that is lost must not release anything."""


class Ledger:
    """The file of one database.

    Args:
        state: the folder; nothing is written while it is not locked.
        database: its name, without a password.
        former: its name in the release before, whose file is read while there is no other.
    """

    def __init__(self, state: StateDirectory, database: str, former: str = "") -> None:
        self._state = state
        self._path = state.path / _file_of(database)
        self._database = database
        self._former = former
        self._saved: tuple[object, ...] | None = None
        self._foreign = False
        self._failure = Once()
        self._loaded = self._version()

    def load(self, upgraded: Callable[[str], str] = str) -> Memory | None:
        """What an earlier run knew; None if there was none, REJECTED if it was not to be trusted.

        Args:
            upgraded: an identity as the release before wrote it, in the form of this one.
        """
        try:
            memory = self._read(upgraded)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._set_aside(error)
            return REJECTED
        self._saved = _compared(memory)
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
        """Keep this, if it is unsaved; what cannot be kept now is tried again with the next."""
        unsaved = _compared(memory)
        known = memory.identity or memory.pending
        if not (self._state.locked and known) or self._foreign or unsaved == self._saved:
            return
        written = _written(self._database, memory)
        try:
            if len(written) > LARGEST:
                raise OSError(errno.EFBIG, f"more than {LARGEST:,} bytes")
            replace(self._path, written)
        except OSError as error:
            if self._failure.is_new(str(error)):
                why = error.strerror or str(error)
                logger.bind(event="state", error=why).warning(
                    "--state-dir: what is known about {} cannot be written to {}, and is lost when"
                    " this process ends: {}",
                    self._database,
                    self._path.parent,
                    why,
                )
        else:
            self._saved = unsaved
            if self._failure.is_new(None):
                logger.bind(event="state").info(
                    "--state-dir: what is known about {} is written to {} again",
                    self._database,
                    self._path.parent,
                )

    def _read(self, upgraded: Callable[[str], str]) -> Memory:
        path, name = self._source()
        with os.fdopen(open_file(path, os.O_RDONLY)) as file:
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
        version, database = content.pop("version"), content.pop("database")
        if version not in (*BEFORE, VERSION):
            raise ValueError("it is of another version")
        if database != name:
            raise ValueError("it is of another database")
        if version in BEFORE:
            content["identity"] = upgraded(content["identity"])
        elif path != self._path:
            raise FileNotFoundError  # by this release, of another database that has this name now
        kept: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        return Memory(**kept)

    def _source(self) -> tuple[Path, str]:
        """The file to read, and the name of the database in it."""
        if self._former and not os.path.lexists(self._path):
            return self._path.with_name(_file_of(self._former)), self._former
        return self._path, self._database

    def _set_aside(self, error: Exception) -> None:
        path, _ = self._source()
        logger.bind(event="state", error=str(error)).warning(
            "{} is not believed, for {}; what is missing is held until it is confirmed",
            path,
            error,
        )
        if self._state.locked and not self._foreign:
            # A second name: until there is a new one, it goes on being there and rejected.
            aside = path.with_suffix(".set-aside")
            with suppress(OSError):
                aside.unlink(missing_ok=True)
                os.link(path, aside, follow_symlinks=False)


def _file_of(database: str) -> str:
    name = database.encode(errors="surrogateescape")  # a path need not be UTF-8
    return f"ledger-{hashlib.sha256(name).hexdigest()[:16]}.json"


def _compared(memory: Memory) -> tuple[object, ...]:
    """All of it; two that differ in figures only are equal."""
    return memory, memory.position, memory.absent, memory.torn_down


def _written(database: str, memory: Memory) -> str:
    kept = {field.name: getattr(memory, field.name) for field in fields(memory)}
    content = {"version": VERSION, "database": database, **kept}
    body = json.dumps(content, default=list)  # sets; to sort them would take as long as the rest
    return f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"
