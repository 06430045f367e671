"""The benchmarks: ``python -m tests.benchmarks``, as ``make bench`` and ``make bench-quick`` do.

One row after the other; a row that fails leaves its figures missing, and the others go on. The
table goes to standard output and how far it is to standard error; all of it, as Markdown, as JSON
and as a picture, goes to a folder.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tests.benchmarks import machine, output, plot
from tests.benchmarks.figures import Result, exit_status
from tests.benchmarks.rows import ROWS
from tests.benchmarks.stage import QUICK, Size, Stage

FOLDER = Path("build/bench")


def main() -> int:
    """Measure; 1 if a figure is missing or worse than twice its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small, and without what takes minutes"
    )
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="measure these only")
    options = parser.parse_args()
    rows = [row for row in ROWS if row.name in options.rows or not options.rows]
    if unknown := set(options.rows) - {row.name for row in rows}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; {[row.name for row in ROWS]}")
    began = time.monotonic()
    results: list[Result] = []
    with Stage(QUICK if options.quick else Size(), quick=options.quick) as stage:
        described = machine.describe(stage.api)
        for row in rows:
            started = time.monotonic()
            stage.say(f"{row.name}…")
            measured = row.results(stage, quick=options.quick, failed=_say)
            results += measured
            for result in measured:
                stage.say(f"  {output.line(result)}")
            stage.say(f"{row.name}: {time.monotonic() - started:.0f} s")
    seconds = time.monotonic() - began
    print(output.table(results))
    name = "quick" if options.quick else "bench"
    options.into.mkdir(parents=True, exist_ok=True)
    text = output.section(results, described, seconds)
    (options.into / f"{name}.md").write_text(text)
    output.write_json(
        options.into / f"{name}.json", results, described, quick=options.quick, seconds=seconds
    )
    plot.draw(results, options.into, name)
    stage.say(f"{seconds:.0f} s; {options.into}/{name}.md, .json, .png and .svg have it all")
    return exit_status(results)


def _say(row: str, error: Exception) -> None:
    print(f"{row} failed:", file=sys.stderr)
    traceback.print_exception(error)


if __name__ == "__main__":
    sys.exit(main())
