"""A database far away: every deletion is done; how soon is for the benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
import sqlalchemy as sa

from tests.engine.conftest import gone
from tests.engine.push.conftest import Start, planted, removed
from tests.support.decnet import deploy, new_id
from tests.support.distance import Distance
from tests.support.process import PATIENCE
from tests.support.rows import Rows
from tests.support.servers import PrivateServer

FAR = 0.1
"""Seconds that a message is on its way, in either direction."""


@pytest.fixture
def url(server: PrivateServer, database_url: str) -> Iterator[str]:
    """What the listeners are given: the way to the database is long."""
    with Distance(("127.0.0.1", server.port), seconds=FAR) as distance:
        far = sa.make_url(database_url).set(host="127.0.0.1", port=distance.port)
        yield far.render_as_string(hide_password=False)


def test_what_is_deleted_far_away_is_removed(
    api: docker.APIClient, rows: Rows, live: str, start: Start
) -> None:
    one, *others = [new_id() for _ in range(3)]
    rows.insert(one, *others)
    topology, *more = [
        deploy(api, id_, decky_numbers=(2 * number, 2 * number + 1), services=(), start=False)
        for number, id_ in enumerate((one, *others))
    ]
    many = planted(api, rows, 17)
    start()
    rows.delete(one)
    gone(api, topology)
    rows.delete(*others, *many)
    gone(api, *more)
    removed(api, *many.values(), patience=PATIENCE)
    assert live
