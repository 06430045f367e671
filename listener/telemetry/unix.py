"""Unix sockets by which a listener tells other processes on its host something, one answer each.

Whoever connects is answered, one after the other, by a thread of the socket's own; what they say is
not read. Who they are is told by the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

PATIENCE = 1.0
"""Seconds for a reader that does not read."""
PAUSE = 0.1
"""Seconds without a reader after one could not be accepted."""
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end of a connection."""


def stream_socket() -> socket.socket:
    """One that is neither bound nor connected yet."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def credentials(connection: socket.socket) -> tuple[int, bool]:
    """The process at the other end, 0 in another container, and whether it is root's or our user's.

    Raises:
        OSError: it is not connected.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(packed)
    return pid, uid in (0, os.geteuid())


def serve(
    listening: socket.socket,
    answer: Callable[[socket.socket], None],
    *,
    thread: str,
    defect: str,
) -> None:
    """Begin a thread that answers whoever connects, until the socket is shut down or closed.

    Args:
        listening: listens already.
        answer: sends the answer; an OSError ends that connection only.
        thread: its name.
        defect: what is logged when the answer raises anything else.
    """

    def work() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.EBADF):  # shut down, closed
                    return
                time.sleep(PAUSE)  # there are no file descriptors left, for one
                continue
            defects = logger.bind(event="defect").catch(message=defect)
            with defects, suppress(OSError), connection:
                answer(connection)

    threading.Thread(target=work, name=thread, daemon=True).start()
