"""The results as a picture, PNG and SVG: who takes how long, and how far each figure is off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from tests.benchmarks.figures import TOO_BAD, Result, Verdict

COLOURS = {Verdict.MET: "#2a7f62", Verdict.MISSED: "#e0a030", Verdict.TOO_BAD: "#c0392b"}
LEAST, MOST = 0.02, 3.0
"""What is smaller or larger is drawn like these."""
OURS = "topology-reaper"
TIMED = {
    "alone.floor": "floor",
    "alone.wal.seconds": "topology-reaper, SQLite",
    "alone.notify.seconds": "topology-reaper, PostgreSQL",
    "alone.binlog.seconds": "topology-reaper, MariaDB",
    "alone.docker-cli": "Docker CLI",
    "alone.reference": "reference at the commit (leaves services)",
    "crowded.floor": "in a crowd: floor",
    "crowded.seconds": "in a crowd: topology-reaper",
    "crowded.docker-cli": "in a crowd: Docker CLI",
    "crowded.reference": "in a crowd: reference (leaves services)",
}
"""What is drawn of those that are timed, from above."""


def draw(results: Sequence[Result], folder: Path, name: str) -> list[Path]:
    """Draw both panels into files of either form; returns which."""
    mpl.rcParams["svg.hashsalt"] = name  # the same picture from the same figures
    picture = Picture(figsize=(14, 11), layout="constrained")
    above, below = picture.subplots(2, 1, height_ratios=(1, 2.4))
    _draw_times(above, results)
    _draw_targets(below, results)
    paths = [folder / f"{name}.{form}" for form in ("png", "svg")]
    for path in paths:
        picture.savefig(path, dpi=110)
    return paths


def _draw_times(axes: Axes, results: Sequence[Result]) -> None:
    by_name = {r.figure.name: r.measured for r in results if r.measured is not None}
    drawn = [(title, by_name[name].samples) for name, title in TIMED.items() if name in by_name]
    axes.set_title("one topology: seconds from the commit until the last resource went")
    if drawn:
        titles, samples = zip(*reversed(drawn), strict=True)
        boxes = axes.boxplot(
            samples, orientation="horizontal", whis=(0, 100), widths=0.6, patch_artist=True
        )
        for title, box in zip(titles, boxes["boxes"], strict=True):
            box.set_facecolor(COLOURS[Verdict.MET] if OURS in title else "white")
        axes.set_yticklabels(titles)
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)


def _draw_targets(axes: Axes, results: Sequence[Result]) -> None:
    drawn = [r for r in reversed(results) if r.badness is not None]
    lengths = [min(max(r.badness or 0.0, LEAST), MOST) for r in drawn]
    axes.barh(
        [r.figure.title for r in drawn], lengths, color=[COLOURS[r.verdict] for r in drawn], left=0
    )
    axes.axvline(1, color="black", linewidth=1)
    axes.axvline(TOO_BAD, color=COLOURS[Verdict.TOO_BAD], linewidth=1, linestyle="--")
    axes.margins(y=0.01)
    axes.set_title("how much of its target each figure takes: 1 meets it, over 2 fails the run")
    axes.grid(axis="x", alpha=0.3)
