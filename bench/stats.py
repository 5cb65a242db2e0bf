"""Numbers from repeats: medians, percentiles and intervals, nothing fitted.

Repeats are few and their noise is not normal (a neighbour that wakes up only ever makes a run slower), so intervals are
bootstrapped: resampled from the repeats themselves, with a fixed seed, so that the same numbers give the same interval.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RESAMPLES = 2000
"""Draws of a bootstrap: with more, the ends of an interval do not move by a digit that is shown."""
CONFIDENCE = 0.95
"""The probability with which an interval holds the median: the usual one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """Return the median of the repeats."""
    return statistics.median(values)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median of the repeats and its bootstrapped interval."""
    return _bootstrapped(len(values), lambda picked: median([values[index] for index in picked]))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of two medians.

    Repeats that were measured one after the other share their noise. They are therefore resampled in pairs.
    """
    count = min(len(ours), len(theirs))
    mine, other = ours[:count], theirs[:count]

    def of(picked: Sequence[int]) -> float:
        return median([mine[index] for index in picked]) / median([other[index] for index in picked])

    return _bootstrapped(count, of)


def change(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Return the median of ``after`` as a multiple of the median of ``before``.

    The two runs are resampled independently.
    """
    chance = random.Random(0)
    draws = sorted(
        median(chance.choices(after, k=len(after))) / median(chance.choices(before, k=len(before)))
        for _ in range(RESAMPLES)
    )
    return _between(median(after) / median(before), draws)


def _bootstrapped(count: int, of: Callable[[Sequence[int]], float]) -> Estimate:
    chance = random.Random(0)
    draws = sorted(of(chance.choices(range(count), k=count)) for _ in range(RESAMPLES if count > 1 else 1))
    return _between(of(range(count)), draws)


def _between(value: float, draws: Sequence[float]) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    return Estimate(value, percentile(draws, tail), percentile(draws, 1 - tail))
