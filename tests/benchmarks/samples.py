"""What is made of measured values: the median, the 90th percentile, and ratios by pairs.

The machines are noisy, so contenders are measured by turns, each going first as often as the
others, and a ratio is taken within each turn: what slowed the machine down meanwhile slowed both.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TypeVar

Contender = TypeVar("Contender")


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the middle two."""
    return statistics.median(values)


def percentile90(values: Sequence[float]) -> float:
    """The value that nine in ten do not exceed, between two values in proportion."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Each value by the one of the same turn."""
    return [value / base for value, base in zip(values, bases, strict=True)]


def turns(contenders: Sequence[Contender], rounds: int) -> Iterator[Contender]:
    """Whose turn it is: everyone's once a round, beginning with another one each time."""
    for number in range(rounds):
        first = number % len(contenders)
        yield from (*contenders[first:], *contenders[:first])
