"""Asking the listener that has a state directory how it is, as a container's health check does.

``python -m listener.telemetry.healthcheck`` asks the one of ``REAPER_STATE_DIR``, with or without
an HTTP endpoint; first the one in this very container that was given that folder and could not have
it to itself. Exit status 0: it is well; 1: it is not, or there is none. This module imports next to
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


def address_without(folder: Path) -> bytes:
    """Where a listener answers that cannot have this folder: a name that takes no file.

    Containers with one network share such names, and their users may be the same; what they never
    share is the mount namespace.
    """
    container = Path("/proc/self/ns/mnt").stat().st_ino
    return b"\0topology-reaper %d %d " % (container, os.geteuid()) + os.fsencode(folder)[-60:]


def read_status(folder: Path) -> dict[str, Any]:
    """What the listener with this state directory tells.

    Raises:
        OSError: there is none, or it does not answer in time.
        ValueError: what it says is cut short.
    """
    return _read(os.fsencode(folder / NAME))


def completed(told: dict[str, Any]) -> dict[str, Any]:
    """With what a listener of the release before does not tell, as far as it follows."""
    if "relay" in told:  # which there was none of before
        return told
    sides = [told["docker"], *told["databases"]]
    down = [f"{side['name']} is down" for side in sides if not side["up"]]
    state, why = ("ready", "") if told["ready"] else ("starting", "the first sweep is not done")
    if down or told["problems"]:
        state, why = "degraded", ", ".join([*down, *told["problems"]])
    told["queue"].setdefault("working", 0)
    for topology in told["topologies"]:
        topology.setdefault("wait_s", None)
        topology.setdefault("removing", None)
    for left in told["torn_down"]:
        left.setdefault("stays", True)
    return {"state": state, "state_reason": why, **told}


def main() -> int:
    """Ask, say what is wrong, and return the exit status."""
    folder = Path(os.environ.get("REAPER_STATE_DIR") or "/var/lib/topology-reaper")
    try:
        try:
            status = _read(address_without(folder))
        except (ConnectionRefusedError, FileNotFoundError):  # as it should be
            status = read_status(folder)
        problems = status["problems"]
    except (OSError, ValueError) as error:
        problems = [f"no listener answers in {folder}: {error} (the folder is REAPER_STATE_DIR's)"]
    for problem in problems:
        print(problem.encode(errors="backslashreplace").decode())  # a path need not be UTF-8
    return 1 if problems else 0


def _read(address: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE)
        listener.connect(address)
        told: dict[str, Any] = json.loads(b"".join(iter(lambda: listener.recv(65536), b"")))
    return told


if __name__ == "__main__":
    sys.exit(main())
