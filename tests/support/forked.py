"""Processes that need not import what they run.

Importing what the command is made of takes a second of a core, the driver of a database a quarter,
and a run of the tests starts each hundreds of times. So these processes are forked from one that
has imported it all, and has done nothing else. They are as any: with an environment, a user,
standard error and exit status of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.preloaded"])


class Forked:
    """The command with these arguments, begun.

    Args:
        arguments: of the command.
        environment: of the process.
        prints: what it prints is to be read.
        user: the uid and gid that it runs as, instead of ours.
        confine: called in it before it is that user.

    Attributes:
        stdout: what it prints; None if nobody reads that.
        stderr: what it says.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        prints: bool = False,
        user: tuple[int, int] | None = None,
        confine: Callable[[], None] | None = None,
    ) -> None:
        self.stderr, err = _pipe()
        self.stdout: TextIOWrapper | None = None
        out: Connection | None = None
        if prints:
            self.stdout, out = _pipe()
        folder = str(Path.cwd())
        self._process = CONTEXT.Process(
            target=_run,
            args=(arguments, dict(environment), folder, out, err, user, confine),
            daemon=True,
        )
        self._process.start()
        for end in filter(None, (out, err)):
            end.close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status; None while it goes on."""
        return self._process.exitcode

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; that of a signal is negative.

        Raises:
            TimeoutExpired: it goes on.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("topology-reaper", timeout or 0.0)
        return self._process.exitcode


def _pipe() -> tuple[TextIOWrapper, Connection]:
    """What is read, and where it is written."""
    reader, writer = CONTEXT.Pipe(duplex=False)
    return os.fdopen(os.dup(reader.fileno()), encoding="utf-8", errors="replace"), writer


def _run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    out: Connection | None,
    err: Connection,
    user: tuple[int, int] | None,
    confine: Callable[[], None] | None,
) -> None:
    from listener.__main__ import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for end, descriptor in ((out, 1), (err, 2)):
        if end is not None:
            os.dup2(end.fileno(), descriptor)
            end.close()
    sys.stdout = os.fdopen(1, "w", closefd=False)  # the other takes it for the file that it was
    if confine is not None:
        confine()
    if user is not None:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
    sys.argv = ["topology-reaper", *arguments]
    main()
