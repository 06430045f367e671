"""Reported deletions: what they cover, for how long, and when a row is looked for again."""

from __future__ import annotations

import pytest

from listener.core import deletions as reports
from listener.core.deletions import LOOK_AGAIN, MOST_REMEMBERED, REMEMBERED, ReportedDeletions
from tests.world.parts import TOPOLOGY, P, Q, topology


def test_a_report_covers_the_id_and_its_prefix_and_nothing_else() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY], 0.0)
    covered = [known.cover(owner, 1.0) for owner in (TOPOLOGY, P, topology(tail=2), Q, topology(Q))]
    assert covered == [True, True, False, False, False]


def test_a_report_is_forgotten_after_ten_minutes_unless_it_is_repeated() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY, topology(Q)], 0.0)
    known.add([topology(Q)], 300.0)
    assert known.cover(TOPOLOGY, REMEMBERED)
    assert not known.cover(TOPOLOGY, REMEMBERED + 0.001)
    assert known.cover(topology(Q), 300.0 + REMEMBERED)


def test_of_too_many_reports_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_REMEMBERED >= 20_000  # a statement that deletes thousands of rows fits
    monkeypatch.setattr(reports, "MOST_REMEMBERED", 4)
    known = ReportedDeletions()
    ids = [topology(f"{number:08x}") for number in range(5)]
    known.add(ids, 0.0)
    assert [known.cover(id_, 0.0) for id_ in ids] == [False, False, False, True, True]


@pytest.mark.parametrize("text", ["", "*", P, TOPOLOGY.upper(), TOPOLOGY + "0", "x" * 36, "é"])
def test_what_is_no_id_is_no_report(text: str) -> None:
    known = ReportedDeletions()
    known.add([text], 0.0)
    assert not known.cover(text, 0.0)
    assert not known.cover(text[:8], 0.0)


def test_a_row_that_is_still_there_is_looked_for_again_at_growing_intervals() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY], 100.0)
    now, looks = 100.0, []
    while (wait := known.look_again({TOPOLOGY}, now)) is not None:
        now += wait
        looks.append(round(now - 100.0, 6))
    assert looks == list(LOOK_AGAIN)


def test_looks_for_another_reason_do_not_use_up_those_to_come() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY], 0.0)
    for _ in range(100):
        assert known.look_again({TOPOLOGY}, 0.0) is not None
    assert known.look_again({TOPOLOGY}, 0.75) == 1.25


def test_nothing_is_looked_for_again_that_was_not_reported_or_is_gone() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY], 0.0)
    assert known.look_again({topology(tail=2), topology(Q)}, 0.0) is None
    assert known.look_again(set(), 0.0) is None


def test_the_nearest_of_several_looks_counts() -> None:
    known = ReportedDeletions()
    known.add([TOPOLOGY], 0.0)
    known.add([topology(tail=2)], 0.25)
    assert known.look_again({TOPOLOGY, topology(tail=2)}, 1.0) == 1.0
