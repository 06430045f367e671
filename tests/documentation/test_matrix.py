"""The table says "passed" of nothing but what passed, and changes where something was tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.matrix.__main__ import attempt
from tests.matrix.report import BEGIN, END, Result, line, result_of, updated
from tests.matrix.rows import ROWS, Row

ROW = Row(name="row", what="a thing", says=("Thing",), version="2.", tests=())
SAID = '<property name="Thing" value="v2.5 of today"/>'
PASSED, FAILED, SKIPPED = (
    f'<testcase name="{name}">{how}</testcase>'
    for name, how in (("one", ""), ("two", '<error message="no\nthing"/>'), ("three", "<skipped/>"))
)
DAY = date(2026, 12, 24)


@pytest.mark.parametrize(
    ("report", "status", "shown"),
    [
        (SAID + PASSED + SKIPPED, 0, "| 2.5 | 2026-12-24 | passed: 1 |"),
        (SAID + PASSED + FAILED, 1, "| 2.5 | 2026-12-24 | **failed: `two`**; passed: 1 |"),
        (SAID + SKIPPED, 0, "| 2.5 | 2026-12-24 | not tried: no test ran |"),
        (SAID, 5, "| 2.5 | 2026-12-24 | not tried: no test ran |"),
        (PASSED + FAILED, 1, "not tried: it did not say its version: no thing |"),
        (SAID.replace("v2", "v3") + PASSED, 0, "not tried: this is another version |"),
        (SAID + PASSED, 3, "**failed: `pytest, with status 3`**; passed: 0 |"),
        ("", 4, "**failed: `pytest, with status 4`**; passed: 0 |"),
    ],
)
def test_nothing_has_passed_but_what_said_that_it_is_that_and_whose_tests_ran_and_passed(
    tmp_path: Path, report: str, status: int, shown: str
) -> None:
    path = tmp_path / "report.xml"
    if report:
        path.write_text(f"<testsuites><testsuite>{report}</testsuite></testsuites>")
    result = result_of(ROW, path, status)
    assert result.has_passed is ("| passed" in shown)
    assert line(ROW, result, DAY).rstrip().endswith(shown)


def test_what_cannot_be_had_is_not_tried_and_says_why() -> None:
    result = attempt(replace(ROW, environment="none", python="2.0"))
    assert not result.has_passed
    assert str(result).startswith("not tried: ")
    assert "no Python 2.0 was found" in str(result)


def test_only_the_lines_of_the_rows_that_were_tried_change() -> None:
    page = f"# Title\n{BEGIN}{END}\n| a | table | of others |\n"
    old, new = ([line(row, Result("0.1", n), DAY) for row in ROWS[:3]] for n in (1, 2))
    for number in (2, 0):  # in any order
        page = updated(page, {ROWS[number].name: old[number]})
    assert "".join([old[0], old[2]]) in page
    changed = updated(page, {ROWS[0].name: new[0]})
    assert changed == page.replace(old[0], new[0])
    assert updated(page, {ROWS[1].name: new[1]}) == page.replace(old[0], old[0] + new[1])
    assert updated(page, {}) == page
