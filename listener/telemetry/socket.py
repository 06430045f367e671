"""How a listener tells other processes on this host what it knows: a socket in ``--state-dir``.

Whoever connects is sent one JSON object and the end; what they say is not read. Only the listener
that has the folder locked listens there. One that could not have it, for it cannot be written or is
another's, answers the health check of its container all the same: at a name that takes no file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger

from listener.telemetry.healthcheck import NAME, address_without

PAUSE = 0.1
"""Seconds without a reader after one could not be accepted."""
PATIENCE = 1.0
"""Seconds for a reader that does not read."""
_PEER = struct.Struct("3i")
"""Process, user and group of whoever connected."""


class StatusSocket:
    """The listening end; a thread of its own answers.

    Args:
        folder: is ours alone.
        status: what to tell.
    """

    def __init__(self, folder: Path, status: Callable[[], Mapping[str, object]]) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._status = status
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listening = self._in_folder = False

    def open(self, *, ours: bool = True) -> None:
        """Listen; what cannot be used is a warning.

        Args:
            ours: whether the folder is.
        """
        try:
            self._in_folder = ours and self._bind_in_folder()
            if not self._in_folder:
                self._socket.bind(address_without(self._folder))
            self._socket.listen()
            self._listening = True
        except OSError as error:
            self._socket.close()
            self._warn(error)
            return
        threading.Thread(target=self._serve, name="status", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._listening:
            self._listening = False
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
                if self._in_folder:  # else the path may be another listener's
                    self._path.unlink(missing_ok=True)
        self._socket.close()

    def _bind_in_folder(self) -> bool:
        try:
            self._path.unlink(missing_ok=True)  # of a listener that was killed
            os.fchmod(self._socket.fileno(), 0o600)  # before anybody can connect
            self._socket.bind(str(self._path))
        except OSError as error:
            self._warn(error)
            return False
        return True

    def _warn(self, error: OSError) -> None:
        logger.bind(event="state", error=str(error)).warning(
            "--state-dir: nobody can ask for the status at {}: {}", self._path, error
        )

    def _serve(self) -> None:
        while True:
            try:
                reader, _ = self._socket.accept()
            except OSError:
                if not self._listening:
                    return
                time.sleep(PAUSE)  # there are no file descriptors left, for one
                continue
            defects = logger.bind(event="defect").catch(message="the status cannot be told")
            with defects, contextlib.suppress(OSError), reader:
                if _is_ours(reader):
                    reader.settimeout(PATIENCE)
                    reader.sendall(json.dumps(self._status()).encode())


def _is_ours(reader: socket.socket) -> bool:
    """Whether our own user asks, or root: a name without a file has no mode to see to that."""
    peer = reader.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(peer)
    return uid in (0, os.geteuid())
