"""Keeping the index in step with the engine: subscribe, list, replay, follow.

:meth:`Watch.connect` subscribes a few seconds into the past and only then lists, because the
engine sends the head of its answer before the subscription is in place. What arrived meanwhile is
replayed on top of the listing.

The engine buffers 1,024 events for a subscriber. After that each operation on the whole host waits
100 ms for us, so the stream is read on a thread that does nothing else, and everything else happens
on the thread that runs :meth:`Watch.follow`. That thread is the only one that writes events and
listings into the index; whoever wants a listing asks it through :meth:`Watch.relist`.

Every end of the stream leads back to ``connect`` and with that to a listing: a cut, a restart of
the daemon, and a minute of silence as well, which is how a half-open connection is found out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from typing import Final

from loguru import logger

from listener.control.inventory import PrefixIndex
from listener.control.subnets import SubnetIndex
from listener.engine.client import Engine
from listener.engine.events import QUIET, EventStream
from listener.engine.mirror import Mirror
from listener.engine.objects import Listing
from listener.errors import EngineError

OVERLAP = 5.0
"""Seconds of the past to replay; more than one, for the engine tells its time in whole seconds."""


NEVER_STUCK: Final = nullcontext()


class _Marker:
    """Something in the inbox that is no bytes."""


class _Relist(_Marker):
    """Somebody wants a listing."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        self.at = time.monotonic()


END: Final = _Marker()


class Watch:
    """The subscription to one engine.

    Args:
        engine: the Docker Engine.
        index: what it keeps.
        appeared: called with each prefix that a container or network has just appeared under.
        vanished: called with each prefix of what was destroyed.
        listed: called after the index was replaced by a listing, with its cause as
            :class:`~listener.control.observer.Sweep` has it, and the seconds that it took.
        alive: called when the stream has brought something.
        subnets: of every network on this host; are kept as well.
        quiet: seconds of silence after which the stream is opened anew.
        busy: entered for each piece of work.
    """

    def __init__(
        self,
        engine: Engine,
        index: PrefixIndex,
        *,
        appeared: Callable[[str], None],
        listed: Callable[[str, float], None],
        vanished: Callable[[str], None] = lambda _: None,
        alive: Callable[[], None] = lambda: None,
        subnets: SubnetIndex | None = None,
        quiet: float = QUIET,
        busy: AbstractContextManager[None] = NEVER_STUCK,
    ) -> None:
        self._engine = engine
        self._index = index
        self._tell_appeared = appeared
        self._subnets = subnets
        self._mirror = Mirror(index, self._appeared, vanished, subnets)
        self._listed = listed
        self._alive = alive
        self._quiet = quiet
        self._busy = busy
        self._inbox: SimpleQueue[bytes | _Marker] = SimpleQueue()
        self._stream: EventStream | None = None
        self._cause = "start-up"
        self._connected_at = 0.0
        self._listed_at = 0.0
        self.listing = Listing()
        """The last one; empty before the first."""

    def connect(self) -> None:
        """Subscribe, then list.

        Raises:
            EngineError: the engine cannot be reached, or refuses.
        """
        self._engine.connect()
        self._connected_at = self._engine.now()
        stream = self._engine.events(self._connected_at - OVERLAP, self._quiet)
        self._stream, self._inbox = stream, SimpleQueue()
        threading.Thread(
            target=self._read, args=(stream, self._inbox), name="docker-events", daemon=True
        ).start()
        try:
            self._list()
        except BaseException:
            self.close()
            raise

    def follow(self) -> None:
        """Replay, then follow, until the stream ends.

        Raises:
            EngineError: a listing failed, or the stream brought something that is no event.
        """
        rest = b""
        try:
            for item in _joined(self._inbox):
                with self._busy:
                    if isinstance(item, bytes):
                        self._alive()
                        *lines, rest = (rest + item).split(b"\n")
                        self._mirror.apply(*lines)
                    elif isinstance(item, _Relist) and item.at > self._listed_at:
                        self._cause = item.cause
                        self._list()
        finally:
            silent = self._stream is not None and self._stream.silent
            self._cause = "silence" if silent else "reconnect"
            self.close()

    def relist(self, cause: str = "asked") -> None:
        """Ask for a listing soon; without a connection the next one begins with it anyway.

        All who ask while one is under way get the same next one.
        """
        self._inbox.put(_Relist(cause))

    def close(self) -> None:
        """End the stream, and with it :meth:`follow`; from any thread."""
        if self._stream is not None:
            self._stream.close()

    def _appeared(self, prefix: str) -> None:
        if self._engine.is_podman and len(self._index.resources(prefix)) == 1:
            self.relist()  # the networks are there by now, and Podman 4.3 tells nothing of them
        self._tell_appeared(prefix)

    def _read(self, stream: EventStream, inbox: SimpleQueue[bytes | _Marker]) -> None:
        try:
            for chunk in stream:
                inbox.put(chunk)
        except EngineError as error:
            logger.bind(event="lost", side="Docker", error=str(error)).debug("{}", error)
        finally:
            inbox.put(END)

    def _list(self) -> None:
        self._listed_at = time.monotonic()
        self.listing = self._engine.listing()
        if self._subnets is not None:
            self._subnets.replace(self.listing.subnets)
        self._mirror.list(self.listing.resources, self._connected_at)
        self._listed(self._cause, time.monotonic() - self._listed_at)


def _joined(inbox: SimpleQueue[bytes | _Marker]) -> Iterator[bytes | _Marker]:
    """What comes into the inbox until its end, with the bytes that wait there in one piece."""
    item: bytes | _Marker | None = None
    while item is not END:
        item, chunks = inbox.get(), []
        while isinstance(item, bytes):
            chunks.append(item)
            item = None if inbox.empty() else inbox.get()  # nobody else takes from it
        if chunks:
            yield b"".join(chunks)
        if item is not None and item is not END:
            yield item
