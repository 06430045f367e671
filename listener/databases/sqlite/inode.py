"""Which file a path names, and looking into a file that SQLite has open.

A file is told from another by its device, its inode and its time of birth. What we open of it
beside SQLite stays open until the file is deleted and all connections to it are closed: closing any
descriptor of a file drops the locks that SQLite holds on it for the whole process.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_LIBC = ctypes.CDLL(None)
_AT_FDCWD, _STATX_BTIME, _STATX_ATTR_MOUNT_ROOT = -100, 0x800, 0x2000


class FileId(NamedTuple):
    """The number of a file that was removed is soon given to another one, so it takes its birth."""

    device: int
    inode: int
    born: int
    """In nanoseconds since the epoch; 0 where the file system does not keep it."""


_descriptors: dict[FileId, int] = {}
"""By file, a descriptor that is not closed while anybody may have the file open."""
_lock = threading.Lock()


class Status(NamedTuple):
    """What there is to see of a path."""

    id: FileId
    mode: int
    mounted: bool
    """The file itself is a mount, as when a container is given it without its folder."""


def status_of(path: Path | str) -> Status:
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
    id_ = FileId(status.st_dev, status.st_ino, born)
    return Status(id_, status.st_mode, bool(attributes & _STATX_ATTR_MOUNT_ROOT))


def descriptor(file: FileId, path: Path) -> int:
    """A descriptor of this file, which its caller must not close.

    Raises:
        OSError: it cannot be opened.
        KeyError: the path names another one by now.
    """
    if file not in _descriptors:
        with _lock:
            _close_deleted()
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _descriptors.setdefault(status_of(f"/proc/self/fd/{opened}").id, opened)
    return _descriptors[file]


def _close_deleted() -> None:
    """Close what we kept open of files that nobody has open any more, or can open."""
    inodes: Counter[tuple[int, int]] = Counter()
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # another thread has closed it
            status = opened.stat()
            inodes[status.st_dev, status.st_ino] += 1
    for file, kept in list(_descriptors.items()):
        if os.fstat(kept).st_nlink == 0 and inodes[file.device, file.inode] == 1:
            del _descriptors[file]
            os.close(kept)
