"""Twenty rounds of chaos in three worlds, one for each kind of database."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from private_engine import PrivateEngine

from tests.engine.chaos.chaos import LIVE_RESTORE, World
from tests.engine.chaos.storm import EVENTS
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

pytestmark = pytest.mark.timeout(1800)


def assert_survived(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Print what was seen in a world after its end, and see that it had everything."""
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
    assert_survived(played(1, tmp_path, rounds=7, storm=True), capsys)


def test_chaos_beside_postgresql(
    postgres: PrivatePostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_survived(played(2, postgres, rounds=7), capsys)


def test_chaos_beside_mariadb(mariadb: PrivateMariaDB, capsys: pytest.CaptureFixture[str]) -> None:
    assert_survived(played(3, mariadb, rounds=6), capsys)
