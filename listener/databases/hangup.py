"""Ending another thread's wait for a socket."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def hang_up(fileno: int) -> None:
    """Shut down the connection behind a descriptor: whoever waits for it sees its end.

    The descriptor itself stays open; closing it under another thread would wake nobody, and its
    number might soon be somebody else's.
    """
    with suppress(OSError), socket.socket(fileno=os.dup(fileno)) as end:
        end.shutdown(socket.SHUT_RDWR)
