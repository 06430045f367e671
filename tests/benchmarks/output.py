"""The results as a table, in Markdown, and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Result

WIDE = 400
"""Columns; a row of Markdown may not be broken."""


def table(results: Sequence[Result]) -> str:
    """One table in Markdown."""
    drawn = Table(box=box.MARKDOWN)
    for heading in ("figure", "target", "median", "90th percentile", "verdict", "note"):
        right = heading in ("target", "median", "90th percentile")
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for result in results:
        drawn.add_row(*_cells(result))
    console = Console(width=WIDE, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().strip()


def section(results: Sequence[Result], machine: Mapping[str, str], seconds: float) -> str:
    """The table, under what it was measured on."""
    told = [f"- {what}: {which}" for what, which in machine.items()]
    return "\n".join([*told, f"- it took {seconds / 60:.0f} minutes", "", table(results), ""])


def line(result: Result) -> str:
    """The same in one line."""
    title, target, value, _, verdict, note = _cells(result)
    return " ".join(filter(None, [f"{title}:", value, f"({target})" * bool(target), verdict, note]))


def _cells(result: Result) -> tuple[str, ...]:
    figure, measured = result.figure, result.measured
    target = value = percentile = note = ""
    if figure.target is not None:
        target = f"{'≥' if figure.at_least else '≤'} {figure.target:g} {figure.unit}".strip()
    if measured is not None:
        value, note = f"{number(measured.value)} {figure.unit}".strip(), measured.note
        if measured.percentile90 is not None:
            percentile = number(measured.percentile90)
    return figure.title, target, value, percentile, result.verdict, note


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_json(
    path: Path,
    results: Sequence[Result],
    machine: Mapping[str, str],
    *,
    quick: bool,
    seconds: float,
) -> None:
    """Everything, the single samples too."""
    told: dict[str, Any] = {
        "machine": machine,
        "quick": quick,
        "seconds": round(seconds, 1),
        "figures": [_as_json(result) for result in results],
    }
    path.write_text(json.dumps(told, indent=1) + "\n")


def _as_json(result: Result) -> dict[str, Any]:
    figure, measured = result.figure, result.measured
    told: dict[str, Any] = {
        "name": figure.name,
        "title": figure.title,
        "target": figure.target,
        "at_least": figure.at_least,
        "unit": figure.unit,
        "verdict": result.verdict,
    }
    if measured is not None:
        told |= {
            "value": measured.value,
            "percentile90": measured.percentile90,
            "samples": list(measured.samples),
            "note": measured.note,
        }
    return told
