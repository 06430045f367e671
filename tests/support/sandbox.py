"""A process that sees a scratch root, as read-only and as writable as a unit of systemd has it."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS; Python 3.11 has no os.unshare."""


def strict(root: Path, *writable: str) -> Callable[[], None]:
    """What makes the process that calls it see the folders of a scratch root in the place of /'s.

    As with ``ProtectSystem=strict`` all in them is read-only but what is ``writable``, where it is
    there: ``ReadWritePaths=-…``. The process has to be root then; who enters sees the same files.
    """
    return partial(_enter, str(root), writable)


def _enter(root: str, writable: Sequence[str]) -> None:
    assert _LIBC.unshare(_NEW_MOUNTS) == 0
    _mount("--make-rprivate", "/")
    for top in Path(root).iterdir():
        _mount("--bind", str(top), f"/{top.name}")
        _mount("-o", "remount,bind,ro", f"/{top.name}")
    for path in writable:
        if Path(path).exists():
            _mount("--bind", path, path)
            _mount("-o", "remount,bind,rw", path)


def _mount(*options: str) -> None:
    # By its path: who forks for the tests keeps the PATH of the test that was first.
    subprocess.run(["/usr/bin/mount", *options], check=True)
