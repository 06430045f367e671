"""What goes on until a signal ends it, or it gives up.

The main thread does nothing but wait for signals. Beside it one thread tells systemd how things
are, and one ends the wait when what goes on ends by itself.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn, Protocol

from listener.cli import say
from listener.errors import ReaperError
from listener.telemetry.lines import standard_error
from listener.telemetry.systemd import Notifier

STOP_WITHIN = 1.5
"""Seconds after which a stop no longer waits for what hangs."""
FLUSH_WITHIN = 0.3
"""Seconds after which the end no longer waits for a reader of standard error."""


class Served(Protocol):
    """What goes on, on threads of its own; :class:`~listener.runtime.daemon.Listener` does."""

    def start(self) -> None:
        """Begin, and return at once."""

    def stop(self, timeout: float, *, reason: str) -> bool:
        """End, waiting for no more than ``timeout`` seconds."""

    def wait(self) -> object:
        """Block until it has ended.

        Raises:
            ReaperError: it has ended by itself.
        """

    def wait_ready(self) -> object:
        """Block until it does what it is for."""

    def stuck(self, limit: float) -> list[str]:
        """The loops that have been at one piece of work for over ``limit`` seconds."""


def serve(served: Served, on_usr1: Callable[[], None] | None = None) -> NoReturn:
    """Start it, and end with it: by SIGTERM or SIGINT, with status 0, or by itself.

    Args:
        served: what goes on.
        on_usr1: what SIGUSR1 asks for; else it ends the process, as it does any.
    """
    # Blocked here and so in every thread, a signal waits for sigwait(); as PID 1 too.
    signals = {signal.SIGTERM, signal.SIGINT} | ({signal.SIGUSR1} if on_usr1 else set())
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    served.start()
    systemd, stopping = Notifier(os.environ), threading.Event()
    for target in (_end_with, partial(_tell, systemd, stopping)):
        threading.Thread(target=target, args=(served,), daemon=True).start()
    while (number := signal.sigwait(signals)) == signal.SIGUSR1 and on_usr1 is not None:
        on_usr1()
    stopping.set()
    systemd.say("STOPPING=1")
    served.stop(STOP_WITHIN, reason=signal.Signals(number).name)
    status = 0
    try:
        served.wait()
    except ReaperError as error:
        say(error)
        status = error.exit_status
    # The interpreter would take ten times as long to end as the listener did (0.2 s of CPU), and
    # would wait for a thread in which a request hangs.
    standard_error.flush(FLUSH_WITHIN)
    os._exit(status)


def _tell(systemd: Notifier, stopping: threading.Event, served: Served) -> None:
    """Say that we are ready once that is so, then that we are alive."""
    served.wait_ready()
    systemd.say("READY=1")
    systemd.keep_alive(served.stuck, stopping)


def _end_with(served: Served) -> None:
    """End our wait for a signal when it gives up by itself."""
    try:
        served.wait()
    except ReaperError:
        os.kill(os.getpid(), signal.SIGTERM)
