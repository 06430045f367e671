"""Where this listener tells the others on its engine what it holds by its own judgement."""

from __future__ import annotations

import dataclasses
import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from loguru import logger

from listener.core.judge import Hold
from listener.runtime.peers import names
from listener.telemetry import unix


class HoldsSocket:
    """Where we tell the others what we hold; a thread of its own answers.

    Args:
        state: our state folder, by which an operator knows us.
        held: what we hold by our own judgement, another object whenever that changes; None before
            the first sweep.
    """

    def __init__(self, state: Path, held: Callable[[], Mapping[str, Hold] | None]) -> None:
        self._state = state
        self._held = held
        self._token = secrets.token_hex(4).encode()
        self._mark = ""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False
        self._told: Mapping[str, Hold] | None = None
        self._answer = b""

    def is_ours(self, name: bytes) -> bool:
        """Whether this is one of our names."""
        return name.endswith(self._token)

    def open(self, mark: str) -> None:
        """Listen, if we do not yet, for those on the engine with this mark."""
        with self._lock:
            if self._closed or not mark or (mark == self._mark and self._socket is not None):
                return
            self._end()
            new = unix.stream_socket()
            try:
                new.bind(names.own(mark, new.fileno(), self._token))
                new.listen(512)
            except OSError as error:
                new.close()
                logger.bind(event="peer", error=str(error)).warning(
                    "other listeners on this engine cannot ask what is held here: {}", error
                )
                return
            self._mark, self._socket = mark, new
        unix.serve(new, self._reply, thread="peers", defect="what is held cannot be told")

    def close(self) -> None:
        """Stop listening, for good."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _reply(self, asking: socket.socket) -> None:
        _, is_trusted = unix.credentials(asking)
        # Whoever else does not read at once is not waited for.
        asking.settimeout(unix.PATIENCE if is_trusted else 0.0)
        asking.sendall(self._written())

    def _written(self) -> bytes:
        held = self._held()
        if held is not self._told or not self._answer:
            told: object = None
            if held is not None:
                told = {prefix: dataclasses.asdict(hold) for prefix, hold in held.items()}
            self._answer = json.dumps({"state": str(self._state), "held": told}).encode()
            self._told = held
        return self._answer
