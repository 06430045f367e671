"""What systemd wants to know of a service with ``Type=notify``: ready, alive, stopping.

The protocol is one datagram a message, to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)).
The watchdog is fed only while nothing is stuck, so that systemd ends and restarts a listener that
is. Nothing of this does anything where systemd did not ask for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping

from loguru import logger

from listener.core.numbers import plain

SAYING = 0.5
"""Seconds for a message that nobody takes; the last one must not hold up our end."""


class Notifier:
    """The messages to systemd.

    Args:
        environment: the variables that systemd has set.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
        """Seconds within which systemd wants to hear that we are alive; 0: it does not."""

    def say(self, message: str) -> None:
        """Send a message, such as ``READY=1``."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),  # whoever listens may be gone; that is no trouble of ours
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to,
        ):
            to.settimeout(SAYING)
            to.sendto(message.encode(), self._address)

    def keep_alive(self, stuck: Callable[[float], list[str]], stop: threading.Event) -> None:
        """Feed the watchdog until the end, and stop feeding it while anything is stuck.

        Args:
            stuck: the loops that have been at one piece of work for longer than so many seconds.
            stop: ends this.
        """
        said: list[str] = []
        while self.watchdog and not stop.wait(self.watchdog / 3):
            names = stuck(self.watchdog)
            if not names:
                self.say("WATCHDOG=1")
            elif names != said:
                logger.bind(event="stuck", loops=names).error(
                    "the watchdog is not fed any more: stuck for over {} s: {}",
                    plain(self.watchdog),
                    ", ".join(names),
                )
            said = names
