"""The results as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Result

WIDE = 200


def print_table(results: Sequence[Result]) -> None:
    """One table in Markdown on standard output."""
    table = Table(box=box.MARKDOWN)
    table.add_column("figure", no_wrap=True)
    for heading in ("target", "median", "90th percentile"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("note")
    for result in results:
        table.add_row(*_cells(result))
    Console(width=WIDE, highlight=False).print(table)


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
