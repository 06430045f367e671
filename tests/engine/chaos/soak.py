"""Hundreds of rounds of chaos, each time others: ``python -m tests.engine.chaos.soak --rounds N``.

Worlds of a few rounds, each with an engine of its own; the databases take turns. A world's seed is
printed before it is played. It decides what is done, but not how that comes to overlap. An
interrupt ends it early, with the figures so far.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from private_engine import PrivateEngine

from tests.engine.chaos.chaos import LIVE_RESTORE, World
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

ROUNDS_A_WORLD = 10


def main() -> int:
    """Play until so many rounds are done; returns 1 if any world broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None, help="of the first world")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    started, broken = time.monotonic(), 0
    with PrivatePostgres() as postgres, PrivateMariaDB() as mariadb:
        servers = [None, postgres, mariadb]
        for number, first in enumerate(range(0, options.rounds, ROUNDS_A_WORLD)):
            rounds = min(ROUNDS_A_WORLD, options.rounds - first)
            server = servers[(seed + number) % len(servers)]
            name = server.scheme if server else "sqlite"
            print(f"seed {seed + number}: {rounds} rounds beside {name}", flush=True)
            try:
                play(seed + number, rounds, server, counts, faults)
            except KeyboardInterrupt:
                break
            except Exception:
                broken += 1
                traceback.print_exc()
    counts["faults"] = faults.total()
    print("\n".join(f"{count:9,}  {what}" for what, count in sorted(counts.items())))
    print("\n".join(f"{count:9,}    {kind}" for kind, count in sorted(faults.items())))
    print(f"{broken:9,}  worlds broken, in {time.monotonic() - started:.0f} s")
    return min(broken, 1)


def play(
    seed: int,
    rounds: int,
    server: PrivateServer | None,
    counts: Counter[str],
    faults: Counter[str],
) -> None:
    """One world, to its end."""
    with ExitStack() as ends:
        engine = ends.enter_context(PrivateEngine(dockerd_options=LIVE_RESTORE))
        database: Path | str
        if server is None:
            database = Path(ends.enter_context(tempfile.TemporaryDirectory())) / "decnet.db"
        else:
            server.start()
            database = server.url(database=ends.enter_context(server.fresh_database()))
        world = ends.enter_context(World(engine, database, server, seed=seed))
        try:
            world.play(rounds)
            world.finish()
        finally:
            counts.update(world.counts)
            faults.update(world.faults)


if __name__ == "__main__":
    sys.exit(main())
