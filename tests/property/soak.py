"""The same adversary without Hypothesis, for as long as one likes: ``make soak``.

Each world is played from a seed of its own, which is printed when a promise is broken; ``--seed``
plays it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from tests.world.database import Shows
from tests.world.listener import without_threads_and_clocks
from tests.world.moves import MOVES, NUMBERS, Adversary
from tests.world.world import Config, Move

STEPS_A_WORLD = 60


def main() -> int:
    """Play until so many steps are done; returns the number of broken promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="play this one world")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(2**48)
    started, seed, broken = time.monotonic(), first, 0
    with without_threads_and_clocks():
        while counts["steps"] < options.steps:
            try:
                play(seed, counts)
            except AssertionError as violation:
                broken += 1
                print(f"seed {seed}: {violation}", flush=True)
            if options.seed is not None:
                break
            seed += 1
    print("\n".join(f"{count:12,}  {what}" for what, count in sorted(counts.items())))
    print(f"{seed - first + (options.seed is not None):12,}  worlds, from seed {first} on")
    print(f"{broken:12,}  promises broken, in {time.monotonic() - started:.0f} s")
    return min(broken, 1)


def play(seed: int, counts: Counter[str]) -> None:
    """One world, to its end."""
    chance = random.Random(seed)
    random.seed(seed)  # the jitter of the queues
    everything = [name for names in MOVES.values() for name in names]
    world = Adversary(
        Config(
            databases=chance.choice((1, 1, 2)),
            shows=chance.choice((Shows.ORIGIN, Shows.ORIGIN, Shows.COPY, Shows.SECRET_COPY)),
            elsewhere=chance.random() < 0.25,
            grace=chance.choice((30.0, 30.0, 0.0, 2.0)),
            delay=chance.choice((0.0, 0.0, 10.0)),
            witnessed_only=chance.random() < 0.25,
            torn_down_after=chance.choice((0.0, 10.0)),
        )
    )
    world.counts = counts
    groups = [*chance.sample(list(MOVES), chance.randint(3, len(MOVES))), "work", "work"]

    def move(names: list[str]) -> Move:
        return chance.choice(names), chance.randrange(NUMBERS), chance.randrange(NUMBERS)

    for _ in range(STEPS_A_WORLD):
        plan = [(chance.randrange(9), move(everything)) for _ in range(chance.randrange(7))]
        world.play(move(list(MOVES[chance.choice(groups)])), plan)
    world.finish()


if __name__ == "__main__":
    sys.exit(main())
