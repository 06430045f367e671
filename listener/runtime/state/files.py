"""Files in a folder that may be another user's, who may have put anything in a file's place.

Root sweeps in the folder of the service's user. So a link is never followed, a pipe never waited
for, and a file that has another name as well never written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path


def open_file(path: Path, flags: int) -> int:
    """A descriptor of what stands there itself; what is made is for its owner alone.

    Args:
        path: the file.
        flags: of :func:`os.open`.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def replace(path: Path, content: str) -> None:
    """Put this in the file's place, as a whole: the old or the new is there at any moment.

    Only one process at a time may do so.

    Raises:
        OSError: the old is still there.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)  # of a process that was killed
    with os.fdopen(open_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def append(path: Path, lines: bytes, *, limit: int, wait: bool) -> None:
    """Append by one write under the file's lock; the file is made if there is none.

    Args:
        path: the file.
        lines: each with its end.
        limit: bytes; where the file would grow larger its older half is dropped first.
        wait: for another process that has the lock.

    Raises:
        BlockingIOError: another process has the lock, and it is not waited for.
        OSError: it cannot be had, or is another's, or is something else than a file.
    """
    folder = path.parent.stat()
    flags = os.O_RDWR | os.O_APPEND
    try:
        descriptor = open_file(path, flags | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        descriptor = open_file(path, flags)
    else:  # made by root, it still belongs to the user who keeps the folder
        if os.geteuid() == 0:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        found = os.fstat(descriptor)
        of_ours = found.st_uid in (folder.st_uid, os.geteuid())
        if not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and of_ours):
            raise OSError("it is not the file that we made; move it away")
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        size = os.fstat(descriptor).st_size
        if size + len(lines) > limit:
            file.seek(max(0, size - limit // 2))
            kept = file.read().partition(b"\n")[2]
            file.truncate(0)
            size = file.write(kept)
        if file.write(lines) < len(lines):  # half a line would spoil the next one as well
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
