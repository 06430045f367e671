"""What a listener costs that has nothing to do, each feed with a process of its own at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.processes import cpu_seconds, resident
from tests.benchmarks.stage import FEEDS, RELAYED, Relay, Stage

ITSELF = "relaying"
IDLE = {**FEEDS, RELAYED: "a relay's host", ITSELF: "a relay"}
"""Who idles, and what that is called."""
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND application_name = 'topology-reaper'
"""
SETTLED = 10.0
"""Seconds that a listener is given after its start."""


def idling(stage: Stage) -> Mapping[str, Measured]:
    """Wait, and look at the kernel's accounts before and after."""
    shares: dict[str, list[float]] = {who: [] for who in IDLE}
    growth: dict[str, list[float]] = {who: [] for who in IDLE}
    connections: list[float] = []
    with ExitStack() as stack:
        pids: dict[str, int] = {}
        relay: Relay | None = None
        for feed in (*FEEDS, RELAYED):
            source = stack.enter_context(stage.source(feed))
            pids[feed] = stack.enter_context(stage.listener(source)).pid
            relay = source.relay or relay
        assert relay is not None
        pids[ITSELF] = relay.pid
        time.sleep(SETTLED)
        for _ in range(stage.size.long_rounds):
            began = time.monotonic()
            before = {who: (cpu_seconds(pid), resident(pid)) for who, pid in pids.items()}
            time.sleep(stage.size.idle)
            passed = time.monotonic() - began
            for who, pid in pids.items():
                cpu, memory = before[who]
                shares[who].append(100 * (cpu_seconds(pid) - cpu) / passed)
                growth[who].append(100 * (resident(pid) / memory - 1))
            ((count,),) = stage.postgres.execute(CONNECTIONS, relay.name)
            connections.append(count)
    return {
        "idle.connections": Measured.of(connections),
        **{f"idle.{who}.cpu": Measured.of(shares[who]) for who in IDLE},
        **{f"idle.{who}.growth": Measured.of(growth[who]) for who in IDLE},
    }


ROW = Row(
    "idling",
    [
        *(
            figure
            for feed, kind in IDLE.items()
            for figure in (
                Figure(f"idle.{feed}.cpu", f"{kind}: idle", 0.1, "% of a core", minutes=True),
                Figure(f"idle.{feed}.growth", f"{kind}: growth while idle", 0.1, "%", minutes=True),
            )
        ),
        Figure("idle.connections", "a relay: idle: connections it has", 1, minutes=True),
    ],
    idling,
)
