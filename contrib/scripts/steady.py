"""Runs `make test` again and again, every second time beside two busy loops: `make steady N=3`.

At the end stand the runs that passed, which tests failed and how often, and which were slowest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

BUSY = (sys.executable, "-c", "while True: pass")
LOOPS = 2
SLOWEST = 20


def main() -> int:
    """Run them; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=3)
    runs: int = parser.parse_args().runs
    passed = 0
    failed: Counter[str] = Counter()
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, runs + 1):
            results = Path(folder) / f"{number}.xml"
            busy, started = number % 2 == 0, time.monotonic()
            succeeded = run(results, busy=busy)
            passed += succeeded
            read(results, failed, seconds)
            how = "passed" if succeeded else "FAILED"
            beside = f" beside {LOOPS} busy loops" if busy else ""
            took = time.monotonic() - started
            print(f"run {number} of {runs}{beside}: {how}, {took:.0f} s", flush=True)
    for test in sorted(seconds, key=lambda test: -max(seconds[test]))[:SLOWEST]:
        each = "  ".join(f"{taken:6.1f}" for taken in seconds[test])
        print(f"{each} s  {test}")
    for test, times in failed.most_common():
        print(f"failed {times} times: {test}")
    print(f"{passed} of {runs} runs passed")
    return 0 if passed == runs else 1


def run(results: Path, *, busy: bool) -> bool:
    """Run `make test`, whose results go to this file; whether it succeeded."""
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={results}"
    loops = [subprocess.Popen(BUSY) for _ in range(LOOPS if busy else 0)]
    try:
        make = ("make", "--no-print-directory", "test")
        return subprocess.run(make, env={**os.environ, "PYTEST_ADDOPTS": options}).returncode == 0
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def read(results: Path, failed: Counter[str], seconds: defaultdict[str, list[float]]) -> None:
    """Add what one run's file tells; there is none if it did not come to its tests."""
    if not results.exists():
        return
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        seconds[test].append(float(case.get("time", 0)))
        if case.find("failure") is not None or case.find("error") is not None:
            failed[test] += 1


if __name__ == "__main__":
    sys.exit(main())
