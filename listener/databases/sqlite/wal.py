"""Does a reader of a SQLite database in WAL mode see what its writer commits?

Whoever writes appends *frames* to ``-wal``, a page in each, the last of a transaction marked as its
commit; then it shows in ``-shm``, which all who have the database open map into memory, how far the
log is valid (``mxFrame``). A reader believes ``-shm`` alone. So a writer whose ``-shm`` is another
memory than ours (it came through a FUSE mount of the folder, or from another host) commits what we
never see, without an error.

It cannot do so without a trace. Once a commit is in ``-wal``, one of these holds for good:

- ``-shm`` covers it;
- the frames that follow the last one covered lead, with the log's present *salt* and an unbroken
  chain of checksums, to a commit;
- the log was begun anew since, so that its salt is not the one in ``-shm``, or it is empty while
  ``-shm`` counts frames.

The last two are seen for moments with a writer that does share memory, for it writes the log first.
But it holds the lock for writing all the while, on a byte of ``-shm``, and locks are shared where
the memory is. Three things that it can leave behind are no commit: frames of a transaction that was
rolled back, frames from before the log was begun anew, and a salt that ``-shm`` has already and the
log has not.

All is read through descriptors (SQLite's WAL-mode file format, 2 and 3): a few reads of some bytes,
unless there is something to be doubted.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from typing import NamedTuple

LOOK_AGAIN = 0.05
"""Seconds after which what looks like an unseen writer is looked at again: the locks may not tell,
as on kernels without those of open files."""
_MOVED = 10
"""How often ``-shm`` may move between two looks before it is taken for shared: nobody else's does
that."""

_INDEX = struct.Struct("=IIIBBHII8s8sQ")
_VERSION = 3007000
_HEADER, _FRAME = 32, 24
_LITTLE_ENDIAN = 0x377F0682
"""The magic number of a log whose checksums are made of little-endian words; the other is odd."""
_WRITE_LOCK = 120
"""The byte of ``-shm`` that a writer has locked."""
_RESTARTS = 16
"""By how much the salt in ``-shm`` may be ahead: each time that the log is to be begun anew counts,
and those that failed before the log was written do too."""


class _Index(NamedTuple):
    """What ``-shm`` says of the log."""

    valid: bool
    frames: int
    checksum: tuple[int, int]
    salt: bytes


def unseen(shm: int, wal: int | None) -> bool:
    """Whether somebody commits to the log whose shared memory is not ours.

    To be asked while a connection of ours is in a transaction.

    Args:
        shm: a descriptor of ``-shm``.
        wal: one of ``-wal``; None where there is no such file.
    """
    if not _unseen_now(shm, wal):
        return False
    time.sleep(LOOK_AGAIN)
    return _unseen_now(shm, wal)


def _unseen_now(shm: int, wal: int | None) -> bool:
    index = _index(shm)
    for _ in range(_MOVED):
        if not _beyond(index, shm, wal) or _being_written(shm):
            return False
        # What was there may be covered by now; nobody who shares it holds the lock any more.
        before, index = index, _index(shm)
        if index == before:
            return True
    return False


def _index(shm: int) -> _Index:
    content = os.pread(shm, _INDEX.size, 0).ljust(_INDEX.size, b"\0")
    version, _, _, valid, _, _, frames, _, checksum, salt, _ = _INDEX.unpack(content)
    first, second = struct.unpack("=II", checksum)
    return _Index(bool(valid) and version == _VERSION, frames, (first, second), salt)


def _beyond(index: _Index, shm: int, wal: int | None) -> bool:
    """Whether the log holds a commit that is not covered, or is not the one that is meant."""
    if not index.valid:
        return True
    header = b"" if wal is None else os.pread(wal, _HEADER, 0)
    if wal is None or len(header) < _HEADER:
        return index.frames > 0
    magic, _, page, _, first, _, *seed = struct.unpack(">8I", header)
    log = _Log(wal, _FRAME + page, "<" if magic == _LITTLE_ENDIAN else ">", header[16:24])
    if log.salt == index.salt and index.frames:
        return _leads_to_commit(log, index.frames, index.checksum, shm)
    if index.frames:
        return True
    ahead = (int.from_bytes(index.salt[:4]) - first) % 2**32
    return not 0 < ahead <= _RESTARTS and _leads_to_commit(log, 0, (seed[0], seed[1]), shm)


class _Log(NamedTuple):
    """The log, as its own header has it."""

    file: int
    size: int
    """Of a frame."""
    order: str
    """Of the bytes in a word, as :mod:`struct` has it."""
    salt: bytes


def _leads_to_commit(log: _Log, frames: int, checksum: tuple[int, int], shm: int) -> bool:
    """Whether valid frames follow so many others, the last with this checksum, up to a commit."""
    at = start = _HEADER + frames * log.size
    while True:
        header = os.pread(log.file, _FRAME, at)
        if header[8:16] != log.salt:  # or the end
            return False
        if header[4:8] != bytes(4):
            break
        if at == start and _being_written(shm):
            return False  # a long transaction, which may have filled the log with frames
        at += log.size
    for position in range(start, at + 1, log.size):
        frame = os.pread(log.file, log.size, position)
        if len(frame) < log.size:
            return False
        checksum = _checksum(frame[:8] + frame[_FRAME:], log.order, checksum)
        if struct.pack(">II", *checksum) != frame[16:24]:
            return False
    return True


def _checksum(content: bytes, order: str, seed: tuple[int, int]) -> tuple[int, int]:
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    first, second = seed
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def _being_written(shm: int) -> bool:
    """Whether a process holds the lock for writing, this one included; False if nobody can tell."""
    if sys.platform != "linux":
        return False
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK, 1, 0)
    try:
        (kind,) = struct.unpack_from("h", fcntl.fcntl(shm, fcntl.F_OFD_GETLK, asked))
    except OSError:
        return False
    return bool(kind != fcntl.F_UNLCK)
