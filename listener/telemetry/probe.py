"""Asking the listener that has a state directory how it is, as a container's health check does.

``python -m listener.telemetry.probe`` asks the one of ``REAPER_STATE_DIR``, with or without an HTTP
endpoint. Exit status 0: it is well; 1: it is not, or there is none. This module imports next to
nothing, for it is run every few seconds.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

NAME = "status.sock"
"""The socket in the state directory."""
PATIENCE = 5.0
"""Seconds for a listener that does not answer."""


def read_status(folder: Path) -> dict[str, Any]:
    """What the listener with this state directory tells.

    Raises:
        OSError: there is none, or it does not answer in time.
        ValueError: what it says is cut short.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE)
        listener.connect(str(folder / NAME))
        told: dict[str, Any] = json.loads(b"".join(iter(lambda: listener.recv(65536), b"")))
    return told


def main() -> int:
    """Ask, say what is wrong, and return the exit status."""
    folder = Path(os.environ.get("REAPER_STATE_DIR", "/var/lib/topology-reaper"))
    try:
        problems = read_status(folder)["problems"]
    except (OSError, ValueError) as error:
        problems = [f"no listener answers in {folder}: {error}"]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
