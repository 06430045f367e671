"""Everything that is measured, in the order in which it is."""

from __future__ import annotations

from tests.benchmarks import (
    asking,
    decoding,
    distance,
    fleet,
    idling,
    indexing,
    noticing,
    reaping,
    relaying,
    starting,
    sweeping,
)
from tests.benchmarks.figures import Row
from tests.benchmarks.stage import Stage

ROWS: tuple[Row[Stage], ...] = (
    reaping.ALONE,
    noticing.ROW,
    starting.MEMORY,
    idling.ROW,
    decoding.ROW,
    indexing.ROW,
    asking.ROW,
    reaping.MANY,
    fleet.ROW,
    relaying.ROW,
    distance.ROW,
    # From here on a crowd is on the host.
    reaping.CROWDED,
    sweeping.ROW,
    starting.STARTING,
)
