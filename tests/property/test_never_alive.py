"""Nothing alive is removed, and nothing orphaned stays: against many orders of what can happen.

An adversary plays in a simulated world, and an oracle of its own looks at every removal. At the end
of each world everything is mended, and what is orphaned and not held has to go. A world that fails
is played again by ``python -m tests.property.soak --seed N``, and as many others as one likes by
``--steps N``.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.property.soak import play
from tests.world.listener import without_threads_and_clocks

WORLDS = 40


@pytest.mark.parametrize("first", range(0, 4 * WORLDS, WORLDS))
def test_nothing_alive_is_removed_and_nothing_orphaned_stays(first: int) -> None:
    with without_threads_and_clocks():
        for seed in range(first, first + WORLDS):
            try:
                play(seed, Counter())
            except AssertionError as broken:
                raise AssertionError(f"in the world of --seed {seed}: {broken}") from broken
