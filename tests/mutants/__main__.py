"""Makes each mistake of the table in a copy of the tree, and sees its test fail there.

First every named test has to pass in a copy without a mistake, so that a failure means something.
Then each mistake gets a copy of its own. The copy comes first on the path of the test's process
and of all that it starts, ahead of the installed package. Whether it was used shows afterwards:
a fresh copy holds no bytecode, and Python leaves some beside what it imports.

A mistake is caught when its test *fails*. Source that does not compile, a test that cannot be
collected, or that ends in an error before it begins, catch nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from .table import MUTANTS, Mutant

TREE = Path(__file__).parents[2]
PARTS = ("listener", "tests", "contrib", "docs", "pyproject.toml")
AT_ONCE = 2
"""Tests that run side by side."""


class Wrong(Exception):
    """The table and the tree do not fit each other."""


def main() -> int:
    """Try each mistake; returns 1 if one is not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="try these only")
    names = set(parser.parse_args().names)
    mutants = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if unknown := names - {mutant.name for mutant in mutants}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    started = time.monotonic()
    try:
        for mutant in mutants:
            mutated(mutant)
        pass_unchanged({mutant.caught_by for mutant in mutants})
    except Wrong as error:
        print(error)
        return 1
    print(f"{time.monotonic() - started:5.1f} s  all of their tests pass without them", flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        caught = sum(pool.map(attempt, mutants))
    print(f"{time.monotonic() - started:5.1f} s  {caught} of {len(mutants)} mutants caught")
    return 0 if caught == len(mutants) else 1


def mutated(mutant: Mutant) -> str:
    """The source with the mistake.

    Raises:
        Wrong: it cannot be made there, or is no Python.
    """
    path = TREE / "listener" / mutant.file
    source = path.read_text()
    if (times := source.count(mutant.old)) != 1:
        raise Wrong(f"{mutant.name}: no longer applies: found {times} times in {mutant.file}")
    changed = source.replace(mutant.old, mutant.new)
    try:
        compile(changed, path, "exec")
    except SyntaxError as error:
        raise Wrong(f"{mutant.name}: is no Python: {error}") from error
    return changed


def pass_unchanged(tests: Collection[str]) -> None:
    """Run all of the tests in a copy as it is.

    Raises:
        Wrong: not all of them pass.
    """
    with TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        done = run_tests(copy, tests, "-n", str(AT_ONCE), "--dist", "loadfile")
        if done.returncode != 0:
            raise Wrong(f"{done.stdout}\nnot every named test passes without a mistake")


def attempt(mutant: Mutant) -> bool:
    """Make the mistake, run its test, say what came of it; returns whether it was caught."""
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        file = copy / "listener" / mutant.file
        file.write_text(mutated(mutant))
        done = run_tests(copy, [mutant.caught_by], "--exitfirst")
        imported = any((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"))
        caught = imported and done.returncode == 1 and failures(copy) > 0
    line = f"{time.monotonic() - started:5.1f} s  {mutant.name}: breaks “{mutant.promise}”"
    if caught:
        print(f"{line}; caught by {mutant.caught_by}", flush=True)
    else:
        how = "was run" if imported else "was not imported"
        print(f"{done.stdout}\n{line}; it {how}, NOT CAUGHT by {mutant.caught_by}", flush=True)
    return caught


def copied(to: Path) -> Path:
    """A copy of what the tests need, without bytecode."""
    for part in PARTS:
        if (TREE / part).is_dir():
            shutil.copytree(TREE / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TREE / part, to / part)
    return to


def _place(test: str) -> tuple[str, int]:
    """Where a test stands, for those of a file may come in the order of its server's life."""
    file, _, name = test.partition("::")
    return file, (TREE / "tests" / file).read_text().find(f"def {name.partition('[')[0]}(")


def run_tests(copy: Path, tests: Iterable[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run these tests in the copy, and leave their results in a file there."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--tb=short", "--junitxml=results.xml"),
            *("-m", ""),  # a deep one as well
            *options,
            *(f"tests/{test}" for test in sorted(tests, key=_place)),
        ],
        cwd=copy,
        env=environment | {"PYTHONPATH": str(copy)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def failures(copy: Path) -> int:
    """How many tests failed in the copy, those not counted that could not begin."""
    results = ElementTree.parse(copy / "results.xml").getroot()
    return sum(int(suite.get("failures", 0)) for suite in results.iter("testsuite"))


if __name__ == "__main__":
    sys.exit(main())
