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
import re
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

from listener.core.judge import Hold, Peers
from listener.core.ownership import PREFIX

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
PAUSE = 0.1
"""Seconds without a connection after one could not be accepted."""
SOCKETS: Final = Path("/proc/self/net/unix")
"""The Unix sockets of this network namespace; the name of an abstract one begins with an @."""
_LINE = re.compile(rb"\w+: \w+ \w+ ([0-9A-F]+) \w+ \w+ +(\d+) (@.*)")
"""What is used of a line of it: the flags, the inode and the name."""
_LISTENS = 0x10000
"""The flag of one that takes connections; each of these has the name as well."""
_NAME = re.compile(rb"/(\d{1,9})-\d+-[0-9a-f]{8}$")
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end of a connection."""

Held = Mapping[str, Hold]
"""By prefix."""


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
            names = {n: i for n, i in _listening(self._mark()).items() if not self._is_ours(n)}
        except OSError as error:
            return dataclasses.replace(self._found, silent=f"{SOCKETS} ({error.strerror})")
        self._strangers &= names.items()
        for name, inode in names.items():
            if (name, inode) not in self._strangers:
                self._connect(name, inode)
        held: dict[str, Hold] = {}
        silent = []
        for name, peer in list(self._peers.items()):
            peer.read()
            if name not in names and peer.is_over():
                self._peers.pop(name).close()
                continue
            for prefix, hold in peer.held.items():
                if prefix not in held or not hold.never_seen:  # of several the strongest
                    held[prefix] = hold
            if name in names and peer.is_silent:
                silent.append(str(peer))
        return Peers(held, " and ".join(sorted(silent)))

    def _connect(self, name: bytes, inode: int) -> None:
        """Put the question, to who is believed and is not asked already: to connect is to ask."""
        peer = self._peers.get(name)
        if peer is not None and peer.is_asked:
            return
        pid = 0
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.setblocking(False)
            connection.connect(name)
            pid, is_believed = _other_end(connection)
        except BlockingIOError:  # a crowd waits there, so it is frozen, or somebody keeps us off
            pid, is_believed = _owner(name, inode)
            connection.close()
        except OSError:  # it has just ended
            connection.close()
            return
        if is_believed:
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


class HoldsSocket:
    """Where we tell the others what we hold; a thread of its own answers.

    Args:
        state: our state folder, by which an operator knows us.
        held: what we hold by our own judgement, another object whenever that changes; None before
            the first sweep.
    """

    def __init__(self, state: Path, held: Callable[[], Held | None]) -> None:
        self._state = state
        self._held = held
        self._token = secrets.token_hex(4).encode()
        self._mark = ""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False
        self._told: Held | None = None
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
            new = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                # A name is free again a moment after its end.
                new.bind(_prefix(mark) + b"%d-%d-%b" % (os.getpid(), new.fileno(), self._token))
                new.listen(512)
            except OSError as error:
                new.close()
                logger.bind(event="peer", error=str(error)).warning(
                    "other listeners on this engine cannot ask what is held here: {}", error
                )
                return
            self._mark, self._socket = mark, new
        threading.Thread(target=self._serve, args=(new,), name="peers", daemon=True).start()

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
                # Whoever else does not read at once is not waited for.
                asking.settimeout(PATIENCE if _other_end(asking)[1] else 0.0)
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


def _prefix(mark: str) -> bytes:
    """How the names of all listeners on this engine begin."""
    return b"\0topology-reaper/holds/%b/" % mark.encode()[:40]


def _listening(mark: str) -> dict[bytes, int]:
    """Where listeners on this engine may be, each name with its socket's inode.

    Raises:
        OSError: nobody can tell.
    """
    if not mark:
        return {}
    begins = b"@" + _prefix(mark)[1:]
    found = {}
    for line in SOCKETS.read_bytes().splitlines():
        if begins in line and (entry := _LINE.fullmatch(line)) is not None:
            flags, inode, name = entry.groups()
            if int(flags, 16) & _LISTENS and name.startswith(begins):
                found[b"\0" + name[1:]] = int(inode)
    return found


def _other_end(connection: socket.socket) -> tuple[int, bool]:
    """The process at the other end, 0 in another container, and whether it is believed."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid, uid in (0, os.geteuid())


def _owner(name: bytes, inode: int) -> tuple[int, bool]:
    """The process that a name says to be of, and whether it is and is believed."""
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
