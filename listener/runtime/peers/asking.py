"""What the other listeners on this engine hold: they are all asked, and nobody is waited for long.

One that has not answered within a second is *silent*: nobody waits for it any longer, though its
answer is still taken when it comes. What a peer held is held here for a while after it is gone, for
it may only be restarting.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping

from loguru import logger

from listener.core.judge import Hold, Peers
from listener.core.ownership import PREFIX
from listener.runtime.peers import names
from listener.telemetry import unix

PATIENCE = 1.0
"""Seconds until a peer that has not answered its first question is silent."""
PROMPTLY = 0.2
"""Seconds for one that has answered before, lest the answer of a database be too old by then."""
SAID_AFTER = 5.0
"""Seconds of silence that are worth a word; one that starts is silent for a moment too."""
LINGER = 60.0
"""Seconds for which the word of a peer that is gone still counts."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; some 100,000 holds."""


class OtherListeners:
    """What the other listeners on this engine hold.

    Args:
        mark: tells this engine from others; empty while that is not known.
        is_ours: whether a name is our own.
    """

    def __init__(
        self, mark: Callable[[], str], is_ours: Callable[[bytes], bool] = lambda _: False
    ) -> None:
        self._mark = mark
        self._is_ours = is_ours
        self._lock = threading.Lock()
        self._peers: dict[bytes, _Peer] = {}
        self._strangers: set[tuple[bytes, int]] = set()
        self._asked_at = 0.0
        self._found = Peers()
        self._silent_since: float | None = None
        self._said = False

    def ask(self) -> Peers:
        """Ask them all; for who has to wait for another's question, its answers are good too."""
        came_at = time.monotonic()
        with self._lock:
            if self._asked_at < came_at:
                self._asked_at = time.monotonic()
                self._found = self._ask()
                self._say(self._found.silent)
            return self._found

    def close(self) -> None:
        """Await nobody any longer."""
        with self._lock:
            for peer in self._peers.values():
                peer.close()
            self._peers.clear()

    def _ask(self) -> Peers:
        try:
            there = {n: i for n, i in names.find(self._mark()).items() if not self._is_ours(n)}
        except OSError as error:
            return dataclasses.replace(self._found, silent=f"{names.SOCKETS} ({error.strerror})")
        self._strangers &= there.items()
        for name, inode in there.items():
            if (name, inode) not in self._strangers:
                self._connect(name, inode)
        held: dict[str, Hold] = {}
        silent = []
        for name, peer in list(self._peers.items()):
            peer.read()
            if name not in there and peer.is_over():
                self._peers.pop(name).close()
                continue
            for prefix, hold in peer.held.items():
                if prefix not in held or not hold.never_seen:  # of several the strongest
                    held[prefix] = hold
            if name in there and peer.is_silent:
                silent.append(str(peer))
        return Peers(held, " and ".join(sorted(silent)))

    def _connect(self, name: bytes, inode: int) -> None:
        """Put the question, to who is trusted and is not asked already: to connect is to ask."""
        peer = self._peers.get(name)
        if peer is not None and peer.is_asked:
            return
        connection = unix.stream_socket()
        try:
            connection.setblocking(False)
            connection.connect(name)
            pid, is_trusted = unix.credentials(connection)
        except BlockingIOError:  # a crowd waits there, so it is frozen, or somebody keeps us off
            pid, is_trusted = names.owner(name, inode)
            connection.close()
        except OSError:  # it has just ended
            connection.close()
            return
        if is_trusted:
            peer = self._peers.setdefault(name, _Peer(pid))
            peer.ask(connection)
        else:
            connection.close()
            self._strangers.add((name, inode))

    def _say(self, silent: str) -> None:
        now = time.monotonic()
        if not silent:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        lasts = self._silent_since is not None and now - self._silent_since >= SAID_AFTER
        if lasts and not self._said:
            logger.bind(event="peer").warning(
                "{} does not say what it holds; until it does, what was never witnessed stays",
                silent,
            )
        elif self._said and not silent:
            logger.bind(event="peer").info("every other listener says what it holds")
        self._said = bool(silent) and (self._said or lasts)


class _Peer:
    """Another listener; it counts.

    Attributes:
        held: what it said last that it holds.
    """

    def __init__(self, pid: int) -> None:
        self.held: Mapping[str, Hold] = {}
        self._pid = pid
        self._connection: socket.socket | None = None
        self._received = b""
        self._has_said = False
        self._until = 0.0
        self._gone_at: float | None = None

    def __str__(self) -> str:
        return f"the listener with pid {self._pid}"

    def ask(self, connection: socket.socket) -> None:
        """It was asked by this connection, which is closed already if it could not be reached."""
        self._gone_at = None
        if connection.fileno() < 0:
            self._has_said = False
            return
        self._connection, self._received = connection, b""
        self._until = time.monotonic() + (PROMPTLY if self._has_said else PATIENCE)

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
        """Take what it has said, and wait for the rest while its time lasts."""
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
                self.close()
                self._understand()

    def close(self) -> None:
        """Await no answer."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._has_said = False  # it ended meanwhile, or has judged nothing yet
