"""What an event costs the index, and what a resource does, as the host grows."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Mapping

from listener.control.inventory import PrefixIndex
from listener.engine.mirror import Mirror
from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.lives import Lives
from tests.benchmarks.samples import ratios, turns
from tests.benchmarks.stage import Stage
from tests.support.decnet import new_id

TOPOLOGIES = 200
"""Come and go in each round."""


def indexing(stage: Stage) -> Mapping[str, Measured]:
    """By turns on a small and on a large index."""
    lives = Lives(stage)
    small, large = (Filled(lives, count) for count in stage.size.resources)
    took: dict[Filled, list[float]] = {small: [], large: []}
    for filled in turns(list(took), stage.size.rounds):
        events = list(lives.lived(new_id() for _ in range(TOPOLOGIES)))
        began = time.perf_counter()
        for event in events:
            filled.mirror.apply(event)
        took[filled].append((time.perf_counter() - began) / len(events) * 1e6)
    return {
        "index.time": Measured.of(ratios(took[large], took[small])),
        "index.event": Measured.of(took[large]),
        "index.bytes": Measured(_bytes_each(lives, stage.size.resources[1])),
    }


class Filled:
    """An index with so many resources."""

    def __init__(self, lives: Lives, count: int) -> None:
        self.index = PrefixIndex()
        self.mirror = Mirror(self.index, lambda _: None)
        for event in lives.born(new_id() for _ in range(count // lives.size)):
            self.mirror.apply(event)


def _bytes_each(lives: Lives, count: int) -> float:
    """The memory that a resource takes, without the strings that it is known by."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    filled = Filled(lives, count)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    resources = {
        r.id: r for prefix in filled.index.prefixes() for r in filled.index.resources(prefix)
    }.values()
    strings = {id(s): s for r in resources for s in (r.id, r.name, *r.owners)}
    return (after - before - sum(map(sys.getsizeof, strings.values()))) / len(resources)


ROW = Row(
    "indexing",
    [
        Figure("index.time", "an event, in a large index", 1.3, "× small"),
        Figure("index.event", "an event, in a large index: time", unit="µs"),
        Figure("index.bytes", "a resource, beyond its strings", 600, "bytes"),
    ],
    indexing,
)
