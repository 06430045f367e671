"""The table is dropped and made again, renamed, or emptied."""

from __future__ import annotations

from pathlib import Path

import docker

from tests.conftest import make_table
from tests.engine.wrong_database.conftest import (
    ANOTHER,
    OneShot,
    all_gone,
    everything,
    goes_on,
    holds,
    hosted,
    looked,
    lost,
    released_by_its_token_alone,
)
from tests.support.process import ListenerProcess
from tests.support.rows import Rows


def test_a_table_that_is_dropped_and_made_again_deletes_nothing(
    api: docker.APIClient,
    rows: Rows,
    url: str,
    process: ListenerProcess,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    here = hosted(api, rows, 4)
    process.start()
    rows.execute("DROP TABLE topologies")
    process.await_log("down")
    refused = oneshot.call("sweep", "--timeout", "1")
    assert refused.returncode == 3
    assert "has no table" in refused.stderr
    rows.execute("DROP TABLE attacks")
    make_table(rows, url)
    back, missing = dict(list(here.items())[:2]), dict(list(here.items())[2:])
    rows.insert(*back)
    released_by_its_token_alone(api, process, oneshot, missing, ANOTHER, tmp_path)
    assert not lost(api, back)
    goes_on(api, process, rows, tmp_path, *everything(back))


def test_a_table_that_is_renamed_away_and_back_deletes_nothing(
    api: docker.APIClient, rows: Rows, process: ListenerProcess, oneshot: OneShot, tmp_path: Path
) -> None:
    here = hosted(api, rows, 2)
    process.start()
    rows.execute("ALTER TABLE topologies RENAME TO away")
    process.await_log("down")
    looked(process)
    assert oneshot.call("sweep", "--timeout", "1").returncode == 3
    rows.execute("ALTER TABLE away RENAME TO topologies")
    assert oneshot.sweep().complete
    looked(process)
    assert not lost(api, here)
    assert not process.logged("held")
    goes_on(api, process, rows, tmp_path, *everything(here))


def test_a_table_that_takes_the_name_of_the_one_that_was_there_deletes_nothing(
    api: docker.APIClient, rows: Rows, process: ListenerProcess, oneshot: OneShot, tmp_path: Path
) -> None:
    here = hosted(api, rows, 3)
    staying = next(iter(here))
    rows.execute("CREATE TABLE another (id VARCHAR(36) PRIMARY KEY, name TEXT, status TEXT)")
    rows.execute("INSERT INTO another VALUES (?, 'theirs', 'active')", staying)
    process.start()
    rows.execute("ALTER TABLE topologies RENAME TO away")
    rows.execute("ALTER TABLE another RENAME TO topologies")
    alive = here.pop(staying)
    line = holds(process, here)
    assert ANOTHER in line["message"]
    looked(process)
    assert not lost(api, here)
    assert oneshot.sweep(confirm=line["token"]).complete
    all_gone(api, here)
    goes_on(api, process, rows, tmp_path, *alive)


def test_a_table_that_loses_every_row_loses_everything(
    api: docker.APIClient, rows: Rows, process: ListenerProcess
) -> None:
    here = hosted(api, rows, 2)
    process.start()
    rows.execute("DELETE FROM topologies")
    all_gone(api, here)
    assert not process.logged("held")


def test_a_table_that_is_emptied_between_two_sweeps_loses_everything(
    api: docker.APIClient, rows: Rows, url: str, oneshot: OneShot
) -> None:
    here = hosted(api, rows, 2)
    assert oneshot.sweep().complete
    rows.execute("DELETE FROM topologies" if "sqlite" in url else "TRUNCATE TABLE topologies")
    assert oneshot.sweep().complete
    assert sorted(lost(api, here)) == sorted(everything(here))
