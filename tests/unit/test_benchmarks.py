"""When a run of the benchmarks fails, and what it makes of measured values; nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.benchmarks.figures import Figure, Measured, Result, Row, Verdict, exit_status
from tests.benchmarks.rows import ROWS
from tests.benchmarks.samples import median, percentile90, ratios, turns

MOST = Figure("most", "at most", target=1.1, unit="× floor")
LEAST = Figure("least", "at least", target=15.0, at_least=True)
NOTHING = Figure("nothing", "nothing at all", target=0)
SLOW = Figure("slow", "takes minutes", target=1.0, minutes=True)
TOLD = Figure("told", "only told")


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        (MOST, 1.1, Verdict.MET),
        (MOST, 1.11, Verdict.MISSED),
        (MOST, 2.2, Verdict.MISSED),
        (MOST, 2.21, Verdict.TOO_BAD),
        (LEAST, 15.0, Verdict.MET),
        (LEAST, 14.9, Verdict.MISSED),
        (LEAST, 7.5, Verdict.MISSED),
        (LEAST, 7.4, Verdict.TOO_BAD),
        (LEAST, 0.0, Verdict.TOO_BAD),
        (NOTHING, 0, Verdict.MET),
        (NOTHING, -0.1, Verdict.MET),
        (NOTHING, 1, Verdict.TOO_BAD),
        (TOLD, 1e9, Verdict.TOLD),
    ],
)
def test_a_figure_is_held_against_its_target(
    figure: Figure, value: float, verdict: Verdict
) -> None:
    assert Result(figure, Measured(value)).verdict is verdict
    assert exit_status([Result(figure, Measured(value))]) == (verdict is Verdict.TOO_BAD)


def run(row: Row[None], *, quick: bool = False) -> tuple[dict[str, Verdict], int, list[str]]:
    """The verdicts, the exit status, and which rows have failed."""
    failed: list[str] = []
    results = row.results(None, quick=quick, failed=lambda name, _: failed.append(name))
    return {r.figure.name: r.verdict for r in results}, exit_status(results), failed


def test_a_missing_figure_fails_the_run() -> None:
    row = Row[None]("row", [MOST, TOLD], lambda _: {"most": Measured(1.0)})
    assert run(row) == ({"most": Verdict.MET, "told": Verdict.MISSING}, 1, [])


def test_a_row_that_cannot_be_measured_is_missing_and_said() -> None:
    def measure(_: None) -> Mapping[str, Measured]:
        raise RuntimeError("no engine")

    row = Row[None]("row", [MOST, LEAST], measure)
    assert run(row) == ({"most": Verdict.MISSING, "least": Verdict.MISSING}, 1, ["row"])


def test_the_quick_form_names_what_it_leaves_out() -> None:
    row = Row[None]("row", [MOST, SLOW], lambda _: {"most": Measured(1.0)})
    assert run(row, quick=True) == ({"most": Verdict.MET, "slow": Verdict.LEFT_OUT}, 0, [])
    assert run(row) == ({"most": Verdict.MET, "slow": Verdict.MISSING}, 1, [])


def test_the_quick_form_does_not_begin_a_row_of_which_nothing_is_left() -> None:
    begun: list[None] = []

    def measure(context: None) -> Mapping[str, Measured]:
        begun.append(context)
        return {}

    verdicts, status, _ = run(Row[None]("row", [SLOW], measure), quick=True)
    assert (verdicts, status, begun) == ({"slow": Verdict.LEFT_OUT}, 0, [])


def test_every_figure_has_a_name_of_its_own() -> None:
    names = [figure.name for row in ROWS for figure in row.figures]
    assert len(names) == len(set(names))


def test_the_figure_is_the_median_and_beside_it_stands_the_90th_percentile() -> None:
    measured = Measured.of([5.0, 1.0, 2.0, 4.0, 3.0, 6.0, 8.0, 7.0, 10.0, 9.0, 11.0])
    assert (measured.value, measured.percentile90) == (6.0, 10.0)
    assert (median([2.0, 1.0]), percentile90([7.0])) == (1.5, 7.0)
    assert Measured(3).percentile90 is None


def test_contenders_take_turns_and_are_compared_within_a_turn() -> None:
    assert list(turns("abc", 4)) == list("abcbcacababc")
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0], [1.0, 2.0])
