"""How a listener tells other processes on this host what it knows: a socket in ``--state-dir``.

Root and our own user are sent one JSON object and the end, others only the end. Only the listener
that has the folder locked listens there. One that could not have it, for it cannot be written or is
another's, answers the health check of its container all the same: at a name that takes no file.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from loguru import logger

from listener.telemetry import unix
from listener.telemetry.healthcheck import NAME, address_without


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
        self._socket = unix.stream_socket()
        self._in_folder = False

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
        except OSError as error:
            self._socket.close()
            self._warn(error)
            return
        unix.serve(self._socket, self._answer, thread="status", defect="the status cannot be told")

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # refused if it is closed already
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

    def _answer(self, reader: socket.socket) -> None:
        _, is_trusted = unix.credentials(reader)
        if is_trusted:  # a name without a file has no mode to see to that
            reader.settimeout(unix.PATIENCE)
            reader.sendall(json.dumps(self._status()).encode())
