"""The listener in a container, with the least that it needs."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import docker as sdk
from private_engine import PrivateEngine

from tests.sidecar.image import docker
from tests.support.process import eventually

LEAST = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
"""Nothing that it could do without."""
TALKATIVE = ("--env=REAPER_LOG_FORMAT=json", "--env=REAPER_LOG_LEVEL=DEBUG")
QUICK_HEALTH = ("--health-interval=500ms", "--health-retries=1")
SOCKETS = "/run/docker-host"
"""Where the directory of the engine's socket is in the container."""
DATA = "/var/lib/decnet"
"""Where the directory of the database is in the container."""
ENDED = re.compile(rb"ended with (\d+)\s")


def mount(source: Path, target: str, *, read_only: bool = False) -> str:
    """The option that mounts a directory, or a file."""
    return f"--mount=type=bind,src={source},dst={target}" + (",readonly" if read_only else "")


def through(socket: Path) -> tuple[str, ...]:
    """The options by which it reaches the engine: the directory that this socket lies in."""
    host = f"--env=DOCKER_HOST=unix://{SOCKETS}/{socket.name}"
    return (mount(socket.parent, SOCKETS, read_only=True), host)


class Sidecar:
    """A container of the image, not started yet.

    Args:
        engine: where it runs.
        api: a client of that engine.
        image: the image.
        options: of ``docker create``.
        command: of ``topology-reaper``.
    """

    def __init__(
        self,
        engine: PrivateEngine,
        api: sdk.APIClient,
        image: str,
        *options: str,
        command: tuple[str, ...] = ("run",),
    ) -> None:
        self._engine = engine
        self._api = api
        self.id = docker(engine, "create", *LEAST, *TALKATIVE, *options, image, *command)

    def start(self, *, wait: bool = True) -> None:
        """Start it (again), and wait until it is ready."""
        ready = len(self.logged("ready"))
        self._api.start(self.id)
        if wait:
            self.await_log("ready", count=ready + 1)

    @property
    def state(self) -> dict[str, Any]:
        """What the engine tells of it."""
        state: dict[str, Any] = self._api.inspect_container(self.id)["State"]
        return state

    @property
    def health(self) -> str:
        """What its health check has found."""
        return str(self.state["Health"]["Status"])

    @property
    def log(self) -> str:
        """All that it has said, on either stream."""
        return bytes(self._api.logs(self.id)).decode()

    @property
    def sentences(self) -> list[str]:
        """What it has said outside of its log."""
        return [line for line in self.log.splitlines() if not line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of this event so far."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]

    def await_log(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many lines of this event were logged."""
        try:
            eventually(lambda: len(self.logged(event)) >= count, f"logged {count} times: {event}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.state}; the log: {self.log[-3000:]}") from None
        return self.logged(event)

    def stop(self) -> int:
        """End it as an operator would; returns its exit status, 137 if it did not listen."""
        docker(self._engine, "stop", "--time=30", self.id)
        return int(self.state["ExitCode"])

    def execute(self, *command: str) -> tuple[int, str]:
        """Run a command in it, on a terminal; its exit status and what it said.

        A shell waits until it is heard, and until both were heard: the client reads over what
        comes with the answer's head, and an engine may lose the last words of who is gone.
        """
        shell = ["sh", "-c", 'read _; "$@"; echo "ended with $?"; read _', "-", *command]
        run = self._api.exec_create(self.id, shell, stdin=True, tty=True)["Id"]
        terminal: Any = self._api.exec_start(run, tty=True, socket=True)
        said = b""
        with closing(terminal), closing(terminal._sock) as end:
            end.sendall(b"\n")
            while not (ended := ENDED.search(said)):
                piece = end.recv(65536)
                assert piece, f"cut off: {said!r}"
                said += piece
            end.sendall(b"\n")
        return int(ended[1]), said[: ended.start()].decode()
