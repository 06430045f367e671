"""A database that answers every question with an error for half an hour, on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from listener.controller import SCREEN_SPACING

from .host import Host
from .test_controller import events
from .world import TOPOLOGY, P, Q, base, network, service, topology

if TYPE_CHECKING:
    from loguru import Record

pytestmark = pytest.mark.usefixtures("at_once")

HALF_AN_HOUR = 1800.0
GRACE = 30.0
ALIVE, NEVER_SEEN = topology("cccccccc"), topology(Q)


@pytest.fixture
def host() -> Host:
    """Two live topologies, of which one will be deleted, and the first sweep done."""
    made = Host()
    made.database.rows |= {TOPOLOGY, ALIVE}
    made.appear(base(), service(), network())
    made.appear(base("alive", ALIVE), network("alive-lan", ALIVE[:8]))
    made.controller.hinted(0)
    made.sweep()
    made.settle(1.0)
    return made


def half_an_hour(host: Host, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Every question fails, and whatever makes it ask goes on: hints, sweeps and reports."""
    host.database.failing = True
    asked = len(host.database.asked)
    for minute in range(30):
        host.controller.hinted(0)
        host.controller.hinted(0, [TOPOLOGY, ALIVE])
        host.appear(base(f"late-{minute}", ALIVE))
        if minute % 5 == 0:
            host.sweep()
        if minute == 10:
            meanwhile()
        host.settle(HALF_AN_HOUR / 30)
    assert len(host.database.asked) - asked >= 30, "it has gone on asking"
    assert host.engine.removed() == []
    host.database.failing = False


def there(host: Host, prefix: str) -> list[str]:
    """What there is of a topology."""
    return sorted(id_ for id_, r in host.engine.present.items() if prefix in r.prefixes)


def test_nothing_is_removed_and_what_is_alive_stays(host: Host) -> None:
    before = set(host.engine.present)
    half_an_hour(host)
    host.controller.hinted(0)
    host.settle(HALF_AN_HOUR)
    assert before <= set(host.engine.present)
    assert host.engine.removed() == []


def test_what_was_deleted_meanwhile_goes_with_the_first_answer(host: Host) -> None:
    half_an_hour(host, lambda: host.database.rows.remove(TOPOLOGY))
    host.controller.hinted(0)
    host.settle(SCREEN_SPACING)
    assert there(host, P) == []
    assert "alive" in there(host, ALIVE[:8])


def test_without_another_event_it_goes_at_the_next_attempt(host: Host) -> None:
    half_an_hour(host, lambda: host.database.rows.remove(TOPOLOGY))
    host.settle(61.0)  # the longest pause between two attempts
    assert there(host, P) == []
    assert "alive" in there(host, ALIVE[:8])


def test_what_appears_among_the_errors_has_its_whole_grace_after_them(host: Host) -> None:
    half_an_hour(host, lambda: host.appear(base("stranger", NEVER_SEEN)))
    host.controller.hinted(0)
    host.settle(GRACE - 1.0)
    assert there(host, Q) == ["stranger"]
    host.settle(2.0)
    assert there(host, Q) == []


def test_a_row_that_comes_meanwhile_is_life(host: Host) -> None:
    host.appear(base("stranger", NEVER_SEEN))
    host.settle(GRACE / 2)
    half_an_hour(host, lambda: host.database.rows.add(NEVER_SEEN))
    host.controller.hinted(0)
    host.settle(HALF_AN_HOUR)
    assert there(host, Q) == ["stranger"]


def test_another_table_after_the_errors_is_held_and_said_with_its_token(
    host: Host, log: list[Record]
) -> None:
    def restore() -> None:
        host.database.identity = "two"
        host.database.rows.clear()

    half_an_hour(host, restore)
    host.controller.hinted(0)
    for _ in range(5):
        host.settle(100.0)
        host.sweep()
    assert host.engine.removed() == []
    (said,) = events(log, "held")
    assert set(said["extra"]["prefix"].split()) == {P, ALIVE[:8]}
    assert f"--confirm {said['extra']['token']}" in said["message"]
