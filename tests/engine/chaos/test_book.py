"""That Docker's book of networks is read right, and an engine that is killed by it comes back."""

from __future__ import annotations

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.chaos import book
from tests.support.decnet import new_id


@pytest.mark.deep
def test_an_engine_is_killed_with_every_network_in_its_book_and_whole(
    engine: PrivateEngine, api: docker.APIClient
) -> None:
    # Enough for the book to have branches.
    names = {f"decnet_t_{new_id()[:8]}_lan-{number}" for number in range(40)}
    for name in names:
        api.create_network(name, driver="bridge")

    book.terminate(engine)
    engine.start()
    book.kill(engine)

    noted = list(book.networks(book.path(engine).read_bytes()))
    assert {network["name"] for network in noted} == {*names, "bridge"}
    assert all(network["ipamV4Info"] for network in noted)
    engine.start()
    assert {network["Name"] for network in api.networks()} >= names
