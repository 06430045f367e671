"""The subscription to the engine's events: how it is opened, read and ended.

``events()`` of the SDK has no read timeout at all, so that a half-open connection would be silent
for ever, and its iterator turns a socket's error into a normal end.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

import docker
import requests
import urllib3
from docker.utils import convert_filters

from listener.engine.errors import raise_for_status
from listener.errors import EngineError

QUIET = 60.0
"""Seconds without an event after which the stream is opened anew, to prove that it still speaks."""

EVENT_FILTERS: Final = {
    "type": ["container", "network"],
    "event": ["create", "rename", "destroy", "remove"],
}
"""What changes who is on this host; health checks alone would add three events each."""
GONE: Final = ("destroy", "remove")
"""What Docker and Podman call it when a thing is gone; Podman takes no other word in a filter."""


class EventStream:
    """A subscription: bytes as they arrive, until it is closed or breaks."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        # A socket of our own to shut the connection down with, from any thread: closing the answer
        # would wait for the thread that reads it.
        self._socket = socket.socket(fileno=os.dup(answer.raw.fileno()))
        self.silent = False
        """Whether it ended because nothing came for too long."""

    def __iter__(self) -> Iterator[bytes]:
        """Blocks; ends when the stream does, or was quiet for too long.

        Raises:
            EngineError: the stream broke.
        """
        try:
            yield from self._answer.raw.stream(None, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError:
            self.silent = True
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EngineError(f"the event stream broke: {error}") from error
        finally:
            self._answer.close()

    def close(self) -> None:
        """End it; a reader that blocks returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def subscribe(api: docker.APIClient, since: float, timeout: tuple[float, float]) -> EventStream:
    """Subscribe to what appears, is renamed and goes; raises what the SDK raises.

    Args:
        api: the SDK's client, connected.
        since: replay from here on, in seconds since the epoch, as far as the engine kept it.
        timeout: seconds to connect within, and without a byte after which the stream ends.
    """
    answer = api.get(
        f"{api.base_url}/v{api.api_version}/events",
        params={"since": f"{since:.9f}", "filters": convert_filters(EVENT_FILTERS)},
        stream=True,
        timeout=timeout,
    )
    raise_for_status(answer)
    return EventStream(answer)
