"""One short round of chaos; ``python -m tests.engine.chaos.soak`` plays hundreds of long ones."""

from __future__ import annotations

from pathlib import Path

from private_engine import PrivateEngine

from tests.engine.chaos.chaos import World

FAULTS = (
    *("engine paused", "listener killed", "listener paused"),
    *("connections to the engine cut", "event streams cut", "answers truncated", "answers wrong"),
    *("database file away", "writer of the database restarted"),
)
"""What does not hurt the engine, which is shared, and takes a few seconds in all."""


def test_in_a_round_of_chaos_nothing_alive_is_lost_and_nothing_orphaned_left(
    engine: PrivateEngine, tmp_path: Path
) -> None:
    with World(engine, tmp_path / "decnet.db", seed=1) as world:
        world.play_one(*FAULTS)
        print(world.report())
