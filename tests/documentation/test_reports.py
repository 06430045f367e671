"""The objects in docs/reports.md have all the keys that the commands print, and no other."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_type_hints

from listener.cli.explanation import Explanation, Thing, Topology, View
from listener.core.ownership import Signal
from listener.core.report import Report, Waiting, WouldRemove

from .pages import TREE, Page

REPORTS = [
    json.loads(text)
    for language, text in Page(TREE / "docs" / "reports.md").blocks
    if language == "json"
]


def test_the_report_of_a_sweep() -> None:
    report: dict[str, Any] = REPORTS[0]
    assert list(report) == [field.name for field in dataclasses.fields(Report)]
    (waiting,), (would,) = report["waiting"], report["would_remove"]
    assert list(waiting) == list(get_type_hints(Waiting))
    assert list(would) == list(get_type_hints(WouldRemove))


def test_what_explain_says() -> None:
    explained: dict[str, Any] = REPORTS[1]
    (thing,), (topology,) = explained["things"], explained["topologies"]
    for told, type_ in (
        (explained, Explanation),
        (thing, Thing),
        (thing["signals"][0], Signal),
        (topology, Topology),
        (topology["sweep"], View),
        (topology["listener"], View),
    ):
        assert list(told) == [field.name for field in dataclasses.fields(type_)]
