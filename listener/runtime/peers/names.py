"""The names at which listeners on one engine can be asked, as ``/proc/self/net/unix`` has them.

A name is ``topology-reaper/holds/MARK/PID-DESCRIPTOR-TOKEN``: of an engine and of the process that
listens there. Anybody may bind any name.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

SOCKETS: Final = Path("/proc/self/net/unix")
"""The Unix sockets of this network namespace; the name of an abstract one begins with an @."""
_LINE = re.compile(rb"\w+: \w+ \w+ ([0-9A-F]+) \w+ \w+ +(\d+) (@.*)")
"""What is used of a line of it: the flags, the inode and the name."""
_LISTENS = 0x10000
"""The flag of one that takes connections; each of these has the name as well."""
_NAME = re.compile(rb"/(\d{1,9})-\d+-[0-9a-f]{8}$")


def prefix(mark: str) -> bytes:
    """How the names of all listeners on this engine begin."""
    return b"\0topology-reaper/holds/%b/" % mark.encode()[:40]


def own(mark: str, descriptor: int, token: bytes) -> bytes:
    """A name for a socket of this process, not the last one's: that is in use a moment longer.

    Args:
        mark: of the engine.
        descriptor: of the socket.
        token: eight hex digits, by which we know it again.
    """
    return prefix(mark) + b"%d-%d-%b" % (os.getpid(), descriptor, token)


def find(mark: str) -> dict[bytes, int]:
    """Where listeners on this engine may be, each name with its socket's inode.

    Raises:
        OSError: nobody can tell.
    """
    if not mark:
        return {}
    begins = b"@" + prefix(mark)[1:]
    found = {}
    for line in SOCKETS.read_bytes().splitlines():
        if begins in line and (entry := _LINE.fullmatch(line)) is not None:
            flags, inode, name = entry.groups()
            if int(flags, 16) & _LISTENS and name.startswith(begins):
                found[b"\0" + name[1:]] = int(inode)
    return found


def owner(name: bytes, inode: int) -> tuple[int, bool]:
    """The process that a name says to be of, and whether it is and is trusted."""
    pid = int(found[1]) if (found := _NAME.search(name)) else 0
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid not in (0, os.geteuid()):
            return pid, False
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return pid, True
    except PermissionError:  # root's, and we are not
        return pid, True
    except OSError:
        pass
    return pid, False
