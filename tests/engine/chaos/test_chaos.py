"""Twenty rounds of chaos in three worlds, one for each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from private_engine import PrivateEngine

from tests.engine.chaos.chaos import LIVE_RESTORE, World
from tests.engine.chaos.storm import EVENTS
from tests.support.servers import PrivateMariaDB, PrivatePostgres

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[PrivateEngine]:
    """An engine for nothing else: it keeps images that carry labels, and its containers run on."""
    with PrivateEngine(dockerd_options=LIVE_RESTORE) as engine:
        yield engine


def survive(
    world: World, capsys: pytest.CaptureFixture[str], *, rounds: int, storm: bool = False
) -> None:
    """Play, print what was seen, and see that every kind of fault was among it."""
    with world:
        world.play(rounds, storm=storm)
        world.finish()
        with capsys.disabled():
            print(f"\n{world.report()}")
        assert not {fault.kind for fault in world.kinds} - world.faults.keys()
    counts = world.counts
    assert counts["rounds"] == rounds
    assert counts["events slept through"] >= EVENTS * storm
    assert counts["live resources lost"] == counts["orphans left"] == 0


def test_chaos_beside_sqlite(
    engine: PrivateEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survive(World(engine, tmp_path / "decnet.db", seed=1), capsys, rounds=7, storm=True)


def test_chaos_beside_postgresql(
    engine: PrivateEngine,
    postgres: PrivatePostgres,
    postgresql_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    survive(World(engine, postgresql_url, postgres, seed=2), capsys, rounds=7)


def test_chaos_beside_mariadb(
    engine: PrivateEngine,
    mariadb: PrivateMariaDB,
    mariadb_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    survive(World(engine, mariadb_url, mariadb, seed=3), capsys, rounds=6)
