"""What came of a row: read from the report of its tests, and written as its line of the page.

A row has *passed* only if the thing said itself, in this very run, that it is what the row is
about, and tests ran, and none of them failed. Whatever could not be had was *not tried*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

from .rows import ROWS, Row

BEGIN, END = "<!-- The lines of make matrix. -->\n", "<!-- Their end. -->\n"
HEAD = "| row | | version | tried | tests |\n| --- | --- | --- | --- | --- |\n"
SHOWN = 3
"""So many tests that failed are named."""
LONGEST = 200
"""Characters of the reason why something was not tried."""


@dataclass(frozen=True)
class Result:
    """What came of a row.

    Attributes:
        version: what the thing said that it is; empty if it said nothing.
        passed: how many tests did.
        failed: the names of those that did not.
        not_tried: why nothing is known; empty if something is.
    """

    version: str = ""
    passed: int = 0
    failed: Sequence[str] = ()
    not_tried: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether it works."""
        return not self.not_tried and not self.failed

    def __str__(self) -> str:
        """For the page."""
        if self.not_tried:
            reason = " ".join(self.not_tried.split()).replace("|", "\\|")
            return f"not tried: {reason[:LONGEST]}"
        if not self.failed:
            return f"passed: {self.passed}"
        named = ", ".join(f"`{name}`" for name in self.failed[:SHOWN])
        more = f" and {len(self.failed) - SHOWN} more" if len(self.failed) > SHOWN else ""
        return f"**failed: {named}{more}**; passed: {self.passed}"


def result_of(row: Row, report: Path, status: int) -> Result:
    """What the tests of a row tell.

    Args:
        row: whose tests they are.
        report: where pytest has left its own, if it came to that.
        status: with which pytest ended.
    """
    if status not in (0, 1, 5) or not report.exists():  # all passed, some failed, there was none
        return Result(failed=[f"pytest, with status {status}"])
    suite = ElementTree.parse(report)
    said = {node.get("name"): node.get("value", "") for node in suite.iter("property")}
    found = [re.search(r"\d+(\.\d+)+", said.get(name, "")) for name in row.says]
    versions = [version[0] for version in found if version]
    errors = [node.get("message", "") for tag in ("error", "failure") for node in suite.iter(tag)]
    if len(versions) < len(found):
        return Result(not_tried=": ".join(["it did not say its version", *errors[:1]]))
    named = (f"{name} {version}" for name, version in zip(row.says, versions, strict=True))
    version = versions[0] if len(versions) == 1 else ", ".join(named)
    if not versions[0].startswith(row.version):
        return Result(version, not_tried="this is another version")
    failed, passed = [], 0
    for case in suite.iter("testcase"):
        outcomes = {node.tag for node in case}
        if outcomes & {"failure", "error"}:
            failed.append(str(case.get("name")))
        elif "skipped" not in outcomes:
            passed += 1
    if not failed and not passed:
        return Result(version, not_tried="no test ran")
    return Result(version, passed, failed)


def line(row: Row, result: Result, day: date) -> str:
    """The line of a row."""
    return f"| `{row.name}` | {row.what} | {result.version or '?'} | {day} | {result} |\n"


def updated(page: str, lines: Mapping[str, str]) -> str:
    """The page with these lines, by the names of their rows, and the others as they were."""
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    there = {
        name: line + "\n"
        for line in table.splitlines()
        for name in re.findall(r"^\| `(.+?)`", line)
    }
    kept = {**there, **lines}
    rows = "".join(kept[row.name] for row in ROWS if row.name in kept)
    return f"{before}{BEGIN}\n{HEAD}{rows}\n{END}{after}"
