"""The lowest versions that `pyproject.toml` allows, as constraints for pip.

What has a lower bound there, in any extra, is held to exactly that version, which has to be one
that was published. All else is what `constraints.txt` says, so that nothing but a bound that does
not hold can fail a test with them.

    python lowest.py > lowest.txt
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).parents[2]
BOUND = re.compile(r"([\w.-]+)(?:\[.+\])?>=([\w.]+)")
FOLLOWING = {"psycopg-binary"}
"""What another requires in just one version, here that of psycopg."""


def lowest() -> Iterator[str]:
    """The constraints, one a line."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    requirements = sum(project["optional-dependencies"].values(), project["dependencies"])
    bounds = {_normal(b[1]): b[2] for b in map(BOUND.match, requirements) if b}
    for line in (TREE / "constraints.txt").read_text().splitlines():
        name = _normal(line.partition("==")[0])
        if name not in FOLLOWING:
            yield f"{name}=={bounds[name]}" if name in bounds else line


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(*lowest(), sep="\n")
