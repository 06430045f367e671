"""The files of a SQLite database: who may do what with them, and what they lie on.

Whoever has a database in WAL mode open makes ``-wal`` and ``-shm`` beside it, as files of his own
where there are none. One that belongs to another user than the database does can lock the writer
out. Root's is no such user: SQLite gives what root makes to the database's owner.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from listener.core.findings import Finding, fault, ok, warning
from listener.databases.mounts import file_system
from listener.databases.sqlite.file import beside, kind_without_shared_memory


def examine(database: Path, *, in_wal: bool) -> Iterator[Finding]:
    """Everything about them but what whoever opens it says.

    That is, that there is no such file, or that no memory is shared where it lies.
    """
    try:
        found = database.stat()
        folder = database.resolve().parent
        around = folder.stat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode):
        yield _owner(found.st_uid)
        yield _owners_beside(database, found.st_uid)
        yield _mode(database, found.st_mode)
        yield _folder(folder, around, found.st_uid)
        if not (in_wal and kind_without_shared_memory(database)):
            yield _file_system(database)


def may_write(folder: Path) -> bool:
    """Whether this process may make files in a folder."""
    return os.access(folder, os.W_OK, effective_ids=True)


def how_to_write(folder: Path, owner: int) -> str:
    """What lets the owner of a database make files in its folder where he may not."""
    with suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return (
                f"let this process write there, by ReadWritePaths={folder} in a unit of systemd, or"
                " a mount that is not read-only in a container"
            )
    return f"chown {owner} {folder}, and run as that user"


def _owner(owner: int) -> Finding:
    us = os.geteuid()
    if us in (0, owner):
        return ok("database.owner", f"it belongs to uid {owner}")
    return fault(
        "database.owner",
        f"it belongs to uid {owner}, and this is uid {us}, whose -wal and -shm files would lock the"
        " owner out",
        f"run as uid {owner}",
    )


def _owners_beside(database: Path, owner: int) -> Finding:
    strangers = {}
    for path in beside(database).values():
        with suppress(FileNotFoundError):
            if (uid := path.stat().st_uid) != owner:
                strangers[str(path)] = uid
    if not strangers:
        return ok("database.beside", "no -wal or -shm file of another user lies beside it")
    uids = " and ".join(f"uid {uid}" for uid in sorted(set(strangers.values())))
    return fault(
        "database.beside",
        f"a -wal or -shm file of {uids} lies beside it, which may lock the owner out",
        f"stop what runs as {uids}, then chown {owner} {' '.join(strangers)}",
    )


def _mode(database: Path, mode: int) -> Finding:
    if mode & stat.S_IWOTH:
        message = f"its mode, {stat.S_IMODE(mode):o}, lets anybody write it"
        return warning("database.mode", message, f"chmod o-w {database}")
    return ok("database.mode", "nobody but its owner and group may write it")


def _folder(folder: Path, found: os.stat_result, owner: int) -> Finding:
    if found.st_mode & stat.S_IWOTH:
        message = f"anybody may put files beside it or in its place, for all may write {folder}"
        return warning("database.folder", message, f"chmod o-w {folder}")
    if not may_write(folder):
        return warning(
            "database.folder",
            f"uid {os.geteuid()} may not write {folder}, where a reader makes -wal and -shm files"
            " while nobody else has the database open",
            how_to_write(folder, owner),
        )
    return ok("database.folder", f"its folder belongs to uid {found.st_uid}")


def _file_system(database: Path) -> Finding:
    kind = file_system(database)
    if kind_without_shared_memory(database):
        return warning(
            "database.file-system",
            f"it lies on {kind}, where the notice of a commit may not work",
            "keep it on a local file system, and run on that host",
        )
    return ok("database.file-system", f"it lies on {kind or 'an unknown file system'}")
