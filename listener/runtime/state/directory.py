"""The folder that ``--state-dir`` names: who has it locked writes there what is to outlive it.

One process at a time does. A second listener, or a folder that cannot be written, means that
nothing outlives that process, which is a warning and no more: what was witnessed then has to be
witnessed again. A one-shot sweep beside a listener reads what that one knows.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from listener.runtime.state.files import open_file


class StateDirectory:
    """The folder, locked for as long as this object is in use.

    Args:
        path: is made if its parent exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def lock(self) -> str | None:
        """Try to have it for us; returns why it cannot be had."""
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._lock = open_file(self.path / "lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return "another listener uses it"
        except (OSError, ValueError) as error:
            self.close()
            return str(getattr(error, "strerror", error))
        return None

    @property
    def locked(self) -> bool:
        """Whether it is ours."""
        return self._lock is not None

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
