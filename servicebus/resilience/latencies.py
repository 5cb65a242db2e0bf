"""A percentile of the recent durations of an operation."""

from __future__ import annotations

import math
from collections import deque


class Latencies:
    """The last durations of an operation, and the duration that a share of them stay within.

    Args:
        share: which share, above 0 and at most 1.
        window: durations that are remembered.
        least: durations before the percentile is known, and between two computations of it.
    """

    __slots__ = ("_fresh", "_least", "_percentile", "_seconds", "_share")

    def __init__(self, share: float = 0.95, window: int = 128, least: int = 20) -> None:
        self._share = share
        self._least = least
        self._seconds: deque[float] = deque(maxlen=window)
        self._percentile: float | None = None
        self._fresh = 0  # durations since the last computation

    def record(self, seconds: float) -> None:
        """Add a duration."""
        self._seconds.append(seconds)
        self._fresh += 1
        # Sorted once in ``least`` calls: every call reads the percentile, and one more duration changes it little.
        if len(self._seconds) >= self._least and (self._percentile is None or self._fresh >= self._least):
            ordered = sorted(self._seconds)
            self._percentile = ordered[math.ceil(self._share * len(ordered)) - 1]
            self._fresh = 0  # durations since the last computation

    @property
    def percentile(self) -> float | None:
        """Seconds within which ``share`` of the durations were, None while fewer than ``least`` are known."""
        return self._percentile
