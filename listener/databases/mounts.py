"""What is mounted where, as this process sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts() -> Mapping[Path, str]:
    """By mount point, the type of the file system; empty where the system has no such list."""
    try:
        lines = TABLE.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        mount, _, source = line.partition(" - ")
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), mount.split()[4])
        found[Path(point)] = source.split()[0]  # the last of several is the one that is seen
    return found


def file_system(path: Path) -> str:
    """The type of the file system that a path lies on; empty where that is not known."""
    mounted = mounts()
    real = path.resolve()
    return next((mounted[at] for at in (real, *real.parents) if at in mounted), "")
