"""Tries the rows, one after the other, and writes what came of each to docs/compatibility.md.

    python -m tests.matrix postgresql-18 docker-28

A system that a row comes from is made once (`contrib/scripts/debian_root.py`), and so is an
environment for a Python. Each row is a run of pytest, whose output and report stay in build/matrix.
A row is written as soon as it is known; those that were not chosen stay as they are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from debian_packages import PackageError
from debian_root import debian_root
from local_base import run

from .report import Result, line, result_of, updated
from .rows import ROWS, Row

TREE = Path(__file__).parents[2]
PAGE = TREE / "docs" / "compatibility.md"
OUTPUT = TREE / "build" / "matrix"
WITHIN = (
    *("unshare", "--mount", "sh", "-ec"),
    'for part in usr etc/passwd etc/group; do mount --bind "$0/$part" "/$part"; done;'
    ' mount -t tmpfs tmpfs /var/lib/dpkg; exec "$@"',
)
"""Runs a command with the programs and users of another system, where nothing can be installed."""


def main() -> int:
    """Try the rows; returns 1 unless all have passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ROW", help="try these only")
    names = set(parser.parse_args().names)
    if unknown := names - {row.name for row in ROWS}:
        there = ", ".join(row.name for row in ROWS)
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {there}")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    results = []
    for row in ROWS:
        if names and row.name not in names:
            continue
        print(f"{row.name}: ", end="", flush=True)
        began = time.monotonic()
        results.append(attempt(row))
        written = line(row, results[-1], date.today())
        PAGE.write_text(updated(PAGE.read_text(), {row.name: written}))
        print(f"{results[-1].version} {results[-1]}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if all(result.has_passed for result in results) else 1


def attempt(row: Row) -> Result:
    """What comes of a row."""
    report = OUTPUT / f"{row.name}.xml"
    report.unlink(missing_ok=True)
    try:
        pytest = command(row)
    except PackageError as error:
        *_, reason = (said for said in str(error).splitlines() if not said.startswith("make"))
        return Result(not_tried=reason)
    with (OUTPUT / f"{row.name}.log").open("w") as log:
        status = subprocess.run(
            [*pytest, "-p", "no:cacheprovider", f"--junit-xml={report}", *row.tests],
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode
    return result_of(row, report, status)


def command(row: Row) -> Sequence[str]:
    """What runs the tests of a row on what the row is about; makes that where it is missing.

    Raises:
        PackageError: it cannot be had.
    """
    within: Sequence[str] = ()
    options: Sequence[str] = ()
    if row.release:
        root = str(debian_root(row.release, row.packages))
        within = () if row.root else (*WITHIN, root)
        options = (row.root, root) if row.root else ()
    python = sys.executable
    if row.environment:
        environment = Path(f".venv-{row.environment}")
        python = str(environment / "bin" / "python")
        make = ["make", f"VENV={environment}", "EXTRA=test", *row.make, f"{environment}/ready"]
        if row.python:
            found = run(*within, "contrib/scripts/find-python", row.python).strip()
            make.append(f"PYTHON={found}")
        if row.is_new:
            shutil.rmtree(environment, ignore_errors=True)
        run(*within, *make)
    return (*within, python, "-m", "pytest", *options)


if __name__ == "__main__":
    sys.exit(main())
