"""Which deletions count as missed: those that only a sweep found while the feed was there."""

from __future__ import annotations

import pytest

from listener.control.missed import MissedDeletions
from tests.world.parts import P, Q


@pytest.fixture
def listening() -> MissedDeletions:
    """The feed has hinted once, and P and Q have had rows since."""
    missed = MissedDeletions()
    missed.heard(1.0)
    missed.screened(2.0, {P, Q}, set(), swept=True)
    return missed


def test_what_only_a_sweep_found_is_missed_and_counted(listening: MissedDeletions) -> None:
    listening.screened(10.0, set(), {P, Q}, swept=True)
    assert listening.removed(P, reported=False)
    assert listening.removed(Q, reported=False)
    assert listening.count == 2
    assert not listening.removed(P, reported=False)  # once is enough


def test_what_a_hint_led_to_is_not(listening: MissedDeletions) -> None:
    listening.heard(9.0)
    listening.screened(10.0, {Q}, {P}, swept=True)
    assert not listening.removed(P, reported=False)
    listening.screened(20.0, set(), {Q}, swept=False)
    assert not listening.removed(Q, reported=False)
    assert listening.count == 0


@pytest.mark.parametrize("report", [True, False])
def test_what_the_feed_tells_while_it_is_removed_is_not(
    listening: MissedDeletions, report: bool
) -> None:
    listening.screened(10.0, set(), {P}, swept=True)
    if not report:
        listening.heard(10.5)
    assert not listening.removed(P, reported=report)


def test_what_was_not_seen_alive_before_is_not(listening: MissedDeletions) -> None:
    listening.screened(10.0, {P, Q}, {"cccccccc"}, swept=True)
    assert not listening.removed("cccccccc", reported=False)


def test_nothing_is_expected_of_a_feed_that_is_away(listening: MissedDeletions) -> None:
    listening.lost()
    listening.screened(10.0, set(), {P, Q}, swept=True)
    assert not listening.removed(P, reported=False)


def test_nothing_is_expected_before_the_first_hint() -> None:
    missed = MissedDeletions()
    missed.screened(1.0, {P}, set(), swept=True)
    missed.screened(2.0, set(), {P}, swept=True)
    assert not missed.removed(P, reported=False)
