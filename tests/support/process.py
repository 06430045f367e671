"""The listener as its own process, run as an operator runs it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any, Self

from tests.support.forked import Forked

PATIENCE = 90.0
"""Seconds until a test stops waiting for what should long have happened."""


def eventually(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until the condition holds; fail, saying what did not happen."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def full_pipe() -> tuple[int, int]:
    """The ends of a pipe of 4 KiB that is full, to read from and to write to."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def environment() -> dict[str, str]:
    """Ours, without anything that names an engine or a database; the test's own state stays."""
    foreign = ("DOCKER_", "REAPER_", "DECNET_")
    return {
        name: value
        for name, value in os.environ.items()
        if name == "REAPER_STATE_DIR" or not name.startswith(foreign)
    }


def command(*arguments: str) -> list[str]:
    """The command line of topology-reaper."""
    return [sys.executable, "-m", "listener", *arguments]


def call(
    *arguments: str, variables: Mapping[str, str] | None = None, user: tuple[int, int] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a one-shot command to its end.

    Args:
        arguments: of the command.
        variables: in its environment.
        user: the uid and gid that it runs as, instead of ours.
    """
    process = Forked(arguments, {**environment(), **(variables or {})}, prints=True, user=user)
    assert process.stdout is not None
    with ThreadPoolExecutor(1) as pool, process.stdout, process.stderr:
        said = pool.submit(process.stderr.read)
        out, err = process.stdout.read(), said.result()
    return subprocess.CompletedProcess(arguments, process.wait(PATIENCE), out, err)


class LoggedProcess(AbstractContextManager["LoggedProcess"]):
    """A command that goes on; its log is read as it comes.

    Args:
        arguments: of the command.
        within: a command that runs it.
        user: the uid and gid that it runs as, instead of ours.
        confine: called in it before it is that user.
    """

    def __init__(
        self,
        *arguments: str,
        within: Sequence[str] = (),
        user: tuple[int, int] | None = None,
        confine: Callable[[], None] | None = None,
    ) -> None:
        self._within, self._user, self._confine = within, user, confine
        self._arguments = (
            *(*arguments[:1], "--log-format", "json", "--log-level", "DEBUG", "--http", "off"),
            *arguments[1:],
        )
        self.lines: list[dict[str, Any]] = []
        self.process: subprocess.Popen[str] | Forked | None = None
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start it (again), and wait until it is ready."""
        ready = len(self.logged("ready"))
        process: subprocess.Popen[str] | Forked
        if self._within:
            whole = [*self._within, *command(*self._arguments)]
            process = subprocess.Popen(whole, env=environment(), stderr=subprocess.PIPE, text=True)
        else:
            process = Forked(self._arguments, environment(), user=self._user, confine=self._confine)
        self.process = process
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        if wait:
            self.await_log("ready", count=ready + 1)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of this event that have come so far; what must come is awaited."""
        with self._changed:
            return [line for line in self.lines if line.get("event") == event]

    def await_log(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many lines of this event were logged."""
        with self._changed:
            enough = self._changed.wait_for(
                lambda: sum(line.get("event") == event for line in self.lines) >= count, PATIENCE
            )
            assert enough, f"never logged {count} times: {event}; the log: {self.lines[-20:]}"
        return self.logged(event)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would; its whole log has come then."""
        if self.process is not None:
            self.process.kill()
            self._ended()

    def stop(self) -> int:
        """End it as an operator would; returns its exit status; its whole log has come then."""
        self.signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        assert self.process is not None
        assert self._reader is not None
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read(self, process: subprocess.Popen[str] | Forked) -> None:
        assert process.stderr is not None
        for text in process.stderr:
            line = json.loads(text) if text.startswith("{") else {"message": text}
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        process.stderr.close()


class ListenerProcess(LoggedProcess):
    """``topology-reaper run``.

    Args:
        host: the engine.
        url: the database.
        options: more of the command line.
        how: see :class:`LoggedProcess`.
    """

    def __init__(self, host: str, url: str, *options: str, **how: Any) -> None:
        sides = ("--docker-host", host, "--database-url", url)
        super().__init__("run", *sides, "--grace", "1", *options, **how)


class RelayProcess(LoggedProcess):
    """``topology-reaper relay``.

    Args:
        url: the database.
        nats: the broker.
        name: of the relay.
        options: more of the command line.
        how: see :class:`LoggedProcess`.
    """

    def __init__(self, url: str, nats: str, name: str, *options: str, **how: Any) -> None:
        sides = ("--database-url", url, "--nats", nats, "--name", name)
        super().__init__("relay", *sides, *options, **how)
