"""A thousand listeners on one PostgreSQL: when the slowest hears, and what that costs the writer.

The feeds are real, each with a connection of its own; they share a few processes, for a thousand
would not fit on this machine. There is no engine behind them: what is timed is hearing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.reaping import floor_seconds
from tests.benchmarks.samples import median
from tests.benchmarks.stage import Stage
from tests.conftest import make_table
from tests.support.decnet import new_id
from tests.support.process import environment
from tests.support.rows import Rows
from tests.support.servers import PrivatePostgres

A_PROCESS = 125
"""So many listeners share one."""
OPTIONS = ("-c", "max_connections=1200", "-c", "shared_buffers=64MB")

Process = subprocess.Popen[str]


def fleet(stage: Stage) -> Mapping[str, Measured]:
    """Ever more listeners; every one has to hear of every deletion."""
    floor = floor_seconds(stage)
    commits: dict[int, list[float]] = {}
    slowest: list[float] = []
    with PrivatePostgres(options=OPTIONS) as server, ExitStack() as stack:
        name = stack.enter_context(server.fresh_database())
        url = server.url(database=name)
        rows = stack.enter_context(Rows(url))
        make_table(rows, url)
        processes: list[Process] = []
        listening = 0
        for count in stage.size.listeners:
            stage.say(f"  {count} listeners")
            processes += stack.enter_context(followers(url, count - listening))
            listening = count
            commits[count], slowest = [], []
            for _ in range(stage.size.rounds):
                id_ = new_id()
                rows.insert(id_)
                began = time.monotonic_ns()
                committed = rows.delete(id_)
                heard = heard_by(processes, id_)
                assert len(heard) == count, "every one hears"
                commits[count].append((committed - began) / 1e6)
                slowest.append((max(heard) - committed) / 1e9)
    costs = ", ".join(f"{count}: {median(took):.1f} ms" for count, took in commits.items())
    return {
        "fleet.slowest": Measured.of([seconds / floor for seconds in slowest]),
        "fleet.seconds": Measured.of(slowest),
        "fleet.commit": Measured.of(commits[listening], f"by listeners: {costs}"),
    }


@contextmanager
def followers(url: str, count: int) -> Iterator[list[Process]]:
    """So many more listeners, all of which listen."""
    sizes = [A_PROCESS] * (count // A_PROCESS) + [count % A_PROCESS] * (count % A_PROCESS > 0)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.followers", url, str(size)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for size in sizes
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def heard_by(processes: Sequence[Process], id_: str) -> list[int]:
    """When each listener heard of this deletion."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{id_}\n")
        process.stdin.flush()
    heard: list[int] = []
    for process in processes:
        assert process.stdout is not None
        heard += json.loads(process.stdout.readline())
    return heard


ROW = Row(
    "fleet",
    [
        Figure("fleet.slowest", "1,000 listeners: slowest hears", 0.1, "× floor", minutes=True),
        Figure("fleet.seconds", "1,000 listeners: slowest hears: seconds", unit="s", minutes=True),
        Figure("fleet.commit", "1,000 listeners: the writer's commit", unit="ms", minutes=True),
    ],
    fleet,
)
