"""What is measured, how good it has to be, and what to say of what came out.

A figure is declared before anything is measured, so that one which is missing shows. It meets its
target, misses it, or is *worse than twice* the target; only the last one, and a figure that is
missing, make the whole run fail, for the machines are noisy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from tests.benchmarks.samples import median, percentile90

TOO_BAD = 2.0
"""How many times worse than its target a figure has to be for the run to fail."""

Context = TypeVar("Context")


@dataclass(frozen=True)
class Figure:
    """One number to be measured.

    Attributes:
        name: short, unique, and the same in every run.
        title: what it is.
        target: how good it has to be; None for one that is only told.
        unit: what it is counted in.
        at_least: the target is the least, instead of the most.
        minutes: takes minutes, so the quick form leaves it out.
    """

    name: str
    title: str
    target: float | None = None
    unit: str = ""
    at_least: bool = False
    minutes: bool = False


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        value: the figure.
        samples: what it was made of; empty where it is a count.
        note: what else there is to say.
    """

    value: float
    samples: Sequence[float] = ()
    note: str = ""

    @classmethod
    def of(cls, samples: Sequence[float], note: str = "") -> Measured:
        """The median of these."""
        return cls(median(samples), samples, note)

    @property
    def percentile90(self) -> float | None:
        """Of the samples; None where there are none."""
        return percentile90(self.samples) if self.samples else None


class Verdict(StrEnum):
    """What to say of a figure."""

    MET = "met"
    MISSED = "missed"
    TOO_BAD = "worse than twice"
    MISSING = "missing"
    LEFT_OUT = "left out"
    TOLD = "-"

    @property
    def fails(self) -> bool:
        """Whether the run is a failure."""
        return self in (Verdict.TOO_BAD, Verdict.MISSING)


@dataclass(frozen=True)
class Result:
    """A figure, and what came out; nothing where it is missing or was left out."""

    figure: Figure
    measured: Measured | None
    left_out: bool = False

    @property
    def badness(self) -> float | None:
        """How many times the target the figure is, 1 and below being good; None without either."""
        target = self.figure.target
        if self.measured is None or target is None:
            return None
        much, little = self.measured.value, target
        if self.figure.at_least:
            much, little = little, much
        if little > 0:
            return max(0.0, much / little)
        return 0.0 if much <= little else float("inf")

    @property
    def verdict(self) -> Verdict:
        """What to say of it."""
        if self.measured is None:
            return Verdict.LEFT_OUT if self.left_out else Verdict.MISSING
        if (badness := self.badness) is None:
            return Verdict.TOLD
        if badness <= 1:
            return Verdict.MET
        return Verdict.MISSED if badness <= TOO_BAD else Verdict.TOO_BAD


@dataclass(frozen=True)
class Row(Generic[Context]):
    """Figures that are measured together.

    Attributes:
        name: what to call it on the command line.
        figures: what it has to bring.
        measure: brings them, by name.
    """

    name: str
    figures: Sequence[Figure]
    measure: Callable[[Context], Mapping[str, Measured]]

    def results(
        self, context: Context, *, quick: bool, failed: Callable[[str, Exception], None]
    ) -> list[Result]:
        """Measure it.

        Args:
            context: what it is measured on.
            quick: leave out what takes minutes.
            failed: is told of an error, which leaves the row's figures missing.
        """
        left_out = {figure.name for figure in self.figures if quick and figure.minutes}
        measured: Mapping[str, Measured] = {}
        if len(left_out) < len(self.figures):
            try:
                measured = self.measure(context)
            except Exception as error:
                failed(self.name, error)
        return [
            Result(figure, measured.get(figure.name), left_out=figure.name in left_out)
            for figure in self.figures
        ]


def exit_status(results: Iterable[Result]) -> int:
    """Of the whole run: 1 if anything is missing, or worse than twice its target."""
    return int(any(result.verdict.fails for result in results))
