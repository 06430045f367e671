"""Listeners on one engine tell each other what they hold, whatever their state folders.

Each listens at an abstract socket with the engine's mark in its name, and sends whoever connects
what it holds by its own judgement, never what it only heard of another. Whoever is about to remove
something, a listener or a sweep, finds these names in ``/proc/self/net/unix`` and asks first. Such
names belong to a network namespace: a peer in another one is not seen.

Anybody may bind such a name, so a peer counts only if it runs as root or as our own user, which the
kernel tells. One that has not answered within a second is *silent*: nobody waits for it any longer,
though its answer is still taken when it comes. What a peer held is held here for a while after it
is gone, for it may only be restarting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from loguru import logger

from listener.judge import Hold, Peers
from listener.naming import PREFIX

PATIENCE = 1.0
"""Seconds until a peer that has not answered is silent, and for one that does not read."""
STRANGER_PATIENCE = 0.01
"""Seconds for another user that does not read."""
LINGER = 60.0
"""Seconds for which the word of a peer that is gone still counts."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; some 100,000 holds."""
PAUSE = 0.1
"""Seconds without a connection after one could not be accepted."""
SOCKETS: Final = Path("/proc/self/net/unix")
"""The Unix sockets of this network namespace; the name of an abstract one begins with an @."""
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end of a connection."""

Held = Mapping[str, Hold]
"""By prefix."""


class OtherListeners:
    """What the other listeners on this engine hold.

    Args:
        mark: tells this engine from others; empty while that is not known.
        ours: the name that is our own.
    """

    def __init__(self, mark: Callable[[], str], ours: Callable[[], bytes] = bytes) -> None:
        self._mark = mark
        self._ours = ours
        self._lock = threading.Lock()
        self._peers: dict[bytes, _Peer] = {}
        self._said = ""

    def ask(self) -> Peers:
        """Ask them all, and wait for a second at most, for one that is silent only once."""
        with self._lock:
            names = _names(self._mark()) - {self._ours()}
            for name in names:
                if name not in self._peers or not self._peers[name].is_asked:
                    self._connect(name)
            for name, peer in list(self._peers.items()):
                peer.read()
                if name not in names and peer.is_over():
                    del self._peers[name]
            held: dict[str, Hold] = {}
            for peer in self._peers.values():
                held.update(peer.held)
            silent = sorted(str(p) for n, p in self._peers.items() if n in names and p.is_silent)
            self._say(" and ".join(silent))
            return Peers(held, " and ".join(silent))

    def _connect(self, name: bytes) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.setblocking(False)
        try:
            connection.connect(name)
        except OSError:  # it has just ended, or hundreds wait there, as never do for one of ours
            connection.close()
            return
        pid, is_believed = _other_end(connection)
        if is_believed:
            self._peers.setdefault(name, _Peer(pid)).ask(connection)
        else:
            connection.close()

    def _say(self, silent: str) -> None:
        if silent == self._said:
            return
        self._said = silent
        if silent:
            logger.bind(event="peer").warning(
                "{} does not say what it holds; until it does, what was never witnessed stays",
                silent,
            )
        else:
            logger.bind(event="peer").info("every other listener says what it holds")


class _Peer:
    """Another listener; it counts.

    Attributes:
        held: what it said last that it holds.
    """

    def __init__(self, pid: int) -> None:
        self.held: Held = {}
        self._pid = pid
        self._connection: socket.socket | None = None
        self._received = b""
        self._has_said = False
        self._until = 0.0
        self._gone_at: float | None = None

    def __str__(self) -> str:
        return f"the listener with pid {self._pid}"

    def ask(self, connection: socket.socket) -> None:
        """Put the question: to connect is to ask."""
        self._connection, self._received = connection, b""
        self._until = time.monotonic() + PATIENCE

    @property
    def is_asked(self) -> bool:
        """Its answer is awaited."""
        return self._connection is not None

    @property
    def is_silent(self) -> bool:
        """It has not answered the last question."""
        return self.is_asked or not self._has_said

    def is_over(self) -> bool:
        """Whether it was found to be gone so long ago that what it said counts no more."""
        now = time.monotonic()
        if self._gone_at is None:
            self._gone_at = now
        return now - self._gone_at > LINGER

    def read(self) -> None:
        """Take what it has said, and wait for the rest while its second lasts."""
        while self._connection is not None:
            self._connection.settimeout(max(0.0, self._until - time.monotonic()))
            try:
                chunk = self._connection.recv(65536)
            except (TimeoutError, BlockingIOError):
                return
            except OSError:
                chunk = b""
            self._received += chunk
            if not chunk or len(self._received) > LARGEST:
                self._connection.close()
                self._connection = None
                self._understand()

    def _understand(self) -> None:
        try:
            told = json.loads(self._received)
            who = f"{self} and the state folder {told['state']}"
            self.held = {
                prefix: Hold(f"{who} holds it: {hold['reason']}", bool(hold["never_seen"]))
                for prefix, hold in told["held"].items()
                if PREFIX.fullmatch(prefix)
            }
            self._has_said = True
        except (ValueError, TypeError, KeyError, AttributeError):
            self._has_said = False  # it ended meanwhile, or has judged nothing yet


class HoldsSocket:
    """Where we tell the others what we hold; a thread of its own answers.

    Args:
        state: our state folder, by which an operator knows us.
        held: what we hold by our own judgement; None before the first sweep.
    """

    def __init__(self, state: Path, held: Callable[[], Held | None]) -> None:
        self.name = b""
        self._state = state
        self._held = held
        self._own = secrets.token_hex(4)
        self._socket: socket.socket | None = None

    def open(self, mark: str) -> None:
        """Listen, if we do not yet, for those on the engine with this mark."""
        name = _prefix(mark) + self._own.encode()
        if name == self.name:
            return
        self.close()
        new = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            new.bind(name)
            new.listen(512)
        except OSError as error:
            new.close()
            logger.bind(event="peer", error=str(error)).warning(
                "other listeners on this engine cannot ask what is held here: {}", error
            )
            return
        self.name, self._socket = name, new
        threading.Thread(target=self._serve, args=(new,), name="peers", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket, self.name = None, b""

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                asking, _ = listening.accept()
            except OSError:
                if self._socket is not listening:
                    return
                time.sleep(PAUSE)  # there are no file descriptors left, for one
                continue
            defects = logger.bind(event="defect").catch(message="what is held cannot be told")
            with defects, suppress(OSError), asking:
                asking.settimeout(PATIENCE if _other_end(asking)[1] else STRANGER_PATIENCE)
                asking.sendall(self._answer())

    def _answer(self) -> bytes:
        held = self._held()
        told: object = None
        if held is not None:
            told = {prefix: dataclasses.asdict(hold) for prefix, hold in held.items()}
        return json.dumps({"state": str(self._state), "held": told}).encode()


def _prefix(mark: str) -> bytes:
    """How the names of all listeners on this engine begin."""
    return b"\0topology-reaper/holds/%b/" % mark.encode()[:40]


def _names(mark: str) -> set[bytes]:
    """Where listeners on this engine may be."""
    if not mark:
        return set()
    begins = b"@" + _prefix(mark)[1:]
    try:
        words = (line.rpartition(b" ")[2] for line in SOCKETS.read_bytes().splitlines())
    except OSError:
        return set()
    return {b"\0" + word[1:] for word in words if word.startswith(begins)}


def _other_end(connection: socket.socket) -> tuple[int, bool]:
    """The process at the other end, 0 in another container, and whether it is believed."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid, uid in (0, os.geteuid())
