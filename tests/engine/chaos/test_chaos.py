"""Twenty rounds of chaos in three worlds, one for each kind of database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from private_engine import EngineError, PrivateEngine

from tests.engine.chaos.chaos import LIVE_RESTORE, World
from tests.engine.chaos.storm import EVENTS
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

pytestmark = pytest.mark.timeout(1800)

PANIC = "daemon/daemon.go:1151"
"""Where Docker 20.10 itself now and then gives up at its start after it was killed, for good."""


def survive(
    play: Callable[[int], World], capsys: pytest.CaptureFixture[str], *, seeds: list[int]
) -> None:
    """Play a world, and another one only where Docker's own panic ended it."""
    for seed in seeds:
        try:
            world = play(seed)
            break
        except EngineError as error:
            if PANIC not in str(error) or seed == seeds[-1]:
                raise
    with capsys.disabled():
        print(f"\n{world.report()}")
    assert not {fault.kind for fault in world.kinds} - world.faults.keys()
    assert world.counts["live resources lost"] == world.counts["orphans left"] == 0


def played(
    seed: int,
    database: Path | PrivateServer,
    *,
    rounds: int,
    storm: bool = False,
) -> World:
    """A world with an engine and a database of its own, after its end."""
    with (
        PrivateEngine(dockerd_options=LIVE_RESTORE) as engine,
        nullcontext("") if isinstance(database, Path) else database.fresh_database() as name,
    ):
        if isinstance(database, Path):
            world = World(engine, database / f"{seed}.db", seed=seed)
        else:
            world = World(engine, database.url(database=name), database, seed=seed)
        with world:
            world.play(rounds, storm=storm)
            world.finish()
    assert world.counts["rounds"] == rounds
    assert world.counts["events slept through"] >= EVENTS * storm
    return world


def test_chaos_beside_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    survive(lambda seed: played(seed, tmp_path, rounds=7, storm=True), capsys, seeds=[1, 11, 21])


def test_chaos_beside_postgresql(
    postgres: PrivatePostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    survive(lambda seed: played(seed, postgres, rounds=7), capsys, seeds=[2, 12, 22])


def test_chaos_beside_mariadb(mariadb: PrivateMariaDB, capsys: pytest.CaptureFixture[str]) -> None:
    survive(lambda seed: played(seed, mariadb, rounds=6), capsys, seeds=[3, 13, 23])
