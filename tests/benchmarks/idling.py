"""What a listener costs that has nothing to do, each feed with a process of its own at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.processes import cpu_seconds, resident
from tests.benchmarks.stage import FEEDS, Stage

SETTLED = 10.0
"""Seconds that a listener is given after its start."""


def idling(stage: Stage) -> Mapping[str, Measured]:
    """Wait, and look at the kernel's accounts before and after."""
    shares: dict[str, list[float]] = {feed: [] for feed in FEEDS}
    growth: dict[str, list[float]] = {feed: [] for feed in FEEDS}
    with ExitStack() as stack:
        pids = {}
        for feed in FEEDS:
            source = stack.enter_context(stage.source(feed))
            pids[feed] = stack.enter_context(stage.listener(source)).pid
        time.sleep(SETTLED)
        for _ in range(stage.size.long_rounds):
            began = time.monotonic()
            before = {feed: (cpu_seconds(pid), resident(pid)) for feed, pid in pids.items()}
            time.sleep(stage.size.idle)
            passed = time.monotonic() - began
            for feed, pid in pids.items():
                cpu, memory = before[feed]
                shares[feed].append(100 * (cpu_seconds(pid) - cpu) / passed)
                growth[feed].append(100 * (resident(pid) / memory - 1))
    return {f"idle.{feed}.cpu": Measured.of(shares[feed]) for feed in FEEDS} | {
        f"idle.{feed}.growth": Measured.of(growth[feed]) for feed in FEEDS
    }


ROW = Row(
    "idling",
    [
        figure
        for feed, kind in FEEDS.items()
        for figure in (
            Figure(f"idle.{feed}.cpu", f"{kind}: idle", 0.1, "% of a core", minutes=True),
            Figure(f"idle.{feed}.growth", f"{kind}: growth while idle", 0.1, "%", minutes=True),
        )
    ],
    idling,
)
