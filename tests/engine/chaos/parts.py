"""The listener and the writer of the database, as things that stop and come back in a world."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from listener.core.judge import UNPROVEN
from listener.telemetry.healthcheck import read_status
from tests.support.process import ListenerProcess
from tests.support.rows import Rows

Deed = Callable[[Rows], int]


class Writer(AbstractContextManager["Writer"]):
    """Several write through it, one at a time.

    Args:
        database: the path of a SQLite file, or a URL.
    """

    def __init__(self, database: Path | str) -> None:
        self._database = database
        self._rows = Rows(database)
        self._lock = threading.Lock()

    def __call__(self, deed: Deed) -> int:
        """Have the writer do something, once; raises what that does."""
        with self._lock:
            return deed(self._rows)

    def restart(self) -> None:
        """End it in good order, and begin another one, which opens the database at once."""
        with self._lock:
            self._rows.close()
            self._rows = Rows(self._database)
            self._rows.noise(1)

    def __exit__(self, *_: object) -> None:
        self._rows.close()


class Subject(AbstractContextManager["Subject"]):
    """The listener, with the state that it keeps.

    Args:
        host: the engine's, or a proxy's.
        url: the database's.
        state: its folder.
    """

    def __init__(self, host: str, url: str, state: Path) -> None:
        self._where = (host, url)
        self._state = state
        self.begin("100000")

    def begin(self, sweep_interval: str) -> None:
        """From the next start on, it sweeps so often; its log begins anew."""
        options = ("--sweep-interval", sweep_interval, "--state-dir", str(self._state))
        self.process = ListenerProcess(*self._where, *options)

    def start(self) -> None:
        """Start it, without waiting until it is ready: that may take the end of another fault."""
        started = len(self.process.logged("started"))
        self.process.start(wait=False)
        self.process.await_log("started", started + 1)

    def stop(self) -> None:
        """Stop it as an operator does."""
        status = self.process.stop()
        assert status == 0, status

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def forget(self) -> None:
        """Lose its state."""
        shutil.rmtree(self._state)

    def pause(self) -> None:
        """It does nothing any more."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        self.process.signal(signal.SIGCONT)

    def unproven(self) -> set[str]:
        """The prefixes that it holds; none if it is away. What else than these is a surprise."""
        try:
            return set(read_status(self._state)["held"]["prefixes"])
        except (OSError, ValueError):
            return set()

    def surprises(self) -> list[object]:
        """What it said that no fault explains: held for another reason, or a defect in itself."""
        lines = self.process.lines
        return [
            line
            for line in lines
            if "level" not in line
            or (line.get("event") == "held" and UNPROVEN.evidence not in line["message"])
            or "loop" in line["message"]
        ]

    def __exit__(self, *_: object) -> None:
        self.kill()
