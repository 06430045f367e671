"""How a listener tells other processes on this host what it knows: a socket in ``--state-dir``.

Whoever connects is sent one JSON object and the end; what they say is not read. Only the listener
that has the folder locked listens there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger

from listener.telemetry.probe import NAME

PATIENCE = 1.0
"""Seconds for a reader that does not read."""


class StatusSocket:
    """The listening end; a thread of its own answers.

    Args:
        folder: is ours alone.
        status: what to tell.
    """

    def __init__(self, folder: Path, status: Callable[[], Mapping[str, object]]) -> None:
        self._path = folder / NAME
        self._status = status
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listening = False

    def open(self) -> None:
        """Listen; a path that cannot be used is a warning."""
        try:
            self._path.unlink(missing_ok=True)  # of a listener that was killed
            os.fchmod(self._socket.fileno(), 0o600)  # before anybody can connect
            self._socket.bind(str(self._path))
            self._socket.listen()
            self._listening = True
        except OSError as error:
            self._socket.close()
            logger.bind(event="state", error=str(error)).warning(
                "--state-dir: nobody can ask for the status at {}: {}", self._path, error
            )
            return
        threading.Thread(target=self._serve, name="status", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._listening:  # else the path may be another listener's
            self._listening = False
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
                self._path.unlink(missing_ok=True)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                reader, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), reader:
                reader.settimeout(PATIENCE)
                reader.sendall(json.dumps(self._status()).encode())
