"""All orders of the steps in the small worlds of :mod:`tests.world.walk`: ``make deep``.

Each world is walked for its share of the time. An order that breaks a promise is printed, and the
walk of its world ends there.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.world.listener import without_threads_and_clocks
from tests.world.walk import WORLDS, Walked, walk


def main() -> int:
    """Walk for so many seconds; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.property.walk", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--world", choices=list(WORLDS), help="walk this one only")
    options = parser.parse_args()
    names = [options.world] if options.world else list(WORLDS)
    broken = 0
    for name in names:
        started = time.monotonic()

        def say(walked: Walked, name: str = name, started: float = started) -> None:
            print(
                f"{name}: {walked.depth} steps, {walked.states:,} states, {walked.orders:,} orders"
                f" ({walked.mended:,} mended), {time.monotonic() - started:.0f} s",
                flush=True,
            )

        with without_threads_and_clocks():
            try:
                walk(WORLDS[name], seconds=options.seconds / len(names), say=say)
            except AssertionError as violation:
                broken += 1
                print(f"{name}: BROKEN by {violation}", flush=True)
    print(f"{broken} promises broken")
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
