"""HAProxy as Debian packages it, on the configuration in contrib/compose."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from debian_packages import ensure, system_environment, which

from tests.sidecar.image import ROOT
from tests.support.process import PATIENCE

COMPOSE = ROOT / "contrib" / "compose"
API_CALLS = COMPOSE / "api-calls.txt"


class HAProxy(AbstractContextManager["HAProxy"]):
    """One that was started; it listens a moment later.

    Args:
        socket: of the engine.
        listen: where to listen, as HAProxy writes it.
        calls: the list of what is let through.
        idle: for how long a connection may be silent, if that is not left to the configuration.
        log: where its log goes.
    """

    def __init__(
        self, socket: Path, listen: str, *, calls: Path = API_CALLS, idle: str = "", log: Path
    ) -> None:
        ensure({"haproxy": "haproxy"}, "a proxy")
        chosen = {"DOCKER_SOCKET": str(socket), "LISTEN": listen, "API_CALLS": str(calls)}
        chosen |= {"IDLE": idle} if idle else {}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [which("haproxy") or "haproxy", "-f", str(COMPOSE / "haproxy.cfg")],
                env={**system_environment("DOCKER_"), **chosen},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def is_running(self) -> bool:
        """Whether it runs; it ends at once if it does not like its configuration."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it at once."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        """Already there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
