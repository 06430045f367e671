"""Which commit this is: in a checkout git knows, elsewhere the file COMMIT beside this one.

hatch_build.py and the Dockerfile write it, and ``python listener/commit.py`` prints what is known.
This module imports nothing else of ours, for it is run where nothing else is installed.
"""

import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_DESCRIBE = (
    *("git", "--no-optional-locks", "describe"),
    *("--always", "--dirty", "--abbrev=40", "--exclude=*"),
)


def commit() -> str:
    """The commit, with ``-dirty`` where files differ from it; ``unknown`` where nobody knows."""
    try:
        if (_ROOT / ".git").exists():
            told = subprocess.run(_DESCRIBE, cwd=_ROOT, capture_output=True, text=True).stdout  # noqa: S603
        else:
            told = (_ROOT / "listener" / "COMMIT").read_text()
    except OSError:
        told = ""
    return told.strip() or "unknown"


if __name__ == "__main__":
    print(commit())
