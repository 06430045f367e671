"""Lines for standard error, which hold up nobody who has one to say.

Who reads standard error may be slow or gone, and a pipe that is full blocks whoever writes to it.
So a line is put into a queue that has room for :data:`MOST_LINES`, and one thread writes. What
finds no room is dropped and counted, and the count is told once lines are written again.

Loguru's own ``enqueue`` would not do: between the two it has a pipe of 64 KiB, and once that is
full as well, after 84 lines of 200 characters (0.7.3), whoever logs waits.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

MOST_LINES = 10_000
"""How many lines wait, beside as many at most that are being written: some 5 MB."""


class LineWriter:
    """Writes lines to standard error, whatever that is by then: a progress bar stands before it.

    Args:
        most: how many lines may wait.

    Attributes:
        dropped: called, on the thread that writes, with the number of lines that were dropped; what
            it puts finds room.
    """

    def __init__(self, most: int = MOST_LINES) -> None:
        self.dropped: Callable[[int], None] = lambda _: None
        self._most = most
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._dropped = 0
        self._writing = False
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Have a line written, in time; never blocks for long, and never raises."""
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._write_all, name="log", daemon=True)
                thread.start()
                self._thread = thread
            if len(self._lines) < self._most or threading.current_thread() is self._thread:
                self._lines.append(line)
            else:
                self._dropped += 1
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every line is written; False if ``timeout`` seconds passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._lines or self._writing), timeout)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                lines, dropped = self._lines, self._dropped
                self._lines, self._dropped, self._writing = [], 0, True
            failed = sum(not _write(line) for line in lines)
            if failed == len(lines):
                with self._changed:
                    self._dropped += dropped + failed
            elif dropped + failed:
                self.dropped(dropped + failed)


def _write(line: str) -> bool:
    """Write a line; returns whether it could be done."""
    try:
        print(line, end="", file=sys.stderr, flush=True)
    except Exception:  # a closed pipe, a full disk: a later one may be written
        return False
    return True


standard_error: Final = LineWriter()
