"""The listener is pointed at a database that is empty, or that has other topologies."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.engine.wrong_database.conftest import (
    OneShot,
    all_gone,
    goes_on,
    host,
    lost,
    released_by_its_token_alone,
)
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess
from tests.support.rows import Rows

UNKNOWN = "no row of this database owns anything on this host"


@pytest.mark.parametrize("others", [0, 300], ids=["an empty database", "other topologies"])
def test_nothing_goes_for_want_of_a_row_in_a_database_that_never_had_one(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    oneshot: OneShot,
    tmp_path: Path,
    others: int,
) -> None:
    if others:
        rows.insert(*(new_id() for _ in range(others)))
    here = host(api, *(new_id() for _ in range(3)))
    process.start()
    released_by_its_token_alone(api, process, oneshot, here, UNKNOWN, tmp_path)
    goes_on(api, process, rows, tmp_path)


def test_a_sweep_alone_does_no_more_than_a_listener(
    api: docker.APIClient, rows: Rows, oneshot: OneShot
) -> None:
    here = host(api, *(new_id() for _ in range(2)))
    for _ in range(2):  # the second knows what the first has seen
        report = oneshot.sweep()
        assert {entry["reason"] for entry in report.held} == {UNKNOWN}
        assert not lost(api, here)
        rows.insert(new_id())
    (token,) = {entry["token"] for entry in report.held}
    assert oneshot.sweep(confirm=token).complete
    all_gone(api, here)
