"""Keeping threads and connections alive until the listener is told to stop.

Each loop runs on a named thread with a pulse, and is started again after a defect. A connection is
made and followed in one attempt: Tenacity makes the next one, after pauses that grow while
connections fail or end at once. One that has lasted ends the series; the next begins without a
pause, but for the moment by which the listeners of many hosts come back apart.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from loguru import logger
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    retry_if_result,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from listener.control.lane import Lane
from listener.core.once import Once
from listener.errors import ConfigurationError, ReaperError, may_pass, presentable
from listener.runtime.health import Link, Pulse

RECONNECT_WAIT = wait_random_exponential(multiplier=0.1, max=5.0)
STABLE = 1.0
"""Seconds after which a connection has lasted: it is made again without a pause."""
ROUTINE = 3600.0
"""Seconds for which a connection has to last so that its end is news, where the one before it ended
for the same reason: proxies and servers cut off what they take for idle, every few minutes."""
RESTART_PAUSE = 1.0
"""Seconds before a loop is started again after a defect."""


class Supervisor:
    """The threads of one listener, and how they are.

    Args:
        stopping: called when they are about to be told to end.

    Attributes:
        stop: is set once they are to end.
        failure: why the listener ended by itself; None if it did not.
    """

    def __init__(self, stopping: Callable[[], None]) -> None:
        self.stop = threading.Event()
        self.failure: ReaperError | None = None
        self._stopping = stopping
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        self._pulses: dict[str, Pulse] = {}
        self._current = threading.local()

    def pulse(self, name: str) -> Pulse:
        """The pulse of the loop with this name."""
        return self._pulses.setdefault(name, Pulse(name))

    def start(self, name: str, loop: Callable[[], None]) -> None:
        """Run a loop on a thread of its own until the end."""
        self.pulse(name)  # before anybody asks for all
        thread = threading.Thread(target=self._supervise, args=(name, loop), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def work(self, name: str, lane: Lane) -> None:
        """Do what is due in this lane, on a thread of its own, until the end."""

        def loop() -> None:
            while (key := lane.await_key(self.stop)) is not None:
                with self.pulse(name):
                    lane.work(key)

        self._lanes.append(lane)
        self.start(name, loop)

    def end(self) -> None:
        """Tell every loop to end."""
        self._stopping()
        self.stop.set()
        for lane in self._lanes:
            lane.wake()

    def beat(self) -> Callable[[], None]:
        """What another thread calls when the work of this one goes on: it is long, not stuck."""
        pulse: Pulse = self._current.pulse
        return pulse.beat

    def stuck(self, limit: float) -> list[str]:
        """The loops that ended, or were at one piece of work, or failing, for over ``limit`` s."""
        ended = {t.name for t in self._threads if not t.is_alive()}
        failing = {p.name for p in self._pulses.values() if max(p.busy_for, p.failing_for) > limit}
        return sorted(ended | failing)

    def join(self, deadline: float) -> bool:
        """Wait for all threads; returns whether they ended.

        Args:
            deadline: until when, in seconds on the monotonic clock.
        """
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def keep(
        self,
        link: Link,
        connect: Callable[[], None],
        follow: Callable[[], None],
        pulse: Pulse,
        *,
        spread: float = 0.0,
    ) -> None:
        """Connect, follow until the connection ends, and so on; blocks until the end.

        Args:
            link: is told.
            connect: may be tried again.
            follow: blocks.
            pulse: beats for each attempt to connect.
            spread: seconds over which the listeners of many hosts come back.
        """
        said = Once()
        while not self.stop.is_set():
            retrying = Retrying(
                retry=retry_if_exception(may_pass) | retry_if_result(lambda lasted: not lasted),
                wait=RECONNECT_WAIT,
                stop=stop_when_event_set(self.stop),
                sleep=sleep_using_event(self.stop),
            )
            try:
                with suppress(RetryError):  # told to stop
                    retrying(self._connection, link, connect, follow, pulse, said)
            except ConfigurationError as error:
                self.failure = error
                self.end()
            self.stop.wait(random.uniform(0, spread))  # noqa: S311 - not all listeners at once

    def _connection(
        self,
        link: Link,
        connect: Callable[[], None],
        follow: Callable[[], None],
        pulse: Pulse,
        said: Once,
    ) -> bool:
        """One connection from its beginning to its end; returns whether it lasted."""
        try:
            with pulse:
                connect()
        except ReaperError as error:
            if may_pass(error) and not self.stop.is_set():
                link.failed(error)
                said.forget()
            raise
        connected = time.monotonic()
        lost = None
        try:
            follow()
        except ConfigurationError:
            raise
        except ReaperError as error:
            lost = presentable(error)
        seconds = time.monotonic() - connected
        lasted = seconds >= STABLE
        if seconds >= ROUTINE:
            said.forget()
        if lost is not None:
            logger.bind(event="lost", side=link.name, error=lost).log(
                "INFO" if lasted and said.is_new(lost) else "DEBUG",
                "lost the connection to {}; reconnecting: {}",
                link.name,
                lost,
            )
        return lasted

    def _supervise(self, name: str, loop: Callable[[], None]) -> None:
        """Run a loop until the end; a defect in it is logged, and the loop started again."""
        pulse = self._current.pulse = self.pulse(name)
        while not self.stop.is_set():
            try:
                loop()
            except Exception:
                if not self.stop.is_set():
                    pulse.failed()
                    logger.bind(event="defect", loop=name).exception(
                        "a loop failed and is started again: {}", name
                    )
                    self.stop.wait(RESTART_PAUSE)
